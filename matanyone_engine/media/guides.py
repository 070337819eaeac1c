# SPDX-License-Identifier: Apache-2.0
"""Turns a rough mask of every frame, a guide, into what surely is the subject and what surely is not.

    guide    a tracker's mask or fast roto: some pixels wrong, perhaps half a frame late
    grey     whoever made the guide is not sure there: left to the network
    band     around its edge and its greys, left to the network; wider where the edge moves
    inside   what lies further in than the band; outside: what lies further out

Rules of this file:
1. Pure functions of masks: the same guide frames give the same answer, whichever part of a shot is computed.
2. A guide that leaps to something else for a few frames is outvoted there by the frames around (outvoted()).
3. A black guide frame says nothing: a tracker writes it where it has lost its subject. A frame that is white all over
   says nothing, too: it has no edge, and mostly it is the opaque alpha of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.media.images import FloatImage

BAND = 1.0 / 16.0
"""Of the plate's shorter side: how far a guide's edge may be wrong where nobody says (benchmarks/README.md)."""
SURE = 0.75
"""From this value on a guide surely shows the subject, and up to 1 - SURE surely not; what lies between is grey."""
LATE = 0.5
"""Frames by which a guide may be late or early."""
LEAP = 0.25
"""Two neighbouring guide frames whose overlap is below this part of their union do not show the same thing."""
LONGEST_LEAP = 12
"""Frames for which a guide may be elsewhere and is still outvoted when it comes back."""
SLOWER = 0.5
"""Of a leap: how far the guide around it may move in a frame."""
LOOKS_AROUND = LONGEST_LEAP + 2
"""Frames on either side of a frame that have a say in what its guide is worth."""
CLEAR = 0.9
"""Of the clearest frame's share of white: how white a guide must be on a frame that becomes a key."""
_SMALL_SIDE = 160
"""Pixels to which guides are made smaller where only their place counts."""

GuideShape = npt.NDArray[np.bool_]


class GuideFrame(NamedTuple):
    """Holds the guide of a frame that lies `gap` frames away from the one in question."""

    mask: FloatImage
    """(H, W) 0..1."""
    gap: int


class GuideLimits(NamedTuple):
    """Holds what a guide says of one frame: masks (H, W), 0 or 1."""

    inside: FloatImage
    outside: FloatImage


def default_band(size: tuple[int, int]) -> int:
    """Return the band, in pixels, of a plate of (width, height)."""
    return max(2, round(min(size) * BAND))


def limits(mask: FloatImage, neighbours: Sequence[GuideFrame], band: float) -> GuideLimits | None:
    """Return what surely is inside and what surely is outside, of a guide (H, W) 0..1; None where it has no edge.

    band: pixels on either side of the guide's edge, and around its greys, that are left to the network. Where the edge
    moves, between this frame and the guide's neighbouring frames, half of its way in a frame is added, since a guide
    may come late.
    """
    shape = mask >= 0.5
    if not has_edge(shape):
        return None
    distance = distances(shape)
    beside = [(each.mask >= 0.5, each.gap) for each in neighbours]
    ways = [np.abs(distance - distances(other)) / gap for other, gap in beside if has_edge(other)]
    return limits_beyond(mask, band + LATE * np.maximum.reduce(ways) if ways else np.float32(band))


def limits_beyond(mask: FloatImage, width: FloatImage | np.float32) -> GuideLimits:
    """Return what lies further in than `width` pixels from where a guide (H, W) 0..1 is not white, and further out
    than that from where it is not black; one width for all pixels or one for each (H, W).
    """
    inside, outside = distances(mask >= SURE) > width, distances(mask > 1 - SURE) < -width
    return GuideLimits(inside.astype(np.float32), outside.astype(np.float32))


def has_edge(shape: GuideShape) -> bool:
    """Tell whether a shape is neither black nor white all over."""
    return bool(shape.any() and not shape.all())


def distances(shape: GuideShape) -> FloatImage:
    """Return how far each pixel lies inside of the shape's edge, in pixels; negative outside. The border is no edge."""
    far = np.float32(sum(shape.shape))

    def within(places: GuideShape) -> FloatImage:
        if places.all():
            return np.full(shape.shape, far, np.float32)
        deep = cv2.distanceTransform(places.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(deep, np.float32)

    return within(shape) - within(~shape)


def small(mask: FloatImage) -> GuideShape:
    """Return where a guide is, at a size at which many can be held."""
    shrink = min(1.0, _SMALL_SIDE / max(mask.shape))
    size = (max(1, round(mask.shape[1] * shrink)), max(1, round(mask.shape[0] * shrink)))
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA)) >= 0.5


def white_share(mask: FloatImage) -> float:
    """Return how much of a guide's shape is surely the subject, 0..1; the rest of it is grey. 0 where it is black."""
    return int(np.count_nonzero(mask >= SURE)) / max(1, int(np.count_nonzero(mask >= 0.5)))


def clear_frames(shares: Mapping[int, float]) -> list[int]:
    """Return the frames whose guide is about as white as the clearest one's. shares: frame -> white_share().

    Grey says that a tracker or an artist is not sure. As a key it would tell the network that the subject is half
    transparent.
    """
    least = CLEAR * max(shares.values(), default=0.0)
    return sorted(frame for frame, share in shares.items() if share >= least)


def outvoted(guides: Mapping[int, GuideShape]) -> frozenset[int]:
    """Return the frames whose guide is not to be believed. guides: frame -> small(), those without an edge left out.

    Between two neighbouring frames the guide leaps where the shapes overlap by less than LEAP of their union. What lies
    between two leaps, for at most LONGEST_LEAP frames, is outvoted if the guide before it and the guide after it are
    less far apart, frame by frame, than half of either leap. What leaps and does not come back is not outvoted.
    """
    stretches = _stretches(guides)
    found: list[int] = []
    for before, between, after in zip(stretches, stretches[1:], stretches[2:], strict=False):
        if len(between) > LONGEST_LEAP or not (_touch(before, between) and _touch(between, after)):
            continue
        there = [guides[frame] for frame in (before[-1], between[0], between[-1], after[0])]
        leaps = (apart(there[0], there[1]), apart(there[2], there[3]))
        home = apart(there[0], there[3]) / (after[0] - before[-1])
        if home < SLOWER * min(leaps):
            found += between
    return frozenset(found)


def _stretches(guides: Mapping[int, GuideShape]) -> list[list[int]]:
    """Split the frames where the guide leaps, or is missing."""
    stretches: list[list[int]] = []
    last: int | None = None
    for frame in sorted(guides):
        if last is not None and frame == last + 1 and overlap(guides[last], guides[frame]) >= LEAP:
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
        last = frame
    return stretches


def _touch(one: Sequence[int], other: Sequence[int]) -> bool:
    return other[0] == one[-1] + 1


def overlap(one: GuideShape, other: GuideShape) -> float:
    """Return the overlap of two shapes as a part of their union, 0..1; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def apart(one: GuideShape, other: GuideShape) -> float:
    """Return how far the middles of two shapes, of which none is empty, lie from each other, in their pixels."""
    (x, y), (u, v) = (np.argwhere(each).mean(axis=0) for each in (one, other))
    return float(np.hypot(x - u, y - v))


def best_frame(guides: Mapping[int, GuideShape], frames: Sequence[int]) -> int | None:
    """Return the frame whose guide makes the best key: where most of the subject is seen and it moves least.

    Each frame's area, as a part of the largest, times its overlap with the guides beside it; outvoted frames are left
    out, and so are those not in `frames`. The earliest of equals; None where there is none.
    """
    doubted = outvoted(guides)
    there = [frame for frame in sorted(set(frames) & set(guides)) if frame not in doubted]
    if not there:
        return None
    largest = max(int(guides[frame].sum()) for frame in there)

    def worth(frame: int) -> float:
        beside = [overlap(guides[frame], guides[each]) for each in (frame - 1, frame + 1) if each in guides]
        return int(guides[frame].sum()) / largest * min(beside, default=1.0)

    return max(there, key=lambda frame: (round(worth(frame), 6), -frame))
