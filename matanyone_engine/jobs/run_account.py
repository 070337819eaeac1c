# SPDX-License-Identifier: Apache-2.0
"""Keeps the account of a run beside its alphas: the ledger, the record and the resume point."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matanyone_engine.errors import EngineError, OutputError
from matanyone_engine.jobs.job import MattePlan, describe_shot, edge_neighbours, provenance, seeds_used
from matanyone_engine.jobs.plate_digests import Clock, PlateDigests
from matanyone_engine.jobs.provenance import KEYS_OF_0_1_0
from matanyone_engine.jobs.run_events import CheckingFiles, EditedByHand, RunEvent, Unchanged
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
    """Lists the frames that a run leaves alone."""

    current: tuple[int, ...] = ()
    """Frames whose files are up to date."""
    edited: tuple[int, ...] = ()
    """Frames whose files were changed by hand since a run wrote them."""


class RunAccount:
    """Keeps the account of one run."""

    def __init__(
        self, plan: MattePlan, weights: VettedWeights, identity: str, names: Names, plates: PlateDigests
    ) -> None:
        """Read the ledgers. identity: the job's digest (run_identity.py); names: the content keys of its results."""
        self._plan, self._weights, self._identity = plan, weights, identity
        self._names, self._plates = names, plates
        self._point = plan.sidecars.resume
        self._ledger = plan.ledger()
        self._left = time.monotonic()
        self._begun_work = False

    # ----------------------------------------------------------------------------------------- before the work

    def frames_on_disk(self, stopping: Callable[[], bool]) -> Generator[RunEvent, None, FramesOnDisk]:
        """Find the frames to leave alone. Their files are read for that; the events report it."""
        current, edited, clock, asked = [], [], Clock(), self._plan.frames
        for done, frame in enumerate(asked, 1):
            if stopping():
                break
            paths = self._plan.paths(frame)
            if self._ledger.is_current(frame, self._made_from(frame), paths):
                current.append(frame)
            elif not self._plan.job.overwrite and self._is_edited(frame):
                edited.append(frame)
            if clock.due():
                yield CheckingFiles(frame, done, len(asked))
        return FramesOnDisk(tuple(current), tuple(edited))

    def _is_edited(self, frame: int) -> bool:
        """Return whether the files of a frame were changed by hand. Files that cannot be read as pictures count as
        damaged.
        """
        paths = self._plan.paths(frame)
        return self._ledger.state(frame, paths) is FileState.CHANGED and self._plan.outputs.are_readable(paths)

    def open(self, found: FramesOnDisk, waiting: int) -> list[RunEvent]:
        """Begin the record; return the events about frames that are left alone. waiting: the number of frames to
        compute."""
        kept = {frame: self._ledger.entry(frame) for frame in found.current}
        entries = {frame: self._ledger.last_entry(frame) or FrameRecord() for frame in found.edited}
        made = provenance(self._plan, self._weights, list(self._plan.masks.keys))
        job, shot = asdict(self._plan.job), describe_shot(self._plan)
        about = Record(identity=self._identity, job=job, shot=shot, made=made, frames={**kept, **entries})
        self._record = RunRecord(self._plan.sidecars.record, about, found.edited)
        events: list[RunEvent] = []
        if found.edited:
            message = "Alphas of %d frames were changed by hand and are kept; overwrite replaces them."
            _log.warning(message, len(entries))
            events.append(EditedByHand(found.edited[-1], 0, waiting, found.edited))
        if found.current:
            events.append(Unchanged(found.current[-1], 0, waiting, found.current, kept))
        if waiting or found.edited:
            self._record.write("running" if waiting else "finished")
        return events

    def resume_states(self) -> Mapping[str, bytes]:
        """Return the states of an unfinished run of this job. Raises SettingError."""
        point = read_resume_point(self._point)
        if point.identity != self._identity:
            raise cannot_resume(f"{self._point} of another job (a mask, the model, a frame or an option differs)")
        return point.states

    # ---------------------------------------------------------------------------------------------- a frame

    def about(self, frame: int) -> dict[str, str]:
        """Return how the files of a frame are made, for their headers; of the masks, only those that the frame depends
        on."""
        made = provenance(self._plan, self._weights, seeds_used(self._plan.shot, frame))
        return {**made, **self._plan.areas.about(frame)}

    def begin(self, frame: int) -> None:
        """Note that the files of a frame are about to be written. Raises OutputError."""
        self._ledger.begin(frame, self._plan.paths(frame))

    def finish(self, frame: int, paths: Sequence[Path], entry: FrameRecord) -> None:
        """Note that the files of a frame are on disk. Raises OutputError."""
        self._ledger.add(frame, self._made_from(frame), paths, entry)

    def _made_from(self, frame: int) -> str:
        """Return the digest of everything that the files of a frame depend on."""
        job, shot = self._plan.job, self._plan.shot
        alphas = [(each.name, each.distractor, *self._alpha_keys(each.name, frame)) for each in shot.subjects]
        about = in_names_of_0_1_0(self.about(frame), KEYS_OF_0_1_0)
        return digest(alphas, job.separate, asdict(job.delivery), about, self._plates.digests[frame])

    def _alpha_keys(self, subject: str, frame: int) -> list[str]:
        """List the content keys of a subject's alpha and of the alphas that it is steadied or solved with, and the
        digests of its area.
        """
        areas, around = self._plan.areas, edge_neighbours(self._plan, subject, frame)
        also = (*around, *areas.before(subject, frame))
        return [*(self._names.answer(subject, each) for each in (frame, *also)), *areas.digests(subject, frame)]

    # -------------------------------------------------------------------------------------------- during the run

    def add(self, frame: int, entry: FrameRecord) -> None:
        """Add a finished frame to the record."""
        self._record.add(frame, entry)

    def fail(self, error: EngineError) -> None:
        """Record the error that stopped the run."""
        self._record.fail(error)

    def work_begins(self) -> None:
        """Remove the resume point of another job.

        One of this job stays until a newer one is written: its states have content keys, so they stay valid.
        """
        if not self._begun_work and point_identity(self._point) != self._identity:
            self._point.unlink(missing_ok=True)
        self._begun_work = True

    def write_if_due(self, states: Callable[[], Mapping[str, bytes]], interval_s: float) -> None:
        """Write a resume point and the record if the last ones are older than the interval."""
        if time.monotonic() - self._left > interval_s:
            self._write_resume_point(states)
            self._record.write("running")

    def end(self, states: Callable[[], Mapping[str, bytes]], *, finished: bool) -> None:
        """Write what the next run needs. states: returns those of the unfinished passes."""
        if finished:
            self._point.unlink(missing_ok=True)
        elif self._begun_work:
            self._write_resume_point(states)
        if self._begun_work:
            try:
                self._ledger.compact()
            except OutputError as error:  # the ledger is only longer than necessary
                _log.warning("%s", error)
        self._record.write("finished" if finished else "stopped")

    def check_trust(self, found: FramesOnDisk) -> None:
        """Raise Doubtful if most frames of an object cannot be trusted, unless the job accepts that.

        Frames that were changed by hand do not count.
        """
        if not self._plan.job.accept_doubt:
            fixed = set(found.edited)
            check_trust({frame: entry for frame, entry in self._record.frames.items() if frame not in fixed})

    def _write_resume_point(self, states: Callable[[], Mapping[str, bytes]]) -> None:
        """Write a resume point.

        If that fails, only a warning is logged, so that the error that ended the run is not hidden.
        """
        self._left = time.monotonic()
        try:
            write_resume_point(self._point, ResumePoint(self._identity, states()))
        except Exception as error:
            _log.warning("This run cannot be resumed: %s", error)
