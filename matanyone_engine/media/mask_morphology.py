# SPDX-License-Identifier: Apache-2.0
"""Grows and shrinks masks.

Every operation works on grey values: soft edges move, and they do not harden.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.images import FloatImage

_LARGE = 16
"""The least radius, in pixels, at which a disc is handled as runs of pixels."""


def grow_mask(mask: FloatImage, pixels: int) -> FloatImage:
    """Move a mask's edge outwards (pixels > 0) or inwards (pixels < 0); 0 leaves it as it is.

    mask: (H, W) float32 0..1, soft or hard. Every pixel becomes the greatest (least) value of the disc of
    2 * |pixels| + 1 around it, so that a soft edge keeps its profile. Nothing outside the frame counts.
    """
    if pixels == 0:
        return mask.copy()
    size = 2 * abs(pixels) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    if abs(pixels) >= _LARGE:
        return _dilate_largely(mask, disc) if pixels > 0 else -_dilate_largely(-mask, disc)
    operation = cv2.dilate if pixels > 0 else cv2.erode
    return np.asarray(operation(mask, disc), dtype=np.float32)


def _dilate_largely(mask: FloatImage, disc: npt.NDArray[Any]) -> FloatImage:
    """Return what cv2.dilate returns, in a time that grows with the disc's radius and not with its area.

    Each row of the disc is a run of pixels. The greatest value of a run is that of two shorter runs that cover it,
    whose lengths are powers of two; so each width of the disc takes one comparison, and each of its rows another.
    """
    radius = len(disc) // 2
    rows = np.pad(mask.astype(np.float32), ((0, 0), (radius, radius)), constant_values=-np.inf)
    doubled = [rows]
    while 2 ** len(doubled) <= len(disc):
        last, step = doubled[-1], 2 ** (len(doubled) - 1)
        doubled.append(np.maximum(last[:, :-step], last[:, step:]))
    height, width = mask.shape
    grown = np.full(mask.shape, -np.inf, np.float32)
    half_widths = [int(row.sum() - 1) // 2 for row in disc]
    for half in sorted(set(half_widths)):
        power = (2 * half + 1).bit_length() - 1
        left, right = radius - half, radius + half + 1 - 2**power
        runs = np.maximum(doubled[power][:, left : left + width], doubled[power][:, right : right + width])
        for down in (index - radius for index, each in enumerate(half_widths) if each == half):
            above, below = max(0, -down), min(height, height - down)
            if above < below:
                np.maximum(grown[above:below], runs[above + down : below + down], out=grown[above:below])
    return grown
