# SPDX-License-Identifier: Apache-2.0
"""Alphas that are solved along the plate: nearer to the truth inside the area, untouched outside of it."""

from __future__ import annotations

import importlib.util
import os

import cv2
import numpy as np
import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.media import solve_area
from matanyone_engine.media.solve_area import SolutionBefore, faded, require_solver, solutions

os.environ["NUMBA_DISABLE_JIT"] = "1"  # pymatting is tested as Python: compiling it takes seconds

HEIGHT, WIDTH = 20, 28


def strands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a plate (H, W, 3) of strands below a solid head, their true alpha, and a network's blurred one."""
    x = np.arange(WIDTH, dtype=np.float32)
    truth = np.tile(0.5 - 0.5 * np.cos(2 * np.pi * x / 7), (HEIGHT, 1)).astype(np.float32)
    truth[:8] = 1.0
    hair, wall = np.array([0.2, 0.1, 0.05]), np.array([0.6, 0.8, 0.9])
    plate = (truth[..., None] * hair + (1 - truth[..., None]) * wall).astype(np.float32)
    soft = cv2.GaussianBlur(truth, (0, 0), 2.0)
    soft[:6] = 1.0
    return plate, truth, soft


def middle() -> np.ndarray:
    area = np.zeros((HEIGHT, WIDTH), np.float32)
    area[4:16, 5:23] = 1.0
    return area


def test_strands_that_the_network_blurred_come_back_and_the_rest_stays() -> None:
    plate, truth, soft = strands()
    area = middle()
    (found,) = solutions(plate, soft, area, [None])
    inside = area > 0
    assert np.array_equal(found[~inside], soft[~inside])
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    before, after = (np.abs(each - truth)[inside].mean() for each in (soft, found))
    assert after < 0.8 * before


def test_tiles_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    plate, _, soft = strands()
    (whole,) = solutions(plate, soft, middle(), [None])
    monkeypatch.setattr(solve_area, "TILE", 10)
    monkeypatch.setattr(solve_area, "OVERLAP", 10)
    (tiled,) = solutions(plate, soft, middle(), [None])
    assert 0 < np.abs(tiled - whole).max() < 0.01


def test_the_solution_of_the_frame_before_counts_where_the_plates_match() -> None:
    plate = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)  # a plate that says nothing
    soft, area = np.full((HEIGHT, WIDTH), 0.5, np.float32), middle()
    one, none = np.ones_like(soft), np.zeros_like(soft)
    alone, matched, unlike = solutions(plate, soft, area, [None, SolutionBefore(one, one), SolutionBefore(one, none)])
    assert np.allclose(alone, 0.5, atol=1e-4)
    assert (matched[6:14, 8:20] > 0.505).all()
    assert np.allclose(unlike, alone, atol=1e-4)


def test_a_soft_area_fades_the_solution_in() -> None:
    alpha, solution = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert faded(alpha, solution, np.array([[0.0, 0.25, 1.0]], np.float32)).tolist() == [[0.0, 0.25, 1.0]]


def test_a_plain_alpha_of_a_plain_plate_is_its_own_solution() -> None:
    plate, alpha = np.zeros((HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    (found,) = solutions(plate, alpha, middle(), [None])
    assert not found.any()


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_solver()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingError, match=r"pymatting") as caught:
        require_solver()
    assert "pip install 'matanyone-engine[refine]'" in caught.value.action
