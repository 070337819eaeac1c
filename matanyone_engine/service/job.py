# SPDX-License-Identifier: Apache-2.0
"""One shot from files to files: a job is planned, then run (the command line today, the engine's path jobs next).

Rules of this file:
1. plan_matte() finds every fault that can be found without the network: nothing is computed or written before.
2. run_matte() reads and writes beside the network, a frame or two away from it (pipeline.py); what it says happens in
   order, and a frame counts once its files are on disk.
3. Whatever stops a run, finished frames stay and a resume point goes on from them exactly (resume.py).
4. It prints nothing; whoever asked for the work shows its events.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.errors import Interrupted, MaskError, SettingError
from matanyone_engine.matting.options import check_options, check_size, keywords
from matanyone_engine.matting.policy import MemoryPolicy
from matanyone_engine.matting.session import SETTLE_PASSES, FrameReport, MattingSession
from matanyone_engine.matting.state import StreamState
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.images import Plate, read_mask
from matanyone_engine.media.layouts import SUBJECT, Delivery, FrameContent
from matanyone_engine.media.masks import grow_mask
from matanyone_engine.media.mattes import check_writable, least_bytes
from matanyone_engine.media.plates import PlateSource, check_plates, describe_picture, open_plate
from matanyone_engine.media.sequence import describe_frames, find_sequence, select_frames
from matanyone_engine.media.spaces import ColourChoice, choose_space, interop_id, is_linear
from matanyone_engine.media.views import has_view, with_view
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.model.weights_file import measure
from matanyone_engine.service.delivery import Outputs, plan_outputs
from matanyone_engine.service.guard import again_if_out_of_memory, memory_named, suspicions
from matanyone_engine.service.pipeline import WriteBehind, read_ahead
from matanyone_engine.service.provenance import describe_frame, describe_making
from matanyone_engine.service.record import RunRecord, record_path
from matanyone_engine.service.resume import (
    ResumePoint,
    cannot_resume,
    read_resume_point,
    resume_path,
    write_resume_point,
)

_log = logging.getLogger("matanyone_engine")

MOST_GROWTH = 200
"""Pixels; the time it takes grows with the square, and no mask is that far off."""

RESUME_INTERVAL = 60.0
"""Seconds between resume points: what a power cut costs at most."""

_MOST_AHEAD = 2
"""Frames that are read ahead of the network, and as many written behind it."""
_MOST_AHEAD_BYTES = 1 << 30
_BYTES_A_PIXEL = 28
"""Of a frame on its way: the plate, what the network sees of it, its alpha, in float32."""

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class MatteJob:
    """What an artist asks for. Paths as typed; nothing was looked at yet."""

    plate: str
    mask: str
    out: str
    mask_frame: int | None = None
    """The plate frame the mask belongs to; None is the first frame that is run."""
    frames: tuple[int, ...] | None = None
    """None is every frame of the plate."""
    missing: Literal["error", "skip"] = "error"
    colorspace: str | None = None
    exposure: float = 0.0
    """Stops by which the network sees the plate brighter; nothing else changes."""
    mask_grow: int = 0
    """Pixels to grow the mask by before it is used; negative shrinks."""
    settle_passes: int = SETTLE_PASSES
    working_size: int | None = None
    refine: bool = True
    """Alphas of a working size come back along the plate's detail; else bilinearly."""
    region: str | None = None
    """What of the plate is computed (matting/region.py)."""
    hold_tolerance: float | None = 0.0
    """Plates this close to the last computed one get its alpha (matting/holds.py); None computes every frame."""
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    delivery: Delivery = field(default_factory=Delivery)
    """How the alphas are written."""
    view: str | None = None
    """Of a stereo plate; %V and %v in plate, mask and out stand for it. None is the file's default view."""
    part: str | None = None
    layer: str | None = None
    """Of an EXR with several: the one to matte."""

    @property
    def wanted(self) -> Selection:
        """Which picture of the plate's files."""
        return Selection(self.view, self.part, self.layer, by_path=has_view(self.plate))

    def named(self) -> MatteJob:
        """With %V and %v replaced. Raises SettingError where no view is named."""
        plate, mask, out = (with_view(name, self.view) for name in (self.plate, self.mask, self.out))
        return replace(self, plate=plate, mask=mask, out=out)


@dataclass(frozen=True)
class Step:
    """One plate frame through the network."""

    frame: int
    seeds: bool = False
    """The mask is given here, to a session that knows nothing yet."""
    delivers: bool = True
    """Its alpha is an output; not so where a frame is seeded again for the way back."""


@dataclass(frozen=True)
class MattePlan:
    """A checked job: every file it needs is there and fits."""

    job: MatteJob
    source: PlateSource
    frames: tuple[int, ...]
    """Frames that get an alpha, ascending."""
    run: tuple[int, ...]
    """Frames that go through the network, ascending: those, the mask's, and all between."""
    key: int
    """The frame of the mask."""
    mask: Plane
    """(H, W) 0..1, grown or shrunk as asked."""
    colour: ColourChoice
    view: NetworkView
    """What the network sees of a plate."""
    outputs: Outputs

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Frames in the order they are run: from the mask on, then once more from the mask, back."""
        asked = frozenset(self.frames)
        forward = [Step(n, seeds=n == self.key, delivers=n in asked) for n in self.run if n >= self.key]
        backward = [Step(n, delivers=n in asked) for n in reversed(self.run) if n < self.key]
        return (*forward, *([Step(self.key, seeds=True, delivers=False), *backward] if backward else []))

    def paths(self, frame: int) -> list[Path]:
        """Where the alphas of a frame go."""
        return self.outputs.paths(frame)


@dataclass(frozen=True)
class FrameDone:
    """An alpha that is on disk."""

    frame: int
    paths: list[Path]
    view: Plane
    """(H, W, 3) 0..1: what the network saw."""
    alpha: Plane
    """(H, W) 0..1."""
    done: int
    """Steps of the plan that are finished, this one included."""
    warnings: tuple[str, ...] = ()
    """What an artist should look at (guard.py)."""
    report: FrameReport = field(default_factory=FrameReport)


def plan_matte(
    job: MatteJob,
    checked: Callable[[int, int], None] = lambda _done, _of: None,
    *,
    resume: bool = False,
    looked_through: bool = False,
    allowed: Callable[[Sequence[Path]], None] = lambda _paths: None,
) -> MattePlan:
    """Check a job against the files it names; `checked` hears how many plates of how many were looked through.

    resume: it is to go on with an unfinished run, in the version that one writes.
    looked_through: the plates were read before, in a process that could be spared (apart.py).
    allowed: raises where the job may not write; asked before anything is.

    Raises PlateError, MaskError, FrameRangeError, ColourError, SettingError, OutputError.
    """
    check_options(**keywords(job))
    source = open_source(job)
    job = job.named()
    frames = select_frames(source, job.frames, job.missing)
    key = key_frame(job, source, frames)
    run = _frames_between(source, (key, *frames), job.missing)
    first = source.header(frames[0])
    colour = choose_space(first, job.colorspace, source.suffix)
    linear = is_linear(colour.space)
    outputs = plan_outputs(job.out, job.delivery, (SUBJECT,), source, first, linear=linear, resume=resume)
    outputs.check(frames, [*source.paths(run), Path(job.mask)])
    view = NetworkView(colour.space, job.exposure)
    check_size(job, *first.size)
    mask = prepared_mask(job, first.size)
    allowed(outputs.paths(frames[0]))
    for folder in outputs.folders:
        check_writable(folder, least_bytes(first, len(frames)))
    if not looked_through:
        check_plates(source, run, checked)
    outputs.reserve()
    return MattePlan(job, source, frames, run, key, mask, colour, view, outputs)


def open_source(job: MatteJob) -> PlateSource:
    """The job's plate: the picture that its view, part and layer choose. Raises PlateError, FrameRangeError."""
    return open_plate(job.named().plate, wanted=job.wanted)


def key_frame(job: MatteJob, source: PlateSource, frames: tuple[int, ...]) -> int:
    """The mask's frame: the one given, else the first that is asked for, unless the mask's own number says another."""
    key = frames[0] if job.mask_frame is None else job.mask_frame
    if key not in source.frames:
        raise MaskError(
            expected=f"a mask of one of the frames {describe_frames(source.frames)}",
            came=f"{job.mask}@{key}",
            action="Name the plate frame on which the mask was drawn: --mask FILE@FRAME.",
        )
    if job.mask_frame is None:
        _check_mask_number(job.mask, key, source)
    return key


def _check_mask_number(mask: str, key: int, source: PlateSource) -> None:
    """A mask whose file name says another frame of the plate is not put on the first one in silence."""
    if not Path(mask).is_file():
        return  # read_mask will say so
    named = find_sequence(mask)
    if named.numbered and named.frames[0] != key and named.frames[0] in source.frames:
        raise MaskError(
            expected=f"the mask's frame to be named: its file is numbered {named.frames[0]}, the first frame is {key}",
            came=mask,
            action=f"Write {mask}@{named.frames[0]}, or {mask}@{key} if it was drawn there.",
        )


def _frames_between(source: PlateSource, ends: tuple[int, ...], missing: Literal["error", "skip"]) -> tuple[int, ...]:
    """Every plate frame from the lowest to the highest: a session must not leap, so frames nobody asked for are run."""
    known = sorted({*source.frames, *source.missing})
    return select_frames(source, tuple(n for n in known if min(ends) <= n <= max(ends)), missing)


def prepared_mask(job: MatteJob, size: tuple[int, int]) -> Plane:
    """(H, W), grown or shrunk; size is the plate's (width, height)."""
    if abs(job.mask_grow) > MOST_GROWTH:
        raise SettingError(
            expected=f"a mask to grow or shrink by at most {MOST_GROWTH} pixels",
            came=str(job.mask_grow),
            action="Draw the mask closer to the subject.",
        )
    mask = grow_mask(read_mask(Path(job.mask), size, job.view), job.mask_grow)
    if not mask.any():
        raise MaskError(
            expected="a mask that still shows the subject",
            came=f"nothing left of {job.mask} after shrinking it by {-job.mask_grow} pixels",
            action="Shrink it less.",
        )
    return mask


def provenance(plan: MattePlan, weights: VettedWeights) -> dict[str, str]:
    """What every alpha of this job says about how it was made."""
    job = plan.job
    made = describe_making(
        weights,
        plan.colour,
        plan.view,
        mask=Path(job.mask).name,
        mask_frame=plan.key,
        mask_sha256=measure(Path(job.mask)).sha256 or "unknown",
        mask_grow=job.mask_grow,
        options=job,
        size=(plan.mask.shape[1], plan.mask.shape[0]),
        memory=job.memory,
    )
    return {**made, "picture": describe_picture(plan.source.header(plan.frames[0]))}


Stamp = tuple[str, int, int]
"""A plate's file as it was when it was read: path, bytes, time in nanoseconds."""


def stamps(source: PlateSource, frame: int) -> list[Stamp]:
    """The file of one plate frame."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.paths((frame,))]


def fingerprint(plan: MattePlan, about: Mapping[str, str], used: Sequence[Stamp]) -> str:
    """Tells whether two runs are alike up to the plates that were used: those by their stamps, the rest by value.

    Plates of later steps do not count: a frame that stopped a run may be repaired before it goes on.
    """
    described = {"about": dict(about), "job": asdict(plan.job), "frames": plan.frames, "plates": list(used)}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def run_matte(
    plan: MattePlan,
    network: MatAnyone,
    weights: VettedWeights,
    *,
    resume: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[FrameDone, None, None]:
    """Matte the shot frame by frame; an event for each alpha that is on disk.

    resume: go on from the resume point beside the output, which must be this very job's.
    stopping: asked before each frame and each pass over the mask's; once it says yes the run ends.
    A resume point is left every minute, and when the run ends early for whatever reason; so is the run's record.
    """
    about = provenance(plan, weights)
    session, used, done = _resumed(plan, network, about) if resume else (new_session(plan, network), [], 0)
    kept = _Kept(plan, about, session, used, done)
    depth = _depth(plan)
    reads = (partial(_read, plan, step) for step in plan.steps[done:])
    with closing(read_ahead(reads, depth)) as plates, WriteBehind[_Written](depth) as writes:
        try:
            for read in _until(stopping, plates):
                if read.step.seeds:
                    session = new_session(plan, network)
                yield from kept.events(writes.put(_computed(plan, session, read, about, stopping)))
            yield from kept.events(writes.drain())
        except Interrupted:  # between two passes over the mask's frame: as if before it
            yield from kept.events(writes.drain())
        except Exception:
            yield from kept.events(writes.drain())  # frames before the one that failed are finished first
            raise
        finally:
            kept.leave(writes)


def _depth(plan: MattePlan) -> int:
    """How many frames may wait on either side of the network."""
    height, width = plan.mask.shape
    return min(_MOST_AHEAD, _MOST_AHEAD_BYTES // (height * width * _BYTES_A_PIXEL))


def waiting_bytes(plan: MattePlan) -> int:
    """Main memory of the frames that wait on either side of the network."""
    height, width = plan.mask.shape
    return 2 * _depth(plan) * height * width * _BYTES_A_PIXEL


def _until(stopping: Callable[[], bool], plates: Iterator[_Read]) -> Iterator[_Read]:
    """The plates until the wish to stop."""
    while not stopping():
        read = next(plates, None)
        if read is None:
            return
        yield read


@dataclass(frozen=True)
class _Read:
    """A plate frame on its way to the network."""

    step: Step
    stamp: list[Stamp]
    plate: Plate
    seen: Plane
    """(H, W, 3) 0..1: what the network is shown."""


@dataclass(frozen=True)
class _Answer:
    """What the network made of a plate."""

    alpha: Plane
    state: StreamState
    """The session after it."""
    report: FrameReport


@dataclass(frozen=True)
class _Written:
    """A step whose files, if it has any, are on disk."""

    stamp: list[Stamp]
    state: StreamState
    """The session after it."""
    event: FrameDone | None


def _read(plan: MattePlan, step: Step) -> _Read:
    """Read a plate frame and show it as the network sees it. Raises PlateError, ColourError, OSError."""
    stamp = stamps(plan.source, step.frame)
    with memory_named("read"):
        plate = plan.source.read(step.frame)
        return _Read(step, stamp, plate, plan.view(plate.rgb))


def _computed(
    plan: MattePlan, session: MattingSession, read: _Read, about: Mapping[str, str], stopping: Callable[[], bool]
) -> Callable[[], _Written]:
    """Send a plate through the network; what is left to do is to write it. Raises Interrupted, OutOfMemory."""
    planes = torch.from_numpy(read.seen).permute(2, 0, 1)

    def compute() -> Plane:
        number = read.step.frame
        if read.step.seeds:
            return session.seed(planes, plan.mask, stopping=stopping, frame=number).cpu().numpy()
        return session.advance(planes, frame=number).cpu().numpy()

    answer = _Answer(again_if_out_of_memory(session, compute), session.state, session.report)
    return partial(_write, plan, read, answer, about)


def _write(plan: MattePlan, read: _Read, answer: _Answer, about: Mapping[str, str]) -> _Written:
    """Write the files of a step. Raises BadResult, OutputError."""
    step, plate, alpha, report = read.step, read.plate, answer.alpha, answer.report
    if step.delivers:
        with memory_named("write"):
            content = FrameContent(plate.header, {SUBJECT: alpha}, plate.canvas, interop_id(plan.colour.space))
            plan.outputs.write(step.frame, content, {**about, **describe_frame(report)})
    if step is plan.steps[0]:
        # An older run's point would vouch for alphas that are now written over.
        resume_path(plan.outputs.main).unlink(missing_ok=True)
    if not step.delivers:
        return _Written(read.stamp, answer.state, None)
    warnings = suspicions(black=not plate.rgb.any(), alpha=alpha, cut=report.cut)
    done = FrameDone(step.frame, plan.paths(step.frame), read.seen, alpha, 0, warnings, report)
    return _Written(read.stamp, answer.state, done)


class _Kept:
    """What of a run is on disk, and the way on from there."""

    def __init__(
        self, plan: MattePlan, about: Mapping[str, str], session: MattingSession, used: list[Stamp], done: int
    ) -> None:
        self._plan, self._about, self._session, self._used, self._done = plan, about, session, used, done
        self._state, self._left = session.state, time.monotonic()
        finished = [step.frame for step in plan.steps[:done]]
        self._record = RunRecord(record_path(plan.outputs.main), asdict(plan.job), about, finished)

    def events(self, results: Iterator[_Written]) -> Iterator[FrameDone]:
        """Keep account of steps that are finished; those that deliver are events."""
        for written in results:
            self._state, self._done, self._used = written.state, self._done + 1, self._used + written.stamp
            if written.event is not None:
                event = written.event
                self._record.add(event.frame, event.paths, {SUBJECT: event.alpha}, event.warnings)
            if time.monotonic() - self._left > RESUME_INTERVAL:
                self._leave_point()
                self._record.leave("running")
                self._left = time.monotonic()
            if written.event is not None:
                yield replace(written.event, done=self._done)

    def leave(self, writes: WriteBehind[_Written]) -> None:
        """Wait for what is being written, and leave the point after the last alpha on disk."""
        try:
            for _ in self.events(writes.drain()):
                pass
        except Exception as error:  # whatever ends the run matters more
            _log.warning("The last frame was not written: %s", error)
        self._leave_point()
        if self._done:
            self._record.leave("finished" if self._done == len(self._plan.steps) else "stopped")

    def _leave_point(self) -> None:
        """Keep the way on from an unfinished run; a failure to do so must not hide why the run ended.

        A run that finished nothing leaves an older point as it is.
        """
        file = resume_path(self._plan.outputs.main)
        try:
            if self._done == len(self._plan.steps):
                file.unlink(missing_ok=True)
            elif self._done:
                identity = fingerprint(self._plan, self._about, self._used)
                write_resume_point(file, ResumePoint(identity, self._done, self._session.snapshot(self._state)))
        except Exception as error:  # whatever it is, the first error matters more
            _log.warning("This run cannot be resumed: %s", error)


def _resumed(plan: MattePlan, network: MatAnyone, about: Mapping[str, str]) -> tuple[MattingSession, list[Stamp], int]:
    """The session of an unfinished run of this job, the plates it had used, and the steps it had done.

    Raises SettingError where there is none, it is another job's, or an alpha it had written is gone.
    """
    file = resume_path(plan.outputs.main)
    point = read_resume_point(file)
    finished = plan.steps[: point.done]
    used = [stamp for step in finished for stamp in stamps(plan.source, step.frame)]
    if point.identity != fingerprint(plan, about, used):
        raise cannot_resume(f"{file} of another job (a plate, the mask, the model, a frame or an option differs)")
    for path in (path for step in finished if step.delivers for path in plan.paths(step.frame)):
        if not path.is_file():
            raise cannot_resume(f"{file}, but {path}, which that run had written, is gone")
    return MattingSession.restore(network, point.snapshot), used, point.done


def new_session(plan: MattePlan, network: MatAnyone) -> MattingSession:
    """A session with the job's options that knows nothing yet."""
    return MattingSession(network, plan.job.memory, **keywords(plan.job))
