# SPDX-License-Identifier: Apache-2.0
"""The record of a run beside its alphas: how they were made, and a line for every frame that is on disk.

    out/alpha.####.exr  ->  out/alpha.matanyone.json

It is written at the beginning, with every resume point and at the end, and always whole. Frames that a run leaves alone
keep their lines (ledger.py has them too).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import EngineError, OutputError, SettingError
from matanyone_engine.matting.confidence import DOUBTFUL, Confidence
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.media.sequence import describe_frames

FORMAT = 1

_log = logging.getLogger("matanyone_engine")

Line = Mapping[str, Any]
"""What is said of a frame, as frame_line() says it."""


def reserve(path: Path, name: str) -> None:
    """Take a version before another run that is planned at the same time can. Raises SettingError if one just did."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump({"software": SOFTWARE, "format": FORMAT, "state": "planned"}, file)
    except FileExistsError as error:
        raise SettingError(
            expected=f"a version of {name} that is free",
            came=f"{path}, which another run has just made",
            action="Run it again: it takes the next version.",
        ) from error


class RunRecord:
    """Collects what a run does; leave() puts it on disk."""

    def __init__(
        self,
        path: Path,
        identity: str,
        job: Mapping[str, Any],
        about: Mapping[str, str],
        shot: Mapping[str, Any],
        kept: Mapping[int, Line],
    ) -> None:
        """identity: tells this job from others; shot: where its pixels are and what its objects' keys are.

        kept: lines of frames that are left alone.
        """
        self.path = path
        self._frames = dict(kept)
        self._kept = tuple(kept)
        about_run = {"identity": identity, "job": job, "shot": shot, "made": about}
        self._said = {"software": SOFTWARE, "format": FORMAT, **about_run}
        self._begun = _now()
        self._done: list[int] = []
        self._suspicious: list[int] = []
        self._failed: dict[str, Any] | None = None

    def add(self, frame: int, line: Line) -> None:
        """A frame whose files are on disk."""
        self._done.append(frame)
        if needs_a_look(line):
            self._suspicious.append(frame)
        self._frames[frame] = line

    def fail(self, error: EngineError) -> None:
        """What stopped the run, and on which frame."""
        said = {"expected": error.expected, "got": error.came, "do": error.action}
        self._failed = {"frame": error.frame, "error": type(error).__name__, **said}

    def leave(self, state: str) -> None:
        """Write it; a failure is a warning, since the alphas count more. state: 'running', 'finished' or 'stopped'."""
        frames = {str(frame): self._frames[frame] for frame in sorted(self._frames)}
        said = {**self._said, "state": state, "begun": self._begun, "written": _now(), "run": self._run()}
        try:
            with whole_file(self.path) as temporary:
                text = json.dumps({**said, "frames": frames}, indent=1, ensure_ascii=False, default=str)
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            _log.warning("The record of this run, %s, could not be written: %s", self.path, error)

    def _run(self) -> dict[str, Any]:
        """What this run did: frames as ranges."""
        parts = {"done": self._done, "reused": self._kept, "suspicious": self._suspicious}
        return {**{name: describe_frames(frames) for name, frames in parts.items()}, "failed": self._failed}


def join_records(into: Path, parts: Sequence[Path], frames: Mapping[int, Line]) -> None:
    """One record of a whole output from those of its parts; frames: their lines. Raises OutputError."""
    records = [read_record(path) for path in parts]
    first = records[0]
    said: dict[str, Any] = {
        **{name: first[name] for name in ("software", "format", "job", "shot", "made") if name in first},
        "state": "finished",
        "written": _now(),
        "parts": [{name: each.get(name) for name in ("begun", "written", "run", "made")} for each in records],
        "frames": {str(frame): frames[frame] for frame in sorted(frames)},
    }
    try:
        with whole_file(into) as temporary:
            temporary.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            expected=f"to write the record {into}", came=str(error), action="Check the room on the disk; run it again."
        ) from error


def frame_line(
    record: Path,
    files: Sequence[Path],
    alphas: Mapping[str, NDArray[np.float32]],
    warnings: Sequence[str],
    confidences: Mapping[str, Confidence],
) -> Line:
    """A frame whose files are on disk. record: where the record is; alphas: object -> (H, W)."""
    return {
        "files": [_beside(record, file) for file in files],
        "coverage": {name: round(float(alpha.mean()), 6) for name, alpha in alphas.items()},
        "warnings": list(warnings),
        "confidence": {name: asdict(each) for name, each in confidences.items()},
    }


def needs_a_look(line: Line) -> bool:
    """Whether an artist should look at the frame of a record's line."""
    return is_suspicious(line["warnings"], [each["value"] for each in line["confidence"].values()])


def is_suspicious(warnings: Sequence[str], sure: Sequence[float]) -> bool:
    """Whether an artist should look at a frame; sure: how far each of its objects can be trusted, 0..1."""
    return bool(warnings) or min(sure, default=1.0) < DOUBTFUL


def read_record(path: Path) -> dict[str, Any]:
    """A record, {} where there is none or it is not one of ours."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) and said.get("software") == SOFTWARE else {}


def _beside(record: Path, file: Path) -> str:
    return str(file.relative_to(record.parent)) if file.is_relative_to(record.parent) else str(file)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
