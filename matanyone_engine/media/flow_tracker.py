# SPDX-License-Identifier: Apache-2.0
"""Carries a rough mask from frame to frame by OpenCV's DIS optical flow, and mends its edge by the picture's colours.

    flow     from the new frame back to the last one, so that each pixel asks where it was; and forwards, to check it
    doubted  pixels whose way back and forth does not end where it began: they were hidden, or the flow is wrong
    edge     around the carried edge, and where pixels are doubted near it, GrabCut decides anew
    greys    what cannot be traced back to the key frame's mask, or to what lay outside of it, step by step without
             doubt: the mask is grey there, and a guide leaves its greys to the network (media/guides.py)

It needs no weights and knows no objects: it loses what is hidden, and follows what looks alike. The greys say where
that may have happened. docs/track.md says how good it is.

Rules of this file:
1. A step depends on two pictures and one mask alone, so that a stopped track goes on from the mask on disk.
2. A mask that GrabCut changes by much is its error: the carried one is kept then.
3. What was doubted once stays grey as far as the flow carries it: nothing later than the key frame says what it is.
   Where nothing sure is left, the subject is lost: a mask that only guesses would cut the subject off when it comes
   back from behind something.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.grabcut import Where, inside_of
from matanyone_engine.media.guides import SURE
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
"""Pixels of a rough mask, or of its sure part, below which the subject is lost."""

UNSURE_INSIDE, UNSURE_OUTSIDE = 0.6, 0.4
"""Greys of the mask: most likely the subject, and most likely not."""
TOUCH = 2
"""Pixels from what may be the subject within which doubted pixels may be the subject, too."""

METHOD = f"DIS optical flow and GrabCut of OpenCV {cv2.__version__}, grey where they are not sure"
"""For a file's header."""

Bytes = npt.NDArray[np.uint8]


class _Shapes(NamedTuple):
    """Holds what is known of one frame; surely lies within found, and found within perhaps."""

    found: Where
    """Where the subject most likely is."""
    surely: Where
    perhaps: Where
    """Where it may be."""


def carried(before: FloatImage, mask: FloatImage, seen: FloatImage) -> FloatImage:
    """Return the mask of a frame, (H, W) 0..1, from the frame before it; all 0 where the subject is lost.

    before, seen: (H, W, 3) sRGB 0..1; mask: (H, W) 0..1 of `before`, grey where it is not sure, as the answer is. The
    edge is that of a rough mask, enlarged.
    """
    plate = Size(*seen.shape[:2])
    size = rough_size(plate)
    rough = _small(mask, size)
    shapes = _Shapes(rough >= 0.5, rough >= SURE, rough > 1 - SURE)
    if int(shapes.found.sum()) < SMALLEST:
        return np.zeros(plate, np.float32)
    last, now = (np.rint(255.0 * _small(each, size)).astype(np.uint8) for each in (before, seen))
    moved, doubted = _moved(shapes, last, now)
    found = _mended(now, moved.found, doubted)
    if int(found.sum()) < SMALLEST:
        return np.zeros(plate, np.float32)
    surely = moved.surely & found & ~doubted
    if int(surely.sum()) < SMALLEST:
        return np.zeros(plate, np.float32)
    after = _Shapes(found, surely, moved.perhaps | found | _touching(doubted, moved.perhaps))
    return np.asarray(cv2.resize(_as_mask(after), plate.resolution, interpolation=cv2.INTER_LINEAR), np.float32)


def _small(image: FloatImage, size: Size) -> FloatImage:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size.resolution, interpolation=cv2.INTER_AREA), np.float32)


def _as_mask(shapes: _Shapes) -> FloatImage:
    """Return shapes as one mask (H, W): 1 surely, 0.6 most likely, 0.4 perhaps, 0 surely not."""
    grey = np.where(shapes.found, np.float32(UNSURE_INSIDE), np.float32(UNSURE_OUTSIDE)) * shapes.perhaps
    return np.where(shapes.surely, np.float32(1), grey).astype(np.float32)


def _moved(shapes: _Shapes, last: Bytes, now: Bytes) -> tuple[_Shapes, Where]:
    """Return where the shapes are now, and which pixels the flow is not sure of."""
    before, here = (np.rint(each.mean(axis=2)).astype(np.uint8) for each in (last, now))
    back, forth = motion(here, before, MEDIUM), motion(before, here, MEDIUM)
    *moved, forth_from_there = pulled(back, *(each.astype(np.float32) for each in shapes), forth)
    miss = back + forth_from_there
    way = np.hypot(back[..., 0], back[..., 1])
    doubted = np.hypot(miss[..., 0], miss[..., 1]) > np.maximum(ASTRAY, 0.1 * way)
    return _Shapes(*(each > 0.5 for each in moved)), doubted


def _touching(doubted: Where, perhaps: Where) -> Where:
    """Return the islands of doubted pixels that touch what may be the subject."""
    near = (cv2.dilate(perhaps.astype(np.uint8), _disc(TOUCH)) > 0) & doubted
    _, islands = cv2.connectedComponents(doubted.astype(np.uint8), connectivity=8)
    return np.asarray(doubted & np.isin(islands, np.unique(islands[near])))


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
