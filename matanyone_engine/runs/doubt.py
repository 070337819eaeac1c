# SPDX-License-Identifier: Apache-2.0
"""Tells whether a finished run is to be trusted: a run whose subject was lost looks finished all the same.

An object counts as lost if its confidence is near zero on more than half of the frames. What near zero is depends on
the object: smoke and veils are soft all over, and their confidence is low on every frame of a good run, too. So a frame
counts where the confidence is below NEAR_ZERO and below a quarter of the object's best frame, or next to nothing at
all. docs/confidence.md says on which clips this was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matanyone_engine.errors import Doubtful
from matanyone_engine.matting.confidence import EMPTY
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.frame_record import FrameRecord

NEAR_ZERO = 0.05
"""Confidence, 0..1."""
_PART_OF_BEST = 0.25
_NOTHING = 0.002
"""Confidence below which a frame counts whatever the others are: an empty alpha, or the same grey all over."""


@dataclass(frozen=True)
class LostObject:
    """Names an object that most of a run's frames have lost."""

    name: str
    frames: tuple[int, ...]
    """Frames on which its confidence is near zero, ascending."""
    empty: int
    """How many of them show nothing of it."""
    of: int
    """How many frames have an alpha of it."""


def lost_objects(frames: Mapping[int, FrameRecord]) -> tuple[LostObject, ...]:
    """Return the objects that are lost on more than half of their frames, by name."""
    found = []
    for name in sorted({name for said in frames.values() for name in said.confidence}):
        sure = {frame: said.confidence[name] for frame, said in frames.items() if name in said.confidence}
        best = max(each.value for each in sure.values())
        limit = max(_NOTHING, min(NEAR_ZERO, _PART_OF_BEST * best))
        near_zero = tuple(sorted(frame for frame, each in sure.items() if each.value < limit))
        if 2 * len(near_zero) > len(sure):
            empty = sum(sure[frame].why == EMPTY for frame in near_zero)
            found.append(LostObject(name, near_zero, empty, len(sure)))
    return tuple(found)


def check_trust(frames: Mapping[int, FrameRecord]) -> None:
    """Raise Doubtful where most frames of an object are not to be trusted. frames: their entries in the record."""
    lost = lost_objects(frames)
    if lost:
        raise Doubtful(
            expected="alphas that can be trusted on most frames",
            came="; ".join(map(_described, lost)),
            action="All frames are written: look at them, and at the mask. If an object really is out of the "
            "picture, say on which frames it can be seen (--life); --accept-doubt takes the result as it is.",
        )


def _described(lost: LostObject) -> str:
    empty = f", and nothing of it can be seen on {lost.empty}" if lost.empty else ""
    return (
        f"{lost.name!r} with a confidence near 0 on {len(lost.frames)} of {lost.of} frames "
        f"({describe_frames(lost.frames)}){empty}"
    )
