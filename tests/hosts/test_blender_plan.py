# SPDX-License-Identifier: Apache-2.0
"""The parts of the Blender extension that need no Blender: what is asked for, the network thread, whole files."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from blender_extension import NAME, import_extension
from engine_words import left_in
from engines import Engine, running
from flamenco_manager import Manager
from hypothesis import example, given
from hypothesis import strategies as st
from shots import Shot, make_shot, read_image, write_image

import matanyone_engine.jobs.guide_keys as guide_keys_of_the_engine
import matanyone_engine.media.guides as guides_of_the_engine
from matanyone_engine.cli.main import main
from matanyone_engine.errors import SettingError
from matanyone_engine.media.color_spaces import known_space
from matanyone_engine.media.edges import LEAST_RANGE, LIMITS, EdgeControls, check_edges
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import Delivery, FrameContent, compose, layer_names
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.mattes import write_picture
from matanyone_engine.media.output_names import with_tokens

SIZE = (64, 48)


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Module of the extension, by name."""
    import_extension(tmp_path_factory.mktemp("extension"))
    return lambda name: importlib.import_module(f"{NAME}.{name}")


@pytest.fixture(scope="module")
def plan(addon: Callable[[str], Any]) -> Any:
    return addon("plan")


def state_of(plan: Any, **change: Any) -> Any:
    return dataclasses.replace(
        plan.ShotState("sh010", "/p/plate.####.exr", "/o/{shot}.####.exr", (plan.KeyState(1001, "/m.exr"),)), **change
    )


# ------------------------------------------------------------------------------------------------ names and frames


@pytest.mark.parametrize(
    ("path", "pattern", "frame"),
    [
        ("/p/plate.1001.exr", "/p/plate.####.exr", 1001),
        ("/p/sh01_v002.0044.left2.exr", "/p/sh01_v002.####.left2.exr", 44),
        ("/p/plate1001.exr", "/p/plate####.exr", 1001),
        ("C:\\p\\a.-0010.exr", "C:\\p\\a.####.exr", -10),
        ("/p/100/plate_v003.exr", None, None),
        ("/p/take.1001.mov", None, None),
    ],
)
def test_a_file_tells_its_sequence(plan: Any, path: str, pattern: str | None, frame: int | None) -> None:
    found = plan.numbered(path)
    if pattern is None:
        assert found is None
    else:
        assert (found.pattern, found.frame) == (pattern, frame)
        assert plan.file_of(pattern, frame) == path


def test_frames_on_disk_are_those_of_the_pattern(plan: Any, tmp_path: Path) -> None:
    for name in ("a.1001.exr", "a.1003.exr", "a.10000.exr", "a.-0002.exr", "b.1002.exr", "a.1004.exr.tmp", "a.12.exr"):
        (tmp_path / name).touch()
    assert plan.frames_on_disk(str(tmp_path / "a.####.exr")) == (-2, 1001, 1003, 10000)
    assert plan.frames_on_disk(str(tmp_path / "gone" / "a.####.exr")) == ()


def test_scene_time_goes_both_ways(plan: Any) -> None:
    when = plan.SceneTime(first=1001, scene_start=1)
    assert (when.plate_frame(1), when.plate_frame(24), when.scene_frame(1009)) == (1001, 1024, 9)


def test_what_is_shown_has_no_damaged_file_in_it(plan: Any) -> None:
    """Blender 5.0.1 crashes on one; a frame without a file is no harm."""
    assert plan.shown_stretch((1, 2, 5, 6, 9), ()) == (1, 2, 5, 6, 9)
    assert plan.shown_stretch((1, 2, 5, 6, 9), (4,)) == (5, 6, 9)
    assert plan.shown_stretch((), (4,)) == ()


def test_frames_are_told_and_keyed_by_stretches(plan: Any) -> None:
    frames = (1001, 1002, 1003, 1007, 1010, 1011)
    assert plan.tell_frames(frames) == "1001-1003, 1007, 1010-1011"
    assert plan.tell_frames(range(1, 20, 2)) == "1, 3, 5, 7, ..."
    assert plan.presence((3, 4, 7)) == ((3, True), (5, False), (7, True), (8, False))
    made = plan.made_from(plan.Made({"subject": "//a.####.exr"}, plan.stretches(frames)).text())
    assert made.frames == frames
    assert plan.made_from('{"patterns": {"subject": "/a.####.exr"}, "frames": [1, 3]}').frames == (1, 2, 3)  # of 0.1.0


def test_confidence_is_told_by_stretches(plan: Any) -> None:
    sure = {1: 0.9, 2: 0.91, 3: 0.2}
    assert plan.coloured((1, 2, 3, 4, 6), sure) == [(1, 2, 0.9), (3, 3, 0.2), (4, 4, None), (6, 6, None)]


@pytest.mark.parametrize(
    ("taken", "name"), [((), "plate"), (("plate",), "sh010_plate"), (("plate", "sh010_plate"), "sh010_plate_2")]
)
def test_a_name_that_is_taken_gets_its_folder(plan: Any, taken: tuple[str, ...], name: str) -> None:
    assert plan.name_of("/show/sh010/plate.####.exr", "/show/sh010/plate.1001.exr", taken) == name


def test_a_second_object_has_a_place_in_the_output(plan: Any) -> None:
    assert plan.with_object("//matte/{shot}/{shot}.####.exr") == "//matte/{shot}/{shot}_{object}.####.exr"
    assert plan.with_object("//{object}/a.####.exr") == "//{object}/a.####.exr"


def test_models_are_listed_with_their_licences(plan: Any) -> None:
    assert plan.model_list((), "mini") == [("mini", "Apache-2.0: free for paid work")]
    listed = dict(plan.model_list(("mini", "matanyone2"), "matanyone"))
    assert list(listed) == ["mini", "matanyone2", "matanyone"]
    assert listed["matanyone2"] == "non-commercial research only"
    assert "the engine does not have it" in listed["matanyone"]
    assert "licence" in plan.about_model("/shows/own.safetensors", ("mini",))
    assert plan.short("C:\\shows\\own.safetensors") == "own.safetensors"


def test_the_preset_that_is_on_is_known(plan: Any) -> None:
    assert [plan.preset_of(*has) for has in ((270, "follow"), (1080, "off"), (0, "off"), (700, "off"))] == [
        "DRAFT",
        "HD",
        "FULL",
        "",
    ]


def test_the_engines_words_become_the_panels(addon: Callable[[str], Any]) -> None:
    """What the engine says of a shot names buttons of the panel, and no option of the command line."""
    in_blender = addon("words").in_blender
    assert left_in(in_blender) == []
    assert "leave the others out (Settings > Skip Missing)" in in_blender("leave the others out: --missing skip.")
    black = "(no value is above 0), in channel Y of '/a/masks/plate/subject.1001.exr'"
    said = f"expected a mask from 0 (outside) to 1 (the subject) that shows the subject; got a black mask {black}"
    assert in_blender(said) == "expected a mask that shows the subject; got an empty one: subject on frame 1001"
    assert in_blender("Give its mask: --mask FILE@FRAME.") == "Give its mask with Add Mask at This Frame."


def test_what_was_pointed_at_can_be_taken_up_again(plan: Any) -> None:
    pointing = plan.Pointing(((0.1, 0.2), (0.5, 0.9)), ((0.3, 0.4),), ((0.9, 0.1),), "/a.exr")
    assert plan.pointing_from(pointing.text()) == pointing
    assert not plan.pointing_from("")


@pytest.mark.parametrize("name", ["Linear DCI-P3 D65", "Linear CIE-XYZ D65", "Display P3", "Linear Rec.709", "sRGB"])
def test_blenders_own_colour_spaces_are_known_to_the_engine(plan: Any, name: str) -> None:
    assert known_space(plan.space_of(name))


# ------------------------------------------------------------------------------------------------ what is on disk


def record(folder: Path, plate: str, out: str, stem: str = "plate") -> Path:
    """As the engine writes one, as far as it is read here."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stem}.matanyone.json"
    file.write_text(json.dumps({"job": {"plate": plate, "out": out}, "frames": {}}))
    return file


def test_a_place_of_another_plate_is_refused(addon: Callable[[str], Any], tmp_path: Path) -> None:
    """Its own plate's, also after the project was moved or where it is mounted elsewhere, is not."""
    ondisk, folder = addon("ondisk"), tmp_path / "project/matte/plate"
    pattern, masks = str(folder / "plate.####.exr"), tmp_path / "project/matte/masks/plate"
    ours, other = (str(tmp_path / f"project/{name}/plate.####.exr") for name in ("sh010", "sh020"))
    record(folder, ours, pattern)
    ondisk.refuse_foreign([pattern], masks, ours)
    with pytest.raises(Exception, match=r"of another plate, .*sh010"):
        ondisk.refuse_foreign([pattern], masks, other)
    record(folder, "P:\\old\\sh010\\plate.####.exr", "P:\\old\\matte\\plate\\plate.####.exr")
    ondisk.refuse_foreign([pattern], masks, ours)
    with pytest.raises(Exception, match="of another plate"):
        ondisk.refuse_foreign([pattern], masks, other)


def test_masks_of_another_plate_are_not_written_over(addon: Callable[[str], Any], tmp_path: Path) -> None:
    ondisk = addon("ondisk")
    ondisk.claim_masks(tmp_path / "masks", "/show/sh010/plate.####.exr")
    ondisk.refuse_foreign([], tmp_path / "masks", "/show/sh010/plate.####.exr")
    with pytest.raises(Exception, match="sh010"):
        ondisk.refuse_foreign([], tmp_path / "masks", "/show/sh020/plate.####.exr")


def test_files_of_somebody_else_are_not_written_over(addon: Callable[[str], Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.1001.exr", np.zeros((4, 4, 1), np.float32), ("A",))
    with pytest.raises(Exception, match="which the engine did not write"):
        addon("ondisk").refuse_foreign([str(tmp_path / "a.####.exr")], tmp_path / "masks", "/p.####.exr")


def test_a_result_changes_with_its_record_and_its_files(addon: Callable[[str], Any], tmp_path: Path) -> None:
    ondisk, patterns = addon("ondisk"), {"subject": str(tmp_path / "plate.####.exr")}
    for frame in (1001, 1002):
        (tmp_path / f"plate.{frame}.exr").touch()
    record(tmp_path, "/p.####.exr", "/o.####.exr")
    then = ondisk.result_of(patterns, (1001, 1002))
    assert ondisk.result_of(patterns, (1001, 1002)) == then
    record(tmp_path, "/p.####.exr", "/o.####.exr", "plate.1002")  # a run of a part of it
    later = ondisk.result_of(patterns, (1001, 1002))
    (tmp_path / "plate.1002.exr").unlink()
    assert len({then, later, ondisk.result_of(patterns, (1001, 1002))}) == 3


@pytest.mark.parametrize("kind", [oiio.HALF, oiio.FLOAT])
@pytest.mark.parametrize("compression", ["none", "zips", "zip"])
def test_alphas_are_read_for_the_screen_as_they_are(
    addon: Callable[[str], Any], tmp_path: Path, compression: str, kind: Any
) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.random((37, 53, 4), np.float32).astype(np.float16).astype(np.float32)
    write_image(tmp_path / "a.exr", pixels, ("R", "G", "B", "A"), kind, compression=compression)
    picture = addon("alphas").read_alpha(tmp_path / "a.exr")
    assert (picture.width, picture.height) == (53, 37)
    assert np.array_equal(picture.values[::-1], pixels[..., 3])
    assert addon("alphas").read_alpha(tmp_path / "a.exr", widest=20).width == 17


@pytest.mark.parametrize("files", ["layers", "cryptomatte"])
def test_the_alpha_of_each_object_is_read_from_a_file_of_all(
    addon: Callable[[str], Any], tmp_path: Path, files: str
) -> None:
    rng, names = np.random.default_rng(1), ("hero", "dog", "cat")
    alphas = {name: rng.random((37, 53)).astype(np.float16).astype(np.float32) for name in names}
    content = FrameContent(PlateHeader.plain(tmp_path / "plate.exr", 53, 37), alphas)
    write_picture(tmp_path / "a.exr", compose(Delivery(files), content, names, {}, ".exr"))
    total = np.maximum(sum(alphas.values()), 1) if files == "cryptomatte" else np.float32(1)
    read = addon("alphas").read_alpha
    for name in names:
        assert np.abs(read(tmp_path / "a.exr", name=name).values[::-1] - alphas[name] / total).max() < 1e-6
        addon("ondisk").copied(str(tmp_path / "a.exr"), str(tmp_path / f"{name}.exr"), name)
        assert np.abs(read_image(tmp_path / f"{name}.exr")[..., 0] - alphas[name] / total).max() < 1e-6
    everybody = read(tmp_path / "a.exr").values[::-1]
    assert np.abs(everybody - np.minimum(sum(alphas.values()), 1)).max() < 2**-10
    with pytest.raises(Exception, match="expected an alpha of bird in"):
        addon("ondisk").copied(str(tmp_path / "a.exr"), str(tmp_path / "bird.exr"), "bird")
    assert not (tmp_path / "bird.exr").exists()
    assert addon("exr").objects_of(tmp_path / "a.exr") == set(names)


def test_a_file_that_is_written_anew_is_looked_at_at_once(addon: Callable[[str], Any], tmp_path: Path) -> None:
    reader, file = addon("alphas").Reader(), tmp_path / "a.exr"
    for number in range(1, 9):
        write_image(file, np.full((8, 8, 1), number / 8, np.float32), ("A",))
        reader.look_again(str(file))
        deadline = time.monotonic() + 20
        while reader.is_waiting() and time.monotonic() < deadline:
            time.sleep(0.002)
        assert reader.ask(str(file)).values.mean() == number / 8
    reader.stop()


def test_the_reader_never_waits_and_sees_changes(addon: Callable[[str], Any], tmp_path: Path) -> None:
    reader, file = addon("alphas").Reader(), tmp_path / "a.exr"

    def value() -> float | None:
        deadline = time.monotonic() + 20
        while not reader.news() and time.monotonic() < deadline:
            begun = time.thread_time()
            reader.ask(str(file))
            assert time.thread_time() - begun < 0.05
            time.sleep(0.02)
        picture = reader.ask(str(file))
        return None if picture is None else float(picture.values.mean())

    for grey in (0.25, 0.5):
        write_image(file, np.full((8, 8, 1), grey, np.float32), ("A",))
        assert value() == grey
    file.unlink()
    assert value() is None
    reader.stop()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_times_are_said_as_people_do(plan: Any, seconds: float, text: str) -> None:
    assert plan.tell_time(seconds) == text


# ------------------------------------------------------------------------------------------------ jobs


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("Saved: 'a.exr'\nModuleNotFoundError: No module named 'numpy'\nError: script failed\n\nBlender quit\n",
         "ModuleNotFoundError: No module named 'numpy'"),
        ("killed\n", "killed"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_of_a_log_the_fault_is_told(plan: Any, log: str, said: str) -> None:
    assert plan.fault_in(log) == said


def test_one_mask_of_one_subject_is_the_plain_job(plan: Any) -> None:
    job = plan.job_of(state_of(plan, frames=(1001, 1003), working_size=540, region="follow", colorspace="ACEScg"))
    assert (job.mask, job.mask_frame, job.keys, job.objects) == ("/m.exr", 1001, (), ())
    assert job.frames == (1001, 1002, 1003)
    assert (job.options.working_size, job.options.region, job.options.colorspace) == (540, "follow", "ACEScg")
    assert job.delivery.shot == "sh010"
    assert plan.job_of(state_of(plan)).options.region is None
    assert plan.job_of(state_of(plan)).options.warm_up_passes is None


def test_keys_and_objects_become_the_jobs_own(plan: Any) -> None:
    keys = (plan.KeyState(1001, "/a", "hero"), plan.KeyState(1010, "/b", "hero"), plan.KeyState(1001, "/c", "twin"))
    objects = (plan.ObjectState("hero", first=1001, last=1020), plan.ObjectState("twin", distractor=True))
    job = plan.job_of(state_of(plan, keys=keys, objects=objects))
    assert job.mask == ""
    assert [(key.file, key.frames, key.object) for key in job.keys] == [
        ("/a", (1001,), "hero"), ("/b", (1010,), "hero"), ("/c", (1001,), "twin"),
    ]  # fmt: skip
    assert [(o.name, o.first, o.last, o.distractor) for o in job.objects] == [
        ("hero", 1001, 1020, False), ("twin", None, None, True),
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["working_size", "region", "warm_up_passes", "exposure", "mask_grow", "refine"])
def test_every_setting_reaches_the_job_and_makes_a_matte_stale(plan: Any, option: str) -> None:
    other = {"region": "follow", "refine": False}.get(option, 7)
    before, after = state_of(plan), state_of(plan, **{option: other})
    assert plan.job_of(before).options != plan.job_of(after).options
    assert plan.digest_of_settings(before) != plan.digest_of_settings(after)


def test_an_exposure_of_0_is_not_the_one_that_is_left_to_the_engine(plan: Any) -> None:
    left, given = state_of(plan), state_of(plan, exposure=0.0)
    assert (plan.job_of(left).options.exposure, plan.job_of(given).options.exposure) == (None, 0.0)
    assert plan.digest_of_settings(left) != plan.digest_of_settings(given)


def test_edge_controls_are_those_of_the_job_unless_objects_differ(plan: Any, addon: Callable[[str], Any]) -> None:
    controls = addon("engine.wire.messages").EdgeControls
    grown, none = controls(edge_grow=1.5), controls()
    one = dataclasses.replace(state_of(plan), objects=(plan.ObjectState(edges=grown),))
    assert plan.job_of(one).edges == grown
    assert plan.job_of(one).objects == ()
    keys = tuple(plan.KeyState(1001, f"/m/{name}.exr", name) for name in ("hero", "dog", "twin"))
    objects = [plan.ObjectState("hero", edges=grown), plan.ObjectState("dog", edges=grown)]
    twin = plan.ObjectState("twin", distractor=True, edges=controls(gamma=2.0))
    several = dataclasses.replace(state_of(plan), keys=keys, out="/o/{object}.####.exr")
    same = plan.job_of(dataclasses.replace(several, objects=(*objects, twin)))
    assert same.edges == grown
    assert [each.edges for each in same.objects] == [None, None, None]
    objects[1] = plan.ObjectState("dog")
    other = plan.job_of(dataclasses.replace(several, objects=(*objects, twin)))
    assert other.edges == none
    assert [each.edges for each in other.objects] == [grown, None, None]


def test_edges_are_told_apart_from_settings_for_which_the_network_runs(plan: Any, addon: Callable[[str], Any]) -> None:
    controls = addon("engine.wire.messages").EdgeControls
    plain = dataclasses.replace(state_of(plan), objects=(plan.ObjectState(),))
    edged = dataclasses.replace(plain, objects=(plan.ObjectState(edges=controls(gamma=1.2)),))
    assert plan.digest_of_settings(edged) == plan.digest_of_settings(plain)
    assert plan.digest_of_edges(plain) == ""  # as in records of before there were edges
    then = plan.Record("s", "m", "p", edges=plan.digest_of_edges(plain))
    now = dataclasses.replace(then, edges=plan.digest_of_edges(edged))
    assert plan.stale_because(now, then) == ("the edges",)
    assert plan.record_from(now.text()) == now


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"black_clip": 0.5, "white_clip": 0.505}, "White Clip of subject"),
        ({"black_knee": 0.75, "white_knee": 0.5}, "knees of subject"),
    ],
)
def test_edge_controls_that_do_not_go_together_are_refused(
    plan: Any, addon: Callable[[str], Any], values: dict[str, float], said: str
) -> None:
    """What the engine refuses, the panel refuses first, in its own words."""
    controls = addon("edges").controls_of({**dataclasses.asdict(EdgeControls()), **values})
    with pytest.raises(addon("engine.wire.errors").WireError, match=said):
        plan.job_of(dataclasses.replace(state_of(plan), objects=(plan.ObjectState(edges=controls),)))
    with pytest.raises(SettingError):
        check_edges(EdgeControls(**values))


def test_the_edge_controls_are_the_engines(addon: Callable[[str], Any]) -> None:
    edges = addon("edges")
    assert tuple(edges.CONTROLS) == tuple(each.name for each in dataclasses.fields(EdgeControls)) == tuple(LIMITS)
    assert {name: edges.limits_of(name) for name in edges.CONTROLS} == LIMITS
    assert edges.LEAST_RANGE == LEAST_RANGE
    assert dataclasses.asdict(edges.NO_EDGES) == dataclasses.asdict(EdgeControls())
    in_floats_of_32_bits = {"solidify": float(np.float32(0.95)), "edge_grow": float(np.float32(-0.1)), "despeckle": 7}
    assert edges.changed(edges.controls_of({**dataclasses.asdict(EdgeControls()), **in_floats_of_32_bits})) == {
        "despeckle": 7,
        "solidify": 0.95,
        "edge_grow": -0.1,
    }


def test_the_subjects_own_colour_is_a_layout(plan: Any) -> None:
    before, after = state_of(plan), state_of(plan, foreground=True)
    assert (plan.job_of(before).delivery.layout, plan.job_of(after).delivery.layout) == ("matte", "foreground")
    assert plan.digest_of_settings(before) != plan.digest_of_settings(after)


@pytest.mark.parametrize("files", ["layers", "cryptomatte"])
def test_several_objects_can_be_in_one_file(plan: Any, files: str) -> None:
    several = {"keys": tuple(plan.KeyState(1001, "/m.exr", name) for name in ("hero", "dog"))}
    several["objects"] = (plan.ObjectState("hero"), plan.ObjectState("dog"))
    with pytest.raises(Exception, match=r"expected \{object\}") as caught:
        plan.job_of(state_of(plan, **several))
    assert "choose Layers or Cryptomatte" in caught.value.action
    state = state_of(plan, **several, files=files)
    assert plan.job_of(state).delivery.layout == files
    assert plan.digest_of_settings(state) != plan.digest_of_settings(state_of(plan, **several))
    for out, name in (("/o/{shot}.####.exr", "sh010"), ("/o/{shot}_{object}.####.exr", "sh010_all")):
        named = plan.patterns_of(dataclasses.replace(state, out=out), f"/mnt/{name}.1001.exr")
        assert named == dict.fromkeys(("hero", "dog"), f"/o/{name}.####.exr")
    with pytest.raises(Exception, match="expected One Each under Settings > Files with Own Color, got"):
        plan.job_of(dataclasses.replace(state, foreground=True))


def test_a_digest_from_before_there_were_layouts_still_holds(plan: Any) -> None:
    """Mattes of older .blend files stay up to date."""
    assert plan.digest_of_settings(state_of(plan)) == "dd4cd2fb98ef0eda"


@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,40}", fullmatch=True), min_size=1, max_size=3, unique=True))
@example(["alpha"])
@example(["Hero", "hero"])
@example(["a" * 27])
@example(["dog__1"])
def test_a_name_that_the_engine_would_change_is_refused(plan: Any, names: list[str]) -> None:
    """The panel looks for layers and files by the names that it knows."""
    state = state_of(
        plan,
        keys=tuple(plan.KeyState(1001, "/m.exr", name) for name in names),
        objects=tuple(plan.ObjectState(name) for name in names),
        files="layers",
    )
    changed = layer_names(names) != dict(zip(names, names, strict=True))
    taken_by_blender = {name.lower() for name in names} & {"combined", "image"}
    if changed or taken_by_blender:
        with pytest.raises(Exception, match="expected an object's name that can also name a layer"):
            plan.job_of(state)
    else:
        assert plan.job_of(state).delivery.layout == "layers"


def walking_guide(rng: np.random.Generator) -> dict[int, np.ndarray]:
    """A disc that walks and grows over 20 frames, is elsewhere for a few, and is not there on some."""
    y, x = np.mgrid[:60, :90]
    place, radius, leap = rng.uniform(15, 30, 2), rng.uniform(4, 9), int(rng.integers(4, 12))
    guides = {}
    for frame in range(1001, 1021):
        place, radius = place + rng.uniform(-1, 2.5, 2), max(3.0, radius + rng.uniform(-1, 1))
        away = 40 * (leap <= frame - 1001 < leap + 3)
        disc = np.hypot(y - place[0] / 2, x - place[1] - away) < radius
        if rng.random() > 0.1 and disc.any():
            guides[frame] = disc
    return guides


def test_the_frame_of_a_guide_is_the_one_that_the_engine_chooses(addon: Callable[[str], Any]) -> None:
    ours = addon("guide_keys")
    chosen, left_out = set(), 0
    for seed in range(40):
        guides = walking_guide(np.random.default_rng(seed))
        asked = range(1001 + seed % 5, 1021)
        assert ours.outvoted(guides) == guides_of_the_engine.outvoted(guides), seed
        assert ours.best_frame(guides, asked) == guides_of_the_engine.best_frame(guides, asked), seed
        chosen.add(ours.best_frame(guides, asked))
        left_out += bool(ours.outvoted(guides))
    assert len(chosen) > 5, "else nothing would be tested"
    assert left_out > 5
    assert ours.best_frame({}, range(9)) is None
    for shape in ((270, 480), (48, 64), (333, 401)):
        values = np.random.default_rng(1).random(shape, np.float32)
        assert (ours.small(values) != guides_of_the_engine.small(values)).mean() < 0.001


def test_a_grey_frame_of_a_guide_is_chosen_only_where_no_frame_is_whiter(
    plan: Any, addon: Callable[[str], Any], tmp_path: Path
) -> None:
    """A tracker leaves grey what it is not sure of. As a key, it would be a half transparent subject."""
    guide = plan.ObjectState("hero", guide=str(tmp_path / "rough.####.exr"))
    state, with_keys = state_of(plan, keys=(), objects=(guide,)), addon("guide_keys").with_keys
    for frame, size, value in ((1001, 4, 1.0), (1002, 7, 0.6), (1003, 7, 0.6), (1004, 7, 0.6)):
        alpha = np.zeros((16, 16, 1), np.float32)
        alpha[2 : 2 + size, 2 : 2 + size] = value
        write_image(tmp_path / f"rough.{frame}.exr", alpha, ("Y",))
    for asked, expected in (((1001, 1002, 1003, 1004), 1001), ((1002, 1003, 1004), 1003)):
        (key,) = with_keys(state, asked, lambda said: None, lambda: None).keys
        ours = guide_keys_of_the_engine.with_keys_of_guides((), {"hero": guide.guide}, asked)
        assert key.frame == expected == ours[0].frames[0]


def test_an_object_with_a_guide_needs_no_mask(plan: Any, addon: Callable[[str], Any], tmp_path: Path) -> None:
    guide = plan.ObjectState("hero", guide=str(tmp_path / "rough.####.exr"))
    state = state_of(plan, keys=(), objects=(guide,))
    plan.check(state)
    for frame, grey in ((1001, 0.0), (1002, 1.0), (1003, 1.0), (1004, 0.0)):
        write_image(tmp_path / f"rough.{frame}.exr", np.full((8, 8, 1), grey, np.float32), ("Y",))
    told: list[str] = []
    with_keys = addon("guide_keys").with_keys
    assert with_keys(state, (1001, 1002, 1003), told.append, lambda: None).keys == (
        plan.KeyState(1002, str(tmp_path / "rough.####.exr"), "hero"),
    )
    assert "looking for the guide's best frame: 3 of 4" in told
    for file in ("rough.####.png", "no.####.exr", "rough.1002.exr", "rough.####.exr:hero"):
        other = dataclasses.replace(state, objects=(plan.ObjectState("hero", guide=str(tmp_path / file)),))
        (tmp_path / "rough.1001.png").write_bytes(b"png")
        with pytest.raises(Exception, match="expected a mask of hero, or a guide in EXR files that shows it"):
            with_keys(other, (1001, 1002), told.append, lambda: None)


@pytest.mark.parametrize(
    ("change", "came", "action"),
    [
        ({"plate": ""}, "expected a plate", "movie clip"),
        ({"keys": ()}, "expected a mask on at least one frame", "Draw the subject"),
        ({"out": "/o/a.exr"}, "expected an output name", "####"),
        ({"out": "/o/a.####.png"}, "expected an output name", ".exr"),
        ({"frames": (5, 4)}, "expected a frame range", "end after the start"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_to_do(
    plan: Any, change: dict[str, Any], came: str, action: str
) -> None:
    with pytest.raises(Exception, match=came) as caught:
        plan.job_of(state_of(plan, **change))
    assert caught.value.code.value == "bad-input"
    assert action in caught.value.action


def test_objects_without_masks_or_names_are_refused(plan: Any) -> None:
    key = plan.KeyState(1, "/a", "hero")
    two = (plan.ObjectState("hero"), plan.ObjectState("dog"))
    with pytest.raises(Exception, match="expected a mask of dog"):
        plan.job_of(state_of(plan, keys=(key,), objects=two))
    with pytest.raises(Exception, match="a name of its own"):
        plan.job_of(state_of(plan, keys=(key,), objects=(two[0], two[0])))
    with pytest.raises(Exception, match="one mask for an object and frame"):
        plan.job_of(state_of(plan, keys=(key, key), objects=two[:1]))
    with pytest.raises(Exception, match=r"expected \{object\}"):
        plan.job_of(state_of(plan, keys=(key, plan.KeyState(1, "/b", "dog")), objects=two))


@pytest.mark.parametrize("name", ["Non-Color", "Raw", ""])
def test_a_plate_of_unknown_colour_is_refused(plan: Any, name: str) -> None:
    with pytest.raises(Exception, match="expected the plate's colour space"):
        plan.space_of(name)
    assert plan.space_of("ACEScg") == "ACEScg"


def test_what_was_pointed_at_is_in_plate_pixels(plan: Any) -> None:
    pointing = plan.Pointing(((0.75, 0.25), (0.25, 1.2)), ((0.5, 0.5),), ((0.0, 0.0),))
    prompt = plan.prompt_of(pointing, "/p.####.exr", 1007, SIZE, "/m.exr", "ACEScg")
    assert prompt.box == (16, 0, 49, 37)
    assert [(stroke.points, stroke.subject) for stroke in prompt.strokes] == [
        (((32.0, 24.0),), True), (((0.0, 47.999),), False),
    ]  # fmt: skip
    assert (prompt.frame, prompt.colorspace, prompt.out) == (1007, "ACEScg", "/m.exr")
    with pytest.raises(Exception, match="expected a box around the subject"):
        plan.prompt_of(plan.Pointing(other=((0.5, 0.5),)), "/p", 1, SIZE, "/m.exr", None)


# ------------------------------------------------------------------------------------------------ where files are


@pytest.mark.parametrize(
    "out", ["/o/{shot}.####.exr", "/o/{shot}/v{version:03d}/{shot}_{object}_v{version:03d}.####.exr", "/o/a.####.exr"]
)
def test_files_are_named_as_the_engine_names_them(plan: Any, out: str) -> None:
    state = state_of(plan, name="sh 010/b", out=out)
    named = with_tokens(out, shot="sh 010/b", object="subject", version=12)
    accepted = "/mnt/elsewhere" + named.replace("####", "1001")  # the engine may call the folder something else
    assert plan.patterns_of(state, accepted) == {"subject": named}


@pytest.mark.parametrize(
    ("out", "folder"),
    [
        ("/o/matte/{shot}/{shot}.####.exr", "/o/matte/masks/sh010"),
        ("/o/{shot}_v{version}/x/a.####.exr", "/o/masks/sh010"),
        ("/o/matte/a.####.exr", "/o/matte/masks/sh010"),
    ],
)
def test_masks_lie_beside_the_output(plan: Any, out: str, folder: str) -> None:
    assert plan.masks_folder(out, "sh010") == Path(folder)


# ------------------------------------------------------------------------------------------------ what has become of it


def test_doubtful_frames_are_pointed_out_the_worst_first(plan: Any) -> None:
    assert plan.doubtful({1: 0.4, 2: 0.9, 3: 0.1, 4: 0.2, 5: 0.3}) == (3, 4, 5)
    assert plan.doubtful({1: 0.5}) == ()
    assert plan.told_reasons((5, 3, 7, 9), {3: "It is soft.", 5: "It is soft.", 7: "It is gone."}) == (
        "3, 5: It is soft.",
        "7: It is gone.",
    )


def test_a_record_tells_what_has_changed(plan: Any, tmp_path: Path) -> None:
    (tmp_path / "a.1001.exr").write_bytes(b"x")
    pattern = str(tmp_path / "a.####.exr")
    then = plan.Record("s", "m", plan.digest_of_plate(pattern))
    assert plan.record_from(then.text()) == then
    assert plan.stale_because(then, then) == ()
    (tmp_path / "a.1001.exr").write_bytes(b"yy")
    now = plan.Record("s2", "m", plan.digest_of_plate(pattern))
    assert plan.stale_because(now, then) == ("the settings", "the plate")
    assert plan.stale_because(dataclasses.replace(now, plate=""), then) == ("the settings",)
    assert plan.record_from("") is None


def test_an_animated_mask_counts_where_it_is_used(plan: Any) -> None:
    """What it is at the playhead, and between its keys, does not make a matte stale."""
    drawn = [plan.Drawn("subject", 1001, 1, "walks", looks) for looks in ("a", "b")]
    one, other = (plan.digest_of_masks([each]) for each in drawn)
    assert one != other
    assert plan.digest_of_masks(drawn[:1], {"walks"}) == plan.digest_of_masks(drawn[1:], {"walks"})
    moving = {"walks": {"1": "a", "2": "b", "3": "c"}}
    then = plan.Record("s", "m", "", moving, plan.keys_of([*drawn[:1], plan.Drawn("subject", 1003, 3, "walks")]))
    saved = plan.record_from(then.text())
    assert saved == dataclasses.replace(then, moving={"walks": {"1": "a", "3": "c"}})
    assert plan.stale_because(then, saved) == ()
    for frame, seen, news, stale in ((2, "b", False, ()), (2, "x", True, ()), (3, "x", True, ("a mask",))):
        found, told = plan.with_what_is_seen(moving, frame, {"walks": seen})
        assert told is news
        assert plan.stale_because(dataclasses.replace(then, moving=found), then) == stale


def test_a_still_mask_is_told_by_its_looks_only(plan: Any) -> None:
    """Renaming the datablock, or moving the clip on the timeline, changes no alpha; of one that moves, both may."""
    still = plan.Drawn("subject", 1001, 1, "roto", "a", ("track: nowhere",))
    for change, same in (
        ({"mask": "hero"}, True),
        ({"scene_frame": 101}, True),
        ({"looks": "b"}, False),
        ({"frame": 1002}, False),
        ({"object": "dog"}, False),
        ({"rest": ()}, False),
    ):
        other = dataclasses.replace(still, **change)
        assert (plan.digest_of_masks([other]) == plan.digest_of_masks([still])) is same, change
    for change in ({"mask": "runs"}, {"scene_frame": 101}):
        other = dataclasses.replace(still, **change)
        assert plan.digest_of_masks([other], {"roto", "runs"}) != plan.digest_of_masks([still], {"roto", "runs"})


def test_a_mask_of_every_frame_counts_on_every_frame_of_the_plate(plan: Any) -> None:
    """A change on a frame without a key makes the matte out of date; one beyond the plate does not."""
    moving = {"rough": {"1": "a", "2": "b", "3": "c", "4": "d"}}
    then = plan.Record("s", "m", "", moving, throughout=(("rough", 1, 3),))
    saved = plan.record_from(then.text())
    assert saved.moving == {"rough": {"1": "a", "2": "b", "3": "c"}}
    for frame, stale in (("2", ("a mask",)), ("4", ())):
        changed = dataclasses.replace(then, moving={"rough": {**moving["rough"], frame: "x"}})
        assert plan.stale_because(changed, saved) == stale
    assert plan.stale_because(dataclasses.replace(then, files="f"), dataclasses.replace(saved, files="e")) == (
        "a mask",
    )


@pytest.mark.parametrize("name", ["roto.exr", "roto.exr:hero", "roto.exr#3", "roto.####.exr", "roto.####.exr:hero"])
def test_a_mask_file_is_looked_at_whatever_is_chosen_of_it(plan: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "roto.exr").write_bytes(b"x")
    (tmp_path / "roto.1001.exr").write_bytes(b"x")
    before = plan.digest_of_files([str(tmp_path / name)])
    for file in tmp_path.iterdir():
        file.write_bytes(b"yy")
    assert plan.digest_of_files([str(tmp_path / name)]) != before
    assert plan.digest_of_files([]) == ""


def test_a_saved_record_does_not_grow_with_the_timeline(plan: Any) -> None:
    def saved(frames: int) -> int:
        moving = {"walks": {str(frame): "0123456789abcdef" for frame in range(frames)}}
        return len(plan.Record("s", "m", "p", moving, (("walks", 3), ("walks", 7))).text())

    assert saved(10_000) == saved(10) < 300


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("compression", ["none", "zips", "zip", "piz", "dwaa", "dwab"])
def test_a_file_cut_anywhere_is_not_whole(addon: Callable[[str], Any], tmp_path: Path, compression: str) -> None:
    exr, path = addon("exr"), tmp_path / "a.exr"
    write_image(path, np.random.default_rng(1).random((48, 64, 4)), ("R", "G", "B", "A"), compression=compression)
    whole = path.read_bytes()
    assert exr.is_whole(path)
    assert exr.size_of(path) == SIZE
    for cut in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert not exr.is_whole(path), cut
    path.write_bytes(whole[:300] + bytes(len(whole) - 300))  # as a full disk may leave it
    assert not exr.is_whole(path)
    assert not exr.is_whole(tmp_path / "none.exr")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_mask_that_the_add_on_writes_is_read_by_the_engine(
    addon: Callable[[str], Any], tmp_path: Path, zipped: bool
) -> None:
    exr, values = addon("exr"), np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(48, 64)
    values[0], values[1] = np.random.default_rng(1).random(64), 0.0  # one row that does not get smaller, one that does
    exr.write_mask(tmp_path / "new" / "m.exr", SIZE, [row.astype("<f4").tobytes() for row in values], zipped)
    assert exr.is_whole(tmp_path / "new" / "m.exr")
    assert np.array_equal(read_mask(tmp_path / "new" / "m.exr", SIZE), values)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.exr"]


# ------------------------------------------------------------------------------------------------ the network thread


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return make_shot(tmp_path_factory.mktemp("shot"), count=4)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, shot: Shot) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder, "--root", str(shot.folder.parent), model=str(shot.weights)) as started:
        yield started


@pytest.fixture
def bridge(addon: Callable[[str], Any], engine: Engine) -> Iterator[Any]:
    made = addon("bridge").Bridge(addon("target").Target(engine.file, timeout_s=60.0))  # of a machine with other work
    yield made
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "matanyone"]


def order_of(addon: Callable[[str], Any], shot: Shot, out: str = "{shot}.####.exr", **more: Any) -> Any:
    plan = addon("plan")
    state = plan.ShotState(
        "sh", shot.plate, str(shot.folder / "mattes" / out), (plan.KeyState(1001, str(shot.mask)),), warm_up_passes=1
    )
    job = dataclasses.replace(plan.job_of(state), model="toy")
    frames = tuple(range(shot.first, shot.last + 1))
    return addon("bridge").Order(job, lambda told: plan.patterns_of(state, told.out), lambda: frames, **more)


def follow(bridge: Any, order: Any, each: Callable[[Any], None] = lambda event: None) -> list[Any]:
    """All events of an order, as a timer would take them."""
    came: list[Any] = []
    bridge.matte(order)
    deadline = time.monotonic() + 180
    while bridge.busy and time.monotonic() < deadline:
        for event in bridge.events():
            came.append(event)
            each(event)
        time.sleep(0.01)
    assert not bridge.busy
    return came


def test_an_order_gives_the_command_lines_alphas(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    prepared = []
    events = follow(bridge, order_of(addon, shot, prepare=prepared.append))
    over = events[-1]
    assert (over.outcome, over.frames, len(prepared)) == ("finished", (1001, 1002, 1003, 1004), 1), over
    landed = [event.frame for event in events if type(event).__name__ == "Landed" and event.frame is not None]
    assert landed == [1001, 1002, 1003, 1004]
    there = [event for event in events if type(event).__name__ == "Landed" and event.frame]
    assert all(0 <= event.confidence <= 1 for event in there)
    assert all(event.reason.endswith(".") for event in there if event.confidence < 0.5)
    assert main(shot.arguments("--device", "cpu")) == 0
    for frame in landed:
        assert np.array_equal(read_image(shot.folder / "mattes" / f"sh.{frame}.exr"), read_image(shot.alpha(frame)))


def test_files_that_are_read_first_are_no_frames(addon: Callable[[str], Any], bridge: Any) -> None:
    say = addon("bridge").say

    class Run:
        def events(self, _seconds: float) -> Iterator[Any]:
            yield say.Progress("s", 1001, "", 3, 8, looking=True)
            yield say.Progress("s", 1001, "", 0, 0, preparing="preparing the refine area")
            yield say.JobEnded("s", "finished", 0)

    assert bridge._followed(Run(), {}).outcome == "finished"
    told = ["looks what has changed: 3 of 8 files", "preparing the refine area"]
    assert [event.text for event in bridge.events()] == told


def test_polling_never_waits_whatever_comes(addon: Callable[[str], Any], bridge: Any) -> None:
    for _ in range(10_000):
        bridge._outbox.put(addon("bridge").Told("much"))
    longest = 0.0
    for _ in range(5):
        begun = time.thread_time()  # of this thread: other work on the machine does not count
        list(bridge.events(0.002))
        longest = max(longest, time.thread_time() - begun)
    assert longest < 0.05


def test_what_a_preparation_raises_ends_the_order(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    def fail(control: Any) -> None:
        raise PermissionError("read-only")

    over = follow(bridge, order_of(addon, shot, prepare=fail))[-1]
    assert (over.outcome, over.frames) == ("failed", ())
    assert "read-only" in over.message
    assert "write" in over.action


def test_a_cancelled_preparation_sends_nothing(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    def wait(control: Any) -> None:
        control.tell("waiting")
        while True:
            control.check()
            time.sleep(0.01)

    events = follow(bridge, order_of(addon, shot, prepare=wait), lambda event: bridge.cancel())
    assert [type(event).__name__ for event in events] == ["Told", "Over"]
    assert events[-1].outcome == "cancelled"


def test_a_cancel_keeps_what_is_finished(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    order = order_of(addon, shot, "cut.####.exr")
    job = dataclasses.replace(order.job, options=dataclasses.replace(order.job.options, warm_up_passes=40))
    order = dataclasses.replace(order, job=job)
    over = follow(bridge, order, lambda event: bridge.cancel() if type(event).__name__ == "Taken" else None)[-1]
    assert over.outcome == "cancelled"
    assert set(over.frames) < {1001, 1002, 1003, 1004}


@pytest.mark.parametrize(
    ("asked", "state", "given_up"),
    [
        (False, "CONNECTING", True),
        (True, "CONNECTING", False),
        (True, "BUSY", False),
        (True, "UNREACHABLE", True),
        (True, "REFUSED", True),
    ],
)
def test_a_job_that_the_engine_may_have_is_not_given_up(
    addon: Callable[[str], Any], asked: bool, state: str, given_up: bool
) -> None:
    """A busy engine says how it is a second after it has taken the job: given up then, the job went on by itself, and
    kept the next one off its frames.
    """
    addon("target").load_client()
    states = addon("engine.client.pump").State
    bridge = addon("bridge").Bridge(None)
    bridge._client = SimpleNamespace(pump=SimpleNamespace(state=states[state]))
    bridge._asked = asked
    bridge._check_away()  # nobody has cancelled
    bridge.cancel()
    if given_up:
        with pytest.raises(addon("bridge").GivenUp):
            bridge._check_away()
    else:
        bridge._check_away()


def test_a_cancel_while_the_engine_takes_the_job_leaves_none_behind(
    addon: Callable[[str], Any], bridge: Any, shot: Shot
) -> None:
    order = order_of(addon, shot, "soon.####.exr")
    slow = dataclasses.replace(order.job, options=dataclasses.replace(order.job.options, warm_up_passes=100))

    def cancel_soon(event: Any) -> None:
        if type(event).__name__ == "Told" and "checks the shot" in event.text:
            assert bridge._asked
            bridge.cancel()

    assert follow(bridge, dataclasses.replace(order, job=slow), cancel_soon)[-1].outcome == "cancelled"
    again = dataclasses.replace(order, job=dataclasses.replace(order.job, nonce="0" * 32))
    over = follow(bridge, again)[-1]
    assert over.outcome == "finished", over


def test_frames_of_another_layout_are_not_this_runs(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    """The subject's own colour for one frame, beside alphas that an earlier run left: they would show as white."""
    assert follow(bridge, order_of(addon, shot, "own.####.exr"))[-1].other_layout == 0
    order, own = order_of(addon, shot, "own.####.exr"), addon("engine.wire.messages").Delivery(layout="foreground")
    order = dataclasses.replace(order, job=dataclasses.replace(order.job, delivery=own, frames=(1002,)))
    over = follow(bridge, order)[-1]
    assert (over.outcome, over.frames, over.other_layout) == ("finished", (1002,), 3), over
    layout_of = addon("exr").layout_of
    files = [shot.folder / "mattes" / f"own.{frame}.exr" for frame in (1001, 1002)]
    assert [layout_of(file) for file in files] == ["matte", "foreground"]
    assert layout_of(shot.mask) == layout_of(shot.folder / "none.exr") == ""


def test_the_engines_refusal_is_told_in_its_words(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    order = order_of(addon, shot)
    order = dataclasses.replace(order, job=dataclasses.replace(order.job, frames=(1001, 1009)))
    over = follow(bridge, order)[-1]
    assert over.outcome == "failed"
    assert "1009" in over.message


def test_a_damaged_alpha_never_counts(addon: Callable[[str], Any], bridge: Any, shot: Shot) -> None:
    order = order_of(addon, shot, "damaged.####.exr")
    follow(bridge, order)
    file = shot.folder / "mattes" / "damaged.1003.exr"
    file.write_bytes(file.read_bytes()[:-100])
    whole = addon("bridge")._all_whole
    patterns = {"subject": str(shot.folder / "mattes" / "damaged.####.exr")}
    assert [frame for frame in range(1001, 1005) if whole(patterns, frame)] == [1001, 1002, 1004]


def test_calls_are_answered_or_fail(addon: Callable[[str], Any], bridge: Any, engine: Engine) -> None:
    status = addon("engine.wire.messages").Status()
    asked = bridge.call(lambda client: client.call(status).pid)
    failed = bridge.call(lambda client: 1 / 0)
    plain = bridge.call(lambda client: client, connected=False)
    answers = {}
    while bridge.waiting:
        answers.update({event.call: event for event in bridge.events()})
        time.sleep(0.01)
    assert engine.process is not None
    assert answers[asked].value == engine.process.pid
    assert "ZeroDivisionError" in answers[failed].message
    assert answers[plain].value is None


def test_no_engine_is_said_at_once(addon: Callable[[str], Any], tmp_path: Path, shot: Shot) -> None:
    made = addon("bridge").Bridge(addon("target").Target(tmp_path / "none.json"))
    over = follow(made, order_of(addon, shot))[-1]
    made.close()
    assert over.outcome == "failed"
    assert "connection file" in over.message
    assert "matanyone-engine serve" in over.action


# ------------------------------------------------------------------------------------------------ which engine


def test_an_engine_elsewhere_needs_permission_to_go_online(addon: Callable[[str], Any], tmp_path: Path) -> None:
    wire, file = addon("engine.wire.connection"), tmp_path / "engine.json"
    wire.write_connection(file, wire.Connection("tcp://10.0.0.7:1", "tcp://10.0.0.7:2", "t", "e", 1, "0", "k" * 40))
    target = addon("target").Target(file, online=False)
    with pytest.raises(Exception, match="expected permission to go online") as caught:
        target.find()
    assert "Allow Online Access" in caught.value.action
    assert dataclasses.replace(target, online=True).find().pid == 1
    wire.write_connection(file, wire.Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "t", "e", 2, "0"))
    assert target.find().pid == 2


def test_a_key_file_without_a_secret_is_said_to_be_one(addon: Callable[[str], Any], tmp_path: Path) -> None:
    public = f'curve\n    public-key = "{"p" * 40}"\n'
    (tmp_path / "a.key").write_text(public)
    (tmp_path / "a.key_secret").write_text(public + f'    secret-key = "{"s" * 40}"\n')
    target = addon("target").Target(client_key=tmp_path / "a.key_secret")
    assert (target._keys().public, target._keys().secret) == ("p" * 40, "s" * 40)
    for name in ("a.key", "none"):
        with pytest.raises(Exception, match="expected this client's secret key"):
            dataclasses.replace(target, client_key=tmp_path / name)._keys()


def test_after_getting_ready_nothing_is_left_to_be_imported(addon: Callable[[str], Any]) -> None:
    """What is imported while an artist waits holds Blender up: a library that loads lets no other Python thread on."""
    staged = Path(addon("target").__file__).parent
    code = f"""
import sys
sys.path.insert(0, {str(staged.parent)!r})
from {NAME} import bridge, target
target.preload()
before = set(sys.modules)
from pathlib import Path
try:
    target.Target(connection=Path("none.json"), timeout_s=0.1).connect(lambda: None)
except Exception as error:
    print(type(error).__name__)
from {NAME}.engine.client.job import JobRun
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == ["WireError", "[]"], done.stderr


def test_a_program_that_is_none_is_refused(addon: Callable[[str], Any], tmp_path: Path) -> None:
    command_for = addon("target").command_for
    with pytest.raises(Exception, match="which is no file"):
        command_for(str(tmp_path / "python"))
    for name, module in (("python3.11", True), ("matanyone-engine", False)):
        (tmp_path / name).touch()
        command = command_for(str(tmp_path / name))
        assert ("-m" in command) is module
        assert "--precision" not in command
        for chosen in ("exact", "fast"):
            assert command_for(str(tmp_path / name), chosen) == (*command, "--precision", chosen)


# ------------------------------------------------------------------------------------------------ clicking


class SlowEngine:
    """A client whose masks take a moment; a prompt whose frame is 0 is refused."""

    def __init__(self, addon: Callable[[str], Any]) -> None:
        self.error, self.code = addon("engine.wire.errors").WireError, addon("engine.wire.errors").Code
        self.made: list[str] = []

    def make_mask(self, prompt: Any) -> str:
        time.sleep(0.2)
        if prompt.frame == 0:
            raise self.error(self.code.BAD_INPUT, "no such frame", "Choose another.")
        self.made.append(prompt.nonce)
        return str(prompt.nonce)


def prompt_named(addon: Callable[[str], Any], nonce: str, folder: Path, frame: int = 1) -> Any:
    return addon("engine.wire.messages").Prompt(nonce, "/plate.####.exr", str(folder / "new" / "m.exr"), frame)


def test_the_newest_clicks_are_made_and_those_that_waited_are_left_out(
    addon: Callable[[str], Any], tmp_path: Path
) -> None:
    written: list[str] = []
    engine = SlowEngine(addon)
    live = addon("live").LivePrompts(prepare=(tmp_path / "prepared").touch, written=written.append)
    thread = threading.Thread(target=live.work, args=(engine,))
    thread.start()
    for number in range(20):
        live.ask(prompt_named(addon, str(number), tmp_path))
        time.sleep(0.02)
    wait_until(lambda: live.is_done)
    assert live.made == "19"
    assert live.fault is None
    assert len(engine.made) < 6
    assert written == [str(tmp_path / "new" / "m.exr")] * len(engine.made), "a file can be read as soon as it is there"
    assert (tmp_path / "prepared").exists()
    assert (tmp_path / "new").is_dir()
    live.ask(prompt_named(addon, "refused", tmp_path, frame=0))
    wait_until(lambda: live.is_done)
    assert (live.made, live.fault.message) == ("19", "no such frame")
    live.ask(prompt_named(addon, "again", tmp_path))
    wait_until(lambda: live.is_done)
    assert (live.made, live.fault) == ("again", None)
    live.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_blender_that_leaves_ends_the_clicking(addon: Callable[[str], Any]) -> None:
    leaving = threading.Event()

    def check() -> None:
        if leaving.is_set():
            raise KeyboardInterrupt

    live = addon("live").LivePrompts(check)
    ended = []

    def work() -> None:
        try:
            live.work(SlowEngine(addon))
        except KeyboardInterrupt:
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    leaving.set()
    thread.join(20)
    assert ended == [True]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------------ Flamenco


def test_a_job_is_handed_to_flamenco(addon: Callable[[str], Any], manager: Manager) -> None:
    flamenco = addon("flamenco")
    job = flamenco.job_of("sh010", "/show/masks/sh010.json", 4, "Blender 5.2")
    for address in (manager.address, f"{manager.address}/", manager.address.removeprefix("http://")):
        assert flamenco.submit(address, job, online=False) == "0815"
    assert manager.taken[0]["settings"] == {"job_file": "/show/masks/sh010.json", "segments": 4, "split": False}
    assert {"name", "type", "priority", "submitter_platform"} <= set(manager.taken[0])
    assert manager.taken[0]["submitter_platform"] in ("linux", "windows", "darwin")


def test_why_flamenco_does_not_take_a_job_is_said(addon: Callable[[str], Any], manager: Manager) -> None:
    flamenco = addon("flamenco")
    job = {**flamenco.job_of("sh010", "/show/sh010.json", 4, "Blender"), "type": "other"}
    for address, said in (
        (manager.address, "job type unknown"),
        ("http://127.0.0.1:9", "expected a Flamenco Manager at"),
        ("ftp://farm", "expected the address"),
        ("", "expected the address"),
        ("http://farm.studio:8080", "expected permission to go online"),
    ):
        with pytest.raises(Exception, match=said):
            flamenco.submit(address, job, online=False)


def test_flamenco_calls_the_job_type_as_we_do(addon: Callable[[str], Any]) -> None:
    """Flamenco takes the name from the file's, with - for _."""
    script = Path(__file__).resolve().parents[2] / "farm" / "flamenco" / "matanyone_matte.js"
    assert script.is_file()
    assert script.stem.replace("_", "-") == addon("flamenco").JOB_TYPE
