# SPDX-License-Identifier: Apache-2.0
"""Refines an alpha that was enlarged to a plate's size, from the plate's own pixels.

The core of a Lite network computes small frames, and what it says of an edge is a few plate pixels wide. The refiner
sees the plate and that alpha side by side and answers, for each pixel, how much steeper the alpha is and how far it
shifts. Its convolutions run at half of the plate's size, because at full size most of the time goes into moving memory.

Rules of this file:
1. It keeps nothing and knows no frame but this one; what is remembered of a shot is the core's alpha.
2. An answer depends on MARGIN pixels around it and on nothing else, so a plate may be computed in parts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import Conv2d, conv3

FOLD = 2
"""Plate pixels on a side that become channels."""
MARGIN = 20
"""Plate pixels around an answer that it depends on: a multiple of FOLD."""
MOST_ENLARGED = 2.7
"""The largest enlargement that it was trained for; more is done in several steps."""

_DILATIONS = (1, 2, 4)
_SLOPE = 0.1
"""Of the activation below 0. With a slope of 0 the units of an earlier trial died."""


class Refiner(nn.Module):
    """Predicts a gain and an offset for each pixel of an enlarged alpha."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv3(4 * FOLD**2 + 1, width)
        self.body = nn.ModuleList(Conv2d(width, width, 3, padding=step, dilation=step) for step in _DILATIONS)
        self.head = conv3(width, 2 * FOLD**2)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, plate: Tensor, alpha: Tensor, enlarged: float | Tensor) -> Tensor:
        """Return the refined alpha (B, 1, H, W), not clamped; within MARGIN of the border it is not to be used.

        plate (B, 3, H, W) display-referred 0..1 and alpha (B, 1, H, W) 0..1 of even sizes; enlarged: plate pixels to a
        pixel of the alpha before it was enlarged, a number or (B, 1, 1, 1).
        """
        shown = F.pixel_unshuffle(2 * torch.cat([plate, alpha], dim=1) - 1, FOLD)
        step = torch.as_tensor(enlarged, device=alpha.device, dtype=alpha.dtype).log() / math.log(MOST_ENLARGED)
        x = torch.cat([shown, step.expand(len(shown), 1, *shown.shape[-2:])], dim=1)
        x = F.leaky_relu(self.enter(x), _SLOPE)
        for layer in self.body:
            x = x + F.leaky_relu(layer(x), _SLOPE)
        gain, offset = F.pixel_shuffle(self.head(x).float(), FOLD).split(1, dim=1)
        return 0.5 + (1 + gain) * (alpha - 0.5) + offset
