# SPDX-License-Identifier: Apache-2.0
"""Edges are steadied: what pops for one frame goes, what moves stays."""

from __future__ import annotations

import cv2
import numpy as np

from matanyone_engine.media.flicker import flicker
from matanyone_engine.media.steady_edges import NeighbourFrame, grey_of, steadied

SIDE = 160


def ball(x: float, radius: float = 40.0, soft: float = 6.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.clip((radius - np.hypot(columns - x, rows - SIDE / 2)) / soft + 0.5, 0, 1).astype(np.float32)


def plate(x: float) -> np.ndarray:
    """A ball with a pattern that moves with it, before a pattern that stands."""
    rng = np.random.default_rng(5)
    still = cv2.GaussianBlur(rng.random((SIDE, SIDE), np.float32), (0, 0), 3)
    skin = cv2.GaussianBlur(rng.random((SIDE, 2 * SIDE), np.float32), (0, 0), 3)
    move = np.float32([[1, 0, x - SIDE], [0, 1, 0]])
    moved = cv2.warpAffine(skin, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    alpha = ball(x)
    grey = np.clip((alpha * (0.3 + moved) + (1 - alpha) * still - 0.3) * 1.4, 0, 1)
    return grey_of(np.repeat(grey[..., None], 3, axis=2))


def test_a_change_of_one_frame_is_reduced_by_the_strength() -> None:
    grey, still = plate(80), ball(80)
    popped = np.clip(still + 0.3 * ((still > 0.1) & (still < 0.9)), 0, 1).astype(np.float32)
    beside = NeighbourFrame(still, grey), NeighbourFrame(still, grey)
    assert np.allclose(steadied(popped, grey, *beside, 1.0), still, atol=1e-3)
    assert np.allclose(steadied(popped, grey, *beside, 0.5), (popped + still) / 2, atol=1e-3)


def test_a_moving_edge_stays_and_flicker_on_it_is_reduced() -> None:
    greys, alphas = [plate(x) for x in (76, 80, 84)], [ball(x) for x in (76, 80, 84)]
    before, after = NeighbourFrame(alphas[0], greys[0]), NeighbourFrame(alphas[2], greys[2])
    assert np.abs(steadied(alphas[1], greys[1], before, after, 1.0) - alphas[1]).mean() < 5e-4
    noise = cv2.GaussianBlur(np.random.default_rng(7).standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), 2)
    boiling = np.clip(alphas[1] + 1.5 * noise * (4 * alphas[1] * (1 - alphas[1])), 0, 1).astype(np.float32)
    steady = steadied(boiling, greys[1], before, after, 1.0)
    assert np.abs(steady - alphas[1]).sum() < 0.5 * np.abs(boiling - alphas[1]).sum()


def test_the_core_and_the_background_are_not_edges() -> None:
    grey, still = plate(80), ball(80)
    dipped = still.copy()
    dipped[80, 80] = 0.985
    beside = NeighbourFrame(still, grey), NeighbourFrame(still, grey)
    assert steadied(dipped, grey, *beside, 1.0)[80, 80] == np.float32(0.985)


def test_a_neighbour_whose_plate_does_not_match_is_ignored() -> None:
    here, other = plate(80), np.zeros((SIDE, SIDE), np.uint8)
    alpha, nothing = ball(80), np.zeros((SIDE, SIDE), np.float32)
    beside = NeighbourFrame(nothing, other), NeighbourFrame(nothing, other)
    changed = np.abs(steadied(alpha, here, *beside, 1.0) - alpha)
    assert changed[here > 40].max() < 1e-3


def test_steadied_alphas_flicker_less() -> None:
    grey, still = plate(80), ball(80)
    rng = np.random.default_rng(3)
    boil = [
        np.clip(still + 0.3 * rng.standard_normal(still.shape) * (4 * still * (1 - still)), 0, 1).astype(np.float32)
        for _ in range(3)
    ]
    beside = NeighbourFrame(boil[0], grey), NeighbourFrame(boil[2], grey)
    assert flicker(boil[0], steadied(boil[1], grey, *beside, 1.0), boil[2]) < 0.05 * flicker(*boil)


def test_a_tiny_picture_is_steadied_too() -> None:
    for height, width in ((1, 1), (7, 5), (12, 40)):
        grey, alpha = np.zeros((height, width), np.uint8), np.full((height, width), 0.5, np.float32)
        beside = NeighbourFrame(alpha, grey), NeighbourFrame(alpha, grey)
        assert np.array_equal(steadied(alpha, grey, *beside, 1.0), alpha)
