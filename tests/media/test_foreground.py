# SPDX-License-Identifier: Apache-2.0
"""The foreground under soft edges: against scenes whose true colours are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matanyone_engine.errors import PlateError, SettingError
from matanyone_engine.media.foreground import estimate_foreground, split_matte

Image = NDArray[np.float32]
HAIR = np.array([0.05, 0.03, 0.02], np.float32)
WALL = np.array([0.5, 0.2, 0.1], np.float32)


def soft_disc(height: int, width: int, radius: float = 0.3, softness: float = 0.12) -> Image:
    """An alpha with a wide soft edge."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((y + 0.5) / height - 0.5, ((x + 0.5) - width / 2) / height)
    return np.clip((radius - away) / softness + 0.5, 0, 1).astype(np.float32)


def mixed(alpha: Image, foreground: Image, background: Image) -> Image:
    a = alpha[..., None]
    return (a * foreground + (1 - a) * background).astype(np.float32)


def error(estimate: Image, truth: Image, alpha: Image) -> float:
    """What is off in a composite: the mean of alpha * |difference| over the soft band."""
    band = (alpha > 0) & (alpha < 1)
    return float((alpha[..., None] * np.abs(estimate - truth))[band].mean())


@pytest.fixture(scope="module")
def scene() -> tuple[Image, Image, Image]:
    """(plate, alpha, true foreground): dark hair with a slow change of colour before a textured wall."""
    alpha = soft_disc(120, 161)
    ramp = np.linspace(0.5, 1.5, 161, dtype=np.float32)[None, :, None]
    rng = np.random.default_rng(1)
    wall = cv2.resize(rng.uniform(0.3, 1.7, (12, 16)).astype(np.float32), (161, 120))[..., None] * WALL
    foreground = np.broadcast_to(HAIR * ramp, (120, 161, 3)).astype(np.float32)
    return mixed(alpha, foreground, wall), alpha, foreground


def test_the_background_is_taken_out_of_soft_edges(scene: tuple[Image, Image, Image]) -> None:
    plate, alpha, truth = scene
    assert error(estimate_foreground(plate, alpha), truth, alpha) < 0.15 * error(plate, truth, alpha)


def test_inside_the_matte_it_is_the_plate_and_its_own_array_is_left_alone(scene: tuple[Image, Image, Image]) -> None:
    plate, alpha, _ = scene
    before = plate.copy(), alpha.copy()
    foreground = estimate_foreground(plate, alpha)
    assert foreground.dtype == np.float32
    np.testing.assert_array_equal(foreground[alpha == 1], plate[alpha == 1])
    np.testing.assert_array_equal((plate, alpha)[0], before[0])
    np.testing.assert_array_equal(alpha, before[1])


def test_outside_the_matte_the_colour_runs_on_so_that_a_blur_finds_no_black(scene: tuple[Image, Image, Image]) -> None:
    plate, alpha, _ = scene
    foreground = estimate_foreground(plate, alpha)
    near = (cv2.dilate(alpha, np.ones((15, 15), np.uint8)) > 0) & (alpha == 0)
    assert foreground[near].max() < 3 * HAIR.max() < WALL.max()  # hair, not wall
    assert foreground[near].min() > 0.2 * HAIR.min()


def test_a_lamp_behind_the_hair_leaves_the_hair_around_it_alone() -> None:
    """What a method made for 0..1 pictures does with scene-linear light: it darkens the hair to pay for the lamp."""
    alpha = soft_disc(120, 160)
    background = np.broadcast_to(WALL, (120, 160, 3)).copy()
    cv2.circle(background, (116, 60), 7, (40.0, 30.0, 20.0), -1)
    truth = np.broadcast_to(HAIR, background.shape)
    foreground = estimate_foreground(mixed(alpha, truth, background), alpha)
    y, x = np.mgrid[:120, :160]
    around = (np.hypot(y - 60, x - 116) > 8) & (np.hypot(y - 60, x - 116) < 25) & (alpha > 0.1) & (alpha < 1)
    assert around.sum() > 200
    ratio = foreground[around] / HAIR
    assert 0.8 < np.median(ratio) < 1.25
    assert (ratio.min(axis=-1) < 0.3).mean() < 0.1  # 0.57 without the weights


@pytest.mark.parametrize("exposure", [1e-4, 1e4])
def test_the_foreground_scales_with_exposure(scene: tuple[Image, Image, Image], exposure: float) -> None:
    plate, alpha, _ = scene
    scaled = estimate_foreground(plate * np.float32(exposure), alpha) / np.float32(exposure)
    np.testing.assert_allclose(scaled, estimate_foreground(plate, alpha), atol=2e-4)


def test_negative_values_are_kept() -> None:
    """Camera noise and wide-gamut colours in a smaller space are negative here and there."""
    alpha = soft_disc(60, 60)
    truth = np.broadcast_to(np.float32([-0.02, 0.1, 0.3]), (60, 60, 3))
    foreground = estimate_foreground(mixed(alpha, truth, np.broadcast_to(WALL, truth.shape)), alpha)
    assert foreground[alpha > 0.7][:, 0].mean() == pytest.approx(-0.02, abs=0.005)


@pytest.mark.parametrize("alpha_value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 3), (66, 67)])
def test_any_size_and_any_plateau(size: tuple[int, int], alpha_value: float) -> None:
    plate = np.random.default_rng(2).uniform(0, 2, (*size, 3)).astype(np.float32)
    foreground = estimate_foreground(plate, np.full(size, alpha_value, np.float32))
    assert foreground.shape == plate.shape
    assert np.isfinite(foreground).all()
    if alpha_value == 1.0:
        np.testing.assert_array_equal(foreground, plate)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e3, 65504.0, 1e30]),
    sign=st.booleans(),
)
def test_it_is_finite_and_within_the_plates_range(seed: int, height: int, width: int, scale: float, sign: bool) -> None:
    rng = np.random.default_rng(seed)
    plate = (rng.standard_cauchy((height, width, 3)) * scale).clip(-3e38, 3e38).astype(np.float32)
    plate = plate if sign else np.abs(plate)
    alpha = rng.uniform(-0.5, 1.5, (height, width)).clip(0, 1).astype(np.float32)
    foreground = estimate_foreground(plate, alpha)
    assert np.isfinite(foreground).all()
    assert foreground.min() >= min(0, plate.min())
    assert foreground.max() <= max(0, plate.max())


def test_a_black_plate_has_a_black_foreground() -> None:
    assert not estimate_foreground(np.zeros((20, 20, 3), np.float32), soft_disc(20, 20)).any()


@pytest.mark.parametrize("where", ["plate", "alpha"])
def test_what_is_no_number_is_refused(where: str) -> None:
    plate, alpha = np.ones((8, 8, 3), np.float32), np.ones((8, 8), np.float32)
    (plate if where == "plate" else alpha)[3, 3] = np.nan
    with pytest.raises(PlateError, match="NaN"):
        estimate_foreground(plate, alpha)
    with pytest.raises(PlateError, match=r"\(8, 8, 3\) and \(8, 7\)"):
        estimate_foreground(np.ones((8, 8, 3), np.float32), np.ones((8, 7), np.float32))


# ------------------------------------------------------------------------------------------------ core and edge


def test_core_and_edge_are_the_matte_exactly_in_half_and_in_float() -> None:
    rng = np.random.default_rng(3)
    alpha = np.maximum(soft_disc(90, 90), rng.uniform(0, 1, (90, 90)).astype(np.float32) ** 0.02)
    for stored in (alpha, alpha.astype(np.float16).astype(np.float32)):
        core, edge = split_matte(stored, 0)
        np.testing.assert_array_equal(core + edge, stored)
        assert 0 <= core.min() <= core.max() <= 1
        assert 0 <= edge.min() <= edge.max() <= 1
        assert ((core > 0) & (edge > 0)).mean() > 0  # not merely one or the other
    halves = core.astype(np.float16).astype(np.float32), edge.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(halves[0] + halves[1], stored)


def test_the_core_is_solid_and_shrunk_by_the_choke() -> None:
    alpha = soft_disc(100, 100)
    wide, narrow = split_matte(alpha, 0)[0], split_matte(alpha, 5)[0]
    assert wide[50, 50] == narrow[50, 50] == 1
    assert not wide[alpha < 0.9].any()
    assert 0 < (narrow > 0).sum() < (wide > 0).sum()
    hole = alpha.copy()
    hole[50, 50] = 0.3
    core, _ = split_matte(hole, 3)
    assert not core[48:53, 48:53].any()
    with pytest.raises(SettingError, match="0 to 200"):
        split_matte(alpha, -1)
