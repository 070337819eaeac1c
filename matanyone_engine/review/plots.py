# SPDX-License-Identifier: Apache-2.0
"""Draws the plots of a review's page as SVG inside HTML: values go in, text comes out.

A plot is drawn in its own units and stretched to the page. Lines keep their width. Text and marks are HTML elements
above the plot, so that they are not stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.review.review import Stretch, Track

_ACROSS, _UP = 1000.0, 100.0
"""Units of a plot."""
_MOST_TICKS = 14
_LEAST_FLICKER = 0.03
"""Of a whole plot: a quiet matte is to look quiet."""


class Axis:
    """Places frames from left to right, one cell for each."""

    def __init__(self, frames: Sequence[int]) -> None:
        self.first, self.last = frames[0], frames[-1]
        self.cell = _ACROSS / (self.last - self.first + 1)

    def left(self, frame: int) -> float:
        """Return where the cell of a frame begins, in units of the plot."""
        return round((frame - self.first) * self.cell, 3)

    def middle(self, frame: int) -> float:
        """Return the middle of a frame's cell, in units of the plot."""
        return round((frame - self.first + 0.5) * self.cell, 3)

    def percent(self, frame: int) -> float:
        """Return the middle of a frame's cell in percent of the plot's width."""
        return round(100 * self.middle(frame) / _ACROSS, 3)

    def ticks(self) -> str:
        """Return the axis as HTML: the first frame number, and round ones after it."""
        span = self.last - self.first
        step = next(step for k in range(8) for n in (1, 2, 5) if span / (step := n * 10**k) <= _MOST_TICKS)
        numbers = [n for n in range(self.first, self.last + 1) if n % step == 0 and n - self.first >= step]
        marks = "".join(f'<span style="left:{self.percent(n)}%">{n}</span>' for n in (self.first, *numbers))
        return f'<div class="axis">{marks}</div>'


def _svg(inside: str) -> str:
    return f'<svg viewBox="0 0 {_ACROSS:g} {_UP:g}" preserveAspectRatio="none" aria-hidden="true">{inside}</svg>'


def heat() -> str:
    """Return the gradient that colours a line by its height; a page needs it once."""
    return (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
        f'<linearGradient id="heat" gradientUnits="userSpaceOnUse" x1="0" y1="0" x2="0" y2="{_UP:g}">'
        '<stop offset="0.2" stop-color="var(--good)"/><stop offset="0.42" stop-color="var(--warn)"/>'
        '<stop offset="0.6" stop-color="var(--bad)"/></linearGradient></defs></svg>'
    )


def confidence_plot(track: Track, axis: Axis, doubtful: Sequence[Stretch]) -> str:
    """Draw confidence as a line, coloured by its height, over shaded doubtful stretches."""
    points = [
        (axis.middle(n), _UP - _UP * each.confidence) for n, each in track.frames.items() if each.confidence is not None
    ]
    shade = "".join(
        f'<rect x="{axis.left(each.first)}" y="0" width="{axis.left(each.last + 1) - axis.left(each.first):.3f}" '
        f'height="{_UP:g}" fill="var(--shade)"/>'
        for each in doubtful
    )
    level = _UP - _UP * DOUBTFUL
    return _svg(
        f'{shade}<line x1="0" x2="{_ACROSS:g}" y1="{level:g}" y2="{level:g}" stroke="var(--dim)" '
        'stroke-dasharray="3 4" vector-effect="non-scaling-stroke" opacity=".6"/>'
        + "".join(_line(run, "url(#heat)", 2.0) for run in _without_gaps(points, axis.cell))
    )


def _without_gaps(points: Sequence[tuple[float, float]], cell: float) -> Iterator[list[tuple[float, float]]]:
    """Split points where frames are missing, so that no line is drawn across them."""
    run: list[tuple[float, float]] = []
    for point in points:
        if run and point[0] - run[-1][0] > 1.5 * cell:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    """Draw a line through points, never quite level: a gradient does not show on a box without height."""
    path = " ".join(f"{x:g},{y + 0.01 * (k % 2):.2f}" for k, (x, y) in enumerate(points))
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round" '
        'vector-effect="non-scaling-stroke"/>'
    )


def flicker_plot(track: Track, axis: Axis, most: float) -> str:
    """Draw flicker as a bar for each frame."""
    scale = 0.94 * _UP / max(most, _LEAST_FLICKER)
    steps = "".join(
        f"M{axis.left(n):g},{_UP:g}v-{scale * each.flicker:.2f}h{axis.cell:.3f}v{scale * each.flicker:.2f}z"
        for n, each in track.frames.items()
        if each.flicker
    )
    return _svg(f'<path d="{steps}" fill="var(--flicker)"/>')


def coverage_plot(track: Track, axis: Axis) -> str:
    """Draw the object's area as a line whose highest point is near the top."""
    most = max((each.coverage for each in track.frames.values() if each.coverage), default=1.0)
    points = [(axis.middle(n), _UP - 0.9 * _UP * each.coverage / most) for n, each in track.frames.items()]
    return _svg("".join(_line(run, "var(--area)", 1.5) for run in _without_gaps(points, axis.cell)))
