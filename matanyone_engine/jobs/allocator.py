# SPDX-License-Identifier: Apache-2.0
"""Lets this process keep the memory that a frame has freed for the next frame, and gives it back when there is no next
frame.

By default glibc gives every large block back to the system, so each frame has to request the same pages again. On two
cores that takes a third of the time of a 720p frame (benchmarks/README.md). So a process that mattes keeps its blocks.
An idle engine gives them back, since it would otherwise hold up to 2 GiB while an artist works in another program.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Constants of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_BLOCK = 1 << 30
_KEPT = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks of up to 1 GiB; return False if it is not glibc. Changes no result."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_M_TRIM_THRESHOLD, _KEPT)
    # Other threads would get arenas of their own, which keep no block above 64 MB. With those, the engine's device
    # thread # took twice as long for a 1080p frame.
    return bool(kept and mallopt(_M_ARENA_MAX, 1))


def give_freed_memory_back() -> bool:
    """Give all unused pages back to the system; return False if there were none, or if the C library is not glibc."""
    trim = _of_glibc("malloc_trim")
    return bool(trim is not None and trim(0))


def _of_glibc(name: str) -> Any:
    """Return a function of the C library; None on another system, or if the library has no such function (musl)."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
