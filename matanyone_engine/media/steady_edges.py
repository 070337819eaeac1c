# SPDX-License-Identifier: Apache-2.0
"""Takes flicker out of the edges of an alpha, between the frame before and the frame after.

What flickers is what goes one way on a frame and comes straight back on the next (flicker.py). Both neighbours are
brought to this frame along the plate's motion first, so that hair that moves is compared with itself; where the plate
does not match after that, the neighbour has no say.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.masks import REC709_LUMINANCE
from matanyone_engine.motion import FAST, motion, pulled

Grey = npt.NDArray[np.uint8]

SOFT = (0.02, 0.98)
"""Alphas between which a pixel belongs to an edge."""
AROUND = 2
"""Pixels around an edge in which flicker is taken out, too."""
MATCH = 16.0
"""Steps of 8 bits by which the moved neighbour may differ from the plate before it has no say."""


class NeighbourFrame(NamedTuple):
    """Holds the alpha (H, W) 0..1 and the grey plate (H, W) 8 bits of the frame before, or of the frame after."""

    alpha: FloatImage
    grey: Grey


def grey_of(view: FloatImage) -> Grey:
    """Return the grey plate, (H, W) 8 bits, of what the network sees, (H, W, 3) display-referred 0..1."""
    return np.round(np.clip(view @ REC709_LUMINANCE, 0.0, 1.0) * 255.0).astype(np.uint8)


def steadied(
    alpha: FloatImage, grey: Grey, before: NeighbourFrame, after: NeighbourFrame, strength: float
) -> FloatImage:
    """Return an alpha (H, W) 0..1 whose edges have less of what neither neighbour has.

    Each pixel of an edge goes towards the median of the three frames by `strength`, 0..1. A change that goes on, such
    as an edge that moves, is its own median and stays.
    """
    one, other = (_brought(each, alpha, grey) for each in (before, after))
    low, high = np.minimum(one, other), np.maximum(one, other)
    median = np.clip(alpha, low, high)
    steady = alpha + np.float32(strength) * (median - alpha)
    return np.where(_edges(alpha, one, other), np.clip(steady, 0.0, 1.0), alpha)


def _brought(neighbour: NeighbourFrame, alpha: FloatImage, grey: Grey) -> FloatImage:
    """Return the neighbour's alpha where it lies on this frame; this frame's own where the plate has changed."""
    moved, trust = moved_here(neighbour, grey)
    return np.asarray(alpha + trust * (moved - alpha), np.float32)


def moved_here(neighbour: NeighbourFrame, grey: Grey, match: float = MATCH) -> tuple[FloatImage, FloatImage]:
    """Return a neighbour's alpha (H, W) 0..1, moved along the plate's motion to the frame of a grey plate.

    Also returns, (H, W) 0..1, how well the two plates match after the motion: 0 where they differ by `match` steps of 8
    bits or more.
    """
    moved, plate = pulled(motion(grey, neighbour.grey, FAST), neighbour.alpha, neighbour.grey)
    unlike = cv2.blur(cv2.absdiff(plate, grey).astype(np.float32), (3, 3))
    trust = np.clip(1.0 - unlike / match, 0.0, 1.0)
    return np.asarray(moved, np.float32), np.asarray(trust, np.float32)


def _edges(alpha: FloatImage, one: FloatImage, other: FloatImage) -> npt.NDArray[np.bool_]:
    soft = np.any([(each > SOFT[0]) & (each < SOFT[1]) for each in (alpha, one, other)], axis=0)
    square = np.ones((2 * AROUND + 1, 2 * AROUND + 1), np.uint8)
    return np.asarray(cv2.dilate(soft.astype(np.uint8), square)).astype(bool)
