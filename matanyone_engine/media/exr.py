# SPDX-License-Identifier: Apache-2.0
"""Reads and writes pixels of EXR files through OpenEXR's own package, in less than half of OpenImageIO's time.

Rules of this file:
1. Only pixels are handled here. Which file and which channels are read, and what a header means, is decided elsewhere,
   with OpenImageIO.
2. Reading raises no errors about a file. None means that OpenImageIO must read it, which reports what is wrong.

docs/decisions/DR016-exr-pixels.md has the reasons and the figures.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

StoredPlane = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.uint16]
Planes = Mapping[str, StoredPlane]
"""Channels by name, (H, W) of the data window, as stored."""

_BLOCK_ROWS = 32
"""Rows whose checksums are computed together: so few that they stay in the cache."""
_LEADER = 8
"""Bytes before a chunk's pixels: the number of its first row, and its length."""


def read_planes(path: Path) -> Planes | None:
    """Read all channels of a file of one part; None where it cannot be read."""
    return _channels(path, separate=True)


def read_colours(path: Path, names: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """Read R, G, B of the data window, (H, W, 3) float32; None for a file with other channels than these and A."""
    if sorted(names) not in (["B", "G", "R"], ["A", "B", "G", "R"]):
        return None
    found = _channels(path, separate=False) or {}
    pixels = found.get("RGB", found.get("RGBA"))
    if pixels is None or pixels.ndim != 3 or pixels.dtype not in (np.float16, np.float32):
        return None
    return np.ascontiguousarray(pixels[..., :3].astype(np.float32))


def _channels(path: Path, *, separate: bool) -> dict[str, Any] | None:
    try:
        file = OpenEXR.File(str(path), separate_channels=separate)
        return {name: channel.pixels for name, channel in file.channels().items()} if len(file.parts) == 1 else None
    except Exception:  # the package raises errors of any kind; see rule 2
        return None


# ------------------------------------------------------------------------------------------------------- writing


def read_header(path: Path) -> dict[str, Any] | None:
    """Read all attributes of a file of one part, as the package returns them; None where it cannot be read."""
    try:
        parts = OpenEXR.File(str(path), header_only=True).parts
        return dict(parts[0].header) if len(parts) == 1 else None
    except Exception:  # see rule 2
        return None


def write_planes(path: Path, header: Mapping[str, Any], planes: Planes) -> None:
    """Write a file with these attributes and a data window as large as the planes. Raises OSError."""
    left, top = (int(side) for side in header["dataWindow"][0])
    height, width = next(iter(planes.values())).shape
    window = (np.array([left, top], np.int32), np.array([left + width - 1, top + height - 1], np.int32))
    pixels = {name: np.ascontiguousarray(plane) for name, plane in planes.items()}
    try:
        OpenEXR.File({**header, "dataWindow": window}, pixels).write(str(path))
    except Exception as error:  # see rule 2
        raise OSError(str(error) or "OpenEXR did not say why") from error


# -------------------------------------------------------------------------------------------------- verifying


def holds(path: Path, planes: Planes, corner: tuple[int, int]) -> bool:
    """Return whether a ZIPS file is complete and holds exactly these planes; False also where that cannot be told.

    corner: x and y of the data window's first pixel.

    In a ZIPS file, each row is a zlib stream that ends with a checksum of the uncompressed row. So it is enough to
    check that the rows are where the file's table says, that the last one ends with the file, and that each has the
    checksum of the row that was to be written. This takes a sixth of the time of decoding the file.
    """
    try:
        return _holds(path.read_bytes(), planes, corner)
    except (IndexError, ValueError, struct.error):  # no header, or one without an end
        return False


def _holds(data: bytes, planes: Planes, corner: tuple[int, int]) -> bool:
    height, width = next(iter(planes.values())).shape
    attributes, table = _header(data)
    x0, y0, x1, y1 = struct.unpack("<4i", attributes.get("dataWindow", bytes(16)))
    kinds = {name: _KINDS[plane.dtype] for name, plane in planes.items()}
    return (
        attributes.get("compression") == _ZIPS
        and (x0, y0, x1 - x0 + 1, y1 - y0 + 1) == (*corner, width, height)
        and dict(_channel_kinds(attributes.get("channels", b"\0"))) == kinds
        and _stored_checksums(data, table, range(y0, y1 + 1)) == list(_checksums(planes))
    )


_ZIPS = b"\2"
_KINDS = {np.dtype(np.float16): 1, np.dtype(np.float32): 2}
_PLAIN = (2, 0x402)
"""Version fields of files without tiles, deep samples or several parts; the second is that of files with long names."""


def _header(data: bytes) -> tuple[dict[str, bytes], int]:
    """Return the attributes of a file by name, and the place of the byte after the header.

    An attribute is a name and a type that each end with a 0, the length of the value, and the value. An empty name ends
    the header.
    """
    attributes: dict[str, bytes] = {}
    if len(data) < _LEADER or struct.unpack_from("<I", data, 4)[0] not in _PLAIN:
        return attributes, 0
    at = 8
    while data[at]:
        kind = data.index(0, at) + 1
        length = data.index(0, kind) + 1
        value = length + 4
        end = value + struct.unpack_from("<i", data, length)[0]
        attributes[data[at : kind - 1].decode()] = data[value:end]
        at = end
    return attributes, at + 1


def _channel_kinds(listed: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and pixel type of each channel; -1 as the type of a subsampled one."""
    at = 0
    while listed[at]:
        end = listed.index(0, at)
        kind, _, x_step, y_step = struct.unpack_from("<4i", listed, end + 1)
        yield listed[at:end].decode(), kind if x_step == y_step == 1 else -1
        at = end + 17


def _stored_checksums(data: bytes, table: int, rows: range) -> list[int] | None:
    """Return the checksum of each row's stream; None unless the rows follow one another up to the end of the file."""
    starts = np.frombuffer(data, "<u8", len(rows), table).astype(np.int64)
    if starts[0] != table + 8 * len(rows) or starts.min() < starts[0] or starts.max() + _LEADER > len(data):
        return None
    numbers, lengths = _bytes_at(data, starts, _LEADER).view("<i4").T
    ends = starts + _LEADER + lengths
    joined = np.array_equal(ends, [*starts[1:], len(data)])
    if not joined or not np.array_equal(numbers, rows) or lengths.min() < 4:
        return None
    checksums: list[int] = _bytes_at(data, ends - 4, 4).view(">u4")[:, 0].tolist()
    return checksums


def _bytes_at(data: bytes, starts: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.uint8]:
    """Return `count` bytes from each start on, (starts, count)."""
    return np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(count)]


def _checksums(planes: Planes) -> Iterator[int]:
    """Yield the Adler-32 of each row in the form that ZIPS compresses.

    In that form, channels are ordered by name, even bytes come before odd ones, and each byte is stored as the
    difference to the one before it.
    """
    ordered = [planes[name] for name in sorted(planes)]
    for top in range(0, ordered[0].shape[0], _BLOCK_ROWS):
        # Several channels may be the same plane.
        blocks = {id(plane): np.ascontiguousarray(plane[top : top + _BLOCK_ROWS]).view(np.uint8) for plane in ordered}
        rows = [blocks[id(plane)] for plane in ordered]
        halves = np.concatenate([row[:, 0::2] for row in rows] + [row[:, 1::2] for row in rows], axis=1)
        differences = halves.copy()
        np.subtract(halves[:, 1:], halves[:, :-1], out=differences[:, 1:])
        differences[:, 1:] += np.uint8(128)
        yield from map(zlib.adler32, differences)
