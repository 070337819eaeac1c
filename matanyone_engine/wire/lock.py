# SPDX-License-Identifier: Apache-2.0
"""A file that one process holds at a time. The system lets go of it when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, Optional


def try_lock(path: Path) -> Optional[BinaryIO]:
    """The held file, to be kept open for as long as it is to be held; None where another holds it. Raises OSError."""
    file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)  # noqa: PTH123, SIM115
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
