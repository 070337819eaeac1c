# SPDX-License-Identifier: Apache-2.0
"""Holds the terms of the training loss (paper section 4), each a pure function of tensors.

Rules of this file:
1. One function per term, no weights: how much a term counts is recipe.py's business.
2. Every term is a mean, so that crops and batches of any size weigh the same.

Axes: B batch (frames folded in where they are independent), T frames, H W full size, h w stride 16, n points.
Alphas 0..1; plates display-referred RGB 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.model.blocks import area_resize

PYRAMID_LEVELS = 5
_SATURATED = 0.99
"""Truths above it count as 1, truths below one minus it as 0."""
COARSE_SHARE = 0.75
"""Of the sampled points, those where the answer is least certain."""
OVERSAMPLING = 3
WINDOW = 11
"""Pixels on a side of the boundary loss's neighbourhood, and how many neighbours it compares."""


def forgiven(alpha: Tensor, truth: Tensor, overshoot: float) -> Tensor:
    """Scale the part of a raw alpha that lies beyond a truth of 0 or 1 by `overshoot`; the shape stays.

    A raw alpha of 1.2 where the truth is 1 is shown as 1 and is no error to anybody. Counted in full it teaches the
    network to stay below 1, and the inside of subjects turns grey. Not counted at all, nothing bounds the decoder.
    """
    if overshoot == 1:
        return alpha
    beyond = ((truth > _SATURATED) & (alpha > truth)) | ((truth < 1 - _SATURATED) & (alpha < truth))
    return torch.where(beyond, truth + overshoot * (alpha - truth), alpha)


def alpha_l1(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference."""
    return (alpha - truth).abs().mean()


def laplacian(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the difference per scale, coarse scales weighing more: (B, 1, H, W) twice -> scalar."""
    total = alpha.new_zeros(())
    difference = alpha - truth  # the pyramid is linear
    for level in range(PYRAMID_LEVELS):
        coarse = _halved(_halved(difference, -1), -2)
        detail = difference - _doubled(_doubled(coarse, difference.shape[-1], -1), difference.shape[-2], -2)
        total = total + 2**level * detail.abs().mean()
        difference = coarse
    return total / PYRAMID_LEVELS


# The pyramid's blur is the binomial 1 4 6 4 1. It is written as sums of slices along one axis: torch's convolution
# kernels for a single channel took a fifth of a whole training step.


def _halved(x: Tensor, axis: int) -> Tensor:
    """Return every second sample along an axis, blurred, mirrored beyond the ends."""
    length = x.shape[axis]
    kept = (length + 1) // 2
    first, last = x.narrow(axis, 1, 2).flip(axis), x.narrow(axis, length - 3, 2).flip(axis)
    padded = torch.cat([first, x, last], dim=axis)
    taps = [padded.narrow(axis, k, length)[_every_second(axis)] for k in range(5)]
    assert taps[0].shape[axis] == kept
    return (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16


def _every_second(axis: int) -> tuple[Any, ...]:
    return (..., slice(None, None, 2)) if axis == -1 else (..., slice(None, None, 2), slice(None))


def _doubled(x: Tensor, length: int, axis: int) -> Tensor:
    """Return twice the samples along an axis, cut to length: zeros between them, then a blur that makes up for
    those.
    """
    count = x.shape[axis]
    padded = torch.cat([x.narrow(axis, 1, 1), x, x.narrow(axis, count - 1, 1)], dim=axis)
    before, here, after = (padded.narrow(axis, k, count) for k in range(3))
    even, odd = (before + 6 * here + after) / 8, (here + after) / 2
    place = x.dim() + axis + 1
    return torch.stack([even, odd], dim=place).flatten(place - 1, place).narrow(axis, 0, length)


def coherence(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the squared difference of what changes from frame to frame: (B, T, 1, H, W) twice -> scalar."""
    if alpha.shape[1] < 2:
        return alpha.new_zeros(())
    return (alpha.diff(dim=1) - truth.diff(dim=1)).square().mean()


def edge_l1(alpha: Tensor, truth: Tensor, radius: int = 5) -> Tensor:
    """Return the mean absolute difference near the outline only: where the truth is soft, and `radius` pixels
    around.
    """
    soft = ((truth > 0.02) & (truth < 0.98)).to(truth.dtype)
    side = 2 * radius + 1
    rows = F.max_pool2d(soft, (1, side), stride=1, padding=(0, radius))
    band = F.max_pool2d(rows, (side, 1), stride=1, padding=(radius, 0))
    return _mean_within(alpha - truth, band)


def _mean_within(difference: Tensor, region: Tensor) -> Tensor:
    """Return the mean absolute value inside a region, per row of the batch, then over the batch: it is the same however
    that is split.
    """
    inside = (difference.abs() * region).flatten(1).sum(dim=1)
    return (inside / region.flatten(1).sum(dim=1).clamp(min=1)).mean()


def log_odds_loss(logits: Tensor, truth: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of an auxiliary map (B, 1, h, w) with the truth (B, 1, H, W) averaged over its pixels.

    known (B, 1, H, W): how much each pixel counts. The released code compares these log-odds with alphas directly; the
    network reads them as log-odds, so do we.
    """
    size = logits.shape[-2:]
    weight = None if known is None else area_resize(known, size)
    return F.binary_cross_entropy_with_logits(logits, area_resize(truth, size), weight)


def change_loss(logits: Tensor, truth: Tensor, before: Tensor, threshold: float) -> Tensor:
    """Return the uncertainty loss: the cross-entropy of the change head's logits (B, 1, h, w) with whether the true
    alpha changed by more than `threshold`.
    """
    moved = area_resize((truth - before).abs(), logits.shape[-2:]) > threshold
    return F.binary_cross_entropy_with_logits(logits, moved.to(logits.dtype))


# -- segmentation -----------------------------------------------------------------------------------------------------


def sample_points(logits: Tensor, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Choose where to compare: (B, 1, H, W) log-odds -> (B, count, 2) x y in -1..1, most of them where the answer is
    unsure.

    One generator per row, so that a row's points do not depend on which other rows share its process.
    """
    candidates = _uniform(OVERSAMPLING * count, generators, logits.device)
    uncertainty = -values_at(logits.detach(), candidates).abs()
    unsure = int(COARSE_SHARE * count)
    index = uncertainty.topk(unsure, dim=1).indices
    chosen = candidates.gather(1, index[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, _uniform(count - unsure, generators, logits.device)], dim=1)


def _uniform(count: int, generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    rows = [torch.rand(count, 2, generator=generator) for generator in generators]
    return (2 * torch.stack(rows) - 1).to(device)


def values_at(x: Tensor, points: Tensor) -> Tensor:
    """Sample (B, 1, H, W) at (B, n, 2) bilinearly: (B, n)."""
    return F.grid_sample(x, points.unsqueeze(1).to(x.dtype), align_corners=False)[:, 0, 0]


def segmentation(logits: Tensor, label: Tensor, points: Tensor) -> Tensor:
    """Return cross-entropy plus dice on points: log-odds and label (B, 1, H, W), points (B, n, 2) -> scalar.

    A softmax over background (log-odds 0) and object is a sigmoid of the object's log-odds.
    """
    answer, truth = values_at(logits, points), values_at(label, points)
    return F.binary_cross_entropy_with_logits(answer, truth) + dice(answer.sigmoid(), truth)


def dice(answer: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - overlap, per row, then the mean: (B, n) twice -> scalar."""
    overlap = 2 * (answer * truth).sum(dim=1) + 1
    return (1 - overlap / (answer.sum(dim=1) + truth.sum(dim=1) + 1)).mean()


# -- core supervision -------------------------------------------------------------------------------------------------


def known_region(label: Tensor) -> Tensor:
    """Return where a binary label (B, T, 1, H, W) can be trusted as alpha: 1 away from its outline, 0 in a band around
    it.

    The band grows with the subject's pixels in the whole clip; pixels near the border of the picture count as unknown.
    """
    known = []
    for clip in label:
        side = int(0.1 * float(clip.sum()) ** 0.5)
        width = min(max(side, 9), 21) | 1
        grown = F.max_pool2d(clip, width, stride=1, padding=width // 2)
        outside = F.pad(1 - clip, [width // 2] * 4, value=0)
        inside = F.pad(clip, [width // 2] * 4, value=0)
        shrunk = -F.max_pool2d(-inside, width, stride=1)
        surely_out = -F.max_pool2d(-outside, width, stride=1)
        known.append(((shrunk > 0.5) | ((grown < 0.5) & (surely_out > 0.5))).to(label.dtype))
    return torch.stack(known)


def core(alpha: Tensor, label: Tensor, known: Tensor) -> Tensor:
    """Return the mean absolute difference where the label is known: (B, T, 1, H, W) three times -> scalar."""
    return _mean_within(alpha - label, known)


def boundary(alpha: Tensor, plate: Tensor) -> Tensor:
    """Ask that alpha changes where colour changes (the paper's boundary loss): (B, 1, H, W), plate (B, 3, H, W) ->
    scalar.

    Around each pixel the 11 pixels of nearest colour in an 11 x 11 window are compared: their colour distance should
    equal the alpha difference times the window's contrast. The released code keeps only the last sample of a batch
    here, by assignment; we average over all of them.
    """
    return torch.stack([_boundary(a, p) for a, p in zip(alpha, plate, strict=True)]).mean()


def _boundary(alpha: Tensor, plate: Tensor) -> Tensor:
    """Return the scalar of one frame of (1, H, W) and (3, H, W)."""
    with torch.no_grad():
        around = _windows(plate).unflatten(0, (3, WINDOW**2))  # (3, 121, HW)
        distance = (around - plate.flatten(1).unsqueeze(1)).square().sum(dim=0).sqrt()
        nearest = distance.topk(WINDOW, dim=0, largest=False)
        luma = (around * plate.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=0)
        ends = luma.topk(WINDOW, dim=0).values.mean(dim=0) - luma.topk(WINDOW, dim=0, largest=False).values.mean(dim=0)
    neighbours = _windows(alpha).gather(0, nearest.indices)
    change = alpha.flatten(1) - neighbours
    return (nearest.values - change * ends).abs().mean()


def _windows(x: Tensor) -> Tensor:
    """Return the windows of (C, H, W) as (C * 121, H * W), with zeros beyond the border."""
    return F.unfold(x.unsqueeze(0), WINDOW, padding=WINDOW // 2)[0]
