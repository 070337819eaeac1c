# SPDX-License-Identifier: Apache-2.0
"""Reads what a file says about its colour and OpenImageIO does not pass on: in chunks of PNG and headers of Radiance.

OpenImageIO (3.2) names a space for those of PNG's statements that it knows, and sRGB for all others.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

PNG_CICP, PNG_GAMMA, PNG_PRIMARIES, PNG_SRGB = "png:cICP", "png:gAMA", "png:cHRM", "png:sRGB"
RADIANCE_PRIMARIES = "hdr:PRIMARIES"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHECKSUM = 4
"""Bytes behind each chunk."""
_SHORT = 64
"""Bytes of a chunk that are read: those about colour are shorter, but for profiles, which OpenImageIO reads."""
_WHITE_FIRST = slice(2, None), slice(0, 2)
"""PNG has white before red, green and blue; everybody else has it behind them."""
_HEADER_BYTES = 4096
_PRIMARIES_LINE = re.compile(rb"^PRIMARIES=([-+0-9.eE \t]+)$", re.MULTILINE)


def png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, the first 64 bytes) of each chunk before the pixels; nothing of a file that is no PNG."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            length = int.from_bytes(head[:4], "big")
            content = file.read(min(length, _SHORT))
            yield head[4:], content
            file.seek(length - len(content) + _CHECKSUM, os.SEEK_CUR)


def colour_tags(path: Path, file_format: str) -> dict[str, str]:
    """Return the statements of a PNG or Radiance file as text, under the names above; {} of other formats.

    cICP as H.273's four numbers, gAMA as 100000 times the exponent that was encoded with, primaries as x and y of red,
    green, blue and white.
    """
    if file_format == "png":
        return dict(filter(None, (_of_chunk(name, content) for name, content in png_chunks(path))))
    if file_format == "hdr":
        with path.open("rb") as file:
            match = _PRIMARIES_LINE.search(file.read(_HEADER_BYTES).partition(b"\n\n")[0])
        return {RADIANCE_PRIMARIES: " ".join(match[1].decode("ascii").split())} if match else {}
    return {}


def _of_chunk(name: bytes, content: bytes) -> tuple[str, str] | None:
    if name == b"cICP" and len(content) == 4:
        return PNG_CICP, " ".join(map(str, content))
    if name == b"gAMA" and len(content) == 4:
        return PNG_GAMMA, str(int.from_bytes(content, "big"))
    if name == b"cHRM" and len(content) == 32:
        xy = struct.unpack(">8I", content)
        return PNG_PRIMARIES, " ".join(f"{value / 100000:.6g}" for part in _WHITE_FIRST for value in xy[part])
    return (PNG_SRGB, str(content[0])) if name == b"sRGB" and len(content) == 1 else None
