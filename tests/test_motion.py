# SPDX-License-Identifier: Apache-2.0
"""How pictures move: by so many pixels, also in pictures that are smaller than OpenCV can look at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from matanyone_engine.motion import FAST, MEDIUM, motion, pulled


@pytest.mark.parametrize("preset", [FAST, MEDIUM])
@pytest.mark.parametrize("side", [24, 160])
def test_a_picture_that_moved_is_found_where_it_went(preset: int, side: int) -> None:
    rough = np.random.default_rng(0).uniform(0, 255, (side, side)).astype(np.float32)
    here = np.rint(cv2.GaussianBlur(rough, (0, 0), 3.0)).astype(np.uint8)
    there = np.roll(here, (1, 2), axis=(0, 1))
    flow = motion(here, there, preset)
    assert flow.shape == (side, side, 2)
    inner = flow[side // 4 : -side // 4, side // 4 : -side // 4]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), (2.0, 1.0), atol=0.3)


def test_maps_are_pulled_from_where_the_flow_leads() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    one_right = np.zeros((3, 4, 2), np.float32)
    one_right[..., 0] = 1.0
    floats, codes = pulled(one_right, values, values.astype(np.uint8))
    expected = values[:, [1, 2, 3, 3]]
    assert (floats == expected).all()
    assert (codes == expected).all()
    assert codes.dtype == np.uint8
