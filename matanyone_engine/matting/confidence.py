# SPDX-License-Identifier: Apache-2.0
"""Estimates how far an alpha can be trusted, from signals that cost next to nothing (docs/confidence.md has the
figures).

| signal | what it is | what it betrays |
|---|---|---|
| edge | grey of the matte over the length of its outline: how wide its soft edge is | wash, a guess |
| grey | the same grey over its area: how much of the subject is in doubt | a subject half lost |
| jump | change of area since the frame before; on a key, since the mask | a part lost or caught |
| change | part of the subject that the change head takes for new | nothing is as it was |
| guide | part of the matte that a guide had to change | the network follows something else, or the guide does |
| disagreement | how unlike the forward and the backward pass are, where both were run | one of them is wrong |

Rules of this file:
1. Pure: an alpha and what is known of the frame before in, numbers out. A frame has one confidence, in whatever order
   frames are asked for, since a pass always comes to it from the same frame.
2. Each signal is mapped on its own and the confidence is their product, so that it can be said why it is low. A guide
   that has changed a quarter of the alpha or more is named first: the others may be soft by nature.
3. It says where to look first. It is no measure of error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.model.blocks import area_resize
from matanyone_engine.sizes import Size

_SUBJECT = 0.05
"""Part of a cell from which on the subject is in it."""
_NEW = 0.5
"""Of the change head: from here on it trusts memory more than the last value."""
_LEAST_PIXELS = 16.0
"""A matte of less than this has neither area nor outline to speak of."""
_DIGITS = 5


@dataclass(frozen=True)
class Signals:
    """Holds what was measured of one frame in one pass; 0 is the best value of each signal."""

    area: float
    """Part of the frame that the matte covers: no signal itself, the next frame's jump is held against it."""
    jump: float
    """0..1: area gained or lost, as a part of the larger one."""
    edge: float | None
    """Grey, 4 a (1 - a) summed, over outline, in parts of the shortest side; None where nothing is to be seen."""
    grey: float = 0.0
    """0..4: the same grey over area."""
    change: float | None = None
    """0..1: part of the subject's cells that the change head takes for new; None where memory was not read (a key)."""
    guide: float | None = None
    """0..1: part of the matte that a guide has changed; None where there is no guide."""


@dataclass(frozen=True)
class Confidence:
    """Holds how far one object's alpha on one frame can be trusted."""

    value: float
    """0 (look here first) to 1."""
    why: str = ""
    """The reason that an artist should read first, one of REASON_CODES; '' where nothing lowers it by much."""
    signals: Signals | None = None
    """None for what is sure without looking: an object that is not to be there."""
    disagreement: float | None = None
    """0..1, of the passes that were blended; None where there was one."""


SURE = Confidence(1.0)


class _Mapping(NamedTuple):
    """Turns a signal into a factor: 1 at 0 and a half at `half`; a larger `power` makes it steeper around `half`."""

    half: float
    power: float

    def __call__(self, signal: float | None) -> float:
        return 1.0 if signal is None else 1.0 / (1.0 + (signal / self.half) ** self.power)


_MAPPINGS = {
    "edge": _Mapping(half=0.04, power=1.5),
    "grey": _Mapping(half=0.7, power=2.0),
    "jump": _Mapping(half=0.35, power=4.0),
    "change": _Mapping(half=1.25, power=12.0),
    "guide": _Mapping(half=0.25, power=2.0),
    "disagreement": _Mapping(half=0.4, power=2.0),
}
"""Set on drawn clips with true alpha, not those that benchmarks/confidence.py reports on. What alone says little about
error (jump, change) is steep: it counts where it is extreme and nowhere else."""
_LOWERED = 0.9
"""A factor below this is worth naming."""
_OVERRULED = 0.5
"""Of the factor of a guide: from here on it is named first."""
DOUBTFUL = 0.5
"""An artist should look at what is below."""
EMPTY = "empty"
"""Why, where nothing is to be seen: the object has left, or was lost."""
OUTVOTED = "outvoted"
"""Why, where a guide was left out, and the alpha is not doubtful for another reason."""
REASON_CODES = frozenset({*_MAPPINGS, EMPTY, OUTVOTED, ""})
"""All that Confidence.why can be; wire/reasons.py has a sentence for each."""


def measured(
    alpha: Tensor, change: Tensor | None, area_before: float | None, whole: Size, overruled: Tensor | None = None
) -> Signals:
    """Return the signals of an alpha (1, 1, H, W) 0..1 that is 0 outside of its window.

    change: (1, 1, h, w) 0..1 at stride 16, of the change head; area_before: Signals.area of the frame before, or of the
    key's mask; None where there is neither. whole: the working size of the frame, of which alpha may be a window.
    overruled: 0..1, the part of the alpha that a guide has changed; None without a guide.
    """
    height, width = whole
    outline = F.l1_loss(alpha[..., 1:], alpha[..., :-1], reduction="sum")
    outline = outline + F.l1_loss(alpha[..., 1:, :], alpha[..., :-1, :], reduction="sum")
    absent = alpha.new_tensor(-1.0)
    new_part = absent if change is None else _over_subject(change, alpha)
    sums = [alpha.sum(), alpha.square().sum(), outline, new_part, absent if overruled is None else overruled]
    # One wait for the device.
    area, square, length, saturated, changed = torch.stack([each.float() for each in sums]).tolist()
    share = round(area / (height * width), _DIGITS + 2)
    jump, new = _jump(share, area_before), None if change is None else round(saturated, _DIGITS)
    guide = None if overruled is None else round(changed, _DIGITS)
    if area < _LEAST_PIXELS:
        return Signals(share, jump, None, 0.0, new, guide)
    grey = max(4 * (area - square), 0.0)
    edge = grey / max(length, _LEAST_PIXELS) / min(height, width)
    return Signals(share, jump, round(edge, _DIGITS), round(grey / area, _DIGITS), new, guide)


def covered(alpha: Tensor, whole: Size) -> float:
    """Return the covered area, as Signals.area has it, of an alpha or a mask (1, 1, H, W)."""
    return round(float(alpha.sum()) / (whole[0] * whole[1]), _DIGITS + 2)


def _over_subject(change: Tensor, alpha: Tensor) -> Tensor:
    cells = area_resize(alpha, change.shape[-2:]) > _SUBJECT
    return ((change > _NEW) & cells).sum() / cells.sum().clamp(min=1)


def _jump(area: float, before: float | None) -> float:
    larger = max(area, before or 0.0)
    return 0.0 if before is None or not larger else round(abs(area - before) / larger, _DIGITS)


def confidence(signals: Signals, disagreement: float | None = None) -> Confidence:
    """Return the confidence that follows from a frame's signals and from the disagreement of its two passes
    (blend.py).
    """
    if signals.edge is None:
        return Confidence(0.0, EMPTY, signals, disagreement)
    seen = {name: getattr(signals, name) for name in ("edge", "grey", "jump", "change", "guide")}
    seen["disagreement"] = disagreement
    factors = {name: _MAPPINGS[name](signal) for name, signal in seen.items()}
    value = 1.0
    for factor in factors.values():
        value *= factor
    return Confidence(round(value, 3), _why(factors), signals, disagreement)


def _why(factors: Mapping[str, float]) -> str:
    """Name the signal with the lowest factor; '' where none is low. A guide that halves the confidence comes first."""
    least = "guide" if factors["guide"] <= _OVERRULED else min(factors, key=lambda name: factors[name])
    return least if factors[least] < _LOWERED else ""


def without_guide(sure: Confidence) -> Confidence:
    """Return the confidence of an object whose guide was left out on a frame: the reason says so, unless the alpha is
    doubtful for another one.
    """
    return sure if sure.value < DOUBTFUL else replace(sure, why=OUTVOTED)


def mixed(forward: Signals, backward: Signals, weight: float) -> Signals:
    """Return the signals of two passes, mixed as their alphas are; weight is the backward pass's."""

    def mix(ahead: float, back: float) -> float:
        return round((1 - weight) * ahead + weight * back, _DIGITS)

    def mix_known(ahead: float | None, back: float | None) -> float | None:
        if ahead is None or back is None:
            return back if ahead is None else ahead
        return mix(ahead, back)

    return Signals(
        mix(forward.area, backward.area),
        mix(forward.jump, backward.jump),
        mix_known(forward.edge, backward.edge),
        mix(forward.grey, backward.grey),
        mix_known(forward.change, backward.change),
        mix_known(forward.guide, backward.guide),
    )
