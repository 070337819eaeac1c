# SPDX-License-Identifier: Apache-2.0
"""Tells a label map, whose values are numbers or colours of objects, from a mask, and cuts one label out of it.

A mask shows how much of a pixel is the subject. A label map says which object a pixel is: in small numbers (0, 1, 2 of
8 or 16 bits), in 32-bit integers, in the indices of a palette (DAVIS), or in one colour for each object. Read as a mask
it is almost black, so it must be recognised.
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
"""Of a map of small numbers or of colours: a picture with more is no label map. Integers of 32 bits may have any."""
_SMALL = 8
"""Labels of a map that also has the greatest code (255, which is 'ignore') are below an eighth of it."""
_PNG, _PALETTE_KIND = b"\x89PNG\r\n\x1a\n", 3


def numbers_in(codes: Codes, kind: str) -> list[int]:
    """Return the labels of a single-channel picture, without 0; [] of one that may be a mask.

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
    """Return the values of a picture with few of them, without 0; [] of one with soft edges, which has no labels."""
    values = [int(value) for value in np.unique(codes) if value]
    return values if len(values) <= MOST_LABELS else []


def _whole_numbers(values: Codes) -> list[int]:
    """Return whether floats are ids: whole numbers, some of them above 1."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() < 2 or (values != np.rint(values)).any():
        return []
    return [int(value) for value in np.unique(values) if value]


def colours_in(rgb: FloatImage) -> list[str]:
    """Return the colours of a picture with few of them, as '800000', without black; [] of a picture with many.

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
    """Return the colours of a PNG that stores indices, packed as 0xRRGGBB by index; None of any other file."""
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
    """Return (H, W) indices of a picture that was stored with a palette; None where that is grey: a mask.

    rgb: (H, W, 3) 0..1, as the image library looked it up. Of equal colours the first index counts.
    """
    if all(value >> 16 == (value >> 8 & 255) == (value & 255) for value in palette):
        return None
    colours, places = np.unique(_packed(rgb), return_inverse=True)
    first = {colour: index for index, colour in reversed(list(enumerate(palette)))}
    indices = np.array([first.get(int(colour), 0) for colour in colours], np.uint32)
    return indices[places.reshape(rgb.shape[:2])]
