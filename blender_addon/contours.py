# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws outlines around a mask's picture with few points, for splines that an artist can edit. It does not import bpy.

picture -> where it is one half -> closed lines around its pixels -> the same with few points
"""

from __future__ import annotations

from typing import Any

Point = tuple[float, float]

SMALLEST_PART = 0.002
"""Islands and holes that are a smaller part of the picture are left out."""


def outlines(values: Any, tolerance: float = 1.5, most: int = 400) -> list[list[Point]]:
    """Return closed outlines of what is above one half, x and y in pixels from the corner of the first row.

    values: numpy, (height, width), 0 to 1. tolerance: how far, in pixels, an outline may lie from the pixels' edge; it
    is doubled until all have `most` points together at most. Where the first row is the lowest, outlines of islands
    run clockwise, and those of holes the other way.
    """
    loops = [loop for loop in _loops(values > 0.5) if abs(_area(loop)) >= SMALLEST_PART * values.size]
    while True:
        found = [_few(loop, tolerance) for loop in loops]
        if sum(map(len, found)) <= most or tolerance > max(values.shape):
            return [loop for loop in found if len(loop) > 2]
        tolerance *= 2


def _loops(inside: Any) -> list[list[Point]]:
    """Return the lines between pixels inside and outside, each closed and with the inside on its left."""
    follows = _edges(inside)
    loops = []
    while follows:
        first = at = next(iter(follows))
        loop: list[Point] = []
        before = None
        while True:
            ends = follows[at]
            after = ends.pop() if len(ends) == 1 else _turned(ends, before, at)
            if not ends:
                del follows[at]
            loop.append(at)
            before, at = at, after
            if at == first:
                break
        loops.append(loop)
    return loops


def _edges(inside: Any) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Map each corner of a pixel to the corners that an outline goes to from there; there are two where pixels touch at
    a corner only.
    """
    import numpy as np

    padded = np.pad(inside, 1)
    follows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    across, down = padded[1:] != padded[:-1], padded[:, 1:] != padded[:, :-1]
    for y, x in np.argwhere(across).tolist():  # between row y - 1 and row y of the picture
        ends = ((x, y), (x - 1, y)) if padded[y, x] else ((x - 1, y), (x, y))
        follows.setdefault(ends[0], []).append(ends[1])
    for y, x in np.argwhere(down).tolist():
        ends = ((x, y - 1), (x, y)) if padded[y, x] else ((x, y), (x, y - 1))
        follows.setdefault(ends[0], []).append(ends[1])
    return follows


def _turned(ends: list[tuple[int, int]], before: Point | None, at: tuple[int, int]) -> tuple[int, int]:
    """Return the one of two ways on that turns left, so that pixels that touch at a corner only stay apart."""
    if before is None:
        return ends.pop()
    came = at[0] - before[0], at[1] - before[1]
    ends.sort(key=lambda end: came[0] * (end[1] - at[1]) - came[1] * (end[0] - at[0]))
    return ends.pop()


def _area(loop: list[Point]) -> float:
    """Return the area in pixels, with a sign that tells which way around the line runs."""
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(loop, loop[1:] + loop[:1], strict=True)) / 2


def _few(loop: list[Point], tolerance: float) -> list[Point]:
    """Return the same outline with only the points that it needs, by the method of Ramer, Douglas and Peucker."""
    import numpy as np

    points = np.asarray(loop, dtype=np.float64)
    points = (points + np.roll(points, -1, axis=0)) / 2  # middles of the steps: no staircase
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    keep = {0, far}
    spans = [(0, far), (far, len(points))]
    ring = np.concatenate([points, points[:1]])
    while spans:
        begin, end = spans.pop()
        if end - begin < 2:
            continue
        distance = _distances(ring[begin + 1 : end], ring[begin], ring[end])
        furthest = int(np.argmax(distance))
        if distance[furthest] > tolerance:
            middle = begin + 1 + furthest
            keep.add(middle)
            spans += [(begin, middle), (middle, end)]
    return [(float(x), float(y)) for x, y in points[sorted(keep)]]


def _distances(points: Any, begin: Any, end: Any) -> Any:
    """Return how far points are from a line through two; from the first where both are the same."""
    import numpy as np

    along = end - begin
    length = float(np.hypot(*along))
    if length == 0:
        return np.hypot(*(points - begin).T)
    return np.abs((points - begin) @ np.array([-along[1], along[0]])) / length
