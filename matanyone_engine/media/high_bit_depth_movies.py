# SPDX-License-Identifier: Apache-2.0
"""Movies at the depth they are stored with, through PyAV: the optional extra `movies`.

Rules of this file:
1. No 8-bit step: a frame keeps its bits until it is float32. FFmpeg decodes and enlarges the chroma; the matrix is
   ours, since libswscale's ends at 0.996 for the white of a limited-range stream.
2. Matrix and range are the stream's own tags; docs/colour.md says what is taken where it has none.
3. Nothing is clipped: what lies below black or above white in a limited-range stream comes out below 0 and above 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import Attribute, FloatImage, PlateHeader, Window, frame_rate
from matanyone_engine.media.timecode import Timecode

# What red and blue add to luma, by FFmpeg's AVColorSpace (ITU-T H.273, MatrixCoefficients).
_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601
    6: (0.299, 0.114),
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
_RGB, _UNSPECIFIED = 0, (2, 3)
_FULL_RANGE = 2
_HD_ROWS = 720
"""From here on a stream without a tag is taken for BT.709, below for BT.601, as players do."""

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
        return np.ascontiguousarray(np.rot90(_rgb(decoded, self._path), -self._turns))

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


# ------------------------------------------------------------------------------------------------------ colours


def _rgb(frame: Any, path: Path) -> FloatImage:
    bits = _bits(frame)
    if bits > 16:
        return np.asarray(frame.reformat(format="gbrpf32le").to_ndarray(), dtype=np.float32)
    is_rgb, full = _is_rgb(frame), _is_full_range(frame)
    depth = "" if bits <= 8 else f"{bits}le"
    kept = _FULL_RANGE if full else 1
    split = frame.reformat(
        format=f"{'gbrp' if is_rgb else 'yuv444p'}{depth}", src_color_range=kept, dst_color_range=kept
    )
    planes = [_plane(plane, np.dtype("u1" if bits <= 8 else "<u2")) for plane in split.planes]
    if is_rgb:  # stored as G, B, R
        return np.asarray(cv2.merge([planes[2], planes[0], planes[1]]), dtype=np.float32) / np.float32(2**bits - 1)
    codes = np.asarray(cv2.merge(planes), dtype=np.float32)
    return np.asarray(cv2.transform(codes, colour_matrix(_weights(frame, path), bits, full=full)), dtype=np.float32)


def colour_matrix(weights: tuple[float, float], bits: int, *, full: bool) -> NDArray[np.float32]:
    """(3, 4): codes of Y', Cb, Cr and 1 -> R', G', B' (H.273, equations 20 to 43). weights: of red and of blue."""
    red, blue = weights
    green = 1.0 - red - blue
    step = 2.0 ** (bits - 8)
    black, white, middle = (0.0, 2.0**bits - 1, 2.0 ** (bits - 1)) if full else (16 * step, 235 * step, 128 * step)
    luma, chroma = 1.0 / (white - black), 1.0 / (white - black if full else 224 * step)
    cr, cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    linear = np.array([[luma, 0, cr], [luma, -blue / green * cb, -red / green * cr], [luma, cb, 0]])
    return np.hstack([linear, linear @ [[-black], [-middle], [-middle]]]).astype(np.float32)


def _weights(frame: Any, path: Path) -> tuple[float, float]:
    tag = int(frame.colorspace)
    if tag in (*_UNSPECIFIED, _RGB):
        tag = 1 if frame.height >= _HD_ROWS else 6
    if tag not in _WEIGHTS:
        raise PlateError(
            expected="a movie in Y'CbCr by BT.601, BT.709, BT.2020 or SMPTE 240M, or in RGB",
            came=f"matrix {tag} of H.273 in {str(path)!r}",
            action="Convert it to an image sequence first.",
        )
    return _WEIGHTS[tag]


def _bits(frame: Any) -> int:
    bits = max(component.bits for component in frame.format.components)
    return 8 if frame.format.has_palette else int(bits)


def _is_rgb(frame: Any) -> bool:
    return bool(frame.format.is_rgb or frame.format.has_palette)


def _is_full_range(frame: Any) -> bool:
    return int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")


def _plane(plane: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    return np.ascontiguousarray(rows[:, : plane.width])


# ------------------------------------------------------------------------------------------------------- header


def _header(path: Path, container: Any, stream: Any, frame: Any, turns: int) -> PlateHeader:
    size = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
    window = Window(0, 0, *size)
    fps = stream.average_rate or stream.guessed_rate
    said = {**container.metadata, **stream.metadata}
    bits = _bits(frame)
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
        pixel_format="uint8" if bits <= 8 else "uint16" if bits <= 16 else "float",
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
