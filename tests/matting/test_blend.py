# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import disc

from matanyone_engine.matting.blend import blend_weights, blended, disagreement, separated

rates = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(rates)
def test_weights_rise_from_the_first_key_to_the_second(unlike: list[float]) -> None:
    weights = [0.0, *blend_weights(unlike), 1.0]
    assert weights == sorted(weights)
    assert len(weights) == len(unlike) + 2


@given(rates)
def test_weights_read_backwards_are_those_of_the_shot_read_backwards(unlike: list[float]) -> None:
    turned = [1 - weight for weight in reversed(blend_weights(unlike[::-1]))]
    assert blend_weights(unlike) == pytest.approx(turned, abs=1e-9)


def test_passes_that_agree_are_blended_by_a_smoothstep_of_seventh_order() -> None:
    count = 99
    weights = blend_weights([0.0] * count)
    expected = [35 * t**4 - 84 * t**5 + 70 * t**6 - 20 * t**7 for t in ((n + 1) / (count + 1) for n in range(count))]
    assert weights == pytest.approx(expected, abs=1e-4)


def test_the_weight_moves_where_the_passes_agree() -> None:
    """The forward pass loses the subject at 30, the backward pass at 20: between them both are right."""
    unlike = [0.8] * 20 + [0.0] * 10 + [0.8] * 20
    weights = blend_weights(unlike)
    assert weights[18] < 0.01
    assert weights[31] > 0.99
    pops = [(b - a) * d for a, b, d in zip(weights, weights[1:], unlike[1:], strict=False)]
    smooth = blend_weights([0.0] * len(unlike))
    ghosts = [(b - a) * d for a, b, d in zip(smooth, smooth[1:], unlike[1:], strict=False)]
    assert max(pops) < max(ghosts) / 2


def test_disagreement_is_a_part_of_the_subject() -> None:
    one, empty = disc(), torch.zeros(48, 64)
    assert disagreement(one, one) == 0
    assert disagreement(one, empty) == pytest.approx(1)
    assert disagreement(one, one * 0.5) == pytest.approx(0.5)
    assert disagreement(empty, empty) == 0


def test_the_ends_of_a_blend_are_its_parts() -> None:
    assert torch.equal(blended(disc(), 1 - disc(), 0.0), disc())
    assert torch.equal(blended(disc(), 1 - disc(), 1.0), 1 - disc())


pixel = st.floats(0, 1, width=32)


@given(st.lists(pixel, min_size=2, max_size=4))
def test_separated_mattes_add_up_to_at_most_one(claims: list[float]) -> None:
    alphas = {str(n): torch.full((1, 1), claim) for n, claim in enumerate(claims)}
    shares = torch.stack(list(separated(alphas).values()))
    assert float(shares.sum()) <= 1 + 1e-5
    assert float(shares.min()) >= 0
    if sum(claims) <= 1:
        assert shares.flatten().tolist() == pytest.approx(claims, abs=1e-6)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [((0.4, 0.6), (0.4, 0.6)), ((0.9, 1.0), (0.01, 0.99)), ((1.0, 1.0), (0.5, 0.5)), ((1.0, 0.5), (1.0, 0.0))],
)
def test_an_excess_is_taken_from_the_claim_in_doubt(claims: tuple[float, float], expected: tuple[float, float]) -> None:
    shares = separated({name: torch.full((1, 1), claim) for name, claim in zip("ab", claims, strict=True)})
    assert [float(share) for share in shares.values()] == pytest.approx(expected, abs=0.01)


def test_a_lone_matte_stays_as_it_is() -> None:
    assert torch.equal(separated({"a": disc()})["a"], disc())
