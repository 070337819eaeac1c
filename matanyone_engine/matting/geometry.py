# SPDX-License-Identifier: Apache-2.0
"""Frame size, working size and padding (spec section 4, points 1, 3 and 9)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.model.dims import STRIDE

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Geometry:
    """How a frame of one size goes into the network and comes back."""

    frame: Size
    working: Size
    """What is computed: the frame itself, or smaller where a working size limits its shortest side."""

    @classmethod
    def of(cls, frame: Size, working_size: int | None) -> Geometry:
        """working_size limits the shortest side in pixels; None computes at full size. Never enlarges."""
        shortest = min(frame)
        if working_size is None or shortest <= working_size:
            return cls(frame, frame)
        # Truncates in this order, as the published system does: 320 * 96 / 180 is 170.
        height, width = (int(side / shortest * working_size) for side in frame)
        return cls(frame, (height, width))

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom: up to multiples of 16, the odd pixel after."""
        height, width = self.working
        down, across = -height % STRIDE, -width % STRIDE
        return across // 2, across - across // 2, down // 2, down - down // 2

    def prepare(self, x: Tensor) -> Tensor:
        """(1, C, *frame) -> (1, C, H, W) at working size, padded with zeros (black, before normalisation)."""
        if self.working != self.frame:
            x = F.interpolate(x, size=self.working, mode="bilinear", align_corners=False)
        return F.pad(x, self.padding)

    def restore(self, x: Tensor) -> Tensor:
        """(1, C, H, W) padded -> (1, C, *frame)."""
        left, _, top, _ = self.padding
        height, width = self.working
        x = x[..., top : top + height, left : left + width]
        if self.working != self.frame:
            x = F.interpolate(x, size=self.frame, mode="bilinear", align_corners=False)
        return x
