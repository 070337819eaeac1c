# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import Shot, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.errors import Doubtful, MaskError, OutputError, PlateError, SettingError
from matanyone_engine.jobs.cache import DiskCache, default_folder
from matanyone_engine.jobs.delivery import Outputs
from matanyone_engine.jobs.job import MatteJob, MattePlan, plan_matte, provenance, seeds_used
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.run import run_matte, waiting_bytes
from matanyone_engine.jobs.run_events import CheckingFiles, EditedByHand, FrameDone, StepDone, Unchanged
from matanyone_engine.jobs.run_identity import identity
from matanyone_engine.matting import confidence
from matanyone_engine.matting.frame_warnings import CUT_SUBJECT
from matanyone_engine.matting.region import Region
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import Seed
from matanyone_engine.media.edges import EdgeControls
from matanyone_engine.media.layouts import SUBJECT, Delivery
from matanyone_engine.media.mask_borders import Shortfall
from matanyone_engine.media.plates import SequencePlate
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.runs.frame_record import FrameRecord
from matanyone_engine.runs.ledger import Ledger
from matanyone_engine.runs.record import read_record
from matanyone_engine.runs.resume import ResumePoint, read_resume_point, write_resume_point
from matanyone_engine.sizes import Resolution


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def job(shot: Shot, **options: object) -> MatteJob:
    asked = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.out / "a.####.exr")}
    asked |= {"warm_up_passes": 0, "accept_doubt": True}
    return MatteJob(**{**asked, **options})


def run(plan: MattePlan, shot: Shot, **options: Any) -> list[FrameDone]:
    """The alphas that a run writes."""
    return [event for event in events(plan, shot, **options) if isinstance(event, FrameDone)]


def events(plan: MattePlan, shot: Shot, **options: Any) -> Generator[StepDone, None, None]:
    return run_matte(plan, *load_vetted(shot.weights, "cpu"), **options)


def files(shot: Shot) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of the alphas."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in shot.out.glob("a.*.exr")}


def clear(shot: Shot) -> None:
    """Nothing was ever written."""
    for path in shot.out.iterdir():
        path.unlink()


def frames_in(path: Path) -> dict[int, FrameRecord]:
    record = read_record(path)
    assert record is not None
    return dict(record.frames)


def frame_of(name: str) -> int:
    return int(name.split(".")[1])


def test_planning_writes_nothing_and_reports_every_plate(shot: Shot) -> None:
    heard: list[tuple[int, int]] = []
    plan_matte(job(shot), lambda done, of: heard.append((done, of)))
    assert heard == [(n, 6) for n in range(1, 7)]
    assert shot.written() == []


def test_the_mask_is_named_when_it_is_not_one_of_the_frames(shot: Shot) -> None:
    with pytest.raises(MaskError, match="1001-1006"):
        plan_matte(job(shot, mask_frame=1010))


def darkened(shot: Shot, stops: float) -> Shot:
    """Take light away from every plate of a shot."""
    for frame in range(shot.first, shot.last + 1):
        plate = shot.folder / f"plate.{frame:04d}.exr"
        write_image(plate, read_image(plate) * 0.5**stops, ("R", "G", "B"), oiio.FLOAT)
    return shot


def test_a_very_dark_plate_is_shown_as_if_its_exposure_had_been_given(shot: Shot) -> None:
    """The frame of the first mask says how dark it is; keys that are added later change nothing."""
    dark = darkened(shot, 6.0)
    black = dark.folder / "plate.1001.exr"
    write_image(black, read_image(black) * 0.0, ("R", "G", "B"))
    plan = plan_matte(job(dark, mask_frame=1003))
    stops = plan.network_view.exposure
    assert stops >= 4.0
    more = (KeyMask(str(dark.mask), (1001,)),)
    assert plan_matte(job(dark, mask_frame=1003, keys=more)).network_view.exposure == stops
    network, _ = load_vetted(dark.weights, "cpu")
    given = plan_matte(job(dark, mask_frame=1003, exposure=stops))
    assert identity(plan, network) == identity(given, network)
    assert identity(plan, network) != identity(plan_matte(job(dark, mask_frame=1003, exposure=0.0)), network)
    done = run(plan, dark)
    assert attributes(done[0].paths[0])["exposure"] == f"{stops:g}"
    record = read_record(plan.sidecars.record)
    assert record is not None
    assert record.shot["exposure"] == stops


@pytest.mark.parametrize(
    "change",
    [
        "warm_up_passes",
        "mask_grow",
        "working_size",
        "frames",
        "mask",
        "separate",
        "pin_keys",
        "keys",
        "refine",
        "region",
        "hold_tolerance",
        "exposure",
        "colorspace",
        "edges",
    ],
)
def test_whatever_changes_the_job_changes_its_identity(shot: Shot, change: str) -> None:
    network, _ = load_vetted(shot.weights, "cpu")
    old = identity(plan_matte(job(shot)), network)
    options: dict[str, object] = {"warm_up_passes": 3, "mask_grow": 2, "working_size": 32, "frames": (1001, 1002)}
    options |= {"refine": False, "region": "follow", "hold_tolerance": None, "exposure": 0.5, "colorspace": "ACEScg"}
    options |= {"edges": EdgeControls(gamma=1.1)}
    options |= {"separate": True, "pin_keys": True, "keys": (KeyMask(str(shot.mask), (1004,)),)}
    if change == "mask":
        write_image(shot.mask, read_image(shot.mask) * 0.5, ("Y",))
    asked = {change: options[change]} if change in options else {}
    assert identity(plan_matte(job(shot, **asked)), network) != old


def test_a_plate_that_was_repaired_is_run_again_with_all_that_follows(shot: Shot) -> None:
    before = run(plan_matte(job(shot)), shot)
    written = files(shot)
    plate = shot.folder / "plate.1004.exr"
    write_image(plate, read_image(plate)[:, ::-1], ("R", "G", "B"), PixelAspectRatio=2.0)
    after = run(plan_matte(job(shot)), shot)
    assert [event.frame for event in after] == [1004, 1005, 1006]
    assert (after[0].alpha != before[3].alpha).any()
    assert {name for name, file in files(shot).items() if file != written[name]} == {
        "a.1004.exr",
        "a.1005.exr",
        "a.1006.exr",
    }


def test_a_plate_that_changes_under_a_run_is_no_plate_of_it(shot: Shot) -> None:
    going = events(plan_matte(job(shot)), shot)
    next(going)
    os.utime(shot.folder / "plate.1006.exr", (1, 1))
    with pytest.raises(PlateError, match="changed since"):
        list(going)
    assert not shot.alpha(1006).exists()


def test_nothing_is_run_again_that_has_not_changed(shot: Shot) -> None:
    plan = plan_matte(job(shot))
    run(plan, shot)
    written = files(shot)
    os.utime(shot.folder / "plate.1004.exr")  # the same bytes
    (again,) = events(plan, shot)
    assert isinstance(again, Unchanged)
    assert (again.done, again.of, again.frames) == (0, 0, (1001, 1002, 1003, 1004, 1005, 1006))
    assert files(shot) == written


@pytest.mark.parametrize("harm", ["gone", "cut short", "cache gone"])
def test_an_alpha_that_is_not_what_was_written_is_written_again(shot: Shot, harm: str) -> None:
    plan = plan_matte(job(shot))
    run(plan, shot)
    alpha = shot.out / "a.1003.exr"
    written = read_image(alpha)
    if harm == "cut short":
        alpha.write_bytes(alpha.read_bytes()[:-200])
    else:
        alpha.unlink()
    if harm == "cache gone":
        shutil.rmtree(default_folder())
    assert [event.frame for event in run(plan, shot)] == [1003]
    assert (read_image(alpha) == written).all()  # the bytes hold the time of writing


def test_an_alpha_that_was_fixed_by_hand_is_kept(shot: Shot) -> None:
    """Also where it would be made anew: an artist's work is not replaced unless that is asked for."""
    plan = plan_matte(job(shot))
    run(plan, shot)
    alpha = shot.out / "a.1003.exr"
    write_image(alpha, read_image(alpha) * 0.5, ("R", "G", "B", "A"))
    fixed = alpha.read_bytes()
    for asked in (job(shot), job(shot, exposure=1.0)):
        entries = list(events(plan_matte(asked), shot))
        assert [event.frames for event in entries if isinstance(event, EditedByHand)] == [(1003,)]
        assert alpha.read_bytes() == fixed
        record = read_record(plan.sidecars.record)
        assert record is not None
        assert (record.state, record.run.hand_fixed) == ("finished", "1003")
        assert list(record.frames) == list(plan.frames)
    done = run(plan_matte(job(shot, exposure=1.0, overwrite=True)), shot)
    assert [event.frame for event in done] == [1003]
    assert alpha.read_bytes() != fixed


def test_a_file_that_no_ledger_knows_is_not_replaced(shot: Shot) -> None:
    theirs = shot.out / "a.1004.exr"
    shot.out.mkdir()
    write_image(theirs, read_image(shot.mask), ("Y",))
    before = theirs.read_bytes()
    with pytest.raises(SettingError, match=r"a\.1004\.exr.*--overwrite"):
        plan_matte(job(shot))
    assert [path.name for path in shot.out.iterdir()] == ["a.1004.exr"]
    assert len(run(plan_matte(job(shot, frames=(1001, 1002, 1003))), shot)) == 3
    assert theirs.read_bytes() == before
    assert len(run(plan_matte(job(shot, overwrite=True)), shot)) == 3
    assert theirs.read_bytes() != before


def test_a_file_that_a_killed_run_left_is_known(shot: Shot) -> None:
    """The ledger names a frame's files before they are written."""
    plan = plan_matte(job(shot))
    run(plan, shot)
    ledger = plan.sidecars.ledger
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines[2] = {"frame": 1003, "files": {"a.1003.exr": ""}}  # killed after the file was renamed
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [event.frame for event in run(plan_matte(job(shot)), shot)] == [1003]


def test_a_run_that_loses_its_subject_says_so_once_all_is_written(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(confidence._MAPPINGS, "grey", _Lost())
    for _ in range(2):  # a queue that runs it again is told again
        with pytest.raises(Doubtful, match=r"'subject' with a confidence near 0 on [56] of 6 frames"):
            run(plan_matte(job(shot, accept_doubt=False)), shot)
        assert len(files(shot)) == 6
    record = read_record(plan_matte(job(shot)).sidecars.record)
    assert record is not None
    assert record.state == "finished"
    assert not run(plan_matte(job(shot)), shot)


class _Lost:
    """A signal that says that nothing is known."""

    def __call__(self, _signal: float | None) -> float:
        return 0.0001


def test_a_changed_key_touches_its_stretch_and_nothing_else(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, first=1001, count=60)
    for frame in (1020, 1040):
        shutil.copy(shot.mask, shot.folder / f"roto.{frame}.exr")
    keys = (KeyMask(str(shot.folder / "roto.####.exr"), (1020, 1040)),)
    asked = job(shot, mask_frame=1001, keys=keys)
    assert len(run(plan_matte(asked), shot)) == 60
    written = files(shot)
    write_image(shot.folder / "roto.1040.exr", np.roll(read_image(shot.mask), 6, axis=1), ("Y",), oiio.FLOAT)
    done = list(events(plan_matte(asked), shot))
    changed = {frame_of(name) for name, file in files(shot).items() if file != written[name]}
    assert changed == set(range(1021, 1061))
    # The key, the passes from 1021 and back to it, both of which remember the key, and the pass on to 1060.
    # The last step of the pass back gives out its own frame; the other blends are a step each.
    assert done[-1].of == 1 + 19 + 19 + 20 + 18


def confidence_in(path: Path) -> str:
    return str(oiio.ImageInput.open(str(path)).spec().get_string_attribute("matanyone:confidence"))


def test_how_sure_an_alpha_is_stands_in_its_file_its_record_and_its_event(shot: Shot) -> None:
    plan = plan_matte(job(shot, keys=(KeyMask(str(shot.mask), (1004,)),)))
    done = run(plan, shot)
    lines = frames_in(plan.sidecars.record)
    for event in done:
        sure = event.confidences["subject"]
        assert 0 <= sure.value <= 1
        assert lines[event.frame].confidence["subject"] == sure
        assert confidence_in(event.paths[0]) == f"{sure.value:.3f}"
    assert [lines[frame].confidence["subject"].disagreement is None for frame in plan.frames] == [
        frame not in (1002, 1003) for frame in plan.frames
    ]


def test_of_several_objects_a_file_says_the_least_and_each(shot: Shot) -> None:
    keys = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1004,), "dog"))
    plan = plan_matte(
        job(shot, mask="", keys=keys, objects=(ObjectOptions("dog", first=1003),), delivery=Delivery("layers"))
    )
    first = next(event for event in run(plan, shot) if event.frame == 1001)
    assert first.confidences["dog"].value == 1.0  # it is not to be there
    spec = oiio.ImageInput.open(str(first.paths[0])).spec()
    hero = first.confidences["hero"].value
    assert spec.get_string_attribute("matanyone:confidence") == f"{hero:.3f}"
    assert spec.get_string_attribute("matanyone:confidences") == f"hero={hero:.3f}, dog=1.000"


def test_a_file_of_one_object_says_its_own(shot: Shot) -> None:
    keys = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1004,), "dog"))
    plan = plan_matte(job(shot, mask="", keys=keys, out=str(shot.out / "{object}.####.exr")))
    for event in run(plan, shot):
        said = [confidence_in(path) for path in event.paths]
        assert said == [f"{event.confidences[name].value:.3f}" for name in ("hero", "dog")]


def test_frames_that_are_left_alone_keep_their_confidence_and_their_bytes(shot: Shot) -> None:
    """In a run that changes others, of which the record is gone; and as sure as in one run that knew of no other."""
    shutil.copy(shot.mask, shot.folder / "roto.1005.exr")
    asked = job(shot, keys=(KeyMask(str(shot.folder / "roto.1005.exr"), (1005,)),))
    plan = plan_matte(asked)
    run(plan, shot)
    record, written = plan.sidecars.record, files(shot)
    before = frames_in(record)
    record.unlink()
    write_image(shot.folder / "roto.1005.exr", np.roll(read_image(shot.mask), 6, axis=1), ("Y",), oiio.FLOAT)
    entries = list(events(plan_matte(asked), shot))
    after = frames_in(record)
    assert entries[0].frames == (1001,)
    assert entries[0].lines[1001] == after[1001] == before[1001]
    assert files(shot)["a.1001.exr"] == written["a.1001.exr"]
    assert after.keys() == before.keys()
    assert after[1006].confidence != before[1006].confidence
    clear(shot)
    run(plan_matte(asked), shot, cache={})
    assert frames_in(record) == after


def test_alphas_say_on_which_keys_they_depend(shot: Shot) -> None:
    plan = plan_matte(job(shot, mask_frame=1002, keys=(KeyMask(str(shot.mask), (1005,)),)))
    _, weights = load_vetted(shot.weights, "cpu")
    said = {frame: provenance(plan, weights, seeds_used(plan.shot, frame))["maskFrame"] for frame in plan.frames}
    assert list(said.values()) == ["1002", "1002", "1002, 1005", "1002, 1005", "1005", "1002, 1005"]


def test_objects_are_layers_and_a_missing_one_is_black(shot: Shot) -> None:
    keys = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1004,), "dog"))
    objects = (ObjectOptions("dog", first=1003), ObjectOptions("twin", distractor=True))
    twin = KeyMask(str(shot.mask), (1001,), "twin")
    plan = plan_matte(job(shot, mask="", keys=(*keys, twin), objects=objects, delivery=Delivery("layers")))
    assert len(run(plan, shot)) == 6
    image = oiio.ImageBuf(str(shot.out / "a.1001.exr"))
    assert {name for name in image.spec().channelnames if "." in name} == {"hero.A", "dog.A"}
    dog = image.spec().channelnames.index("dog.A")
    assert not image.get_pixels(oiio.FLOAT)[..., dog].any()
    assert read_image(shot.out / "a.1003.exr")[..., dog].any()


def test_a_constraint_mask_keeps_the_alpha_off_and_is_part_of_what_it_was_made_from(shot: Shot) -> None:
    free = run(plan_matte(job(shot)), shot)
    garbage = np.zeros((48, 64, 1), np.float32)
    garbage[:, :32] = 1.0
    for frame in (1002, 1003):
        write_image(shot.folder / f"garbage.{frame}.exr", garbage, ("Y",), oiio.FLOAT)
    held = job(shot, objects=(ObjectOptions(outside=str(shot.folder / "garbage.####.exr")),))
    after = run(plan_matte(held), shot)
    assert [event.frame for event in after] == [1002, 1003, 1004, 1005, 1006]
    assert free[1].alpha[:, :32].any()
    assert not after[0].alpha[:, :32].any()
    assert (after[3].alpha != free[4].alpha).any()  # remembered


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": (KeyMask("mask.exr", (1001,)),)}, "frame 1001"),
        ({"keys": (KeyMask("mask.exr", (1002, 1003)),)}, "####"),
        ({"keys": (KeyMask("mask.exr", (1044,), "dog"),)}, "1044"),
        ({"objects": (ObjectOptions("dog"),)}, "dog"),
        ({"objects": (ObjectOptions(distractor=True),)}, "distractors only"),
        ({"objects": (ObjectOptions(first=1003),)}, "frame 1001"),
    ],
)
def test_keys_and_objects_that_cannot_be_are_refused(
    shot: Shot, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shot.folder)
    with pytest.raises((MaskError, SettingError), match=words):
        plan_matte(job(shot, **options))
    assert shot.written() == []


def test_a_small_cache_costs_time_and_changes_nothing(shot: Shot) -> None:
    plan = plan_matte(job(shot, mask_frame=1002, keys=(KeyMask(str(shot.mask), (1005,)),)))
    with closing(DiskCache(shot.folder / "cache", limit=0)) as cache:
        run(plan, shot, cache=cache)
    assert not len(DiskCache(shot.folder / "cache"))
    written = {frame: read_image(shot.out / f"a.{frame}.exr") for frame in plan.frames}
    clear(shot)
    assert all((read_image(event.paths[0]) == written[event.frame]).all() for event in run(plan, shot, cache={}))


def test_frames_between_are_run_but_not_written(shot: Shot) -> None:
    whole = {event.frame: event.alpha for event in run(plan_matte(job(shot)), shot, cache={})}
    clear(shot)
    done = list(events(plan_matte(job(shot, frames=(1003, 1006), mask_frame=1001)), shot, cache={}))
    assert [event.frame for event in done] == [1001, 1002, 1003, 1004, 1005, 1006]
    some = {event.frame: event.alpha for event in done if isinstance(event, FrameDone)}
    assert sorted(some) == [1003, 1006]
    assert all((some[frame] == whole[frame]).all() for frame in some)


def test_a_mask_numbered_for_another_frame_has_to_be_named(shot: Shot) -> None:
    numbered = shot.mask.rename(shot.folder / "roto.1004.exr")
    with pytest.raises(MaskError, match=r"roto\.1004\.exr@1004"):
        plan_matte(job(shot, mask=str(numbered)))
    assert keys_of(plan_matte(job(shot, mask=str(numbered), mask_frame=1001))) == (1001,)
    assert keys_of(plan_matte(job(shot, mask=str(numbered), frames=(1004, 1005)))) == (1004,)


def keys_of(plan: MattePlan) -> tuple[int, ...]:
    return plan.shot.subjects[0].keys


def test_a_resume_point_is_left_while_a_run_goes_on(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.jobs.run.RESUME_INTERVAL", 0.0)
    going = events(plan_matte(job(shot)), shot)
    for _ in range(3):
        next(going)
    assert len(read_resume_point(shot.out / ".a.exr.resume").states) == 1
    going.close()


@pytest.mark.parametrize("key", [1001, 1004])
def test_a_run_that_is_closed_early_goes_on_from_its_point_on_another_machine(tmp_path: Path, key: int) -> None:
    shot = make_shot(tmp_path, count=12)
    plan = plan_matte(job(shot, mask_frame=key))
    whole = {event.frame: event.alpha for event in run(plan, shot, cache={})}
    clear(shot)
    going = events(plan, shot, cache={})
    for _ in range(4):
        next(going)
    going.close()
    finished = len(list(shot.out.glob("a.*.exr")))
    assert 4 <= finished <= 7, "what was on its way to the disk is finished too, and counts"
    rest = list(events(plan, shot, cache={}, resume=True))
    done = [event for event in rest if isinstance(event, FrameDone)]
    assert len(done) == 12 - finished
    # Where it stopped between both ways it begins at the key, which this machine's cache does not have.
    assert rest[-1].of == len(done) + (key == 1004 and finished == 4)
    assert all((event.alpha == whole[event.frame]).all() for event in done)
    assert [path.name for path in shot.out.glob(".*")] == [".a.exr.made"]


def test_a_frame_that_cannot_be_read_or_written_stops_there_and_those_before_it_are_told(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_matte(job(shot))
    plate = shot.folder / "plate.1004.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[:-300])
    going = events(plan, shot)
    assert [next(going).frame for _ in range(3)] == [1001, 1002, 1003]
    with pytest.raises(PlateError, match="1004"):
        next(going)
    assert len(list(shot.out.glob("a.*.exr"))) == 3
    plate.write_bytes(whole)
    write = Outputs.write

    def full(self: Outputs, frame: int, *rest: Any) -> Any:
        if frame == 1005:
            raise OutputError(expected="room", came="no memory left", action="Free some.")
        return write(self, frame, *rest)

    with monkeypatch.context() as disk:
        disk.setattr(Outputs, "write", full)
        going = events(plan, shot, resume=True)
        unchanged = next(going)
        assert isinstance(unchanged, Unchanged)
        assert (unchanged.frame, unchanged.of, unchanged.frames) == (1003, 3, (1001, 1002, 1003))
        assert next(going).frame == 1004
        with pytest.raises(OutputError, match="no memory left"):
            next(going)
    assert [event.frame for event in run(plan, shot, resume=True)] == [1005, 1006]


def test_plates_are_read_and_alphas_written_beside_the_network(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a frame is computed the next is read and the one before is written; without that, this waits for ever."""
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

    def patient(self: MattingSession, *plate: Any, **options: Any) -> Any:
        calls.append(plate)
        if len(calls) == 2:  # frame 1003
            assert read.wait(10)
            assert written.wait(10)
        return advance(self, *plate, **options)

    monkeypatch.setattr(SequencePlate, "read", noted_read)
    monkeypatch.setattr(Outputs, "write", noted_write)
    monkeypatch.setattr(MattingSession, "advance", patient)
    assert [event.frame for event in run(plan, shot)] == list(range(1001, 1007))


def test_a_damaged_resume_point_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".alpha.exr.resume"
    point = ResumePoint("job", {f"{'a' * 32}.state": b"state", f"{'b' * 32}.state": b"\n"})
    write_resume_point(path, point)
    assert read_resume_point(path) == point
    whole = path.read_bytes()
    for damaged in (whole[5:], whole[:-1], whole[:-1] + b"?"):
        path.write_bytes(damaged)
        with pytest.raises(SettingError, match="damaged"):
            read_resume_point(path)


def test_a_resume_point_cannot_write_beside_the_cache(tmp_path: Path) -> None:
    path = tmp_path / ".alpha.exr.resume"
    write_resume_point(path, ResumePoint("job", {"../../evil.state": b"state"}))
    with pytest.raises(SettingError, match="evil"):
        read_resume_point(path)


def test_a_ledger_keeps_what_another_run_noted_meanwhile(tmp_path: Path) -> None:
    alpha = tmp_path / "a.1001.exr"
    alpha.write_bytes(b"alpha")
    one, other = Ledger(tmp_path / ".made"), Ledger(tmp_path / ".made")
    one.add(1001, "this", [alpha], FrameRecord())
    other.add(1002, "that", [alpha], FrameRecord())
    one.compact()
    assert all(Ledger(tmp_path / ".made").is_current(*line, [alpha]) for line in ((1001, "this"), (1002, "that")))


def test_a_cache_keeps_to_its_limit_and_notices_damage(tmp_path: Path) -> None:
    with closing(DiskCache(tmp_path, limit=1000)) as first:
        first.needed = lambda name: name < "02"
        for number in range(20):
            first[f"{number:02d}.alpha"] = bytes(100)
            assert len(first) <= 8  # also while a run goes on
        assert {"00.alpha", "01.alpha", "19.alpha"} <= set(first)
        first.needed = lambda _: True
        for number in range(20, 40):
            first[f"{number:02d}.alpha"] = bytes(100)
        assert len(first) >= 20  # only what is needed may go beyond it
    left = DiskCache(tmp_path, limit=1000)
    assert 0 < len(left) <= 7
    name = next(iter(left))
    file = tmp_path / name[:2] / name
    file.write_bytes(file.read_bytes()[:-1])
    assert name in left
    with pytest.raises(KeyError):
        left[name]
    assert name not in left


def test_a_long_run_keeps_to_the_cache_s_limit(tmp_path: Path) -> None:
    """Also what is kept of a blend is one stretch; and alphas are those of a run with room for everything."""
    shot = make_shot(tmp_path, count=40)
    keys = tuple(KeyMask(str(shot.mask), (frame,)) for frame in (1010, 1020, 1030, 1040))
    plan = plan_matte(job(shot, mask_frame=1001, keys=keys))
    roomy: dict[str, bytes] = {}
    expected = {event.frame: event.alpha for event in run(plan, shot, cache=roomy)}
    clear(shot)
    limit = sum(map(len, roomy.values())) // 3
    with closing(DiskCache(tmp_path / "cache", limit)) as cache:
        found, most = {}, 0
        for event in run(plan, shot, cache=cache):
            found[event.frame] = event.alpha
            most = max(most, sum(path.stat().st_size for path in (tmp_path / "cache").glob("??/*")))
    assert most < 1.3 * limit
    assert all((found[frame] == expected[frame]).all() for frame in expected)


def test_a_cache_that_cannot_be_written_is_done_without(shot: Shot, caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_matte(job(shot, mask_frame=1001, keys=(KeyMask(str(shot.mask), (1006,)),)))
    expected = {event.frame: event.alpha for event in run(plan, shot, cache={})}
    clear(shot)
    (shot.folder / "cache").write_text("no folder")
    with closing(DiskCache(shot.folder / "cache")) as cache:
        found = {event.frame: event.alpha for event in run(plan, shot, cache=cache)}
    assert all((found[frame] == expected[frame]).all() for frame in expected)
    assert sum("not kept" in record.message for record in caplog.records) == 1


class Sieve(dict[str, bytes]):
    """A cache in which nothing stays, as one that many fill at once."""

    def __setitem__(self, name: str, value: bytes) -> None:
        super().__setitem__(name, value)
        if len(self) > 6:
            del self[next(iter(self))]


def test_a_cache_that_keeps_nothing_is_given_up(shot: Shot, caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_matte(job(shot, mask_frame=1001, keys=(KeyMask(str(shot.mask), (1006,)),)))
    expected = {event.frame: event.alpha for event in run(plan, shot, cache={})}
    clear(shot)
    found = {event.frame: event.alpha for event in run(plan, shot, cache=Sieve())}
    assert all((found[frame] == expected[frame]).all() for frame in expected)
    assert any("goes on without it" in record.message for record in caplog.records)


def test_files_that_are_read_first_are_told_and_a_stop_ends_it(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.jobs.plate_digests._SAID_EVERY_S", 0.0)
    plan = plan_matte(job(shot))
    said = [event for event in events(plan, shot) if isinstance(event, CheckingFiles)]
    assert [(event.done, event.of) for event in said] == [(n, 6) for n in (*range(1, 7), *range(1, 7))]
    clear(shot)
    entries: list[object] = []
    for event in events(plan, shot, stopping=lambda: len(entries) >= 2):
        entries.append(event)
    assert [type(event) for event in entries] == [CheckingFiles, CheckingFiles]
    assert shot.written() == []


def test_frames_that_somebody_waits_for_go_first_and_are_the_same(shot: Shot) -> None:
    mask = (KeyMask(str(shot.mask), (1004,)),)
    expected = {
        event.frame: event.alpha for event in run(plan_matte(job(shot, mask_frame=1001, keys=mask)), shot, cache={})
    }
    clear(shot)
    plan = plan_matte(job(shot, mask_frame=1001, keys=mask, first=(1006,)))
    wishes = {1: [1003], 2: [1005, 1003]}  # after so many alphas somebody asks, and asks again
    found: dict[int, Any] = {}

    def wanted() -> list[int]:
        return wishes.get(len(found), [])

    steps = []
    for event in events(plan, shot, cache={}, wanted=wanted):
        steps.append(event)
        if isinstance(event, FrameDone):
            found[event.frame] = event.alpha
    assert list(found)[:3] == [1006, 1003, 1005]
    assert all((found[frame] == expected[frame]).all() for frame in expected)
    assert [event.done == event.of for event in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) <= 2 + 6 + 6  # keys, passes and alphas given out: nothing is computed twice


def test_frames_to_begin_with_are_frames_of_the_job(shot: Shot) -> None:
    with pytest.raises(SettingError, match="1099"):
        plan_matte(job(shot, first=(1099,)))


def test_exposure_is_for_the_network_and_has_limits(shot: Shot) -> None:
    plain, brighter = plan_matte(job(shot, frames=(1001,))), plan_matte(job(shot, frames=(1001,), exposure=2.0))
    first, second = run(plain, shot)[0], run(brighter, shot)[0]
    assert second.seen.mean() > first.seen.mean() + 0.1
    assert not np.array_equal(first.alpha, second.alpha)
    assert attributes(second.paths[0])["exposure"] == "2"
    assert "exposure +2 stops" in attributes(second.paths[0])["networkView"]
    with pytest.raises(SettingError, match="16 stops"):
        plan_matte(job(shot, exposure=99.0))


def test_what_waits_beside_the_network_is_bounded_in_bytes(shot: Shot) -> None:
    plan = plan_matte(job(shot))
    for side, frames in ((2160, 2), (6000, 1), (8000, 0)):
        large = dataclasses.replace(plan, resolution=Resolution(side, side))
        assert waiting_bytes(large) == 2 * frames * side * side * 28
        assert waiting_bytes(large) <= 2 << 30


def attributes(path: Path) -> dict[str, str]:
    """matanyone:* of an EXR."""
    spec = oiio.ImageBuf(str(path)).spec()
    return {each.name.split(":")[1]: each.value for each in spec.extra_attribs if each.name.startswith("matanyone:")}


def test_repeated_plates_are_held_forwards_and_backwards_and_say_so(shot: Shot) -> None:
    for repeat, of in ((1002, 1001), (1004, 1003), (1006, 1005)):
        shutil.copy(shot.folder / f"plate.{of}.exr", shot.folder / f"plate.{repeat}.exr")
    done = {e.frame: e for e in run(plan_matte(job(shot, mask_frame=1003)), shot)}
    assert sorted(frame for frame, event in done.items() if event.report.held) == [1001, 1004, 1006]
    for repeat, of in ((1001, 1002), (1004, 1003), (1006, 1005)):
        assert (done[repeat].alpha == done[of].alpha).all()
        assert attributes(done[repeat].paths[0])["held"] == "1"
        assert "held" not in attributes(done[of].paths[0])
    every = run(plan_matte(job(shot, mask_frame=1003, hold_tolerance=None)), shot)
    assert not any(event.report.held for event in every)


def test_an_alpha_says_what_was_computed_and_where(shot: Shot) -> None:
    small = run(plan_matte(job(shot, working_size=32)), shot)[0]
    assert attributes(small.paths[0])["computed"] == "42x32 of 64x48, refined (guided, radius 1, epsilon 0.0001)"
    parts = run(plan_matte(job(shot, region="0,0,30,48")), shot)
    part = parts[0]
    assert attributes(part.paths[0])["computed"] == "64x48, every pixel"
    assert attributes(part.paths[0])["region"] == "0,0,32,48"
    assert [CUT_SUBJECT in each.warnings for each in parts] == [each.report.cut for each in parts]
    assert any(each.report.cut for each in parts)


def cut_short(shot: Shot, rows: int) -> str:
    """Write a mask that ends so many rows before the lower border of the picture, and return its file."""
    mask = np.zeros((48, 64, 1), np.float32)
    mask[20 : 48 - rows, 20:44] = 1
    write_image(shot.folder / f"short{rows}.exr", mask, ("Y",), oiio.FLOAT)
    return str(shot.folder / f"short{rows}.exr")


def test_a_mask_that_ends_just_before_the_border_is_told_of_before_the_run_and_on_its_frame(
    shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    words = Shortfall("lower", 1).words
    plan = plan_matte(job(shot, mask=cut_short(shot, 1), mask_frame=1003))
    done = run(plan, shot)
    assert {event.frame for event in done if words in event.warnings} == {1003}
    record = frames_in(shot.out / "a.matanyone.json")
    assert {frame for frame, entry in record.items() if words in entry.warnings} == {1003}
    assert plan.masks.mask(Seed(SUBJECT, 1003))[47].max() == 0  # the mask itself stays as it was drawn
    assert not any(event.warnings for event in run(plan_matte(job(shot, mask=cut_short(shot, 0))), shot))
    assert main(shot.arguments("--mask", f"{cut_short(shot, 1)}@1003")) == 0
    before, _, after = capsys.readouterr().err.partition("model   ")
    assert f"check   {words} (1003)" in before
    assert f"check   {words} (1003)" in after


def test_a_mask_that_is_grown_to_the_border_is_not_told_of(shot: Shot) -> None:
    plan = plan_matte(job(shot, mask=cut_short(shot, 1), mask_grow=1))
    assert not plan.masks.short


def test_a_region_outside_the_plate_is_refused_before_any_work(shot: Shot) -> None:
    with pytest.raises(SettingError, match="inside the plate of 64x48"):
        plan_matte(job(shot, region="100,0,120,20"))
    assert shot.written() == []


def test_a_region_is_read_from_its_words_once(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str | None] = []
    parse = Region.parse

    def parsed(text: str | None) -> Region:
        read.append(text)
        return parse(text)

    monkeypatch.setattr(Region, "parse", parsed)
    plan = plan_matte(job(shot, region="0,0,30,48"))
    run(plan, shot)
    assert read == ["0,0,30,48"]
    assert str(plan.region) == "0,0,30,48"


def test_a_run_with_moving_windows_and_holds_goes_on_from_its_point_bit_for_bit(shot: Shot) -> None:
    shutil.copy(shot.folder / "plate.1003.exr", shot.folder / "plate.1004.exr")
    plan = plan_matte(job(shot, region="1001:16,0,32,48 1003:16,0,32,48 1006:48,0,64,48"))
    whole = {event.frame: event for event in run(plan, shot, cache={})}
    clear(shot)
    assert whole[1001].report.region != whole[1006].report.region
    going = events(plan, shot, cache={})
    next(going)
    going.close()
    rest = run(plan, shot, cache={}, resume=True)
    assert rest
    for event in rest:
        assert (event.alpha == whole[event.frame].alpha).all()
        assert event.report == whole[event.frame].report
    assert whole[1004].report.held
