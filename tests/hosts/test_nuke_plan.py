# SPDX-License-Identifier: Apache-2.0
"""What a run will do, from two values; and whether a rendered file has changed. No Nuke, no engine."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from nuke_host import installed
from shots import write_image

MATTE = "/shot/matanyone/abc/alpha.%04d.exr"


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """matanyone_nuke.plan, its fellows beside it."""
    folder = installed(tmp_path_factory.mktemp("nuke_path"))
    for name in [name for name in sys.modules if name.startswith("matanyone_nuke")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module("matanyone_nuke.exr")
        return importlib.import_module("matanyone_nuke.plan")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def scene(addon: Any) -> Any:
    return addon.Scene(
        matte=MATTE, script="/shot/a.nk", input_frames=(1001, 1100), mask_keys=(1050,), working_space="ACEScg",
        size=(1920, 1080), mask_layers=("rgba",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "frames"),
    [("1001", (1001,)), ("3-5", (3, 4, 5)), ("-2-0", (-2, -1, 0)), ("-5--3", (-5, -4, -3)), ("1-9x4, 2", (1, 2, 5, 9))],
)  # fmt: skip
def test_frame_lists(addon: Any, text: str, frames: tuple[int, ...]) -> None:
    assert addon.parse_frames(text) == frames
    assert addon.parse_frames(addon.describe_frames(frames)) == frames


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,,2", "1-5x0", "1-9999999999"])
def test_frame_lists_that_are_none(addon: Any, text: str) -> None:
    with pytest.raises(addon.PlanError, match="frames such as"):
        addon.parse_frames(text)


@pytest.mark.parametrize(
    ("pattern", "frame", "file"),
    [("a.%04d.exr", 7, "a.0007.exr"), ("a.####.exr", -10, "a.-0010.exr"), ("a_v2.%05d.exr", 123456, "a_v2.123456.exr")],
)
def test_file_names(addon: Any, pattern: str, frame: int, file: str) -> None:
    assert addon.frame_file(pattern, frame) == file


def test_a_plate_is_rendered_from_the_key_on_and_handed_over_while_it_is(addon: Any, scene: Any) -> None:
    planned = addon.plan_run(addon.Settings(), scene)
    spans = [(each.exports[0].frames[0], each.exports[0].frames[-1]) for each in planned.chunks]
    assert spans == [(1050, 1059), (1060, 1079), (1080, 1100), (1001, 1049)]
    rendered = [frame for chunk in planned.chunks for frame in chunk.exports[0].frames]
    assert sorted(rendered) == list(range(1001, 1101)), "each once"
    assert [len(each.frames) for each in planned.chunks] == [10, 30, 51, 100], "asked for so far"
    job = planned.job(planned.chunks[-1], None)
    assert job.plate == "/shot/matanyone/abc/alpha_export/plate.%04d.exr"
    assert job.keys[0].file.endswith("alpha_export/mask_subject.%04d.exr")
    assert (job.keys[0].frames, job.frames[0], job.frames[-1], job.options.colorspace) == (
        (1050,),
        1001,
        1100,
        "ACEScg",
    )
    assert job.options.warm_up_passes is None, "what suits the model"


def test_one_frame_needs_the_plates_from_the_key_to_it(addon: Any, scene: Any) -> None:
    planned = addon.plan_run(addon.Settings(), scene, (1043,))
    assert sorted(frame for chunk in planned.chunks for frame in chunk.exports[0].frames) == list(range(1043, 1051))
    assert [chunk.frames for chunk in planned.chunks] == [(), (1043,)]


def test_files_are_used_where_they_are_what_the_artist_sees(addon: Any, scene: Any) -> None:
    files = addon.PlateFiles("/shot/plate.%04d.exr", 1001, 1100, "ARRI LogC4")
    planned = addon.plan_run(addon.Settings(), dataclasses.replace(scene, plate=files))
    assert (planned.plate, planned.colorspace) == (files.file, "ARRI LogC4")
    assert [export.what for export in planned.chunks[0].exports] == ["mask"]
    for changes in ({"input_frames": (1001, 1101)}, {"views": ("l", "r"), "view": "l"}):
        assert addon.plan_run(addon.Settings(), dataclasses.replace(scene, plate=files, **changes)).plate != files.file
    assert addon.plan_run(addon.Settings(use_files=False), dataclasses.replace(scene, plate=files)).plate != files.file


@pytest.mark.parametrize(
    ("settings", "scene_changes", "expected"),
    [
        ({}, {"script": "", "matte": "./matanyone/a.%04d.exr"}, "a place for the matte"),
        ({}, {"matte": "/shot/alpha.exr"}, "#### or %04d"),
        ({}, {"mask_keys": ()}, "a mask with animation keys"),
        ({"views": "top"}, {}, "views of the script"),
        ({"views": "left right"}, {"views": ("left", "right")}, "%V in 'matte'"),
        ({"objects": "hero"}, {}, "layers with an alpha"),
        ({}, {"working_space": "scene_linear"}, "a colour space by name"),
        ({"region": "box"}, {}, "a box with an inside"),
        ({"frames_from": "list"}, {}, "frames such as"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_rendered(
    addon: Any, scene: Any, settings: dict[str, Any], scene_changes: dict[str, Any], expected: str
) -> None:
    def plan() -> None:
        planned = addon.plan_run(addon.Settings(**settings), dataclasses.replace(scene, **scene_changes))
        planned.job(planned.chunks[0], planned.views[0])

    with pytest.raises(addon.PlanError) as caught:
        plan()
    assert caught.value.expected.startswith(expected)
    assert caught.value.action


@pytest.mark.parametrize(
    ("said", "name"),
    [("ACEScg", "ACEScg"), ("default (ACES - ACEScg)", "ACES - ACEScg"), ("scene_linear (ACEScg)", "ACEScg"),
     ("ARRI LogC3 (EI800)", "ARRI LogC3 (EI800)"), ("default (ARRI LogC3 (EI800))", "ARRI LogC3 (EI800)")],
)  # fmt: skip
def test_names_of_colour_spaces(addon: Any, said: str, name: str) -> None:
    assert addon.space_name(said) == name


def test_a_render_of_the_same_picture_is_known(addon: Any, tmp_path: Path) -> None:
    from matanyone_nuke import exr

    pixels = np.random.default_rng(1).random((12, 16, 1), np.float32)

    def rendered(name: str, values: np.ndarray, **header: Any) -> bytes:
        write_image(tmp_path / name, values, ("A",), oiio.HALF, **header)
        return (tmp_path / name).read_bytes()

    one = rendered("a.exr", pixels, DateTime="2026:01:01 00:00:00")
    assert exr.same_picture(one, rendered("b.exr", pixels, DateTime="2026:01:01 00:00:07"))
    assert not exr.same_picture(one, rendered("c.exr", pixels, DateTime="2026:01:01 00:00:00", PixelAspectRatio=2.0))
    pixels[3, 3] += 0.01
    assert not exr.same_picture(one, rendered("d.exr", pixels, DateTime="2026:01:01 00:00:00"))
    for damaged in (b"", one[:40], b"nothing", one[:-1]):
        assert not exr.same_picture(one, damaged)
