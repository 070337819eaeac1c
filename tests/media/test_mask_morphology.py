# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from oracle import upstream_guide_mask

from matanyone_engine.media.mask_morphology import grow_mask

CASES = Path(__file__).parents[3] / "shared" / "parity" / "public"


def dot(size: int = 9, value: float = 1.0) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.float32)
    mask[size // 2, size // 2] = value
    return mask


def test_zero_changes_nothing_and_copies() -> None:
    mask = dot(value=0.3)
    grown = grow_mask(mask, 0)
    np.testing.assert_array_equal(grown, mask)
    assert grown is not mask


def test_growing_by_one_makes_a_cross() -> None:
    expected = np.zeros((9, 9), dtype=np.float32)
    expected[3:6, 4] = expected[4, 3:6] = 0.3
    np.testing.assert_array_equal(grow_mask(dot(value=0.3), 1), expected)


@pytest.mark.parametrize("pixels", [1, 2, 5, 12])
def test_growing_moves_a_hard_edge_by_that_many_pixels_and_shrinking_back(pixels: int) -> None:
    mask = np.zeros((80, 80), dtype=np.float32)
    mask[30:50, 30:50] = 1
    grown = grow_mask(mask, pixels)
    assert grown[40].sum() == 20 + 2 * pixels
    assert grown[:, 40].sum() == 20 + 2 * pixels
    assert np.argmax(grown[40]) == 30 - pixels
    np.testing.assert_array_equal(grow_mask(grown, -pixels), mask)


def test_a_soft_edge_moves_and_keeps_its_profile() -> None:
    ramp = np.clip((np.arange(60, dtype=np.float32) - 20) / 16, 0, 1)[None].repeat(20, 0)
    np.testing.assert_array_equal(grow_mask(ramp, 4)[:, :50], ramp[:, 4:54])
    np.testing.assert_array_equal(grow_mask(ramp, -4)[:, 10:], ramp[:, 6:56])


def test_the_border_of_the_frame_changes_no_mask() -> None:
    full = np.ones((12, 12), dtype=np.float32)
    np.testing.assert_array_equal(grow_mask(full, -5), full)
    np.testing.assert_array_equal(grow_mask(1 - full, 5), 1 - full)


def test_the_reference_makes_masks_binary_when_it_dilates_or_erodes() -> None:
    mask = np.zeros((7, 7), dtype=np.uint8)
    mask[3, 3] = 1
    cross = np.zeros((7, 7), dtype=np.float32)
    cross[2:5, 3] = cross[3, 2:5] = 255
    np.testing.assert_array_equal(upstream_guide_mask(mask, dilate=3, erode=0), cross)
    np.testing.assert_array_equal(upstream_guide_mask(mask, dilate=3, erode=3), (mask > 0) * 255.0)
    assert not upstream_guide_mask(mask, dilate=0, erode=3).any()
    assert not upstream_guide_mask(np.full((7, 7), 254, np.uint8), dilate=0, erode=1).any()


def test_without_sizes_the_reference_keeps_the_values() -> None:
    mask = np.arange(49, dtype=np.uint8).reshape(7, 7) * 5
    guide = upstream_guide_mask(mask, 0, 0)
    assert guide.dtype == np.float32
    np.testing.assert_array_equal(guide, mask)


def ellipse_of_the_specification(size: int) -> np.ndarray:
    anchor = size // 2
    element = np.zeros((size, size), dtype=bool)
    for row in range(size):
        d = row - anchor
        reach = round(anchor * np.sqrt((anchor**2 - d**2) / anchor**2)) if anchor else 0
        element[row, max(anchor - reach, 0) : min(anchor + reach, size - 1) + 1] = True
    return element


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 10, 15])
def test_the_reference_element_pixel_by_pixel(size: int) -> None:
    """Dilation is the greatest value at p + (offset - anchor), straight from the specification."""
    rng = np.random.default_rng(size)
    mask = (rng.random((40, 44)) > 0.97).astype(np.uint8) * 200
    element, anchor = ellipse_of_the_specification(size), size // 2
    expected = np.zeros_like(mask, dtype=np.float32)
    for y, x in np.ndindex(mask.shape):
        for row, column in np.argwhere(element):
            yy, xx = y + row - anchor, x + column - anchor
            if 0 <= yy < 40 and 0 <= xx < 44 and mask[yy, xx]:
                expected[y, x] = 255
    np.testing.assert_array_equal(upstream_guide_mask(mask, size, 0), expected)


@pytest.mark.shared
@pytest.mark.skipif(not CASES.is_dir(), reason="the ../shared material is not here")
def test_the_recorded_guide_masks_of_the_reference() -> None:
    compared = 0
    for path in sorted(CASES.glob("*.npz")):
        with np.load(path) as case:
            if "masks_in" not in case:
                continue
            params = json.loads(str(case["params"]))
            if (params["max_size"] or 0) > 0:
                continue
            for mask, guide in zip(case["masks"], case["masks_in"], strict=True):
                np.testing.assert_array_equal(upstream_guide_mask(mask, params["r_dilate"], params["r_erode"]), guide)
                compared += 1
    assert compared >= 5


@pytest.mark.parametrize("pixels", [16, 17, 40, -16, -33, 90])
def test_large_discs_equal_opencvs_and_are_quick(pixels: int) -> None:
    mask = np.random.default_rng(1).random((70, 90)).astype(np.float32) ** 4
    size = 2 * abs(pixels) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    assert np.array_equal(grow_mask(mask, pixels), (cv2.dilate if pixels > 0 else cv2.erode)(mask, disc))
    begun = time.process_time()
    grow_mask(np.zeros((540, 960), np.float32), 256)
    assert time.process_time() - begun < 10
