# SPDX-License-Identifier: Apache-2.0
"""Blends the alphas of two passes into one, and divides pixels between the mattes of several subjects.

Between two keys a blend goes from the forward pass (weight 0) to the backward pass (weight 1). A change dw of the
weight adds dw * D to the change of the alpha from frame to frame, where D is the disagreement of the passes. Of all
weights that rise from 0 to 1, those with the smallest sum of (dw * D)^2 / p have (Lagrange)

    dw  ~  p / (D^2 + floor^2),      p = (t (1 - t))^3

So the weight changes on frames on which the passes agree, where the change cannot be seen, and stays constant where
they disagree. The prior p favours near each key that key's own pass, which has had the least time to drift, so that
keys are met exactly and without a kink. If the passes agree everywhere, the weight is the smoothstep of seventh order.
DR018 says why the power is 3.

Axes: H W full size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_FLOOR = 0.02
"""Disagreement, as a part of the subject, that is only noise: passes that differ by less are taken to agree."""
_LEAST_SUBJECT = 16.0
"""Area in pixels; if both alphas cover less than this, their disagreement is 0."""
_DOUBT_FLOOR = 1e-3
"""Added to each alpha's doubt, so that two alphas of 1 share an excess equally."""


def disagreement(forward: Tensor, backward: Tensor) -> float:
    """Return how different two alphas (H, W) 0..1 are: one minus their soft overlap, so 0 is equal and 1 is
    disjoint."""
    union = float(torch.maximum(forward, backward).sum(dtype=torch.float64))
    apart = float((forward - backward).abs().sum(dtype=torch.float64))
    return apart / max(union, _LEAST_SUBJECT)


def blend_weights(disagreements: Sequence[float]) -> list[float]:
    """Return the weight of the backward pass on each frame between two keys; it rises from 0 to 1. disagreements: those
    on these frames.
    """
    count = len(disagreements)
    steps = [
        _prior((number + 0.5) / (count + 1)) / (_between(disagreements, number) ** 2 + _FLOOR**2)
        for number in range(count + 1)
    ]
    total, weight, weights = sum(steps), 0.0, []
    for step in steps[:-1]:
        weight += step / total
        weights.append(min(weight, 1.0))
    return weights


def _prior(t: float) -> float:
    return (t * (1 - t)) ** 3


def _between(disagreements: Sequence[float], number: int) -> float:
    """Return the disagreement at the step between two frames: the mean of both; at the ends, that of the only frame."""
    around = disagreements[max(number - 1, 0) : number + 1]
    return sum(around) / len(around)


def blended(forward: Tensor, backward: Tensor, weight: float) -> Tensor:
    """Return the blend (H, W) 0..1 of a forward and a backward alpha. weight: that of the backward pass."""
    return torch.lerp(forward, backward, weight).clamp(0, 1)


def separated(alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return mattes (H, W) 0..1 that add up to at most 1. An excess is taken from the alphas that are least certain.

    An alpha of 0.9 beside one of 1.0 loses nearly all of the excess. A single matte, and mattes that do not overlap,
    are not changed.
    """
    names = list(alphas)
    if len(names) < 2:
        return dict(alphas)
    claims = torch.stack([alphas[name] for name in names])
    excess = (claims.sum(dim=0) - 1).clamp(min=0)
    doubt = (1 - claims + _DOUBT_FLOOR) * (claims > 0)
    left = (claims - excess * doubt / doubt.sum(dim=0).clamp(min=_DOUBT_FLOOR)).clamp(min=0)
    shares = left / left.sum(dim=0).clamp(min=1)
    return dict(zip(names, shares.clamp(0, 1), strict=True))
