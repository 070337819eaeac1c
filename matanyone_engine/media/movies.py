# SPDX-License-Identifier: Apache-2.0
"""Reads movies as plates: through PyAV at the bit depth they have, or through OpenCV at 8 bits. Nothing is written.

high_bit_depth_movies.py holds the former.

Rules of this file:
1. Frames are counted by going through the file; the number in its header is not trusted.
2. OpenCV reads 8 bits per channel, whatever the codec holds, and no colour tags or timecode. There is a warning about a
   movie of more bits.
3. Frames can only be read in order. To go back, reading starts again from the first frame, and then some frames before
   the one that was asked for are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from matanyone_engine.errors import PlateError
from matanyone_engine.media import high_bit_depth_movies
from matanyone_engine.media.edit_lists import edits_not_followed
from matanyone_engine.media.high_bit_depth_movies import at_frame, unreadable
from matanyone_engine.media.images import DataWindow, FloatImage, Plate, PlateHeader, frame_rate
from matanyone_engine.media.sequence import other_spelling

FIRST_FRAME = 1
"""Frame number of a movie's first frame, unless another one is given."""

# Files with these endings store the number of frames. For others it is computed from the duration, and may be a few too
# high.
_CONTAINERS_THAT_COUNT = frozenset({".mov", ".mp4", ".m4v", ".avi"})

_KEPT_BYTES = 1 << 28
"""The most bytes of decoded frames that are kept when reading goes back, at 6 bytes a pixel."""

_log = logging.getLogger("matanyone_engine")


def decoder() -> str:
    """Return the library that reads movies here, and its version, on which pixel values depend."""
    if high_bit_depth_movies.is_available():
        return f"PyAV {version('av')}"
    return f"OpenCV {cv2.__version__}"


class MovieStream(Protocol):
    """Reads the frames of an open movie in order, from the first."""

    header: PlateHeader
    """The header of the first frame."""
    is_cut: bool
    """Whether the file ends in the middle of a frame, which is known once that frame is reached."""

    @property
    def claimed(self) -> int:
        """Returns the number of frames according to the file's header."""

    def is_whole(self) -> bool:
        """Return whether the frames taken so far last up to the movie's end, as the file gives it."""

    def notes(self) -> list[str]:
        """Return what an artist should know about the frames taken so far, as sentences."""

    def skip(self) -> bool:
        """Skip a frame. Returns False after the last, or where a frame cannot be decoded."""

    def take(self) -> Any:
        """Return the next frame, as decoded; None where skip() would return False."""

    def rgb(self, decoded: Any) -> FloatImage:
        """Convert a frame from take() to (H, W, 3) float32."""

    def close(self) -> None:
        """Close the file."""


class Movie:
    """Reads a movie file as a plate. Its first frame has the number 1 (or first_frame), and no frame is missing.

    When a movie is opened, all its frames are decoded once, to count them.
    """

    padding = 4
    """Digits of the frame numbers in names of files that are made from a movie."""

    def __init__(self, path: Path, first_frame: int = FIRST_FRAME) -> None:
        """Raises PlateError."""
        self.path = path
        self._stream = self._start()
        _check_edits(path)
        count = 0
        while self._stream.skip():
            count += 1
        claimed = _least(path, self._stream.claimed)
        # A trimmed movie shows fewer frames than it stores, and one of varying rate fewer than its rate suggests.
        if count < 1 or (count < claimed and not self._stream.is_whole()):
            raise _too_short(path, count, claimed)
        if self._stream.is_cut:
            raise unreadable(path, f"it ends in the middle of frame {count + 1}")
        for note in self._stream.notes():
            _warn_once(path, note)
        self.frames = tuple(range(first_frame, first_frame + count))
        self.gaps: tuple[range, ...] = ()
        self.missing: tuple[int, ...] = ()
        self._kept: dict[int, Any] = {}
        self._restart()

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def paths(self, frames: Sequence[int]) -> list[Path]:
        """Return the movie's path, once, for any number of frames."""
        return [self.path] if frames else []

    def header(self, frame: int) -> PlateHeader:
        """Return the header of a frame. Only the timecode differs from frame to frame."""
        self._check_frame(frame)
        return at_frame(self._stream.header, frame - self.frames[0])

    def read(self, frame: int) -> Plate:
        """Read a frame, with codes as 0..1. Reading forwards is fast; reading backwards may begin at frame 1 again."""
        header = self.header(frame)
        if frame not in self._kept:
            self._decode(frame)
        return Plate(self._stream.rgb(self._kept.pop(frame)), header)

    def _decode(self, frame: int) -> None:
        """Decode a frame and keep it; when reading goes back, also frames before it, up to _KEPT_BYTES."""
        self._kept, first = {}, frame
        if frame < self._next:
            self._restart()
            width, height = self._stream.header.resolution
            first = frame - _KEPT_BYTES // (6 * width * height)
        while self._next <= frame:
            decoded = self._stream.take() if self._next >= first else self._stream.skip() or None
            if decoded is None:
                raise unreadable(self.path, f"frame {self._next} cannot be decoded")
            if self._next >= first:
                self._kept[self._next] = decoded
            self._next += 1

    def check(self, frame: int) -> None:
        """Check the frame's number. All frames were decoded once when the movie was opened."""
        self._check_frame(frame)

    def _restart(self) -> None:
        self._stream.close()
        self._stream, self._next = self._start(), self.frames[0]

    def _start(self) -> MovieStream:
        if not self.path.is_file():
            raise unreadable(self.path, f"there is no such file{other_spelling(self.path)}")
        return (
            high_bit_depth_movies.DeepStream(self.path)
            if high_bit_depth_movies.is_available()
            else EightBitStream(self.path)
        )

    def _check_frame(self, frame: int) -> None:
        if not self.frames[0] <= frame <= self.frames[-1]:
            raise PlateError(
                expected=f"a frame from {self.frames[0]} to {self.frames[-1]} of {self.name!r}",
                came=f"frame {frame}",
                action="Ask for frames that the movie has. Its first frame is number 1.",
            )


def _check_edits(path: Path) -> None:
    """Raise PlateError for a movie that QuickTime would show with other frames than are read here."""
    edits = edits_not_followed(path)
    if edits:
        raise PlateError(
            expected="a movie that shows its frames one after the other",
            came=f"{edits} in the edit list of {str(path)!r}",
            action="Export it again as a flat movie, or as an image sequence.",
        )


def _least(path: Path, claimed: int) -> int:
    """Return the fewest frames that a complete movie can have whose header claims so many."""
    if path.suffix.lower() in _CONTAINERS_THAT_COUNT:
        return claimed
    return claimed - max(2, claimed // 50)


# ------------------------------------------------------------------------------------------------------- OpenCV


class EightBitStream:
    """Reads a movie through OpenCV."""

    is_cut = False  # OpenCV cannot tell

    def __init__(self, path: Path) -> None:
        """Raises PlateError."""
        # FFmpeg would take a relative 'take:01.mov' for a protocol.
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise unreadable(path, "not a movie that OpenCV can read")
        self.header = _header(path, self._capture)
        bits = _stored_bits(self._capture)
        if bits > 8:
            _warn_once(path, f"It holds {bits} bits per channel and is read at 8. {_EIGHT_BIT_HELP}")

    @property
    def claimed(self) -> int:
        return int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def is_whole(self) -> bool:
        return False  # the times that OpenCV gives cannot be trusted

    def notes(self) -> list[str]:
        return []

    def skip(self) -> bool:
        return bool(self._capture.grab())

    def take(self) -> Any:
        decoded, bgr = self._capture.read()
        return bgr if decoded else None

    def rgb(self, decoded: Any) -> FloatImage:
        return np.ascontiguousarray(decoded[..., ::-1]).astype(np.float32) / np.float32(255.0)

    def close(self) -> None:
        self._capture.release()


def _too_short(path: Path, count: int, claimed: int) -> PlateError:
    """Return the error about a movie with fewer frames than its header promises."""
    why = f"only {count} of {claimed} frames can be decoded"
    if high_bit_depth_movies.is_available():
        return unreadable(path, why)
    return unreadable(
        path,
        f"{why}, and OpenCV cannot tell a trimmed movie from one that is cut off",
        "If the movie was trimmed, pip install 'matanyone-engine[movies]' reads it. Otherwise check the file, or "
        "convert it to an image sequence first.",
    )


_EIGHT_BIT_HELP = "pip install 'matanyone-engine[movies]' reads them all, or convert it to EXR."
_warned: set[tuple[Path, str]] = set()


def _warn_once(path: Path, note: str) -> None:
    """Log a warning about a movie once, although a job opens it more than once."""
    if (path, note) not in _warned:
        _warned.add((path, note))
        _log.warning("%s: %s", path.name, note)


def _stored_bits(capture: Any) -> int:
    """Return the bits per channel, from FFmpeg's code of a planar pixel format; 8 where the code does not tell them."""
    code = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
    kind, bits = code & 0xFF, code >> 24 & 0xFF
    return bits if chr(kind) in "YG" and 8 < bits <= 16 else 8


def _header(path: Path, capture: Any) -> PlateHeader:
    window = DataWindow(0, 0, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
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
    """Return the width of a pixel over its height; 1 where the movie does not say (OpenCV then returns 0 or -1)."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    return float(Fraction(int(width), int(height))) if width > 0 and height > 0 else 1.0
