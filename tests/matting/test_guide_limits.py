# SPDX-License-Identifier: Apache-2.0
"""What a guide surely shows is right where the network has lost much of it; small holes are the network's."""

from __future__ import annotations

import torch

from matanyone_engine.matting.confidence import confidence, measured, mixed
from matanyone_engine.matting.inside_outside import KEPT, MaskLimits


def limits(**masks: torch.Tensor) -> MaskLimits:
    return MaskLimits.of(masks, torch.device("cpu"))


def square(side: int = 40) -> torch.Tensor:
    mask = torch.zeros(64, 64)
    mask[:side, :side] = 1
    return mask


def test_a_gap_between_arm_and_body_stays() -> None:
    alpha = square()[None, None].clone()
    alpha[..., 17:23] = 0  # a gap through all of it, of a tenth of the picture
    assert torch.equal(limits(guide=square()).applied(alpha), alpha)


def test_the_guide_fills_parts_that_the_network_has_lost() -> None:
    nothing = torch.zeros(1, 1, 64, 64)
    assert torch.equal(limits(guide=square()).applied(nothing), square()[None, None])
    half = square()[None, None].clone()
    half[..., :20, :] = 0
    held = limits(guide=square()).applied(half)
    assert (held[..., :14, :40] == 1).all()
    assert torch.equal(held[..., 20:, :], half[..., 20:, :])


def test_the_guide_overrules_the_network_from_the_stated_part_on() -> None:
    for kept, filled in ((KEPT - 0.02, True), (KEPT + 0.02, False)):
        alpha = square()[None, None] * kept
        assert torch.equal(limits(guide=square()).applied(alpha), square()[None, None]) is filled


def test_guide_limits_apply_to_plates_of_any_size() -> None:
    for size in ((1, 1), (7, 33), (270, 481)):
        guide = torch.ones(size)
        assert (limits(guide=guide).applied(torch.zeros(1, 1, *size)) == 1).all()


def test_an_artists_own_masks_are_always_right() -> None:
    alpha = torch.zeros(1, 1, 64, 64)
    outside = torch.zeros(64, 64)
    outside[:5] = 1
    held = limits(guide=square(), inside=square(8), outside=outside).applied(alpha)
    assert (held[..., 5:40, :40] == 1).all()
    assert not held[..., :5, :].any()
    assert not held[..., 40:, :].any()


def test_what_the_guide_changes_lowers_the_confidence() -> None:
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 20:60, :40] = 1
    held = limits(guide=torch.zeros(64, 64), outside=1 - square())
    part = held.overruled(alpha)
    assert part is not None
    assert abs(float(part) - 0.5) < 1e-6
    after = held.applied(alpha)
    plain, told = (measured(after, None, None, (64, 64), each) for each in (None, part))
    assert plain.guide is None
    assert told.guide == 0.5
    assert confidence(told).value < 0.5 * confidence(plain).value
    assert confidence(told).why == "guide"
    assert mixed(plain, told, 0.5).guide == 0.5


def test_without_a_guide_nothing_is_measured() -> None:
    held = limits(inside=square())
    assert held.overruled(torch.zeros(1, 1, 64, 64)) is None
