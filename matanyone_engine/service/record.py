# SPDX-License-Identifier: Apache-2.0
"""The record of a run beside its alphas: how they were made, and a line for every frame that is on disk.

    out/alpha.####.exr  ->  out/alpha.matanyone.json

It is written with every resume point and at the end, and always whole. A run that goes on keeps the lines of the frames
it finds done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import SettingError
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.media.sequence import OutputPattern

FORMAT = 1
SUFFIX = ".matanyone.json"

_log = logging.getLogger("matanyone_engine")


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

    def __init__(self, path: Path, job: Mapping[str, Any], about: Mapping[str, str], kept: Iterable[int] = ()) -> None:
        """kept: frames that an earlier part of this run has finished: their lines stay."""
        self.path = path
        wanted = {str(frame) for frame in kept}
        earlier = read_record(path).get("frames", {}) if wanted else {}
        self._frames = {frame: line for frame, line in earlier.items() if frame in wanted}
        self._said = {"software": SOFTWARE, "format": FORMAT, "job": dict(job), "made": dict(about)}
        self._begun = _now()

    def add(
        self, frame: int, files: Sequence[Path], alphas: Mapping[str, NDArray[np.float32]], warnings: Sequence[str]
    ) -> None:
        """A frame whose files are on disk. alphas: object -> (H, W)."""
        self._frames[str(frame)] = {
            "files": [_beside(self.path, file) for file in files],
            "coverage": {name: round(float(alpha.mean()), 6) for name, alpha in alphas.items()},
            "warnings": list(warnings),
        }

    def leave(self, state: str) -> None:
        """Write it; a failure is a warning, since the alphas count more. state: 'running', 'finished' or 'stopped'."""
        frames = dict(sorted(self._frames.items(), key=lambda item: int(item[0])))
        said = {**self._said, "state": state, "begun": self._begun, "written": _now(), "frames": frames}
        try:
            with whole_file(self.path) as temporary:
                temporary.write_text(json.dumps(said, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        except OSError as error:
            _log.warning("The record of this run, %s, could not be written: %s", self.path, error)


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
