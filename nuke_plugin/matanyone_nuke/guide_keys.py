# SPDX-License-Identifier: Apache-2.0
"""Chooses the frame of a guide that is the mask of an object for which nobody drew one, once the guide is rendered.

The rule is the engine's (docs/guides.md): the frame on which the guide covers most and moves least, without frames on
which it is elsewhere for a moment, and without those on which more of it is grey than on the clearest frame.

Rules of this file:
1. It imports no nuke and no numpy, which Nuke's Python does not have. Python 3.7.
2. Of a guide only the place counts: it is looked at in a grid of points, so that a frame takes a moment.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from itertools import accumulate
from typing import Callable, Dict, List, Optional, Set, Tuple

from .frames import PlanError, frame_file, with_view
from .plan import Mask, Plan

_ACROSS = 160
"""Points along the longer side."""
_LEAP, _LONGEST_LEAP, _SLOWER = 0.25, 12, 0.5
"""Overlap below which a guide leaps, frames for which it may be elsewhere, and how slow it must be around that."""
_SURE, _CLEAR = 0.75, 0.9
"""The value from which a guide is white; and how white the chosen frame must be, of the clearest frame's share."""
_MAGIC = b"\x76\x2f\x31\x01"
_PLAIN, _ZIP_OF_ONE_LINE = 0, 2
_HALF, _FLOAT = 1, 2
_FLIP = bytes(value ^ 128 for value in range(256))


@dataclass(frozen=True)
class Place:
    """Says where a guide is on a frame."""

    points: int
    """A bit for each point of the grid that it covers."""
    count: int
    white: int
    """How many of these points are white; the others are grey."""
    middle: Tuple[float, float]
    """Of these points, in points."""


def with_keys_of_guides(plan: Plan, check: Callable[[], None] = lambda: None) -> Plan:
    """Return the plan with a mask for each object that has none: a frame of its guide, which is on disk by now.

    check: called before each frame; what it raises ends the work. Raises PlanError where a guide shows nothing.
    """
    guides = {each.object: each for each in plan.chunks[0].exports if each.what == "guide"}
    masks = plan.masks
    for name in plan.unmasked:
        places = {}
        for frame in guides[name].frames:
            check()
            place = place_in(frame_file(with_view(guides[name].file, plan.views[0]), frame))
            if place is not None:
                places[frame] = place
        best = best_frame(places, clear_frames(places, plan.whole))
        if best is None:
            raise PlanError("a guide that shows %s on some frame" % name, "an empty one", "Draw it, or connect a mask.")
        masks += (Mask(name, guides[name].file, (best,)),)
    return dataclasses.replace(plan, masks=masks, unmasked=())


# ---------------------------------------------------------------------------------------------------- the choice


def best_frame(places: Dict[int, Place], frames: Tuple[int, ...]) -> Optional[int]:
    """Return the frame whose guide makes the best mask, the earliest of equals; None where there is none."""
    there = sorted((set(frames) & set(places)) - outvoted(places))
    largest = max([places[frame].count for frame in there] or [1])

    def worth(frame: int) -> float:
        beside = [places[each] for each in (frame - 1, frame + 1) if each in places]
        stays = min([_overlap(places[frame], each) for each in beside] or [1.0])
        return round(places[frame].count / largest * stays, 6)

    return max(there, key=lambda frame: (worth(frame), -frame)) if there else None


def clear_frames(places: Dict[int, Place], frames: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return those of some frames whose guide is about as white as the clearest one's."""
    shares = {frame: places[frame].white / float(places[frame].count) for frame in frames if frame in places}
    least = _CLEAR * max(shares.values(), default=0.0)
    return tuple(frame for frame, share in shares.items() if share >= least)


def outvoted(places: Dict[int, Place]) -> Set[int]:
    """Return the frames on which the guide is elsewhere for a moment: it leaps there, and comes back."""
    found = set()  # type: Set[int]
    runs = _runs(places)
    for before, away, after in zip(runs, runs[1:], runs[2:]):
        if len(away) > _LONGEST_LEAP or away[0] != before[-1] + 1 or after[0] != away[-1] + 1:
            continue
        ends = [places[frame] for frame in (before[-1], away[0], away[-1], after[0])]
        leap = min(_apart(ends[0], ends[1]), _apart(ends[2], ends[3]))
        if _apart(ends[0], ends[3]) / (after[0] - before[-1]) < _SLOWER * leap:
            found.update(away)
    return found


def _runs(places: Dict[int, Place]) -> List[List[int]]:
    """Split the frames where the guide leaps, or is not there."""
    runs = []  # type: List[List[int]]
    for frame in sorted(places):
        if frame - 1 in places and _overlap(places[frame - 1], places[frame]) >= _LEAP:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def _overlap(one: Place, other: Place) -> float:
    """Return what two places share, as a part of both together."""
    shared = bin(one.points & other.points).count("1")
    return shared / (one.count + other.count - shared)


def _apart(one: Place, other: Place) -> float:
    return math.hypot(one.middle[0] - other.middle[0], one.middle[1] - other.middle[1])


# ---------------------------------------------------------------------------------------------------- the files


def place_in(path: str) -> Optional[Place]:
    """Return where the guide in a rendered file is; None where it is black, or white all over. Raises PlanError."""
    try:
        with open(path, "rb") as file:
            return _place(file.read())
    except (OSError, ValueError, KeyError, IndexError, struct.error, zlib.error) as error:
        raise PlanError(
            "a guide that was rendered by this node",
            "%s: %s" % (path, error),
            "Set 'key frames' to 'list' and name the frame of the guide that shows most.",
        )


def _place(data: bytes) -> Optional[Place]:
    attributes, start = _header(data)
    left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    x0, y0, x1, y1 = struct.unpack("<4i", attributes[b"displayWindow"])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    shrink = min(1.0, _ACROSS / float(max(width, height)))
    across, down = max(1, round(width * shrink)), max(1, round(height * shrink))
    columns = [x0 + int((number + 0.5) * width / across) - left for number in range(across)]
    inside = [(number, column) for number, column in enumerate(columns) if 0 <= column <= right - left]
    points, white, xs, ys = [], 0, 0, 0
    for number in range(down):
        line = y0 + int((number + 0.5) * height / down)
        if top <= line <= bottom and inside:
            values = _line(data, attributes, struct.unpack_from("<Q", data, start + 8 * (line - top))[0])
            covered = [at for at, column in inside if values[column] >= 0.5]
            points += [number * across + at for at in covered]
            white += sum(values[column] >= _SURE for _, column in inside)
            xs, ys = xs + sum(covered), ys + number * len(covered)
    if not 0 < len(points) < across * down:
        return None
    return Place(sum(1 << at for at in points), len(points), white, (xs / float(len(points)), ys / float(len(points))))


def _header(data: bytes) -> Tuple[Dict[bytes, bytes], int]:
    """Return the attributes of a plain EXR of scan lines and one channel, and where its table of lines begins."""
    if data[:4] != _MAGIC or struct.unpack_from("<I", data, 4)[0] != 2:
        raise ValueError("no plain EXR")
    attributes, at = {}, 8
    while data[at]:
        name, kind, _ = data[at : at + 512].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        length = struct.unpack_from("<i", data, at)[0]
        attributes[name] = data[at + 4 : at + 4 + length]
        at += 4 + length
    if attributes[b"compression"][0] not in (_PLAIN, _ZIP_OF_ONE_LINE) or attributes[b"lineOrder"] != b"\0":
        raise ValueError("another compression than Zip (1 scanline)")
    if _kind(attributes) not in (_HALF, _FLOAT):
        raise ValueError("not one channel of floats")
    return attributes, at + 1


def _kind(attributes: Dict[bytes, bytes]) -> int:
    """Return the type of the only channel; -1 where there are several."""
    _, _, rest = attributes[b"channels"].partition(b"\0")
    return int(rest[0]) if len(rest) == 17 else -1


def _line(data: bytes, attributes: Dict[bytes, bytes], at: int) -> List[float]:
    """Return the values of a line."""
    left, _, right, _ = struct.unpack("<4i", attributes[b"dataWindow"])
    kind = _kind(attributes)
    size = (right - left + 1) * (2 if kind == _HALF else 4)
    packed = data[at + 8 : at + 8 + struct.unpack_from("<i", data, at + 4)[0]]
    plain = packed if len(packed) == size else _unpacked(zlib.decompress(packed))
    if len(plain) != size:
        raise ValueError("a line that is cut short")
    if kind == _HALF:
        return list(struct.unpack("<%de" % (size // 2), plain))
    values = array("f", plain)
    if sys.byteorder == "big":
        values.byteswap()
    return list(values)


def _unpacked(steps: bytes) -> bytes:
    """Undo what EXR does to bytes before it compresses them: each is stored as its step from the one before, and the
    lower bytes of all values before the upper ones.
    """
    sums = bytes(value & 255 for value in accumulate(steps))
    even = bytearray(len(sums))
    even[0::2], even[1::2] = sums[0::2], sums[1::2].translate(_FLIP)
    half = (len(even) + 1) // 2
    found = bytearray(len(even))
    found[0::2], found[1::2] = even[:half], even[half:]
    return bytes(found)
