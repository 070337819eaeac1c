# SPDX-License-Identifier: Apache-2.0
"""Tells whether the alphas of a finished run can be trusted: a run that lost its subject still writes every file.

An object counts as lost if its confidence is near zero on more than half of the frames. Smoke and veils are soft all
over, so their confidence is low on every frame, also in a good run. So a frame counts if its confidence is below
NEAR_ZERO and also below a quarter of the object's best frame, or if it is below _NOTHING. docs/confidence.md says on
which clips this was measured.
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
"""Confidence below which a frame counts whatever the other frames are: the alpha is empty, or the same grey all
over."""


@dataclass(frozen=True)
class LostObject:
    """Describes an object that was lost on most frames of a run."""

    name: str
    frames: tuple[int, ...]
    """Frames on which its confidence is near zero, ascending."""
    empty: int
    """Number of these frames with an empty alpha."""
    of: int
    """Number of frames with an alpha of the object."""


def lost_objects(frames: Mapping[int, FrameRecord]) -> tuple[LostObject, ...]:
    """Return the objects that are lost on more than half of their frames, by name."""
    found = []
    for name in sorted({name for entry in frames.values() for name in entry.confidence}):
        sure = {frame: entry.confidence[name] for frame, entry in frames.items() if name in entry.confidence}
        best = max(each.value for each in sure.values())
        limit = max(_NOTHING, min(NEAR_ZERO, _PART_OF_BEST * best))
        near_zero = tuple(sorted(frame for frame, each in sure.items() if each.value < limit))
        if 2 * len(near_zero) > len(sure):
            empty = sum(sure[frame].why == EMPTY for frame in near_zero)
            found.append(LostObject(name, near_zero, empty, len(sure)))
    return tuple(found)


def check_trust(frames: Mapping[int, FrameRecord]) -> None:
    """Raise Doubtful if most frames of an object cannot be trusted. frames: their entries in the record."""
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
