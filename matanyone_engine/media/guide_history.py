# SPDX-License-Identifier: Apache-2.0
"""Decides whether to use the guide of a frame when later frames are not known yet.

A job has all frames of a guide, and drops those on which it leaps to something else by looking at both sides
(outvoted() in guides.py). A session of the engine has only the frames that were sent. Its rule: a guide that leaps away
is ignored until it comes back, for at most LONGEST_LEAP frames; if it is still elsewhere after them, it is used again.

Rules of this file:
1. The history is a value, made of small pictures alone. So the same frames give the same decisions, also after a
   restart, for which these pictures are read from a journal.
2. A key shows where the subject is, so the guide of the next frame is compared with the key's mask.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from matanyone_engine.media.guides import (
    LATE,
    LEAP,
    LONGEST_LEAP,
    LOOKS_AROUND,
    SLOWER,
    GuideLimits,
    GuideShape,
    apart,
    distances,
    has_edge,
    limits_beyond,
    overlap,
)
from matanyone_engine.media.images import FloatImage

_MOST_BYTES = 1 << 20
"""The most bytes of a small picture after it is unpacked."""


@dataclass(frozen=True)
class GuideHistory:
    """Holds where a session's guide was on the last frame on which it was used, and where it has been since."""

    frame: int = 0
    """Number of the last frame on which the guide was used."""
    place: GuideShape | None = None
    """small() of the guide of that frame; None before the first guide."""
    seen: int = 0
    """Number of the last frame with a guide, used or ignored."""
    doubted: int = 0
    """Number of frames since `frame` on which the guide was ignored."""
    leap: float = 0.0
    """How far away the guide was on the first of them, in pixels of the small picture."""
    elsewhere: GuideShape | None = None
    """small() of the guide of the last of them; None without any."""
    of_key: bool = False
    """Whether `place` is from a key's mask, whose edge tells nothing of how the guide's edge moves."""

    def believes(self, frame: int, place: GuideShape) -> bool:
        """Return whether to use the guide of the next frame. place: its small(), which has an edge."""
        if self.place is None or abs(frame - self.seen) != 1 or abs(frame - self.frame) > LOOKS_AROUND:
            return True
        if self.place.shape != place.shape or overlap(self.place, place) >= LEAP or self.doubted >= LONGEST_LEAP:
            return True
        return self._comes_back(self.place, frame, place)

    def _comes_back(self, home: GuideShape, frame: int, place: GuideShape) -> bool:
        """Return whether the guide leaps again, to where its subject may be by now: the same rule as in outvoted()."""
        if self.elsewhere is None or overlap(self.elsewhere, place) >= LEAP:
            return False
        leaps = (self.leap, apart(self.elsewhere, place))
        return apart(home, place) / abs(frame - self.frame) < SLOWER * min(leaps)

    @classmethod
    def after_key(cls, frame: int, place: GuideShape) -> GuideHistory:
        """Return the history after a key. place: small() of its mask."""
        return cls(frame, place, frame, of_key=True) if place.any() else cls()

    def after(self, frame: int, place: GuideShape) -> GuideHistory:
        """Return the history after a frame. place: small() of its guide; one without an edge changes nothing."""
        if not has_edge(place):
            return self
        if self.believes(frame, place):
            return GuideHistory(frame, place, frame)
        assert self.place is not None
        leap = self.leap if self.doubted else apart(self.place, place)
        return GuideHistory(self.frame, self.place, frame, self.doubted + 1, leap, place, self.of_key)

    def limits(self, frame: int, mask: FloatImage, place: GuideShape, band: float) -> GuideLimits | None:
        """Return the limits that a guide (H, W) 0..1 sets on a frame; None where it has no edge.

        band: as in guides.limits(). How far the edge has moved since the last used guide is measured on the small
        pictures.
        """
        shape = mask >= 0.5
        if not (has_edge(shape) and has_edge(place)):
            return None
        width: FloatImage | np.float32 = np.float32(band)
        near = not self.of_key and 0 < abs(frame - self.frame) <= LOOKS_AROUND
        if near and self.place is not None and self.place.shape == place.shape and place.any():
            motion = np.abs(distances(place) - distances(self.place)) / abs(frame - self.frame)
            scale = max(shape.shape) / max(place.shape)
            large = cv2.resize(motion * scale, shape.shape[::-1], interpolation=cv2.INTER_LINEAR)
            width = np.asarray(band + LATE * large, np.float32)
        return limits_beyond(mask, width)


NO_GUIDES = GuideHistory()
"""The history before the first frame."""


def packed(place: GuideShape) -> str:
    """Write a small picture as a short text, for a journal."""
    bits = base64.b64encode(zlib.compress(np.packbits(place).tobytes())).decode()
    return f"{place.shape[1]}x{place.shape[0]}:{bits}"


def unpacked(text: str) -> GuideShape:
    """Read a small picture from packed(). Raises ValueError for anything else."""
    size, _, bits = text.partition(":")
    width, height = (int(side) for side in size.split("x"))
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(bits), _MOST_BYTES)
        found = np.unpackbits(np.frombuffer(data, np.uint8))
        if not 0 <= found.size - width * height < 8:
            raise ValueError(f"a guide's place of {width}x{height} with {found.size} bits")
        return np.asarray(found[: width * height].reshape(height, width) > 0)
    except zlib.error as error:
        raise ValueError(f"a guide's place that cannot be unpacked: {error}") from error
