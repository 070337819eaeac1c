# SPDX-License-Identifier: Apache-2.0
"""Blends the alphas of two passes into one, and shares pixels out between the mattes of several subjects.

Between two keys a blend goes from the forward pass (weight 0) to the backward pass (weight 1). What the change of
weight alone adds to the change from frame to frame, its pop, is dw * D, with D the passes' disagreement there. Of all
weights that rise from 0 to 1 those with the smallest sum of (dw * D)^2 / p have

    dw  ~  p / (D^2 + floor^2),      p = (t (1 - t))^3

(Lagrange). So the weight moves where the passes agree, where nobody can see it, and stands still where they do not;
the prior p keeps it near each key with that key's own pass, which has had the least time to drift, so that keys are
met exactly and without a kink. Where the passes agree everywhere it is the smoothstep of seventh order. DR018 has the
power.

Axes: H W full size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_FLOOR = 0.02
"""Disagreement, as a part of the subject, below which agreement is as good as it gets: noise of two passes."""
_LEAST_SUBJECT = 16.0
"""Pixels; where both passes see less than this there is nothing to disagree about."""
_DOUBT_FLOOR = 1e-3
"""So that equally sure claims share."""


def disagreement(forward: Tensor, backward: Tensor) -> float:
    """Measure how unlike two alphas (H, W) 0..1 are: 0 is alike, 1 is disjoint (one less their soft overlap)."""
    union = float(torch.maximum(forward, backward).sum(dtype=torch.float64))
    apart = float((forward - backward).abs().sum(dtype=torch.float64))
    return apart / max(union, _LEAST_SUBJECT)


def blend_weights(disagreements: Sequence[float]) -> list[float]:
    """Return the backward pass's weight on each frame between two keys, from the disagreement there: it rises from 0
    to 1.
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
    """Return how much the passes disagree around a step: the mean of the frames before and after it, of which the ends
    have one.
    """
    around = disagreements[max(number - 1, 0) : number + 1]
    return sum(around) / len(around)


def blended(forward: Tensor, backward: Tensor, weight: float) -> Tensor:
    """Return the mix (H, W) 0..1 of a forward and a backward alpha; weight is the backward pass's."""
    return torch.lerp(forward, backward, weight).clamp(0, 1)


def separated(alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return mattes (H, W) 0..1 that add up to at most 1: an excess is taken from the claims that are in doubt.

    A claim of 0.9 beside one of 1.0 loses nearly all of the excess; a lone matte, and mattes that just touch, stay as
    they are.
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
