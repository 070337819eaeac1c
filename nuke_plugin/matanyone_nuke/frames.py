# SPDX-License-Identifier: Apache-2.0
"""Reads frame lists and file names as a compositor writes them, and refuses wrong ones.

Rules of this file:
1. It imports no nuke and touches no disk.
2. Frame numbers are the script's, negative ones too; padding counts digits without the sign, as the engine does.
"""

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Set, Tuple

MOST_FRAMES = 1000000
TOKEN = re.compile(r"%0?\d*d|#+")
"""Where a file's name has its frame number."""
VIEW = re.compile(r"%[Vv]")
_PART = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+)(?:\s*x\s*(\d+))?)?")


class PlanError(Exception):
    """What the artist gave cannot be used; nothing was rendered or sent."""

    def __init__(self, expected: str, came: str, action: str) -> None:
        self.expected, self.came, self.action = expected, came, action
        super().__init__("expected %s; got %s. %s" % (expected, came, action))


def parse_frames(text: str) -> Tuple[int, ...]:
    """Read '1001-1045x2, -5--1' as frame numbers, ascending, each once. Raises PlanError."""
    frames: Set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise bad_range(text, repr(part.strip()) if part.strip() else "nothing between commas")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        step = int(match.group(3) or 1)
        if last < first or step < 1 or last - first > MOST_FRAMES:
            raise bad_range(text, part.strip())
        frames.update(range(first, last + 1, step))
    return tuple(sorted(frames))


def bad_range(text: str, came: str) -> PlanError:
    """Say that a list of frames cannot be read."""
    return PlanError("frames such as 1001-1045, 1050, 1060-1080x2", "%s in %r" % (came, text), "Correct the list.")


def describe_frames(frames: Iterable[int]) -> str:
    """Write (1001, 1002, 1003, 1007) as '1001-1003,1007'."""
    return ",".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in stretches(frames))


def stretches(frames: Iterable[int]) -> List[Tuple[int, int]]:
    """Return the first and last frame of each unbroken stretch."""
    found: List[Tuple[int, int]] = []
    for frame in sorted(frames):
        if found and frame == found[-1][1] + 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def padding_of(frames: Iterable[int]) -> int:
    """Return the digits of a frame number: four, or what the largest needs; the sign comes on top."""
    return max([4] + [len(str(abs(frame))) for frame in frames])


def frame_file(pattern: str, frame: int) -> str:
    """Return the pattern's file of one frame."""
    tokens = list(TOKEN.finditer(pattern))
    if not tokens:
        return pattern
    token = tokens[-1]
    text = token.group()
    digits = len(text) if text.startswith("#") else int(text[1:-1] or 0)
    number = "%s%0*d" % ("-" if frame < 0 else "", digits, abs(frame))
    return pattern[: token.start()] + number + pattern[token.end() :]


def frames_of(pattern: str, names: Iterable[str]) -> Tuple[int, ...]:
    """Return the frames whose files are among these names of files, ascending. pattern: a file's name, no folder."""
    tokens = list(TOKEN.finditer(pattern))
    if not tokens:
        return ()
    head, tail = pattern[: tokens[-1].start()], pattern[tokens[-1].end() :]
    shaped = re.compile(re.escape(head) + r"(-?\d+)" + re.escape(tail))
    return tuple(sorted(int(match.group(1)) for match in map(shaped.fullmatch, names) if match))


def with_view(text: str, view: Optional[str]) -> str:
    """Put a view's name in place of %V and its first letter in place of %v, where there is a view."""
    return text if view is None else text.replace("%V", view).replace("%v", view[0])
