# SPDX-License-Identifier: Apache-2.0
"""Tries again when network storage is away for a moment, so that it costs a pause and not the shot.

What counts is what the system says of the file or folder itself: image libraries do not pass the cause on.
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
"""Between one try and the next: half a minute together, what a file server's failover takes."""

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


def patiently(work: Callable[[], T], look: Callable[[], None]) -> T:
    """Do some work, and again after a pause for as long as the storage itself fails.

    look: touches the same place by the system's own means, and raises OSError where that fails.
    Raises what the work raises, once the storage is well or patience is at its end.
    """
    for pause in PAUSES_S:
        try:
            return work()
        except (EngineError, OSError) as error:
            if not (_is_passing(error) or _is_ill(look)):
                raise
            _log.warning("The storage does not answer as it should (%s); trying again in %.0f s", error, pause)
            time.sleep(pause)
    return work()


def read_through(path: Path) -> None:
    """Read every byte of a file, to see whether the storage answers. Raises OSError."""
    with path.open("rb") as file:
        while file.read(_BLOCK):
            pass


def write_something(folder: Path) -> None:
    """Write a small file, to see whether the storage takes it. Raises OSError."""
    probe = folder / f".matanyone-storage-test.{uuid.uuid4().hex}.tmp"  # a name that nobody can put a link under
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
    """Return whether it, or what it came from, is a fault that passes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__
    return False
