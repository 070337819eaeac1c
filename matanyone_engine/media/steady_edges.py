# SPDX-License-Identifier: Apache-2.0
"""Reduces flicker in the edges of an alpha, by comparing it with the frame before and the frame after.

Flicker is a change on one frame that is reversed on the next (flicker.py). First, both neighbours are moved to this
frame along the plate's motion, so that moving hair is compared with itself. Where the plates do not match after that,
the neighbour is ignored.
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
"""Pixels around an edge in which flicker is reduced, too."""
MATCH = 16.0
"""The difference between the moved neighbour and the plate, in 8-bit steps, at which the neighbour is ignored."""


class NeighbourFrame(NamedTuple):
    """Holds the alpha (H, W) 0..1 and the grey plate (H, W) 8 bits of the frame before, or of the frame after."""

    alpha: FloatImage
    grey: Grey


def grey_of(view: FloatImage) -> Grey:
    """Return the luminance, (H, W) 8 bits, of a plate as the network sees it, (H, W, 3) display-referred 0..1."""
    return np.round(np.clip(view @ REC709_LUMINANCE, 0.0, 1.0) * 255.0).astype(np.uint8)


def steadied(
    alpha: FloatImage, grey: Grey, before: NeighbourFrame, after: NeighbourFrame, strength: float
) -> FloatImage:
    """Return an alpha (H, W) 0..1 with less flicker in its edges.

    Each pixel of an edge is moved towards the median of the three frames by `strength`, 0..1. A change that continues,
    such as that of a moving edge, lies between its neighbours, so that it is the median and stays.
    """
    one, other = (_moved(each, alpha, grey) for each in (before, after))
    low, high = np.minimum(one, other), np.maximum(one, other)
    median = np.clip(alpha, low, high)
    steady = alpha + np.float32(strength) * (median - alpha)
    return np.where(_edges(alpha, one, other), np.clip(steady, 0.0, 1.0), alpha)


def _moved(neighbour: NeighbourFrame, alpha: FloatImage, grey: Grey) -> FloatImage:
    """Return the neighbour's alpha, moved to this frame; this frame's own alpha where the plates do not match."""
    moved, trust = moved_here(neighbour, grey)
    return np.asarray(alpha + trust * (moved - alpha), np.float32)


def moved_here(neighbour: NeighbourFrame, grey: Grey, match: float = MATCH) -> tuple[FloatImage, FloatImage]:
    """Return a neighbour's alpha (H, W) 0..1, moved along the plate's motion to the frame of `grey`.

    Also returns how well the two plates match after the motion, (H, W) 0..1: 0 where they differ by `match` 8-bit steps
    or more.
    """
    moved, plate = pulled(motion(grey, neighbour.grey, FAST), neighbour.alpha, neighbour.grey)
    unlike = cv2.blur(cv2.absdiff(plate, grey).astype(np.float32), (3, 3))
    trust = np.clip(1.0 - unlike / match, 0.0, 1.0)
    return np.asarray(moved, np.float32), np.asarray(trust, np.float32)


def _edges(alpha: FloatImage, one: FloatImage, other: FloatImage) -> npt.NDArray[np.bool_]:
    soft = np.any([(each > SOFT[0]) & (each < SOFT[1]) for each in (alpha, one, other)], axis=0)
    square = np.ones((2 * AROUND + 1, 2 * AROUND + 1), np.uint8)
    return np.asarray(cv2.dilate(soft.astype(np.uint8), square)).astype(bool)
