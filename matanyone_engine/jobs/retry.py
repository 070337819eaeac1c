# SPDX-License-Identifier: Apache-2.0
"""Tries again when network storage does not answer for a moment, so that a shot is delayed and does not fail.

The cause is found by asking the system about the file or folder itself, since image libraries do not pass it on.
"""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from matanyone_engine.atomic import open_inside
from matanyone_engine.errors import EngineError

T = TypeVar("T")

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses between the tries, in seconds: half a minute in all, which is how long a file server's failover takes."""

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "ESTALE", "EIO", "ETIMEDOUT", "EAGAIN", "EBUSY", "EINTR", "ECONNRESET", "ECONNABORTED", "ENOTCONN",
        "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EREMOTEIO", "ENOLINK",
    )
    if hasattr(errno, name)
)  # fmt: skip
_BLOCK = 1 << 20
_log = logging.getLogger("matanyone_engine")


def with_retries(work: Callable[[], T], look: Callable[[], None]) -> T:
    """Do some work. If it fails because of the storage, do it again after a pause.

    look: accesses the same file or folder with system calls; it raises OSError if that fails. The work's error is
    raised if the storage works, or after the last try.
    """
    for pause in PAUSES_S:
        try:
            return work()
        except (EngineError, OSError) as error:
            if not (_is_passing(error) or _is_ill(look)):
                raise
            _log.warning("The storage fails (%s); trying again in %.0f s", error, pause)
            time.sleep(pause)
    return work()


def read_through(path: Path) -> None:
    """Read a whole file, to see whether the storage answers. Raises OSError."""
    with path.open("rb") as file:
        while file.read(_BLOCK):
            pass


def write_something(folder: Path) -> None:
    """Write and remove a small file, to see whether the storage can be written. Raises OSError."""
    # a random name, so that no link can lie at that path
    probe = folder / f".matanyone-storage-test.{uuid.uuid4().hex}.tmp"
    try:
        with open_inside(probe, "xb") as file:
            file.write(bytes(4096))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_ill(look: Callable[[], None]) -> bool:
    try:
        look()
    except OSError as error:
        return error.errno in _PASSING
    return False


def _is_passing(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, is a storage error that may pass."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__
    return False
