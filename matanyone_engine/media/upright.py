# SPDX-License-Identifier: Apache-2.0
"""Rotates and mirrors movie frames as their file says that players must show them.

A phone stores pictures as its sensor sees them, with a display matrix that says how to rotate or mirror them. FFmpeg's
angle alone does not tell a mirrored picture from one that is rotated by 180 degrees.
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
"""Numbers of the matrix below this part of the greatest count as 0."""


@dataclass(frozen=True)
class Upright:
    """Says how to rotate and mirror a picture: rows and columns are first swapped, then reversed.

    swapped: whether rows become columns. rows, columns: whether their order is then reversed.
    """

    swapped: bool = False
    rows: bool = False
    columns: bool = False

    def shown(self, stored: FloatImage) -> FloatImage:
        """Return a stored picture (H, W, C) as it must be shown."""
        turned = np.swapaxes(stored, 0, 1) if self.swapped else stored
        return np.ascontiguousarray(turned[:: -1 if self.rows else 1, :: -1 if self.columns else 1])


def upright_of(frame: Any, path: Path) -> Upright:
    """Return how a decoded PyAV frame must be shown. path: the file, for errors.

    Raises PlateError for a picture that is rotated by other angles than quarters.
    """
    for extra in _side_data(frame, path):
        if getattr(extra.type, "name", "") == "DISPLAYMATRIX" and len(bytes(extra)) == _MATRIX.size:
            return _of_matrix(_MATRIX.unpack(bytes(extra)), path)
    turns = -round(float(getattr(frame, "rotation", 0)) / 90) % 4  # clockwise, if there is no matrix
    return (Upright(), Upright(True, columns=True), Upright(rows=True, columns=True), Upright(True, rows=True))[turns]


def _side_data(frame: Any, path: Path) -> list[Any]:
    """Return a frame's side data; [] where this PyAV (18) cannot read some of it, such as Exif or spatial video.

    Raises PlateError if it cannot be read and may hold a matrix that mirrors the picture.
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
    """Return what a matrix means: the pixel is shown at column a * column + c * row and row b * column + d * row."""
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
