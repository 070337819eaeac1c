# SPDX-License-Identifier: Apache-2.0
"""The record of a run beside its alphas: how they were made, and a line for every frame that is on disk.

    out/alpha.####.exr  ->  out/alpha.matanyone.json

It is written with every resume point and at the end, and always whole. Frames that a run leaves alone keep their lines
(ledger.py has them too).
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
from matanyone_engine.errors import SettingError
from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.media.sequence import OutputPattern

FORMAT = 1
SUFFIX = ".matanyone.json"

_log = logging.getLogger("matanyone_engine")

Line = Mapping[str, Any]
"""What is said of a frame, as frame_line() says it."""


def record_path(output: OutputPattern) -> Path:
    """Beside the alphas, one for each output pattern."""
    return output.folder / f"{output.prefix.rstrip('._-') or 'alphas'}{SUFFIX}"


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
        job: Mapping[str, Any],
        about: Mapping[str, str],
        shot: Mapping[str, Any],
        kept: Mapping[int, Line],
    ) -> None:
        """shot: where its pixels are and what its objects' keys are; kept: lines of frames that are left alone."""
        self.path = path
        self._frames = dict(kept)
        self._said = {"software": SOFTWARE, "format": FORMAT, "job": job, "shot": shot, "made": about}
        self._begun = _now()

    def add(self, frame: int, line: Line) -> None:
        """A frame whose files are on disk."""
        self._frames[frame] = line

    def leave(self, state: str) -> None:
        """Write it; a failure is a warning, since the alphas count more. state: 'running', 'finished' or 'stopped'."""
        frames = {str(frame): self._frames[frame] for frame in sorted(self._frames)}
        said = {**self._said, "state": state, "begun": self._begun, "written": _now(), "frames": frames}
        try:
            with whole_file(self.path) as temporary:
                temporary.write_text(json.dumps(said, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        except OSError as error:
            _log.warning("The record of this run, %s, could not be written: %s", self.path, error)


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
