# SPDX-License-Identifier: Apache-2.0
"""Accounts for a run beside its alphas: it keeps the run's ledger, its record and its resume point."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matanyone_engine.errors import EngineError, OutputError
from matanyone_engine.jobs.job import MattePlan, beside, describe_shot, provenance, seeds_behind
from matanyone_engine.jobs.plate_digests import Clock, PlateDigests
from matanyone_engine.jobs.provenance import KEYS_OF_0_1_0
from matanyone_engine.jobs.run_events import HandFixed, Looking, RunEvent, Unchanged
from matanyone_engine.jobs.run_identity import in_names_of_0_1_0
from matanyone_engine.matting.content_keys import Names, digest
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.runs.doubt import check_trust
from matanyone_engine.runs.frame_record import FrameRecord
from matanyone_engine.runs.ledger import FileState
from matanyone_engine.runs.record import Record, RunRecord
from matanyone_engine.runs.resume import (
    ResumePoint,
    cannot_resume,
    point_identity,
    read_resume_point,
    write_resume_point,
)

_log = logging.getLogger("matanyone_engine")


@dataclass(frozen=True)
class FramesOnDisk:
    """Names the frames that a run leaves alone."""

    standing: tuple[int, ...] = ()
    """Their files would be written again the same."""
    hand_fixed: tuple[int, ...] = ()
    """Somebody has changed their files since a run wrote them."""


class RunAccount:
    """Keeps the account of one run."""

    def __init__(
        self, plan: MattePlan, weights: VettedWeights, identity: str, names: Names, plates: PlateDigests
    ) -> None:
        """Read the ledgers. identity: of the job (run_identity.py); names: content keys of its results."""
        self._plan, self._weights, self._identity = plan, weights, identity
        self._names, self._plates = names, plates
        self._point = plan.sidecars.resume
        self._ledger = plan.ledger()
        self._left = time.monotonic()
        self._begun_work = False

    # ----------------------------------------------------------------------------------------- before the work

    def frames_on_disk(self, stopping: Callable[[], bool]) -> Generator[RunEvent, None, FramesOnDisk]:
        """Find the frames to leave alone; their files are read for that, which the events tell."""
        standing, fixed, clock, asked = [], [], Clock(), self._plan.frames
        for done, frame in enumerate(asked, 1):
            if stopping():
                break
            paths = self._plan.paths(frame)
            if self._ledger.stands(frame, self._made_from(frame), paths):
                standing.append(frame)
            elif not self._plan.job.overwrite and self._is_hand_fixed(frame):
                fixed.append(frame)
            if clock.due():
                yield Looking(frame, done, len(asked))
        return FramesOnDisk(tuple(standing), tuple(fixed))

    def _is_hand_fixed(self, frame: int) -> bool:
        """Return whether the files of a frame were changed by somebody, and not damaged: they are pictures as
        before.
        """
        paths = self._plan.paths(frame)
        return self._ledger.state(frame, paths) is FileState.CHANGED and self._plan.outputs.are_readable(paths)

    def open(self, found: FramesOnDisk, waiting: int) -> list[RunEvent]:
        """Begin the record; return the events about frames that are left alone. waiting: frames to be computed."""
        kept = {frame: self._ledger.said(frame) for frame in found.standing}
        told = {frame: self._ledger.last_said(frame) or FrameRecord() for frame in found.hand_fixed}
        made = provenance(self._plan, self._weights, list(self._plan.masks.keys))
        job, shot = asdict(self._plan.job), describe_shot(self._plan)
        about = Record(identity=self._identity, job=job, shot=shot, made=made, frames={**kept, **told})
        self._record = RunRecord(self._plan.sidecars.record, about, found.hand_fixed)
        events: list[RunEvent] = []
        if found.hand_fixed:
            _log.warning("Hand-fixed alphas are left alone on %d frames; overwrite makes them anew.", len(told))
            events.append(HandFixed(found.hand_fixed[-1], 0, waiting, found.hand_fixed))
        if found.standing:
            events.append(Unchanged(found.standing[-1], 0, waiting, found.standing, kept))
        if waiting or found.hand_fixed:
            self._record.leave("running" if waiting else "finished")
        return events

    def resume_states(self) -> Mapping[str, bytes]:
        """Return the states of an unfinished run of this very job. Raises SettingError."""
        point = read_resume_point(self._point)
        if point.identity != self._identity:
            raise cannot_resume(f"{self._point} of another job (a mask, the model, a frame or an option differs)")
        return point.states

    # ---------------------------------------------------------------------------------------------- a frame

    def about(self, frame: int) -> dict[str, str]:
        """Return what the files of a frame say of how they were made: of the masks, those that it depends on."""
        made = provenance(self._plan, self._weights, seeds_behind(self._plan.shot, frame))
        return {**made, **self._plan.areas.about(frame)}

    def begin(self, frame: int) -> None:
        """Note that the files of a frame are about to be written. Raises OutputError."""
        self._ledger.begin(frame, self._plan.paths(frame))

    def finish(self, frame: int, paths: Sequence[Path], said: FrameRecord) -> None:
        """Note that the files of a frame are on disk. Raises OutputError."""
        self._ledger.add(frame, self._made_from(frame), paths, said)

    def _made_from(self, frame: int) -> str:
        """Return the digest of everything that the files of a frame depend on."""
        job, shot = self._plan.job, self._plan.shot
        alphas = [(each.name, each.distractor, *self._alphas_behind(each.name, frame)) for each in shot.subjects]
        about = in_names_of_0_1_0(self.about(frame), KEYS_OF_0_1_0)
        return digest(alphas, job.separate, asdict(job.delivery), about, self._plates.digests[frame])

    def _alphas_behind(self, subject: str, frame: int) -> list[str]:
        """List the content keys of a subject's alpha, and of those that its edges are steadied with; then what it is
        solved from in its area.
        """
        areas, around = self._plan.areas, beside(self._plan, subject, frame)
        also = (*around, *areas.before(subject, frame))
        return [*(self._names.answer(subject, each) for each in (frame, *also)), *areas.digests(subject, frame)]

    # -------------------------------------------------------------------------------------------- on the way

    def add(self, frame: int, said: FrameRecord) -> None:
        """Add a finished frame to the record."""
        self._record.add(frame, said)

    def fail(self, error: EngineError) -> None:
        """Note what stopped the run."""
        self._record.fail(error)

    def work_begins(self) -> None:
        """Remove the resume point of another job. Our own stands until a better one does: its states are named."""
        if not self._begun_work and point_identity(self._point) != self._identity:
            self._point.unlink(missing_ok=True)
        self._begun_work = True

    def leave_if_due(self, states: Callable[[], Mapping[str, bytes]], interval_s: float) -> None:
        """Leave a resume point and the record, if the last ones are older than that."""
        if time.monotonic() - self._left > interval_s:
            self._leave_point(states)
            self._record.leave("running")

    def end(self, states: Callable[[], Mapping[str, bytes]], *, finished: bool) -> None:
        """Leave everything as the next run needs it. states: of the passes that are under way."""
        if finished:
            self._point.unlink(missing_ok=True)
        elif self._begun_work:
            self._leave_point(states)
        if self._begun_work:
            try:
                self._ledger.tidy()
            except OutputError as error:  # it is only longer than it need be
                _log.warning("%s", error)
        self._record.leave("finished" if finished else "stopped")

    def check_trust(self, found: FramesOnDisk) -> None:
        """Raise Doubtful where most frames of an object are not to be trusted, unless the job accepts that.

        Frames that somebody has fixed by hand are not judged.
        """
        if not self._plan.job.accept_doubt:
            fixed = set(found.hand_fixed)
            check_trust({frame: said for frame, said in self._record.frames.items() if frame not in fixed})

    def _leave_point(self, states: Callable[[], Mapping[str, bytes]]) -> None:
        """Write a resume point. A failure to do so is a warning: it must not hide why the run ended."""
        self._left = time.monotonic()
        try:
            write_resume_point(self._point, ResumePoint(self._identity, states()))
        except Exception as error:
            _log.warning("This run cannot be resumed: %s", error)
