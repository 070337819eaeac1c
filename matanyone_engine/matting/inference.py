# SPDX-License-Identifier: Apache-2.0
"""Sets how torch runs what a session computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from matanyone_engine.errors import OutOfMemory


@contextmanager
def inference() -> Iterator[None]:
    """Run the block without autograd, and raise OutOfMemory if memory runs out."""
    try:
        with torch.inference_mode():
            yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out_of_memory(error):
            raise
        raise OutOfMemory(
            expected="enough memory for one frame",
            came=str(error).splitlines()[0] if str(error) else "no memory left",
            action="Set a smaller working size (--working-size 288), or close other programs that use the device.",
        ) from error


def _ran_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out. torch has a class for it on CUDA only; elsewhere the message
    says it."""
    words = (
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "ALLOC_FAILED",
        "could not create a primitive",
    )
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)
