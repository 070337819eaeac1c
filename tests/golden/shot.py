# SPDX-License-Identifier: Apache-2.0
"""Defines the golden shot: what is run, for recording and for checking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from matanyone_engine import LongTermPolicy, MattingSession, MemoryPolicy
from matanyone_engine.model import MatAnyone

HERE = Path(__file__).resolve().parent
GOLDEN_WEIGHTS = HERE / "toy.safetensors"
GOLDEN_SHOT = HERE / "shot.npz"
MASK_RADIUS = 12

POLICIES = {
    "rolling": MemoryPolicy(memory_every=3, bank_frames=3, top_k=8),
    "long_term": MemoryPolicy(
        memory_every=2, long_term=LongTermPolicy(3, 2, prototypes=6, max_tokens=20, buffer_tokens=4)
    ),
}


def alphas_of(network: MatAnyone, shot: torch.Tensor, mask: torch.Tensor) -> dict[str, np.ndarray]:
    """Return the alphas (T, H, W) of the shot (T, 3, H, W) under each policy."""
    results = {}
    for name, policy in POLICIES.items():
        session = MattingSession(network, policy, warm_up_passes=2)
        alphas = [session.seed(shot[0], mask), *(session.advance(plate) for plate in shot[1:])]
        results[name] = torch.stack(alphas).numpy()
    return results
