# SPDX-License-Identifier: Apache-2.0
"""Judges a guide that comes one frame at a time, when nobody knows yet what it shows later.

A job knows a whole guide and outvotes a leap by what lies on both sides of it (outvoted() in guides.py). A session of
the engine knows only the frames that were sent. Its rule: a guide that leaps away from where it was has no say until it
comes back, for at most LONGEST_LEAP frames; a guide that is still elsewhere after them is believed.

Rules of this file:
1. What is remembered is a value, made of small pictures alone: the same frames give the same answer, also after a
   restart that reads these pictures from a journal.
2. A key says where the subject is, so the guide of the next frame is held against its mask.
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
"""Of a small picture that is unpacked."""


@dataclass(frozen=True)
class GuideHistory:
    """Holds where the guide of a session was believed last, and for how long it has been elsewhere since."""

    frame: int = 0
    """Number of the frame on which it was believed last."""
    place: GuideShape | None = None
    """small() of the guide there; None before the first one."""
    seen: int = 0
    """Number of the last frame with a guide, believed or not."""
    doubted: int = 0
    """Frames since then on which it was elsewhere."""
    leap: float = 0.0
    """How far away it was on the first of them, in pixels of the small picture."""
    elsewhere: GuideShape | None = None
    """small() of the last of them."""
    of_key: bool = False
    """Whether the place is that of a key's mask, whose edge tells nothing of how the guide's edge moves."""

    def believes(self, frame: int, place: GuideShape) -> bool:
        """Tell whether the guide of the next frame is to be believed. place: its small(), which has an edge."""
        if self.place is None or abs(frame - self.seen) != 1 or abs(frame - self.frame) > LOOKS_AROUND:
            return True
        if self.place.shape != place.shape or overlap(self.place, place) >= LEAP or self.doubted >= LONGEST_LEAP:
            return True
        return self._comes_back(self.place, frame, place)

    def _comes_back(self, home: GuideShape, frame: int, place: GuideShape) -> bool:
        """Tell whether the guide leaps once more, to where its subject may have gone meanwhile: outvoted()'s rule."""
        if self.elsewhere is None or overlap(self.elsewhere, place) >= LEAP:
            return False
        leaps = (self.leap, apart(self.elsewhere, place))
        return apart(home, place) / abs(frame - self.frame) < SLOWER * min(leaps)

    @classmethod
    def after_key(cls, frame: int, place: GuideShape) -> GuideHistory:
        """Return what is remembered after a key. place: small() of its mask."""
        return cls(frame, place, frame, of_key=True) if place.any() else cls()

    def after(self, frame: int, place: GuideShape) -> GuideHistory:
        """Return what is remembered after a frame. place: small() of its guide; one without an edge changes nothing."""
        if not has_edge(place):
            return self
        if self.believes(frame, place):
            return GuideHistory(frame, place, frame)
        assert self.place is not None
        leap = self.leap if self.doubted else apart(self.place, place)
        return GuideHistory(self.frame, self.place, frame, self.doubted + 1, leap, place, self.of_key)

    def limits(self, frame: int, mask: FloatImage, place: GuideShape, band: float) -> GuideLimits | None:
        """Return what a guide (H, W) 0..1 that is believed says of a frame; None where it has no edge.

        band: as in guides.limits(). How far the edge has moved since the last believed frame is measured on the small
        pictures.
        """
        shape = mask >= 0.5
        if not (has_edge(shape) and has_edge(place)):
            return None
        width: FloatImage | np.float32 = np.float32(band)
        near = not self.of_key and 0 < abs(frame - self.frame) <= LOOKS_AROUND
        if near and self.place is not None and self.place.shape == place.shape and place.any():
            way = np.abs(distances(place) - distances(self.place)) / abs(frame - self.frame)
            scale = max(shape.shape) / max(place.shape)
            large = cv2.resize(way * scale, shape.shape[::-1], interpolation=cv2.INTER_LINEAR)
            width = np.asarray(band + LATE * large, np.float32)
        return limits_beyond(mask, width)


NO_GUIDES = GuideHistory()
"""What is remembered before the first frame."""


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
