# SPDX-License-Identifier: Apache-2.0
"""Puts as few spline points as possible on a track: the same marks on all its frames, within an error on each.

Where the spline is too far from the outline on any frame, a point is put at the worst place; afterwards each point is
taken away again that is not needed. Between two points, the two handles are those of least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matanyone_engine.shapes.follow import OutlineTrack
from matanyone_engine.shapes.shape import Numbers, bernstein

WORST = 4.0
"""Times the error: how far a single place may be off."""
_FIRST_POINTS = 4
"""Points that every shape has at least."""
_MOST_SAMPLES = 96
"""Samples of a piece that are looked at on each frame."""
_SAMPLE = 1.0
"""Pixels between two of them, where that is fewer."""
_ROUNDS = 10
"""Times that the places are moved to where the curve is nearest, and the handles found again."""


@dataclass(frozen=True)
class Piece:
    """Holds the curve between two neighbouring points, on all frames of a track."""

    corners: Numbers
    """(frames, 4, 2): point, handle, handle, point."""
    error: float
    """How far off the worst frame is, in pixels, as score() says."""
    worst: float
    """The mark at which it is."""


class Fit:
    """Finds the pieces of a track, and keeps those that it has found."""

    def __init__(self, track: OutlineTrack) -> None:
        self.track = track
        self._pieces: dict[tuple[float, float], Piece] = {}

    def piece(self, begin: float, end: float) -> Piece:
        """Return the curve from one mark to another, which is further on; perhaps around the end of the outline."""
        end = end if end > begin else end + 1
        if (begin, end) not in self._pieces:
            self._pieces[begin, end] = self._found(begin, end)
        return self._pieces[begin, end]

    def _found(self, begin: float, end: float) -> Piece:
        track = self.track
        ways = np.array([track.along(number, np.array([begin, end])) for number in range(len(track.frames))])
        samples = int(np.clip((ways[:, 1] - ways[:, 0]).max() / _SAMPLE, 6, _MOST_SAMPLES))
        shares = np.linspace(0, 1, samples)
        along = ways[:, :1] + (ways[:, 1:] - ways[:, :1]) * shares
        places = np.stack([track.points(number, row) for number, row in enumerate(along)])
        corners, distances = fitted(places)
        frame, worst = np.unravel_index(int(distances.argmax()), distances.shape)
        inner = int(np.clip(worst, 1, samples - 2))
        mark = track.mark(int(frame), float(along[frame, inner]))
        mark += np.floor(begin - mark) + 1 if mark <= begin else 0.0
        if not begin < mark < end:
            mark = (begin + end) / 2
        return Piece(corners, float(score(distances).max()), mark)


def score(distances: Numbers) -> Numbers:
    """Return how far off pieces are, of the distances (..., m) of places along them, in pixels.

    The root of the mean square of the distances counts, or a quarter of the largest one where that is more.
    """
    return np.asarray(np.maximum(np.sqrt((distances**2).mean(axis=-1)), distances.max(axis=-1) / WORST))


def fitted(places: Numbers) -> tuple[Numbers, Numbers]:
    """Fit one cubic to each of many rows of places (n, m, 2); its ends are theirs.

    Returns the cubics (n, 4, 2), and how far each place lies from its own, (n, m), in pixels.
    """
    steps = np.hypot(*np.moveaxis(np.diff(places, axis=1), -1, 0))
    along = np.concatenate([np.zeros((len(places), 1)), np.cumsum(steps, axis=1)], axis=1)
    at = along / np.maximum(along[:, -1:], 1e-9)
    reach = along[:, -1]
    corners = _handles(places, at, reach)
    best, least = corners, _distances(places, corners, at)
    for _ in range(_ROUNDS):
        at = _nearer(places, corners, at)
        corners = _handles(places, at, reach)
        distances = _distances(places, corners, at)
        better = distances.max(axis=1) < least.max(axis=1)
        best = np.where(better[:, None, None], corners, best)
        least = np.where(better[:, None], distances, least)
    return best, least


def _handles(places: Numbers, at: Numbers, reach: Numbers) -> Numbers:
    """Return the cubics (n, 4, 2) through the ends of places whose handles have the least squares."""
    weights = bernstein(at)
    ends = places[:, [0, -1]]
    rest = places - weights[..., [0, 3]] @ ends
    inner = weights[..., 1:3]
    normal = np.swapaxes(inner, 1, 2) @ inner + 1e-6 * np.eye(2)
    handles = np.linalg.solve(normal, np.swapaxes(inner, 1, 2) @ rest)
    offsets = handles - ends
    far = np.hypot(offsets[..., 0], offsets[..., 1])
    offsets *= np.minimum(1.0, reach[:, None] / np.maximum(far, 1e-9))[..., None]
    handles = ends + offsets
    return np.stack([ends[:, 0], handles[:, 0], handles[:, 1], ends[:, 1]], axis=1)


def _nearer(places: Numbers, corners: Numbers, at: Numbers) -> Numbers:
    """Move each place's parameter towards where the cubic is nearest to it (one step of Newton's method)."""
    off = bernstein(at) @ corners - places
    first = np.diff(corners, axis=1) * 3
    second = np.diff(first, axis=1) * 2
    rest = 1 - at
    quadratic = np.stack([rest**2, 2 * rest * at, at**2], axis=-1)
    speed = quadratic @ first
    turn = np.stack([rest, at], axis=-1) @ second
    slope = (off * speed).sum(axis=-1)
    bend = (speed**2).sum(axis=-1) + (off * turn).sum(axis=-1)
    moved = np.where(bend > 1e-9, at - slope / np.where(bend > 1e-9, bend, 1.0), at)
    moved = np.sort(np.clip(moved, 0, 1), axis=1)
    moved[:, 0], moved[:, -1] = 0, 1
    return moved


def _distances(places: Numbers, corners: Numbers, at: Numbers) -> Numbers:
    off = bernstein(at) @ corners - places
    return np.asarray(np.hypot(off[..., 0], off[..., 1]))


def marks_of(fit: Fit, error: float) -> list[float]:
    """Return the marks of the points that a track needs, so that no frame is further off than `error` pixels."""
    marks = _added(fit, [number / _FIRST_POINTS for number in range(_FIRST_POINTS)], error)
    return _thinned(fit, marks, error)


def _added(fit: Fit, marks: list[float], error: float) -> list[float]:
    """Put points at the worst places until all pieces are good."""
    done: list[float] = []
    waiting = [(begin, end) for begin, end in zip(marks, [*marks[1:], marks[0] + 1], strict=True)]
    while waiting:
        begin, end = waiting.pop()
        piece = fit.piece(begin, end)
        done.append(begin)
        if piece.error > error and end - begin > 1e-6:
            done.pop()
            waiting += [(begin, piece.worst), (piece.worst, end)]
    return sorted({mark % 1.0 for mark in done})


def _thinned(fit: Fit, marks: list[float], error: float) -> list[float]:
    """Take away the points without which the pieces are still good, the least needed first."""
    kept = list(marks)
    while len(kept) > _FIRST_POINTS:
        count = len(kept)
        joined = [fit.piece(kept[number - 1], kept[(number + 1) % count]).error for number in range(count)]
        taken: set[int] = set()
        for number in sorted(range(count), key=lambda each: joined[each]):
            if joined[number] > error or count - len(taken) <= _FIRST_POINTS:
                break
            if {(number - 1) % count, (number + 1) % count} & taken:
                continue
            taken.add(number)
        if not taken:
            break
        kept = [mark for number, mark in enumerate(kept) if number not in taken]
    return kept
