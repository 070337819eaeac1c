# SPDX-License-Identifier: Apache-2.0
"""Runs the bundled model on a shot whose result is known, to test whether this machine computes correctly.

The plates are drawn by a formula, so only the known result is stored: means of the alphas over a coarse grid.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import registry
from matanyone_engine.model.matanyone import MatAnyone

MODEL = "mini"
KNOWN_ANSWER = Path(registry.__file__).parent / "weights" / "mini.answer.json"
TOLERANCE = 5e-3
"""Largest allowed difference of a grid mean. GPUs with TF32 and half-precision convolutions stay below it."""

_HEIGHT, _WIDTH, _FRAMES, _CELL = 96, 128, 4, 16
SelfTestAlpha = NDArray[np.float32]


@dataclass(frozen=True)
class SelfTest:
    """Holds the result on one device."""

    device: str
    difference: float
    """Largest absolute difference of a grid mean from the known one."""

    @property
    def passed(self) -> bool:
        return self.difference <= TOLERANCE


def run_self_test(device: str) -> SelfTest:
    """Run the bundled model on a device and compare the result with the known one."""
    given = answer(registry.load_network(MODEL, device, "exact"))
    known = np.asarray(json.loads(KNOWN_ANSWER.read_text())["grid"], dtype=np.float32)
    return SelfTest(device, float(np.abs(given - known).max()))


def answer(network: MatAnyone) -> SelfTestAlpha:
    """Return the means of alpha over cells of 16x16 pixels: (frames, rows, columns)."""
    session = MattingSession(network, MemoryPolicy(memory_every=2, bank_frames=2), warm_up_passes=1)
    alphas = [session.seed(_plate(0), _disc(0)), *(session.advance(_plate(t)) for t in range(1, _FRAMES))]
    stacked = torch.stack(alphas).cpu().unsqueeze(1)
    return torch.nn.functional.avg_pool2d(stacked, _CELL)[:, 0].numpy()


def _plate(t: int) -> torch.Tensor:
    """Draw a striped disc that moves over a slow gradient: (3, H, W) 0..1."""
    y, x = torch.meshgrid(torch.arange(_HEIGHT) / _HEIGHT, torch.arange(_WIDTH) / _WIDTH, indexing="ij")
    ground = torch.stack([0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.6 - 0.3 * x])
    stripes = 0.5 + 0.4 * torch.sin(40 * (x + y))
    figure = torch.stack([stripes, 0.25 * stripes, 0.1 + 0.1 * y])
    inside = _disc(t)
    return inside * figure + (1 - inside) * ground


def _disc(t: int) -> torch.Tensor:
    """Draw a soft-edged disc (H, W) 0..1, two pixels further right on each frame."""
    y, x = torch.arange(_HEIGHT)[:, None], torch.arange(_WIDTH)[None]
    distance = ((y - 48.0) ** 2 + (x - 56.0 - 2 * t) ** 2).sqrt()
    return (30.5 - distance).clamp(0, 1)
