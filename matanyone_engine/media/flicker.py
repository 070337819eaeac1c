# SPDX-License-Identifier: Apache-2.0
"""Measures flicker: what of a matte goes one way on a frame and comes straight back on the next.

An edge that moves passes through each of its pixels once, so it is no flicker however fast it is; a pop of one frame,
and noise, are.
"""

from __future__ import annotations

import numpy as np

from matanyone_engine.media.images import FloatImage

_LEAST_SUBJECT = 16.0
"""Pixels: of less there is nothing that could flicker."""


def flicker(before: FloatImage, now: FloatImage, after: FloatImage) -> float:
    """Return the part of an alpha that neither neighbour has, 0.., of three alphas (H, W) 0..1 in a row.

    Per pixel, how far the middle value lies outside of the range of its neighbours.
    """
    above = now - np.maximum(before, after)
    below = np.minimum(before, after) - now
    outside = np.maximum(np.maximum(above, below), 0.0)
    subject = max(float(now.sum()), float(before.sum()), _LEAST_SUBJECT)
    return float(outside.sum()) / subject
