# SPDX-License-Identifier: Apache-2.0
"""Recognises label maps, whose values are numbers or colours of objects, and makes a mask from one label.

A mask says how much of a pixel is the subject. A label map says which object a pixel is: by small numbers (0, 1, 2 in 8
or 16 bits), by 32-bit integers, by the indices of a palette (DAVIS), or by one colour for each object. If it were read
as a mask, it would be almost black, so it must be recognised.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.images import FloatImage

Codes = NDArray[np.unsignedinteger[Any]] | NDArray[np.float32]

MOST_LABELS = 64
"""The most labels of a map of small numbers or of colours. 32-bit integers may have any number of labels."""
_SMALL = 8
"""In a map that also has the greatest code (255, which means 'ignore'), labels are below 1 / _SMALL of that code."""
_PNG, _PALETTE_KIND = b"\x89PNG\r\n\x1a\n", 3


def numbers_in(codes: Codes, kind: str) -> list[int]:
    """Return the labels of a single-channel picture, without 0; [] for one that may be a mask.

    codes: (H, W), as stored. kind: 'uint8', 'uint16', 'uint32' or a float format.
    """
    if kind in ("uint", "uint32"):
        return [int(value) for value in np.unique(codes) if value]
    if kind not in ("uint8", "uint16"):
        return _whole_numbers(codes)
    values = [int(value) for value in np.unique(codes) if value]
    top = 255 if kind == "uint8" else 65535
    if not values or len(values) > MOST_LABELS:
        return []
    below = [value for value in values if value != top]
    if values[-1] < top // 2 or (below and values[-1] == top and below[-1] < top // _SMALL):
        return values
    return []


def hard_numbers(codes: Codes) -> list[int]:
    """Return the values of a picture that has few, without 0; [] for one with soft edges, which has no labels."""
    values = [int(value) for value in np.unique(codes) if value]
    return values if len(values) <= MOST_LABELS else []


def _whole_numbers(values: Codes) -> list[int]:
    """Return the labels among floats, if all are whole numbers and some are above 1; else []."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() < 2 or (values != np.rint(values)).any():
        return []
    return [int(value) for value in np.unique(values) if value]


def colours_in(rgb: FloatImage) -> list[str]:
    """Return the colours of a picture that has few, as '800000', without black; [] for a picture with many.

    rgb: (H, W, 3) 0..1.
    """
    distinct = np.unique(_packed(rgb))
    if len(distinct) > MOST_LABELS:
        return []
    return [f"{value:06x}" for value in distinct if value]


def of_colour(rgb: FloatImage, colour: str) -> FloatImage:
    """Return (H, W) float32: 1 where rgb, (H, W, 3) 0..1, has this colour ('800000'), else 0."""
    return (_packed(rgb) == int(colour, 16)).astype(np.float32)


def _packed(rgb: FloatImage) -> NDArray[np.uint32]:
    codes = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint32)
    return np.asarray(codes @ np.array([1 << 16, 1 << 8, 1], np.uint32), dtype=np.uint32)


def palette_of(path: Path) -> list[int] | None:
    """Return the palette of a PNG that stores indices, as a list of 0xRRGGBB; None for any other file."""
    try:
        with path.open("rb") as file:
            if file.read(8) != _PNG:
                return None
            return _palette(file)
    except (OSError, struct.error, IndexError):
        return None


def _palette(file: Any) -> list[int] | None:
    while header := file.read(8):
        length, name = struct.unpack(">I4s", header)
        if name == b"IDAT":
            return None
        data = file.read(min(length, 1024))
        if name == b"IHDR" and data[9] != _PALETTE_KIND:
            return None
        if name == b"PLTE":
            return [int.from_bytes(data[at : at + 3], "big") for at in range(0, length - 2, 3)]
        file.seek(length - len(data) + 4, 1)
    return None


def indices_of(rgb: FloatImage, palette: Sequence[int]) -> NDArray[np.uint32] | None:
    """Return the indices (H, W) of a picture that was stored with a palette; None if the palette is grey: a mask.

    rgb: (H, W, 3) 0..1, the colours after the image library has applied the palette. Where two entries have one colour,
    the first index is returned.
    """
    if all(value >> 16 == (value >> 8 & 255) == (value & 255) for value in palette):
        return None
    colours, places = np.unique(_packed(rgb), return_inverse=True)
    first = {colour: index for index, colour in reversed(list(enumerate(palette)))}
    indices = np.array([first.get(int(colour), 0) for colour in colours], np.uint32)
    return indices[places.reshape(rgb.shape[:2])]
