# SPDX-License-Identifier: Apache-2.0
"""What a run will do, from two values; and whether a rendered file has changed. No Nuke, no engine."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np
import OpenImageIO as oiio
import pytest
from engine_words import left_in
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
        for name in ("exr", "guide_keys", "jobs", "record", "progress", "script", "bridge"):
            importlib.import_module("matanyone_nuke." + name)
        return importlib.import_module("matanyone_nuke.plan")
    finally:
        sys.path.remove(str(folder))


def beside(addon: Any, name: str) -> Any:
    """Another module of the same add-on."""
    return sys.modules[addon.__name__.replace("plan", name)]


def frames_of(addon: Any) -> Any:
    return beside(addon, "frames")


def job_of(addon: Any, planned: Any, chunk: int) -> Any:
    return beside(addon, "jobs").job_of(planned, planned.chunks[chunk], planned.views[0])


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
    assert frames_of(addon).parse_frames(text) == frames
    assert frames_of(addon).parse_frames(frames_of(addon).describe_frames(frames)) == frames


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,,2", "1-5x0", "1-9999999999"])
def test_frame_lists_that_are_none(addon: Any, text: str) -> None:
    with pytest.raises(addon.PlanError, match="frames such as"):
        frames_of(addon).parse_frames(text)


@pytest.mark.parametrize(
    ("pattern", "frame", "file"),
    [("a.%04d.exr", 7, "a.0007.exr"), ("a.####.exr", -10, "a.-0010.exr"), ("a_v2.%05d.exr", 123456, "a_v2.123456.exr")],
)
def test_file_names(addon: Any, pattern: str, frame: int, file: str) -> None:
    assert frames_of(addon).frame_file(pattern, frame) == file


def test_a_plate_is_rendered_from_the_key_on_and_handed_over_while_it_is(addon: Any, scene: Any) -> None:
    planned = addon.plan_run(addon.Settings(), scene)
    spans = [(each.exports[0].frames[0], each.exports[0].frames[-1]) for each in planned.chunks]
    assert spans == [(1050, 1059), (1060, 1079), (1080, 1100), (1001, 1049)]
    rendered = [frame for chunk in planned.chunks for frame in chunk.exports[0].frames]
    assert sorted(rendered) == list(range(1001, 1101)), "each once"
    assert [len(each.frames) for each in planned.chunks] == [10, 30, 51, 100], "asked for so far"
    job = job_of(addon, planned, -1)
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
        job_of(addon, planned, 0)

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


# ---------------------------------------------------------------------------------------------- objects and masks


def masks_of(planned: Any) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(mask.object, Path(mask.file).name, mask.frames) for mask in planned.masks]


def test_distractors_are_followed_and_not_delivered(addon: Any, scene: Any) -> None:
    there = dataclasses.replace(scene, mask_layers=("rgba", "double", "crowd"))
    job = job_of(addon, addon.plan_run(addon.Settings(distractors="double, crowd"), there), -1)
    assert [(key.object, Path(key.file).name) for key in job.keys] == [
        ("subject", "mask_subject.%04d.exr"),
        ("double", "mask_double.%04d.exr"),
        ("crowd", "mask_crowd.%04d.exr"),
    ]
    assert [(each.name, each.distractor) for each in job.objects] == [("double", True), ("crowd", True)]
    exports = addon.plan_run(addon.Settings(distractors="double"), there).chunks[0].exports
    assert [each.channel for each in exports if each.what == "mask"] == ["rgba.alpha", "double.alpha"]
    with pytest.raises(addon.PlanError, match="Correct 'distractors'"):
        addon.plan_run(addon.Settings(distractors="trible"), there)
    with pytest.raises(addon.PlanError, match="each name once"):
        addon.plan_run(addon.Settings(objects="crowd", distractors="crowd"), there)


def test_a_correction_goes_before_a_first_mask_and_that_before_the_roto(addon: Any, scene: Any) -> None:
    there = dataclasses.replace(
        scene, mask_keys=(1001, 1050, 1080), first_masks=(("subject", (1050, 1060)),), corrections_layers=("rgba",)
    )
    planned = addon.plan_run(addon.Settings(corrected="1060, 1080"), there)
    assert masks_of(planned) == [
        ("subject", "corrections_subject.%04d.exr", (1060, 1080)),
        ("subject", "subject.####.exr", (1050,)),
        ("subject", "mask_subject.%04d.exr", (1001,)),
    ]
    assert planned.keys == (1001, 1050, 1060, 1080)
    assert planned.masks[1].file == "/shot/matanyone/abc/first_masks/subject.####.exr"
    rendered = [(each.what, each.frames) for each in planned.chunks[0].exports if each.what != "plate"]
    assert rendered == [("corrections", (1060, 1080)), ("mask", (1001,))]


def test_a_first_mask_is_enough_without_a_roto(addon: Any, scene: Any) -> None:
    bare = dataclasses.replace(scene, mask_layers=None, mask_keys=())
    with pytest.raises(addon.PlanError, match="make a first mask under Masks"):
        addon.plan_run(addon.Settings(), bare)
    planned = addon.plan_run(addon.Settings(), dataclasses.replace(bare, first_masks=(("subject", (1010,)),)))
    assert masks_of(planned) == [("subject", "subject.####.exr", (1010,))]
    with pytest.raises(addon.PlanError, match="input 'corrections'"):
        addon.plan_run(addon.Settings(corrected="1020"), bare)
    stereo = dataclasses.replace(
        bare, first_masks=(("subject", (1010,)),), views=("left", "right"), matte="/shot/abc/alpha.%V.%04d.exr"
    )
    with pytest.raises(addon.PlanError, match="masks for each view"):
        addon.plan_run(addon.Settings(), stereo)


def test_layers_beside_the_matte_are_asked_for(addon: Any, scene: Any) -> None:
    plain = addon.plan_run(addon.Settings(), scene)
    assert (job_of(addon, plain, 0).delivery.foreground, job_of(addon, plain, 0).delivery.split) == (False, None)
    assert beside(addon, "jobs").layers_made(plain) == ()
    rich = addon.plan_run(addon.Settings(own_colour=True, core_edge=True, core_inset=3), scene)
    assert (job_of(addon, rich, 0).delivery.foreground, job_of(addon, rich, 0).delivery.split) == (True, 3)
    made = ("fg.red", "fg.green", "fg.blue", "core.alpha", "edge.alpha")
    assert beside(addon, "jobs").layers_made(rich) == made


# --------------------------------------------------------------------------------------------------- guides, edges


def test_a_guide_is_rendered_as_far_around_the_frames_as_it_counts(addon: Any, scene: Any) -> None:
    from matanyone_engine.media.guides import LOOKS_AROUND

    assert addon.GUIDE_LOOKS_AROUND == LOOKS_AROUND
    guided = dataclasses.replace(scene, guide_layers=("rgba",))
    planned = addon.plan_run(addon.Settings(guide_band=20), guided, (1043,))
    (guide,) = [each for each in planned.chunks[0].exports if each.what == "guide"]
    assert (guide.frames[0], guide.frames[-1]) == (1043 - 14, 1050 + 14)
    (said,) = job_of(addon, planned, 0).objects
    assert (said.name, said.guide, said.guide_band) == ("subject", guide.file, 20)
    assert guide.file.endswith("alpha_export/guide_subject.%04d.exr")
    whole = addon.plan_run(addon.Settings(), guided)
    (guide,) = [each for each in whole.chunks[0].exports if each.what == "guide"]
    assert (guide.frames[0], guide.frames[-1]) == (1001, 1100)
    assert job_of(addon, whole, 0).objects[0].guide_band is None, "what suits the plate"
    assert job_of(addon, addon.plan_run(addon.Settings(guide_band=20), scene), 0).objects == (), "no guide, no band"


def test_each_object_has_the_guide_of_its_layer(addon: Any, scene: Any) -> None:
    layers = dataclasses.replace(scene, mask_layers=("dog", "hero", "rgba"), guide_layers=("hero",))
    planned = addon.plan_run(addon.Settings(objects="hero dog"), layers)
    assert [(each.name, each.guide) for each in job_of(addon, planned, 0).objects] == [
        ("hero", "/shot/matanyone/abc/alpha_export/guide_hero.%04d.exr")
    ]


def test_an_object_with_a_guide_needs_no_mask(addon: Any, scene: Any) -> None:
    """Its key is a frame of the guide: one that the artist names, else one that is chosen once the guide is rendered.
    Until then nothing can be asked of the engine, so a plate that has to be rendered is rendered whole.
    """
    guided = dataclasses.replace(scene, mask_layers=None, mask_keys=(), guide_layers=("rgba",), plate=None)
    named = addon.plan_run(addon.Settings(keys_from="list", keys="1040"), guided, (1043,))
    assert [(mask.object, mask.file, mask.frames) for mask in named.masks] == [
        ("subject", "/shot/matanyone/abc/alpha_export/guide_subject.%04d.exr", (1040,))
    ]
    assert named.unmasked == ()
    chosen = addon.plan_run(addon.Settings(), guided, (1043,))
    assert (chosen.masks, chosen.unmasked) == ((), ("subject",))
    (chunk,) = chosen.chunks
    for export in chunk.exports:
        assert (export.frames[0], export.frames[-1]) == (1001, 1100), export.what
    with pytest.raises(addon.PlanError, match="a mask of subject"):
        addon.plan_run(addon.Settings(), dataclasses.replace(guided, guide_layers=None))


def test_the_frame_of_a_guide_is_the_one_that_the_engine_chooses(addon: Any, scene: Any, tmp_path: Path) -> None:
    """A disc that grows as it slows down, is grey where it would be best, then is elsewhere for three frames, where it
    is largest; half floats, and a data window that is smaller than the picture.
    """
    from matanyone_engine.jobs.guide_keys import with_keys_of_guides

    y, x = np.mgrid[:90, :320] + 0.5
    for number in range(16):
        away = 9 <= number < 12
        centre, radius = (270.0 if away else 60 + 0.5 * (10 - number) ** 2), (40 if away else 20 + number % 7)
        disc = np.clip(radius - np.hypot(x - centre, y - 45) + 0.5, 0, 1)
        disc *= 0.6 if number in (12, 13, 14) else 1.0
        kind = oiio.HALF if number % 2 else oiio.FLOAT
        image = oiio.ImageBuf(oiio.ImageSpec(oiio.ROI(0, 320, 2, 88, 0, 1, 0, 1), kind))
        image.specmod().full_height, image.specmod().full_y = 90, 0
        image.specmod().channelnames = ("A",)
        image.specmod()["compression"] = "zips"
        image.set_pixels(oiio.ROI.All, disc[2:88, :, None].astype(np.float32))
        assert image.write(str(tmp_path / f"g.{1001 + number}.exr")), image.geterror()
    guide = str(tmp_path / "g.%04d.exr")
    export = addon.Export("guide", "rgba.alpha", guide, tuple(range(1001, 1017)), "subject")
    bare = dataclasses.replace(scene, mask_layers=None, mask_keys=(), guide_layers=("rgba",), input_frames=(1001, 1016))
    plan = dataclasses.replace(addon.plan_run(addon.Settings(), bare), chunks=(addon.Chunk((export,), ()),))
    keyed = beside(addon, "guide_keys").with_keys_of_guides(plan)
    (theirs,) = with_keys_of_guides((), {"subject": guide}, range(1001, 1017))
    assert [(mask.object, mask.file, mask.frames) for mask in keyed.masks] == [("subject", guide, theirs.frames)]
    assert theirs.frames[0] not in (1010, 1011, 1012)
    (tmp_path / "g.1003.exr").write_bytes(b"no picture")
    with pytest.raises(addon.PlanError, match="name the frame of the guide"):
        beside(addon, "guide_keys").with_keys_of_guides(plan)


def test_an_area_reaches_the_engine_and_keeps_the_plate_whole(addon: Any, scene: Any) -> None:
    """An alpha in an area depends on the frame before, which another chunk would not have rendered yet."""
    planned = addon.plan_run(addon.Settings(), dataclasses.replace(scene, area_layers=("rgba",), plate=None), (1043,))
    (chunk,) = planned.chunks
    area = next(each for each in chunk.exports if each.what == "area")
    plate = next(each for each in chunk.exports if each.what == "plate")
    assert area.frames == plate.frames == tuple(range(1042, 1052))
    assert [each.refine_area for each in job_of(addon, planned, 0).objects] == [area.file]


def test_edge_controls_have_the_engines_ranges_and_defaults(addon: Any) -> None:
    from matanyone_engine.media import edges as engine

    ours = beside(addon, "edges")
    assert {edge.field: (edge.least, edge.most) for edge in ours.EDGES} == engine.LIMITS
    assert [edge.field for edge in ours.EDGES] == list(engine.LIMITS), "the order in which they are applied"
    plain = engine.EdgeControls()
    assert {edge.field: edge.default for edge in ours.EDGES} == dataclasses.asdict(plain)
    assert {edge.field: getattr(addon.Settings(), edge.knob) for edge in ours.EDGES} == dataclasses.asdict(plain)


@pytest.mark.parametrize(
    "values",
    [
        {"deflicker": 1.5}, {"despeckle": -1}, {"solidify": 0.96}, {"gamma": 0.0}, {"edge_grow": -101.0},
        {"edge_blur": float("nan")}, {"black_clip": 0.6, "white_clip": 0.6}, {"black_clip": 0.595, "white_clip": 0.6},
        {"black_knee": 0.6, "white_knee": 0.5},
    ],
)  # fmt: skip
def test_edge_controls_that_the_engine_refuses_are_refused_before_a_render(
    addon: Any, scene: Any, values: dict[str, float]
) -> None:
    from matanyone_engine.errors import SettingError
    from matanyone_engine.media import edges as engine

    with pytest.raises(SettingError):
        engine.check_edges(engine.EdgeControls(**values))
    knobs = {edge.field: edge.knob for edge in beside(addon, "edges").EDGES}
    with pytest.raises(addon.PlanError, match="on the tab Edges"):
        addon.plan_run(addon.Settings(**{knobs[name]: value for name, value in values.items()}), scene)


def test_edge_controls_reach_the_engine(addon: Any, scene: Any) -> None:
    values = {"despeckle": 9, "black_clip": 0.1, "white_clip": 0.95, "gamma": 1.2, "edge_grow": -0.5, "edge_blur": 2.0}
    knobs = {edge.field: edge.knob for edge in beside(addon, "edges").EDGES}
    planned = addon.plan_run(addon.Settings(**{knobs[name]: value for name, value in values.items()}), scene)
    plain = job_of(addon, addon.plan_run(addon.Settings(), scene), 0).edges
    assert job_of(addon, planned, 0).edges == dataclasses.replace(plain, **values)
    assert plain == type(plain)(), "identity by default"


def test_two_nodes_give_two_objects_edges_of_their_own_and_keep_them_apart(addon: Any, scene: Any) -> None:
    """Each node names its own object, and the other one as a distractor: docs/nuke.md says so."""
    layers = dataclasses.replace(scene, mask_layers=("hero", "dog", "rgba"))
    hero = addon.plan_run(addon.Settings(objects="hero", distractors="dog", edge_grow=-1.0), layers)
    dog = addon.plan_run(addon.Settings(objects="dog", distractors="hero", edge_gamma=0.7), layers)
    first, second = job_of(addon, hero, 0), job_of(addon, dog, 0)
    assert (first.edges.edge_grow, first.edges.gamma, second.edges.edge_grow, second.edges.gamma) == (-1, 1, 0, 0.7)
    assert [(each.name, each.distractor) for each in first.objects] == [("dog", True)]
    assert [(each.name, each.distractor) for each in second.objects] == [("hero", True)]
    assert (first.delivery.layout, second.delivery.layout) == ("layers", "layers")


def test_deflicker_has_a_rendered_plate_whole_and_its_neighbours(addon: Any, scene: Any) -> None:
    """A frame is compared with the next one: a chunk that ends before that would give another matte."""
    steady = addon.Settings(edge_deflicker=1.0)
    (chunk,) = addon.plan_run(steady, scene).chunks
    assert (chunk.exports[0].frames, chunk.frames) == (tuple(range(1001, 1101)),) * 2
    (chunk,) = addon.plan_run(steady, scene, (1043,)).chunks
    assert (chunk.exports[0].frames, chunk.frames) == (tuple(range(1042, 1052)), (1043,))
    (chunk,) = addon.plan_run(steady, dataclasses.replace(scene, mask_keys=(1100,)), (1100,)).chunks
    assert chunk.exports[0].frames == (1099, 1100), "nothing beyond the range"


# ---------------------------------------------------------------------------------------------------- first masks


def test_a_first_mask_is_asked_for_in_the_engines_pixels(addon: Any, scene: Any) -> None:
    jobs = beside(addon, "jobs")
    here = dataclasses.replace(scene, frame=1030)
    marks = jobs.Marks(box=(100, 80, 500, 1000), points=((300.0, 540.5, True), (20.0, 10.0, False)))
    planned = jobs.plan_mask(addon.Settings(exposure=1.0), here, marks)
    assert planned.ask.box == (100, 80, 500, 1000), "1080 lines: 1000 from below is 80 from above"
    assert [(stroke.points, stroke.subject) for stroke in planned.ask.strokes] == [
        (((300.0, 539.5),), True),
        (((20.0, 1070.0),), False),
    ]
    assert (planned.ask.out, planned.ask.frame) == ("/shot/matanyone/abc/first_masks/subject.1030.exr", 1030)
    assert (planned.ask.colorspace, planned.ask.exposure) == ("ACEScg", 1.0)
    assert [(each.what, each.frames) for each in planned.exports] == [("plate", (1030,))], "a plate that is rendered"
    files = addon.PlateFiles("/shot/plate.%04d.exr", 1001, 1100, "linear")
    from_disk = jobs.plan_mask(addon.Settings(), dataclasses.replace(here, plate=files), marks)
    assert (from_disk.exports, from_disk.ask.plate) == ((), files.file)


def test_a_first_mask_that_cannot_be_made_is_refused(addon: Any, scene: Any) -> None:
    jobs = beside(addon, "jobs")
    with pytest.raises(addon.PlanError, match="a box or a point on the subject"):
        jobs.plan_mask(addon.Settings(), scene, jobs.Marks(points=((1.0, 1.0, False),)))
    with pytest.raises(addon.PlanError, match="Correct 'for object'"):
        jobs.plan_mask(addon.Settings(), scene, jobs.Marks(box=(0, 0, 9, 9), object="cat"))


# ------------------------------------------------------------------------------------------ record, progress, curve


def test_a_record_of_version_0_1_0_still_holds(addon: Any) -> None:
    record = beside(addon, "record")
    text = "state=finished; frames=1001-1006; written=6; unchanged=0; engine=0.1.0; settings=27fd0705ab314f7c"
    said = record.read_record(text)
    then = addon.Settings(
        warm_up=4, mask_grow=2, region="box", quality="720", region_box=(8.0, 0.0, 56.0, 40.0), exposure=0.5
    )
    assert record.staleness(then, said) == "finished: frames 1001-1006, engine 0.1.0"
    for change in ({"warm_up": 5}, {"distractors": "double"}, {"own_colour": True}):
        assert record.staleness(dataclasses.replace(then, **change), said).startswith("stale")


def test_the_status_line_says_how_long_it_will_take(addon: Any) -> None:
    pace, landed = beside(addon, "progress").Pace(), beside(addon, "run").Landed
    assert pace.text(landed(0, "", 3, 9, looking=True), 0.0) == "looking for what has changed: 3 of 9 files"
    assert pace.text(landed(1001, "", 0, 60), 1.0) == "frame 1001 on the way from the key frame; 0 of 60 done"
    assert pace.text(landed(1001, "a", 1, 60), 10.0) == "frame 1001: 1 of 60 done"
    assert pace.text(landed(1002, "a", 2, 60), 11.5) == (
        "frame 1002: 2 of 60 done, 1.5 s a frame, about 1 min 27 s left"
    )
    assert [beside(addon, "progress").duration(each) for each in (0.42, 12.4, 5000.0)] == [
        "0.4 s",
        "12 s",
        "1 h 23 min",
    ]


def test_frames_that_nobody_tells_of_are_done_when_their_job_is(addon: Any) -> None:
    """News of a frame may be lost with a connection, and frames that are left as they are come without any."""
    run, bridge = beside(addon, "run"), beside(addon, "bridge")
    shown: list[Any] = []

    class Stage(run.Stage):  # type: ignore[misc, name-defined]
        show, note = shown.append, lambda self, text: None

        def cancelled(self) -> bool:
            return False

    class LostNews(bridge.Link):  # type: ignore[misc, name-defined]
        def ask(self, job: Any) -> Any:
            return bridge.say.Accepted("s", 6, "lin_rec709", "mini")

        def events(self, poll_s: float = 0.25) -> Iterator[Any]:
            yield from (bridge.say.Progress("s", frame, "/a.exr", 1, 6) for frame in range(1001, 1006))
            yield bridge.say.JobEnded("s", next(ends), 6)

    ends = iter(("finished", "cancelled"))
    for last in ((6, 6), (5, 6)):
        chunk = MagicMock(frames=tuple(range(1001, 1007)))
        going = run.Run(MagicMock(frames=chunk.frames, views=(None,)), LostNews, Stage())
        with patch.object(run, "job_of"):
            going._follow(LostNews(), chunk, None)
        assert (shown[-1].done, shown[-1].of) == last
    pace = beside(addon, "progress").Pace()
    assert pace.text(run.Landed(1006, "", 6, 6, ended=True), 1.0) == "6 of 6 done"


def test_what_is_made_ready_is_a_note_and_no_frame(addon: Any) -> None:
    run, say = beside(addon, "run"), beside(addon, "bridge").say
    noted: list[str] = []

    class Stage(run.Stage):  # type: ignore[misc, name-defined]
        note = noted.append

    going = run.Run(MagicMock(frames=(1001,), views=(None,)), MagicMock(), Stage())
    going._progress(say.Progress("s", 1001, "", 0, 0, preparing="preparing the refine area"), None)
    assert noted == ["preparing the refine area"]


def test_a_mattes_own_confidence_is_read_from_its_header(addon: Any, tmp_path: Path) -> None:
    exr = beside(addon, "exr")
    told = {"matanyone:confidence": "0.412", "matanyone:confidenceWhy": "grey"}
    write_image(tmp_path / "a.exr", np.zeros((8, 8, 1), np.float32), ("A",), **told)
    write_image(tmp_path / "b.exr", np.zeros((8, 8, 1), np.float32), ("A",))
    (tmp_path / "c.exr").write_bytes(b"no picture")
    said = [exr.confidence_of(str(tmp_path / name)) for name in ("a.exr", "b.exr", "c.exr", "none.exr")]
    assert said == [0.412, None, None, None]
    said = [exr.why_of(str(tmp_path / name)) for name in ("a.exr", "b.exr", "c.exr", "none.exr")]
    assert said == ["grey", "", "", ""]


def test_a_line_of_the_companion_is_the_message_it_was(addon: Any) -> None:
    bridge = beside(addon, "bridge")
    say = bridge.say
    sure = (say.ObjectConfidence("hero", 0.4, "edge"), say.ObjectConfidence("dog", 0.9))
    for message in (
        say.Progress("s", 1001, "/a.exr", 1, 9, warnings=("the plate is black",), confidences=sure),
        say.Masked("/m.exr", 1001, "ACEScg", "grabcut", 0.25),
        say.JobEnded("s", "finished", 6),
    ):
        line = json.loads(json.dumps({"say": say.type_name(type(message)), **dataclasses.asdict(message)}))
        assert bridge.message_of(line) == message


def test_an_engine_that_nuke_starts_ends_when_it_has_idled(addon: Any) -> None:
    bridge = beside(addon, "bridge")
    command = bridge.installed_where("", True, "Nuke").start
    assert command[:4] == (sys.executable, "-m", "matanyone_engine", "serve")
    assert command[-2:] == ("--idle-exit", "3600"), "it outlives Nuke, and must not stay for ever"
    assert bridge.installed_where("", False, "Nuke").start == ()
    assert bridge.installed_where("", True, "Nuke", "exact").start == (*command, "--precision", "exact")
    assert bridge.installed_where("", False, "Nuke", "exact").start == ()


def test_the_engines_words_become_the_nodes(addon: Any) -> None:
    """What the engine says of a shot names knobs and inputs, and no option of the command line."""
    in_nuke = beside(addon, "words").in_nuke
    assert left_in(in_nuke) == []
    said = "Ask for frames that the plate has, or leave the others out: --missing skip."
    assert in_nuke(said) == "Ask for frames that the plate has."
    said = "Name the plate's colour space with --colorspace."
    assert in_nuke(said) == "Name the plate's colour space in the knob 'colour space'."


def test_nothing_above_the_line_imports_nuke(addon: Any) -> None:
    assert "nuke" not in sys.modules or not hasattr(beside(addon, "jobs"), "nuke")
    for name in (
        "frames",
        "jobs",
        "panel",
        "plan",
        "progress",
        "record",
        "run",
        "script",
        "shape",
        "exr",
        "bridge",
        "words",
    ):
        text = (Path(addon.__file__).parent / (name + ".py")).read_text()
        assert "import nuke" not in text, name


BEGINNINGS = {"This", "The", "What", "Nuke"}
"""How a sentence about a module or class may begin that is not 'Does something'."""


def test_everything_public_opens_with_a_sentence(addon: Any) -> None:
    """A capital first, a full stop, and a verb: 'Reads ...', 'Return ...', 'What ... is ...'."""
    for path in sorted(Path(addon.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text())
        public = [tree, *(node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))]
        for node in public:
            if getattr(node, "name", "x").startswith("_"):
                continue
            text = ast.get_docstring(node) or ""
            first = re.split(r"\n\n|(?<=[.:]) ", text)[0]
            where = f"{path.name}: {getattr(node, 'name', 'module')}: {first!r}"
            assert re.match(r"[A-Z]", first), where
            assert re.search(r"[.:]$", first), where
            word = first.split()[0]
            assert word in BEGINNINGS or isinstance(node, ast.FunctionDef) or re.fullmatch(r"[A-Z][a-z]+s", word), where
            assert not re.search(r"\b(rivals?|holdouts?|settle[ds]?|papers)\b", text), where
