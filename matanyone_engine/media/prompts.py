# SPDX-License-Identifier: Apache-2.0
"""Holds prompts, by which an artist marks a subject: a box around it, and strokes on it and beside it.

Coordinates are in plate pixels, from the top left of the display window. They are checked against the plate before they
reach a back end (grabcut.py, sam2.py in model/).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matanyone_engine.errors import MaskError
from matanyone_engine.sizes import Resolution, Size

BRUSH = 0.01
"""The default width of strokes, as a part of the plate's shorter side."""

SHORTEST_SIDE = 360
"""The greatest shorter side of a rough mask, in pixels. GrabCut takes seconds at this size; in larger pictures, it
follows texture in place of shapes."""
MOST_POINTS = 8
"""The most points of one stroke that are given to a back end that takes points."""

Point = tuple[float, float]
"""x, y; the top left pixel extends from 0, 0 to 1, 1."""


@dataclass(frozen=True)
class Stroke:
    """Holds a click, which has one point, or a line, which has several."""

    points: tuple[Point, ...]
    subject: bool = True
    """Whether the stroke is on the subject; if not, it marks what is not the subject."""

    @property
    def samples(self) -> tuple[Point, ...]:
        """Return the point of a click, or MOST_POINTS points evenly spaced along a line."""
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
    """Holds a box around the subject, or strokes, or both."""

    box: tuple[int, int, int, int] | None = None
    """x0, y0, x1, y1 in plate pixels; x1 and y1 are exclusive. Nothing outside of the box is the subject."""
    strokes: tuple[Stroke, ...] = ()
    """Strokes in the order in which they were drawn: later ones cover earlier ones."""
    brush: float | None = None
    """Width of strokes in plate pixels; None is BRUSH times the plate's shorter side."""

    def __str__(self) -> str:
        box = () if self.box is None else (f"box {','.join(map(str, self.box))}",)
        return "; ".join((*box, *(f"stroke {stroke}" for stroke in self.strokes)))

    @property
    def clicks(self) -> list[tuple[float, float, bool]]:
        """Returns the strokes as points x, y, and whether each lies on the subject."""
        return [(x, y, stroke.subject) for stroke in self.strokes for x, y in stroke.samples]

    def on(self, plate: Resolution, correcting: bool = False) -> Prompts:
        """Return the prompts for a plate of this size, with the box cropped to the plate and the brush in pixels.

        correcting: whether the prompts correct a mask. Then neither a box nor a stroke on the subject is needed.

        Raises MaskError if there is no box and no stroke on the subject, if the box is empty or off the plate, for
        points off the plate, for strokes on the subject outside of the box, and for an impossible width of the brush.
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
    """Return the size of a rough mask for a plate: of the same proportions, and at most SHORTEST_SIDE on the shorter
    side.
    """
    scale = min(1.0, SHORTEST_SIDE / min(plate))
    return Size(*(max(1, round(side * scale)) for side in plate))


def _cut(box: tuple[int, int, int, int], plate: Resolution) -> tuple[int, int, int, int]:
    """Return the part of a box that lies on the plate. Raises MaskError if there is none."""
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
