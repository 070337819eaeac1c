# SPDX-License-Identifier: Apache-2.0
"""The way on from an unfinished run: how many steps are on disk, and the session's state after the last of them.

A file that exists proves nothing: a run goes on only from a point that names the very same job.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.media.sequence import OutputPattern


@dataclass(frozen=True)
class ResumePoint:
    """Where an unfinished run stopped."""

    identity: str
    """Fingerprint of the job up to there (job.fingerprint)."""
    done: int
    """Steps whose results are on disk."""
    snapshot: bytes
    """The session after them (MattingSession.snapshot)."""


def resume_path(output: OutputPattern) -> Path:
    """Beside the alphas, hidden, one for each output pattern."""
    return output.folder / f".{output.prefix}{output.suffix.removeprefix('.')}.resume"


def write_resume_point(path: Path, point: ResumePoint) -> None:
    """Write atomically. Raises OutputError."""
    header = json.dumps({"identity": point.identity, "done": point.done}).encode()
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(header + b"\n" + point.snapshot)
    except OSError as error:
        raise OutputError(
            expected=f"to write the resume point {path}", came=str(error), action="Finished frames are kept."
        ) from error


def read_resume_point(path: Path) -> ResumePoint:
    """What an unfinished run left. Raises SettingError where there is nothing, or it is damaged."""
    if not path.is_file():
        raise cannot_resume(f"no resume point at {path}")
    header, _, snapshot = path.read_bytes().partition(b"\n")
    try:
        fields = json.loads(header)
        return ResumePoint(str(fields["identity"]), int(fields["done"]), snapshot)
    except (ValueError, KeyError, TypeError) as error:
        raise cannot_resume(f"{path}, which is damaged ({error})") from error


def cannot_resume(came: str) -> SettingError:
    """The refusal to go on from a run that is not exactly this job's."""
    return SettingError(
        expected="an unfinished run of exactly this job", came=came, action="Run it without --resume to begin anew."
    )
