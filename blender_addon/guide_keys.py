# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the frame of a guide that stands in for a mask, where an object has a guide and nobody drew a mask. No bpy.

The rule is the engine's own (docs/guides.md): the frame on which the guide covers most and moves least, without those
on which it is elsewhere for a moment, and without those on which more of it is grey than on the clearest frame. It is
chosen here, as a command line chooses it there: the job then names that frame as any other key.

Rule of this file: it reads many files, so it is for the network thread.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import plan
from .alphas import UNREADABLE, read_alpha

_SMALL_SIDE = 160
"""Pixels to which guides are made smaller: only their place counts."""
_LEAP, _LONGEST_LEAP, _SLOWER = 0.25, 12, 0.5
"""Overlap below which a guide leaps, frames for which it may be elsewhere, and how slow it must be around that."""
_SURE, _CLEAR = 0.75, 0.9
"""The value from which a guide is white; and how white the chosen frame must be, of the clearest frame's share."""


def with_keys(
    state: plan.ShotState, frames: Sequence[int], tell: Callable[[str], None], check: Callable[[], None]
) -> plan.ShotState:
    """Return the shot with a key for each object that has a guide and no mask. Raises WireError.

    frames: of the plate. tell: told how far it is. check: called now and then; what it raises ends the work.
    """
    first, last = state.frames or (frames[0], frames[-1])
    asked = [frame for frame in frames if first <= frame <= last]
    keys = []
    for name, pattern in plan.unmasked(state).items():
        guides, shares = _read(name, pattern, tell, check)
        best = best_frame(guides, clear_frames(shares, asked))
        if best is None:
            raise _no_key(name, f"no such frame among {pattern}")
        keys.append(plan.KeyState(best, pattern, name))
    return replace(state, keys=(*state.keys, *keys))


def _read(
    name: str, pattern: str, tell: Callable[[str], None], check: Callable[[], None]
) -> tuple[dict[int, Any], dict[int, float]]:
    """Return where the guide is on each of its frames that show something, and how white it is there."""
    found = plan.frames_on_disk(pattern) if re.fullmatch(r"[^#]*#+[^#:]*", Path(pattern).name) else ()
    guides: dict[int, Any] = {}
    shares: dict[int, float] = {}
    for number, frame in enumerate(found):
        check()
        tell(f"looking for the guide's best frame: {number} of {len(found)}")
        try:
            values = read_alpha(Path(plan.file_of(pattern, frame)), sys.maxsize).values
        except UNREADABLE as error:
            raise _no_key(name, f"a guide that cannot be looked at here ({error})") from error
        place = small(values)
        if place.any():
            guides[frame], shares[frame] = place, white_share(values)
    return guides, shares


def _no_key(name: str, came: str) -> Exception:
    return plan.refused(
        f"expected a mask of {name}, or a guide in EXR files that shows it, got {came}",
        "Draw a mask on one frame and add it: the matte is much better than from the guide alone.",
    )


def small(values: Any) -> Any:
    """Return where a guide is, at a size at which many can be held: numpy, bool. values: (height, width), 0 to 1."""
    shrink = min(1.0, _SMALL_SIDE / max(values.shape))
    down, across = (_averaging(side, max(1, round(side * shrink))) for side in values.shape)
    return down @ values @ across.T >= 0.5


def white_share(values: Any) -> float:
    """Return how much of a guide is white and not grey, 0 to 1. values: numpy (height, width), 0 to 1."""
    return int((values >= _SURE).sum()) / max(1, int((values >= 0.5).sum()))


def clear_frames(shares: Mapping[int, float], frames: Iterable[int]) -> list[int]:
    """Return those of some frames whose guide is about as white as the clearest one's. shares: frame -> white_share().

    Grey says that a tracker or an artist is not sure. As a key it would tell the network that the subject is half
    transparent.
    """
    asked = {frame: shares[frame] for frame in frames if frame in shares}
    least = _CLEAR * max(asked.values(), default=0.0)
    return [frame for frame, share in asked.items() if share >= least]


def _averaging(side: int, parts: int) -> Any:
    """Return a matrix that averages `side` pixels to so many parts, each pixel by how much of it lies in a part."""
    import numpy as np

    ends, pixels = np.arange(parts + 1) * (side / parts), np.arange(side)
    inside = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    return (np.clip(inside, 0, None) * (parts / side)).astype(np.float32)


def best_frame(guides: Mapping[int, Any], frames: Iterable[int]) -> int | None:
    """Return the frame whose guide makes the best key; the earliest of equals, None where there is none.

    guides: frame -> small(), those that show something. frames: those that may be chosen.
    """
    doubted = outvoted(guides)
    there = [frame for frame in sorted(set(frames) & set(guides)) if frame not in doubted]
    largest = max((int(guides[frame].sum()) for frame in there), default=0)

    def worth(frame: int) -> float:
        beside = [_overlap(guides[frame], guides[each]) for each in (frame - 1, frame + 1) if each in guides]
        return int(guides[frame].sum()) / largest * min(beside, default=1.0)

    return max(there, key=lambda frame: (round(worth(frame), 6), -frame), default=None)


def outvoted(guides: Mapping[int, Any]) -> frozenset[int]:
    """Return the frames on which a guide is elsewhere for a moment: it leaps there and comes back."""
    found: list[int] = []
    stretches = _stretches(guides)
    for before, between, after in zip(stretches, stretches[1:], stretches[2:], strict=False):
        touching = between[0] == before[-1] + 1 and after[0] == between[-1] + 1
        if len(between) > _LONGEST_LEAP or not touching:
            continue
        there = [guides[frame] for frame in (before[-1], between[0], between[-1], after[0])]
        leap = min(_apart(there[0], there[1]), _apart(there[2], there[3]))
        if _apart(there[0], there[3]) / (after[0] - before[-1]) < _SLOWER * leap:
            found += between
    return frozenset(found)


def _stretches(guides: Mapping[int, Any]) -> list[list[int]]:
    """Split the frames where the guide leaps, or is missing."""
    stretches: list[list[int]] = []
    for frame in sorted(guides):
        if frame - 1 in guides and _overlap(guides[frame - 1], guides[frame]) >= _LEAP:
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
    return stretches


def _overlap(one: Any, other: Any) -> float:
    """Return the overlap of two shapes as a part of their union."""
    return int((one & other).sum()) / int((one | other).sum())


def _apart(one: Any, other: Any) -> float:
    """Return how far the middles of two shapes lie from each other, in their pixels."""
    import numpy as np

    (y, x), (v, u) = (np.argwhere(each).mean(axis=0) for each in (one, other))
    return float(np.hypot(x - u, y - v))
