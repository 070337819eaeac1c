# SPDX-License-Identifier: Apache-2.0
"""Merges the segments of a job: it checks that every alpha is there, and joins their sidecars into one set.

No pixel is read: the segments have written their frames into one output. A run of the whole job afterwards has nothing
to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import BadInput
from matanyone_engine.jobs.delivery import Outputs
from matanyone_engine.jobs.job import MatteJob, outline_matte, plan_outputs_of, resolve
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.doubt import check_trust
from matanyone_engine.runs.frame_record import FrameRecord
from matanyone_engine.runs.ledger import FileState, Ledger
from matanyone_engine.runs.record import Record, join_records, read_record
from matanyone_engine.runs.sidecars import Sidecars


@dataclass(frozen=True)
class Merged:
    """Names the merged output."""

    frames: tuple[int, ...]
    suspicious: tuple[int, ...]
    folder: Path
    judged: Mapping[int, FrameRecord]
    """The records of its frames; empty if the jobs accept results that cannot be trusted."""

    def check_trust(self) -> None:
        """Raise Doubtful if most frames of an object cannot be trusted."""
        check_trust(self.judged)


def merge(segments: Sequence[MatteJob]) -> Merged:
    """Join the sidecars of segments. Raises BadInput that names missing frames; OutputError."""
    resolved = resolve(segments[0])
    outlines = [resolved.outline, *(outline_matte(job, resolved.source) for job in segments[1:])]
    outputs = plan_outputs_of(resolved)
    parts = [Sidecars.of(outputs.main, outline.frames) for outline in outlines]
    whole = Sidecars(outputs.main)
    ledger = Ledger(whole.ledger, [part.ledger for part in parts])
    frames = tuple(sorted(frame for outline in outlines for frame in outline.frames))
    absent = [frame for frame in frames if not _is_there(ledger, outputs, frame)]
    if absent:
        raise _not_there(absent, parts)
    lines = {frame: ledger.entry(frame) for frame in frames}
    suspicious = tuple(frame for frame, entry in lines.items() if entry.needs_a_look)
    left = [part for part in parts if part.record.is_file()]
    if left:  # otherwise they were merged before
        join_records(whole.record, [part.record for part in left], lines)
    ledger.join()
    for part in parts:
        for sidecar in (part.record, part.ledger):
            sidecar.unlink(missing_ok=True)
    doubted = {} if any(job.accept_doubt for job in segments) else lines
    return Merged(frames, suspicious, outputs.main.folder, doubted)


def _is_there(ledger: Ledger, outputs: Outputs, frame: int) -> bool:
    """Return whether the files of a frame exist, as a run wrote them or as they were changed by hand since."""
    paths = outputs.paths(frame)
    if ledger.is_whole(frame, paths):
        return True
    if not all(path.is_file() for path in paths) or not outputs.are_readable(paths):
        return False
    return ledger.state(frame, paths) is FileState.CHANGED and ledger.keep(frame)


def _not_there(absent: Sequence[int], parts: Sequence[Sidecars]) -> BadInput:
    reasons = []
    for part in parts:
        record = read_record(part.record) or Record(state="not begun")
        failed = record.run.failed
        if failed:
            reasons.append(f"{part.part} failed on frame {failed.frame}: {failed.came}")
        elif record.state != "finished":
            reasons.append(f"{part.part} is {record.state}")
    return BadInput(
        expected="the alphas of every segment, unchanged since they were written",
        came=f"no such alpha for {describe_frames(absent)}" + (f" ({'; '.join(reasons)})" if reasons else ""),
        action="Run the unfinished segments again. Finished frames are kept.",
    )
