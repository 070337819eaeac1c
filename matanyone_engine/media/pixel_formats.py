# SPDX-License-Identifier: Apache-2.0
"""Converts a decoded movie frame of any FFmpeg pixel format to R'G'B', or refuses the format by its name.

Rules of this file:
1. There is no 8-bit step: a frame keeps its bits until it is float32.
2. RGB and grey frames are read from their planes directly. libswscale writes wrong pixels for planar RGBA of 10 to 16
   bits, is off by up to 34 codes of 16 bits in floating-point formats, and turns a white of 5 bits into 248 of 255.
3. For other frames, libswscale only enlarges the chroma or rearranges the bits. The matrix is applied here, since with
   libswscale's the white of a limited-range stream is 0.996.
4. A format that was not measured is refused. tests/media/test_pixel_formats.py compares each one that FFmpeg has with a
   conversion that follows FFmpeg's own description of the format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.errors import PlateError
from matanyone_engine.media.images import FloatImage

# The weights of red and blue in luma, by FFmpeg's AVColorSpace (ITU-T H.273, MatrixCoefficients).
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
"""A stream without a tag is taken for BT.709 if it has so many rows or more, else for BT.601, as players do."""

_PLANAR_RGB = re.compile(r"gbra?p(?P<float>f?)(?P<bits>[0-9]*)(?P<msb>msb)?(?P<endian>le|be|)")
_PACKED_RGB = re.compile(r"(?P<order>rgb|rgba|bgr|bgra)(?P<float>f?)(?P<bits>16|32|48|64|96|128)(?P<endian>le|be)")
_GREY = re.compile(r"(?P<order>gray|ya)(?P<float>f?)(?P<bits>[0-9]*)(?P<endian>le|be|)")
_SHALLOW_RGB = re.compile(r"(?P<order>rgb|bgr)(?P<depths>565|555|444|8|4_byte)(?P<endian>le|be|)")
_DEPTHS = {"565": (5, 6, 5), "555": (5, 5, 5), "444": (4, 4, 4), "8": (3, 3, 2), "4_byte": (1, 2, 1)}
"""Bits of red, of green and of blue in a word."""
_NOT_MEASURED = re.compile(r"bayer_.*|xyz.*|uyyvyy411|(bgr|rgb)4|(y210|y212|y216|xv30|v30x|x2rgb10|x2bgr10)be")
"""Raw sensor data, cinema XYZ, and formats that libswscale cannot read or reads wrongly."""


def rgb_of(frame: Any, path: Path) -> FloatImage:
    """Return a decoded PyAV frame as (H, W, 3) float32 R'G'B', 0..1 from black to white.

    Nothing is clipped: codes below black or above white of a limited-range stream become values below 0 or above 1.
    path: the file, for errors. Raises PlateError if the format or its matrix cannot be converted.
    """
    name = frame.format.name
    if match := _PLANAR_RGB.fullmatch(name):
        return _planar_rgb(frame, match)
    if match := _PACKED_RGB.fullmatch(name):
        return _packed(frame, match)[..., [match["order"].index(colour) for colour in "rgb"]]
    if match := _SHALLOW_RGB.fullmatch(name):
        return _shallow_rgb(frame, match)
    if match := _GREY.fullmatch(name):
        return np.repeat(_packed(frame, match)[..., :1], 3, axis=2)
    if _NOT_MEASURED.fullmatch(name):
        raise _refused(path, f"the pixel format {name}")
    if frame.format.is_rgb or frame.format.has_palette:
        return _sorted_rgb(frame, path)
    return _from_luma_and_chroma(frame, path)


def stored_as(frame: Any) -> str:
    """Return the type of number that holds a frame's colours without loss: 'uint8', 'uint16' or 'float'."""
    if re.search(r"f(16|32)", frame.format.name):
        return "float"
    bits = _bits(frame)
    return "uint8" if bits <= 8 else "uint16" if bits <= 16 else "float"


def colour_matrix(weights: tuple[float, float], bits: int, *, full: bool) -> NDArray[np.float32]:
    """Return the (3, 4) matrix from codes of Y', Cb, Cr and 1 to R', G', B' (H.273, equations 20 to 43).

    weights: of red and of blue in luma. bits: of a code. full: whether codes use the full range.
    """
    red, blue = weights
    green = 1.0 - red - blue
    step = 2.0 ** (bits - 8)
    black, white, middle = (0.0, 2.0**bits - 1, 2.0 ** (bits - 1)) if full else (16 * step, 235 * step, 128 * step)
    luma, chroma = 1.0 / (white - black), 1.0 / (white - black if full else 224 * step)
    cr, cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    linear = np.array([[luma, 0, cr], [luma, -blue / green * cb, -red / green * cr], [luma, cb, 0]])
    return np.hstack([linear, linear @ [[-black], [-middle], [-middle]]]).astype(np.float32)


# ------------------------------------------------------------------------------------------------- direct reading


def _planar_rgb(frame: Any, match: re.Match[str]) -> FloatImage:
    """Read planes of their own, stored as G, B, R and perhaps A."""
    bits = int(match["bits"] or 8)
    kind = _kind(bits, match)
    green, blue, red = (_rows(plane, kind)[:, : frame.width] for plane in frame.planes[:3])
    values = np.stack([red, green, blue], axis=-1)
    if match["msb"]:
        values = values >> (16 - bits)
    return _as_unit(values, bits, match)


def _packed(frame: Any, match: re.Match[str]) -> FloatImage:
    """Read (H, W, channels), in the order stored: pixels of equal components, one behind the other in one plane."""
    order = match["order"]
    count = 1 if order == "gray" else len(order)
    bits = int(match["bits"] or 8)
    if order not in ("gray", "ya") and not match["float"]:
        bits //= count  # rgb48 counts the bits of a pixel, gray16 and rgbaf16 those of a component
    rows = _rows(frame.planes[0], _kind(bits, match))[:, : frame.width * count]
    return _as_unit(rows.reshape(frame.height, frame.width, count), bits, match)


def _shallow_rgb(frame: Any, match: re.Match[str]) -> FloatImage:
    """Read three components in one word, the first of the name in its highest bits."""
    depths = dict(zip("rgb", _DEPTHS[match["depths"]], strict=True))
    words = _rows(frame.planes[0], _kind(sum(depths.values()), {**match.groupdict(), "float": ""}))[:, : frame.width]
    values: dict[str, NDArray[np.float32]] = {}
    shift = 0
    for colour in reversed(match["order"]):
        top = 2 ** depths[colour] - 1
        values[colour] = (words >> shift & top).astype(np.float32) / np.float32(top)
        shift += depths[colour]
    return np.stack([values[colour] for colour in "rgb"], axis=-1)


def _kind(bits: int, match: re.Match[str] | Mapping[str, str]) -> np.dtype[Any]:
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return np.dtype(f"{'>' if match['endian'] == 'be' else '<'}{'f' if match['float'] else 'u'}{size}")


def _rows(plane: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    """Return one plane as (H, line); a line may be longer than the picture."""
    line = plane.line_size
    return np.frombuffer(plane, np.uint8)[: plane.height * line].reshape(plane.height, line).view(kind)


def _as_unit(values: NDArray[Any], bits: int, match: re.Match[str]) -> FloatImage:
    if match["float"]:
        return np.ascontiguousarray(values, dtype=np.float32)
    if bits > 16:
        return np.asarray(values / (2.0**bits - 1), dtype=np.float32)
    return values.astype(np.float32) / np.float32(2**bits - 1)


# -------------------------------------------------------------------------------------------- through libswscale


def _sorted_rgb(frame: Any, path: Path) -> FloatImage:
    """Read packed RGB of at most 10 bits, and palettes, whose components libswscale separates."""
    bits = _bits(frame)
    planes = _split(frame, "gbrp", bits, _FULL_RANGE, path)
    return np.asarray(cv2.merge([planes[2], planes[0], planes[1]]), dtype=np.float32) / np.float32(2**bits - 1)


def _from_luma_and_chroma(frame: Any, path: Path) -> FloatImage:
    bits, full = _bits(frame), _is_full_range(frame)
    planes = _split(frame, "yuv444p", bits, _FULL_RANGE if full else 1, path)
    codes = np.asarray(cv2.merge(planes), dtype=np.float32)
    return np.asarray(cv2.transform(codes, colour_matrix(_weights(frame, path), bits, full=full)), dtype=np.float32)


def _split(frame: Any, planar: str, bits: int, colour_range: int, path: Path) -> list[NDArray[Any]]:
    """Convert a frame to three planes (H, W) of a planar format of so many bits, without a change of range."""
    name = planar if bits == 8 else f"{planar}{bits}le"
    try:
        split = _reformatted(frame, format=name, src_color_range=colour_range, dst_color_range=colour_range)
    except (OSError, ValueError) as error:
        raise _refused(path, f"the pixel format {frame.format.name}") from error
    kind = np.dtype("u1" if bits == 8 else "<u2")
    return [np.ascontiguousarray(_rows(plane, kind)[:, : plane.width]) for plane in split.planes[:3]]


def _reformatted(frame: Any, **wanted: Any) -> Any:
    """Convert a frame by libswscale on one thread: on several, it sometimes writes wrong pixels (FFmpeg 8)."""
    try:
        return frame.reformat(**wanted, threads=1)
    except TypeError:  # a PyAV without this argument uses one thread
        return frame.reformat(**wanted)


def _weights(frame: Any, path: Path) -> tuple[float, float]:
    tag = int(frame.colorspace)
    if tag in (*_UNSPECIFIED, _RGB):
        tag = 1 if frame.height >= _HD_ROWS else 6
    if tag not in _WEIGHTS:
        raise _refused(path, f"matrix {tag} of H.273")
    return _WEIGHTS[tag]


def _bits(frame: Any) -> int:
    """Return the bits of the deepest component, at least 8: FFmpeg converts fewer to 8 when it separates components."""
    if frame.format.has_palette:
        return 8
    return max(8, *(int(component.bits) for component in frame.format.components))


def _is_full_range(frame: Any) -> bool:
    return int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith(("yuvj", "mono"))


def _refused(path: Path, came: str) -> PlateError:
    return PlateError(
        expected="a movie in Y'CbCr by BT.601, BT.709, BT.2020 or SMPTE 240M, in grey, or in RGB",
        came=f"{came} in {str(path)!r}",
        action="Convert it to an image sequence first.",
    )
