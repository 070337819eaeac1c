# SPDX-License-Identifier: Apache-2.0
"""Measures flicker: changes of a matte on one frame that are reversed on the next.

A moving edge passes each pixel once, so it does not count as flicker, however fast it is. Noise counts, and so does a
change that lasts one frame.
"""

from __future__ import annotations

import numpy as np

from matanyone_engine.media.images import FloatImage

_LEAST_SUBJECT = 16.0
"""Fewest pixels of a subject for which flicker is measured."""


def flicker(before: FloatImage, now: FloatImage, after: FloatImage) -> float:
    """Return the flicker of the middle one of three successive alphas, (H, W) 0..1; 0 or more.

    It is the sum over all pixels of how far `now` lies outside of the range between `before` and `after`, divided by
    the subject's area in pixels: that of `before` or `now`, whichever is larger.
    """
    above = now - np.maximum(before, after)
    below = np.minimum(before, after) - now
    outside = np.maximum(np.maximum(above, below), 0.0)
    subject = max(float(now.sum()), float(before.sum()), _LEAST_SUBJECT)
    return float(outside.sum()) / subject
