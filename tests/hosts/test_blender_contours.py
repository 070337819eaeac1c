# SPDX-License-Identifier: Apache-2.0
"""Outlines of masks for Blender's splines: drawn again, they are the mask."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from blender_extension import NAME, import_extension


@pytest.fixture(scope="module")
def outlines(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[list[tuple[float, float]]]]:
    import_extension(tmp_path_factory.mktemp("extension"))
    return importlib.import_module(f"{NAME}.contours").outlines  # type: ignore[no-any-return]


def drawn(loops: list[list[tuple[float, float]]], shape: tuple[int, int]) -> np.ndarray:
    """What the outlines are around, with holes."""
    picture = np.zeros(shape, np.uint8)
    cv2.fillPoly(picture, [np.rint(np.array(loop) * 16 - 8).astype(np.int32) for loop in loops], 1, shift=4)
    return picture > 0


def disc(centre: tuple[int, int], radius: int, shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.clip(radius + 0.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)


def overlap(ours: Any, theirs: Any) -> float:
    return float((ours & theirs).sum() / (ours | theirs).sum())


def test_a_disc_has_few_points_and_stays_one(outlines: Callable[..., Any]) -> None:
    mask = disc((80, 60), 40)
    (loop,) = outlines(mask)
    assert len(loop) < 24
    assert overlap(drawn([loop], mask.shape), mask > 0.5) > 0.95


def test_parts_and_holes_have_outlines_of_their_own(outlines: Callable[..., Any]) -> None:
    mask = np.maximum(disc((50, 60), 40) - disc((50, 60), 18), disc((130, 40), 20))
    loops = outlines(mask)
    assert len(loops) == 3
    assert overlap(drawn(loops, mask.shape), mask > 0.5) > 0.93


def test_a_mask_at_the_border_and_specks(outlines: Callable[..., Any]) -> None:
    mask = np.zeros((100, 100))
    mask[50:, :30] = 1
    mask[3, 3] = 1  # a speck
    (loop,) = outlines(mask)
    assert overlap(drawn([loop], mask.shape), mask > 0.5) > 0.95
    assert outlines(np.zeros((9, 9))) == []


def test_pixels_that_touch_at_a_corner_stay_apart(outlines: Callable[..., Any]) -> None:
    mask = np.zeros((40, 40))
    mask[10:20, 10:20] = mask[20:30, 20:30] = 1
    assert len(outlines(mask)) == 2


def test_a_ragged_mask_has_no_more_points_than_wanted(outlines: Callable[..., Any]) -> None:
    rng = np.random.default_rng(2)
    mask = disc((80, 60), 45) * 1.0
    mask[rng.random(mask.shape) < 0.3] = 0
    assert sum(map(len, outlines(mask, most=60))) <= 60
