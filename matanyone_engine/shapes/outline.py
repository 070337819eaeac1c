# SPDX-License-Identifier: Apache-2.0
"""Finds the outlines of an alpha: closed lines along which it is one half, exact to parts of a pixel.

It walks through the squares between four pixels (marching squares). An outline is clockwise on the screen around an
island, and the other way around a hole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.shape import Numbers, area

PixelNumbers = npt.NDArray[np.signedinteger[Any]]

LEVEL = 0.5

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_WAYS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((_LEFT, _BOTTOM),),
    2: ((_BOTTOM, _RIGHT),),
    3: ((_LEFT, _RIGHT),),
    4: ((_RIGHT, _TOP),),
    6: ((_BOTTOM, _TOP),),
    7: ((_LEFT, _TOP),),
    8: ((_TOP, _LEFT),),
    9: ((_TOP, _BOTTOM),),
    11: ((_TOP, _RIGHT),),
    12: ((_RIGHT, _LEFT),),
    13: ((_RIGHT, _BOTTOM),),
    14: ((_BOTTOM, _LEFT),),
}
"""Which of a square's corners are inside (8 top left, 4 top right, 2 bottom right, 1 bottom left) -> from which of its
sides to which the outline goes, with what is inside on its right."""
_CROSSED = {
    (5, True): ((_LEFT, _TOP), (_RIGHT, _BOTTOM)),
    (5, False): ((_RIGHT, _TOP), (_LEFT, _BOTTOM)),
    (10, True): ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
    (10, False): ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
}
"""The same where two opposite corners are inside: it depends on whether the middle of the square is."""


class ClosedLine(NamedTuple):
    """Holds one closed line around an island or a hole."""

    line: Numbers
    """(n, 2) in pixels as in shape.py, about one point a pixel; the last one is followed by the first."""
    depth: int
    """How many other outlines are around it."""


def outlines(alpha: npt.NDArray[np.float32], smallest: float) -> list[ClosedLine]:
    """Return the outlines of an alpha (H, W) 0..1, the largest first. smallest: area in pixels below which none counts.

    The border of the picture is an edge: what touches it is closed along it.
    """
    padded = np.pad(np.asarray(alpha, np.float64), 1)
    lines = [line for line in _lines(padded) if abs(area(line)) >= smallest]
    lines.sort(key=lambda line: -abs(area(line)))
    return [ClosedLine(line, depth) for line, depth in zip(lines, _depths(lines), strict=True)]


def _lines(padded: Numbers) -> list[Numbers]:
    follows = _steps(padded)
    found = []
    while follows:
        first, at = follows.popitem()
        walked = [first]
        while at != first:
            walked.append(at)
            at = follows.pop(at)
        found.append(_places(padded, np.array(walked)))
    return found


def _steps(padded: Numbers) -> dict[int, int]:
    """Return for each crossing between two pixels the one that follows it along the outline."""
    inside = padded > LEVEL
    corners = 8 * inside[:-1, :-1] + 4 * inside[:-1, 1:] + 2 * inside[1:, 1:] + inside[1:, :-1]
    follows: dict[int, int] = {}
    for case, ways in _WAYS.items():
        rows, columns = np.nonzero(corners == case)
        for begin, end in ways:
            _add(follows, padded.shape[1], rows, columns, begin, end)
    for case in (5, 10):
        rows, columns = np.nonzero(corners == case)
        middle = (padded[rows, columns] + padded[rows, columns + 1]) / 4
        middle += (padded[rows + 1, columns] + padded[rows + 1, columns + 1]) / 4
        for joined in (True, False):
            these = (middle > LEVEL) == joined
            for begin, end in _CROSSED[case, joined]:
                _add(follows, padded.shape[1], rows[these], columns[these], begin, end)
    return follows


def _add(follows: dict[int, int], width: int, rows: PixelNumbers, columns: PixelNumbers, begin: int, end: int) -> None:
    numbers = (_crossing(width, rows, columns, side).tolist() for side in (begin, end))
    follows.update(zip(*numbers, strict=True))


def _crossing(width: int, rows: PixelNumbers, columns: PixelNumbers, side: int) -> npt.NDArray[np.int64]:
    """Number the sides of squares: even between a pixel and the one right of it, odd and the one below it."""
    rows = rows + (side == _BOTTOM)
    columns = columns + (side == _RIGHT)
    return np.asarray(2 * (rows * width + columns) + (side in (_LEFT, _RIGHT)), np.int64)


def _places(padded: Numbers, crossings: npt.NDArray[np.int64]) -> Numbers:
    """Return (n, 2) where an alpha is one half between the two pixels of each crossing."""
    down = crossings % 2
    rows, columns = np.divmod(crossings // 2, padded.shape[1])
    here, there = padded[rows, columns], padded[rows + down, columns + 1 - down]
    share = (LEVEL - here) / (there - here)
    middle = np.stack([columns, rows], axis=1) - 0.5  # less the padding, plus half a pixel
    return np.asarray(middle + np.stack([share * (1 - down), share * down], axis=1))


def _depths(lines: list[Numbers]) -> list[int]:
    """Count for each line how many of the others, which are larger, are around it."""
    floats = [line.astype(np.float32) for line in lines]
    return [
        sum(cv2.pointPolygonTest(floats[other], (float(x), float(y)), False) > 0 for other in range(number))
        for number, (x, y) in enumerate(line[0] for line in lines)
    ]
