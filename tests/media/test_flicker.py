# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.media.flicker import flicker


def bar(left: float, width: float = 20.0) -> np.ndarray:
    """A soft-edged bar."""
    x = np.arange(64, dtype=np.float32)
    across = np.clip(x - left, 0, 1) * np.clip(left + width - x, 0, 1)
    return np.repeat(across[None], 32, axis=0)


@given(start=st.floats(2, 20), speed=st.floats(0, 9))
def test_motion_in_one_direction_is_no_flicker(start: float, speed: float) -> None:
    assert flicker(bar(start), bar(start + speed), bar(start + 2 * speed)) < 0.01


def test_flicker_of_one_frame_is_its_area_over_the_subjects() -> None:
    hole = bar(10).copy()
    hole[:16] = 0
    assert flicker(bar(10), hole, bar(10)) == pytest.approx(0.5, abs=0.02)
    assert flicker(hole, bar(10), hole) == pytest.approx(0.5, abs=0.02)
    assert flicker(bar(10), hole, hole) == 0


def test_noise_is_flicker_and_an_empty_alpha_has_none() -> None:
    rng = np.random.default_rng(1)
    noisy = [np.clip(bar(10) * 0.8 + rng.normal(0, 0.05, (32, 64)), 0, 1).astype(np.float32) for _ in range(3)]
    assert flicker(*noisy) > 0.02
    nothing = np.zeros((32, 64), np.float32)
    assert flicker(nothing, nothing, nothing) == 0
