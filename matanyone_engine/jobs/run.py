# SPDX-License-Identifier: Apache-2.0
"""Runs a planned job: plates in, alphas on disk, an event for each step.

    run_matte       claims the frames, digests the plates, finds what is finished, and computes the rest
    frame_io.py     reads the plate of a step, and writes the files of a frame
    run_account.py  keeps ledger, record and resume point
    run_identity.py names the job and its results
    run_events.py   has the events

Rules of this file:
1. It reads and writes beside the network, a frame or two away from it (pipeline.py), whatever the length of the shot;
   what it says happens in order, and a frame counts once its files are on disk.
2. Whatever stops a run, finished frames stay, and what was computed for others is kept (cache.py, runs/resume.py).
3. A frame whose files are there, as written, made from the very same things, is left alone (runs/ledger.py).
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
from matanyone_engine.jobs.run_account import RunAccount
from matanyone_engine.jobs.run_events import FrameDone, Looking, RunEvent, StepDone
from matanyone_engine.jobs.run_identity import content_keys, identity, suited_to
from matanyone_engine.jobs.threads import beside, take_half_of_the_cores
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
"""Seconds between resume points: what a power cut costs at most."""

_MOST_AHEAD = 2
"""Frames that are read ahead of the network, and as many written behind it."""
_MOST_AHEAD_BYTES = 1 << 30
_BYTES_A_PIXEL = 28
"""Of a frame on its way: the plate, what the network sees of it, its alpha, in float32."""

_MOST_REPLANS = 3
"""Plans that may come to nothing, one after the other, because of what left the cache."""


@dataclass(frozen=True)
class _Wishes:
    """Holds what a caller wishes of a run while it goes on."""

    stopping: Callable[[], bool]
    wanted: Callable[[], Sequence[int]]
    resume_interval_s: float


@dataclass(frozen=True)
class _Finished:
    """Holds a step that is finished; its files, if it has any, are on disk."""

    event: StepDone
    live: tuple[PassState, ...]
    """The passes that are under way after it."""
    said: FrameRecord | None = None
    """The record's entry of its frame; None where it has no files."""


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
    """Matte a shot; yield an event for each step, and one for frames that are left alone.

    resume: go on from the resume point beside the output, which must be this very job's.
    stopping: asked before each step; once it says yes the run ends.
    wanted: asked before each step: frames that somebody waits for, the most urgent first. They go before all others,
    also before the job's own `first`; alphas are the same in any order.
    cache: where intermediate results are kept and looked for; None is this user's cache on disk.
    resume_interval_s: seconds between resume points; None is RESUME_INTERVAL. One is also left when a run ends early.

    Raises AlreadyRunning where another worker computes any of these frames, and, once every frame is written, Doubtful
    where most of them are not to be trusted; PlateError, MaskError, OutputError, OutOfMemory, BadResult, SettingError.
    """
    asked = _Wishes(stopping, wanted, RESUME_INTERVAL if resume_interval_s is None else resume_interval_s)
    with Claim(plan.sidecars, plan.frames) as claim, _cache(cache) as store:
        sidecars = (plan.sidecars.resume, plan.sidecars.record, plan.sidecars.ledger)
        remove_leftovers([*(path for frame in plan.frames for path in plan.paths(frame)), *sidecars])
        plates = yield from _files_read(read_digests(plan.source, plan.shot.frames, stopping))
        if plates is None:
            return
        plan = suited_to(plan, network)
        names = content_keys(plan, network, plates)
        account = RunAccount(plan, weights, identity(plan, network), names, plates)
        run = _Run(plan, network, names, RunStore(store), plates, account, asked, claim)
        yield from run.events(resume=resume)


@contextmanager
def _cache(given: MutableMapping[str, bytes] | None) -> Iterator[MutableMapping[str, bytes]]:
    """Give the cache that was given, or this user's."""
    if given is not None:
        yield given
        return
    with closing(DiskCache(default_folder())) as own:
        yield own


def _files_read(
    reading: Generator[FilesRead, None, PlateDigests | None],
) -> Generator[RunEvent, None, PlateDigests | None]:
    """Tell of files that are read as events; return the digests."""
    with closing(reading):
        while True:
            try:
                read = next(reading)
            except StopIteration as end:
                plates: PlateDigests | None = end.value
                return plates
            yield Looking(read.frame, read.done, read.of)


class _Run:
    """Carries out one run of one job.

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
        asked: _Wishes,
        claim: Claim,
    ) -> None:
        self._plan, self._store, self._account, self._asked, self._claim = plan, store, account, asked, claim
        self._runner = _runner(plan, network, names, store)
        self._reader = PlateReader(plan, plates, self._runner)
        self._writer = FrameWriter(plan, account, EdgeFinisher(plan.job.edges, self._runner.shared))
        self._waiting: set[int] = set()
        self._live: tuple[PassState, ...] = ()

    def events(self, *, resume: bool) -> Generator[RunEvent, None, None]:
        """Find what is finished, compute the rest, and account for how it ended."""
        if resume:
            self._store.update(self._account.resume_states())
        found = yield from self._account.frames_on_disk(self._stopping)
        self._waiting = set(self._plan.frames) - {*found.standing, *found.hand_fixed}
        yield from self._account.open(found, len(self._waiting))
        if self._waiting:
            yield from self._accounted()
        if not self._waiting:
            self._account.check_trust(found)

    def _accounted(self) -> Iterator[RunEvent]:
        try:
            yield from self._work()
        except EngineError as error:
            self._account.fail(error)
            raise
        finally:
            self._account.end(self._states, finished=not self._waiting)

    def _work(self) -> Iterator[RunEvent]:
        """Plan and take steps until no frame waits, or the run is to stop."""
        done = in_vain = 0
        while self._waiting and not self._stopping():
            before, aim = len(self._waiting), self._aim()
            steps, of = self._planned(aim or self._waiting)
            try:
                for event in self._take(steps, aim, done, done + of):
                    done = event.done
                    yield event
            except Vanished as error:
                _log.info("%s has left the cache: planning again", error)
                in_vain = in_vain + 1 if len(self._waiting) == before else 0
                if in_vain > _MOST_REPLANS:
                    raise  # nobody but this run could have taken it away: a fault of our own
                if in_vain == _MOST_REPLANS:
                    _log.warning("The cache does not keep what this run needs; it goes on without it.")
                    self._store.rely_on_nobody()

    def _aim(self) -> list[int]:
        """Return the one frame that goes before all others; none where all are alike."""
        urgent = dict.fromkeys((*self._asked.wanted(), *self._plan.job.first))
        return [frame for frame in urgent if frame in self._waiting][:1]

    def _planned(self, aims: Collection[int]) -> tuple[tuple[ShotStep, ...], int]:
        """Return the steps to some frames, and how many steps all frames that wait take."""
        self._store.need(lambda _: True)
        self._store.update(self._states())  # where other passes go on later
        whole = self._runner.plan(self._waiting)
        steps = whole if len(aims) == len(self._waiting) else self._runner.plan(aims)
        self._store.need(self._runner.needs)
        return steps, max(len(whole), len(steps))

    def _take(self, steps: tuple[ShotStep, ...], aim: list[int], done: int, of: int) -> Iterator[RunEvent]:
        """Take steps, until another frame than `aim` is more urgent. done, of: steps so far, and in all."""
        depth = most_waiting(self._plan)
        reads = (partial(self._reader.read, step) for step in steps)
        with (
            closing(read_ahead(reads, depth, take_half_of_the_cores)) as plates,
            WriteBehind[_Finished](depth) as writes,
        ):
            try:
                for finished in self._through(plates, writes, aim):
                    done += 1
                    self._keep(finished)
                    yield replace(finished.event, done=done, of=max(of, done + bool(self._waiting)))
            finally:
                self._drain(writes)

    def _through(
        self, plates: Iterator[PlateOfStep], writes: WriteBehind[_Finished], aim: list[int]
    ) -> Iterator[_Finished]:
        """Compute plates; steps come out once they are written. Those before one that failed come out before it."""
        try:
            while not self._stopping() and self._aim() == aim:
                plate = next(plates, None)
                if plate is None:
                    break
                yield from writes.put(self._compute(plate))
        except Interrupted:  # between two passes over a key frame: as if before it
            pass
        except Exception:
            yield from writes.drain()
            raise
        yield from writes.drain()

    def _compute(self, plate: PlateOfStep) -> Callable[[], _Finished]:
        """Do the network's part of a step; return what is left to do, which is to write its files."""
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
        """Return how far each object's alpha can be trusted, and where its guide was left out."""
        outvoted = self._plan.masks.outvoted(frame)
        return {
            name: without_guide(sure) if name in outvoted else sure
            for name, sure in self._runner.confidences(frame).items()
        }

    def _written(self, plate: PlateOfStep, made: AlphasOfStep, live: tuple[PassState, ...]) -> _Finished:
        event, said = self._writer.write(plate, made)
        return _Finished(event, live, said)

    def _keep(self, finished: _Finished) -> None:
        """Keep account of a step that is finished."""
        self._live = finished.live
        event = finished.event
        if isinstance(event, FrameDone) and finished.said is not None:
            self._waiting.discard(event.frame)
            self._account.add(event.frame, finished.said)
        self._account.leave_if_due(self._states, self._asked.resume_interval_s)

    def _drain(self, writes: WriteBehind[_Finished]) -> None:
        """Wait for what is being written when a run is closed early."""
        try:
            for finished in writes.drain():
                self._keep(finished)
        except Exception as error:  # whatever ends the run matters more
            _log.warning("The last frame was not written: %s", error)

    def _states(self) -> dict[str, bytes]:
        """Return the states of all passes that are under way, from which a run can go on."""
        return dict(self._runner.going(self._live))

    def _stopping(self) -> bool:
        """Return whether to end early. Raises AlreadyRunning where this process was away for long and another took
        over.
        """
        if self._claim.lost:
            raise AlreadyRunning(
                expected="that no other worker takes these frames before this one has finished",
                came="another worker, which took them while this one could not reach the storage",
                action="Let the other worker finish. Nothing is lost.",
            )
        return self._asked.stopping()


def most_waiting(plan: MattePlan) -> int:
    """Return how many frames may wait on either side of the network."""
    width, height = plan.resolution
    return min(_MOST_AHEAD, _MOST_AHEAD_BYTES // (height * width * _BYTES_A_PIXEL))


def waiting_bytes(plan: MattePlan) -> int:
    """Return the main memory, in bytes, of the frames that wait on either side of the network."""
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
        with_neighbours=job.edges.deflicker > 0,
        earlier=plan.areas.earlier(),
        attempt=again_if_out_of_memory,
        encode_on=beside,
    )
