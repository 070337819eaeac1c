# SPDX-License-Identifier: GPL-3.0-or-later
"""Does five things with EXR files without a library: it tells how large one is, whether it is whole and what it holds,
and writes a mask, and a black pixel with the layers of another file.

Blender 5.0.1 crashes on a truncated EXR, and other versions show zeros: nothing that is_whole() doubts is loaded.
The layout is that of openexr.com's "OpenEXR File Layout".
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x76\x2f\x31\x01"
_MULTI_PART = 0x1000
_NO_SCANLINES = 0x200 | 0x800
"""Flags of tiles and deep data, which the engine does not write."""
_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""How many scan lines a chunk holds with each compression."""
_HALF = 1
"""EXR's number of the type of 16-bit floats; other channels take four bytes."""
_NONE, _ZIPS = b"\0", b"\2"
"""How EXR numbers the compressions that masks are written with."""
_MOST_HEADER = 1 << 20


def is_whole(path: Path) -> bool:
    """Return whether every chunk that the file promises lies within it; False also where it cannot be read.

    Reads the header, the table of chunks and the head of the last chunk: alphas are checked by the thousand.
    """
    try:
        with path.open("rb") as file:
            return _chunks_fit(file, os.fstat(file.fileno()).st_size)
    except (OSError, struct.error, ValueError, IndexError, KeyError):
        return False


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of the display window, from the first part's header. Raises OSError, ValueError."""
    try:
        left, top, right, bottom = struct.unpack("<4i", _first_header(path)["displayWindow"])
    except (struct.error, KeyError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return right - left + 1, bottom - top + 1


def layout_of(path: Path) -> str:
    """Return the engine's layout of a file that it wrote (docs/outputs.md), such as 'matte'; '' of any other file."""
    try:
        return _first_header(path).get("matanyone:layout", b"").decode("latin-1")
    except (OSError, ValueError):
        return ""


def objects_of(path: Path) -> frozenset[str]:
    """Return the objects whose alphas are in a file that the engine wrote; none of any other file."""
    try:
        return frozenset(channels_by_object(_first_header(path)))
    except (OSError, ValueError):
        return frozenset()


def channels_by_object(attributes: dict[str, bytes]) -> dict[str, str]:
    """Return for each object what its alpha is called in a file of the engine's: a channel, or a Cryptomatte."""
    try:
        said = json.loads(attributes.get("matanyone:objects", b"{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def header_of(data: bytes) -> tuple[dict[str, bytes], int]:
    """Return the attributes of a file of one part, and where its table of chunks begins. Raises ValueError, OSError, or
    what struct raises.
    """
    return _header(data, 8)


def _first_header(path: Path) -> dict[str, bytes]:
    """Return the attributes of the first part. Raises OSError, ValueError."""
    with path.open("rb") as file:
        data = file.read(_MOST_HEADER)
    if data[:4] != MAGIC:
        raise ValueError(f"{path} is no EXR")
    try:
        return _header(data, 8)[0]
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _chunks_fit(file: BinaryIO, size: int) -> bool:
    data = file.read(_MOST_HEADER)
    if data[:4] != MAGIC or struct.unpack_from("<I", data, 4)[0] & _NO_SCANLINES:
        return False
    multi = bool(struct.unpack_from("<I", data, 4)[0] & _MULTI_PART)
    chunks, at = _all_chunks(data, multi)
    begin = at + 8 * chunks
    data += file.read(max(0, begin - len(data)))
    offsets = struct.unpack_from(f"<{chunks}Q", data, at)
    if not offsets or min(offsets) < begin:  # the table is written last: of a file cut short it is zeros
        return False
    file.seek(max(offsets))
    return _chunk_fits(file.read(12), size - max(offsets), multi)


def _all_chunks(data: bytes, multi: bool) -> tuple[int, int]:
    """Return how many chunks all parts have, and where their table begins."""
    chunks, at = 0, 8
    while True:
        attributes, at = _header(data, at)
        if not attributes:
            return chunks, at
        chunks += _chunk_count(attributes)
        if not multi:
            return chunks, at


def _header(data: bytes, at: int) -> tuple[dict[str, bytes], int]:
    """Return the attributes of one part and where it ends; there are none where the list of parts ends."""
    attributes = {}
    while data[at] != 0:
        name, at = _text(data, at)
        _, at = _text(data, at)
        size = struct.unpack_from("<i", data, at)[0]
        attributes[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return attributes, at + 1


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("latin-1"), end + 1


def _chunk_count(attributes: dict[str, bytes]) -> int:
    if "chunkCount" in attributes:
        return int(struct.unpack("<i", attributes["chunkCount"])[0])
    _, top, _, bottom = struct.unpack("<4i", attributes["dataWindow"])
    lines = _LINES[attributes["compression"][0]]
    return int((bottom - top + lines) // lines)


def _chunk_fits(data: bytes, left: int, multi: bool) -> bool:
    """Return whether a chunk ([part] line size bytes) is whole. data: its head; left: bytes from there to the file's
    end.
    """
    head = 8 if multi else 4
    size = struct.unpack_from("<i", data, head)[0]
    return bool(size > 0 and head + 4 + size <= left)


def write_mask(path: Path, size: tuple[int, int], rows: list[bytes], zipped: bool = False) -> None:
    """Write one float channel Y; the file is whole or not there at all. rows: float32 little-endian, the top one first.

    zipped: whether each row is compressed (ZIPS), for masks of many frames. Raises OSError.
    """
    width, height = size
    header = _mask_header(width, height, _ZIPS if zipped else _NONE)
    rows = [_zipped(row) for row in rows] if zipped else rows
    ends = accumulate((8 + len(row) for row in rows), initial=len(header) + 8 * height)
    table = struct.pack(f"<{height}Q", *list(ends)[:-1])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(header + table)
            for number, row in enumerate(rows):
                file.write(struct.pack("<2i", number, len(row)) + row)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _zipped(row: bytes) -> bytes:
    """Compress a row as EXR's ZIPS does: differences of bytes, the even ones before the odd ones."""
    import numpy as np

    values = np.frombuffer(row, np.uint8)
    steps = np.concatenate([values[0::2], values[1::2]])
    steps[1:] = steps[1:] - steps[:-1] + np.uint8(128)
    packed = zlib.compress(steps.tobytes(), 4)
    return packed if len(packed) < len(row) else row  # a row that would grow is stored as it is


def _mask_header(width: int, height: int, compression: bytes) -> bytes:
    channel = b"Y\0" + struct.pack("<iB3xii", 2, 0, 1, 1) + b"\0"
    return _encoded((width, height), channel, compression)


def write_likeness(source: Path, path: Path) -> None:
    """Write a file of one black pixel that has the layers and the Cryptomatte of another one.

    Blender learns from it which layers there are, without reading the pixels of the other file. Raises OSError,
    ValueError.
    """
    attributes = _first_header(source)
    channels = attributes["channels"]
    manifest = {name: value for name, value in attributes.items() if name.startswith("cryptomatte/")}
    header = _encoded((1, 1), channels, _NONE, manifest)
    pixel = bytes(_pixel_bytes(channels))
    table = struct.pack("<Q", len(header) + 8)
    path.write_bytes(header + table + struct.pack("<2i", 0, len(pixel)) + pixel)


def _pixel_bytes(channels: bytes) -> int:
    return sum(2 if kind == _HALF else 4 for _, kind in channel_list(channels))


def channel_list(channels: bytes) -> list[tuple[str, int]]:
    """Return the names of a file's channels in their order, each with EXR's number of its type. Raises ValueError."""
    at, found = 0, []
    while channels[at]:
        name, end = _text(channels, at)
        found.append((name, struct.unpack_from("<i", channels, end)[0]))
        at = end + 16
    return found


def _encoded(
    size: tuple[int, int], channels: bytes, compression: bytes, texts: dict[str, bytes] | None = None
) -> bytes:
    """Return the head of a file of this width and height. texts: further attributes, each a string."""
    window = struct.pack("<4i", 0, 0, size[0] - 1, size[1] - 1)
    attributes = (
        ("channels", "chlist", channels),
        ("compression", "compression", compression),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
        *((name, "string", value) for name, value in (texts or {}).items()),
    )
    body = b"".join(
        name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return MAGIC + struct.pack("<I", 2) + body + b"\0"
