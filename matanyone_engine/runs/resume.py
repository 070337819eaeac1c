# SPDX-License-Identifier: Apache-2.0
"""Keeps the resume point of an unfinished run: the state of every unfinished pass.

A run continues only from a resume point of the same job. It may do so on another machine: results that are not in the
cache there (jobs/cache.py) are computed again from these states, or from the key frames.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, SettingError

_STATE = re.compile(r"[0-9a-f]{32}\.state")


@dataclass(frozen=True)
class ResumePoint:
    """Holds where an unfinished run stopped."""

    identity: str
    """Digest of the job (jobs/run_identity.py). It does not include the plates, since states have content keys."""
    states: Mapping[str, bytes]
    """The state of every unfinished pass, by its content key (matting/runner.py)."""


def write_resume_point(path: Path, point: ResumePoint) -> None:
    """Write a resume point atomically. Raises OutputError."""
    sizes = {name: len(blob) for name, blob in point.states.items()}
    blobs = b"".join(point.states.values())
    header = {"identity": point.identity, "states": sizes, "sha256": hashlib.sha256(blobs).hexdigest()}
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"\n".join((json.dumps(header).encode(), blobs)))
    except OSError as error:
        raise OutputError(
            expected=f"to write the resume point {path}",
            came=str(error),
            action="Free some disk space. Finished frames are kept.",
        ) from error


def read_resume_point(path: Path) -> ResumePoint:
    """Read the resume point of an unfinished run. Raises SettingError if there is none, or if it is damaged."""
    if not path.is_file():
        raise cannot_resume(f"no resume point at {path}")
    header, _, blobs = path.read_bytes().partition(b"\n")
    try:
        fields = json.loads(header)
        states, at = {}, 0
        for name, size in fields["states"].items():
            states[_checked(name)], at = blobs[at : at + size], at + size
        if at != len(blobs):
            raise ValueError(f"{len(blobs)} bytes of states, not {at}")
        if hashlib.sha256(blobs).hexdigest() != fields["sha256"]:
            raise ValueError("states that are not what was written")
        return ResumePoint(str(fields["identity"]), states)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise cannot_resume(f"{path}, which is damaged ({error})") from error


def point_identity(path: Path) -> str:
    """Return the identity of a resume point's job; '' if there is no resume point, or if it cannot be read."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline())["identity"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _checked(name: str) -> str:
    """Check and return a state's name, which becomes a file name. Raises ValueError for anything but a content key."""
    if not _STATE.fullmatch(name):
        raise ValueError(f"a state called {name!r}")
    return name


def cannot_resume(came: str) -> SettingError:
    """Return the error for a run that cannot be continued because it is not exactly this job's."""
    return SettingError(
        expected="an unfinished run of exactly this job", came=came, action="Run it without --resume: it begins anew."
    )
