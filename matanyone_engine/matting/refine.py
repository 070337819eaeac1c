# SPDX-License-Identifier: Apache-2.0
"""An alpha of working size, brought to the plate's size along the plate's own detail.

A fast guided filter (He, Sun, "Fast Guided Filter", arXiv:1505.00996) with a colour guide: around every working pixel
the alpha is fitted as a linear function of the plate's colour; the functions, not the alpha, are enlarged, and the
plate at its full size goes through them. Where the alpha is flat the function is a constant, so nothing of the
plate's texture comes through. Radius and epsilon were chosen by figures (benchmarks/README.md).

Rules of this file:
1. float32 throughout; no more than a strip of rows is held at the plate's size besides plate and answer.
2. It only ever reads: what a session remembers is the alpha of working size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.matting.geometry import Box, Size

_STRIP_PIXELS = 1 << 19
"""Of the plate at a time."""


@dataclass(frozen=True)
class GuidedFilter:
    """How far and how strictly alphas follow the plate."""

    radius: int = 1
    """Working pixels around a pixel that its function is fitted to."""
    epsilon: float = 1e-4
    """Variance of the guide (0..1 squared) below which an edge is noise."""

    @property
    def name(self) -> str:
        """For people and headers."""
        return f"guided, radius {self.radius}, epsilon {self.epsilon:g}"


def refined(
    alpha: Tensor, seen: Tensor, plate: Tensor, box: Box | None = None, how: GuidedFilter | None = None
) -> Tensor:
    """alpha (1, 1, h, w), seen (1, 3, h, w): the plate at working size; plate (1, 3, H, W) -> (1, 1, H, W). All 0..1.

    box: plate pixels outside of which the answer is 0; None for the whole plate.
    """
    size = (plate.shape[-2], plate.shape[-1])
    box = box or Box(0, 0, size[1], size[0])
    how = how or GuidedFilter()
    full = alpha.new_zeros(1, 1, *size)
    reach = _Reach.of(box, size, (alpha.shape[-2], alpha.shape[-1]), margin=2 * how.radius + 1)
    function = reach.columns(colour_functions(reach.cut(alpha), reach.cut(seen), how), box.x0, box.x1)
    strip = max(1, _STRIP_PIXELS // (box.x1 - box.x0))
    for top in range(box.y0, box.y1, strip):
        bottom = min(top + strip, box.y1)
        enlarged = reach.rows(function, top, bottom)
        shown = plate[..., top:bottom, box.x0 : box.x1]
        answer = (enlarged[:, :3] * shown).sum(dim=1, keepdim=True) + enlarged[:, 3:]
        full[..., top:bottom, box.x0 : box.x1] = answer.clamp_(0, 1)
    return full


def colour_functions(alpha: Tensor, guide: Tensor, how: GuidedFilter) -> Tensor:
    """(1, 1, h, w) and (1, 3, h, w) -> (1, 4, h, w): alpha is about f0 R + f1 G + f2 B + f3 around each pixel."""
    r = how.radius
    mean_a, mean_g = box_mean(alpha, r), box_mean(guide, r)
    covariance = box_mean(guide * alpha, r) - mean_g * mean_a
    slope = _solved(_variances(guide, mean_g, r), covariance, how.epsilon)
    offset = mean_a - (slope * mean_g).sum(dim=1, keepdim=True)
    return box_mean(torch.cat([slope, offset], dim=1), r)


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1) squared pixels; at the border over those that are there."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(x, (1, side), 1, (0, radius), count_include_pad=False)
    return F.avg_pool2d(rows, (side, 1), 1, (radius, 0), count_include_pad=False)


def _variances(guide: Tensor, mean: Tensor, radius: int) -> list[Tensor]:
    """Covariances of R G B with one another: RR, RG, RB, GG, GB, BB, each (1, 1, h, w)."""
    first, second = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    spread = box_mean(guide[:, first] * guide[:, second], radius) - mean[:, first] * mean[:, second]
    return list(spread.split(1, dim=1))


def _solved(variances: list[Tensor], right: Tensor, epsilon: float) -> Tensor:
    """x of (V + epsilon I) x = right, for the symmetric 3x3 matrix of every pixel, by cofactors."""
    rr, rg, rb, gg, gb, bb = variances
    rr, gg, bb = (v + epsilon for v in (rr, gg, bb))
    c00, c01, c02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c00 + rg * c01 + rb * c02
    x, y, z = right.split(1, dim=1)
    solved = [c00 * x + c01 * y + c02 * z, c01 * x + c11 * y + c12 * z, c02 * x + c12 * y + c22 * z]
    return torch.cat(solved, dim=1) / determinant


@dataclass(frozen=True)
class _Reach:
    """The part of the working frame that a box of the plate needs, and the way back to the plate's pixels."""

    full: Size
    working: Size
    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, box: Box, full: Size, working: Size, margin: int) -> _Reach:
        down, across = working[0] / full[0], working[1] / full[1]
        return cls(
            full,
            working,
            max(0, int(box.y0 * down) - margin),
            max(0, int(box.x0 * across) - margin),
            min(working[0], int(box.y1 * down) + 1 + margin),
            min(working[1], int(box.x1 * across) + 1 + margin),
        )

    def cut(self, x: Tensor) -> Tensor:
        return x[..., self.top : self.bottom, self.left : self.right]

    def columns(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Columns of the plate out of a map of this part; with rows(), the same as enlarging the whole bilinearly."""
        return _lines(x, -1, (start, stop), self.left, self.working[1] / self.full[1])

    def rows(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows of the plate out of a map of this part."""
        return _lines(x, -2, (start, stop), self.top, self.working[0] / self.full[0])


def _lines(x: Tensor, axis: int, span: tuple[int, int], first: int, scale: float) -> Tensor:
    """Lines span of a bilinear enlargement along one axis, half-pixel centres; x begins at working line `first`."""
    at = (torch.arange(*span, device=x.device, dtype=torch.float32) + 0.5) * scale - 0.5 - first
    at = at.clamp(0, x.shape[axis] - 1)
    before = at.floor().long()
    after = (before + 1).clamp(max=x.shape[axis] - 1)
    part = (at - before).view(-1, 1) if axis == -2 else at - before
    return torch.lerp(x.index_select(axis, before), x.index_select(axis, after), part)
