# SPDX-License-Identifier: Apache-2.0
"""Guides: the band around their edge, and a guide that is somewhere else for a while."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from matanyone_engine.media.guides import (
    GuideFrame,
    best_frame,
    default_band,
    limits,
    outvoted,
    small,
)

SIDE = 200


def disc(x: float, radius: float = 50.0, y: float = 100.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (np.hypot(columns - x, rows - y) <= radius).astype(np.float32)


def test_the_band_is_left_to_the_network_on_both_sides_of_the_edge() -> None:
    found = limits(disc(100), [], 8)
    assert found is not None
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 100.0))
    assert (found.inside[distance < 41] == 1).all()
    assert (found.inside[distance > 43] == 0).all()
    assert (found.outside[distance < 57] == 0).all()
    assert (found.outside[distance > 59.5] == 1).all()
    assert not (found.inside * found.outside).any()


def test_the_band_of_a_soft_guide_begins_where_its_greys_end() -> None:
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 100.0))
    soft = np.clip(0.5 + (50.0 - distance) / 24.0, 0, 1).astype(np.float32)  # 0.75 at 44 pixels, 0.25 at 56
    found = limits(soft, [], 8)
    assert found is not None
    assert (found.inside[distance < 35] == 1).all()
    assert (found.inside[distance > 37] == 0).all()
    assert (found.outside[distance < 63] == 0).all()
    assert (found.outside[distance > 65.5] == 1).all()


def test_a_guide_leaves_its_greys_and_a_band_around_them_to_the_network() -> None:
    guide = disc(100)
    guide[90:110, 60:90] = 0.6
    guide[40:50, 170:180] = 0.4
    found, plain = limits(guide, [], 8), limits(disc(100), [], 8)
    assert found is not None
    assert plain is not None
    grey = (guide > 0.25) & (guide < 0.75)
    near = cv2.dilate(grey.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not (found.inside + found.outside)[near].any()
    far = cv2.dilate(grey.astype(np.uint8), np.ones((21, 21), np.uint8)) == 0
    assert np.array_equal(found.inside[far], plain.inside[far])
    assert np.array_equal(found.outside[far], plain.outside[far])


def test_the_band_is_wider_where_the_edge_moves_by_half_of_its_way() -> None:
    found = limits(disc(100), [GuideFrame(disc(80), 1), GuideFrame(disc(120), 1)], 8)
    assert found is not None
    across, down = found.inside[100], found.inside[:, 100]
    # Left and right the edge moves by 20 pixels in a frame: 10 more. Above and below it does not.
    assert abs(int(across.sum()) - 2 * (50 - 8 - 10)) <= 4
    assert int(down.sum()) > 2 * (50 - 8 - 5)
    slow = limits(disc(100), [GuideFrame(disc(80), 8)], 8)
    assert slow is not None
    assert abs(int(slow.inside[100].sum()) - 2 * (50 - 8 - 1)) <= 4


def test_the_border_of_the_picture_is_no_edge() -> None:
    half = np.zeros((20, 30), np.float32)
    half[:, :15] = 1
    found = limits(half, [], 5)
    assert found is not None
    assert (found.inside[:, :9] == 1).all()


def test_a_guide_that_is_white_everywhere_sets_no_limits() -> None:
    white = np.ones((SIDE, SIDE), np.float32)
    assert limits(white, [], 8) is None
    with_neighbour, alone = limits(disc(100), [GuideFrame(white, 1)], 8), limits(disc(100), [], 8)
    assert with_neighbour is not None
    assert alone is not None
    assert np.array_equal(with_neighbour.inside, alone.inside)


def test_an_empty_guide_sets_no_limits_and_an_empty_neighbour_is_ignored() -> None:
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert limits(nothing, [], 5) is None
    one, other = limits(disc(100), [GuideFrame(nothing, 1)], 5), limits(disc(100), [], 5)
    assert one is not None
    assert other is not None
    assert np.array_equal(one.inside, other.inside)


def track(*places: float, radius: float = 30.0) -> dict[int, np.ndarray]:
    return {frame: small(disc(x, radius)) for frame, x in enumerate(places, 1001)}


def test_a_guide_that_is_elsewhere_for_a_few_frames_is_outvoted_there() -> None:
    guides = track(*(50 + frame for frame in range(5)), *([150.0] * 5), *(60 + frame for frame in range(5)))
    assert outvoted(guides) == frozenset(range(1006, 1011))


def test_a_guide_that_leaps_for_good_is_not_outvoted() -> None:
    assert not outvoted(track(*([50.0] * 5), *([150.0] * 5)))
    long = track(*([40.0] * 3), *([150.0] * 13), *([40.0] * 3))
    assert not outvoted(long)
    assert outvoted(track(*([40.0] * 3), *([150.0] * 12), *([40.0] * 3))) == frozenset(range(1004, 1016))


def test_a_fast_guide_is_not_outvoted() -> None:
    assert not outvoted(track(*range(10, 190, 25), radius=10))


def test_sparse_frames_cannot_outvote_each_other() -> None:
    guides = track(50.0, 150.0, 50.0)
    assert outvoted(guides) == {1002}
    assert not outvoted({8 * frame: each for frame, each in guides.items()})


def test_outvoting_a_frame_depends_on_few_frames_around_it() -> None:
    rng = np.random.default_rng(4)
    places = [40.0]
    while len(places) < 120:
        places += [float(rng.choice([40.0, 150.0]))] * int(rng.integers(1, 15))
    guides = track(*places)
    whole = outvoted(guides)
    assert whole
    for first in range(1001, 1100, 7):
        part = {frame: each for frame, each in guides.items() if first - 14 <= frame <= first + 20 + 14}
        inside = range(first, first + 21)
        assert {frame for frame in inside if frame in outvoted(part)} == {frame for frame in inside if frame in whole}


def test_the_best_frame_shows_most_and_moves_least() -> None:
    guides = {frame: small(disc(100, radius)) for frame, radius in enumerate((20, 30, 50, 50, 50, 40), 1001)}
    assert best_frame(guides, range(1001, 1007)) == 1004
    assert best_frame(guides, (1001, 1002)) == 1002
    assert best_frame({}, (1001,)) is None
    leaping = track(*([50.0] * 4), 150.0, *([50.0] * 4))
    assert best_frame(leaping, (1005,)) is None


@pytest.mark.parametrize(("size", "band"), [((480, 270), 17), ((1920, 1080), 68), ((16, 16), 2)])
def test_the_band_of_a_plate_is_a_sixteenth_of_its_shorter_side(size: tuple[int, int], band: int) -> None:
    assert default_band(size) == band
