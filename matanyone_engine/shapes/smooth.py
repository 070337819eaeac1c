# SPDX-License-Identifier: Apache-2.0
"""Makes points smooth: both handles on one straight line, where the outline has no corner, so that they edit well."""

from __future__ import annotations

import numpy as np

from matanyone_engine.shapes.fit import score
from matanyone_engine.shapes.keys import distances
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, Numbers

_BENT = 40.0
"""Degrees by which the two handles of a point may be bent against each other, and it still becomes smooth."""
_ROUNDS = 4


def smoothed(points: Numbers, samples: Numbers, error: float) -> Numbers:
    """Return points (frames, points, 3, 2) with straight handles where no frame gets further off than the error.

    samples: (frames, points, m, 2), places of the outlines. A point is smooth on all frames, or on none.
    """
    straight, bent = _straightened(points)
    smooth = np.quantile(bent, 0.9, axis=0) < _BENT
    found = points
    for _ in range(_ROUNDS):
        found = np.where(smooth[:, None, None], straight, points)
        rows = zip(samples, found, strict=True)
        off = np.stack([score(distances(*each)) for each in rows]).max(axis=0) > error
        beside = off | np.roll(off, 1)
        if not (smooth & beside).any():
            return found
        smooth &= ~beside
    return np.where(smooth[:, None, None], found, points)


def _straightened(points: Numbers) -> tuple[Numbers, Numbers]:
    """Turn both handles of each point into their common direction; return the points and the angles, in degrees."""
    back, ahead = points[:, :, CENTRE] - points[:, :, LEFT], points[:, :, RIGHT] - points[:, :, CENTRE]
    lengths = [np.maximum(np.hypot(each[..., 0], each[..., 1]), 1e-9)[..., None] for each in (back, ahead)]
    common = back + ahead
    common /= np.maximum(np.hypot(common[..., 0], common[..., 1]), 1e-9)[..., None]
    cosines = (back * ahead).sum(axis=-1) / (lengths[0] * lengths[1])[..., 0]
    centre = points[:, :, CENTRE]
    straight = np.stack([centre - common * lengths[0], centre, centre + common * lengths[1]], axis=2)
    return straight, np.degrees(np.arccos(np.clip(cosines, -1, 1)))
