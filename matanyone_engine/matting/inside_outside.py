# SPDX-License-Identifier: Apache-2.0
"""Holds an artist's constraint masks: where the subject surely is, and where it surely is not. Mattes of distractors
act alike.

Axes: B batch (1), H W full, working or padded size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from matanyone_engine.matting.geometry import Geometry

Image = Tensor | np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Constraints:
    """Holds the constraint masks (H, W) 0..1 of one frame. The alpha is at least `inside` and at most 1 - `outside`,
    soft edges included.

    Where both claim a pixel, outside wins.
    """

    inside: Image | None = None
    outside: Image | None = None

    def beside(self, distractors: Sequence[Tensor]) -> Constraints:
        """Add the alphas (H, W) 0..1 of distractors to the outside mask, except where the inside mask claims the
        pixel.
        """
        if not distractors:
            return self
        taken = torch.stack(tuple(distractors)).amax(dim=0)
        if self.inside is not None:
            taken = torch.minimum(taken, 1 - torch.as_tensor(self.inside, device=taken.device))
        if self.outside is not None:
            taken = torch.maximum(taken, torch.as_tensor(self.outside, device=taken.device))
        return replace(self, outside=taken)


NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True)
class MaskLimits:
    """Holds constraint masks as tensors (B, 1, H, W) on the network's device, each 0..1."""

    inside: Tensor | None
    outside: Tensor | None

    @classmethod
    def of(cls, given: Mapping[str, Tensor], device: torch.device) -> MaskLimits:
        """Make limits from checked masks (H, W) by name."""
        there = {name: mask.clamp(0, 1)[None, None].to(device) for name, mask in given.items()}
        return cls(there.get("inside"), there.get("outside"))

    def prepared(self, geometry: Geometry) -> MaskLimits:
        """Return the limits at working size, padded; nothing is limited in the padding."""
        return self.mapped(geometry.prepare)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> MaskLimits:
        """Return the limits with both masks changed alike."""
        return MaskLimits(*(None if mask is None else change(mask) for mask in (self.inside, self.outside)))

    def applied(self, alpha: Tensor) -> Tensor:
        """Return raw or clamped alphas (B, 1, H, W) held within the limits."""
        if self.inside is not None:
            alpha = torch.maximum(alpha, self.inside)
        if self.outside is not None:
            alpha = torch.minimum(alpha, 1 - self.outside)
        return alpha
