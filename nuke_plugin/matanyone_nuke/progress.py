# SPDX-License-Identifier: Apache-2.0
"""Puts a run's progress into one line for the panel: the frame, how many are done, and how long the rest will take.

Rule of this file: it imports no nuke and reads no clock; whoever asks says what time it is.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Tuple

from .run import Landed

LOOKED_BACK = 20
"""Mattes by which the pace is told: the last ones, since the first wait for weights."""


class Pace:
    """Tells how fast mattes come."""

    def __init__(self) -> None:
        self._seen: Deque[Tuple[float, int]] = deque(maxlen=LOOKED_BACK)

    def text(self, landed: Landed, now: float) -> str:
        """Return the line for a step that is done at this second."""
        if landed.looking:
            return "looking for what has changed: %d of %d files" % (landed.done, landed.of)
        if landed.ended:
            return "%d of %d done" % (landed.done, landed.of)
        if not landed.path:
            return "frame %d on the way from the key frame; %d of %d done" % (landed.frame, landed.done, landed.of)
        self._seen.append((now, landed.done))
        return "frame %d: %d of %d done%s" % (landed.frame, landed.done, landed.of, self._rest(landed))

    def _rest(self, landed: Landed) -> str:
        (begun, first), (now, last) = self._seen[0], self._seen[-1]
        if last <= first or now <= begun:
            return ""
        each = (now - begun) / (last - first)
        return ", %s a frame, about %s left" % (duration(each), duration(each * (landed.of - landed.done)))


def duration(seconds: float) -> str:
    """Write 0.42 as '0.4 s', 75 as '1 min 15 s' and 5000 as '1 h 23 min'."""
    if seconds < 10:
        return "%.1f s" % seconds
    if seconds < 60:
        return "%.0f s" % seconds
    minutes, rest = divmod(int(round(seconds)), 60)
    if minutes < 60:
        return "%d min %d s" % (minutes, rest)
    return "%d h %d min" % divmod(minutes, 60)
