# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands a job file to a Flamenco Manager, which gives it to render machines (docs/farm.md). No bpy.

submit() waits for an answer, so it is for the network thread. The Manager must have the job type of
farm/flamenco/matanyone_matte.js.
"""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.parse
import urllib.request

from .engine.wire.errors import Code, WireError

JOB_TYPE = "matanyone-matte"
"""What Flamenco calls the job type of matanyone_matte.js."""
PORT = 8080
_PRIORITY = 50
_WAIT_S = 15.0
_HERE = {"localhost", "127.0.0.1", "::1"}


def job_of(name: str, job_file: str, segments: int, client: str) -> dict[str, object]:
    """Return a job as Flamenco's interface takes it. segments: at most so many workers; client: who submits it."""
    return {
        "name": name,
        "type": JOB_TYPE,
        "priority": _PRIORITY,
        "submitter_platform": platform.system().lower(),
        "settings": {"job_file": job_file, "segments": segments, "split": False},
        "metadata": {"submitted by": client},
    }


def submit(manager: str, job: dict[str, object], online: bool = True) -> str:
    """Send a job to the Manager at this address; the number that it gives the job. Raises WireError.

    online: whether Blender may go online, which a Manager on another machine needs.
    """
    address = urllib.parse.urlsplit(manager if "//" in manager else f"http://{manager}")
    if address.scheme not in ("http", "https") or not address.hostname:
        raise _wrong(f"expected the address of a Flamenco Manager, got {manager!r}", f"Write http://NAME:{PORT}.")
    if not online and address.hostname not in _HERE:
        raise _wrong(
            f"expected permission to go online, since Flamenco's Manager is at {address.hostname}",
            "Switch on Preferences > System > Network > Allow Online Access.",
        )
    request = urllib.request.Request(
        f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}/api/v3/jobs",
        json.dumps(job).encode(),
        {"Content-Type": "application/json", "Accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_WAIT_S) as answer:
            return str(json.load(answer)["id"])
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WireError(
            Code.UNREACHABLE,
            f"expected a Flamenco Manager at {manager}; {getattr(error, 'reason', error)}",
            "Start it, or name another address in the add-on's preferences.",
        ) from error


def _wrong(message: str, action: str) -> WireError:
    return WireError(Code.BAD_INPUT, message, action)


def _refused(error: urllib.error.HTTPError) -> WireError:
    """Return why the Manager does not take a job, in its own words."""
    try:
        said = str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error)
    return _wrong(
        f"expected Flamenco to take the job; it says: {said[:300]}",
        "See that matanyone_matte.js is in the folder scripts beside flamenco-manager, and start that again.",
    )
