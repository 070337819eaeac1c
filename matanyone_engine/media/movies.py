# SPDX-License-Identifier: Apache-2.0
"""Movies as plates, through OpenCV. Input only.

Rules of this file:
1. Frames are counted by going through the file, not believed from its header.
2. OpenCV hands out 8 bits per channel, whatever the codec holds: for more, a shot is converted to EXR first.
3. Frames come one after the other; going back means starting again from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import Plate, PlateHeader, Window, frame_rate

FIRST_FRAME = 1
"""Frame number of a movie's first frame, unless another one is given."""

# These store the number of frames; of the others OpenCV derives it from the duration, so that a few too few prove
# nothing.
_CONTAINERS_THAT_COUNT = frozenset({".mov", ".mp4", ".m4v", ".avi"})


class Movie:
    """A movie file as a plate: the first frame is number 1 (or first_frame), none is missing.

    Opening goes through the whole file once to count the frames that can be decoded; nothing is kept in memory.
    """

    padding = 4
    """Digits of the frame numbers of what is made from a movie."""

    def __init__(self, path: Path, first_frame: int = FIRST_FRAME) -> None:
        self.path = path
        self._capture = self._start()
        count = _count_frames(self._capture)
        claimed = _claimed_frames(path, self._capture)
        if count < max(claimed, 1):
            raise _unreadable(path, f"only {count} of {claimed} frames can be decoded")
        self.frames = tuple(range(first_frame, first_frame + count))
        self.missing: tuple[int, ...] = ()
        self._capture = self._start()
        self._next = first_frame
        self._header = _header(path, self._capture)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def paths(self, frames: Sequence[int]) -> list[Path]:
        """The movie itself, once, whichever frames."""
        return [self.path] if frames else []

    def header(self, frame: int) -> PlateHeader:
        """The same for every frame of the movie."""
        self._check_frame(frame)
        return self._header

    def read(self, frame: int) -> Plate:
        """A frame, 8-bit values as 0..1. Forward is streamed; a frame before the last one read starts again."""
        self._check_frame(frame)
        if frame < self._next:
            self._capture = self._start()
            self._next = self.frames[0]
        while self._next < frame:
            if not self._capture.grab():
                raise _unreadable(self.path, f"frame {self._next} cannot be decoded")
            self._next += 1
        decoded, bgr = self._capture.read()
        if not decoded:
            raise _unreadable(self.path, f"frame {frame} cannot be decoded")
        self._next += 1
        return Plate(_rgb(bgr), self._header)

    def check(self, frame: int) -> None:
        """Nothing is left to find: every frame was decoded once when the movie was opened."""
        self._check_frame(frame)

    def _start(self) -> Any:
        if not self.path.is_file():
            raise _unreadable(self.path, "there is no such file")
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise _unreadable(self.path, "not a movie that OpenCV can read")
        return capture

    def _check_frame(self, frame: int) -> None:
        if not self.frames[0] <= frame <= self.frames[-1]:
            raise PlateError(
                expected=f"a frame from {self.frames[0]} to {self.frames[-1]} of {self.name!r}",
                came=f"frame {frame}",
                action="Ask for frames that are there; a movie's first frame is number 1.",
            )


def _claimed_frames(path: Path, capture: Any) -> int:
    """The least number of frames that the header promises: a movie with fewer was cut off."""
    claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if path.suffix.lower() in _CONTAINERS_THAT_COUNT:
        return claimed
    return claimed - max(2, claimed // 50)


def _count_frames(capture: Any) -> int:
    count = 0
    while capture.grab():
        count += 1
    return count


def _rgb(bgr: Any) -> Any:
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.float32) / np.float32(255.0)


def _header(path: Path, capture: Any) -> PlateHeader:
    window = Window(0, 0, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    return PlateHeader(
        path=path,
        display_window=window,
        data_window=window,
        pixel_aspect=_pixel_aspect(capture),
        fps=frame_rate(capture.get(cv2.CAP_PROP_FPS)),
        timecode=None,
        channels=("R", "G", "B"),
        colour={},
        file_format="movie",
        pixel_format="uint8",
    )


def _pixel_aspect(capture: Any) -> float:
    """Width over height of a pixel; 1 where the movie does not say (OpenCV then gives 0 or -1)."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    return float(Fraction(int(width), int(height))) if width > 0 and height > 0 else 1.0


def _unreadable(path: Path, why: str) -> PlateError:
    return PlateError(
        expected="a movie that can be read to its end",
        came=f"{str(path)!r}: {why}",
        action="Check the file, or convert it to an image sequence first.",
    )
