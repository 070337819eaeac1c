# SPDX-License-Identifier: Apache-2.0
"""Key masks that end a few pixels before the picture's border are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from matanyone_engine.media.mask_borders import Shortfall, shortfalls

HEIGHT, WIDTH = 200, 320
REACH = 4
"""A fiftieth of the shorter side."""


def body(gap: int = 0) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[60 : HEIGHT - gap, 100:180] = 1
    return mask


def disc(radius: int, x: int, y: int) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.float32)


@pytest.mark.parametrize("gap", range(1, REACH + 1))
def test_a_mask_that_ends_just_before_a_border_is_found(gap: int) -> None:
    assert shortfalls(body(gap)) == (Shortfall("lower", gap),)


@pytest.mark.parametrize(
    ("turned", "side"),
    [
        (lambda mask: mask[::-1], "upper"),
        (lambda mask: mask.T, "right"),
        (lambda mask: mask.T[:, ::-1], "left"),
    ],
)
def test_each_border_is_looked_at(turned: object, side: str) -> None:
    assert shortfalls(turned(body(2))) == (Shortfall(side, 2),)  # type: ignore[operator]


def test_a_mask_that_reaches_the_border_or_ends_far_from_it_is_not_found() -> None:
    assert not shortfalls(body())
    assert not shortfalls(body(REACH + 1))
    assert not shortfalls(np.ones((HEIGHT, WIDTH), np.float32))
    assert not shortfalls(np.zeros((HEIGHT, WIDTH), np.float32))


def test_a_part_of_the_mask_that_is_short_is_found() -> None:
    mask = body()
    mask[-3:, 120:150] = 0
    assert shortfalls(mask) == (Shortfall("lower", 3),)
    mask = body()
    mask[-3:, 120:126] = 0  # a notch that is narrower than twice the reach
    assert not shortfalls(mask)


def test_an_outline_that_is_drawn_by_hand_wavers() -> None:
    mask = body()
    for column in range(100, 180):
        mask[HEIGHT - (1, 2, 3, 2)[column // 3 % 4] :, column] = 0
    assert shortfalls(mask) == (Shortfall("lower", 2),)


def test_an_outline_that_slants_or_curves_into_the_border_is_not_found() -> None:
    slanting = np.zeros((HEIGHT, WIDTH), np.float32)
    for column in range(WIDTH):
        slanting[: HEIGHT - max(0, (column - 160) // 6), column] = 1
    assert not shortfalls(slanting[:, :200])
    assert not shortfalls(disc(60, 160, HEIGHT))


def test_half_is_the_edge_of_a_soft_mask() -> None:
    mask = body()
    mask[-2:] *= 0.4
    assert shortfalls(mask) == (Shortfall("lower", 2),)
    mask[-2:] *= 2
    assert not shortfalls(mask)


def test_the_words_say_how_many_pixels() -> None:
    assert Shortfall("lower", 1).words.startswith("the mask ends 1 pixel before the lower border of the picture: ")
    assert "2 pixels before" in Shortfall("left", 2).words
