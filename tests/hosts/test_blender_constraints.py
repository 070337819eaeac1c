# SPDX-License-Identifier: Apache-2.0
"""Masks that count on every frame, in a real Blender: an animated guide, where the object is, and where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from blender_extension import BLENDERS
from blender_host import KEY, MASK, MATTE, SMALL, Host, Order, Told, circle, plain, set_up, told_of
from engines import running
from shots import HEIGHT, WIDTH, make_shot, read_image, write_image

from matanyone_engine.jobs.guide_keys import with_keys_of_guides

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")

COUNT, LAST = 6, 1006
FAR = (WIDTH - 6.0, 6.0)
"""A corner that the subject never reaches."""
STALE: Order = ("stale", {})
STROKES = json.dumps(
    [
        {"points": [[0.4, 0.5], [0.6, 0.5]], "radius": 0.2, "erase": False},
        {"points": [[0.6, 0.5]], "radius": 0.1, "erase": True},
    ]
)


def drawn(name: str, centre: tuple[float, float], radius: float) -> Order:
    return ("mask", {"points": circle(centre, radius), "size": SMALL, "name": name})


def copied(root: Path, frame: int, name: str) -> Order:
    return ("copy", {"file": str(root / f"mattes/plate.{frame}.exr"), "to": str(root / f"{name}.{frame}.exr")})


def area_of(file: Path) -> str | None:
    """Return which area the header of an alpha names."""
    said = oiio.ImageBuf(str(file)).spec().getattribute("matanyone:refine_area")
    return None if said is None else str(said).split(";")[0]


@pytest.fixture(scope="module")
def steered(host_of_module: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """A guide that walks to the right by 10 pixels, a spot inside, a spot outside, a file of what is outside."""
    root = tmp_path_factory.mktemp("steered")
    shot, (x, y) = make_shot(root / "shot", count=COUNT), (WIDTH / 2, HEIGHT / 2)
    for name in ("never.exr", "nowhere.exr"):
        write_image(root / name, np.zeros((HEIGHT, WIDTH, 1), np.float32), ("Y",))
    guides: Order = ("times", {"folder": str(root / "mattes/masks/plate"), "pattern": "subject.guide.*.exr"})
    with running(root / "engine", "--root", str(root)) as engine:
        told = told_of(
            host_of_module,
            root / "blender",
            [
                *plain(("preferences", {"connection": str(engine.file)}), *set_up(shot, root / "mattes"), MASK, KEY),
                *plain(drawn("rough", (x - 5, y), 18), drawn("core", FAR, 3), drawn("wall", (x, y), 3)),
                *plain(("animate", {"mask": "rough", "frame": 1001, "by": 0.0})),
                *plain(("animate", {"mask": "rough", "frame": LAST, "by": 10 / WIDTH}), ("at", {"frame": 1003})),
                *plain(("constraints", {"guide_mask": "rough", "inside_mask": "core", "outside_mask": "wall"})),
                *plain(("constraints", {"guide_band": 3})),
                ("matted", MATTE),
                ("before", guides),
                *(("at rest", step) for step in (STALE, ("at", {"frame": 1001}), STALE)),
                *plain(("animate", {"mask": "rough", "frame": LAST, "by": 4 / WIDTH})),
                ("guide moved", STALE),
                ("again", MATTE),
                ("after", guides),
                ("again at rest", STALE),
                *plain(("fade", {"mask": "rough", "frames": {1004: 1.0, 1005: 0.0}})),
                ("faded", STALE),
                *plain(("constraints", {"outside_mask": "", "outside": str(root / "never.exr")})),
                ("with a file", MATTE),
                ("file at rest", STALE),
                *plain(("copy", {"file": str(root / "mattes/plate.1001.exr"), "to": str(root / "never.exr")})),
                ("file changed", STALE),
                *plain(("at", {"frame": 1003}), ("run", {"operator": "matanyone.area_paint", "strokes": STROKES})),
                ("painted", STALE),
                ("shown", ("area_shown", {"frames": [1003, 1002]})),
                *plain(("setting", {"show_area": False})),
                ("hidden", ("area_shown", {"frames": [1003]})),
                ("refined", MATTE),
                ("refined, at rest", STALE),
                *plain(*(copied(root, frame, "painted") for frame in (1002, 1003))),
                *plain(("constraints", {"area_mask": "core"})),
                ("two areas", MATTE),
                *plain(("run", {"operator": "matanyone.area_remove", "index": 0})),
                ("area of a mask", MATTE),
                *plain(*(copied(root, frame, "masked") for frame in (1002, 1003))),
                *plain(("constraints", {"area_mask": ""})),
                *plain(("clear_keys", {}), ("constraints", {"outside": str(root / "nowhere.exr")})),
                ("without a mask", ("press_and_look", {})),
                ("without a mask, at rest", STALE),
                *plain(("constraints", {"guide_mask": ""})),
                ("without anything", MATTE),
            ],
        )
    return root, told


def guide_of(root: Path, frame: int) -> np.ndarray:
    return read_image(root / f"mattes/masks/plate/subject.guide.{frame}.exr")[..., 0]


def test_a_mask_of_every_frame_reaches_the_job(steered: tuple[Path, Told]) -> None:
    root, _ = steered
    said = json.loads((root / "mattes/plate.matanyone.json").read_text())["job"]["objects"][0]
    assert said["guide_band"] == 3
    names = {side: Path(said[side]).name for side in ("guide", "inside", "outside")}
    assert names == {  # of the last run, in which a file is what is outside
        "guide": "subject.guide.####.exr",
        "inside": "subject.inside.####.exr",
        "outside": "nowhere.exr",
    }
    for side in names:
        assert len(list((root / "mattes/masks/plate").glob(f"subject.{side}.1*.exr"))) == COUNT


def test_a_guide_is_drawn_as_each_frame_shows_it(steered: tuple[Path, Told]) -> None:
    """It walks from 5 pixels left of the middle to 9 right of it; from 1005 on its opacity is 0."""
    root, _ = steered
    for frame, centre in ((1001, WIDTH / 2 - 5), (1004, WIDTH / 2 - 5 + 14 * 3 / 5)):
        guide = guide_of(root, frame)
        found = float((guide.sum(axis=0) * (np.arange(WIDTH) + 0.5)).sum() / guide.sum())
        assert abs(found - centre) < 0.3, frame
    assert guide_of(root, 1005).max() == guide_of(root, LAST).max() == 0


def test_alphas_keep_to_the_masks(steered: tuple[Path, Told]) -> None:
    root, told = steered
    assert told["matted"]["outcome"] == told["with a file"]["outcome"] == "finished"
    alpha = read_image(root / "mattes/plate.1004.exr")[..., 3]
    assert alpha[int(FAR[1]), int(FAR[0])] == 1  # where the mask inside says so
    header = (root / "mattes/plate.matanyone.json").read_text()
    assert "subject=subject.guide.####.exr band 3" in header


def test_an_area_that_is_painted_is_refined(steered: tuple[Path, Told]) -> None:
    """On its own frame, and it makes the matte out of date. A Mask counts on every frame; both together are refused."""
    root, told = steered
    assert (told["painted"]["stale"], told["refined, at rest"]["stale"]) == (["the settings", "a mask"], [])
    (there, elsewhere), hidden = told["shown"]["covers"], told["hidden"]["covers"]
    assert 0 < there < 0.5
    assert [elsewhere, *hidden] == [None, None], "on its own frame, where it is not switched off"
    assert told["refined"]["outcome"] == told["area of a mask"]["outcome"] == "finished"
    for name, first in (("painted", None), ("masked", "subject=subject.area.1002.exr")):
        assert area_of(root / f"{name}.1002.exr") == first
        assert area_of(root / f"{name}.1003.exr") == "subject=subject.area.1003.exr"
    assert "got a Mask beside a painted one" in told["two areas"]["error"]
    area = read_image(root / "mattes/masks/plate/subject.area.1003.exr")[..., 0]
    assert area[int(FAR[1]), int(FAR[0])] > 0.9, "the Mask, and nothing of what was painted before"
    assert area[HEIGHT // 2, WIDTH // 2] == 0


def test_a_guide_without_a_mask_makes_the_key_that_the_engine_would_make(steered: tuple[Path, Told]) -> None:
    root, told = steered
    assert told["without a mask"]["outcome"] == "finished", told["without a mask"]
    assert told["without a mask, at rest"]["stale"] == []
    guide = str(root / "mattes/masks/plate/subject.guide.####.exr")
    (key,) = with_keys_of_guides((), {"subject": guide}, range(1001, LAST + 1))
    job = json.loads((root / "mattes/plate.matanyone.json").read_text())["job"]
    assert job["keys"] == [{"file": guide, "frames": list(key.frames), "object": "subject"}]
    assert "expected a mask on at least one frame" in told["without anything"]["error"]


def test_blenders_main_thread_asks_the_disk_for_a_few_files_however_long_a_shot_is(
    steered: tuple[Path, Told],
) -> None:
    """It writes the masks' datablocks down and looks at one file of the plate; the network thread looks at the rest."""
    _, told = steered
    looked = told["without a mask"]
    print(looked["press"], looked["ticks"])
    for asked in (looked["press"], *looked["ticks"]):
        assert not [what for what in asked if what[0] in ("scandir", "listdir")]
    opened = [file for what, file in looked["press"] if what == "open"]
    assert len(opened) <= 2, opened
    assert len(looked["press"]) <= 6
    assert max(map(len, looked["ticks"]), default=0) <= 2


def test_a_guide_that_moves_makes_the_matte_out_of_date(steered: tuple[Path, Told]) -> None:
    """Wherever the playhead is; a still matte stays up to date while one scrubs."""
    _, told = steered
    assert told["at rest"]["stale"] == []
    for label in ("guide moved", "faded"):
        assert told[label]["stale"] == ["a mask"], label
    assert told["again at rest"]["stale"] == []


def test_frames_of_a_guide_that_have_not_changed_are_not_drawn_again(steered: tuple[Path, Told]) -> None:
    _, told = steered
    before, after = told["before"]["times"], told["after"]["times"]
    assert len(before) == len(after) == COUNT
    same = [name for name in before if before[name] == after[name]]
    assert same == ["subject.guide.1001.exr"]  # the walk begins there as it did


def test_a_mask_file_that_changes_makes_the_matte_out_of_date(steered: tuple[Path, Told]) -> None:
    _, told = steered
    assert told["file at rest"]["stale"] == []
    assert told["file changed"]["stale"] == ["a mask"]
