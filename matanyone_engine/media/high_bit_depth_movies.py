# SPDX-License-Identifier: Apache-2.0
"""Reads movies at their own bit depth, through PyAV: the optional extra `movies`.

Rules of this file:
1. There is no 8-bit step: pixel_formats.py converts what FFmpeg decodes.
2. Matrix and range are those of the stream's tags; docs/colour.md says which are used where there are none.
3. Nothing is clipped: codes below black or above white of a limited-range stream become values below 0 or above 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import (
    MOVIE_PRIMARIES,
    MOVIE_TRANSFER,
    Attribute,
    DataWindow,
    FloatImage,
    PlateHeader,
    frame_rate,
    readable,
)
from matanyone_engine.media.pixel_formats import rgb_of, stored_as
from matanyone_engine.media.stated_colour import count_as_alike
from matanyone_engine.media.timecode import Timecode
from matanyone_engine.media.upright import upright_of

_CARRIED = {
    "make": "Make",
    "com.apple.quicktime.make": "Make",
    "model": "Model",
    "com.apple.quicktime.model": "Model",
    "reel_name": "reelName",
}
_STILL = 0x400 | 0x800 | 0x100000
"""FFmpeg's AV_DISPOSITION_ATTACHED_PIC, _TIMED_THUMBNAILS and _STILL_IMAGE."""
_UNSPECIFIED = 2
"""FFmpeg's AVColorTransferCharacteristic and AVColorPrimaries of a frame without tags."""
_LIMITED = 1
"""FFmpeg's AVColorRange of codes from 16 to 235."""
_DURATION = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]*)?)")
_TELECINE = 10
"""Telecine is assumed if more than one of so many frames is interlaced. It makes two of five."""
_VENDORS = ("com.", "org.")
"""How vendors' keys begin, which keep their names in headers: com.arri.camera.CameraSerialNumber."""


def is_available() -> bool:
    """Tell whether PyAV is installed."""
    return find_spec("av") is not None


class DeepStream:
    """Reads the frames of an open movie in order, from the first."""

    def __init__(self, path: Path) -> None:
        """Raises PlateError if it is not a movie, or one whose colours are not known."""
        import av

        self._path, self._failures = path, (av.FFmpegError, ValueError)
        try:
            # FFmpeg would take a relative 'take:01.mov' for a protocol. Titles are often Latin-1.
            self._container = av.open(str(path.absolute()), metadata_errors="surrogateescape")
            self._stream = _pictures_in(self._container)[0]
            self._stream.thread_type = "AUTO"
        except self._failures as error:
            raise unreadable(path, "not a movie that FFmpeg can read") from error
        except IndexError as error:
            self._container.close()
            raise unreadable(path, "it has no picture, as a file of sound alone") from error
        self._times = _Times(_end_of(self._container, self._stream))
        self.is_cut = False
        """Whether the file ends in the middle of a frame, which is known once that frame is reached."""
        self._decoded: Iterator[Any] = self._frames()
        first = self._next()
        if first is None:
            raise unreadable(path, "no frame can be decoded")
        self._ahead: Any = first
        self._is_limited_rgb = bool(first.format.is_rgb) and int(getattr(first, "color_range", 0)) == _LIMITED
        self._upright = upright_of(first, path)
        self._first = first.width, first.height, _colours_of(first)
        self.header = _header(path, self._container, self._stream, first, swapped=self._upright.swapped)

    @property
    def claimed(self) -> int:
        """Return the number of frames according to the file's header; 0 where it has none."""
        if self._stream.frames:
            return int(self._stream.frames)
        duration = self._container.duration
        return int(duration / 1_000_000 * (self.header.fps or 0)) if duration else 0

    def skip(self) -> bool:
        """Skip a frame. Returns False after the last, or where a frame cannot be decoded."""
        return self.take() is not None

    def take(self) -> Any:
        """Return the next frame as decoded; None where skip() is False. Raises PlateError where the picture changes."""
        frame, self._ahead = (self._ahead, None) if self._ahead is not None else (self._next(), None)
        if frame is not None:
            self._check_stored_alike(frame)
            self._times.add(frame)
        return frame

    def _check_stored_alike(self, frame: Any) -> None:
        """Refuse a movie that was joined from several, since all frames share the first frame's header."""
        width, height, colours = self._first
        found = _colours_of(frame)
        if (frame.width, frame.height) == (width, height) and count_as_alike(colours, found):
            return
        raise PlateError(
            expected=f"every frame like the first, {width}x{height} {_described(colours)}",
            came=f"{frame.width}x{frame.height} {_described(found)} at frame {self._times.frames + 1}"
            f" of {str(self._path)!r}",
            action="Cut the movie there and run the parts one by one, or convert it to one size and one transfer.",
        )

    def is_whole(self) -> bool:
        """Return whether the last frame taken lasts up to the end of the stream, by the times in the file."""
        return self._times.reach_the_end()

    def notes(self) -> list[str]:
        """Return sentences about several video tracks, interlaced frames and a varying rate, from the frames so far."""
        count = len(_pictures_in(self._container))
        several = f"It has {count} pictures (video tracks). The first is read; export the other one to matte that."
        limited = "Its RGB is tagged as limited range and is read as full range. Check it with inspect --out."
        notes = [note for note, is_so in ((several, count > 1), (limited, self._is_limited_rgb)) if is_so]
        return notes + self._times.notes()

    def rgb(self, decoded: Any) -> FloatImage:
        """Convert a frame from take() to (H, W, 3) float32 R'G'B', 0..1 from black to white."""
        return self._upright.shown(rgb_of(decoded, self._path))

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _frames(self) -> Iterator[Any]:
        """Decode frame by frame. A last frame that is cut off is dropped, since decoders invent the rest of it."""
        part: Any = None
        for packet in self._container.demux(self._stream):
            if part is not None:
                self.is_cut = not packet.size  # an empty packet follows the last frame
                yield from () if self.is_cut else part.decode()
            part = packet if packet.size and packet.is_corrupt else None
            if part is None:
                yield from packet.decode()

    def _next(self) -> Any:
        try:
            frame = next(self._decoded, None)
        except self._failures:
            return None
        return None if frame is None or frame.is_corrupt else frame


def _colours_of(frame: Any) -> tuple[int, int]:
    """Return a frame's primaries and transfer characteristics, as codes of ITU-T H.273."""
    return int(getattr(frame, "color_primaries", _UNSPECIFIED)), int(getattr(frame, "color_trc", _UNSPECIFIED))


def _described(colours: tuple[int, int]) -> str:
    return "with primaries {} and transfer characteristics {}".format(*colours)


def _pictures_in(container: Any) -> list[Any]:
    """Return the video streams except cover pictures and thumbnails; all of them if there is nothing else."""
    every = list(container.streams.video)
    return [stream for stream in every if not int(getattr(stream, "disposition", 0)) & _STILL] or every


@dataclass
class _Times:
    """Collects the times at which the frames of a stream are shown."""

    end: float | None
    """When the stream ends, in seconds; None where the file does not say."""
    last: float | None = None
    """When the last frame begins, in seconds."""
    lasts: float = 0.0
    """How long the last frame is shown, in seconds; 0 where the file does not say."""
    gaps: dict[int, int] = field(default_factory=dict)
    """Each time from one frame to the next, in milliseconds, and how often it occurs."""
    interlaced: int = 0
    """Number of interlaced frames."""
    frames: int = 0
    """Number of frames."""

    def add(self, frame: Any) -> None:
        """Add a frame. Frames come in the order in which they are shown."""
        self.frames += 1
        self.interlaced += bool(getattr(frame, "interlaced_frame", False))
        if frame.pts is None or not frame.time_base:
            return
        time = float(frame.pts * frame.time_base)
        if self.last is not None and time > self.last:
            gap = round(1000 * (time - self.last))
            self.gaps[gap] = self.gaps.get(gap, 0) + 1
        self.last, self.lasts = time, float((getattr(frame, "duration", 0) or 0) * frame.time_base)

    def reach_the_end(self) -> bool:
        """Return whether no more than half a frame's time is left after the last frame."""
        if self.end is None or self.last is None or not self.gaps:
            return False
        usual = self._usual / 1000
        shown = max(self.lasts, usual if not self.vary else max(self.gaps) / 1000)
        return self.last + shown >= self.end - usual / 2

    @property
    def _usual(self) -> int:
        return max(self.gaps, key=lambda gap: self.gaps[gap])

    @property
    def vary(self) -> bool:
        """Returns whether some frames last a quarter longer or shorter than most. Rounding to milliseconds is allowed
        for.
        """
        return any(abs(gap - self._usual) > max(2, self._usual / 4) for gap in self.gaps)

    def notes(self) -> list[str]:
        """Return what an artist should know, as sentences."""
        said = []
        if self.interlaced * 2 > self.frames:
            said.append("It is interlaced. Both fields are matted as one picture; deinterlace it first.")
        elif self.interlaced * _TELECINE > self.frames:
            share = f"{self.interlaced} of its {self.frames} frames are interlaced"
            said.append(
                f"{share}, as after telecine. Both fields are matted as one picture; remove the pulldown first."
            )
        if self.vary:
            said.append("Its frame rate varies. Frames are numbered one by one; convert it to a constant rate first.")
        return said


def _end_of(container: Any, stream: Any) -> float | None:
    """Return when the video ends, in seconds, by its own duration, a DURATION tag (Matroska) or the file's duration."""
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if match := _DURATION.fullmatch(stream.metadata.get("DURATION", "")):
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    if not container.duration:
        return None
    return float(container.duration + (container.start_time or 0)) / 1_000_000


def unreadable(
    path: Path, why: str, action: str = "Check the file, or convert it to an image sequence first."
) -> PlateError:
    """Return the error about a file that is not a movie, or not a complete one."""
    return PlateError(
        expected="a movie that can be read to its end",
        came=f"{str(path)!r}: {why}",
        action=action,
    )


# ------------------------------------------------------------------------------------------------------- header


def _header(path: Path, container: Any, stream: Any, frame: Any, *, swapped: bool) -> PlateHeader:
    size = (frame.height, frame.width) if swapped else (frame.width, frame.height)
    window = DataWindow(0, 0, *size)
    fps = stream.average_rate or stream.guessed_rate
    said = {readable(key): readable(value) for key, value in {**container.metadata, **stream.metadata}.items()}
    codec = stream.codec_context
    return PlateHeader(
        path=path,
        display_window=window,
        data_window=window,
        pixel_aspect=_pixel_aspect(stream, swapped=swapped),
        fps=frame_rate(float(fps)) if fps else None,
        timecode=_timecode(container, said),
        channels=("R", "G", "B"),
        colour={MOVIE_PRIMARIES: str(int(codec.color_primaries)), MOVIE_TRANSFER: str(int(codec.color_trc))},
        file_format="movie",
        pixel_format=stored_as(frame),
        attributes=tuple(_attributes(said)),
    )


def _pixel_aspect(stream: Any, *, swapped: bool) -> float:
    aspect = stream.sample_aspect_ratio
    if not aspect:
        return 1.0
    return float(1 / aspect if swapped else aspect)


def _timecode(container: Any, said: Mapping[str, str]) -> str | None:
    """Return the first frame's timecode: the video's own, else that of a timecode track."""
    tracks = (stream.metadata.get("timecode") for stream in container.streams)
    return said.get("timecode") or next((text for text in tracks if text), None)


def _attributes(said: Mapping[str, str]) -> Iterator[Attribute]:
    """Yield a camera's metadata as EXR attributes."""
    for key, name in _CARRIED.items():
        if key in said and not (key.startswith("com.") and key.rpartition(".")[2] in said):
            yield Attribute(name, "string", said[key])
    for key, value in said.items():
        if key.startswith(_VENDORS) and key not in _CARRIED:
            yield Attribute(key, "string", value)


def at_frame(header: PlateHeader, number: int) -> PlateHeader:
    """Return the header of the frame `number` frames after the first, with its own timecode."""
    start = Timecode.parse(header.timecode or "", header.fps)
    if start is None:
        return header
    here = start.later(number)
    packed = here.packed
    added = (Attribute("smpte:TimeCode", "timecode", packed),) if packed else ()
    return replace(header, timecode=str(here), attributes=(*header.attributes, *added))
