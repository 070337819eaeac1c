# SPDX-License-Identifier: Apache-2.0
"""Guides in real runs: they hold the alpha, leave the key alone, and give a part of a shot the alphas of the whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from engines import running
from shots import HEIGHT, WIDTH, Shot, files, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.jobs import run as jobs_run
from matanyone_engine.jobs.guide_keys import with_keys_of_guides
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.one_call import job_of_call
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.matting.confidence import OUTVOTED
from matanyone_engine.matting.frame_warnings import GUIDE_IS_WHITE, GUIDE_LEAPS
from matanyone_engine.matting.inside_outside import KEPT
from matanyone_engine.media.layouts import SUBJECT, Delivery
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.runs.record import read_record

FRAMES = tuple(range(1001, 1007))
BAND = 4


def box(x: int, side: int = 24) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[12 : 12 + side, x : x + side] = 1
    return mask


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def guided(shot: Shot, masks: Mapping[int, np.ndarray], name: str = "rough") -> str:
    for frame, mask in masks.items():
        write_image(shot.folder / f"{name}.{frame}.exr", mask[..., None], ("Y",), oiio.FLOAT)
    return str(shot.folder / f"{name}.####.exr")


def job(shot: Shot, guide: str, out: str = "out", **options: Any) -> MatteJob:
    objects = (ObjectOptions(guide=guide, guide_band=options.pop("band", BAND)),)
    asked: dict[str, Any] = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.folder / out / "a.####.exr")}
    asked |= {"warm_up_passes": 0, "accept_doubt": True, "delivery": Delivery("alpha", depth="float")}
    return MatteJob(**{**asked, "objects": objects, **options})


def run(shot: Shot, asked: MatteJob, **options: Any) -> dict[int, FrameDone]:
    found = run_matte(plan_matte(asked), *load_vetted(shot.weights, "cpu"), **options)
    return {event.frame: event for event in found if isinstance(event, FrameDone)}


def alphas(shot: Shot, asked: MatteJob, **options: Any) -> dict[int, np.ndarray]:
    return {frame: event.alpha for frame, event in run(shot, asked, **options).items()}


def test_further_in_it_is_the_subject_and_further_out_it_is_not(shot: Shot) -> None:
    made = alphas(shot, job(shot, guided(shot, dict.fromkeys(FRAMES, box(20)))))
    for frame in FRAMES[1:]:
        assert made[frame][12 + BAND : 36 - BAND, 20 + BAND : 44 - BAND].mean() > KEPT
        assert not made[frame][:, : 20 - BAND].any()
        assert not made[frame][:, 44 + BAND :].any()
        band = made[frame][20:28, 20 - BAND + 1 : 20 + BAND - 1]
        assert ((band > 0) & (band < 1)).any()


def test_a_key_frame_is_as_it_is_without_a_guide(shot: Shot) -> None:
    guide = guided(shot, dict.fromkeys(FRAMES, box(20)))
    plain = alphas(shot, job(shot, guide, objects=()))
    assert np.array_equal(alphas(shot, job(shot, guide, "guided"))[1001], plain[1001])


def test_frames_without_a_guide_are_computed_and_remember_it(shot: Shot) -> None:
    guide = guided(shot, {1003: box(20)})
    plain = alphas(shot, job(shot, guide, objects=()))
    made = alphas(shot, job(shot, guide, "guided"))
    assert [frame for frame in FRAMES if (made[frame] != plain[frame]).any()] == [1003, 1004, 1005, 1006]
    assert made[1004][:, :10].mean() > 0


def test_only_what_a_changed_guide_can_reach_is_computed_again(shot: Shot) -> None:
    guide = guided(shot, dict.fromkeys(FRAMES, box(20)))
    run(shot, job(shot, guide))
    key = read_image(shot.out / "a.1001.exr")
    assert not run(shot, job(shot, guide))
    guided(shot, {1005: box(24)})
    # 1004 has 1005 for a neighbour: how far the edge moves there says how wide its band is.
    assert sorted(run(shot, job(shot, guide))) == [1004, 1005, 1006]
    # The key's file is written anew, for it says the band; its alpha is the same.
    assert sorted(run(shot, job(shot, guide, band=5))) == list(FRAMES)
    assert np.array_equal(read_image(shot.out / "a.1001.exr"), key)


def test_a_guide_that_is_elsewhere_is_left_out_and_said(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [box(6, 20), box(6, 20), box(40, 20), box(40, 20), box(6, 20), box(6, 20)]
    guide = guided(shot, dict(zip(FRAMES, places, strict=True)))
    # All alphas of the small network are doubtful for other reasons.
    monkeypatch.setattr(jobs_run, "without_guide", lambda sure: replace(sure, why=OUTVOTED))
    done = run(shot, job(shot, guide))
    assert [frame for frame in FRAMES if GUIDE_LEAPS in done[frame].warnings] == [1003, 1004]
    sparse = guided(shot, dict.fromkeys((1001, 1002, 1005, 1006), places[0]), "sparse")
    without = alphas(shot, job(shot, sparse, "sparse"))
    assert all(np.array_equal(done[frame].alpha, without[frame]) for frame in FRAMES)
    record = read_record(shot.out / "a.matanyone.json")
    assert record is not None
    assert GUIDE_LEAPS in record.frames[1003].warnings
    left_out = [frame for frame in FRAMES if record.frames[frame].confidence[SUBJECT].why == OUTVOTED]
    assert left_out == [1003, 1004]
    assert main(["review", str(shot.out / "a.####.exr"), "--out", str(shot.folder / "review.html")]) == 0
    assert GUIDE_LEAPS in (shot.folder / "review.html").read_text()


def test_a_guide_that_is_white_everywhere_is_ignored_with_a_message(
    shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = dict.fromkeys(FRAMES, box(20))
    there = {frame: mask for frame, mask in masks.items() if frame not in (1003, 1005)}
    without = alphas(shot, job(shot, guided(shot, there, "there"), "there"))
    white = guided(shot, masks | {1003: np.ones_like(box(0)), 1005: np.zeros_like(box(0))}, "white")
    done = run(shot, job(shot, white))
    assert all(np.array_equal(done[frame].alpha, without[frame]) for frame in FRAMES)
    assert [frame for frame in FRAMES if GUIDE_IS_WHITE in done[frame].warnings] == [1003]
    assert main(shot.arguments("--guide", white, "--accept-doubt")) == 0
    said = capsys.readouterr().err
    assert "black, so that it says nothing, on 1005, white all over, so that it says nothing, on 1003" in said
    assert job_of_call(shot.plate, None, "o.####.exr", {}, white, 3).keys[0].frames != (1003,)


def test_a_guide_with_labels_is_black_where_the_label_is_absent(shot: Shot) -> None:
    labels = {frame: 2 * box(20) + (box(0, 8) > 0) for frame in FRAMES}
    guide = guided(shot, labels | {1003: (box(0, 8) > 0).astype(np.float32)}, "ids")
    worth = plan_matte(job(shot, f"{guide}#2")).masks.guides[SUBJECT]
    assert (worth.black, worth.white) == ({1003}, frozenset())
    with pytest.raises(MaskError, match="labels 1, 2"):
        plan_matte(job(shot, guide))
    keyed = job_of_call(shot.plate, None, "o.####.exr", {}, f"{guide}#2", 3)
    assert plan_matte(replace(keyed, out=str(shot.out / "a.####.exr"))).masks.keys


def test_a_movie_is_no_guide_and_the_error_says_what_to_do(shot: Shot) -> None:
    movie = shot.folder / "guide.mp4"
    movie.write_bytes(b"ftyp")
    words = "Write the movie out as images and number them as the plate"
    for ask in (plan_matte, lambda asked: with_keys_of_guides((), {SUBJECT: str(movie)}, asked.frames)):
        with pytest.raises(MaskError, match=words):
            ask(job(shot, str(movie)))


def test_frames_where_the_guide_overrules_the_network_have_a_low_confidence(shot: Shot) -> None:
    plain = run(shot, job(shot, "", objects=()))
    guide = guided(shot, dict.fromkeys(FRAMES, box(2, 12)))
    done = run(shot, job(shot, guide, "guided"))
    for frame in FRAMES[1:]:
        signals = done[frame].confidences[SUBJECT].signals
        assert signals is not None
        assert signals.guide is not None
        assert signals.guide > 0.3
    assert done[1003].confidences[SUBJECT].value < plain[1003].confidences[SUBJECT].value
    assert plain[1003].confidences[SUBJECT].signals.guide is None  # type: ignore[union-attr]
    assert done[1001].confidences[SUBJECT].signals.guide is None  # type: ignore[union-attr]


def test_a_part_of_a_shot_has_the_alphas_of_the_whole(shot: Shot) -> None:
    places = [box(6, 20), box(8, 20), box(40, 20), box(40, 20), box(10, 20), box(12, 20)]
    guide = guided(shot, dict(zip(FRAMES, places, strict=True)))
    whole = alphas(shot, job(shot, guide), cache={})
    for frames in ((1002,), (1003, 1004), (1001, 1002, 1003)):
        out = f"part{frames[0]}{len(frames)}"
        part = alphas(shot, job(shot, guide, out, frames=frames, mask_frame=1001), cache={})
        assert all(np.array_equal(part[frame], whole[frame]) for frame in frames)


def test_a_part_without_a_guide_is_no_error(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=20)
    plan = plan_matte(job(shot, guided(shot, {1020: box(20)}), frames=(1001, 1002)))
    assert not plan.masks.guide
    assert plan.masks.constraint_digests() == {}


def test_an_artists_own_masks_go_over_the_guide(shot: Shot) -> None:
    guide = guided(shot, dict.fromkeys(FRAMES, box(20)))
    write_image(shot.folder / "in.exr", box(0, 8)[..., None], ("Y",), oiio.FLOAT)
    write_image(shot.folder / "out.exr", box(28, 8)[..., None], ("Y",), oiio.FLOAT)
    own = ObjectOptions(
        inside=str(shot.folder / "in.exr"), outside=str(shot.folder / "out.exr"), guide=guide, guide_band=BAND
    )
    made = alphas(shot, job(shot, guide, objects=(own,)))
    for frame in FRAMES[1:]:
        assert (made[frame][box(0, 8) == 1] == 1).all()
        assert not made[frame][box(28, 8) == 1].any()


def test_files_say_the_guide(shot: Shot) -> None:
    run(shot, job(shot, guided(shot, dict.fromkeys(FRAMES, box(20)))))
    spec = oiio.ImageBuf(str(shot.out / "a.1003.exr")).spec()
    assert spec.getattribute("matanyone:guides") == f"subject=rough.####.exr band {BAND}"


def test_guides_that_cannot_be_are_refused_before_work(shot: Shot) -> None:
    guide = guided(shot, dict.fromkeys(FRAMES, box(20)))
    for wrong, error in (
        (job(shot, str(shot.mask)), MaskError),
        (job(shot, str(shot.folder / "nothing.####.exr")), Exception),
        (job(shot, guided(shot, {2001: box(20)}, "others")), MaskError),
        (job(shot, guide, band=0), SettingError),
        (job(shot, guide, band=5000), SettingError),
    ):
        with pytest.raises(error):
            plan_matte(wrong)
    write_image(shot.folder / "rough.1004.exr", np.ones((8, 8, 1)), ("Y",), oiio.FLOAT)
    with pytest.raises(MaskError, match=r"rough\.1004"):
        plan_matte(job(shot, guide))
    assert not shot.out.exists()


# ------------------------------------------------------------------------------------------------ the ways in


def test_without_a_mask_the_best_frame_of_the_guide_is_the_key(shot: Shot, tmp_path: Path) -> None:
    masks = {1002: box(22, 12), 1003: box(20), 1004: box(20), 1005: box(20)}
    guide = guided(shot, masks)
    asked = job_of_call(shot.plate, None, "o.####.exr", {}, guide, 3)
    assert asked.keys == (KeyMask(guide, (1004,)),)
    assert asked.objects == (ObjectOptions(guide=guide, guide_band=3),)
    file = shot.folder / "sh.json"
    command = shot.arguments("--guide", guide, "--guide-band", "3", "--save-job", str(file))
    del command[command.index("--mask") : command.index("--mask") + 2]
    assert main(command) == 0
    said = json.loads(file.read_text())["job"]
    assert (said["mask"], said["mask_frame"]) == (guide, 1004)
    assert said["objects"] == [{"guide": guide, "guide_band": 3}]
    assert main(["run", str(file)]) == 0
    here = files(shot.out)
    assert len(here) == 6
    said["out"] = str(tmp_path / "remote" / "alpha.####.exr")
    file.write_text(json.dumps({"format": "matanyone-job", "version": 1, "job": said}))
    with running(tmp_path, "--root", str(tmp_path)) as engine:
        assert main(["run", str(file), "--endpoint", str(engine.file)]) == 0
    assert files(tmp_path / "remote") == here


@pytest.mark.parametrize(("clear", "key"), [(1.0, 1003), (0.6, 1005)])
def test_a_grey_frame_of_a_guide_is_a_key_only_where_no_frame_is_whiter(tmp_path: Path, clear: float, key: int) -> None:
    """A tracker leaves grey what it is not sure of: as a key, it would be a half transparent subject."""
    shot = make_shot(tmp_path)
    grey = 0.6 * box(20, 30)
    white = {1001: clear * box(26), 1002: clear * box(20), 1003: clear * box(20)}
    guide = guided(shot, {**white, 1004: grey, 1005: grey, 1006: grey})
    assert with_keys_of_guides((), {SUBJECT: guide}, None) == (KeyMask(guide, (key,)),)
    assert with_keys_of_guides((), {SUBJECT: guide}, (1004, 1005)) == (KeyMask(guide, (1005,)),)


def test_no_mask_and_no_guide_is_an_error_that_says_both(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    command = shot.arguments()
    del command[command.index("--mask") : command.index("--mask") + 2]
    assert main(command) == 2
    assert "--guide" in capsys.readouterr().err
    assert main(shot.arguments("--guide-band", "4")) == 2


def test_an_engine_may_not_read_a_guide_outside_of_its_roots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "elsewhere"
    guide = guided(make_shot(other), dict.fromkeys(FRAMES, box(20)))
    home = make_shot(tmp_path / "home")
    with running(tmp_path, "--root", str(home.folder)) as engine:
        assert main([*home.arguments("--guide", guide), "--endpoint", str(engine.file)]) == 2
        assert not home.out.exists()
    assert "elsewhere/rough" in capsys.readouterr().err
