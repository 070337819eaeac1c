# SPDX-License-Identifier: Apache-2.0
"""Areas that are solved along the plate in real runs: only the frames that were named change, and no frame is computed
again for them.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.jobs import refine_areas
from matanyone_engine.jobs.cache import DiskCache
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.job_message import job_message, matte_job
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.one_call import job_of_call
from matanyone_engine.jobs.refine_areas import PREPARING
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone, Preparing, Unchanged
from matanyone_engine.media import matting_library, solve_area
from matanyone_engine.media.edges import EdgeControls, with_edges
from matanyone_engine.media.layouts import Delivery
from matanyone_engine.media.matting_library import MattingLibrary
from matanyone_engine.media.solve_area import MATCH, SolutionBefore, faded, solutions
from matanyone_engine.media.steady_edges import NeighbourFrame, grey_of, moved_here
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.runs.record import read_record

os.environ["NUMBA_DISABLE_JIT"] = "1"  # pymatting is tested as Python: compiling it takes seconds

AREAS = (1002, 1003, 1005)


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    shot = make_shot(tmp_path)
    for frame in AREAS:
        paint(shot, frame)
    return shot


def paint(shot: Shot, frame: int, left: int = 24) -> None:
    area = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    area[14:26, left : left + 12] = 1.0
    area[14, left : left + 12] = 0.5
    write_image(shot.folder / f"area.{frame}.exr", area, ("Y",))


def job(shot: Shot, *, area: bool = True, **options: Any) -> MatteJob:
    asked: dict[str, Any] = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.out / "a.####.exr")}
    asked |= {"warm_up_passes": 0, "accept_doubt": True, "delivery": Delivery("alpha", depth="float")}
    if area:
        asked["objects"] = (ObjectOptions(refine_area=str(shot.folder / "area.####.exr")),)
    return MatteJob(**{**asked, **options})


def made(shot: Shot, asked: MatteJob, **options: Any) -> dict[int, np.ndarray]:
    """Frame -> the alpha in its file, of the frames that were written."""
    found = list(run_matte(plan_matte(asked), *load_vetted(shot.weights, "cpu"), **options))
    return {event.frame: read_image(event.paths[0])[..., -1] for event in found if isinstance(event, FrameDone)}


def changed(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> list[int]:
    return [frame for frame in sorted(one) if not np.array_equal(one[frame], other[frame])]


def test_only_named_frames_change_and_none_is_computed_again(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = made(shot, job(shot, area=False))

    def computed(*_: object, **__: object) -> None:
        raise AssertionError("a frame was computed")

    for name in ("predict", "assign"):
        monkeypatch.setattr(f"matanyone_engine.matting.step.{name}", computed)
    plain = made(shot, job(shot, area=False))
    assert plain == {}, "without an area nothing is written again"
    refined = made(shot, job(shot))
    assert sorted(refined) == list(AREAS), "the files of frames without an area stand"
    expected = by_hand(shot, raw)
    assert changed(refined, {**raw, **expected}) == []
    assert changed(refined, raw) == list(AREAS)
    paint(shot, 1002, left=25)
    again = made(shot, job(shot))
    assert sorted(again) == [1002, 1003], "1003 looks at the solution of 1002; 1005 has no area before it"
    gone = shot.folder / "area.1005.exr"
    gone.unlink()
    assert sorted(made(shot, job(shot))) == [1005]


def by_hand(shot: Shot, raw: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Solve the areas from files: 1003 with the solution of 1002 before it, the others alone."""
    plan = plan_matte(job(shot))
    views = {frame: plan.network_view(plan.source.read(frame).rgb) for frame in AREAS}
    areas = {frame: read_image(shot.folder / f"area.{frame}.exr")[..., 0] for frame in AREAS}
    alone = {frame: solutions(views[frame], raw[frame], areas[frame], [None])[0] for frame in AREAS}
    neighbour = NeighbourFrame(alone[1002], grey_of(views[1002]))
    before = SolutionBefore(*moved_here(neighbour, grey_of(views[1003]), MATCH))
    found = {**alone, 1003: solutions(views[1003], raw[1003], areas[1003], [before])[0]}
    return {frame: faded(raw[frame], found[frame], areas[frame]) for frame in AREAS}


def test_parts_of_a_shot_have_the_alphas_of_the_whole(shot: Shot, tmp_path: Path) -> None:
    keys = {"mask": "", "keys": (KeyMask(str(shot.mask), (1004,)),)}  # a pass runs back to 1001
    whole = made(shot, job(shot, **keys))
    for frames in ((1003,), (1005, 1006)):
        cold = DiskCache(tmp_path / f"cache{frames[0]}")
        part = made(shot, job(shot, frames=frames, out=str(shot.folder / "part" / "a.####.exr"), **keys), cache=cold)
        cold.close()
        assert sorted(part) == list(frames)
        assert changed(part, whole) == []


def test_a_key_looks_at_no_frame_before_it(shot: Shot) -> None:
    plan = plan_matte(job(shot, mask="", keys=(KeyMask(str(shot.mask), (1001,)), KeyMask(str(shot.mask), (1003,)))))
    assert plan.areas.before("subject", 1003) == ()
    assert plan_matte(job(shot)).areas.before("subject", 1003) == (1002,)
    assert plan_matte(job(shot)).areas.before("subject", 1005) == ()


def test_edge_controls_come_after_the_solution_and_files_say_what_was_done(shot: Shot) -> None:
    raw = made(shot, job(shot, area=False))
    refined = {**raw, **made(shot, job(shot))}
    controls = EdgeControls(edge_grow=-0.5)
    edged = made(shot, job(shot, edges=controls))
    sure = {each: said.confidence["subject"].value >= 0.5 for each, said in record_of(shot).frames.items()}
    expected = {each: with_edges(alpha, controls, core_is_sure=sure[each]) for each, alpha in refined.items()}
    assert changed(edged, expected) == []
    said = [oiio.ImageBuf(str(shot.out / f"a.{frame}.exr")).spec() for frame in (1004, 1005)]
    assert said[0].getattribute("matanyone:refine_area") is None
    assert str(said[1].getattribute("matanyone:refine_area")).startswith("subject=area.1005.exr; pymatting ")
    assert record_of(shot).job["objects"][0]["refine_area"] == str(shot.folder / "area.####.exr")


def record_of(shot: Shot) -> Any:
    return read_record(shot.out / "a.matanyone.json")


def test_a_black_area_counts_as_no_area(shot: Shot) -> None:
    for frame in AREAS:
        write_image(shot.folder / f"area.{frame}.exr", np.zeros((HEIGHT, WIDTH, 1)), ("Y",))
    assert not plan_matte(job(shot)).areas.files


def test_areas_that_cannot_be_are_refused_before_work(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    one = str(shot.folder / "area.1002.exr")
    with pytest.raises(MaskError, match="one file"):
        plan_matte(job(shot, objects=(ObjectOptions(refine_area=one),)))
    (shot.folder / "late").mkdir()
    (shot.folder / "late" / "area.2000.exr").write_bytes((shot.folder / "area.1002.exr").read_bytes())
    with pytest.raises(MaskError, match="2000"):
        plan_matte(job(shot, objects=(ObjectOptions(refine_area=str(shot.folder / "late" / "area.####.exr")),)))
    keys = (KeyMask(str(shot.mask), (1001,)), KeyMask(str(shot.mask), (1001,), "twin"))
    twin = (ObjectOptions("twin", distractor=True, refine_area=str(shot.folder / "area.####.exr")),)
    with pytest.raises(SettingError, match="distractor 'twin'"):
        plan_matte(job(shot, mask="", keys=keys, objects=twin))
    write_image(shot.folder / "area.1002.exr", np.zeros((HEIGHT, WIDTH // 2, 1)), ("Y",))
    with pytest.raises(MaskError, match="64x48"):
        plan_matte(job(shot))
    paint(shot, 1002)
    monkeypatch.setattr(solve_area, "is_installed", lambda: False)
    assert main(shot.arguments("--refine-area", str(shot.folder / "area.####.exr"))) == 2
    assert not shot.out.exists()


def test_the_library_is_loaded_before_the_first_step_and_events_say_so(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a host sees no progress while it is compiled, and calls the device stalled after a minute."""
    load = matting_library._load

    def slow() -> MattingLibrary:
        time.sleep(0.3)
        return load()

    monkeypatch.setattr(refine_areas, "_PREPARING_S", 0.1)
    monkeypatch.setattr(matting_library, "_load", slow)
    monkeypatch.setattr(matting_library, "_loaded", [])
    network = load_vetted(shot.weights, "cpu")
    plain = list(run_matte(plan_matte(job(shot, area=False)), *network))
    assert not any(isinstance(event, Preparing) for event in plain)
    assert not matting_library.is_loaded()
    first = list(run_matte(plan_matte(job(shot)), *network))
    steps = [event for event in first if not isinstance(event, Unchanged)]
    told = [event for event in steps if isinstance(event, Preparing)]
    assert steps[: len(told)] == told
    assert len(told) >= 2
    assert {event.what for event in told} == {PREPARING}
    paint(shot, 1002, left=25)
    second = list(run_matte(plan_matte(job(shot)), *network))
    assert not any(isinstance(event, Preparing) for event in second), "it is loaded once"


def test_a_stop_does_not_wait_until_the_library_is_loaded(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()

    def waits() -> None:
        going_on.wait(60)

    monkeypatch.setattr(refine_areas, "_PREPARING_S", 0.1)
    monkeypatch.setattr(refine_areas, "_load_quietly", waits)
    monkeypatch.setattr(matting_library, "_loaded", [])
    told: list[object] = []
    stopped = run_matte(plan_matte(job(shot)), *load_vetted(shot.weights, "cpu"), stopping=lambda: len(told) >= 3)
    for event in stopped:
        told.append(event)
    going_on.set()
    assert [type(event) for event in told] == [Preparing] * 3


def test_a_library_that_cannot_be_loaded_is_an_error_with_an_action(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> MattingLibrary:
        raise ImportError("Numba needs NumPy 2.4 or less")

    monkeypatch.setattr(matting_library, "_load_with", broken)
    monkeypatch.setattr(matting_library, "_loaded", [])
    with pytest.raises(SettingError, match=r"Numba needs NumPy.*Install it again"):
        made(shot, job(shot))


def test_every_way_in_says_the_same_area(shot: Shot, tmp_path: Path) -> None:
    pattern = str(shot.folder / "area.####.exr")
    asked = job_of_call(shot.plate, {"hero": str(shot.mask)}, "a.####.exr", {}, refine_area={"hero": pattern})
    assert asked.objects == (ObjectOptions("hero", refine_area=pattern),)
    assert matte_job(job_message(asked, "mini")).objects == asked.objects
    saved = tmp_path / "job.json"
    assert main(shot.arguments("--refine-area", pattern, "--save-job", str(saved))) == 0
    assert f'"refine_area": "{pattern}"' in saved.read_text()
    assert main(["run", str(saved)]) == 0
    found = list(run_matte(plan_matte(job(shot)), *load_vetted(shot.weights, "cpu")))
    assert [each for each in found if isinstance(each, Unchanged)] == [], "that was another output"
