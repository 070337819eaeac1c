# SPDX-License-Identifier: Apache-2.0
"""What a review finds in real runs, and what its page says."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shots import HEIGHT, WIDTH, Shot, make_shot, write_image

from matanyone_engine.errors import MaskError, PlateError, SettingError
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.media.layouts import Delivery
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.review.page import page
from matanyone_engine.review.review import ObjectOnFrame, Review, Track, _stretches, find_run, review_run

KEYS = (1002, 1006)
DRAMA = "<script>alert(1)</script>&amp;"


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """Two objects, two keys, a black plate."""
    made = make_shot(tmp_path_factory.mktemp("review"), count=8)
    write_image(made.folder / "plate.1004.exr", np.zeros((HEIGHT, WIDTH, 3), np.float32), ("R", "G", "B"))
    mask = str(made.mask)
    keys = (*(KeyMask(mask, (key,), "hero") for key in KEYS), KeyMask(mask, (1005,), DRAMA))
    job = MatteJob(
        made.plate,
        "",
        str(made.out / "a.####.exr"),
        keys=keys,
        objects=(ObjectOptions(DRAMA, first=1003),),
        warm_up_passes=0,
        delivery=Delivery("layers"),
        accept_doubt=True,
    )
    list(run_matte(plan_matte(job), *load_vetted(made.weights, "cpu"), cache={}))
    return made


@pytest.fixture(scope="module")
def review(shot: Shot) -> Review:
    return review_run(find_run(str(shot.out)), widest=48)


def record_of(shot: Shot) -> dict[str, Any]:
    (record,) = shot.out.glob("*.matanyone.json")
    said: dict[str, Any] = json.loads(record.read_text())
    return said


def test_a_run_is_found_by_its_pattern_its_folder_and_its_record(shot: Shot) -> None:
    names = (shot.out, shot.out / "a.####.exr", shot.out / "a.matanyone.json")
    found = [find_run(str(name)) for name in names]
    assert found[0] == found[1] == found[2]
    assert list(found[0].files) == list(range(1001, 1009))


def test_what_is_no_run_is_refused(shot: Shot, tmp_path: Path) -> None:
    for name in ("none.matanyone.json", "none.####.exr", "none"):
        with pytest.raises((SettingError, PlateError)):
            find_run(str(tmp_path / name))
    shutil.copy(shot.out / "a.matanyone.json", tmp_path)
    with pytest.raises(PlateError, match="alphas"):
        find_run(str(tmp_path / "a.matanyone.json"))
    other = json.loads((tmp_path / "a.matanyone.json").read_text())
    other["job"]["out"] = str(tmp_path / "b.####.exr")
    (tmp_path / "b.matanyone.json").write_text(json.dumps(other))
    with pytest.raises(SettingError, match="2 runs: a"):
        find_run(str(tmp_path))


def test_every_object_has_its_own_confidence_flicker_area_and_keys(shot: Shot, review: Review) -> None:
    said = record_of(shot)["frames"]
    assert [(track.name, track.keys) for track in review.tracks] == [("hero", KEYS), (DRAMA, (1005,))]
    for track in review.tracks:
        for frame, seen in track.frames.items():
            assert seen.confidence == said[str(frame)]["confidence"][track.name]["value"]
            assert seen.coverage == pytest.approx(said[str(frame)]["coverage"][track.name], abs=1e-3)
            assert (seen.flicker is None) == (frame in (1001, 1008))
    assert review.tracks[1].frames[1001].coverage == 0
    assert (review.tracks[1].first, review.tracks[1].last) == (1003, None)
    assert review.warnings["the plate is black"] == (1004,)


def test_the_worst_frame_comes_first_and_all_are_shown_in_a_short_shot(review: Review) -> None:
    least = {n: min(track.frames[n].confidence or 0.0 for track in review.tracks) for n in review.frames}
    assert [least[n] for n in review.worst] == sorted(least.values())
    assert set(review.pictures) == set(review.strip) == set(review.frames)


def test_pictures_are_what_they_say(shot: Shot, review: Review) -> None:
    pictures = review.pictures[1006]
    plate, alpha, checker, colour = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        for data in (pictures.plate, pictures.alpha, pictures.checker, pictures.colour)
    )
    assert plate.shape == alpha.shape == checker.shape == colour.shape == (36, 48, 3)
    away = (alpha[..., 0] < 3) & (np.abs(plate - plate.mean()).sum(axis=2) > 0)
    if away.any():
        assert colour[away][:, 1].mean() > colour[away][:, 0].mean() + 40  # green where nothing is
    assert np.abs(checker - colour).max() > 20


def test_without_record_plate_or_confidence_there_is_still_a_review(shot: Shot, tmp_path: Path) -> None:
    for alpha in shot.out.glob("a.*.exr"):
        shutil.copy(alpha, tmp_path)
    bare = review_run(find_run(str(tmp_path / "a.####.exr")), widest=48)
    assert [track.name for track in bare.tracks] == ["hero", DRAMA]  # the files say so
    assert not any(each.confidence for track in bare.tracks for each in track.frames.values())
    assert any("--plate" in note for note in bare.notes)
    assert any("confidence" in note for note in bare.notes)
    assert not bare.pictures[bare.worst[0]].plate
    assert "checker</button>" not in page(bare)
    named = review_run(find_run(str(tmp_path / "a.####.exr")), plate=shot.plate, widest=48)
    assert named.pictures[named.worst[0]].plate
    with pytest.raises(PlateError):
        review_run(find_run(str(tmp_path / "a.####.exr")), plate=str(tmp_path / "none.####.exr"))


def test_a_plate_that_has_moved_is_a_note(shot: Shot, tmp_path: Path) -> None:
    shutil.copytree(shot.out, tmp_path / "out")
    record = tmp_path / "out" / "a.matanyone.json"
    said = json.loads(record.read_text())
    said["shot"]["plate"] = str(tmp_path / "gone.####.exr")
    record.write_text(json.dumps(said))
    assert "not where it was" in review_run(find_run(str(record)), widest=48).notes[0]


def test_an_alpha_that_cannot_be_read_is_an_error_that_names_it(shot: Shot, tmp_path: Path) -> None:
    shutil.copytree(shot.out, tmp_path / "out")
    damaged = tmp_path / "out" / "a.1005.exr"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises((MaskError, PlateError), match=r"a\.1005\.exr"):
        review_run(find_run(str(tmp_path / "out")), widest=48)


def test_stretches_are_doubtful_frames_in_a_row_small_gaps_bridged() -> None:
    low = {1003: 0.3, 1004: 0.2, 1007: 0.4, 1012: 0.1}
    frames = {n: ObjectOnFrame(0.1, low.get(n, 0.9), "edge" if n in low else "") for n in range(1001, 1021)}
    found = _stretches([Track("hero", frames)])
    assert [(each.first, each.last, each.worst, each.confidence) for each in found] == [
        (1012, 1012, 1012, 0.1),
        (1003, 1007, 1004, 0.2),
    ]


# ------------------------------------------------------------------------------------------------------------ the page


class Outline(HTMLParser):
    """Tags and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "poster")]


def test_the_page_holds_all_it_shows_and_says_no_name_as_html(review: Review) -> None:
    text = page(review)
    outline = Outline(text)
    assert outline.tags.count("script") == 2  # the data, and ours
    assert "alert(1)</script>" not in text
    assert all(address.startswith("data:image/webp;base64,") for address in outline.addresses)
    words = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|[\"'(=]//|url\((?!#)|@import", words)
    assert "default-src 'none'" in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["worst"] == list(review.worst)
    assert data["objects"][1]["name"] == DRAMA


def test_the_page_says_which_frames_came_from_which_keys(review: Review) -> None:
    text = page(review)
    assert "1001 run backwards, 1003-1005 blended from 1002 and 1006, 1007-1008 run forwards" in text
    assert "1003-1004 run backwards, 1006-1008 run forwards" in text


def test_the_page_says_which_mask_would_help(review: Review) -> None:
    worst = next(stretch for stretch in review.stretches if stretch.object == "hero")
    assert f"--mask hero=fix.{worst.worst}.exr@{worst.worst}" in page(review)


def test_a_long_shot_makes_no_long_page(shot: Shot, tmp_path: Path) -> None:
    """1,000 frames: the plots know them all, pictures are counted."""
    write_image(tmp_path / "a.0001.exr", np.full((12, 16, 1), 0.5, np.float32), ("A",))
    for frame in range(2, 1001):
        (tmp_path / f"a.{frame:04d}.exr").hardlink_to(tmp_path / "a.0001.exr")
    review = review_run(find_run(str(tmp_path / "a.####.exr")), plate=None)
    text = page(review)
    assert len(review.frames) == 1000
    assert len(review.pictures) == 24
    assert text.count("<img") <= 160 + 2 * 24 + 1
    assert len(text) < 1_000_000
    ticks = re.findall(r"%\">(\d+)</span>", text)
    assert 5 <= len(ticks) <= 16


def test_pictures_have_a_budget(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.review.review._MOST_BYTES", 9000)
    cut = review_run(find_run(str(shot.out)), widest=48)
    assert 1 <= len(cut.pictures) < 8
    assert any("--width" in note for note in cut.notes)
    assert page(replace(cut, title="x"))


def test_pictures_in_the_page_are_those_of_the_review(review: Review) -> None:
    assert base64.b64encode(review.pictures[review.worst[0]].checker).decode() in page(review)


@pytest.mark.parametrize(
    ("layout", "out", "names"),
    [
        ("matte", "{object}.####.exr", ["hero", "dog"]),
        ("straight", "{object}.####.exr", ["hero", "dog"]),
        ("alpha", "{object}.####.png", ["hero", "dog"]),
        ("cryptomatte", "{object}.####.exr", ["all objects"]),
    ],
)
def test_every_layout_is_looked_through(tmp_path: Path, layout: str, out: str, names: list[str]) -> None:
    made = make_shot(tmp_path, count=3)
    keys = tuple(KeyMask(str(made.mask), (1001,), name) for name in ("hero", "dog"))
    job = MatteJob(
        made.plate, "", str(made.out / out), keys=keys, warm_up_passes=0, delivery=Delivery(layout), accept_doubt=True
    )
    list(run_matte(plan_matte(job), *load_vetted(made.weights, "cpu"), cache={}))
    said = record_of(made)["frames"]
    review = review_run(find_run(str(made.out)), widest=48)
    assert [track.name for track in review.tracks] == names
    for track in review.tracks:
        for frame, seen in track.frames.items():
            told = {name: each["value"] for name, each in said[str(frame)]["confidence"].items()}
            assert seen.confidence == told.get(track.name, min(told.values()))
            assert seen.coverage > 0
