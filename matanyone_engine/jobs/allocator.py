# SPDX-License-Identifier: Apache-2.0
"""Lets this process keep the memory that a frame has freed, so that the next frame need not ask for it again.

By default glibc gives every large block back to the system, so that each frame asks for the same pages anew: a third of
the time of a 720p frame on two cores (benchmarks/README.md). A process whose work is matting keeps them.
"""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_BLOCK = 1 << 30
_KEPT = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks of up to 1 GiB; return False if it is not glibc. Changes no result."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_M_TRIM_THRESHOLD, _KEPT)
    # Other threads would get arenas of their own, which keep nothing above 64 MB: the engine's device thread took twice
    # as long for a 1080p frame.
    return bool(kept and mallopt(_M_ARENA_MAX, 1))
