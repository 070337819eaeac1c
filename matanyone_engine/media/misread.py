# SPDX-License-Identifier: Apache-2.0
"""Finds files that OpenImageIO (3.2) reads wrongly without an error, so that they are refused.

Each function reads the header of one format, and returns what came and what to do about it; None for an ordinary file.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from matanyone_engine.media.colour_tags import DAMAGES, head_of, jp2_space, radiance_lines, tiff_tags

Misread = tuple[str, str] | None

_BITFIELDS = frozenset({3, 6})
"""The compressions of BMP for which the header says which bits are red, green and blue."""
_BMP_WITH_MASKS = 40
"""Bytes of the shortest BMP header that may be followed by these masks."""
_USUAL_MASKS = (0xFF0000, 0xFF00, 0xFF)
_UNKNOWN = 0xFFFFFFFF
"""The value of DPX and Cineon fields that are not set."""
_NO_PADDING = (0, _UNKNOWN)
_WORD = 32
"""Many programs pad the rows of a DPX to multiples of so many bits."""
_BITS_OF_CODES = {8: 8, 12: 16, 16: 16}
"""Bits that a DPX code of 8, 12 or 16 bits takes in the file, where codes are not packed into words."""
_IN_WORDS = 10
"""Bits of a code of which three are stored in a word."""
_ELEMENT, _MOST_ELEMENTS = 72, 8
"""Bytes of the description of each element (RGB, alpha ...) of a DPX, and the most elements that it may have."""
_DPX_RGB = 50
"""The descriptor of a DPX element that is R, G and B."""
_MIXED_WORDS = "10-bit codes of {}, three to a word of 32 bits, which programs put in different orders"
_HELP_WITH_WORDS = "Save it as RGB, or with 16 bits."
_COLOUR_MODELS = frozenset({0, 16, 17, 18, 20, 21})
"""Colour spaces of JPEG 2000 (EnumCS) that are read as RGB or grey, and 0, which some programs write for none.
colour_tags.py reads their primaries."""
_PROGRESSIVE = frozenset({b"\xff\xc2", b"\xff\xc6", b"\xff\xca", b"\xff\xce"})
"""JPEG's markers of progressive pictures, which store a coarse picture first and then its refinements."""
_START_OF_SCAN, _END_OF_JPEG, _FILL = b"\xff\xda", b"\xff\xd9", b"\xff\xff"
_REFERENCE_BLACK_WHITE, _MODEL, _RGB = 532, 262, 2


def misread(path: Path, file_format: str, spec: Any) -> Misread:
    """Return why OpenImageIO would read other pixels than the file holds, and what to do; None for an ordinary file.

    spec: OpenImageIO's description of the file's first part.
    """
    check = _CHECKS.get(file_format)
    try:
        return check(path, spec) if check else None
    except DAMAGES:  # a damaged header: reading the pixels raises the error
        return None


def _bmp(path: Path, _spec: Any) -> Misread:
    head = head_of(path, 66)
    (length,) = struct.unpack_from("<I", head, 14)
    bits, compression = struct.unpack_from("<HI", head, 28)
    masks = struct.unpack_from("<3I", head, 54)
    if length >= _BMP_WITH_MASKS and compression in _BITFIELDS and bits == 32 and masks != _USUAL_MASKS:
        listed = ", ".join(f"{mask:08x}" for mask in masks)
        return f"red, green and blue in unusual bits ({listed})", "Save it as a BMP of 24 bits, or as PNG."
    return None


def _dpx(path: Path, spec: Any) -> Misread:
    """Refuse rows whose pixels end within a word of 32 bits, where programs differ in whether the row is padded."""
    head = head_of(path, 780 + _MOST_ELEMENTS * _ELEMENT)
    order = ">" if head[:4] == b"SDPX" else "<"
    elements, width, height = struct.unpack_from(order + "HII", head, 770)
    bits, packing, run_lengths, begin, padding = struct.unpack_from(order + "BHHII", head, 803)
    if padding not in _NO_PADDING and bits not in (8, 16):
        return f"{padding} bytes behind every row", "Save it without padding at the ends of lines."
    for at in range(0, _ELEMENT * min(elements, _MOST_ELEMENTS), _ELEMENT):
        if head[803 + at] == _IN_WORDS and any(head[804 + at : 806 + at]) and head[800 + at] != _DPX_RGB:
            return _MIXED_WORDS.format("grey, alpha or RGBA"), _HELP_WITH_WORDS
    is_packed = not packing and bits in (10, 12)
    row = width * spec.nchannels * (bits if is_packed else _BITS_OF_CODES.get(bits, _WORD))
    if run_lengths or elements != 1 or padding not in _NO_PADDING or not row % _WORD:
        return None
    if _are_padded(path, begin, row, height) == is_packed:  # OpenImageIO takes rows for padded if codes are packed
        return None
    return _rows_end_within_a_word(width)


def _are_padded(path: Path, begin: int, row: int, height: int) -> bool:
    """Return whether a file is long enough for rows of `row` bits, each padded to whole words."""
    return path.stat().st_size - begin >= (row + -row % _WORD) // 8 * height


def _rows_end_within_a_word(width: int) -> tuple[str, str]:
    return (
        "rows whose pixels end within a word of 32 bits",
        f"Programs differ in how such rows are stored. At a width of {width}, save it as EXR, TIFF or PNG.",
    )


def _cineon(path: Path, spec: Any) -> Misread:
    head = head_of(path, 688)
    begin, padding = (struct.unpack_from(">I", head, at)[0] for at in (4, 684))
    bits, is_packed = head[198], not head[681]
    if padding not in _NO_PADDING:
        return f"{padding} bytes behind every row", "Save it without padding at the ends of lines."
    if bits == _IN_WORDS and not is_packed:
        return None if spec.nchannels == 3 else (_MIXED_WORDS.format("grey"), _HELP_WITH_WORDS)
    if bits not in (8, 16):
        return f"{bits}-bit codes, which programs pack in different ways", "Save it as DPX of 10 or 16 bits."
    row = spec.width * spec.nchannels * bits
    if row % _WORD and _are_padded(path, begin, row, spec.height):
        return _rows_end_within_a_word(spec.width)
    return None


def _png(_path: Path, spec: Any) -> Misread:
    if (spec.x, spec.y) == (0, 0):
        return None
    return (
        f"an offset of {spec.x}, {spec.y} pixels (oFFs chunk), which most programs ignore",
        "Save it without the offset of its layer.",
    )


def _jpeg2000(path: Path, _spec: Any) -> Misread:
    space = jp2_space(path)
    if space is None or space in _COLOUR_MODELS:
        return None
    return f"JPEG 2000's colour space {space}, which is not RGB or grey", "Save it as RGB."


def _hdr(path: Path, _spec: Any) -> Misread:
    numbers = [float(text) for line in radiance_lines(path, "COLORCORR") for text in line.split()]
    if all(number == 1 for number in numbers):
        return None
    return "colours that were corrected after they were measured (COLORCORR)", "Save it without COLORCORR, or as EXR."


def _tiff(path: Path, _spec: Any) -> Misread:
    tags = tiff_tags(path, (_MODEL, _REFERENCE_BLACK_WHITE))
    stated = tags.get(_REFERENCE_BLACK_WHITE, ())
    if tags.get(_MODEL) != (_RGB,) or not stated or (not any(stated[::2]) and min(stated[1::2]) in (1, 255, 65535)):
        return None
    return f"black and white at codes {stated[0]:g} and {stated[1]:g} (ReferenceBlackWhite)", "Save it in full range."


def _jpegxl(path: Path, _spec: Any) -> Misread:
    if not _is_animated(_codestream(head_of(path, 4096))):
        return None
    return "an animation", "Save each frame as a file of its own, such as name.0001.jxl."


def _jpeg(path: Path, _spec: Any) -> Misread:
    """Refuse a JPEG that is cut off: libjpeg invents the rest if it is progressive, or if it ends in its headers."""
    # The file is mapped, so that only the headers are read of a picture that is not progressive.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, is_progressive = 2, False
        while (marker := data[at : at + 2]) != _START_OF_SCAN:
            is_progressive |= marker in _PROGRESSIVE
            at += 1 if marker == _FILL else 2 + _length_at(data, at + 2)
        begin = at + 2 + _length_at(data, at + 2)
        is_cut = begin >= len(data) or (is_progressive and data.find(_END_OF_JPEG, begin) < 0)
    return ("a file that is cut off", "Copy or render it again.") if is_cut else None


def _length_at(data: mmap.mmap, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])


_CHECKS = {
    "jpeg": _jpeg,
    "bmp": _bmp,
    "dpx": _dpx,
    "cineon": _cineon,
    "png": _png,
    "jpeg2000": _jpeg2000,
    "hdr": _hdr,
    "tiff": _tiff,
    "jpegxl": _jpegxl,
}

# ------------------------------------------------------------------------------------------------------- JPEG XL


def _codestream(head: bytes) -> bytes:
    """Return the beginning of a JPEG XL's codestream, which may be inside of a box."""
    at = 0
    while head[:2] != b"\xff\x0a":
        length, name = struct.unpack_from(">I4s", head, at)
        if name in (b"jxlc", b"jxlp"):
            return head[at + (12 if name == b"jxlp" else 8) :]
        at += max(length, 8)
    return head


def _is_animated(codestream: bytes) -> bool:
    """Read the header of ISO/IEC 18181-1 as far as have_animation."""
    bits = _Bits(codestream[2:])
    bits.size()
    if bits.take(1) or not bits.take(1):  # all_default, or no extra_fields: it is no animation
        return False
    bits.take(3)
    if bits.take(1):
        bits.size()
    if bits.take(1):
        bits.preview_size()
    return bool(bits.take(1))


class _Bits:
    """Takes numbers from bytes, least significant bits first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data[:64], "little")

    def take(self, count: int) -> int:
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value

    def size(self) -> None:
        """Skip a size. It is in units of 8 pixels or in pixels, and the width may be a ratio of the height."""
        self._sides(5, (9, 13, 18, 30))

    def preview_size(self) -> None:
        """Skip the size of the preview, whose numbers of 8 pixels have 0, 0, 5 or 9 bits."""
        self._sides((0, 0, 5, 9), (6, 8, 10, 12))

    def _sides(self, eights: int | tuple[int, ...], pixels: tuple[int, ...]) -> None:
        widths = eights if self.take(1) else pixels
        self._side(widths)
        if not self.take(3):
            self._side(widths)

    def _side(self, widths: int | tuple[int, ...]) -> None:
        self.take(widths if isinstance(widths, int) else widths[self.take(2)])
