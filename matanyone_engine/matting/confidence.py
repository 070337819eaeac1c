# SPDX-License-Identifier: Apache-2.0
"""Estimates how far an alpha can be trusted, from signals that cost next to nothing (docs/confidence.md has the
figures).

| signal | what it measures | what a high value may mean |
|---|---|---|
| edge | grey of the matte over the length of its outline: how wide its soft edge is | wash, a guess |
| grey | the same grey over its area: how much of the subject is in doubt | a subject half lost |
| jump | change of area since the frame before; on a key, since the mask | a part was lost or added |
| change | part of the subject that the change head takes for new | the subject looks different everywhere |
| guide | part of the matte that a guide had to change | the network follows something else, or the guide does |
| disagreement | how unlike the forward and the backward pass are, where both were run | one of them is wrong |

Rules of this file:
1. Pure: the functions compute numbers from an alpha and from values of the frame before. A frame's confidence does not
   depend on the order in which frames are asked for, since a pass always comes to it from the same frame.
2. Each signal is mapped to a factor and the confidence is the product of the factors, so that the reason for a low one
   is known. A guide that has changed a quarter of the alpha or more is named first, since the other signals may be high
   only because the subject is soft.
3. The confidence says where to look first. It does not measure the error.
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
"""Part of a cell that the subject has to cover for the cell to count as the subject's."""
_NEW = 0.5
"""Value of the change head from which it trusts memory more than the last value."""
_LEAST_PIXELS = 16.0
"""Area and outline below which a matte counts as empty."""
_DIGITS = 5


@dataclass(frozen=True)
class Signals:
    """Holds the signals of one frame in one pass; 0 is the best value of each signal."""

    area: float
    """Part of the frame that the matte covers. It is not a signal itself; the next frame's jump is computed from it."""
    jump: float
    """0..1: change of the area, as a part of the larger of both areas."""
    edge: float | None
    """The grey, which is 4 a (1 - a) summed, over the length of the outline, as a part of the shortest side; None for
    an empty matte."""
    grey: float = 0.0
    """0..4: the same grey over area."""
    change: float | None = None
    """0..1: part of the subject's cells that the change head takes for new; None if memory was not read, as on a
    key."""
    guide: float | None = None
    """0..1: part of the matte that a guide has changed; None without a guide."""


@dataclass(frozen=True)
class Confidence:
    """Holds the confidence in one object's alpha on one frame, with its reason."""

    value: float
    """0 (look here first) to 1."""
    why: str = ""
    """The main reason for a low value, one of REASON_CODES; '' if no signal lowers it by much."""
    signals: Signals | None = None
    """None for an object that cannot be seen on this frame, which is certain without measuring."""
    disagreement: float | None = None
    """0..1, of the two passes that were blended; None for a single pass."""


CERTAIN = Confidence(1.0)


class _Mapping(NamedTuple):
    """Maps a signal to a factor: 1 at 0, and a half at `half`. A larger `power` makes it steeper around `half`."""

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
"""Chosen on drawn clips with true alpha that benchmarks/confidence.py does not report on.

The mappings of jump and change are steep: alone they say little about the error, so only extreme values count.
"""
_LOWERED = 0.9
"""A factor below this is named as a reason."""
_OVERRULED = 0.5
"""Factor of a guide at and below which it is named first."""
DOUBTFUL = 0.5
"""An artist should look at alphas with a confidence below this."""
EMPTY = "empty"
"""The reason of an empty alpha: the object has left the frame, or was lost."""
OUTVOTED = "outvoted"
"""The reason on a frame whose guide was left out, if the alpha is not doubtful for another reason."""
REASON_CODES = frozenset({*_MAPPINGS, EMPTY, OUTVOTED, ""})
"""All values of Confidence.why; wire/reasons.py has a sentence for each."""


def measured(
    alpha: Tensor, change: Tensor | None, area_before: float | None, whole: Size, overruled: Tensor | None = None
) -> Signals:
    """Measure the signals of an alpha (1, 1, H, W) 0..1 that is 0 outside of its window.

    change: (1, 1, h, w) 0..1 at stride 16, of the change head; area_before: Signals.area of the frame before, or of the
    key's mask; None if there is neither. whole: the working size of the whole frame, of which alpha may be a window.
    overruled: 0..1, the part of the alpha that a guide has changed; None without a guide.
    """
    height, width = whole
    outline = F.l1_loss(alpha[..., 1:], alpha[..., :-1], reduction="sum")
    outline = outline + F.l1_loss(alpha[..., 1:, :], alpha[..., :-1, :], reduction="sum")
    absent = alpha.new_tensor(-1.0)
    new_part = absent if change is None else _over_subject(change, alpha)
    sums = [alpha.sum(), alpha.square().sum(), outline, new_part, absent if overruled is None else overruled]
    # all values are fetched at once, so that the device is waited for only once
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
    """Compute the confidence from a frame's signals and from the disagreement of its two passes (blend.py)."""
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
    """Return the signal with the lowest factor; '' if none is low. A guide that halves the confidence comes first."""
    least = "guide" if factors["guide"] <= _OVERRULED else min(factors, key=lambda name: factors[name])
    return least if factors[least] < _LOWERED else ""


def without_guide(sure: Confidence) -> Confidence:
    """Return the confidence of an object whose guide was left out on a frame: its reason says so, unless the alpha is
    doubtful for another reason.
    """
    return sure if sure.value < DOUBTFUL else replace(sure, why=OUTVOTED)


def mixed(forward: Signals, backward: Signals, weight: float) -> Signals:
    """Blend the signals of two passes as their alphas are blended. weight: that of the backward pass."""

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
