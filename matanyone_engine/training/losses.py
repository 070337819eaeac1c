# SPDX-License-Identifier: Apache-2.0
"""Holds the terms of the training loss (paper section 4), each a pure function of tensors.

Rules of this file:
1. Each term has a function without weights. The weights are in recipe.py.
2. Every term is a mean, so that it does not depend on the size of crops and batches.

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
"""True alphas above this count as 1, and those below 1 minus this as 0."""
UNSURE_SHARE = 0.75
"""The part of the sampled points that is taken where the prediction is least certain."""
OVERSAMPLING = 3
"""Number of candidates, per point, from which those are taken."""
WINDOW = 11
"""Side of the boundary loss's window in pixels, and number of its pixels that are compared."""


def forgiven(alpha: Tensor, truth: Tensor, overshoot: float) -> Tensor:
    """Scale the part of a raw alpha that lies beyond a truth of 0 or 1 by `overshoot`; the shape stays.

    A raw alpha of 1.2 where the truth is 1 is clamped to 1, so that it is no error. If it counted in full, the network
    would learn to stay below 1, and the inside of subjects would turn grey. If it did not count at all, nothing would
    bound the decoder's output.
    """
    if overshoot == 1:
        return alpha
    beyond = ((truth > _SATURATED) & (alpha > truth)) | ((truth < 1 - _SATURATED) & (alpha < truth))
    return torch.where(beyond, truth + overshoot * (alpha - truth), alpha)


def alpha_l1(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference."""
    return (alpha - truth).abs().mean()


def laplacian(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the difference of two Laplacian pyramids, with greater weights for coarse levels: (B, 1, H, W) twice ->
    scalar.
    """
    total = alpha.new_zeros(())
    difference = alpha - truth  # the pyramid is linear
    for level in range(PYRAMID_LEVELS):
        coarse = _halved(_halved(difference, -1), -2)
        detail = difference - _doubled(_doubled(coarse, difference.shape[-1], -1), difference.shape[-2], -2)
        total = total + 2**level * detail.abs().mean()
        difference = coarse
    return total / PYRAMID_LEVELS


# The pyramid's blur is the binomial 1 4 6 4 1. It is computed by sums of slices along one axis, because torch's
# convolutions of a single channel took a fifth of a whole training step.


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
    """Double the samples along an axis, cut to `length`: zeros are put between them, and the result is blurred and
    scaled by 2.
    """
    count = x.shape[axis]
    padded = torch.cat([x.narrow(axis, 1, 1), x, x.narrow(axis, count - 1, 1)], dim=axis)
    before, here, after = (padded.narrow(axis, k, count) for k in range(3))
    even, odd = (before + 6 * here + after) / 8, (here + after) / 2
    place = x.dim() + axis + 1
    return torch.stack([even, odd], dim=place).flatten(place - 1, place).narrow(axis, 0, length)


def coherence(alpha: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared difference of the changes from frame to frame: (B, T, 1, H, W) twice -> scalar."""
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
    """Return the mean absolute value in a region, for each row of the batch, averaged over the batch. It does not
    depend on how processes split the batch.
    """
    inside = (difference.abs() * region).flatten(1).sum(dim=1)
    return (inside / region.flatten(1).sum(dim=1).clamp(min=1)).mean()


def log_odds_loss(logits: Tensor, truth: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of an auxiliary map (B, 1, h, w) with the truth (B, 1, H, W) averaged over its pixels.

    known (B, 1, H, W): the weight of each pixel. The released code compares these log-odds with alphas directly. Here
    they are taken as log-odds, since the network reads them so.
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
    """Choose random points (B, count, 2), x and y in -1..1, most of them where the log-odds (B, 1, H, W) are unsure.

    Each row has its own generator, so that its points do not depend on the other rows of its process.
    """
    candidates = _uniform(OVERSAMPLING * count, generators, logits.device)
    uncertainty = -values_at(logits.detach(), candidates).abs()
    unsure = int(UNSURE_SHARE * count)
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
    """Return where a binary label (B, T, 1, H, W) is a correct alpha: 1 away from its outline, 0 in a band around it.

    The width of the band grows with the subject's area in the whole clip. Pixels near the picture's border are 0.
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
    """Return the paper's boundary loss, which is small if alpha changes where colour changes.

    alpha (B, 1, H, W), plate (B, 3, H, W) -> scalar. Each pixel is compared with the 11 pixels of nearest colour in an
    11 x 11 window around it: their colour distance should equal the difference of alphas times the window's contrast.
    The released code uses only the last sample of a batch, because it overwrites the others; here it is the mean.
    """
    return torch.stack([_boundary(a, p) for a, p in zip(alpha, plate, strict=True)]).mean()


def _boundary(alpha: Tensor, plate: Tensor) -> Tensor:
    """Return the boundary loss of one frame: alpha (1, H, W), plate (3, H, W)."""
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
