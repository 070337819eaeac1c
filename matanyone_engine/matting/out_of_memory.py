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

T = TypeVar("T")

_SMALL_BLOCK_BYTES = 4 << 20
"""Of a memory read, once memory has run out."""


def again_if_out_of_memory(session: MattingSession, compute: Callable[[], T]) -> T:
    """With what we hold in reserve given back, and smaller blocks; never at a smaller size. Raises OutOfMemory."""
    try:
        return compute()
    except OutOfMemory:
        session.block_bytes = _SMALL_BLOCK_BYTES
        give_back()
        return compute()


@contextmanager
def memory_named(work: str) -> Iterator[None]:
    """Running out of main memory, away from the device, as an error of our family. Raises OutOfMemory."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(
            expected=f"room in main memory to {work} a frame",
            came=str(error) or "none left",
            action="Close other programs; finished frames are kept.",
        ) from error


def give_back() -> None:
    """Let the device have what this process keeps in reserve."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
