# SPDX-License-Identifier: Apache-2.0
"""Reads what a file says about its colour and OpenImageIO does not pass on.

OpenImageIO (3.2) names a space for those of PNG's statements that it knows, and sRGB for all others.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from matanyone_engine.media.encodings import curve_named

PNG_CICP, PNG_GAMMA, PNG_PRIMARIES, PNG_SRGB = "png:cICP", "png:gAMA", "png:cHRM", "png:sRGB"
RADIANCE_PRIMARIES = "hdr:PRIMARIES"
TIFF_PRIMARIES, TIFF_WHITE, TIFF_TRANSFER = "tiff:PrimaryChromaticities", "tiff:WhitePoint", "tiff:TransferFunction"
DAMAGES = struct.error, IndexError, ValueError, OverflowError
"""The exceptions that a damaged header leads to."""
UNFOLLOWED = "unfollowed"
"""The name of a statement, in words, for which no colour space is known."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHECKSUM = 4
"""Bytes of the checksum after each chunk."""
_SHORT = 64
"""Bytes of a chunk that are read. Chunks about colour are shorter, except profiles, which OpenImageIO reads."""
_WHITE_FIRST = slice(2, None), slice(0, 2)
"""PNG stores white before red, green and blue; all others store it after them."""
_HEADER_BYTES = 4096
_NO_GAMMA = re.compile(r"|1|1\.0*")
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 5: "II", 11: "f", 12: "d", 16: "Q"}
"""How a TIFF stores the numbers of a tag, by its type; 5 is a numerator and a denominator."""
_TIFF_RATIONAL, _BIG_TIFF = 5, 43
_MOST_NUMBERS = 3 << 16
"""The most numbers of a tag that is read: a transfer function of 16 bits in three colours."""
_TIFF_COLOUR = {301: TIFF_TRANSFER, 318: TIFF_WHITE, 319: TIFF_PRIMARIES}
_TGA_FOOTER, _TGA_GAMMA = 26, 478
_TGA_SIGNATURE = b"TRUEVISION-XFILE."
_BMP_SPACES = {b"DEBM": "an embedded profile", b"KNIL": "a profile in another file"}
_CINEMA = frozenset({3, 4, 5, 6})
"""JPEG 2000's capabilities (Rsiz) of digital cinema, whose colours are X'Y'Z'."""
_RGB_OF_OTHERS = {20: "e-sRGB", 21: "ROMM RGB"}


def png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and first 64 bytes of each chunk before the pixels; nothing for a file that is not a PNG."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            length = int.from_bytes(head[:4], "big")
            content = file.read(min(length, _SHORT))
            yield head[4:], content
            file.seek(length - len(content) + _CHECKSUM, os.SEEK_CUR)


def head_of(path: Path, count: int) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(count)


def colour_tags(path: Path, file_format: str) -> dict[str, str]:
    """Return what a file states about its colour, as texts under the names above; {} for a format without statements.

    cICP is H.273's four numbers; gAMA is 100000 times the exponent of the encoding; primaries are x and y of red,
    green, blue and white (TIFF: without white); TIFF's transfer function is the name of a curve in encodings.py.
    """
    read = _READERS.get(file_format)
    try:
        return read(path) if read else {}
    except DAMAGES:  # a damaged header: reading the pixels raises the error
        return {}


def _of_png(path: Path) -> dict[str, str]:
    return dict(filter(None, (_of_chunk(name, content) for name, content in png_chunks(path))))


def _of_chunk(name: bytes, content: bytes) -> tuple[str, str] | None:
    if name == b"cICP" and len(content) == 4:
        return PNG_CICP, " ".join(map(str, content))
    if name == b"gAMA" and len(content) == 4:
        return PNG_GAMMA, str(int.from_bytes(content, "big"))
    if name == b"cHRM" and len(content) == 32:
        xy = struct.unpack(">8I", content)
        return PNG_PRIMARIES, " ".join(f"{value / 100000:.6g}" for part in _WHITE_FIRST for value in xy[part])
    return (PNG_SRGB, str(content[0])) if name == b"sRGB" and len(content) == 1 else None


# ------------------------------------------------------------------------------------------------------ Radiance


def radiance_lines(path: Path, name: str) -> list[str]:
    """Return the numbers after NAME= in a Radiance file's header, one text for each such line: programs append lines.

    The file is opened once, however many names are asked for, until it changes.
    """
    found = path.stat()
    head = _radiance_header(path, (found.st_ino, found.st_size, found.st_mtime_ns))
    lines = re.findall(rf"^[ \t]*{name}[ \t]*=([-+0-9.eE \t]+)\r?$", head, re.MULTILINE)
    return [" ".join(numbers.split()) for numbers in lines]


@lru_cache(maxsize=16)
def _radiance_header(path: Path, _version: tuple[int, int, int]) -> str:
    """Return the header of a Radiance file. _version: changes with the file, so that it is read again."""
    return head_of(path, _HEADER_BYTES).partition(b"\n\n")[0].decode("latin-1")


def _of_radiance(path: Path) -> dict[str, str]:
    primaries, gamma = (" ".join(radiance_lines(path, name)) for name in ("PRIMARIES", "GAMMA"))
    said = {RADIANCE_PRIMARIES: primaries} if primaries else {}
    return said | ({UNFOLLOWED: f"GAMMA={gamma}"} if not _NO_GAMMA.fullmatch(gamma) else {})


# ---------------------------------------------------------------------------------------------------------- TIFF


def tiff_tags(path: Path, wanted: Sequence[int]) -> dict[int, tuple[float, ...]]:
    """Return the numbers of those wanted tags that a TIFF's first picture has."""
    with path.open("rb") as file:
        order = "<" if (head := file.read(16))[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", head, 2)[0] == _BIG_TIFF
        offset, entry, inside = ("Q", "HHQ", 12) if big else ("I", "HHI", 8)
        file.seek(struct.unpack_from(order + offset, head, 8 if big else 4)[0])
        count = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))[0]
        length = 20 if big else 12
        listed = file.read(min(count, 4096) * length)
        found: dict[int, tuple[float, ...]] = {}
        for at in range(0, len(listed), length):
            tag, kind, numbers = struct.unpack_from(order + entry, listed, at)
            if tag in wanted and kind in _TIFF_NUMBERS and numbers <= _MOST_NUMBERS:
                form = order + _TIFF_NUMBERS[kind] * numbers
                value, place = listed[at + inside : at + length], struct.calcsize(form)
                if place > len(value):
                    file.seek(struct.unpack(order + offset, value)[0])
                    value = file.read(place)
                found[tag] = _numbers(struct.unpack_from(form, value), kind)
        return found


def _numbers(stored: tuple[float, ...], kind: int) -> tuple[float, ...]:
    if kind != _TIFF_RATIONAL:
        return stored
    return tuple(above / below if below else 0.0 for above, below in zip(stored[::2], stored[1::2], strict=True))


def _of_tiff(path: Path) -> dict[str, str]:
    found = tiff_tags(path, tuple(_TIFF_COLOUR))
    said = {_TIFF_COLOUR[tag]: " ".join(f"{number:.6g}" for number in found[tag]) for tag in (318, 319) if tag in found}
    return said | ({TIFF_TRANSFER: _curve_of(found[301])} if 301 in found else {})


def _curve_of(table: tuple[float, ...]) -> str:
    """Return the name of a curve, given as a table of light 0..65535 by code; '' for an unknown one.

    The table holds one curve for all colours, or one after another for red, green and blue.
    """
    if not table:
        return ""
    tables = np.reshape(table, (3, -1) if np.log2(len(table)) % 1 else (1, -1)) / 65535
    light = tables.mean(axis=0)
    same = bool(np.abs(tables - light).max() < 1 / 255)
    return curve_named(lambda codes: np.interp(codes, np.linspace(0, 1, len(light)), light)) if same else ""


# -------------------------------------------------------------------------------------------- TGA, BMP, JPEG 2000


def _of_tga(path: Path) -> dict[str, str]:
    """Return the gamma of the extension area, which only newer files have; {} for 2.2, to which sRGB is close."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _TGA_FOOTER, 0))
        footer = file.read(_TGA_FOOTER)
        if footer[8:25] != _TGA_SIGNATURE or not (extension := struct.unpack_from("<I", footer)[0]):
            return {}
        file.seek(extension + _TGA_GAMMA)
        above, below = struct.unpack("<HH", file.read(4))
    gamma = above / below if below else 0
    return {} if gamma == 0 or round(gamma, 2) == 2.2 else {UNFOLLOWED: f"a gamma of {gamma:.4g}"}


def _of_bmp(path: Path) -> dict[str, str]:
    head = head_of(path, 122)
    if struct.unpack_from("<I", head, 14)[0] < 108:  # an older header, which says nothing about colour
        return {}
    gammas = struct.unpack_from("<3I", head, 110)
    if head[70:74] == bytes(4) and any(gammas):
        return {UNFOLLOWED: "primaries and gammas of its own"}
    return {UNFOLLOWED: _BMP_SPACES[head[70:74]]} if head[70:74] in _BMP_SPACES else {}


def jp2_space(path: Path) -> int | None:
    """Return the number of the colour space that a JPEG 2000 file names (EnumCS); None where it names none."""
    head = head_of(path, _HEADER_BYTES)
    at = head.find(b"colr")
    if head[4:8] != b"jP  " or at < 0 or head[at + 4] != 1:
        return None
    return int(struct.unpack_from(">I", head, at + 7)[0])


def _of_jp2(path: Path) -> dict[str, str]:
    space = jp2_space(path)
    if space in _RGB_OF_OTHERS:
        return {UNFOLLOWED: _RGB_OF_OTHERS[space]}
    head = head_of(path, _HEADER_BYTES)
    at = head.find(b"\xff\x4f\xff\x51")
    cinema = space is None and at >= 0 and struct.unpack_from(">H", head, at + 6)[0] in _CINEMA
    return {UNFOLLOWED: "a profile of digital cinema, whose colours are X'Y'Z'"} if cinema else {}


_READERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "png": _of_png,
    "hdr": _of_radiance,
    "tiff": _of_tiff,
    "targa": _of_tga,
    "bmp": _of_bmp,
    "jpeg2000": _of_jp2,
}
