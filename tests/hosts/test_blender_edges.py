# SPDX-License-Identifier: Apache-2.0
"""Edge controls in real Blenders: they are kept, sent, and applied a moment after they were turned.

That the network does not run for it is tested in tests/jobs/test_edge_finish.py.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from blender_extension import BLENDERS
from blender_host import KEY, MASK, MATTE, Host, Order, Told, plain, set_up, told_of
from engines import running
from shots import make_shot, read_image

from matanyone_engine.media.edges import LIMITS, EdgeControls, with_edges
from matanyone_engine.wire.jobfile import read_job_file
from matanyone_engine.wire.messages import EdgeControls as SentControls

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")

COUNT = 6
FRAMES = range(1001, 1001 + COUNT)
STALE: Order = ("stale", {})
RERUN: Order = ("run", {"operator": "matanyone.rerun"})
IN_A_ROW = {"turns": [{"deflicker": 0.5}, {"deflicker": 1.0}] * 2, "frame": 1002, "between": 0.6}
GROWN = {"edge_grow": 1.5, "gamma": 1.25}


def kept_as(root: Path, name: str) -> list[tuple[str, Order]]:
    """Return orders that keep the mattes as they are now."""
    files = ((root / f"mattes/plate.{frame}.exr", root / f"{name}.{frame}.exr") for frame in FRAMES)
    return plain(*(("copy", {"file": str(file), "to": str(to)}) for file, to in files))


@pytest.fixture(scope="module")
def turned(each_host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """One object is matted, and then its controls are turned: by the button, the timer, and undo."""
    root = tmp_path_factory.mktemp("edges")
    shot, blend = make_shot(root / "shot", count=COUNT), str(root / "a.blend")
    with running(root / "engine", "--root", str(root)) as engine:
        connect: Order = ("preferences", {"connection": str(engine.file)})
        first = told_of(
            each_host,
            root / "first",
            [
                *plain(connect, *set_up(shot, root / "mattes"), MASK, KEY),
                ("controls", ("edge_properties", {})),
                ("panel of a distractor", ("edges_panel", {"distractor": True})),
                ("panel", ("edges_panel", {"distractor": False})),
                ("matted", MATTE),
                ("at rest", STALE),
                *kept_as(root, "raw"),
                ("masks", ("times", {"folder": str(root / "mattes/masks/plate"), "pattern": "*.exr"})),
                *plain(("save", {"file": blend})),
            ],
        )
        second = told_of(
            each_host,
            root / "second",
            [
                *plain(connect, ("scene", {"blend": blend})),
                ("kept", ("edges", GROWN)),
                ("stale", STALE),
                ("by the button", RERUN),
                ("at rest again", STALE),
                *kept_as(root, "button"),
                ("by the timer", ("turn_and_wait", {"turns": [{"gamma": 1.0}, {"edge_grow": -0.5}], "frame": 1004})),
                ("timer at rest", STALE),
                *kept_as(root, "timer"),
                ("by undo", ("turn_and_wait", {"turns": [GROWN], "frame": 1, "undo": True})),
                *kept_as(root, "undo"),
                ("one after the other", ("turn_and_wait", IN_A_ROW)),
                ("turned in a row", STALE),
                *kept_as(root, "steady"),
                ("masks after", ("times", {"folder": str(root / "mattes/masks/plate"), "pattern": "*.exr"})),
                *plain(("run", {"operator": "matanyone.save_job", "filepath": str(root / "a.json")})),
                *plain(("save", {"file": blend}), ("scene", {"blend": blend})),
                ("opened", ("edges", {})),
                ("reset", ("run", {"operator": "matanyone.edges_reset"})),
                ("after reset", ("edges", {})),
                ("back", RERUN),
                *kept_as(root, "back"),
                *plain(("setting", {"edges_at_once": False})),
                ("off", ("turn_and_wait", {"turns": [{"gamma": 2.0}], "frame": 1002})),
                *plain(("setting", {"edges_at_once": True, "mask_grow": 2})),
                ("mask too", ("turn_and_wait", {"turns": [{"gamma": 1.5}], "frame": 1002})),
                ("mask too, stale", STALE),
                *plain(("setting", {"mask_grow": 0}), ("edges", {"white_clip": 0.2, "black_clip": 0.5})),
                ("cannot be", RERUN),
                *plain(("edges", {"white_clip": 1.0, "black_clip": 0.0})),
                *plain(("delete", {"file": str(root / "mattes/masks/plate/subject.1001.exr")})),
                ("mask gone", RERUN),
            ],
        )
    return root, {**first, **second}


def alphas(root: Path, name: str) -> dict[int, np.ndarray]:
    return {frame: read_image(root / f"{name}.{frame}.exr")[..., 3] for frame in FRAMES}


def are(found: dict[int, np.ndarray], raw: dict[int, np.ndarray], controls: EdgeControls) -> bool:
    """Return whether alphas are the raw ones with these controls, to the half floats of their files."""
    return all(np.abs(found[frame] - with_edges(raw[frame], controls)).max() < 2**-9 for frame in FRAMES)


def test_the_panel_has_the_controls_of_the_engine(turned: tuple[Path, Told]) -> None:
    _, told = turned
    shown = told["controls"]["controls"]
    assert [each["field"] for each in shown] == [each.name for each in fields(EdgeControls)]
    for each in shown:
        assert (each["hard_min"], each["hard_max"]) == pytest.approx(LIMITS[each["field"]])
        assert each["default"] == getattr(EdgeControls(), each["field"])
        assert len(each["description"]) > 30
        assert not each["description"].endswith(".")  # Blender adds it


def test_the_panel_shows_them_in_the_order_in_which_they_are_applied(turned: tuple[Path, Told]) -> None:
    _, told = turned
    names = [each.name for each in fields(EdgeControls)]
    assert told["panel"]["drawn"] == [*names, "edges_at_once", "matanyone.edges_reset"]
    assert told["panel"]["registered"] == [True, True, True]
    assert told["panel of a distractor"]["drawn"] == ["A distractor gets no matte"]


def test_turned_controls_make_the_matte_out_of_date_and_a_run_mends_it(turned: tuple[Path, Told]) -> None:
    root, told = turned
    assert told["at rest"]["stale"] == []
    assert told["stale"]["stale"] == ["the edges"]
    assert (told["by the button"]["outcome"], told["by the button"]["written"]) == ("finished", COUNT)
    assert told["at rest again"]["stale"] == []
    raw = alphas(root, "raw")
    assert are(alphas(root, "button"), raw, EdgeControls(**GROWN))
    assert not are(alphas(root, "button"), raw, EdgeControls())


def test_the_mattes_are_written_a_moment_after_a_control_was_turned(turned: tuple[Path, Told]) -> None:
    root, told = turned
    timer = told["by the timer"]
    assert timer["runs"] == [["finished", COUNT, True, ""]]  # two turns within a moment are one run
    assert timer["first"][0][0] in (1001, 1004)
    assert told["timer at rest"]["stale"] == []
    assert are(alphas(root, "timer"), alphas(root, "raw"), EdgeControls(edge_grow=-0.5))


def test_undo_has_them_written_too(turned: tuple[Path, Told]) -> None:
    root, told = turned
    assert told["by undo"]["runs"] == [["finished", COUNT, True, ""]]
    assert are(alphas(root, "undo"), alphas(root, "raw"), EdgeControls(**GROWN))


def test_the_last_turn_is_what_counts_and_a_run_for_an_older_one_ends(turned: tuple[Path, Told]) -> None:
    root, told = turned
    runs = told["one after the other"]["runs"]
    assert runs[-1][0] == "finished"
    assert all(each[0] in ("finished", "cancelled") and each[2] for each in runs)
    assert told["turned in a row"]["stale"] == []
    raw, steady = alphas(root, "raw"), alphas(root, "steady")
    plain_ones = {frame: with_edges(raw[frame], EdgeControls(**GROWN)) for frame in FRAMES}
    assert any(np.abs(steady[frame] - plain_ones[frame]).max() > 0.01 for frame in FRAMES)
    assert np.abs(steady[1001] - plain_ones[1001]).max() < 2**-9  # the key frame stays


def test_our_part_of_the_main_thread_is_short(turned: tuple[Path, Told]) -> None:
    _, told = turned
    for order in ("by the timer", "by undo", "one after the other"):
        assert max(told[order]["longest"].values()) < 0.1, told[order]["longest"]


def test_no_mask_is_drawn_again_for_an_edge(turned: tuple[Path, Told]) -> None:
    _, told = turned
    assert told["masks after"]["times"] == told["masks"]["times"]


def test_a_job_file_and_the_blend_keep_the_controls(turned: tuple[Path, Told]) -> None:
    root, told = turned
    job = read_job_file((root / "a.json").read_text()).job
    assert job.edges == SentControls(**GROWN, deflicker=1.0)
    kept = {**{each.name: each.default for each in fields(EdgeControls)}, **GROWN, "deflicker": 1.0}
    assert told["opened"]["kept"] == pytest.approx(kept)
    assert told["after reset"]["kept"] == {each.name: each.default for each in fields(EdgeControls)}
    assert told["back"]["outcome"] == "finished"
    assert are(alphas(root, "back"), alphas(root, "raw"), EdgeControls())


def test_nothing_is_written_by_itself_where_it_is_off_or_more_has_changed(turned: tuple[Path, Told]) -> None:
    _, told = turned
    assert told["off"]["runs"] == []
    assert told["mask too"]["runs"] == []
    assert set(told["mask too, stale"]["stale"]) == {"the settings", "the edges"}


def test_controls_that_cannot_be_are_refused_in_the_panels_words(turned: tuple[Path, Told]) -> None:
    _, told = turned
    assert "White Clip of subject" in told["cannot be"]["error"]
    assert "in the panel Edges" in told["cannot be"]["error"]


def test_a_mask_that_somebody_has_deleted_is_drawn_again(turned: tuple[Path, Told]) -> None:
    root, told = turned
    assert told["mask gone"]["outcome"] == "finished"
    assert (root / "mattes/masks/plate/subject.1001.exr").is_file()


@pytest.fixture(scope="module")
def two(host_of_module: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """Two objects, of which one has its edges turned."""
    root = tmp_path_factory.mktemp("two")
    shot = make_shot(root / "shot", count=COUNT)
    names = [f"{name}.{frame}.exr" for name in ("hero", "dog") for frame in FRAMES]
    raw = plain(
        *(("copy", {"file": str(root / f"mattes/plate_{each}"), "to": str(root / f"raw_{each}")}) for each in names)
    )
    with running(root / "engine", "--root", str(root)) as engine:
        told = told_of(
            host_of_module,
            root / "blender",
            [
                *plain(("preferences", {"connection": str(engine.file)}), *set_up(shot, root / "mattes"), MASK, KEY),
                *plain(("key", {"frame": 1003, "mask": "roto", "object": 1})),
                *plain(("name_objects", {"names": ["hero", "dog"]})),
                *plain(("setting", {"out": str(root / "mattes/{shot}_{object}.####.exr")})),
                ("matted", MATTE),
                *raw,
                *plain(("edges", {"object": 1, "edge_grow": 1.0})),
                ("stale", STALE),
                ("edged", RERUN),
                ("at rest", STALE),
                *plain(("run", {"operator": "matanyone.save_job", "filepath": str(root / "own.json")})),
                *plain(("edges", {"object": 0, "edge_grow": 1.0})),
                *plain(("run", {"operator": "matanyone.save_job", "filepath": str(root / "shared.json")})),
            ],
        )
    return root, told


def test_each_object_has_its_own_controls(two: tuple[Path, Told]) -> None:
    root, told = two
    assert told["stale"]["stale"] == ["the edges"]
    assert told["edged"]["outcome"] == "finished"
    assert told["at rest"]["stale"] == []
    grown = EdgeControls(edge_grow=1.0)
    for name, controls in (("hero", EdgeControls()), ("dog", grown)):
        for frame in FRAMES:
            raw = read_image(root / f"raw_{name}.{frame}.exr")[..., 3]
            found = read_image(root / f"mattes/plate_{name}.{frame}.exr")[..., 3]
            assert np.abs(found - with_edges(raw, controls)).max() < 2**-9, (name, frame)


def test_controls_that_all_objects_share_are_those_of_the_job(two: tuple[Path, Told]) -> None:
    """Engines before protocol 1.5 know controls of the job only."""
    root, _ = two
    own, shared = (json.loads((root / f"{name}.json").read_text())["job"] for name in ("own", "shared"))
    assert "edges" not in own
    assert {each["name"]: each.get("edges") for each in own["objects"]} == {"hero": None, "dog": {"edge_grow": 1.0}}
    assert shared["edges"] == {"edge_grow": 1.0}
    assert all("edges" not in each for each in shared["objects"])
