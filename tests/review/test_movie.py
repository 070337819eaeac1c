# SPDX-License-Identifier: Apache-2.0
"""The review movie read back frame by frame, and the publish file beside it."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from shots import HEIGHT, WIDTH, Shot, make_shot, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.errors import SettingError
from matanyone_engine.review.movie import _STRIP, _write_strip, check_movie, write_movie
from matanyone_engine.review.publish import pattern_of
from matanyone_engine.review.review import RunPictures, find_run, open_plate_of

MISSING = 1003


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """Six frames whose plates are flat colours, one without its alpha."""
    made = make_shot(tmp_path_factory.mktemp("movie"))
    for frame, colour in zip(range(1001, 1007), np.eye(3).repeat(2, axis=0) * 0.8 + 0.1, strict=True):
        pixels = np.broadcast_to(colour.astype(np.float32), (HEIGHT, WIDTH, 3)).copy()
        write_image(made.folder / f"plate.{frame}.exr", pixels, ("R", "G", "B"))
    assert main(made.arguments()) == 0
    made.alpha(MISSING).unlink()
    return made


def frames_of(path: Path) -> list[np.ndarray]:
    """Every picture of a movie as (H, W, 3) 0..1, by the matrix and the range that the stream says."""
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.colorspace == 1
        return [frame.to_ndarray(format="rgb24").astype(np.float32) / 255 for frame in container.decode(video=0)]


@pytest.mark.parametrize(("suffix", "codec", "worst"), [(".mp4", "h264", 0.03), (".mov", "prores", 0.02)])
def test_every_frame_is_there_with_its_colours_and_words(
    shot: Shot, tmp_path: Path, suffix: str, codec: str, worst: float
) -> None:
    run = find_run(str(shot.out))
    heard: list[tuple[int, int]] = []
    movie = write_movie(run, tmp_path / f"r{suffix}", width=64, seen=lambda *at: heard.append(at))
    with av.open(str(movie.path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == codec
        assert Fraction(stream.average_rate) == movie.fps == 24
    shown = frames_of(movie.path)
    assert (len(shown), movie.first, movie.last, heard[-1]) == (6, 1001, 1006, (6, 6))
    assert movie.resolution == (3 * WIDTH, HEIGHT + _STRIP)
    pictures = RunPictures(run, open_plate_of(run, None, []))
    for frame, picture in zip(range(1001, 1007), shown, strict=True):
        if frame == MISSING:
            assert picture[:HEIGHT].max() < 0.15
            continue
        small, _ = pictures.thumbnails(frame, 64)
        for place, sheet in enumerate((small.plate(), small.alpha(), small.over_checker())):
            inside = np.s_[8 : HEIGHT - 8, 64 * place + 8 : 64 * place + 56]  # away from where pictures meet
            own = np.s_[8 : HEIGHT - 8, 8:56]
            assert abs(picture[inside].mean(axis=(0, 1)) - (sheet[own] / 255).mean(axis=(0, 1))).max() < worst
    strips = [picture[HEIGHT:] for picture in shown]
    assert all(strip.max() > 0.4 for strip in strips), "the frame number is burnt in"
    assert min(abs(a - b).max() for a, b in itertools.pairwise(strips)) > 0.2, "and changes"


def test_the_command_writes_movie_and_publish_file(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = {name: tmp_path / name for name in ("page.html", "review.mp4", "publish.json")}
    options = ["--out", str(out["page.html"]), "--movie", str(out["review.mp4"]), "--publish", str(out["publish.json"])]
    assert main(["review", str(shot.out), *options, "--width", "64"]) == 0
    assert "movie   " in capsys.readouterr().err
    facts = json.loads(out["publish.json"].read_text())
    (alphas,) = facts["representations"]
    assert alphas["path"] == (shot.out / "alpha.%04d.exr").as_posix()
    assert alphas["files"] == [f"alpha.{frame}.exr" for frame in (1001, 1002, 1004, 1005, 1006)]
    assert (alphas["ext"], alphas["colorspace"]) == ("exr", "data")
    assert (facts["frame_start"], facts["frame_end"], facts["missing_frames"]) == (1001, 1006, [MISSING])
    assert (facts["fps"], facts["width"], facts["height"]) == (24.0, WIDTH, HEIGHT)
    assert facts["review"]["path"] == out["review.mp4"].as_posix()
    assert facts["plate"]["path"] == shot.plate
    assert facts["model"] == {"name": "toy.safetensors", "licence": "unknown"}
    assert 0 <= facts["lowest_confidence"]["value"] <= 1


def test_without_a_plate_the_alpha_is_shown_alone(shot: Shot, tmp_path: Path) -> None:
    run = find_run(str(shot.out))
    (shot.folder / "plate.1001.exr").rename(shot.folder / "gone.exr")
    try:
        movie = write_movie(run, tmp_path / "r.mp4", width=64)
    finally:
        (shot.folder / "gone.exr").rename(shot.folder / "plate.1001.exr")
    assert movie.notes
    assert frames_of(movie.path)[0][:HEIGHT, :48].max() < 0.15


def test_another_suffix_is_refused_before_any_work(shot: Shot, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"\.mp4 .* or \.mov"):
        check_movie(tmp_path / "review.avi")
    assert main(["review", str(shot.out), "--out", str(tmp_path / "r.html"), "--movie", "review.avi"]) == 2
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("name", "frame", "pattern"),
    [
        ("alpha.1001.exr", 1001, "alpha.%04d.exr"),
        ("sh010_1001_hero.1001.exr", 1001, "sh010_1001_hero.%04d.exr"),
        ("alpha.-010.exr", -10, "alpha.%04d.exr"),
        ("a_00007.tif", 7, "a_%05d.tif"),
        ("still.exr", 1001, "still.exr"),
    ],
)
def test_the_pattern_of_a_file_has_its_digits(name: str, frame: int, pattern: str) -> None:
    assert pattern_of(name, frame) == pattern
    if "%" in pattern:
        assert pattern % frame == name


def test_the_words_of_a_wide_movie_stand_apart(shot: Shot) -> None:
    """Frame number, confidence and the run's name, none over another."""
    sheet = np.zeros((400, 1920, 3), np.uint8)
    _write_strip(sheet, find_run(str(shot.out)), 1001)
    written = (sheet > 90).any(axis=(0, 2))[None].astype(np.uint8)
    blocks = cv2.connectedComponents(cv2.dilate(written, np.ones((1, 17))))[0] - 1
    assert blocks >= 3
    assert not sheet[: 400 - _STRIP].any()
