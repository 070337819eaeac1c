# SPDX-License-Identifier: Apache-2.0
"""The edge controls against shapes whose answer is known."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.media.edges import (
    LIMITS,
    NO_EDGES,
    EdgeControls,
    check_edges,
    clipped,
    describe_edges,
    despeckled,
    grown,
    solidified,
    with_edges,
)
from matanyone_engine.wire import messages
from matanyone_engine.wire.limits import LIMITS as WIRE_LIMITS

SIDE = 200


def disc(radius: float, side: int = SIDE, centre: tuple[float, float] | None = None, soft: float = 1.0) -> np.ndarray:
    """An antialiased disc whose edge is `soft` pixels wide; its area is that of the circle to 1 in 1000."""
    x, y = centre or (side / 2 - 0.3, side / 2 + 0.2)
    rows, columns = np.mgrid[:side, :side]
    inside = radius - np.hypot(columns - x, rows - y)
    return np.clip(inside / soft + 0.5, 0, 1).astype(np.float32)


def circle(radius: float) -> float:
    return math.pi * radius * radius


def test_the_defaults_change_no_bit_and_make_no_copy() -> None:
    alpha = np.random.default_rng(1).random((40, 50), np.float32)
    assert with_edges(alpha, NO_EDGES) is alpha
    assert describe_edges(NO_EDGES) == ""


@pytest.mark.parametrize("pixels", [0.1, 0.5, -0.5, 1.0, -1.0, 1.6, -1.6, 2.0, 3.7, -3.7, 12.25])
@pytest.mark.parametrize("soft", [1.0, 6.0])
def test_a_disc_that_is_grown_has_the_area_of_the_larger_circle(pixels: float, soft: float) -> None:
    moved = grown(disc(50, soft=soft), pixels)
    radius = math.sqrt(float(moved.sum()) / math.pi)
    assert abs(radius - (50 + pixels)) < 0.06
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_growing_keeps_the_profile_of_a_soft_edge() -> None:
    before, after = disc(50, soft=8.0), grown(disc(50, soft=8.0), 2.5)
    assert np.abs(after - disc(52.5, soft=8.0)).max() < 0.05
    assert np.abs(grown(after, -2.5) - before).max() < 0.05


def test_the_border_of_the_picture_is_no_edge() -> None:
    whole = np.ones((30, 30), np.float32)
    assert (grown(whole, -4.5) == 1).all()
    assert (grown(1 - whole, 4.5) == 0).all()
    assert np.allclose(with_edges(whole, EdgeControls(edge_blur=3.0)), 1, atol=1e-6)


@pytest.mark.parametrize("pixels", [0.2, 0.5, 1.0, 2.3])
def test_a_blurred_step_has_the_variance_that_was_asked_for(pixels: float) -> None:
    step = np.zeros((9, 80), np.float32)
    step[:, 40:] = 1
    profile = np.diff(with_edges(step, EdgeControls(edge_blur=pixels))[4].astype(np.float64))
    at = np.arange(profile.size)
    mean = (profile * at).sum()
    assert abs(profile.sum() - 1) < 1e-5
    assert abs(math.sqrt((profile * (at - mean) ** 2).sum()) - pixels) < 0.01


def test_the_clips_stretch_what_is_between_them() -> None:
    alpha = np.array([[0, 0.1, 0.2, 0.5, 0.8, 0.9, 1]], np.float32)
    answer = with_edges(alpha, EdgeControls(black_clip=0.2, white_clip=0.8))
    assert np.allclose(answer, [[0, 0, 0, 0.5, 1, 1, 1]], atol=1e-6)


def test_knees_round_the_corners_and_keep_the_ends() -> None:
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)[None]
    controls = EdgeControls(black_clip=0.1, white_clip=0.9, black_knee=0.3, white_knee=0.2)
    answer = clipped(ramp, controls)[0].astype(np.float64)
    slope = np.diff(answer) * 1000
    assert answer[:101].max() < 1e-6
    assert answer[900:].min() > 1 - 1e-6
    assert (slope >= -1e-3).all()
    assert np.abs(np.diff(slope)).max() < 0.02  # the hard corner jumps by 1.25
    assert slope[101] < 0.05
    assert slope[898] < 0.05
    # The area under the slope is 1: in the middle it is 1 / (0.8 * (1 - 0.15 - 0.1)).
    assert abs(slope[500] - 1 / (0.8 * 0.75)) < 1e-2


def test_gamma_lightens_greys_and_keeps_the_ends() -> None:
    answer = with_edges(np.array([[0, 0.25, 1]], np.float32), EdgeControls(gamma=2.0))
    assert np.allclose(answer, [[0, 0.5, 1]])


def test_small_islands_are_removed_with_their_haze_and_large_ones_stay() -> None:
    alpha = disc(40)
    large, small = disc(5, centre=(20, 20), soft=2), disc(2, centre=(180, 30), soft=2)
    both = np.maximum(np.maximum(alpha, large), small)
    answer = despeckled(both, 30)
    assert np.array_equal(answer, np.maximum(alpha, large))
    assert np.array_equal(despeckled(both, 200), alpha)


def test_a_removed_speck_leaves_the_subjects_soft_edge() -> None:
    alpha = disc(40, soft=12.0)
    spoiled = alpha.copy()
    spoiled[100, 100 + 50] = 0.9
    answer = despeckled(spoiled, 4)
    near = np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([100, 150])[:, None, None])) <= 4
    assert answer[100, 150] == 0
    assert np.array_equal(answer[~near], alpha[~near])


def test_a_weak_spot_is_filled_and_the_hole_between_arm_and_body_is_not() -> None:
    body = disc(80)
    gap = disc(12, centre=(60, 100), soft=3.0)
    weak = 0.55 * disc(10, centre=(130, 100), soft=3.0)
    alpha = np.clip(body - gap - weak, 0, 1).astype(np.float32)
    answer = solidified(alpha, 0.3)
    assert np.array_equal(answer[weak > 0], np.ones_like(answer[weak > 0]))
    assert np.array_equal(answer[weak == 0], alpha[weak == 0])
    # What falls below the floor is not weak, it is a hole.
    assert np.array_equal(solidified(alpha, 0.5), alpha)


def test_a_weak_spot_that_touches_the_outside_stays() -> None:
    alpha = disc(80)
    alpha[95:105, 100:] = np.minimum(alpha[95:105, 100:], 0.6)
    assert np.array_equal(solidified(alpha, 0.3), alpha)


def test_a_weak_spot_rises_to_what_surrounds_it_and_no_further() -> None:
    alpha = 0.955 * disc(80)
    alpha[90:110, 90:110] = 0.7
    answer = solidified(alpha.astype(np.float32), 0.3)
    assert np.allclose(answer[90:110, 90:110], 0.95, atol=1e-6)
    assert answer.max() <= np.float32(0.955)


def test_nothing_is_filled_where_the_network_was_not_sure() -> None:
    alpha = disc(80)
    alpha[90:110, 90:110] = 0.7
    controls = EdgeControls(solidify=0.7)
    assert with_edges(alpha, controls, core_is_sure=False) is alpha
    assert with_edges(alpha, controls)[100, 100] == 1


def test_an_empty_alpha_stays_empty_under_every_control() -> None:
    nothing = np.zeros((20, 30), np.float32)
    controls = EdgeControls(0.0, 9, 0.9, 0.1, 0.9, 0.2, 0.2, 2.0, 1.5, 2.0)
    assert not with_edges(nothing, controls).any()


def test_an_alpha_stays_within_0_and_1_under_every_control() -> None:
    alpha = np.random.default_rng(2).random((60, 70), np.float32)
    answer = with_edges(alpha, EdgeControls(0.0, 3, 0.9, 0.1, 0.9, 0.5, 0.5, 0.5, -0.7, 0.4))
    assert answer.dtype == np.float32
    assert answer.shape == alpha.shape
    assert 0 <= answer.min() <= answer.max() <= 1


@pytest.mark.parametrize("name", list(LIMITS))
def test_what_is_beyond_its_limits_is_refused(name: str) -> None:
    least, most = LIMITS[name]
    for value in (least - 1, most + 1, *((math.nan, math.inf) if name != "despeckle" else ())):
        with pytest.raises(SettingError, match=name):
            check_edges(replace(NO_EDGES, **{name: value}))
    check_edges(NO_EDGES)


def test_controls_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SettingError, match="white_clip"):
        check_edges(EdgeControls(black_clip=0.6, white_clip=0.5))
    with pytest.raises(SettingError, match="black_knee"):
        check_edges(EdgeControls(black_knee=0.6, white_knee=0.6))


def test_the_protocol_has_the_same_controls_and_limits() -> None:
    ours = [(each.name, each.default) for each in fields(EdgeControls)]
    assert [(each.name, each.default) for each in fields(messages.EdgeControls)] == ours
    assert {name: tuple(map(float, each)) for name, each in WIRE_LIMITS[messages.EdgeControls].items()} == {
        name: tuple(map(float, each)) for name, each in LIMITS.items()
    }


def test_the_text_has_the_changed_controls_in_the_order_of_work() -> None:
    controls = EdgeControls(edge_grow=-0.5, despeckle=40, deflicker=1.0)
    assert describe_edges(controls) == "deflicker 1, despeckle 40, edge_grow -0.5"
