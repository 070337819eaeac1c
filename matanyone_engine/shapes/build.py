# SPDX-License-Identifier: Apache-2.0
"""Makes the shapes of a shot from its alphas: outlines, followed through time, with few points and few keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.feather import inwards, widths
from matanyone_engine.shapes.fit import Fit, marks_of
from matanyone_engine.shapes.follow import Flow, OutlineTrack, tracks
from matanyone_engine.shapes.keys import chosen, samples_of
from matanyone_engine.shapes.outline import ClosedLine, outlines
from matanyone_engine.shapes.shape import Numbers, Shape, ShapeKey, area
from matanyone_engine.shapes.smooth import smoothed

ShapeAlpha = npt.NDArray[np.float32]

ERROR = 0.5
SMALLEST = 0.0002
"""Of the picture: smaller islands and holes are left out."""
SHORTEST = 3
"""Frames for which a shape has to exist, unless it is a large one."""
LARGE = 0.1
"""Of all that is inside the outlines of a frame: a shape that covers more is kept, however short it exists."""
_POINTS_SHARE = 0.6
"""Of the error: what the points of a frame may use up; the rest is for the frames between keys."""
_SMOOTH_SHARE = 0.8
"""Of the error: what a frame may use up whose points were made smooth."""
_WIDEST_PIXELS = 6.0
_WIDEST = 0.01
"""Of the picture's shorter side: the widest feather, where that is more than so many pixels."""


@dataclass(frozen=True)
class ShapeRules:
    """Holds what decides which shapes there are and how many points they have."""

    error: float = ERROR
    """Pixels by which shape and outline may lie apart, on any frame."""
    smallest: float = SMALLEST
    """Of the picture: islands and holes below it are left out."""
    smooth: float = 0.0
    """Pixels (the standard deviation of a Gaussian) over which the alpha is blurred before its outline is taken."""
    feather: bool = True


def follow_outlines(
    alphas: Iterable[tuple[int, ShapeAlpha]], flow: Flow, rules: ShapeRules
) -> tuple[list[OutlineTrack], list[OutlineTrack]]:
    """Follow the outlines of a shot through time; return those that become shapes, and those that are left out.

    alphas: frame and alpha (H, W) 0..1, in order. flow: where places of a frame are on the next one.
    """

    def found() -> Iterator[tuple[int, list[ClosedLine]]]:
        for frame, alpha in alphas:
            yield frame, outlines(_smoothed(alpha, rules.smooth), rules.smallest * alpha.size)

    followed = tracks(found(), flow)
    kept = _lasting(followed)
    return kept, [track for track in followed if all(track is not each for each in kept)]


def _smoothed(alpha: ShapeAlpha, by: float) -> ShapeAlpha:
    """Blur an alpha; beyond the border it goes on as it is there, so that what touches the border still does."""
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), by, borderType=cv2.BORDER_REPLICATE)) if by else alpha


def _lasting(followed: list[OutlineTrack]) -> list[OutlineTrack]:
    """Return the tracks that are long, or large."""
    covered: dict[int, float] = {}
    for track in followed:
        for frame, line in zip(track.frames, track.lines, strict=True):
            covered[frame] = covered.get(frame, 0.0) + abs(area(line))

    def large(track: OutlineTrack) -> bool:
        shares = (abs(area(line)) / covered[frame] for frame, line in zip(track.frames, track.lines, strict=True))
        return max(shares) > LARGE

    return [track for track in followed if len(track.frames) >= SHORTEST or large(track)]


def shape_of(number: int, track: OutlineTrack, alpha_of: Callable[[int], ShapeAlpha], rules: ShapeRules) -> Shape:
    """Return the shape of an outline. number: for its name. alpha_of: frame -> alpha (H, W), for the feather."""
    fit = Fit(track)
    marks = marks_of(fit, rules.error * _POINTS_SHARE)
    samples = samples_of(track, marks)
    points = smoothed(_points(fit, marks), samples, rules.error * _SMOOTH_SHARE)
    keyed = chosen(samples, points, rules.error)
    keys = tuple(_key(track.frames[each], points[each], alpha_of, rules.feather) for each in keyed)
    return Shape(f"{'hole' if track.depth % 2 else 'shape'}{number}", track.depth, track.frames[-1], keys)


def _points(fit: Fit, marks: list[float]) -> Numbers:
    """Return (frames, points, 3, 2): the splines that go through the marks."""
    corners = np.stack(
        [fit.piece(mark, marks[(each + 1) % len(marks)]).corners for each, mark in enumerate(marks)], axis=1
    )
    before = np.roll(corners, 1, axis=1)
    return np.stack([before[:, :, 2], corners[:, :, 0], corners[:, :, 1]], axis=2)


def _key(frame: int, points: Numbers, alpha_of: Callable[[int], ShapeAlpha], feather: bool) -> ShapeKey:
    if not feather:
        return ShapeKey(frame, points, np.zeros(len(points)))
    alpha = alpha_of(frame)
    soft = widths(alpha, points, max(_WIDEST_PIXELS, min(alpha.shape) * _WIDEST))
    return ShapeKey(frame, inwards(points, soft / 2), soft)
