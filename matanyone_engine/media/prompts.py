# SPDX-License-Identifier: Apache-2.0
"""Holds what an artist says of a subject with a few clicks: a box around it, strokes on it and beside it.

Rule of this file: everything is in plate pixels, counted from the top left of the display window, and checked against
the plate before anything is computed. Back ends (grabcut.py, sam2 in model/) get prompts that make sense.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matanyone_engine.errors import MaskError
from matanyone_engine.sizes import Resolution, Size

BRUSH = 0.01
"""Width of strokes where nobody says, as a part of the plate's shorter side."""

SHORTEST_SIDE = 360
"""Of a rough mask, at most. GrabCut takes seconds there, and on larger pictures it sees texture, not shapes."""
MOST_POINTS = 8
"""Of one stroke, for back ends that take points."""

Point = tuple[float, float]
"""x, y; the top left pixel reaches from 0, 0 to 1, 1."""


@dataclass(frozen=True)
class Stroke:
    """Holds a click, of one point, or a line, of several."""

    points: tuple[Point, ...]
    subject: bool = True
    """Whether it lies on the subject; else on what is not the subject."""

    @property
    def samples(self) -> tuple[Point, ...]:
        """Return a click itself, or MOST_POINTS evenly along a line."""
        at = np.array(self.points)
        if len(at) == 1:
            return self.points
        steps = np.hypot(*np.diff(at, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        wanted = np.linspace(0.0, along[-1], MOST_POINTS)
        xs, ys = (np.interp(wanted, along, at[:, axis]) for axis in (0, 1))
        return tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))

    def __str__(self) -> str:
        along = " ".join(f"{x:g},{y:g}" for x, y in self.points)
        return f"{along},{'+' if self.subject else '-'}"


@dataclass(frozen=True)
class Prompts:
    """Holds a box around the subject and strokes; either may be left out, not both."""

    box: tuple[int, int, int, int] | None = None
    """x0, y0, x1, y1; x1 and y1 lie outside. What is outside of the box is not the subject."""
    strokes: tuple[Stroke, ...] = ()
    """In the order in which they were drawn: later ones go over earlier ones."""
    brush: float | None = None
    """Width of strokes in plate pixels; None is BRUSH of the plate's shorter side."""

    def __str__(self) -> str:
        box = () if self.box is None else (f"box {','.join(map(str, self.box))}",)
        return "; ".join((*box, *(f"stroke {stroke}" for stroke in self.strokes)))

    @property
    def clicks(self) -> list[tuple[float, float, bool]]:
        """Returns the strokes as points x, y, and whether each lies on the subject."""
        return [(x, y, stroke.subject) for stroke in self.strokes for x, y in stroke.samples]

    def on(self, plate: Resolution, correcting: bool = False) -> Prompts:
        """Return the prompts as they apply to a plate of this size: box cut at its border, brush in pixels.

        correcting: there is a mask that is corrected, so any stroke will do.

        Raises MaskError: no box and nothing on the subject, a box that is empty or off the plate, points off the
        plate, strokes on the subject outside of the box, a brush that is no width.
        """
        box = None if self.box is None else _cut(self.box, plate)
        if box is None and not any(stroke.subject or correcting for stroke in self.strokes):
            raise _bad(
                "a box around the subject, or a stroke on it", "neither", "Give --box x0,y0,x1,y1 or --point x,y,+."
            )
        for stroke in self.strokes:
            _check_points(stroke.points, (0, 0, *plate), f"points on the plate, {plate} pixels")
            if box is not None and stroke.subject:
                _check_points(stroke.points, box, f"strokes on the subject inside the box {','.join(map(str, box))}")
        brush = BRUSH * min(plate) if self.brush is None else self.brush
        if not 0.0 < brush <= min(plate):
            raise _bad(
                f"a brush of more than 0 and at most {min(plate)} pixels", f"{brush:g}", "Choose a width in between."
            )
        return replace(self, box=box, brush=brush)


def rough_size(plate: Size) -> Size:
    """Return the size of a rough mask for a plate: its shape, SHORTEST_SIDE on the shorter side at most."""
    scale = min(1.0, SHORTEST_SIDE / min(plate))
    return Size(*(max(1, round(side * scale)) for side in plate))


def _cut(box: tuple[int, int, int, int], plate: Resolution) -> tuple[int, int, int, int]:
    """Return what of a box lies on the plate. Raises MaskError where nothing does."""
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        raise _bad("a box x0,y0,x1,y1 with x1 and y1 larger than x0 and y0", _said(box), "Draw it around the subject.")
    if x1 <= 0 or y1 <= 0 or x0 >= plate.width or y0 >= plate.height:
        raise _bad(f"a box on the plate, {plate} pixels", _said(box), "Count from the plate's top left.")
    return max(x0, 0), max(y0, 0), min(x1, plate.width), min(y1, plate.height)


def _check_points(points: Sequence[Point], within: tuple[int, int, int, int], expected: str) -> None:
    x0, y0, x1, y1 = within
    if not points:
        raise _bad("at least one point in each stroke", "a stroke without points", "Leave that stroke out.")
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y) and x0 <= x < x1 and y0 <= y < y1):
            raise _bad(expected, f"a point at {x:g},{y:g}", "Move the point, or draw the box larger.")


def _said(numbers: Iterable[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _bad(expected: str, came: str, action: str) -> MaskError:
    return MaskError(expected=expected, came=came, action=action)
