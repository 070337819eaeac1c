# SPDX-License-Identifier: Apache-2.0
"""Movies at the depth they are stored with, through PyAV: the optional extra `movies`.

Rules of this file:
1. No 8-bit step: pixel_formats.py converts what FFmpeg decodes.
2. Matrix and range are the stream's own tags; docs/colour.md says what is taken where it has none.
3. Nothing is clipped: what lies below black or above white in a limited-range stream comes out below 0 and above 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import Attribute, FloatImage, PlateHeader, Window, frame_rate
from matanyone_engine.media.pixel_formats import rgb_of, stored_as
from matanyone_engine.media.timecode import Timecode

# FFmpeg's AVColorTransferCharacteristic that no display-referred SDR movie has -> spaces of the studio config.
_TRANSFERS = {16: "Rec.2100-PQ - Display", 18: "Rec.2100-HLG - Display"}

_CARRIED = {
    "make": "Make",
    "com.apple.quicktime.make": "Make",
    "model": "Model",
    "com.apple.quicktime.model": "Model",
    "reel_name": "reelName",
}
_VENDORS = ("com.", "org.")
"""Vendors' keys are carried under their own names: com.arri.camera.CameraSerialNumber."""


def is_available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


class DeepStream:
    """An open movie: frames come in order, from the first."""

    def __init__(self, path: Path) -> None:
        """Raises PlateError if it is no movie, or none whose colours are known."""
        import av

        self._path, self._failures = path, (av.FFmpegError, ValueError)
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
        except (*self._failures, IndexError) as error:
            raise unreadable(path, "not a movie that FFmpeg can read") from error
        self._decoded: Iterator[Any] = self._container.decode(self._stream)
        first = self._next()
        if first is None:
            raise unreadable(path, "no frame can be decoded")
        self._ahead: Any = first
        self._turns = -round(float(getattr(first, "rotation", 0)) / 90) % 4
        self.header = _header(path, self._container, self._stream, first, self._turns)

    @property
    def claimed(self) -> int:
        """Frames that the file promises; 0 where it does not count them."""
        if self._stream.frames:
            return int(self._stream.frames)
        duration = self._container.duration
        return int(duration / 1_000_000 * (self.header.fps or 0)) if duration else 0

    def skip(self) -> bool:
        """Pass over a frame; False behind the last, or where one cannot be decoded."""
        return self.take() is not None

    def take(self) -> Any:
        """The next frame, as decoded; None where skip() is False."""
        frame, self._ahead = (self._ahead, None) if self._ahead is not None else (self._next(), None)
        return frame

    def rgb(self, decoded: Any) -> FloatImage:
        """(H, W, 3) float32 R'G'B' of what take() gave, 0..1 from black to white."""
        return np.ascontiguousarray(np.rot90(rgb_of(decoded, self._path), -self._turns))

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _next(self) -> Any:
        try:
            frame = next(self._decoded, None)
        except self._failures:
            return None
        return None if frame is None or frame.is_corrupt else frame


def unreadable(path: Path, why: str) -> PlateError:
    """A movie that is none, or not whole."""
    return PlateError(
        expected="a movie that can be read to its end",
        came=f"{str(path)!r}: {why}",
        action="Check the file, or convert it to an image sequence first.",
    )


# ------------------------------------------------------------------------------------------------------- header


def _header(path: Path, container: Any, stream: Any, frame: Any, turns: int) -> PlateHeader:
    size = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
    window = Window(0, 0, *size)
    fps = stream.average_rate or stream.guessed_rate
    said = {**container.metadata, **stream.metadata}
    tag = int(stream.codec_context.color_trc)
    return PlateHeader(
        path=path,
        display_window=window,
        data_window=window,
        pixel_aspect=_pixel_aspect(stream, turns),
        fps=frame_rate(float(fps)) if fps else None,
        timecode=_timecode(container, said),
        channels=("R", "G", "B"),
        colour={"movie:transfer": _TRANSFERS[tag]} if tag in _TRANSFERS else {},
        file_format="movie",
        pixel_format=stored_as(frame),
        attributes=tuple(_attributes(said)),
    )


def _pixel_aspect(stream: Any, turns: int) -> float:
    aspect = stream.sample_aspect_ratio
    if not aspect:
        return 1.0
    return float(1 / aspect if turns % 2 else aspect)


def _timecode(container: Any, said: Mapping[str, str]) -> str | None:
    """Of the first frame: the video's own, else of a timecode track."""
    tracks = (stream.metadata.get("timecode") for stream in container.streams)
    return said.get("timecode") or next((text for text in tracks if text), None)


def _attributes(said: Mapping[str, str]) -> Iterator[Attribute]:
    """What a camera has noted, as far as EXR has a place for it."""
    for key, name in _CARRIED.items():
        if key in said and not (key.startswith("com.") and key.rpartition(".")[2] in said):
            yield Attribute(name, "string", said[key])
    for key, value in said.items():
        if key.startswith(_VENDORS) and key not in _CARRIED:
            yield Attribute(key, "string", value)


def at_frame(header: PlateHeader, number: int) -> PlateHeader:
    """The header of the frame `number` frames behind the first: with its own timecode."""
    start = Timecode.parse(header.timecode or "", header.fps)
    if start is None:
        return header
    here = start.later(number)
    packed = here.packed
    added = (Attribute("smpte:TimeCode", "timecode", packed),) if packed else ()
    return replace(header, timecode=str(here), attributes=(*header.attributes, *added))
