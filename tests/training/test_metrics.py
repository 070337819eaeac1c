# SPDX-License-Identifier: Apache-2.0
"""Metrics: cases worked out by hand, and what must hold whatever the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.training import metrics


def alpha(seed: int = 0, size: tuple[int, int] = (24, 32)) -> metrics.Alpha:
    return np.random.default_rng(seed).random(size, np.float32)


def square(left: int = 8) -> metrics.Alpha:
    """24 x 32, an 8 x 8 square."""
    picture = np.zeros((24, 32), np.float32)
    picture[8:16, left : left + 8] = 1
    return picture


def test_mad_and_mse_by_hand() -> None:
    truth = np.zeros((2, 4), np.float32)
    given_ = truth.copy()
    given_[0, 0] = 0.5
    scores = metrics.score_frame(given_, truth)
    assert scores.mad == pytest.approx(1000 * 0.5 / 8)
    assert scores.mse == pytest.approx(1000 * 0.25 / 8)


def test_dtssd_by_hand() -> None:
    zero, half = np.zeros((2, 2), np.float32), np.full((2, 2), 0.5, np.float32)
    # The alpha jumps by a half everywhere, the truth stays.
    assert metrics.dtssd(half, zero, zero, zero) == pytest.approx(50)
    # One pixel of four jumps: sqrt(0.25 / 4).
    one = zero.copy()
    one[0, 0] = 0.5
    assert metrics.dtssd(one, zero, zero, zero) == pytest.approx(25)
    # A constant error is steady.
    assert metrics.dtssd(half, zero, half, zero) == 0


def test_the_first_frame_counts_as_steady_in_the_mean() -> None:
    zero, half = np.zeros((2, 2), np.float32), np.full((2, 2), 0.5, np.float32)
    rows = list(metrics.score([(zero, zero), (half, zero)]))
    assert [row.dtssd for row in rows] == [0, pytest.approx(50)]
    assert metrics.mean_scores(rows).dtssd == pytest.approx(25)


def test_the_gradient_filter_has_unit_energy_and_sees_no_flat() -> None:
    kernel = metrics.gradient_filter()
    assert kernel.shape == (9, 9)
    assert np.square(kernel).sum() == pytest.approx(1)
    assert kernel.sum() == pytest.approx(0, abs=1e-12)
    assert np.allclose(kernel, -kernel[:, ::-1])


def test_grad_of_a_step_by_hand() -> None:
    """A vertical step seen by the filter is the sum of the filter's columns on the lit side."""
    step = np.zeros((40, 40), np.float32)
    step[:, 20:] = 1
    columns = metrics.gradient_filter().sum(axis=0)
    lit = [abs(columns[max(0, 4 - (x - 20)) :].sum()) if x >= 16 else 0 for x in range(24)]
    expected = 40 * np.square(lit).sum() / 1000
    assert metrics.gradient_error(step, np.zeros_like(step)) == pytest.approx(expected, rel=1e-9)


def test_conn_of_a_lone_island_by_hand() -> None:
    """Pixels at 1 that the common body does not reach hang together at 0: each counts as a whole error."""
    truth = square()
    stray = truth.copy()
    stray[0:2, 30:32] = 1
    assert metrics.connectivity_error(stray, truth) == pytest.approx(4 / 1000)


def test_conn_forgives_small_differences() -> None:
    truth = square()
    assert metrics.connectivity_error(np.float32(0.95) * truth, truth) == pytest.approx(0, abs=1e-9)


def test_core_and_edge_part_the_picture() -> None:
    truth = square()
    hole = truth.copy()
    hole[0, 0] = 1  # far from the square's outline
    scores = metrics.score_frame(hole, truth)
    assert scores.edge == 0
    assert scores.core == pytest.approx(1000 / (~metrics.edge_band(truth)).sum())


def test_overlap_by_hand() -> None:
    assert metrics.overlap(square(8), square(12)) == pytest.approx(32 / 96)
    assert metrics.overlap(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32)) == 1


@given(st.integers(0, 10_000))
def test_equal_alphas_are_perfect(seed: int) -> None:
    same = alpha(seed)
    scores = metrics.score_frame(same, same.copy(), (alpha(seed + 1), alpha(seed + 1)))
    assert dataclasses.astuple(scores) == (0, 0, 0, 0, 0, 0, 0, 1)


@given(st.integers(0, 10_000))
def test_difference_metrics_do_not_care_which_is_which(seed: int) -> None:
    a, b = alpha(seed), alpha(seed + 1)
    there, back = metrics.score_frame(a, b), metrics.score_frame(b, a)
    assert (there.mad, there.mse, there.grad, there.overlap) == pytest.approx(
        (back.mad, back.mse, back.grad, back.overlap)
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_pictures_score_alike(axis: int) -> None:
    a, b = square(6), square(9)
    straight = metrics.score_frame(a, b, (square(5), square(7)))
    mirrored = metrics.score_frame(
        *(np.flip(x, axis) for x in (a, b)), tuple(np.flip(x, axis) for x in (square(5), square(7)))
    )
    assert dataclasses.astuple(mirrored) == pytest.approx(dataclasses.astuple(straight))


def test_a_shift_to_the_left_costs_what_one_to_the_right_costs() -> None:
    left, right = (metrics.score_frame(square(12 + d), square(12)) for d in (-2, 2))
    assert dataclasses.astuple(left) == pytest.approx(dataclasses.astuple(right))


def test_larger_errors_have_larger_scores() -> None:
    near, far = (metrics.score_frame(square(8 + d), square(8)) for d in (1, 4))
    for name in ("mad", "mse", "grad", "edge"):
        assert getattr(far, name) > getattr(near, name) > 0
    assert far.overlap < near.overlap < 1
