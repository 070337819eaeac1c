# SPDX-License-Identifier: Apache-2.0
"""Finds the frames of a guide, decides which of them are believed, and turns those into constraint masks.

The rules are in media/guides.py; this module applies them to files and frames. The limits that a guide sets on a frame
depend only on the guides of a few frames around it, so that a part of a shot has the same alphas as the whole shot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matanyone_engine.jobs.numbered_masks import NumberedMasks
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.media import guides
from matanyone_engine.media.guides import LOOKS_AROUND, GuideFrame, GuideLimits
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.mask_channels import MaskSource

GUIDES = NumberedMasks("a mask for each frame that is guided", "guides for", "--guide rough.####.exr")


@dataclass(frozen=True)
class ObjectGuide:
    """Holds, frame by frame, whether the guide of one object is used."""

    digests: Mapping[int, str]
    """The digest of each frame's file."""
    outvoted: frozenset[int]
    """Frames on which the guide is elsewhere and is left out."""
    band: int
    """Pixels on either side of the guide's edge that are left to the network."""
    black: frozenset[int] = frozenset()
    """Frames on which the guide is black, so that it has no effect."""
    white: frozenset[int] = frozenset()
    """Frames on which the guide is white all over, so that it has no effect."""

    @classmethod
    def of(cls, digests: Mapping[int, str], places: Mapping[int, guides.GuideShape], band: int) -> ObjectGuide:
        """Find the frames that are outvoted, and those without effect. places: frame -> small()."""
        seen = {frame: each for frame, each in places.items() if guides.has_edge(each)}
        white = frozenset(frame for frame, each in places.items() if each.all())
        black = frozenset(frame for frame, each in places.items() if not each.any())
        return cls(digests, guides.outvoted(seen), band, black, white)

    def limits(self, frame: int, read: Callable[[int], FloatImage]) -> GuideLimits | None:
        """Return the limits that the guide sets on a frame; None if it sets none. read: reads a frame's guide (H,
        W)."""
        if frame not in self.digests or frame in self.outvoted | self.white:
            return None
        beside = [GuideFrame(read(other), abs(other - frame)) for other in self._beside(frame)]
        return guides.limits(read(frame), beside, self.band)

    def digest(self, frame: int) -> str:
        """Return a digest of all that limits() of a frame depends on; '' if the guide has no effect there."""
        if frame not in self.digests or frame in self.outvoted | self.white:
            return ""
        beside = [f"{other - frame}:{self.digests[other]}" for other in self._beside(frame)]
        return " ".join(["guide with greys", str(self.band), self.digests[frame], *beside])

    def _beside(self, frame: int) -> list[int]:
        """Return the nearest frames before and after this one with a guide that is believed, if they are near
        enough."""
        silent = self.outvoted | self.white
        there = [other for other in self.digests if other not in silent and abs(other - frame) <= LOOKS_AROUND]
        before, after = ([o for o in there if o < frame], [o for o in there if o > frame])
        return [*([max(before)] if before else []), *([min(after)] if after else [])]


def guide_frames(pattern: str | None, frames: Sequence[int]) -> list[tuple[int, MaskSource]]:
    """Return the guide's file of each frame of a run, and of LOOKS_AROUND frames on either side of it.

    A part of a shot may have none. Raises MaskError if the guide is a single file.
    """
    if pattern is None:
        return []
    source, found = GUIDES.found(pattern)
    first, last = min(frames) - LOOKS_AROUND, max(frames) + LOOKS_AROUND
    return [(frame, source.at(found.path(frame))) for frame in found.frames if first <= frame <= last]


def check_guide(pattern: str, plate: Sequence[int]) -> None:
    """Raise MaskError for a guide none of whose frames is a frame of the plate."""
    GUIDES.check(pattern, plate)


def with_guide(own: Constraints, guide: GuideLimits) -> Constraints:
    """Add a guide's limits to an artist's constraint masks; where both differ, the artist's masks count."""
    inside, outside = guide
    if own.inside is not None:
        outside = np.minimum(outside, 1.0 - np.asarray(own.inside))
    if own.outside is not None:
        inside = np.minimum(inside, 1.0 - np.asarray(own.outside))
        outside = np.maximum(outside, np.asarray(own.outside))
    return replace(own, outside=outside, guide=inside)
