# SPDX-License-Identifier: Apache-2.0
"""What an artist does on an ordinary day, in real Blenders: no picture is wrong and no work is lost without a word.

One Blender goes through the day, once; each test looks at a part of it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from blender_extension import BLENDERS
from blender_host import KEY, MASK, MATTE, SMALL, Host, Order, Told, circle, plain, told_of
from engines import running
from shots import Shot, files, make_shot, read_image, write_image

from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.wire.messages import Status

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")

COUNT = 8
LAST = 1000 + COUNT
TOY = {"model": "toy", "settle_passes": 1}
UHD = (3840, 2160)


def plate(shot: Shot) -> Order:
    return ("plate", {"file": str(shot.folder / "plate.1001.exr"), "starts": 1001})


def render(frame: int, file: Path) -> Order:
    return ("render", {"frame": frame, "file": str(file), "size": SMALL})


# ------------------------------------------------------------------------------------------------ the day


def on_two_frames(shot: Shot) -> list[tuple[str, Order]]:
    """What an artist does who wants one mask on two frames: without one, with it, and with an animated one."""
    walks: Order = ("mask", {"points": circle((20.0, 20.0), 8), "size": SMALL, "name": "walks"})
    return [
        *plain(("scene", {}), plate(shot), MASK, ("at", {"frame": 1001})),
        ("none", ("add_mask", {})),
        ("first", ("add_mask", {"mask": "roto"})),
        ("taken", ("add_mask", {"mask": "roto"})),
        *plain(("at", {"frame": 1004})),
        ("copied", ("add_mask", {"mask": "roto"})),
        *plain(walks, ("at", {"frame": 1002}), ("animate", {"mask": "walks", "frame": 1002, "by": 0.0})),
        *plain(("animate", {"mask": "walks", "frame": 1006, "by": 0.2}), ("at", {"frame": 1002})),
        ("walks", ("add_mask", {"mask": "walks"})),
        *plain(("at", {"frame": 1006})),
        ("walks on", ("add_mask", {"mask": "walks"})),
        *plain(("at", {"frame": 1005})),
        ("on purpose", ("add_mask", {"mask": "roto", "copy": False})),
    ]


@pytest.fixture(scope="module")
def day(each_host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """One mask on two frames, Range, gaps, shots of one name, a moved project, keys, undo, deleted alphas, Cancel."""
    root = tmp_path_factory.mktemp("day")
    project, moved, seen = root / "project", root / "moved", root / "seen"
    first, second = make_shot(project / "sh010", count=COUNT), make_shot(project / "sh020", count=COUNT)
    holed = make_shot(project / "sh030", count=COUNT)
    for frame in (1004, 1005):
        (holed.folder / f"plate.{frame}.exr").unlink()
    with running(root / "engine", "--root", str(root)) as engine:
        connect: Order = ("preferences", {"connection": str(engine.file)})
        fix: Order = ("mask", {"points": circle((40.0, 20.0), 8), "size": SMALL, "name": "fix"})
        told = told_of(
            each_host,
            root / "first",
            [
                *on_two_frames(make_shot(root / "six", count=6)),
                ("out", ("property_of", {"name": "out", "fact": "is_path_supports_blend_relative"})),
                *plain(connect, ("scene", {}), ("save", {"file": str(project / "a.blend")})),
                *plain(plate(first), ("relative_plate", {}), ("setting", TOY), MASK, KEY),
                ("whole", MATTE),
                ("paths", ("paths", {})),
                ("at once", ("stale", {})),
                *plain(("setting", {"use_range": True, "first": 1005, "last": 1006})),
                ("range", MATTE),
                *plain(render(1003, seen / "range_1003.exr"), render(LAST, seen / "range_last.exr")),
                *plain(render(990, seen / "before.exr"), render(1020, seen / "after.exr")),
                ("range stale", ("stale", {})),
                *plain(("setting", {"use_range": False}), ("save", {"file": str(project / "a.blend")})),
                # A second key, a run, and back to the file as it was: what undo does.
                *plain(fix, ("key", {"frame": 1008, "mask": "fix"})),
                ("with a key", MATTE),
                *plain(("scene", {"blend": str(project / "a.blend")})),
                ("reverted", ("stale", {})),
                ("again", MATTE),
                ("again stale", ("stale", {})),
                ("delete", ("delete", {"file": str(project / "matte/plate/plate.1007.exr")})),
                ("deleted stale", ("stale", {})),
                ("mended", MATTE),
                *plain(("setting", {"mask_grow": 2})),
                ("cancelled", ("matte_cancelled", {"after": 2})),
                ("cancelled stale", ("stale", {})),
                *plain(("setting", {"mask_grow": 0})),
                ("after cancel", MATTE),
                *plain(("save", {"file": str(project / "a.blend")})),
                # One name, two plates.
                *plain(("new_scene", {"name": "Two"})),
                ("second plate", plate(second)),
                *plain(("setting", {"name": "plate", **TOY}), MASK, ("key", {"frame": 1001, "mask": "roto.001"})),
                ("second refused", MATTE),
                *plain(("setting", {"name": "sh020_plate"})),
                ("second", MATTE),
                ("groups", ("datablocks", {})),
                *plain(render(1003, seen / "second_1003.exr")),
                *plain(("scene", {}), ("save", {"file": str(project / "b.blend")}), plate(second)),
                *plain(("setting", TOY), MASK, KEY),
                ("other blend refused", MATTE),
                # A plate with a gap, and one with a long name.
                *plain(("scene", {}), plate(holed)),
                *plain(("setting", {**TOY, "skip_missing": True, "out": str(root / "gaps/{shot}.####.exr")})),
                *plain(MASK, KEY),
                ("gaps", MATTE),
                *plain(render(1004, seen / "gap_1004.exr"), render(1008, seen / "gap_1008.exr")),
                *plain(("scene", {}), plate(first), MASK, KEY),
                *plain(("setting", {**TOY, "name": "a_name_of_a_shot_that_goes_on_" * 4})),
                *plain(("setting", {"out": str(root / "long/a.####.exr")})),
                ("long once", MATTE),
                *plain(("setting", {"mask_grow": 1})),
                ("long twice", MATTE),
                ("long groups", ("datablocks", {})),
            ],
        )
        shutil.copytree(project, moved)
        shutil.rmtree(project / "matte")
        told |= told_of(
            each_host,
            root / "second",
            [
                *plain(connect, ("scene", {"blend": str(moved / "a.blend")})),
                *plain(render(1003, seen / "moved_1003.exr")),
                ("moved", MATTE),
                *plain(("scene", {}), ("link_scene", {"blend": str(moved / "a.blend"), "name": "Scene"})),
                ("linked scene", MATTE),
                *plain(("scene", {}), plate(first), ("setting", {**TOY, "out": str(root / "linked/{shot}.####.exr")})),
                *plain(("link_mask", {"blend": str(moved / "a.blend"), "name": "roto"}), KEY),
                ("linked mask", MATTE),
            ],
        )
    return root, told


def alpha_of(file: Path) -> np.ndarray:
    return read_image(file)[..., 3]


def same_picture(seen: Path, alpha: Path) -> bool:
    """Whether a render shows this very alpha."""
    return bool(np.abs(alpha_of(seen) - alpha_of(alpha)).max() <= 2**-10)


def test_a_narrower_range_leaves_every_frame_its_own_alpha(day: tuple[Path, Told]) -> None:
    root, told = day
    mattes = root / "moved/matte/plate"
    assert told["range"]["outcome"] == "finished"
    assert not np.array_equal(alpha_of(mattes / "plate.1003.exr"), alpha_of(mattes / "plate.1006.exr"))
    assert same_picture(root / "seen/range_1003.exr", mattes / "plate.1003.exr")
    assert same_picture(root / "seen/range_last.exr", mattes / f"plate.{LAST}.exr")
    assert alpha_of(root / "seen/before.exr").max() == 0
    assert alpha_of(root / "seen/after.exr").max() == 0
    assert f"{COUNT - 2} older ones on other frames" in told["range"]["said"]
    assert told["range stale"]["stale"] == []


def test_frames_after_a_gap_are_shown_and_the_gap_is_said(day: tuple[Path, Told]) -> None:
    root, told = day
    assert "no alpha on 1004-1005: it is 0 there" in told["gaps"]["said"]
    assert alpha_of(root / "seen/gap_1004.exr").max() == 0
    assert same_picture(root / "seen/gap_1008.exr", root / "gaps/plate.1008.exr")


def test_two_plates_of_one_name_never_share_alphas_or_groups(day: tuple[Path, Told]) -> None:
    root, told = day
    for refused in ("second refused", "other blend refused"):
        assert not told[refused]["ok"]
        assert "holds the masks or mattes of another plate" in told[refused]["error"]
        assert "sh010" in told[refused]["error"]
    assert told["second plate"]["name"] == "sh020_plate"  # the first one's name is taken
    assert told["second"]["outcome"] == "finished"
    assert told["groups"]["groups"] == ["MatAnyone: plate", "MatAnyone: sh020_plate"]
    assert (root / "moved/matte/sh020_plate/sh020_plate.1003.exr").is_file()


def test_a_moved_project_shows_its_alphas(day: tuple[Path, Told]) -> None:
    """The old folder's mattes are gone; the plate and the image are named from the .blend on."""
    root, told = day
    assert told["paths"]["images"]["MatAnyone: plate"] == "//matte/plate/plate.1001.exr"
    assert same_picture(root / "seen/moved_1003.exr", root / "moved/matte/plate/plate.1003.exr")
    assert told["moved"]["outcome"] == "finished", told["moved"]


def test_up_to_date_tells_of_the_result(day: tuple[Path, Told]) -> None:
    _, told = day
    assert told["at once"]["stale"] == []
    assert told["reverted"]["stale"] == ["the mattes on disk"]
    assert told["again stale"]["stale"] == []
    assert told["deleted stale"]["stale"] == ["the mattes on disk"]
    assert told["mended"]["outcome"] == "finished"


def test_a_cancelled_run_counts_what_is_new_and_what_is_old(day: tuple[Path, Told]) -> None:
    _, told = day
    cancelled = told["cancelled"]
    assert cancelled["outcome"] == "cancelled"
    new, old = (int(words.split()[0]) for words in cancelled["said"].removeprefix("cancelled: ").split(", "))
    assert 2 <= new < COUNT
    assert new + old == COUNT == len(cancelled["frames"])
    assert told["cancelled stale"]["stale"]
    assert told["after cancel"]["outcome"] == "finished"


def test_a_long_name_has_one_group(day: tuple[Path, Told]) -> None:
    _, told = day
    assert [told["long once"]["outcome"], told["long twice"]["outcome"]] == ["finished"] * 2
    assert len([name for name in told["long groups"]["groups"] if "goes_on" in name]) == 1
    assert len([name for name in told["long groups"]["images"] if "goes_on" in name]) == 1


def test_a_linked_scene_is_refused_and_a_linked_mask_is_drawn(day: tuple[Path, Told]) -> None:
    _, told = day
    assert "which is linked from" in told["linked scene"]["error"]
    assert told["linked mask"]["outcome"] == "finished", told["linked mask"]


# ------------------------------------------------------------------------------------------------ masks


def test_one_mask_on_two_frames_is_copied_or_refused(day: tuple[Path, Told]) -> None:
    _, told = day
    assert "expected a mask in this editor, got none" in told["none"]["error"]
    assert "expected a frame without a mask, got 1001" in told["taken"]["error"]
    assert told["copied"]["keys"] == [[1001, "roto"], [1004, "roto.001"]]
    assert told["copied"]["shows"] == "roto.001"
    assert told["walks on"]["keys"][2:] == [[1002, "walks"], [1006, "walks"]]  # it is animated: another one there
    assert told["on purpose"]["keys"][-1] == [1005, "roto"]


def test_painted_and_loaded_masks_do_not_hold_up_blender(each_host: Host, tmp_path: Path) -> None:
    """Four masks of UHD size, two painted, two from files: what the main thread does for them, and what they become."""
    grey = np.linspace(0, 1, UHD[0], dtype=np.float32)
    write_image(tmp_path / "plate.1001.exr", np.zeros((UHD[1], UHD[0], 3), np.float32), ("R", "G", "B"))
    mask = np.broadcast_to(grey[None, :, None], (UHD[1], UHD[0], 1))
    for name in ("boxed1", "boxed2"):
        write_image(tmp_path / f"{name}.exr", mask, ("Y",))
    with running(tmp_path / "engine", "--root", str(tmp_path)) as engine:
        told = told_of(
            each_host,
            tmp_path / "blender",
            [
                *plain(("preferences", {"connection": str(engine.file)}), ("scene", {})),
                *plain(("plate", {"file": str(tmp_path / "plate.1001.exr"), "starts": 1001})),
                *plain(("setting", {**TOY, "working_size": 48, "out": str(tmp_path / "mattes/{shot}.####.exr")})),
                *plain(*(("paint", {"size": UHD, "name": name}) for name in ("painted1", "painted2"))),
                *plain(*(("load_image", {"file": str(tmp_path / f"{name}.exr")}) for name in ("boxed1", "boxed2"))),
                *plain(
                    *(
                        ("key", {"frame": 1001 + number, "image": name})
                        for number, name in enumerate(("painted1", "painted2", "boxed1.exr", "boxed2.exr"))
                    )
                ),
                ("pressed", ("press_and_count", {})),
            ],
        )
    pressed = told["pressed"]
    print("longest call on the main thread:", pressed["longest_s"], "s")
    assert pressed["names"] == ["painted1", "painted2"]  # masks that are files never pass through this Blender
    assert pressed["on_main"]
    assert pressed["at_once"][0] == 0  # the press itself copies nothing
    assert max(pressed["at_once"]) == 1
    assert max(pressed["pages"]) < 50, "the system gave memory while Blender waited"
    masks = tmp_path / "mattes/masks/plate"
    assert np.allclose(read_image(masks / "subject.1001.exr")[..., 0], 0.25)
    assert np.abs(read_image(masks / "subject.1003.exr")[..., 0] - grey).max() < 2**-10


# ------------------------------------------------------------------------------------------------ the engine


def test_leaving_blender_stops_the_engines_work(each_host: Host, tmp_path: Path) -> None:
    """Blender ends while a matte runs: the engine has dropped the job long before its last frame."""
    count = 600  # many more than a quick machine computes while Blender ends
    shot = make_shot(tmp_path / "shot", count=count)
    mattes = tmp_path / "mattes"
    with running(tmp_path / "engine", "--root", str(tmp_path)) as engine:
        each_host.does(
            tmp_path / "blender",
            ("preferences", {"connection": str(engine.file)}),
            ("scene", {}), plate(shot), ("setting", {**TOY, "out": str(mattes / "{shot}.####.exr")}), MASK, KEY,
            ("start_and_wait", {"landed": 2}),
        )  # fmt: skip
        with EngineClient(lambda: find_engine(engine.file), "test") as client:
            deadline = time.monotonic() + 120
            while client.call(Status()).activity != "idle" and time.monotonic() < deadline:  # type: ignore[attr-defined]
                time.sleep(0.05)
            written = len(files(mattes))
            time.sleep(2)
    print("frames that were written", written, "of", count)
    assert 2 <= written < count / 2
    assert len(files(mattes)) == written


def test_an_engine_that_blender_starts_names_colours_as_any_other(
    each_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blender 5.2 sets OCIO to its own config for its children; here every Blender does."""
    shot = make_shot(tmp_path / "shot", count=2)
    config = next(
        each_host.blender.folder.glob("lib/python3*/site-packages/bpy/*/datafiles/colormanagement/config.ocio")
    )
    monkeypatch.setenv("MATANYONE_CONNECTION", str(tmp_path / "run/engine.json"))
    monkeypatch.setenv("MATANYONE_ENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OCIO", str(config))
    mattes = tmp_path / "mattes"
    told = each_host.does(
        tmp_path / "blender",
        ("preferences", {"program": sys.executable, "precision": "exact"}),
        ("scene", {}), plate(shot), MASK, KEY,
        ("setting", {"settle_passes": 1, "working_size": 48, "out": str(mattes / "{shot}.####.exr")}), MATTE,
        ("run", {"operator": "matanyone.engine", "what": "STOP"}),
    )  # fmt: skip
    assert told[-2].get("outcome") == "finished", told[-2]
    record = (mattes / "plate.matanyone.json").read_text()
    assert json.loads(record)["made"]["precision"] == "exact"  # as the preferences say
    assert "ocio://" in record
    assert "colormanagement" not in record


def test_the_output_field_takes_a_path_beside_the_blend(day: tuple[Path, Told], each_host: Host) -> None:
    """Blender 5.2 shows it in red otherwise."""
    _, told = day
    assert told["out"]["value"] in ((None,) if each_host.blender.version.startswith("4.2") else (True,))
