# SPDX-License-Identifier: Apache-2.0
"""Finds how a picture moves between two frames, by OpenCV's DIS optical flow, and moves maps along with it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FAST, MEDIUM = cv2.DISOPTICAL_FLOW_PRESET_FAST, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
LEAST_SIDE = 64
"""Pixels: smaller pictures are padded, since OpenCV's search for motion reads beyond those of a few dozen."""

Floats = npt.NDArray[np.float32]
GreyPicture = npt.NDArray[np.uint8]


def motion(here: GreyPicture, there: GreyPicture, preset: int) -> Floats:
    """Return (H, W, 2) x and y in pixels: where each pixel of `here` lies in `there`.

    here, there: grey pictures (H, W) of 8 bits. preset: FAST or MEDIUM.
    """
    height, width = here.shape
    below, right = max(0, LEAST_SIDE - height), max(0, LEAST_SIDE - width)
    one, other = (cv2.copyMakeBorder(each, 0, below, 0, right, cv2.BORDER_REPLICATE) for each in (here, there))
    still = np.zeros((*one.shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(preset).calc(one, other, still)
    return np.asarray(flow[:height, :width], np.float32)


def pulled(flow: Floats, *maps: Floats | GreyPicture) -> list[npt.NDArray[np.float32 | np.uint8]]:
    """Return each map (H, W, ...) as it is where the flow (H, W, 2) of its pixels leads; the border goes on outside."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    there = (x + flow[..., 0], y + flow[..., 1])
    return [np.asarray(cv2.remap(each, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)) for each in maps]
