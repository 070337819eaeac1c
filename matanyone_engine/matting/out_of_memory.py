# SPDX-License-Identifier: Apache-2.0
"""Computes a frame once more with smaller blocks when memory has run out, and never at a smaller size.

If that fails too, it is an error of our family, and the frame has not happened.
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
"""Of a memory read, once memory has run out."""


def again_if_out_of_memory(session: MattingSession, compute: Callable[[], T]) -> T:
    """Compute, and computes again with smaller blocks and freed reserves if memory ran out. The size stays the same.
    Raises OutOfMemory.
    """
    try:
        return compute()
    except OutOfMemory:
        session.block_bytes = _SMALL_BLOCK_BYTES
        give_back()
        return compute()


@contextmanager
def memory_named(work: str) -> Iterator[None]:
    """Turn running out of main memory, away from the device, into OutOfMemory."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(
            expected=f"enough main memory to {work} a frame",
            came=str(error) or "no memory left",
            action="Close other programs and run it again. Finished frames are kept.",
        ) from error


def give_back() -> None:
    """Give back to the device what this process keeps in reserve."""
    for kind in ("cuda", "xpu"):
        if device_count(kind):
            getattr(torch, kind).empty_cache()
