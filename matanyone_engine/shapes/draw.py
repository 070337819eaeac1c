# SPDX-License-Identifier: Apache-2.0
"""Draws shapes as an alpha again, by which it is measured how good they are."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.feather import inwards
from matanyone_engine.shapes.shape import ShapeKey, ShapeSet, curve

_FINER = 4
"""Times as many pixels that the shapes are drawn with, in each direction; they are averaged."""
_STEPS = 12
_LEVELS = 8
"""Edges between a spline and the end of its feather that are drawn one over the other."""


def drawn(shapes: ShapeSet, frame: int) -> npt.NDArray[np.float32]:
    """Return the alpha (H, W) 0..1 of all shapes on a frame; holes take away from the islands around them."""
    alpha = np.zeros(shapes.size.size, np.float32)
    for shape in sorted(shapes.shapes, key=lambda each: each.depth):
        key = shape.at(frame)
        if key is not None:
            cover = _cover(key, alpha.shape)
            alpha = alpha * (1 - cover) if shape.hole else alpha + cover - alpha * cover
    return alpha


def _cover(key: ShapeKey, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    levels = _LEVELS if key.feather.any() else 1
    shares = (np.arange(levels) + 0.5) / levels if levels > 1 else np.zeros(1)
    covers = []
    for share in shares:
        line = curve(inwards(key.points, -share * key.feather), _STEPS)
        picture = np.zeros((shape[0] * _FINER, shape[1] * _FINER), np.uint8)
        cv2.fillPoly(picture, [np.rint((line * _FINER - 0.5) * 256).astype(np.int32)], 255, shift=8)
        covers.append(cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA))
    return np.asarray(np.mean(covers, axis=0, dtype=np.float32) / 255)
