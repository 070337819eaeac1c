# SPDX-License-Identifier: Apache-2.0
"""Moves a rough mask from frame to frame by OpenCV's DIS optical flow, and corrects its edge by the picture's colours.

    flow     from the new frame back to the last one, which says where each pixel was; and forwards, to check it
    doubted  pixels for which the flow back and forth does not return to its start: they were hidden, or it is wrong
    edge     around the moved edge, and where pixels near it are doubted, GrabCut decides anew
    greys    pixels that the flow cannot trace back to the key frame without doubt: the mask is grey there, and a guide
             leaves its greys to the network (media/guides.py)

The tracker needs no weights and has no notion of objects: it loses what is hidden, and may follow what looks alike. The
greys show where that may have happened. docs/track.md says how good it is.

Rules of this file:
1. A step depends on two pictures and one mask alone, so that a stopped track can continue from the mask on disk.
2. If GrabCut changes a mask by much, GrabCut is wrong, and the moved mask is kept.
3. A doubted pixel stays grey on later frames, as far as the flow carries it, since only the key frame says what it is.
   Where no pixel is sure any more, the subject counts as lost: a mask that is only guessed would cut the subject off
   when it reappears.
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
"""How far GrabCut may move an edge, as a part of the picture's shorter side."""
NEAR = 4
"""How far from the shape GrabCut decides about doubted pixels, in multiples of REACH."""
ASTRAY = 1.0
"""Pixels by which the flow back and forth may miss its start; a tenth of the motion where that is more."""
LEAST_OVERLAP = 0.8
"""The least overlap of GrabCut's shape with the moved one, as a part of their union; below it the moved one is kept."""
SMALLEST = 20
"""Pixels of a rough mask, or of its sure part, below which the subject counts as lost."""

UNSURE_INSIDE, UNSURE_OUTSIDE = 0.6, 0.4
"""Values of the mask where a pixel is most likely the subject, and where it is most likely not."""
TOUCH = 2
"""Doubted pixels may be the subject if their island comes within so many pixels of what may be the subject."""

METHOD = f"DIS optical flow and GrabCut of OpenCV {cv2.__version__}, grey where they are not sure"
"""For a file's header."""

Bytes = npt.NDArray[np.uint8]


class _Shapes(NamedTuple):
    """Holds three shapes of one frame: `found` contains `surely`, and `perhaps` contains `found`."""

    found: Where
    """Where the subject most likely is."""
    surely: Where
    """Where it surely is."""
    perhaps: Where
    """Where it may be."""


def carried(before: FloatImage, mask: FloatImage, seen: FloatImage) -> FloatImage:
    """Return the mask of the frame `seen`, (H, W) 0..1, moved from the frame before it; all 0 if the subject is lost.

    before, seen: (H, W, 3) sRGB 0..1. mask: (H, W) 0..1 of the frame `before`. Both masks are grey where they are not
    sure. The mask is computed at rough_size() and enlarged, edges included.
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
    """Return the shapes moved to this frame, and the doubted pixels."""
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
    """Return the moved shape with its edge, and doubted pixels near it, decided by GrabCut."""
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
