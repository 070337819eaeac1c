# SPDX-License-Identifier: Apache-2.0
"""Locks a file for one process at a time. The system lets go of it when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, Optional

from .private import open_private


def try_lock(path: Path) -> Optional[BinaryIO]:
    """Return the locked file, to be kept open while the lock is needed; None where another process has it.

    Raises OSError; PermissionError for a file of another user.
    """
    file = open(open_private(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)  # noqa: PTH123, SIM115
    try:
        _lock(file)
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    return file


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
