# SPDX-License-Identifier: Apache-2.0
"""Runs a planned job: it reads the plates, writes the alphas, and yields an event for each step.

    run_matte       claims the frames, digests the plates, finds what is finished, and computes the rest
    frame_io.py     reads the plate of a step, and writes the files of a frame
    run_account.py  keeps the ledger, the record and the resume point
    run_identity.py names the job and its results
    run_events.py   has the events

Rules of this file:
1. Plates are read and files are written on other threads, at most two frames away from the network (pipeline.py).
   Events come in order, and a frame counts once its files are on disk.
2. Whatever stops a run, finished frames stay, and intermediate results for other frames are kept (cache.py,
   runs/resume.py).
3. A frame is left alone if its files are unchanged and were made from the same inputs (runs/ledger.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator, MutableMapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from matanyone_engine.atomic import remove_leftovers
from matanyone_engine.errors import AlreadyRunning, EngineError, Interrupted
from matanyone_engine.jobs.cache import DiskCache, RunStore, default_folder
from matanyone_engine.jobs.edge_finish import EdgeFinisher
from matanyone_engine.jobs.frame_io import AlphasOfStep, FrameWriter, PlateOfStep, PlateReader, errors_name
from matanyone_engine.jobs.job import MattePlan
from matanyone_engine.jobs.pipeline import WriteBehind, read_ahead
from matanyone_engine.jobs.plate_digests import FilesRead, PlateDigests, read_digests
from matanyone_engine.jobs.refine_areas import solver_made_ready
from matanyone_engine.jobs.run_account import RunAccount
from matanyone_engine.jobs.run_events import CheckingFiles, FrameDone, RunEvent, StepDone
from matanyone_engine.jobs.run_identity import content_keys, identity, suited_to
from matanyone_engine.jobs.threads import on_half_of_the_cores, take_half_of_the_cores
from matanyone_engine.matting.confidence import Confidence, without_guide
from matanyone_engine.matting.content_keys import Names
from matanyone_engine.matting.options import keywords
from matanyone_engine.matting.out_of_memory import again_if_out_of_memory
from matanyone_engine.matting.runner import PassState, ShotRunner, Vanished
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import ShotStep, Subject
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.runs.claim import Claim
from matanyone_engine.runs.frame_record import FrameRecord

_log = logging.getLogger("matanyone_engine")

RESUME_INTERVAL = 60.0
"""Seconds between resume points: the most work that a power cut costs."""

_MOST_AHEAD = 2
"""Most frames that are read ahead of the network; at most as many wait to be written."""
_MOST_AHEAD_BYTES = 1 << 30
_BYTES_A_PIXEL = 28
"""Bytes for each pixel of a waiting frame: the plate, the network's view of it, and its alpha, in float32."""

_MOST_REPLANS = 3
"""Plans in a row that may fail because their inputs have left the cache."""


@dataclass(frozen=True)
class _RunControls:
    """Holds the callbacks by which a caller controls a running job, and the interval of resume points."""

    stopping: Callable[[], bool]
    wanted: Callable[[], Sequence[int]]
    resume_interval_s: float


@dataclass(frozen=True)
class _Finished:
    """Holds a finished step. Its files, if it has any, are on disk."""

    event: StepDone
    live: tuple[PassState, ...]
    """The unfinished passes after this step."""
    entry: FrameRecord | None = None
    """The record's entry for its frame; None if the step has no files."""


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
) -> Generator[RunEvent, None, None]:
    """Matte a shot. Yield an event for each step, and one for the frames that are left alone.

    resume: continue from the resume point beside the output, which must belong to this job.
    stopping: called before each step; the run ends when it returns True.
    wanted: called before each step; returns the frames that someone waits for, the most urgent first. They are computed
    before all others, also before the job's own `first`. The alphas are the same in any order. cache: the store of
    intermediate results; None is this user's cache on disk. resume_interval_s: seconds between resume points; None is
    RESUME_INTERVAL. One is also left when a run ends early.

    Raises AlreadyRunning if another worker is computing any of these frames; after all frames are written, Doubtful if
    most of them cannot be trusted; PlateError, MaskError, OutputError, OutOfMemory, BadResult, SettingError.
    """
    controls = _RunControls(stopping, wanted, RESUME_INTERVAL if resume_interval_s is None else resume_interval_s)
    with Claim(plan.sidecars, plan.frames) as claim, _cache(cache) as store:
        sidecars = (plan.sidecars.resume, plan.sidecars.record, plan.sidecars.ledger)
        remove_leftovers([*(path for frame in plan.frames for path in plan.paths(frame)), *sidecars])
        plates = yield from _files_read(read_digests(plan.source, plan.shot.frames, stopping))
        if plates is None:
            return
        plan = suited_to(plan, network)
        names = content_keys(plan, network, plates)
        account = RunAccount(plan, weights, identity(plan, network), names, plates)
        run = _Run(plan, network, names, RunStore(store), plates, account, controls, claim)
        yield from run.events(resume=resume)


@contextmanager
def _cache(given: MutableMapping[str, bytes] | None) -> Iterator[MutableMapping[str, bytes]]:
    """Yield the given cache, or this user's."""
    if given is not None:
        yield given
        return
    with closing(DiskCache(default_folder())) as own:
        yield own


def _files_read(
    reading: Generator[FilesRead, None, PlateDigests | None],
) -> Generator[RunEvent, None, PlateDigests | None]:
    """Yield an event at intervals while the plates are read; return their digests."""
    with closing(reading):
        while True:
            try:
                read = next(reading)
            except StopIteration as end:
                plates: PlateDigests | None = end.value
                return plates
            yield CheckingFiles(read.frame, read.done, read.of)


class _Run:
    """Runs one job once.

    events() begins and ends it; _work() plans until no frame waits; _take() takes the planned steps; _compute() takes
    one. Frames that are on disk leave `_waiting`.
    """

    def __init__(
        self,
        plan: MattePlan,
        network: MatAnyone,
        names: Names,
        store: RunStore,
        plates: PlateDigests,
        account: RunAccount,
        controls: _RunControls,
        claim: Claim,
    ) -> None:
        self._plan, self._store, self._account, self._controls, self._claim = plan, store, account, controls, claim
        self._runner = _runner(plan, network, names, store)
        self._reader = PlateReader(plan, plates, self._runner)
        self._writer = FrameWriter(plan, account, EdgeFinisher(plan.job.edges_of, self._runner.shared))
        self._waiting: set[int] = set()
        self._live: tuple[PassState, ...] = ()

    def events(self, *, resume: bool) -> Generator[RunEvent, None, None]:
        """Find the finished frames, compute the others, and write the record."""
        if resume:
            self._store.update(self._account.resume_states())
        found = yield from self._account.frames_on_disk(self._stopping)
        self._waiting = set(self._plan.frames) - {*found.current, *found.edited}
        yield from self._account.open(found, len(self._waiting))
        if self._waiting:
            yield from self._accounted()
        if not self._waiting:
            self._account.check_trust(found)

    def _accounted(self) -> Iterator[RunEvent]:
        try:
            yield from self._run_all()
        except EngineError as error:
            self._account.fail(error)
            raise
        finally:
            self._account.end(self._states, finished=not self._waiting)

    def _run_all(self) -> Iterator[RunEvent]:
        """Plan and run steps until all frames are written, or the run is stopped."""
        solved = [frame for frame in sorted(self._waiting) if self._plan.areas.names_on(frame)]
        if solved:
            yield from solver_made_ready(solved[0], self._stopping)
        done = in_vain = 0
        while self._waiting and not self._stopping():
            before, urgent_frame = len(self._waiting), self._urgent()
            steps, of = self._planned(urgent_frame or self._waiting)
            try:
                for event in self._run_steps(steps, urgent_frame, done, done + of):
                    done = event.done
                    yield event
            except Vanished as error:
                _log.info("%s has left the cache: planning again", error)
                in_vain = in_vain + 1 if len(self._waiting) == before else 0
                if in_vain > _MOST_REPLANS:
                    raise  # only this run could have removed it: this is a defect
                if in_vain == _MOST_REPLANS:
                    _log.warning("The cache does not keep what this run needs; it goes on without it.")
                    self._store.stop_using_cache()

    def _urgent(self) -> list[int]:
        """Return, in a list, the frame that must be computed first; an empty list if none is urgent."""
        urgent = dict.fromkeys((*self._controls.wanted(), *self._plan.job.first))
        return [frame for frame in urgent if frame in self._waiting][:1]

    def _planned(self, frames: Collection[int]) -> tuple[tuple[ShotStep, ...], int]:
        """Return the steps for some frames, and the number of steps for all frames that are left."""
        self._store.set_needed(lambda _: True)
        self._store.update(self._states())  # other passes continue from these states later
        whole = self._runner.plan(self._waiting)
        steps = whole if len(frames) == len(self._waiting) else self._runner.plan(frames)
        self._store.set_needed(self._runner.needs)
        return steps, max(len(whole), len(steps))

    def _run_steps(
        self, steps: tuple[ShotStep, ...], urgent_frame: list[int], done: int, of: int
    ) -> Iterator[RunEvent]:
        """Take steps, until another frame than `aim` is more urgent. done, of: steps so far, and in all."""
        depth = most_waiting(self._plan)
        reads = (partial(self._reader.read, step) for step in steps)
        with (
            closing(read_ahead(reads, depth, take_half_of_the_cores)) as plates,
            WriteBehind[_Finished](depth) as writes,
        ):
            try:
                for finished in self._computed(plates, writes, urgent_frame):
                    done += 1
                    self._keep(finished)
                    yield replace(finished.event, done=done, of=max(of, done + bool(self._waiting)))
            finally:
                self._drain(writes)

    def _computed(
        self, plates: Iterator[PlateOfStep], writes: WriteBehind[_Finished], urgent_frame: list[int]
    ) -> Iterator[_Finished]:
        """Compute the steps; yield each when its files are written. If one fails, those before it are yielded first."""
        try:
            while not self._stopping() and self._urgent() == urgent_frame:
                plate = next(plates, None)
                if plate is None:
                    break
                yield from writes.put(self._compute(plate))
        except Interrupted:  # stopped between two passes over a key frame, which then counts as not begun
            pass
        except Exception:
            yield from writes.drain()
            raise
        yield from writes.drain()

    def _compute(self, plate: PlateOfStep) -> Callable[[], _Finished]:
        """Run the network for a step; return the function that writes its files."""
        step = plate.step
        with errors_name(step.frame):
            self._runner.take(step, plate.prepared, plate.constraints, self._stopping)
        self._account.work_begins()
        live = self._runner.live
        if not step.delivers:
            return lambda: _Finished(StepDone(step.frame, 0, 0), live)
        parts = self._runner.parts(step.frame)
        made = AlphasOfStep(parts, self._runner.report(step.frame), self._confidences(step.frame))
        return partial(self._written, plate, made, live)

    def _confidences(self, frame: int) -> dict[str, Confidence]:
        """Return the confidence of each object on a frame; if its guide was left out there, the confidence says so."""
        outvoted = self._plan.masks.outvoted(frame)
        return {
            name: without_guide(sure) if name in outvoted else sure
            for name, sure in self._runner.confidences(frame).items()
        }

    def _written(self, plate: PlateOfStep, made: AlphasOfStep, live: tuple[PassState, ...]) -> _Finished:
        event, entry = self._writer.write(plate, made)
        return _Finished(event, live, entry)

    def _keep(self, finished: _Finished) -> None:
        """Add a finished step to the account."""
        self._live = finished.live
        event = finished.event
        if isinstance(event, FrameDone) and finished.entry is not None:
            self._waiting.discard(event.frame)
            self._account.add(event.frame, finished.entry)
        self._account.write_if_due(self._states, self._controls.resume_interval_s)

    def _drain(self, writes: WriteBehind[_Finished]) -> None:
        """Wait for unfinished writes when a run is closed early."""
        try:
            for finished in writes.drain():
                self._keep(finished)
        except Exception as error:  # the error that ends the run matters more
            _log.warning("The last frame was not written: %s", error)

    def _states(self) -> dict[str, bytes]:
        """Return the states of all unfinished passes, from which a run can continue."""
        return dict(self._runner.going(self._live))

    def _stopping(self) -> bool:
        """Return whether to stop. Raises AlreadyRunning if this process could not touch its claim for too long and
        another worker has taken the frames.
        """
        if self._claim.lost:
            raise AlreadyRunning(
                expected="that no other worker takes these frames before this one has finished",
                came="another worker, which took them while this one could not reach the storage",
                action="Let the other worker finish. Nothing is lost.",
            )
        return self._controls.stopping()


def most_waiting(plan: MattePlan) -> int:
    """Return how many frames may wait before the network, and as many after it."""
    width, height = plan.resolution
    return min(_MOST_AHEAD, _MOST_AHEAD_BYTES // (height * width * _BYTES_A_PIXEL))


def waiting_bytes(plan: MattePlan) -> int:
    """Return the main memory, in bytes, of the frames that wait before and after the network."""
    width, height = plan.resolution
    return 2 * most_waiting(plan) * height * width * _BYTES_A_PIXEL


def _runner(plan: MattePlan, network: MatAnyone, names: Names, store: MutableMapping[str, bytes]) -> ShotRunner:
    job = plan.job

    def new_session(_: Subject) -> MattingSession:
        return MattingSession(network, job.memory, **{**keywords(job), "region": plan.region})

    return ShotRunner(
        plan.shot,
        names,
        store,
        new_session,
        plan.masks.mask,
        separate=job.separate,
        with_neighbours=job.steadies,
        earlier=plan.areas.earlier(),
        attempt=again_if_out_of_memory,
        encode_on=on_half_of_the_cores,
    )
