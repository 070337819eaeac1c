# SPDX-License-Identifier: Apache-2.0
"""Recognises held frames: plates that repeat the last computed one (animation on twos, pulldown, freezes).

A repeat gets the last alpha, and the session's state does not change. So the frames after it are the same as without
it, and only frames that differ go into memory.

Rules of this file:
1. A plate is compared with the last one that was computed, never with a repeat, so that small changes cannot add up.
2. Without a tolerance only a plate with the same bits is a repeat.
3. With a tolerance, the mean of every 8x8 block of every channel must be within it: grain averages out, a moving edge
   does not.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
"""Block size in pixels; blocks at the right and the bottom may be smaller."""
LARGEST_TOLERANCE = 0.1
"""Largest tolerance, in display values 0..1; with more, any plate would be a repeat."""


def fingerprint_of(plate: Tensor, tolerance: float) -> Tensor:
    """Return the fingerprint of a plate (3, H, W) that later plates are compared with: the digest of its bits, or with
    a tolerance the means of its blocks.
    """
    if tolerance:
        return F.avg_pool2d(plate, BLOCK, ceil_mode=True)
    digest = hashlib.sha256(plate.contiguous().cpu().numpy().data).digest()
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)


def is_repeat(fingerprint: Tensor, last: Tensor, tolerance: float) -> bool:
    """Return whether two fingerprints of plates of one size are equal within a tolerance, in display values 0..1."""
    last = last.to(fingerprint.device)
    return bool((fingerprint - last).abs().max() <= tolerance) if tolerance else torch.equal(fingerprint, last)
