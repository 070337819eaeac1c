# SPDX-License-Identifier: Apache-2.0
"""Turns and mirrors movie frames the way that their file says players must show them.

A phone stores what its sensor sees and writes beside it how that is to be held: a display matrix, which turns, mirrors,
or does both. FFmpeg's angle alone does not tell a mirrored picture from one that was turned by half.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import FloatImage

_MATRIX = struct.Struct("=9i")
_ONE = 1 << 16
"""1 in the matrix's fixed-point numbers."""
_LEAST = 0.01
"""A number of the matrix below this share of the greatest is taken for 0."""


@dataclass(frozen=True)
class Upright:
    """Says how stored rows and columns become those that are shown: first swapped, then reversed.

    swapped: rows become columns. rows, columns: whether their order is then reversed.
    """

    swapped: bool = False
    rows: bool = False
    columns: bool = False

    def shown(self, stored: FloatImage) -> FloatImage:
        """Return (H, W, C) as it is to be looked at."""
        turned = np.swapaxes(stored, 0, 1) if self.swapped else stored
        return np.ascontiguousarray(turned[:: -1 if self.rows else 1, :: -1 if self.columns else 1])


def upright_of(frame: Any, path: Path) -> Upright:
    """Return how a decoded PyAV frame is to be shown. path: named in errors.

    Raises PlateError for a picture that is to be shown aslant, as no pixel grid can.
    """
    for extra in _beside(frame, path):
        if getattr(extra.type, "name", "") == "DISPLAYMATRIX" and len(bytes(extra)) == _MATRIX.size:
            return _of_matrix(_MATRIX.unpack(bytes(extra)), path)
    turns = -round(float(getattr(frame, "rotation", 0)) / 90) % 4  # clockwise, where the matrix cannot be had
    return (Upright(), Upright(True, columns=True), Upright(rows=True, columns=True), Upright(True, rows=True))[turns]


def _beside(frame: Any, path: Path) -> list[Any]:
    """Return what a frame carries beside its picture; [] where this PyAV (18) has no name for some of it, such as Exif,
    or the views of spatial video. Raises PlateError if the matrix, which is then unknown, may mirror the picture.
    """
    try:
        return list(getattr(frame, "side_data", ()))
    except ValueError as error:
        if abs(round(float(frame.rotation))) == 180:
            raise PlateError(
                expected="a movie whose rotation can be read",
                came=f"{str(path)!r}, turned by half or mirrored, with data that this PyAV cannot read ({error})",
                action="Convert it to an image sequence first.",
            ) from error
        return []


def _of_matrix(matrix: tuple[int, ...], path: Path) -> Upright:
    """Return what a matrix means: column and row that are shown are a * column + c * row and b * column + d * row."""
    a, b, _, c, d = matrix[:5]
    least = _LEAST * max(map(abs, (a, b, c, d)))
    if a and d and max(abs(b), abs(c)) <= least:
        return Upright(rows=d < 0, columns=a < 0)
    if b and c and max(abs(a), abs(d)) <= least:
        return Upright(True, rows=b < 0, columns=c < 0)
    raise PlateError(
        expected="a movie that is shown upright, turned by quarters, or mirrored",
        came=f"{str(path)!r}, whose display matrix is {[round(number / _ONE, 3) for number in (a, b, c, d)]}",
        action="Convert it to an image sequence first.",
    )
