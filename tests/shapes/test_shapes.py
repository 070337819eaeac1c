# SPDX-License-Identifier: Apache-2.0
"""Shapes of alphas: where their outlines are, that they stay within the error, and that points and keys are few."""

from __future__ import annotations

import numpy as np
import pytest
from shaped import DISC_FROM, FRAMES, SIZE, alpha_of, disc, shapes

from matanyone_engine.shapes.build import ShapeRules, follow_outlines, shape_of
from matanyone_engine.shapes.draw import drawn
from matanyone_engine.shapes.fit import WORST, fitted, score
from matanyone_engine.shapes.flow import AlphaFlow
from matanyone_engine.shapes.keys import distances
from matanyone_engine.shapes.nuke import point_keys, smooth, straight
from matanyone_engine.shapes.outline import outlines
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, ShapeSet, area, bernstein


def radii(line: np.ndarray, x: float, y: float) -> np.ndarray:
    return np.hypot(*(line - (x, y)).T)


def test_outlines_are_exact_to_parts_of_a_pixel_and_know_what_is_around_them() -> None:
    alpha = disc(80, 60, 40) - disc(80, 60, 25) + disc(80, 60, 10)
    found = outlines(alpha, smallest=20)
    assert [outline.depth for outline in found] == [0, 1, 2]
    for outline, radius in zip(found, (40, 25, 10), strict=True):
        assert np.abs(radii(outline.line, 80, 60) - radius).max() < 0.15
    assert [area(outline.line) > 0 for outline in found] == [True, False, True]


def test_an_outline_is_closed_along_the_border_and_specks_are_left_out() -> None:
    alpha = np.zeros(SIZE, np.float32)
    alpha[60:, :50] = 1
    alpha[5, 150] = 1
    (outline,) = outlines(alpha, smallest=20)
    assert area(outline.line) == pytest.approx(60 * 50, abs=1)
    assert outline.line.min(axis=0) == pytest.approx([0, 60])
    assert outline.line.max(axis=0) == pytest.approx([50, 120])


def test_pixels_that_touch_at_a_corner_make_closed_outlines() -> None:
    alpha = np.zeros((8, 8), np.float32)
    alpha[2:4, 2:4] = alpha[4:6, 4:6] = 1
    found = outlines(alpha, smallest=0)
    assert sum(area(outline.line) for outline in found) == pytest.approx(7), (
        "two squares of 4 pixels, each corner cut by an eighth"
    )


def test_a_cubic_is_found_again_from_places_on_it() -> None:
    truth = np.array([[[0, 0], [10, 30], [40, 30], [60, 0]]], np.float64)
    places = bernstein(np.linspace(0, 1, 50)) @ truth
    corners, off = fitted(places)
    assert off.max() < 0.2
    assert np.array_equal(corners[:, [0, 3]], truth[:, [0, 3]])


def test_a_far_place_counts_by_a_quarter() -> None:
    even, one = np.full(8, 0.5), np.array([0, 0, 0, 0, 0, 0, 0, 4.0])
    assert score(even) == pytest.approx(0.5)
    assert score(one) == pytest.approx(max(np.sqrt(2), 4 / WORST))


def test_a_ring_that_moves_and_grows_needs_few_points_and_its_ends_as_keys() -> None:
    made = shapes().shapes
    assert [(shape.depth, shape.first, shape.last) for shape in made.shapes] == [
        (0, FRAMES[0], FRAMES[-1]),
        (1, FRAMES[0], FRAMES[-1]),
        (0, DISC_FROM, FRAMES[-1]),
    ]
    for shape in made.shapes:
        assert len({key.points.shape for key in shape.keys}) == 1
        assert len(shape.keys[0].points) <= 8
        assert len(shape.keys) <= 3


@pytest.mark.parametrize("feather", [True, False])
def test_shapes_drawn_again_are_the_alphas(feather: bool) -> None:
    made = shapes(ShapeRules(feather=feather)).shapes
    for frame in FRAMES:
        again, alpha = drawn(made, frame), alpha_of(frame)
        both, either = (again > 0.5) & (alpha > 0.5), (again > 0.5) | (alpha > 0.5)
        assert both.sum() / either.sum() > 0.98
        assert np.abs(again - alpha).mean() < (0.005 if feather else 0.02)


def test_every_frame_is_within_the_error_between_keys_too() -> None:
    made = shapes(ShapeRules(feather=False)).shapes
    ring = made.shapes[0]
    for frame in FRAMES:
        there = ring.at(frame)
        assert there is not None
        angles = np.linspace(0, 2 * np.pi, 400)
        step = frame - FRAMES[0]
        places = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (30 + step) + (50 + 3 * step, 60)
        everywhere = np.broadcast_to(places, (len(there.points), *places.shape))
        off = distances(everywhere, there.points).min(axis=0)
        assert np.sqrt((off**2).mean()) < made.error
        assert off.max() < WORST * made.error


def test_smooth_points_have_their_handles_on_one_line() -> None:
    key = shapes(ShapeRules(feather=False)).shapes.shapes[0].keys[0]
    back, ahead = key.points[:, CENTRE] - key.points[:, LEFT], key.points[:, RIGHT] - key.points[:, CENTRE]
    crossed = back[:, 0] * ahead[:, 1] - back[:, 1] * ahead[:, 0]
    assert np.abs(crossed / np.hypot(*back.T) / np.hypot(*ahead.T)).max() < 1e-6


def test_a_shape_that_touches_the_border_is_hard_there() -> None:
    alpha = np.zeros(SIZE, np.float32)
    alpha[60:, :80] = np.clip((80 - np.arange(80) - 0.5) / 6, 0, 1)
    (track,), _ = follow_outlines([(1, alpha)], lambda _, places: places, ShapeRules())
    shape = shape_of(1, track, lambda _: alpha, ShapeRules())
    again = drawn(ShapeSet(SIZE.resolution, (1,), (shape,), 0.5), 1)
    assert again[-1, 2:60].min() > 0.9
    assert again[62:118, 0].min() > 0.7


def test_small_outlines_that_come_and_go_are_left_out_and_counted() -> None:
    flashes = [
        np.maximum(disc(60, 60, 30), disc(140, 20, 6)) if frame == 1002 else disc(60, 60, 30) for frame in FRAMES
    ]
    numbered = list(zip(FRAMES, flashes, strict=True))
    kept, left_out = follow_outlines(numbered, lambda frame, places: places, ShapeRules())
    assert [len(track.frames) for track in kept] == [len(FRAMES)]
    assert [track.frames for track in left_out] == [[1002]]


def test_a_hole_that_opens_from_a_few_pixels_is_one_shape_from_its_first_frame_on() -> None:
    # From radius 3 to 5 its area nearly triples, while its edge moves by two pixels.
    opening = [disc(60, 60, 40) - disc(60, 60, 3 + 2 * step) for step in range(len(FRAMES))]
    kept, left_out = follow_outlines(list(zip(FRAMES, opening, strict=True)), lambda _, places: places, ShapeRules())
    assert [(track.depth, tuple(track.frames)) for track in kept] == [(0, FRAMES), (1, FRAMES)]
    assert not left_out


def test_marks_stay_in_order_and_on_the_same_part() -> None:
    numbered = [(frame, disc(40 + 4 * frame, 60, 30) - disc(40 + 4 * frame + 30, 60, 12)) for frame in range(8)]
    alphas = dict(numbered)
    (track,), _ = follow_outlines(numbered, AlphaFlow(alphas.__getitem__), ShapeRules())
    assert all((np.diff(places) > 0).all() for places in track.places)
    first, last = (track.points(number, track.places[number]) for number in (0, 7))
    assert np.hypot(*(last - first - (28, 0)).T).mean() < 2


def test_a_missing_frame_ends_a_shape_and_begins_another() -> None:
    frames = [1, 2, 3, 7, 8, 9]
    kept, _ = follow_outlines(((frame, disc(60, 60, 30)) for frame in frames), lambda _, places: places, ShapeRules())
    assert [track.frames for track in kept] == [[1, 2, 3], [7, 8, 9]]


def test_a_points_keys_hold_on_straight_lines_and_on_smooth_ones() -> None:
    rows = np.arange(40, dtype=np.float64)
    values = np.stack([rows * 0, rows * 0, np.abs(rows - 20) * 3, rows, *([rows * 0] * 4)], axis=1)
    keyed = point_keys(values, 0.25)
    for way in (straight, smooth):
        assert np.abs(way(keyed, values) - values)[:, 2:4].max() <= 0.25
    assert len(keyed) < 12
    assert point_keys(values[:1], 0.25) == [0]
