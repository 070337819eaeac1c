# SPDX-License-Identifier: Apache-2.0
"""Follows outlines through time: which outline of the next frame is the same one, and which of its places is which.

A way through time is a track. Along it, each place of the outline has a number, its mark, from 0 to 1 around it, that
stays the same while the place moves: a spline point that is put at a mark is on the same part of the subject on every
frame. Marks are carried to the next frame by optical flow and then laid along the outline there, in order and as evenly
as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.outline import ClosedLine
from matanyone_engine.shapes.shape import Numbers

SAME = 0.6
"""Of their union: two outlines that overlap less, moved onto each other, are not the same shape."""
_GROWS = 8.0
"""Pixels by which the width or height of the same outline may change in a frame, however small it is."""
_SMALL_SIDE = 256
"""Pixels to which outlines are made smaller where only their overlap counts."""
_MARKS = 256
"""Marks that are carried from frame to frame; between them the outline is taken to stretch evenly."""
_PLACES = 768
"""Samples of the next outline among which the marks are laid."""
_JUMPS = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36, 54, 80])
"""By how many places the next mark may be further on."""
_EVENNESS = 0.02
"""How much an uneven stretch counts beside a distance, both squared and in places."""

Flow = Callable[[int, Numbers], Numbers]
"""A frame and places (n, 2) on it -> where they are on the next frame of the shot."""


@dataclass
class OutlineTrack:
    """Holds one outline through the frames on which it exists."""

    depth: int
    frames: list[int]
    lines: list[Numbers]
    """Of each frame: (n, 2)."""
    lengths: list[Numbers] = field(default_factory=list)
    """Of each frame: (n + 1,) how far along the line each of its points lies, and how long it is in all."""
    places: list[Numbers] = field(default_factory=list)
    """Of each frame: (_MARKS + 1,) how far along the line each mark lies; the last one is the first, a turn later."""

    def along(self, number: int, marks: Numbers) -> Numbers:
        """Return how far along the line of a frame, given by its number in the track, marks lie; any real numbers."""
        whole = np.floor(marks)
        places = np.interp(marks - whole, np.linspace(0, 1, _MARKS + 1), self.places[number])
        return np.asarray(places + whole * self.lengths[number][-1])

    def mark(self, number: int, along: float) -> float:
        """Return the mark of a place along the line: the other way around."""
        places, length = self.places[number], self.lengths[number][-1]
        whole = np.floor((along - places[0]) / length)
        return float(np.interp(along - whole * length, places, np.linspace(0, 1, _MARKS + 1)) + whole)

    def points(self, number: int, along: Numbers) -> Numbers:
        """Return (n, 2): the places that lie so far along the line of a frame."""
        return at_lengths(self.lines[number], self.lengths[number], along)


def lengths(line: Numbers) -> Numbers:
    """Return (n + 1,): how far along a closed line each of its points lies, and how long it is."""
    steps = np.hypot(*(np.roll(line, -1, axis=0) - line).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def at_lengths(line: Numbers, ends: Numbers, along: Numbers) -> Numbers:
    """Return (n, 2): the places so far along a closed line. ends: its lengths()."""
    ring = np.concatenate([line, line[:1]])
    places = np.mod(along, ends[-1])
    return np.stack([np.interp(places, ends, ring[:, 0]), np.interp(places, ends, ring[:, 1])], axis=-1)


def tracks(frames: Iterable[tuple[int, list[ClosedLine]]], flow: Flow) -> list[OutlineTrack]:
    """Follow the outlines of a shot. frames: in order. A frame that is missing ends all shapes before it."""
    done: list[OutlineTrack] = []
    alive: list[OutlineTrack] = []
    for frame, there in frames:
        going = [track for track in alive if track.frames[-1] == frame - 1]
        done += [track for track in alive if track.frames[-1] != frame - 1]
        matches = _matches(going, there)
        for track, outline in matches:
            _go_on(track, frame, outline, flow)
        done += [track for track in going if all(track is not other for other, _ in matches)]
        taken = [outline for _, outline in matches]
        alive = [track for track, _ in matches]
        alive += [_begun(frame, each) for each in there if all(each is not other for other in taken)]
    return sorted(done + alive, key=lambda track: (track.frames[0], track.depth))


def _matches(going: list[OutlineTrack], there: list[ClosedLine]) -> list[tuple[OutlineTrack, ClosedLine]]:
    """Pair outlines that are the same: the pairs that overlap most come first."""
    overlaps = [
        (_overlap(track.lines[-1], outline.line), old, new)
        for old, track in enumerate(going)
        for new, outline in enumerate(there)
        if track.depth == outline.depth
    ]
    found: dict[int, int] = {}
    for overlap, old, new in sorted(overlaps, reverse=True):
        if overlap >= SAME and old not in found and new not in found.values():
            found[old] = new
    return [(going[old], there[new]) for old, new in found.items()]


def _overlap(one: Numbers, other: Numbers) -> float:
    """Return the intersection of two outlines, moved onto each other, over their union.

    Where their sizes differ by few pixels, they are made equally large first: a small hole that opens doubles its area
    in a frame while its edge moves by a pixel or two.
    """
    sizes = [np.ptp(line, axis=0) for line in (one, other)]
    if np.abs(sizes[0] - sizes[1]).max() <= _GROWS:
        other = other.mean(axis=0) + (other - other.mean(axis=0)) * sizes[0] / np.maximum(sizes[1], 1e-6)
        sizes[1] = sizes[0]
    if max(sizes[0].max(), sizes[1].max()) > 2 * max(1.0, min(sizes[0].max(), sizes[1].max())):
        return 0.0
    far = np.abs(one.mean(axis=0) - other.mean(axis=0)).max()
    if far > max(sizes[0].max(), sizes[1].max()):
        return 0.0  # it would have moved by more than itself in a frame
    masks = [_filled(line - line.mean(axis=0), max(sizes[0].max(), sizes[1].max())) for line in (one, other)]
    return float((masks[0] & masks[1]).sum() / max(1, (masks[0] | masks[1]).sum()))


def _filled(line: Numbers, size: float) -> npt.NDArray[np.bool_]:
    shrink = min(1.0, _SMALL_SIDE / (2 * size))
    side = int(2 * size * shrink) + 4
    picture = np.zeros((side, side), np.uint8)
    cv2.fillPoly(picture, [np.rint((line * shrink + side / 2) * 16).astype(np.int32)], 1, shift=4)
    return np.asarray(picture > 0)


def _begun(frame: int, outline: ClosedLine) -> OutlineTrack:
    ends = lengths(outline.line)
    return OutlineTrack(outline.depth, [frame], [outline.line], [ends], [np.linspace(0, ends[-1], _MARKS + 1)])


def _go_on(track: OutlineTrack, frame: int, outline: ClosedLine, flow: Flow) -> None:
    """Add a frame to a track."""
    marks = track.points(-1, track.places[-1][:-1])
    moved = flow(frame - 1, marks)
    ends = lengths(outline.line)
    places = _laid(moved, outline.line, ends)
    track.frames.append(frame)
    track.lines.append(outline.line)
    track.lengths.append(ends)
    track.places.append(places)


def _laid(moved: Numbers, line: Numbers, ends: Numbers) -> Numbers:
    """Lay marks along a line, in order and as evenly as they are, near where the flow took them.

    Returns (_MARKS + 1,) lengths along the line that rise strictly, the last a whole turn after the first.
    """
    count = int(min(_PLACES, max(_MARKS, len(line))))
    spacing = ends[-1] / count
    among = at_lengths(line, ends, np.arange(count) * spacing)
    costs = ((moved[:, None] - among[None]) ** 2).sum(axis=2) / spacing**2
    anchor = _anchor(costs)
    begin = int(np.argmin(costs[anchor]))
    costs = np.roll(np.roll(costs, -anchor, axis=0), -begin, axis=1)
    steps = _cheapest(costs, count / _MARKS)
    places = _nearest(np.roll(moved, -anchor, axis=0), line, ends, (steps + begin) * spacing, spacing)
    places = _strictly(np.append(places, places[0] + ends[-1]))
    return np.concatenate([places[-1 - anchor : -1] - ends[-1], places[: len(places) - anchor]])


def _nearest(moved: Numbers, line: Numbers, ends: Numbers, places: Numbers, spacing: float) -> Numbers:
    """Move each mark along the line, by less than the spacing of the places, to where the flow took it."""
    tries = places[:, None] + np.linspace(-1.5, 1.5, 61) * spacing
    there = at_lengths(line, ends, tries.ravel()).reshape(*tries.shape, 2)
    best = ((there - moved[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    return np.asarray(tries[np.arange(len(places)), best])


def _anchor(costs: Numbers) -> int:
    """Return the mark whose place on the next line is the clearest, where the walk around it begins."""
    nearest = costs.min(axis=1)
    far_away = np.sort(costs, axis=1)[:, costs.shape[1] // 8]
    return int(np.argmax(far_away - 8 * nearest))


def _cheapest(costs: Numbers, even: float) -> npt.NDArray[np.int64]:
    """Return for each mark the place that it is laid at: the cheapest way around the line (dynamic programming)."""
    marks, count = costs.shape
    penalties = (_EVENNESS * (_JUMPS - even) ** 2)[:, None]
    sources = np.arange(count + 1)[None] - _JUMPS[:, None] + _JUMPS[-1]
    blocked = np.full(_JUMPS[-1], np.inf)
    total = np.full(count + 1, np.inf)
    total[0] = costs[0, 0]
    came = np.zeros((marks + 1, count + 1), np.int64)
    for mark in range(1, marks + 1):
        ways = np.concatenate([blocked, total])[sources] + penalties
        best = ways.argmin(axis=0)
        came[mark] = _JUMPS[best]
        own = np.append(costs[mark], costs[mark, 0]) if mark < marks else 0.0
        total = ways[best, np.arange(count + 1)] + own
    places = [count]
    for mark in range(marks, 0, -1):
        places.append(places[-1] - int(came[mark, places[-1]]))
    return np.array(places[:0:-1])


def _strictly(places: Numbers) -> Numbers:
    """Return lengths that rise at every mark, where some may stand still or fall; the first and the last stay."""
    whole = places[-1] - places[0]
    risen = np.clip(np.maximum.accumulate(places), places[0], places[-1]) - places[0]
    evenly = np.linspace(0, whole, len(places))
    return np.asarray(places[0] + risen + 1e-3 * (evenly - risen))
