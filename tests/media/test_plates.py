# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media.plates import check_plates, open_plate

Write = Callable[..., Path]


def write_frames(write_image: Write, frames: range, name: str = "p.{:04d}.exr") -> None:
    """Frame n holds the value n in every pixel, so that no frame can pass for another."""
    for frame in frames:
        write_image(name.format(frame), np.full((4, 6, 3), frame, dtype=np.float32))


def test_every_frame_comes_under_its_own_number(write_image: Write, tmp_path: Path) -> None:
    write_frames(write_image, range(1001, 1006), "ä b [1]/sh010.v2.{:04d}.exr")
    (tmp_path / "ä b [1]" / "sh010.v2.1003.exr").unlink()
    plate = open_plate(tmp_path / "ä b [1]")
    assert plate.frames == (1001, 1002, 1004, 1005)
    assert plate.missing == (1003,)
    assert (plate.padding, plate.suffix, plate.name) == (4, ".exr", "sh010.v2.####.exr")
    assert [int(plate.read(frame).rgb.max()) for frame in plate.frames] == [1001, 1002, 1004, 1005]
    assert plate.paths((1002,)) == [tmp_path / "ä b [1]" / "sh010.v2.1002.exr"]


def test_one_file_alone(write_image: Write, tmp_path: Path) -> None:
    write_frames(write_image, range(1001, 1004))
    plate = open_plate(tmp_path / "p.1002.exr")
    assert plate.frames == (1002,)
    assert plate.read(1002).rgb.max() == 1002


def test_whole_frames_of_one_size_pass(write_image: Write, tmp_path: Path) -> None:
    write_frames(write_image, range(1, 4))
    plate = open_plate(tmp_path)
    heard: list[tuple[int, int]] = []
    assert check_plates(plate, plate.frames, lambda done, of: heard.append((done, of))).resolution == (6, 4)
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_data_windows_may_vary_where_the_display_window_does_not(write_image: Write, tmp_path: Path) -> None:
    for frame in range(1, 4):
        pixels = np.ones((frame, 5, 3), dtype=np.float32)
        write_image(f"p.{frame}.exr", pixels, data_at=(-frame, frame), display=(0, 0, 8, 6))
    plate = open_plate(tmp_path)
    check_plates(plate, plate.frames)
    assert {plate.read(frame).rgb.shape for frame in plate.frames} == {(6, 8, 3)}


def test_a_frame_of_another_size_is_named(write_image: Write, tmp_path: Path) -> None:
    write_frames(write_image, range(1, 4))
    write_image("p.0002.exr", np.zeros((4, 7, 3), dtype=np.float32))
    plate = open_plate(tmp_path)
    with pytest.raises(PlateError, match=r"6x4.*7x4 at frame 2"):
        check_plates(plate, plate.frames)
    check_plates(plate, (1, 3))


@pytest.mark.parametrize(("suffix", "pixel_format"), [(".exr", "half"), (".png", "uint16"), (".dpx", "uint16")])
def test_a_truncated_frame_is_found_before_work_starts(
    write_image: Write, tmp_path: Path, suffix: str, pixel_format: str
) -> None:
    noise = np.random.default_rng(0).random((40, 60, 3), dtype=np.float32)
    paths = [write_image(f"p.{frame:04d}{suffix}", noise, pixel_format) for frame in range(1, 4)]
    paths[2].write_bytes(paths[2].read_bytes()[:-200])
    plate = open_plate(tmp_path)
    with pytest.raises(PlateError, match=paths[2].name):
        check_plates(plate, plate.frames)


def test_a_nan_is_found_before_work_starts(write_image: Write, tmp_path: Path) -> None:
    write_frames(write_image, range(1, 4))
    pixels = np.zeros((4, 6, 3), dtype=np.float32)
    pixels[1, 2] = np.nan
    write_image("p.0002.exr", pixels)
    plate = open_plate(tmp_path)
    with pytest.raises(PlateError, match=r"p\.0002\.exr.*x=2 y=1"):
        check_plates(plate, plate.frames)
