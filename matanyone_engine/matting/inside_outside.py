# SPDX-License-Identifier: Apache-2.0
"""Constraint masks: where an artist says that the subject surely is, or is not. Mattes of distractors act likewise.

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
    """Masks (H, W) 0..1 of one frame, soft edges respected: an alpha is at least `inside` and at most 1 - `outside`.

    Where both claim a pixel, outside wins.
    """

    inside: Image | None = None
    outside: Image | None = None

    def beside(self, distractors: Sequence[Tensor]) -> Constraints:
        """It, and off the alphas (H, W) 0..1 of distractors, but for where the artist says that the subject is."""
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
class Limits:
    """The same as tensors (B, 1, H, W) on the network's device, each 0..1."""

    inside: Tensor | None
    outside: Tensor | None

    @classmethod
    def of(cls, given: Mapping[str, Tensor], device: torch.device) -> Limits:
        """From checked masks (H, W) by name."""
        there = {name: mask.clamp(0, 1)[None, None].to(device) for name, mask in given.items()}
        return cls(there.get("inside"), there.get("outside"))

    def prepared(self, geometry: Geometry) -> Limits:
        """At working size, padded: beside the frame nothing is limited."""
        return self.mapped(geometry.prepare)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Limits:
        """Both masks changed alike."""
        return Limits(*(None if mask is None else change(mask) for mask in (self.inside, self.outside)))

    def applied(self, alpha: Tensor) -> Tensor:
        """Raw or clamped alphas (B, 1, H, W), held within the limits."""
        if self.inside is not None:
            alpha = torch.maximum(alpha, self.inside)
        if self.outside is not None:
            alpha = torch.minimum(alpha, 1 - self.outside)
        return alpha
