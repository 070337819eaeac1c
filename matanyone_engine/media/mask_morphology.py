# SPDX-License-Identifier: Apache-2.0
"""Grows and shrinks masks.

Everything the engine does itself is a grey-scale operation: soft edges move, they do not harden. The thresholding
way of the reference is here under its own name, for parity only.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.images import FloatImage


def grow_mask(mask: FloatImage, pixels: int) -> FloatImage:
    """Move a mask's edge outwards (pixels > 0) or inwards (pixels < 0); 0 leaves it as it is.

    mask: (H, W) float32 0..1, soft or hard. Every pixel becomes the greatest (least) value of the disc of
    2 * |pixels| + 1 around it, so that a soft edge keeps its profile. The world outside the frame has no say.
    """
    if pixels == 0:
        return mask.copy()
    size = 2 * abs(pixels) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    operation = cv2.dilate if pixels > 0 else cv2.erode
    return np.asarray(operation(mask, disc), dtype=np.float32)


def upstream_guide_mask(mask: npt.NDArray[np.generic], dilate: int, erode: int) -> FloatImage:
    """Return the reference's guide mask: (H, W) 0..255 in, (H, W) float32 0..255 out.

    dilate > 0: everything that is not 0, dilated; erode > 0: then everything that is 255, eroded; each gives 0 or
    255. With both 0 the values stay as they are. dilate and erode are the *sizes* of the ellipse, not radii: even
    ones are asymmetric and move the mask by a fraction of a pixel, as they do in the reference.
    """
    guide = np.asarray(mask, dtype=np.float32)
    if dilate > 0:
        guide = _binary(guide != 0, cv2.MORPH_DILATE, dilate)
    if erode > 0:
        guide = _binary(guide == 255, cv2.MORPH_ERODE, erode)
    return guide.copy()


def _binary(inside: npt.NDArray[np.bool_], operation: int, size: int) -> FloatImage:
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(inside.astype(np.float32) * 255, operation, ellipse), dtype=np.float32)
