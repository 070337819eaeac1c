# SPDX-License-Identifier: Apache-2.0
"""Tells where places of an alpha are on the next frame, by OpenCV's DIS optical flow between the two alphas.

The flow sees a copy of 8 bits; it only guesses where to look. Where an outline is, its own alpha says.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.motion import MEDIUM, motion
from matanyone_engine.shapes.shape import Numbers

_LARGEST_SIDE = 640
"""Pixels to which alphas are made smaller for the flow."""


class AlphaFlow:
    """Computes the flow from a frame to the next one, and keeps the last one that was asked for."""

    def __init__(self, alpha_of: Callable[[int], npt.NDArray[np.float32]]) -> None:
        """alpha_of: frame -> its alpha (H, W) 0..1."""
        self._alpha_of = alpha_of
        self._known: tuple[int, npt.NDArray[np.float32], float] | None = None

    def __call__(self, frame: int, places: Numbers) -> Numbers:
        """Return where places (n, 2) of a frame are on the next one, both in pixels."""
        if self._known is None or self._known[0] != frame:
            self._known = (frame, *self._between(frame))
        _, flow, shrink = self._known
        spots = (places * shrink - 0.5).astype(np.float32)
        moved = cv2.remap(
            flow, spots[:, :1].copy(), spots[:, 1:].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(places + moved[:, 0] / shrink)

    def _between(self, frame: int) -> tuple[npt.NDArray[np.float32], float]:
        one, other = self._alpha_of(frame), self._alpha_of(frame + 1)
        shrink = min(1.0, _LARGEST_SIDE / max(one.shape))
        size = (max(1, round(one.shape[1] * shrink)), max(1, round(one.shape[0] * shrink)))
        small = [
            np.rint(cv2.resize(each, size, interpolation=cv2.INTER_AREA) * 255).astype(np.uint8)
            for each in (one, other)
        ]
        return motion(small[0], small[1], MEDIUM), shrink
