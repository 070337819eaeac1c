# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import Shot, make_shot, read_image, write_image

from matanyone_engine.errors import MaskError, OutputError, PlateError, SettingError
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.plates import SequencePlate
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.service.delivery import Outputs
from matanyone_engine.service.guard import CUT_SUBJECT
from matanyone_engine.service.job import (
    MatteJob,
    MattePlan,
    fingerprint,
    plan_matte,
    provenance,
    run_matte,
    stamps,
    waiting_bytes,
)
from matanyone_engine.service.resume import ResumePoint, read_resume_point, write_resume_point


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def job(shot: Shot, **options: object) -> MatteJob:
    asked = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.out / "a.####.exr"), "settle_passes": 0}
    return MatteJob(**{**asked, **options})


def order(plan: MattePlan) -> str:
    """The steps as text: the mask's frame in brackets, one that is only seeded again in round ones."""
    marks = {(True, True): "[{}]", (True, False): "({})", (False, True): "{}"}
    return " ".join(marks[step.seeds, step.delivers].format(step.frame - 1000) for step in plan.steps)


@pytest.mark.parametrize(
    ("key", "expected"),
    [(None, "[1] 2 3 4 5 6"), (1003, "[3] 4 5 6 (3) 2 1"), (1006, "[6] (6) 5 4 3 2 1")],
)
def test_a_shot_runs_from_the_mask_on_and_from_the_mask_back(shot: Shot, key: int | None, expected: str) -> None:
    assert order(plan_matte(job(shot, mask_frame=key))) == expected


def test_planning_writes_nothing_and_hears_every_plate(shot: Shot) -> None:
    heard: list[tuple[int, int]] = []
    plan_matte(job(shot), lambda done, of: heard.append((done, of)))
    assert heard == [(n, 6) for n in range(1, 7)]
    assert shot.written() == []


def test_the_mask_is_named_when_it_is_not_one_of_the_frames(shot: Shot) -> None:
    with pytest.raises(MaskError, match="1001-1006"):
        plan_matte(job(shot, mask_frame=1010))


@pytest.mark.parametrize(
    "change",
    [
        "settle_passes",
        "mask_grow",
        "working_size",
        "refine",
        "region",
        "hold_tolerance",
        "frames",
        "mask",
        "plate",
        "exposure",
        "colorspace",
    ],
)
def test_whatever_changes_the_alphas_changes_the_fingerprint(shot: Shot, change: str) -> None:
    weights = load_vetted(shot.weights, "cpu")[1]
    before = plan_matte(job(shot))
    old = fingerprint(before, provenance(before, weights), plates_of(before))
    options = {
        "settle_passes": 3,
        "mask_grow": 2,
        "working_size": 32,
        "refine": False,
        "region": "follow",
        "hold_tolerance": None,
        "frames": (1001, 1002),
        "exposure": 0.5,
        "colorspace": "ACEScg",
    }
    if change == "mask":
        write_image(shot.mask, read_image(shot.mask) * 0.5, ("Y",))
    if change == "plate":
        os.utime(shot.folder / "plate.1004.exr", (1, 1))
    after = plan_matte(dataclasses.replace(job(shot), **{change: options[change]}) if change in options else job(shot))
    assert fingerprint(after, provenance(after, weights), plates_of(after)) != old


def test_exposure_is_for_the_network_and_has_limits(shot: Shot) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    plain, brighter = plan_matte(job(shot, frames=(1001,))), plan_matte(job(shot, frames=(1001,), exposure=2.0))
    first, second = next(run_matte(plain, network, weights)), next(run_matte(brighter, network, weights))
    assert second.view.mean() > first.view.mean() + 0.1
    assert not np.array_equal(first.alpha, second.alpha)
    assert provenance(brighter, weights)["exposure"] == "2"
    assert "exposure +2 stops" in provenance(brighter, weights)["networkView"]
    with pytest.raises(SettingError, match="16 stops"):
        plan_matte(job(shot, exposure=99.0))


def plates_of(plan: MattePlan) -> list[tuple[str, int, int]]:
    return [stamp for step in plan.steps for stamp in stamps(plan.source, step.frame)]


def test_a_plate_that_was_not_used_yet_may_be_repaired_but_no_other(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=14)
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot))
    events = run_matte(plan, network, weights)
    for _ in range(3):
        next(events)
    events.close()
    following = 1001 + read_resume_point(shot.out / ".a.exr.resume").done
    os.utime(shot.folder / f"plate.{following}.exr", (1, 1))
    resumed = run_matte(plan, network, weights, resume=True)
    assert next(resumed).frame == following
    resumed.close()
    os.utime(shot.folder / "plate.1002.exr", (1, 1))
    with pytest.raises(SettingError, match="another job"):
        next(run_matte(plan, network, weights, resume=True))


def test_frames_between_are_run_but_not_written(shot: Shot) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    whole = {event.frame: event.alpha for event in run_matte(plan_matte(job(shot)), network, weights)}
    plan = plan_matte(job(shot, frames=(1003, 1006), mask_frame=1001))
    assert [step.frame for step in plan.steps] == [1001, 1002, 1003, 1004, 1005, 1006]
    some = {event.frame: event.alpha for event in run_matte(plan, network, weights)}
    assert sorted(some) == [1003, 1006]
    assert all((some[frame] == whole[frame]).all() for frame in some)


def test_a_mask_numbered_for_another_frame_has_to_be_named(shot: Shot) -> None:
    numbered = shot.mask.rename(shot.folder / "roto.1004.exr")
    with pytest.raises(MaskError, match=r"roto\.1004\.exr@1004"):
        plan_matte(job(shot, mask=str(numbered)))
    assert plan_matte(job(shot, mask=str(numbered), mask_frame=1001)).key == 1001
    assert plan_matte(job(shot, mask=str(numbered), frames=(1004, 1005))).key == 1004


def test_a_resume_point_is_left_while_a_run_goes_on(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.service.job.RESUME_INTERVAL", 0.0)
    events = run_matte(plan_matte(job(shot)), *load_vetted(shot.weights, "cpu"))
    for _ in range(3):
        next(events)
    assert read_resume_point(shot.out / ".a.exr.resume").done == 3
    events.close()


def test_a_run_that_is_closed_early_leaves_its_point_and_goes_on_from_it(shot: Shot) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot))
    whole = [event.alpha for event in run_matte(plan, network, weights)]
    for path in shot.out.iterdir():
        path.unlink()
    events = run_matte(plan, network, weights)
    first = [next(events).alpha for _ in range(3)]
    events.close()
    done = read_resume_point(shot.out / ".a.exr.resume").done
    assert 3 <= done <= 5, "what was on its way to the disk is finished too, and counts"
    assert [path.name for path in sorted(shot.out.glob("a.*.exr"))] == [f"a.{1001 + n}.exr" for n in range(done)]
    rest = {event.frame: event.alpha for event in run_matte(plan, network, weights, resume=True)}
    assert sorted(rest) == list(range(1001 + done, 1007))
    assert all((a == b).all() for a, b in zip(whole, first, strict=False))
    assert all((whole[frame - 1001] == alpha).all() for frame, alpha in rest.items())
    assert not list(shot.out.glob(".*"))


def test_a_frame_that_cannot_be_read_or_written_stops_there_and_those_before_it_are_told(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot))
    plate = shot.folder / "plate.1004.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[:-300])
    events = run_matte(plan, network, weights)
    assert [next(events).frame for _ in range(3)] == [1001, 1002, 1003]
    with pytest.raises(PlateError, match="1004"):
        next(events)
    assert len(list(shot.out.glob("a.*.exr"))) == 3
    plate.write_bytes(whole)
    write = Outputs.write

    def full(self: Outputs, frame: int, *rest: Any) -> Any:
        if frame == 1005:
            raise OutputError(expected="room", came="none left", action="Free some.")
        return write(self, frame, *rest)

    with monkeypatch.context() as disk:
        disk.setattr(Outputs, "write", full)
        events = run_matte(plan, network, weights, resume=True)
        assert next(events).frame == 1004
        with pytest.raises(OutputError, match="none left"):
            next(events)
    assert [event.frame for event in run_matte(plan, network, weights, resume=True)] == [1005, 1006]


def test_what_waits_beside_the_network_is_bounded_in_bytes(shot: Shot) -> None:
    plan = plan_matte(job(shot))
    for side, frames in ((2160, 2), (6000, 1), (8000, 0)):
        large = dataclasses.replace(plan, mask=np.broadcast_to(np.float32(1), (side, side)))
        assert waiting_bytes(large) == 2 * frames * side * side * 28
        assert waiting_bytes(large) <= 2 << 30


def test_plates_are_read_and_alphas_written_beside_the_network(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a frame is computed the next is read and the one before is written; without that, this waits for ever."""
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot))
    read, written = threading.Event(), threading.Event()
    read_one, write, advance = SequencePlate.read, Outputs.write, MattingSession.advance

    def noted_read(self: SequencePlate, frame: int) -> Any:
        if frame == 1004:
            read.set()
        return read_one(self, frame)

    def noted_write(self: Outputs, frame: int, *rest: Any) -> Any:
        result = write(self, frame, *rest)
        if frame == 1002:
            written.set()
        return result

    calls = []

    def patient(self: MattingSession, plate: Any, **options: Any) -> Any:
        calls.append(plate)
        if len(calls) == 2:  # frame 1003
            assert read.wait(10)
            assert written.wait(10)
        return advance(self, plate, **options)

    monkeypatch.setattr(SequencePlate, "read", noted_read)
    monkeypatch.setattr(Outputs, "write", noted_write)
    monkeypatch.setattr(MattingSession, "advance", patient)
    assert [event.frame for event in run_matte(plan, network, weights)] == list(range(1001, 1007))


def test_a_damaged_resume_point_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".alpha.exr.resume"
    write_resume_point(path, ResumePoint("job", 3, b"state"))
    assert read_resume_point(path) == ResumePoint("job", 3, b"state")
    path.write_bytes(path.read_bytes()[5:])
    with pytest.raises(SettingError, match="damaged"):
        read_resume_point(path)


def test_a_run_whose_alphas_are_gone_is_not_resumed(shot: Shot) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot))
    events = run_matte(plan, network, weights)
    first = [next(events) for _ in range(3)]
    events.close()
    first[1].paths[0].unlink()
    with pytest.raises(SettingError, match=r"a\.1002\.exr"):
        next(run_matte(plan, network, weights, resume=True))


def attributes(path: Path) -> dict[str, str]:
    """matanyone:* of an EXR."""
    spec = oiio.ImageBuf(str(path)).spec()
    return {each.name.split(":")[1]: each.value for each in spec.extra_attribs if each.name.startswith("matanyone:")}


def test_repeated_plates_are_held_forwards_and_backwards_and_say_so(shot: Shot) -> None:
    for repeat, of in ((1002, 1001), (1004, 1003), (1006, 1005)):
        shutil.copy(shot.folder / f"plate.{of}.exr", shot.folder / f"plate.{repeat}.exr")
    network, weights = load_vetted(shot.weights, "cpu")
    events = {e.frame: e for e in run_matte(plan_matte(job(shot, mask_frame=1003)), network, weights)}
    assert sorted(frame for frame, event in events.items() if event.report.held) == [1001, 1004, 1006]
    for repeat, of in ((1001, 1002), (1004, 1003), (1006, 1005)):
        assert (events[repeat].alpha == events[of].alpha).all()
        assert attributes(events[repeat].paths[0])["held"] == "1"
        assert "held" not in attributes(events[of].paths[0])
    every = run_matte(plan_matte(job(shot, mask_frame=1003, hold_tolerance=None)), network, weights)
    assert not any(event.report.held for event in every)


def test_an_alpha_says_what_was_computed_and_where(shot: Shot) -> None:
    network, weights = load_vetted(shot.weights, "cpu")
    small = next(run_matte(plan_matte(job(shot, working_size=32)), network, weights))
    assert attributes(small.paths[0])["computed"] == "42x32 of 64x48, refined (guided, radius 1, epsilon 0.0001)"
    parts = list(run_matte(plan_matte(job(shot, region="0,0,30,48")), network, weights))
    part = parts[0]
    assert attributes(part.paths[0])["computed"] == "64x48, every pixel"
    assert attributes(part.paths[0])["region"] == "0,0,32,48"
    assert [CUT_SUBJECT in each.warnings for each in parts] == [each.report.cut for each in parts]
    assert any(each.report.cut for each in parts)


def test_a_region_outside_the_plate_is_refused_before_any_work(shot: Shot) -> None:
    with pytest.raises(SettingError, match="inside the plate of 64x48"):
        plan_matte(job(shot, region="100,0,120,20"))
    assert shot.written() == []


def test_a_run_with_moving_windows_and_holds_goes_on_from_its_point_bit_for_bit(shot: Shot) -> None:
    shutil.copy(shot.folder / "plate.1003.exr", shot.folder / "plate.1004.exr")
    network, weights = load_vetted(shot.weights, "cpu")
    plan = plan_matte(job(shot, region="1001:16,0,32,48 1003:16,0,32,48 1006:48,0,64,48"))
    whole = {event.frame: event for event in run_matte(plan, network, weights)}
    assert whole[1001].report.region != whole[1006].report.region
    events = run_matte(plan, network, weights)
    for _ in range(3):
        next(events)
    events.close()
    rest = list(run_matte(plan, network, weights, resume=True))
    assert rest
    for event in rest:
        assert (event.alpha == whole[event.frame].alpha).all()
        assert event.report == whole[event.frame].report
    assert whole[1004].report.held
