# SPDX-License-Identifier: Apache-2.0
"""Carries a rough mask from frame to frame by OpenCV's DIS optical flow, and mends its edge by the picture's colours.

    flow     from the new frame back to the last one, so that each pixel asks where it was; and forwards, to check it
    doubted  pixels whose way back and forth does not end where it began: they were hidden, or the flow is wrong
    edge     around the carried edge, and where pixels are doubted near it, GrabCut decides anew

It needs no weights and knows no objects: it loses what is hidden, and follows what looks alike. docs/track.md says how
good it is.

Rules of this file:
1. A step depends on two pictures and one mask alone, so that a stopped track goes on from the mask on disk.
2. A mask that GrabCut changes by much is its error: the carried one is kept then.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.grabcut import Where, inside_of
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.prompts import rough_size
from matanyone_engine.motion import MEDIUM, motion, pulled
from matanyone_engine.sizes import Size

REACH = 1 / 90
"""Of the shorter side: how far from the carried edge GrabCut may move it."""
NEAR = 4
"""Times REACH: how far from the shape doubted pixels are asked about."""
ASTRAY = 1.0
"""Pixels, or a tenth of the way where that is more, by which the way back and forth may miss."""
LEAST_OVERLAP = 0.8
"""Of GrabCut's shape with the carried one; below it the carried one is kept."""
SMALLEST = 20
"""Pixels of a rough mask below which the subject is lost."""

METHOD = f"DIS optical flow and GrabCut of OpenCV {cv2.__version__}"
"""For a file's header."""

Bytes = npt.NDArray[np.uint8]


def carried(before: FloatImage, mask: FloatImage, seen: FloatImage) -> FloatImage:
    """Return the mask of a frame, (H, W) 0..1, from the frame before it; all 0 where the subject is lost.

    before, seen: (H, W, 3) sRGB 0..1; mask: (H, W) 0..1 of `before`. The edge is that of a rough mask, enlarged.
    """
    plate = Size(*seen.shape[:2])
    size = rough_size(plate)
    shape = _small(mask, size) >= 0.5
    if int(shape.sum()) < SMALLEST:
        return np.zeros(plate, np.float32)
    last, now = (np.rint(255.0 * _small(each, size)).astype(np.uint8) for each in (before, seen))
    moved, doubted = _moved(shape, last, now)
    found = _mended(now, moved, doubted)
    if int(found.sum()) < SMALLEST:
        return np.zeros(plate, np.float32)
    large = cv2.resize(found.astype(np.float32), plate.resolution, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _small(image: FloatImage, size: Size) -> FloatImage:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size.resolution, interpolation=cv2.INTER_AREA), np.float32)


def _moved(shape: Where, last: Bytes, now: Bytes) -> tuple[Where, Where]:
    """Return where the shape is now, and which pixels the flow is not sure of."""
    before, here = (np.rint(each.mean(axis=2)).astype(np.uint8) for each in (last, now))
    back, forth = motion(here, before, MEDIUM), motion(before, here, MEDIUM)
    moved, forth_from_there = pulled(back, shape.astype(np.float32), forth)
    miss = back + forth_from_there
    way = np.hypot(back[..., 0], back[..., 1])
    return moved > 0.5, np.hypot(miss[..., 0], miss[..., 1]) > np.maximum(ASTRAY, 0.1 * way)


def _mended(now: Bytes, moved: Where, doubted: Where) -> Where:
    """Return the shape with its edge, and doubted pixels near it, decided by colours."""
    reach = max(1, round(REACH * min(moved.shape)))
    solid = moved.astype(np.uint8)
    near = cv2.dilate(solid, _disc(NEAR * reach)) > 0
    asked = cv2.morphologyEx(doubted.astype(np.uint8), cv2.MORPH_OPEN, _disc(1)) > 0
    inside = (cv2.erode(solid, _disc(reach)) > 0) & ~asked
    outside = (cv2.dilate(solid, _disc(reach)) == 0) & ~(asked & near)
    if min(int(inside.sum()), int(outside.sum())) < SMALLEST:
        return moved
    labels = np.where(moved, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside], labels[outside] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(now, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 1, cv2.GC_INIT_WITH_MASK)
    found = inside_of(labels)
    union = int((found | moved).sum())
    return found if int((found & moved).sum()) >= LEAST_OVERLAP * union else moved


def _disc(radius: int) -> Bytes:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
