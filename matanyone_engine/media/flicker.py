# SPDX-License-Identifier: Apache-2.0
"""Measures flicker: changes of a matte on one frame that are reversed on the next.

An edge that moves passes through each of its pixels once, so it is no flicker however fast it is; a pop of one frame,
and noise, are.
"""

from __future__ import annotations

import numpy as np

from matanyone_engine.media.images import FloatImage

_LEAST_SUBJECT = 16.0
"""Fewest pixels of a subject for which flicker is measured."""


def flicker(before: FloatImage, now: FloatImage, after: FloatImage) -> float:
    """Return for each pixel how far the middle one of three alphas in a row, (H, W) 0..1, is outside of the range of
    its neighbours, 0 or more.
    """
    above = now - np.maximum(before, after)
    below = np.minimum(before, after) - now
    outside = np.maximum(np.maximum(above, below), 0.0)
    subject = max(float(now.sum()), float(before.sum()), _LEAST_SUBJECT)
    return float(outside.sum()) / subject
