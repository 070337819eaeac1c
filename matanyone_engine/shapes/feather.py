# SPDX-License-Identifier: Apache-2.0
"""Measures how soft an alpha is along a shape, and turns that into a feather.

A feather of Nuke and of Blender fades outwards: from 1 at the spline to 0 at the feather's end. So that one half stays
where the alpha has it, the spline moves inwards by half of the feather.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, Numbers, area, pieces

_STEPS = 6
_BORDER = 1.0
"""Pixels from the picture's border within which an edge is taken to be hard."""
_PIXEL = 1.0
"""Pixels over which even a hard edge fades, since a pixel is covered in part; they are no feather."""


def widths(alpha: npt.NDArray[np.float32], points: Numbers, most: float) -> Numbers:
    """Return (points,): for how many pixels an alpha (H, W) fades near each point of a spline, 0 where it is hard.

    points: (points, 3, 2). most: pixels; wider ones are taken to be so wide.
    """
    slope = np.hypot(cv2.Scharr(alpha, cv2.CV_32F, 1, 0), cv2.Scharr(alpha, cv2.CV_32F, 0, 1)) / 32
    line = pieces(points, _STEPS)
    around = np.concatenate([np.roll(line, 1, axis=0)[:, _STEPS // 2 : -1], line[:, : _STEPS // 2 + 1]], axis=1)
    places = (around - 0.5).astype(np.float32)  # remap counts from the middles of pixels
    there = cv2.remap(slope, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = np.where(_at_border(around, alpha.shape), 1.0, there)
    fades = 1 / np.maximum(there.mean(axis=1), 1 / (most + _PIXEL))
    return np.asarray(np.sqrt(np.maximum(fades**2 - _PIXEL**2, 0.0)).clip(0, most), np.float64)


def _at_border(places: Numbers, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which places (..., 2) are on the picture's border, where an outline ends and the subject may go on."""
    near = (places < _BORDER) | (places > np.array([shape[1], shape[0]]) - _BORDER)
    return np.asarray(near.any(axis=-1))


def inwards(points: Numbers, by: Numbers) -> Numbers:
    """Return the points of a spline (points, 3, 2) moved by so many pixels each, to the side that it is around."""
    ahead = points[:, RIGHT] - points[:, LEFT]
    length = np.hypot(*ahead.T)[:, None]
    sideways = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.maximum(length, 1e-9)
    around = 1.0 if area(points[:, CENTRE]) > 0 else -1.0
    return np.asarray(points + (sideways * (around * by)[:, None])[:, None])
