# SPDX-License-Identifier: Apache-2.0
"""Computes a frame again with smaller blocks if memory runs out, but never at a smaller size.

If that fails too, OutOfMemory is raised and the session is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from matanyone_engine.errors import OutOfMemory
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.device import device_count

T = TypeVar("T")

_SMALL_BLOCK_BYTES = 4 << 20
"""Block size, in bytes, of a memory read after memory has run out."""


def again_if_out_of_memory(session: MattingSession, compute: Callable[[], T]) -> T:
    """Compute a frame; if memory runs out, free reserved memory and compute it again with smaller blocks at the same
    size. Raises OutOfMemory.
    """
    try:
        return compute()
    except OutOfMemory:
        session.block_bytes = _SMALL_BLOCK_BYTES
        give_back()
        return compute()


@contextmanager
def memory_named(work: str) -> Iterator[None]:
    """Raise OutOfMemory if main memory runs out in work outside of the network."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(
            expected=f"enough main memory to {work} a frame",
            came=str(error) or "no memory left",
            action="Close other programs and run it again. Finished frames are kept.",
        ) from error


def give_back() -> None:
    """Free the device memory that this process keeps in reserve."""
    for kind in ("cuda", "xpu"):
        if device_count(kind):
            getattr(torch, kind).empty_cache()
