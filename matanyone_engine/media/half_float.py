# SPDX-License-Identifier: Apache-2.0
"""Converts float32 to half floats quickly, however small the values are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SMALLEST_NORMAL = np.float32(2.0**-14)
"""Below this value, a half is a whole number of steps, and its bits are that number."""
_STEPS = np.float32(2.0**24)
"""In 1."""
LARGEST_LOST = np.float32(2.0**-25)
"""Values up to this, half a step, become 0."""
_SIGN = 15
"""The bit."""


def halves(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return the nearest half floats: bit for bit what astype() makes, several times faster for mattes.

    A matte's background is full of values just above 0, and numpy raises a flag for each that it rounds, which takes
    25 times as long as a conversion.
    """
    small = np.flatnonzero((np.abs(plane) < _SMALLEST_NORMAL) & (plane != 0))
    if not small.size:
        return plane.astype(np.float16)
    rest = plane.flatten()
    values = rest[small]
    rest[small] = 0
    stored = rest.astype(np.float16)
    steps = np.rint(np.abs(values) * _STEPS).astype(np.uint16)
    stored.view(np.uint16)[small] = steps | np.signbit(values).astype(np.uint16) << _SIGN
    return stored.reshape(plane.shape)
