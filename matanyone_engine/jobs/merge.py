# SPDX-License-Identifier: Apache-2.0
"""Segments whose runs are over -> one output: their alphas are there and whole, their papers become one set.

No pixel is touched: segments write into one output, each its own frames. A run of the whole job afterwards finds every
frame standing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import BadInput
from matanyone_engine.jobs.job import MatteJob, open_source, outline_matte, plan_outputs_of
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.ledger import Ledger
from matanyone_engine.runs.record import join_records, needs_a_look, read_record
from matanyone_engine.runs.sidecars import Papers


@dataclass(frozen=True)
class Merged:
    """What became of the segments."""

    frames: tuple[int, ...]
    suspicious: tuple[int, ...]
    folder: Path


def merge(segments: Sequence[MatteJob]) -> Merged:
    """Join the papers of segments. Raises BadInput, which names the frames that are not there; OutputError."""
    source = open_source(segments[0])
    outlines = [outline_matte(job, source) for job in segments]
    outputs = plan_outputs_of(segments[0], source, outlines[0])
    parts = [Papers.of(outputs.main, outline.frames) for outline in outlines]
    whole = Papers(outputs.main)
    ledger = Ledger(whole.ledger, [part.ledger for part in parts])
    frames = tuple(sorted(frame for outline in outlines for frame in outline.frames))
    absent = [frame for frame in frames if not ledger.is_whole(frame, outputs.paths(frame))]
    if absent:
        raise _not_there(absent, parts)
    lines = {frame: ledger.said(frame) for frame in frames}
    suspicious = tuple(frame for frame, line in lines.items() if needs_a_look(line))
    left = [part for part in parts if part.record.is_file()]
    if left:  # else they were merged before
        join_records(whole.record, [part.record for part in left], lines)
    ledger.join()
    for part in parts:
        for paper in (part.record, part.ledger):
            paper.unlink(missing_ok=True)
    return Merged(frames, suspicious, outputs.main.folder)


def _not_there(absent: Sequence[int], parts: Sequence[Papers]) -> BadInput:
    reasons = []
    for part in parts:
        said = read_record(part.record)
        failed = said.get("run", {}).get("failed")
        if failed:
            reasons.append(f"{part.part} failed on frame {failed['frame']}: {failed['got']}")
        elif said.get("state") != "finished":
            reasons.append(f"{part.part} {said.get('state', 'was not begun')}")
    return BadInput(
        expected="an alpha for every frame of every segment, as it was written",
        came=f"none for {describe_frames(absent)}" + (f" ({'; '.join(reasons)})" if reasons else ""),
        action="Run the segments that are not finished again: what is there is kept.",
    )
