# SPDX-License-Identifier: Apache-2.0
"""Defines what a shape is: a closed spline with the same points through all its frames, keyed on some of them.

Positions are in pixels: x to the right, y down, (0, 0) the top left corner of the top left pixel. Whatever writes a
file for a program converts them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from matanyone_engine.sizes import Resolution

Numbers = npt.NDArray[np.float64]

LEFT, CENTRE, RIGHT = 0, 1, 2
"""Of a spline point: the handle before it, the point itself, and the handle after it, along the spline."""


class ShapeKey(NamedTuple):
    """Holds where the points of a shape are on one frame."""

    frame: int
    points: Numbers
    """(points, 3, 2): LEFT, CENTRE and RIGHT of each point, x and y, all absolute."""
    feather: Numbers
    """(points,): for how many pixels outwards of the spline the shape fades from 1 to 0."""


@dataclass(frozen=True)
class Shape:
    """Holds one closed spline: an island, or a hole in one."""

    name: str
    depth: int
    """0 is an island, 1 a hole in it, 2 an island in that hole, and so on."""
    last: int
    """The last frame on which the shape exists; the first one is that of its first key."""
    keys: tuple[ShapeKey, ...] = field(repr=False)
    """In order of frames; between two of them all points move on straight lines at an even speed."""

    @property
    def first(self) -> int:
        """Return the first frame on which the shape exists."""
        return self.keys[0].frame

    @property
    def hole(self) -> bool:
        """Return whether the shape takes away from what is around it."""
        return self.depth % 2 == 1

    def at(self, frame: float) -> ShapeKey | None:
        """Return where the points are on a frame; None where the shape does not exist."""
        if not self.first <= frame <= self.last:
            return None
        after = bisect_right([key.frame for key in self.keys], frame)
        if after == len(self.keys):
            return self.keys[-1]
        return between(self.keys[after - 1], self.keys[after], frame)


@dataclass(frozen=True)
class ShapeSet:
    """Holds all shapes of a shot."""

    size: Resolution
    frames: tuple[int, ...]
    shapes: tuple[Shape, ...]
    error: float
    """How far, in pixels, the outline of an alpha may lie from the shapes."""


def between(before: ShapeKey, after: ShapeKey, frame: float) -> ShapeKey:
    """Return where the points are on a frame between two keys."""
    share = (frame - before.frame) / (after.frame - before.frame)
    return ShapeKey(
        round(frame),
        before.points + share * (after.points - before.points),
        before.feather + share * (after.feather - before.feather),
    )


def curve(points: Numbers, steps: int) -> Numbers:
    """Return (points * steps, 2): a closed spline as a polygon of so many straight lines between two points."""
    return pieces(points, steps)[:, :-1].reshape(-1, 2)


def pieces(points: Numbers, steps: int) -> Numbers:
    """Return (points, steps + 1, 2): each piece of a closed spline, from its point to the next one."""
    then = np.roll(points, -1, axis=0)
    corners = np.stack([points[:, CENTRE], points[:, RIGHT], then[:, LEFT], then[:, CENTRE]], axis=1)
    return np.asarray(np.einsum("tc,kcd->ktd", bernstein(np.linspace(0, 1, steps + 1)), corners))


def bernstein(places: Numbers) -> Numbers:
    """Return (..., 4): how much each of a cubic's four points counts at places 0..1 along it."""
    rest = 1 - places
    return np.stack([rest**3, 3 * rest**2 * places, 3 * rest * places**2, places**3], axis=-1)


def area(polygon: Numbers) -> float:
    """Return the signed area of a polygon (n, 2) in square pixels: positive where it runs clockwise on the screen."""
    x, y = polygon.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
