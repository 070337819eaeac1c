# SPDX-License-Identifier: Apache-2.0
"""Computes a frame's SMPTE timecode (ST 12-1) from that of the first, and packs it into EXR's two integers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_TEXT = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})([:;.])([0-9]{2})")
_MOST_PACKED = 39
"""The greatest number of a frame in its second that EXR's timecode can hold, which has two bits for the tens."""


@dataclass(frozen=True)
class Timecode:
    """Holds a timecode as a number of frames.

    frames: number of frames since midnight. rate: labels per second. drop: whether some labels are left out (29.97).
    """

    frames: int
    rate: int
    drop: bool

    @classmethod
    def parse(cls, text: str, fps: Fraction | None) -> Timecode | None:
        """Read '01:00:00:00', with ; or . before the frame if labels are dropped; None for another text, or no rate."""
        match = _TEXT.fullmatch(text.strip())
        rate = round(fps) if fps else 0
        if match is None or not rate:
            return None
        hours, minutes, seconds, frame = (int(match[part]) for part in (1, 2, 3, 5))
        drop = match[4] != ":" and rate % 30 == 0
        labelled = ((hours * 60 + minutes) * 60 + seconds) * rate + frame
        whole = hours * 60 + minutes
        return cls(labelled - (labels_dropped(rate) * (whole - whole // 10) if drop else 0), rate, drop)

    def later(self, frames: int) -> Timecode:
        """Return the timecode `frames` frames later; after midnight, it begins at 0 again."""
        day = 24 * 60 * 60 * self.rate - (labels_dropped(self.rate) * 24 * 54 if self.drop else 0)
        return Timecode((self.frames + frames) % day, self.rate, self.drop)

    @property
    def fields(self) -> tuple[int, int, int, int]:
        """Returns the label: (hours, minutes, seconds, frame)."""
        count, rate = self.frames, self.rate
        if self.drop:  # the first labels of each minute are left out, except in every tenth minute
            left_out = labels_dropped(rate)
            tens, rest = divmod(count, 600 * rate - 9 * left_out)
            minutes = max(0, rest - left_out) // (60 * rate - left_out)
            count += left_out * (9 * tens + minutes)
        seconds, frame = divmod(count, rate)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, frame

    def __str__(self) -> str:
        hours, minutes, seconds, frame = self.fields
        return f"{hours:02}:{minutes:02}:{seconds:02}{';' if self.drop else ':'}{frame:02}"

    @property
    def packed(self) -> tuple[int, int] | None:
        """Return OpenEXR's timecode attribute: time and flags, user data; None for a frame above 39."""
        hours, minutes, seconds, frame = self.fields
        if frame > _MOST_PACKED:
            return None
        flags = 1 << 6 if self.drop else 0
        return flags | _bcd(frame) | _bcd(seconds) << 8 | _bcd(minutes) << 16 | _bcd(hours) << 24, 0


def labels_dropped(rate: int) -> int:
    """Return how many labels are left out at the start of a minute: 2 at 30 frames a second, 4 at 60."""
    return rate // 15


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10
