# SPDX-License-Identifier: Apache-2.0
"""Views, parts and layers: stereo files as Nuke, Blender and the OpenEXR documents lay them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from matanyone_engine.errors import MaskError, PlateError
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.images import check_ends, read_header, read_plate, read_views
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.plates import check_plates, open_plate

SIZE = (4, 6)


def plane(value: float) -> np.ndarray:
    return np.full(SIZE, value, np.float16)


def write_single(path: Path, layers: Mapping[str, float], views: list[str] | None = None) -> Path:
    """layers: 'beauty.right.' -> the value of its R, G and B."""
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION}
    if views:
        header["multiView"] = views
    OpenEXR.File(header, {f"{layer}{c}": plane(value) for layer, value in layers.items() for c in "RGB"}).write(
        str(path)
    )
    return path


def write_parts(path: Path, *parts: tuple[str, str | None, Mapping[str, float]]) -> Path:
    """parts: (name, view, layer -> value)."""
    made = []
    for name, view, layers in parts:
        header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION}
        if view:
            header["view"] = view
        channels = {f"{layer}{c}": plane(value) for layer, value in layers.items() for c in "RGB"}
        made.append(OpenEXR.Part(header, channels, name))
    OpenEXR.File(made).write(str(path))
    return path


def value(path: Path, **wanted: str) -> float:
    """The value of the picture that is chosen, once it is the same everywhere."""
    selection = Selection(**wanted)
    plate = read_plate(path, selection)
    check_ends(path, selection)
    assert (plate.header.view, plate.header.part, plate.header.layer) == (
        read_header(path, selection).view,
        plate.header.part,
        plate.header.layer,
    )
    (only,) = set(plate.rgb.ravel().tolist())
    return float(only)


def test_a_stereo_file_in_one_part(tmp_path: Path) -> None:
    """The default view has plain names, the other one its name before the component (OpenEXR's multi-view rules)."""
    path = write_single(
        tmp_path / "s.exr", {"": 1, "right.": 2, "beauty.": 3, "beauty.right.": 4}, views=["left", "right"]
    )
    assert read_views(path) == ["left", "right"]
    assert value(path) == 1
    assert read_header(path).view == "left"
    assert value(path, view="left") == 1
    assert value(path, view="right") == 2
    assert value(path, view="right", layer="beauty") == 4
    assert value(path, layer="beauty") == 3
    with pytest.raises(PlateError, match=r"--view centre.*|centre") as caught:
        value(path, view="centre")
    assert "--view left" in str(caught.value)
    assert "--view right" in str(caught.value)


def test_a_stereo_file_whose_views_are_all_named(tmp_path: Path) -> None:
    path = write_single(tmp_path / "b.exr", {"right.": 2, "left.": 1}, views=["right", "left"])
    assert value(path) == 2
    assert value(path, view="left") == 1


def test_a_stereo_file_in_parts_does_not_say_which_is_first(tmp_path: Path) -> None:
    path = write_parts(tmp_path / "p.exr", ("rgba.left", "left", {"": 1}), ("rgba.right", "right", {"": 2}))
    assert read_views(path) == ["left", "right"]
    assert value(path, view="right") == 2
    assert value(path, part="rgba.left") == 1
    with pytest.raises(PlateError, match="one picture") as caught:
        read_plate(path)
    assert all(f"--view {view}" in str(caught.value) for view in ("left", "right"))
    with pytest.raises(PlateError):
        value(path, view="left", part="rgba.right")


def test_parts_and_layers_without_views(tmp_path: Path) -> None:
    path = write_parts(tmp_path / "q.exr", ("beauty", None, {"": 1}), ("diffuse", None, {"diffuse.": 2, "raw.": 3}))
    assert value(path) == 1  # plain R, G, B go before layers
    assert value(path, part="beauty", layer="rgba") == 1
    assert value(path, layer="raw") == 3
    with pytest.raises(PlateError, match="one picture"):
        value(path, part="diffuse")
    two = write_parts(tmp_path / "r.exr", ("a", None, {"": 1}), ("b", None, {"": 2}))
    with pytest.raises(PlateError, match="--part a; --part b"):
        read_plate(two)
    layers = write_single(tmp_path / "l.exr", {"a.": 1, "b.": 2})
    with pytest.raises(PlateError, match="--layer a; --layer b"):
        read_plate(layers)


def test_a_file_without_views_is_no_view(tmp_path: Path) -> None:
    """But for one that was chosen by %V in its name."""
    path = write_single(tmp_path / "plain.exr", {"": 1})
    assert read_views(path) == []
    with pytest.raises(PlateError, match="--view left"):
        read_plate(path, Selection(view="left"))
    assert read_plate(path, Selection(view="left", by_path=True)).rgb.max() == 1
    other = write_single(tmp_path / "other.exr", {"": 1}, views=["right", "mono"])
    with pytest.raises(PlateError):
        read_plate(other, Selection(view="left", by_path=True))


def test_a_frame_of_another_default_view_is_found_before_work_starts(tmp_path: Path) -> None:
    write_single(tmp_path / "s.1.exr", {"": 1, "right.": 2}, views=["left", "right"])
    write_single(tmp_path / "s.2.exr", {"": 2, "left.": 1}, views=["right", "left"])
    plate = open_plate(tmp_path / "s.#.exr")
    with pytest.raises(PlateError, match="view right at frame 2"):
        check_plates(plate, plate.frames)
    named = open_plate(tmp_path / "s.#.exr", wanted=Selection(view="right"))
    check_plates(named, named.frames)
    assert [named.read(frame).rgb.max() for frame in (1, 2)] == [2, 2]


def test_the_mask_is_that_of_the_view(tmp_path: Path) -> None:
    path = write_single(tmp_path / "m.exr", {"": 0.25, "right.": 0.5}, views=["left", "right"])
    assert read_mask(path, SIZE[::-1]).max() == 0.25
    assert read_mask(path, SIZE[::-1], "right").max() == 0.5
    with pytest.raises(MaskError, match="left, right"):
        read_mask(path, SIZE[::-1], "centre")
    parts = write_parts(tmp_path / "n.exr", ("l", "left", {"": 0.25}), ("r", "right", {"": 0.5}))
    assert read_mask(parts, SIZE[::-1], "right").max() == 0.5
    with pytest.raises(MaskError, match="a view to be named"):
        read_mask(parts, SIZE[::-1])
    plain = write_single(tmp_path / "o.exr", {"": 0.75})
    assert read_mask(plain, SIZE[::-1], "right").max() == 0.75
