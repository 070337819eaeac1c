# SPDX-License-Identifier: Apache-2.0
"""Chooses the frames on which a shape gets a key: as few as keep it near its outline on every frame.

Between two keys all points move on straight lines at an even speed. Blender's masks and Silhouette do so by themselves.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from matanyone_engine.shapes.fit import score
from matanyone_engine.shapes.follow import OutlineTrack
from matanyone_engine.shapes.shape import Numbers, pieces

_SAMPLES = 12
"""Samples of each piece of the outline that are looked at."""
_STEPS = 8
"""Straight lines by which a piece of the spline is replaced where a distance from it is measured."""


def chosen(samples: Numbers, points: Numbers, error: float) -> list[int]:
    """Return the numbers of the frames, in the track, that need a key.

    samples: of the outlines, as samples_of() returns them. points: (frames, points, 3, 2), the best spline of each
    frame. error: as in fit.score().
    """
    keyed = sorted({0, len(points) - 1})
    good: set[tuple[int, int]] = set()
    while True:
        added = []
        for span in pairwise(keyed):
            if span in good:
                continue
            worst = _worst(samples, points, *span, error)
            if worst is None:
                good.add(span)
            else:
                added.append(worst)
        if not added:
            return keyed
        keyed = sorted({*keyed, *added})


def samples_of(track: OutlineTrack, marks: list[float]) -> Numbers:
    """Return (frames, points, _SAMPLES, 2): places along each piece of the outline of each frame."""
    ends = np.array([*marks, marks[0] + 1])
    shares = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    found = []
    for number in range(len(track.frames)):
        along = track.along(number, ends)
        within = along[:-1, None] + (along[1:] - along[:-1])[:, None] * shares
        found.append(track.points(number, within.ravel()).reshape(len(marks), _SAMPLES, 2))
    return np.stack(found)


def _worst(samples: Numbers, points: Numbers, begin: int, end: int, error: float) -> int | None:
    """Return the frame between two keys that is furthest off; None where all are good."""
    found, furthest = None, error
    for number in range(begin + 1, end):
        share = (number - begin) / (end - begin)
        there = points[begin] + share * (points[end] - points[begin])
        off = float(score(distances(samples[number], there)).max())
        if off > furthest:
            found, furthest = number, off
    return found


def distances(samples: Numbers, points: Numbers) -> Numbers:
    """Return (points, m): how far places of each piece of an outline, (points, m, 2), lie from a spline, in pixels.

    Each is measured to the piece of its own and to the two beside it, since points may slide along an edge.
    """
    line = pieces(points, _STEPS)
    begins, ends = line[:, :-1], line[:, 1:]
    near = [
        np.concatenate([np.roll(each, 1, axis=0), each, np.roll(each, -1, axis=0)], axis=1) for each in (begins, ends)
    ]
    ways = (near[1] - near[0])[:, None]
    off = samples[:, :, None] - near[0][:, None]
    share = (off * ways).sum(axis=-1) / np.maximum((ways**2).sum(axis=-1), 1e-12)
    off = off - np.clip(share, 0, 1)[..., None] * ways
    return np.asarray(np.sqrt((off**2).sum(axis=-1).min(axis=2)))
