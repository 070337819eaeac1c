# SPDX-License-Identifier: Apache-2.0
"""Makes the warnings about a frame, the same ones for sessions and jobs.

A black plate, an empty alpha, or a subject that the artist's region cuts causes a warning and no error: a shot may fade
out, and a subject may leave the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AlphaImage = NDArray[np.float32]

BLACK_PLATE = "the plate is black"
CUT_SUBJECT = "the region cuts the subject: enlarge it, or let it follow"
GUIDE_LEAPS = "the guide is somewhere else on this frame and was left out"
GUIDE_IS_WHITE = "the guide is white all over on this frame, so it says nothing: is it the right channel?"
EMPTY_ALPHA = "the alpha is empty: the subject left the frame or was lost"


def warnings_of(
    *,
    black: bool,
    alpha: AlphaImage,
    cut: bool = False,
    outvoted: bool = False,
    white_guide: bool = False,
    masks: Sequence[str] = (),
) -> tuple[str, ...]:
    """List the warnings about a frame. black: whether the plate is 0 everywhere; alpha: (H, W) 0..1 of the whole frame;
    cut: whether a region cuts the subject; outvoted: whether a guide was left out here; white_guide: whether one is
    white all over; masks: warnings about the masks of a key frame (media/mask_borders.py).
    """
    found = (
        (black, BLACK_PLATE),
        (not alpha.max() > 0.5, EMPTY_ALPHA),
        (cut, CUT_SUBJECT),
        (outvoted, GUIDE_LEAPS),
        (white_guide, GUIDE_IS_WHITE),
    )
    return (*(words for so, words in found if so), *masks)
