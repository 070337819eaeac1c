# SPDX-License-Identifier: Apache-2.0
"""What is done about frames that go wrong, the same for sessions and jobs.

no number in an alpha          an error, and the frame has not happened (matting/session.py)
a black plate, an empty alpha, a subject that an artist's region cuts
                               reported, and delivered as it is: a shot may fade out, a subject may leave the frame
no memory left                 once more with smaller blocks, then an error; never at a smaller size
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.errors import OutOfMemory
from matanyone_engine.matting.session import MattingSession

Plane = NDArray[np.float32]
T = TypeVar("T")

BLACK_PLATE = "the plate is black"
CUT_SUBJECT = "the region cuts the subject: enlarge it, or let it follow"
EMPTY_ALPHA = "the alpha is empty: the subject left the frame or was lost"

_SMALL_BLOCK_BYTES = 4 << 20
"""Of a memory read, once memory has run out."""


def suspicions(*, black: bool, alpha: Plane, cut: bool = False) -> tuple[str, ...]:
    """What an artist should look at. black: nothing but 0 in the plate; alpha: (H, W) 0..1, all of the frame."""
    found = ((black, BLACK_PLATE), (not alpha.max() > 0.5, EMPTY_ALPHA), (cut, CUT_SUBJECT))
    return tuple(words for so, words in found if so)


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
