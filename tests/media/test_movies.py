# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media import high_bit_depth_movies, movies
from matanyone_engine.media.movies import Movie
from matanyone_engine.media.plates import check_plates, open_plate
from matanyone_engine.media.sequence import select_frames

FRAMES = 12


def make_movie(path: Path, codec: str = "FFV1", rate: float = 24.0) -> Path:
    """Frame n is 64x48 of the BGR value (10 n, 5 n, 200)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, (64, 48))
    assert writer.isOpened()
    for frame in range(1, FRAMES + 1):
        writer.write(np.full((48, 64, 3), (10 * frame, 5 * frame, 200), dtype=np.uint8))
    writer.release()
    return path


def frame_in(rgb: np.ndarray) -> int:
    return round(float(rgb[..., 2].mean()) * 25.5)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "FFV1"), ("ü [1] b.mkv", "FFV1"), ("c.mov", "png "), ("d.mp4", "mp4v")]
)
def test_frames_are_numbered_from_one_and_arrive_in_order(tmp_path: Path, name: str, codec: str) -> None:
    movie = Movie(make_movie(tmp_path / "dir é" / name, codec))
    assert movie.frames == tuple(range(1, FRAMES + 1))
    assert movie.missing == ()
    assert [frame_in(movie.read(frame).rgb) for frame in movie.frames] == list(movie.frames)


def test_values_are_rgb_between_0_and_1(tmp_path: Path) -> None:
    plate = Movie(make_movie(tmp_path / "a.avi")).read(2)
    assert plate.rgb.shape == (48, 64, 3)
    assert plate.rgb.dtype == np.float32
    np.testing.assert_allclose(plate.rgb.mean(axis=(0, 1)) * 255, [200, 10, 20], atol=2)


def test_any_order_gives_the_same_frames(tmp_path: Path) -> None:
    movie = Movie(make_movie(tmp_path / "a.avi"))
    assert [frame_in(movie.read(frame).rgb) for frame in (5, 6, 9, 2, 2, 12, 1)] == [5, 6, 9, 2, 2, 12, 1]


@pytest.mark.parametrize("deep", [True, False])
def test_reading_backwards_keeps_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool) -> None:
    """A mask on the last frame has the whole movie read backwards."""
    monkeypatch.setattr(high_bit_depth_movies, "is_available", lambda: deep)
    movie = Movie(make_movie(tmp_path / "a.avi"))
    monkeypatch.setattr(movies, "_KEPT_BYTES", 3 * 6 * 64 * 48)
    starts, start = [], movie._start
    monkeypatch.setattr(movie, "_start", lambda: (starts.append(1), start())[1])
    back = list(reversed(movie.frames))
    assert [frame_in(movie.read(frame).rgb) for frame in back] == back
    assert len(starts) == FRAMES // 4
    assert len(movie._kept) == 0
    assert [frame_in(movie.read(frame).rgb) for frame in (7, 6, 9, 8, 12)] == [7, 6, 9, 8, 12]


def test_the_first_frame_can_have_another_number(tmp_path: Path) -> None:
    movie = open_plate(make_movie(tmp_path / "a.mov", "png "), first_movie_frame=1001)
    assert movie.frames == tuple(range(1001, 1001 + FRAMES))
    assert frame_in(movie.read(1003).rgb) == 3


def test_the_header(tmp_path: Path) -> None:
    header = Movie(make_movie(tmp_path / "a.avi", rate=24000 / 1001)).header(1)
    assert header.resolution == (64, 48)
    assert header.fps == Fraction(24000, 1001)
    assert header.pixel_aspect == 1.0


def test_a_frame_beyond_the_end(tmp_path: Path) -> None:
    movie = Movie(make_movie(tmp_path / "a.avi"))
    for frame in (0, FRAMES + 1):
        with pytest.raises(PlateError, match=f"from 1 to {FRAMES}"):
            movie.read(frame)
    with pytest.raises(PlateError, match="13"):
        select_frames(movie, (12, 13), "error")


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "FFV1"), ("a.avi", "MJPG"), ("a.mov", "png ")])
def test_a_movie_that_was_cut_off(tmp_path: Path, name: str, codec: str) -> None:
    path = make_movie(tmp_path / name, codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PlateError, match="a movie that can be read to its end"):
        Movie(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\0" * 4000])
def test_a_file_that_is_not_a_movie_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(PlateError, match=r"a\.mp4"):
        open_plate(path)


def test_no_such_movie(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="no such file"):
        open_plate(tmp_path / "none.mov")


def test_a_movie_is_checked_like_any_plate(tmp_path: Path) -> None:
    movie = open_plate(make_movie(tmp_path / "a.avi"))
    assert check_plates(movie, movie.frames).resolution == (64, 48)
    assert movie.paths(movie.frames) == [tmp_path / "a.avi"]
    assert (movie.name, movie.suffix, movie.padding) == ("a.avi", ".avi", 4)
