# SPDX-License-Identifier: Apache-2.0
"""Runs a planned job: plates in, alphas on disk, an event for each step.

Rules of this file:
1. It reads and writes beside the network, a frame or two away from it (pipeline.py), whatever the length of the shot;
   what it says happens in order, and a frame counts once its files are on disk.
2. Whatever stops a run, finished frames stay, and what was computed for others is kept (cache.py, resume.py).
3. A frame whose files are there, as written, made from the very same things, is left alone (ledger.py).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.atomic import remove_leftovers
from matanyone_engine.errors import AlreadyRunning, EngineError, Interrupted, OutputError, PlateError, SettingError
from matanyone_engine.jobs.cache import DiskCache, RunStore, default_folder
from matanyone_engine.jobs.job import MatteJob, MattePlan, describe_shot, provenance, seeds_behind
from matanyone_engine.jobs.pipeline import WriteBehind, read_ahead
from matanyone_engine.jobs.plate_digests import Clock, Contents, Look, read_contents, stamps
from matanyone_engine.jobs.provenance import describe_frame
from matanyone_engine.jobs.retry import patiently, read_through, write_something
from matanyone_engine.jobs.threads import beside, take_half_of_the_cores
from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.matting.content_keys import Inputs, Names, digest
from matanyone_engine.matting.frame_warnings import suspicions
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.matting.options import NAMES_OF_0_1_0, keywords
from matanyone_engine.matting.out_of_memory import again_if_out_of_memory, memory_named
from matanyone_engine.matting.prepared_plate import AnyPlate
from matanyone_engine.matting.runner import Live, ShotRunner, Vanished
from matanyone_engine.matting.session import FrameReport, MattingSession
from matanyone_engine.matting.shot import Step, Subject
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import interop_id
from matanyone_engine.media.images import Plate
from matanyone_engine.media.layouts import FrameContent, union
from matanyone_engine.media.movies import decoder
from matanyone_engine.media.sequence import MOVIE_SUFFIXES
from matanyone_engine.model.checkpoint import network_digest
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.precision import Precision, half_type
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.runs.claim import Claim
from matanyone_engine.runs.ledger import Ledger
from matanyone_engine.runs.record import Line, RunRecord, frame_line, read_record
from matanyone_engine.runs.resume import (
    ResumePoint,
    cannot_resume,
    point_identity,
    read_resume_point,
    write_resume_point,
)
from matanyone_engine.version import __version__

_log = logging.getLogger("matanyone_engine")

RESUME_INTERVAL = 60.0
"""Seconds between resume points: what a power cut costs at most."""

_MOST_AHEAD = 2
"""Frames that are read ahead of the network, and as many written behind it."""
_MOST_AHEAD_BYTES = 1 << 30
_BYTES_A_PIXEL = 28
"""Of a frame on its way: the plate, what the network sees of it, its alpha, in float32."""

_MOST_REPLANS = 3
"""Plans that may come to nothing, one after the other, because of what left the cache."""

_VIEW_STEPS = 17
"""A channel, of the colours by which views are told apart."""

Plane = NDArray[np.float32]

# Of a job, what names files or has its own place in its identity.
_PATHS = ("plate", "mask", "mask_frame", "out", "keys", "objects")

# Of a job, what no alpha depends on, or what its name has by value: masks, plates and who is delivered how.
_NOT_IN_NAMES = (
    "plate",
    "mask",
    "mask_frame",
    "out",
    "frames",
    "missing",
    "keys",
    "objects",
    "pin_keys",
    "separate",
    "first",
)


@dataclass(frozen=True)
class StepDone:
    """A step of the work is finished."""

    frame: int
    done: int
    """Steps that are finished, this one included."""
    of: int
    """Steps there are in all."""


@dataclass(frozen=True)
class FrameDone(StepDone):
    """So are the alphas of a frame: they are on disk."""

    paths: list[Path]
    view: Plane
    """(H, W, 3) 0..1: what the network saw."""
    alpha: Plane
    """(H, W) 0..1: all objects in one."""
    warnings: tuple[str, ...] = ()
    """What an artist should look at (frame_warnings.py)."""
    report: FrameReport = field(default_factory=FrameReport)
    alphas: Mapping[str, Plane] = field(default_factory=dict)
    """Object -> its alpha (H, W) 0..1."""
    confidences: Mapping[str, Confidence] = field(default_factory=dict)
    """Object -> how far that can be trusted."""


@dataclass(frozen=True)
class Unchanged(StepDone):
    """Frames whose alphas would be written again the same, and are left alone."""

    frames: tuple[int, ...]
    lines: Mapping[int, Line] = field(default_factory=dict)
    """Frame -> what the run's record says of it."""


@dataclass(frozen=True)
class Looking(StepDone):
    """Files are read, to know what need not be computed or written again: `done` and `of` count files, not steps."""


@dataclass(frozen=True)
class _Read:
    """A plate frame on its way to the network."""

    step: Step
    plate: Plate
    seen: Plane
    """(H, W, 3) 0..1: what the network is shown."""
    ready: AnyPlate
    """The same, for the network."""
    constraints: Mapping[str, Constraints]


@dataclass(frozen=True)
class _Answers:
    """What a step gives out; nothing where it only leads to others."""

    alphas: Mapping[str, Plane] = field(default_factory=dict)
    report: FrameReport = field(default_factory=FrameReport)
    confidences: Mapping[str, Confidence] = field(default_factory=dict)


@dataclass(frozen=True)
class _Written:
    """A step whose files, if it has any, are on disk."""

    event: StepDone
    live: tuple[Live, ...]
    """The passes under way after it."""
    line: Line = field(default_factory=dict)
    """What the record says of them."""


Event = StepDone
"""What a run tells; FrameDone and Unchanged are the ones about files."""


def run_matte(
    plan: MattePlan,
    network: MatAnyone,
    weights: VettedWeights,
    *,
    resume: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    wanted: Callable[[], Sequence[int]] = lambda: (),
    cache: MutableMapping[str, bytes] | None = None,
    resume_interval_s: float | None = None,
) -> Generator[Event, None, None]:
    """Matte the shot; an event for each step, and one for frames that are left alone.

    resume: go on from the resume point beside the output, which must be this very job's.
    stopping: asked before each step; once it says yes the run ends.
    wanted: asked before each step: frames that somebody waits for, the most urgent first. They go before all others,
    also before the job's own `first`; alphas are the same in any order.
    cache: where intermediate results are kept and looked for; None is this user's cache on disk.
    resume_interval_s: between resume points; None is RESUME_INTERVAL.
    A resume point is left at that interval, and when the run ends early for whatever reason.
    Raises AlreadyRunning where another worker is at any of these frames.
    """
    interval = RESUME_INTERVAL if resume_interval_s is None else resume_interval_s
    with Claim(plan.papers, plan.frames) as claim, _cache(cache) as store:
        remove_leftovers([*_files(plan), plan.papers.resume, plan.papers.record, plan.papers.ledger])
        contents = yield from _told(read_contents(plan.source, plan.shot.frames, stopping))
        if contents is not None:
            run = _Run(plan, network, weights, store, stopping, wanted, claim, interval, contents)
            yield from run.events(resume=resume)


@contextmanager
def _cache(given: MutableMapping[str, bytes] | None) -> Iterator[MutableMapping[str, bytes]]:
    """The one that was given, or this user's."""
    if given is not None:
        yield given
        return
    with closing(DiskCache(default_folder())) as own:
        yield own


def _told(looks: Generator[Look, None, Contents | None]) -> Generator[Event, None, Contents | None]:
    """Looks as events."""
    with closing(looks):
        while True:
            try:
                look = next(looks)
            except StopIteration as end:
                contents: Contents | None = end.value
                return contents
            yield Looking(look.frame, look.done, look.of)


def _files(plan: MattePlan) -> list[Path]:
    return [path for frame in plan.frames for path in plan.paths(frame)]


class _Run:
    """One run of one job."""

    def __init__(
        self,
        plan: MattePlan,
        network: MatAnyone,
        weights: VettedWeights,
        cache: MutableMapping[str, bytes],
        stopping: Callable[[], bool],
        wanted: Callable[[], Sequence[int]],
        claim: Claim,
        interval: float,
        contents: Contents,
    ) -> None:
        plan = _settled(plan, network)
        self._interval = interval
        self._plan, self._weights, self._claim, self._contents = plan, weights, claim, contents
        self._asked_to_stop = stopping
        self._store = RunStore(cache)
        self._names = Names(plan.shot, _inputs(plan, network, self._contents))
        self._runner = _runner(plan, network, self._names, self._store)
        self._identity = identity(plan, network)
        self._papers = plan.papers
        self._point = self._papers.resume
        self._ledger = Ledger(self._papers.ledger, self._papers.ledgers())
        self._left = time.monotonic()
        self._live: tuple[Live, ...] = ()
        self._worked = False
        self._wanted = wanted

    def events(self, *, resume: bool) -> Generator[Event, None, None]:
        """Do the work."""
        if resume:
            self._resume()
        standing = yield from self._standing()
        waiting = set(self._plan.frames) - set(standing)
        self._open_record(standing)
        if standing:
            yield Unchanged(standing[-1], 0, len(waiting), standing, self._lines(standing))
        if waiting:
            self._record.leave("running")
            yield from self._all(waiting)

    def _all(self, waiting: set[int]) -> Iterator[Event]:
        """Work, and account for how it ended."""
        try:
            yield from self._work(waiting)
        except EngineError as error:
            self._record.fail(error)
            raise
        finally:
            self._end(finished=not waiting)

    def _standing(self) -> Generator[Event, None, tuple[int, ...]]:
        """Frames whose files stand, which are read to know."""
        found, asked, clock = [], self._plan.frames, Clock()
        for done, frame in enumerate(asked, 1):
            if self._stopping():
                break
            if self._stands(frame):
                found.append(frame)
            if clock.due():
                yield Looking(frame, done, len(asked))
        return tuple(found)

    def _work(self, waiting: set[int]) -> Iterator[Event]:
        """Plan and take steps until nothing waits, or the user stops."""
        done = in_vain = 0
        while waiting and not self._stopping():
            before, aims = len(waiting), self._aims(waiting)
            steps, of = self._planned(aims[:1] or waiting, waiting)
            try:
                for event in self._steps(steps, done, done + of, waiting, aims):
                    done = event.done
                    yield event
            except Vanished as error:
                _log.info("%s has left the cache: planning again", error)
                in_vain = in_vain + 1 if len(waiting) == before else 0
                if in_vain > _MOST_REPLANS:
                    raise  # nobody but this run could have taken it away: a fault of our own
                if in_vain == _MOST_REPLANS:
                    _log.warning("The cache does not keep what this run needs; it goes on without it.")
                    self._store.rely_on_nobody()

    def _aims(self, waiting: set[int]) -> list[int]:
        """Frames that go before all others, in order."""
        return [frame for frame in dict.fromkeys((*self._wanted(), *self._plan.job.first)) if frame in waiting]

    def _planned(self, aims: Collection[int], waiting: set[int]) -> tuple[tuple[Step, ...], int]:
        """The steps to these frames, and how many there are to all that waits."""
        self._store.need(lambda _: True)
        self._store.update(self._runner.going(self._live))  # where other passes go on later
        whole = self._runner.plan(waiting)
        steps = whole if len(aims) == len(waiting) else self._runner.plan(aims)
        self._store.need(self._runner.needs)
        return steps, max(len(whole), len(steps))

    def _steps(
        self, steps: tuple[Step, ...], done: int, of: int, waiting: set[int], aims: list[int]
    ) -> Iterator[Event]:
        """Take the steps, until others are more urgent; frames that are on disk wait no more."""
        depth = most_waiting(self._plan)
        reads = (partial(self._read, step) for step in steps)
        with (
            closing(read_ahead(reads, depth, take_half_of_the_cores)) as plates,
            WriteBehind[_Written](depth) as writes,
        ):

            def told(results: Iterator[_Written]) -> Iterator[Event]:
                nonlocal done
                for written in results:
                    done += 1
                    self._keep(written, waiting)
                    yield replace(written.event, done=done, of=max(of, done + bool(waiting)))

            try:
                for read in self._undisturbed(plates, waiting, aims):
                    yield from told(writes.put(self._computed(read)))
                yield from told(writes.drain())
            except Interrupted:  # between two passes over a key: as if before it
                yield from told(writes.drain())
            except Exception:
                yield from told(writes.drain())  # frames before the one that failed are finished first
                raise
            finally:
                self._finish(writes, waiting)

    def _stopping(self) -> bool:
        """Whether to end early. Raises AlreadyRunning where this process was away for long and another took over."""
        if self._claim.lost:
            raise AlreadyRunning(
                expected="this worker's claim on its frames to stand",
                came="another worker's: this one did not reach its storage for a while",
                action="Let the other one finish; nothing is lost.",
            )
        return self._asked_to_stop()

    def _undisturbed(self, plates: Iterator[_Read], waiting: set[int], aims: list[int]) -> Iterator[_Read]:
        """Plates, until the user stops or wants another frame first."""
        while not self._stopping() and self._aims(waiting)[:1] == aims[:1]:
            read = next(plates, None)
            if read is None:
                return
            yield read

    def _read(self, step: Step) -> _Read:
        """A plate, the very one that results are named after. Raises PlateError, MaskError, OutOfMemory."""
        with memory_named("read"), _on(step.frame):
            plate = self._plate(step.frame)
            if stamps(self._plan.source, step.frame) != self._contents.stamps[step.frame]:
                raise PlateError(
                    expected=f"plate frame {step.frame} as it was when the run began",
                    came="a file that has changed since",
                    action="Run again: only what the plate can change is computed anew.",
                )
            seen = self._plan.view(plate.rgb)
            ready = self._runner.ready(step, torch.from_numpy(seen).permute(2, 0, 1))
            return _Read(step, plate, seen, ready, self._constraints(step))

    def _plate(self, frame: int) -> Plate:
        source = self._plan.source

        def look() -> None:
            for path in source.paths((frame,)):
                read_through(path)

        return patiently(lambda: source.read(frame), look)

    def _constraints(self, step: Step) -> dict[str, Constraints]:
        names = {seed.subject for seed in step.seeds} | {move.along.seed.subject for move in step.moves}
        return {name: self._plan.masks.constraints(name, step.frame) for name in names}

    def _computed(self, read: _Read) -> Callable[[], _Written]:
        """Do the network's part of a step; what is left to do is to write it."""
        step = read.step
        with _on(step.frame):
            self._runner.take(step, read.ready, read.constraints, self._stopping)
        if not self._worked:
            self._drop_foreign_point()
            self._worked = True
        return partial(self._write, step, read.plate, read.seen, self._answers(step), self._runner.live)

    def _answers(self, step: Step) -> _Answers:
        if not step.delivers:
            return _Answers()
        alphas = {name: alpha.cpu().numpy() for name, alpha in self._runner.alphas(step.frame).items()}
        return _Answers(alphas, self._runner.report(step.frame), self._runner.confidences(step.frame))

    def _write(self, step: Step, plate: Plate, seen: Plane, answers: _Answers, live: tuple[Live, ...]) -> _Written:
        """Write the files of a step. Raises BadResult, OutputError, OutOfMemory."""
        frame = step.frame
        alphas, report, confidences = answers.alphas, answers.report, answers.confidences
        if not alphas:
            return _Written(StepDone(frame, 0, 0), live)
        with memory_named("write"), _on(frame):
            about = {**self._about(frame), **describe_frame(report)}
            colour_id = interop_id(self._plan.colour.space)
            content = FrameContent(plate.header, alphas, plate.canvas, colour_id, self._plan.light)
            write = partial(self._plan.outputs.write, frame, content, about, confidences)
            paths = patiently(write, self._look_at_folders)
            alpha = union(list(alphas.values()))
            warnings = suspicions(black=not plate.rgb.any(), alpha=alpha, cut=report.cut)
            line = frame_line(self._papers.record, paths, alphas, warnings, confidences)
            made_from = self._made_from(frame)
            patiently(lambda: self._ledger.add(frame, made_from, paths, line), self._look_at_folders)
        done = FrameDone(frame, 0, 0, paths, seen, alpha, warnings, report, alphas, confidences)
        return _Written(done, live, line)

    def _look_at_folders(self) -> None:
        for folder in self._plan.outputs.folders:
            write_something(folder)

    def _keep(self, written: _Written, waiting: set[int]) -> None:
        """Keep account of a step that is finished."""
        self._live = written.live
        event = written.event
        if isinstance(event, FrameDone):
            waiting.discard(event.frame)
            self._record.add(event.frame, written.line)
        if time.monotonic() - self._left > self._interval:
            self._leave_point()
            self._record.leave("running")

    def _finish(self, writes: WriteBehind[_Written], waiting: set[int]) -> None:
        """Wait for what is being written when a run is closed early."""
        try:
            for written in writes.drain():
                self._keep(written, waiting)
        except Exception as error:  # whatever ends the run matters more
            _log.warning("The last frame was not written: %s", error)

    # -------------------------------------------------------------------------------------------------- accounting

    def _open_record(self, standing: tuple[int, ...]) -> None:
        about = provenance(self._plan, self._weights, list(self._plan.masks.keys))
        self._record = RunRecord(
            self._papers.record,
            self._identity,
            asdict(self._plan.job),
            about,
            describe_shot(self._plan),
            self._lines(standing),
        )

    def _lines(self, standing: tuple[int, ...]) -> dict[int, Line]:
        return {frame: self._ledger.said(frame) for frame in standing}

    def _stands(self, frame: int) -> bool:
        return self._ledger.stands(frame, self._made_from(frame), self._plan.outputs.paths(frame))

    def _made_from(self, frame: int) -> str:
        """Everything that the files of a frame depend on."""
        job, shot = self._plan.job, self._plan.shot
        answers = [(each.name, each.distractor, self._names.answer(each.name, frame)) for each in shot.subjects]
        return digest(answers, job.separate, asdict(job.delivery), self._about(frame), self._contents.digests[frame])

    def _about(self, frame: int) -> dict[str, str]:
        """What the files of a frame say: of the masks, only those that it depends on."""
        return provenance(self._plan, self._weights, seeds_behind(self._plan.shot, frame))

    def _resume(self) -> None:
        """Take the states of an unfinished run of this very job. Raises SettingError."""
        point = read_resume_point(self._point)
        if point.identity != self._identity:
            raise cannot_resume(f"{self._point} of another job (a mask, the model, a frame or an option differs)")
        self._store.update(point.states)

    def _drop_foreign_point(self) -> None:
        """Another job's point is of no more use. Our own stands until a better one does: its states have true names."""
        if point_identity(self._point) != self._identity:
            self._point.unlink(missing_ok=True)

    def _end(self, *, finished: bool) -> None:
        if finished:
            self._point.unlink(missing_ok=True)
        elif self._worked:
            self._leave_point()
        if self._worked:
            self._tidy()
        self._record.leave("finished" if finished else "stopped")

    def _tidy(self) -> None:
        try:
            self._ledger.tidy()
        except OutputError as error:  # it is only longer than it need be
            _log.warning("%s", error)

    def _leave_point(self) -> None:
        """Keep the way on from an unfinished run; a failure to do so must not hide why the run ended."""
        self._left = time.monotonic()
        try:
            write_resume_point(self._point, ResumePoint(self._identity, self._runner.going(self._live)))
        except Exception as error:  # whatever it is, the first error matters more
            _log.warning("This run cannot be resumed: %s", error)


def most_waiting(plan: MattePlan) -> int:
    """How many frames may wait on either side of the network."""
    width, height = plan.size
    return min(_MOST_AHEAD, _MOST_AHEAD_BYTES // (height * width * _BYTES_A_PIXEL))


def waiting_bytes(plan: MattePlan) -> int:
    """Main memory of the frames that wait on either side of the network."""
    width, height = plan.size
    return 2 * most_waiting(plan) * height * width * _BYTES_A_PIXEL


def _settled(plan: MattePlan, network: MatAnyone) -> MattePlan:
    """With the warm-up passes that suit the network where the job leaves them open: they are part of what it names."""
    if plan.job.warm_up_passes is not None:
        return plan
    return replace(plan, job=replace(plan.job, warm_up_passes=network.warm_up_passes))


def identity(plan: MattePlan, network: MatAnyone) -> str:
    """Tells whether two runs are of the same job: options, masks, model, frames. Not by paths: machines differ in them.

    Plates do not count: what was computed of them is named after their bytes.
    """
    job = _settled(plan, network).job
    options = _named_options(job, but=(*_PATHS, "first"))
    masks = sorted((seed.frame, seed.subject, file.sha256) for seed, file in plan.masks.keys.items())
    held = sorted([*place, sha] for place, sha in plan.masks.constraint_digests().items())
    subjects = [(each.name, each.first, each.last, each.distractor) for each in plan.shot.subjects]
    return digest(options, plan.frames, masks, held, subjects, plan.outputs.main.name, network_digest(network))


def _named_options(job: MatteJob, but: Collection[str]) -> dict[str, Any]:
    """A job's options as digests name them: under the names of version 0.1.0, so that its caches still serve."""
    old = {now: before for before, now in NAMES_OF_0_1_0.items()}
    return {old.get(name, name): value for name, value in asdict(job).items() if name not in but}


def may_resume(plan: MattePlan, network: MatAnyone) -> bool:
    """Whether an unfinished run of this very job left a point to go on from, and nothing has damaged it."""
    try:
        return read_resume_point(plan.papers.resume).identity == identity(plan, network)
    except SettingError as error:
        if plan.papers.resume.is_file():
            _log.warning("This run does not go on from %s: %s", plan.papers.resume, error.came)
        return False


def is_of(plan: MattePlan, network: MatAnyone) -> bool:
    """Whether what stands where the plan would write was made, or begun, by this very job."""
    return read_record(plan.papers.record).get("identity") == identity(plan, network)


@contextmanager
def _on(frame: int) -> Iterator[None]:
    """Errors say on which frame they happened."""
    try:
        yield
    except EngineError as error:
        error.frame = frame if error.frame is None else error.frame
        raise


def _inputs(plan: MattePlan, network: MatAnyone, contents: Contents) -> Inputs:
    """Digests of all that alphas are made from. What is not known to be without effect has one."""
    options = _named_options(plan.job, but=(*_NOT_IN_NAMES, "delivery"))
    reader = decoder() if plan.source.suffix.lower() in MOVIE_SUFFIXES else f"OpenImageIO {version('OpenImageIO')}"
    code = (__version__, torch.__version__, reader)
    about = digest(code, _arithmetic(network), options, plan.view.name, view_digest(plan.view))
    masks = {seed: file.sha256 for seed, file in plan.masks.keys.items()}
    return Inputs(about, contents.digests, masks, plan.masks.constraint_digests())


def _arithmetic(network: MatAnyone) -> list[str]:
    """Which numbers are computed with. Not on which machine: a farm may go on with a shot on another one."""
    half = half_type(network.device) if network.precision == Precision.FAST.value else None
    return [network_digest(network), network.precision, str(half), network.device.type]


def view_digest(view: NetworkView) -> str:
    """What a view makes of colours all over its range: an OCIO config of the same name may be another one."""
    steps = np.linspace(0.0, 1.0, _VIEW_STEPS, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_VIEW_STEPS, -1, 3)
    return hashlib.sha256(np.ascontiguousarray(view(colours)).tobytes()).hexdigest()


def _runner(plan: MattePlan, network: MatAnyone, names: Names, cache: MutableMapping[str, bytes]) -> ShotRunner:
    job = plan.job

    def new_session(_: Subject) -> MattingSession:
        return MattingSession(network, job.memory, **keywords(job))

    return ShotRunner(
        plan.shot,
        names,
        cache,
        new_session,
        plan.masks.mask,
        separate=job.separate,
        attempt=again_if_out_of_memory,
        encode_on=beside,
    )
