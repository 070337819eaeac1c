# SPDX-License-Identifier: Apache-2.0
"""Recognises held frames: plates that repeat the last computed one (animation on twos, pulldown, freezes).

A repeat is answered with the last alpha, and the session does not move: frames after it are what they would be
without it, and memory fills with frames that differ.

Rules of this file:
1. A plate is compared with the last one that was computed, never with a repeat: small changes cannot add up unseen.
2. Without a tolerance only the same bits are a repeat.
3. With one, the mean of every 8x8 block of every channel must be within it: grain averages out there, a moving edge
   does not.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
"""Pixels; blocks at the right and the bottom may be smaller."""
LARGEST_TOLERANCE = 0.1
"""Of display-referred 0..1; beyond it anything would be a repeat."""


def fingerprint_of(plate: Tensor, tolerance: float) -> Tensor:
    """Return what later plates are compared with: the digest of a plate's bits (3, H, W), or the means of its
    blocks.
    """
    if tolerance:
        return F.avg_pool2d(plate, BLOCK, ceil_mode=True)
    digest = hashlib.sha256(plate.contiguous().cpu().numpy().data).digest()
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)


def is_repeat(fingerprint: Tensor, last: Tensor, tolerance: float) -> bool:
    """Return whether two plates of one size are the same within a tolerance of display-referred values 0..1."""
    last = last.to(fingerprint.device)
    return bool((fingerprint - last).abs().max() <= tolerance) if tolerance else torch.equal(fingerprint, last)
