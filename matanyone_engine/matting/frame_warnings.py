# SPDX-License-Identifier: Apache-2.0
"""Names what an artist should look at on a frame. The same words are used for sessions and for jobs.

A black plate, an empty alpha and a subject that the artist's region cuts are reported, and the frame is delivered as
it is: a shot may fade out, and a subject may leave the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

BLACK_PLATE = "the plate is black"
CUT_SUBJECT = "the region cuts the subject: enlarge it, or let it follow"
EMPTY_ALPHA = "the alpha is empty: the subject left the frame or was lost"


def suspicions(*, black: bool, alpha: Plane, cut: bool = False) -> tuple[str, ...]:
    """What an artist should look at. black: nothing but 0 in the plate; alpha: (H, W) 0..1, all of the frame."""
    found = ((black, BLACK_PLATE), (not alpha.max() > 0.5, EMPTY_ALPHA), (cut, CUT_SUBJECT))
    return tuple(words for so, words in found if so)
