# SPDX-License-Identifier: Apache-2.0
"""Applies constraint masks, which say where the subject surely is and where it surely is not. Mattes of distractors act
like outside masks. Axes: B batch (1), H W full, working or padded size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.matting.geometry import Geometry

KEPT = 0.25
"""Part of the guide's sure inside that the network's alpha has to cover around a pixel; if it covers less, the guide
counts."""
_CELL = 1 / 32
"""Size of the cells in which this is measured, as a part of the shorter side."""
_CELLS = 5
"""Width of a neighbourhood in cells: about a sixth of the shorter side."""

Image = Tensor | np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Constraints:
    """Holds the constraint masks (H, W) 0..1 of one frame. The alpha is at least `inside` and at most 1 - `outside`,
    also at soft edges. If both cover a pixel, `outside` counts.
    """

    inside: Image | None = None
    outside: Image | None = None
    guide: Image | None = None
    """Where a guide says that the subject surely is; None without a guide.

    The guide's outside is in `outside`. Small holes that the network leaves in it are kept (KEPT).
    """

    def with_distractors(self, distractors: Sequence[Tensor]) -> Constraints:
        """Add the alphas (H, W) 0..1 of distractors to the outside mask, except inside of the inside mask."""
        if not distractors:
            return self
        taken = torch.stack(tuple(distractors)).amax(dim=0)
        if self.inside is not None:
            taken = torch.minimum(taken, 1 - torch.as_tensor(self.inside, device=taken.device))
        if self.outside is not None:
            taken = torch.maximum(taken, torch.as_tensor(self.outside, device=taken.device))
        return replace(self, outside=taken)


def _is_lost(alpha: Tensor, guide: Tensor) -> Tensor:
    """Return where, (B, 1, H, W), the alpha covers hardly anything of the guide's sure inside around a pixel.

    Smaller holes are left to the network, since a rough guide also covers the gap between an arm and the body.
    """
    cell = max(1, round(min(alpha.shape[-2:]) * _CELL))

    def around(values: Tensor) -> Tensor:
        cells = F.avg_pool2d(values, cell, ceil_mode=True)
        return F.avg_pool2d(cells, _CELLS, stride=1, padding=_CELLS // 2)

    lost = around(alpha.clamp(0, 1) * guide) < KEPT * around(guide)
    wide = lost.float().repeat_interleave(cell, -2).repeat_interleave(cell, -1)
    return wide[..., : alpha.shape[-2], : alpha.shape[-1]] > 0


NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True)
class MaskLimits:
    """Holds constraint masks as tensors (B, 1, H, W) on the network's device, each 0..1."""

    inside: Tensor | None
    outside: Tensor | None
    guide: Tensor | None = None

    @classmethod
    def of(cls, given: Mapping[str, Tensor], device: torch.device) -> MaskLimits:
        """Make limits from checked masks (H, W), given by name."""
        there = {name: mask.clamp(0, 1)[None, None].to(device) for name, mask in given.items()}
        return cls(there.get("inside"), there.get("outside"), there.get("guide"))

    def prepared(self, geometry: Geometry) -> MaskLimits:
        """Return the limits at working size and padded; the padding has no limits."""
        return self.mapped(geometry.prepare)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> MaskLimits:
        """Return the limits with the same function applied to all masks."""
        masks = (self.inside, self.outside, self.guide)
        return MaskLimits(*(None if mask is None else change(mask) for mask in masks))

    def overruled(self, alpha: Tensor) -> Tensor | None:
        """Return how much of an alpha (B, 1, H, W) 0..1 the limits change, as a part of the limited alpha; None without
        a guide.
        """
        if self.guide is None:
            return None
        allowed = self.applied(alpha)
        return (allowed - alpha).abs().sum() / torch.maximum(allowed.sum(), alpha.sum()).clamp(min=1)

    def applied(self, alpha: Tensor) -> Tensor:
        """Return raw or clamped alphas (B, 1, H, W) clamped to the limits."""
        if self.guide is not None:
            alpha = torch.where(_is_lost(alpha, self.guide), torch.maximum(alpha, self.guide), alpha)
        if self.inside is not None:
            alpha = torch.maximum(alpha, self.inside)
        if self.outside is not None:
            alpha = torch.minimum(alpha, 1 - self.outside)
        return alpha
