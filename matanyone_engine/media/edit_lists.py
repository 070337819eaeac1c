# SPDX-License-Identifier: Apache-2.0
"""Reads the edit lists of MP4 and QuickTime movies, and finds edits that FFmpeg (8) does not apply.

An edit list says which stretches of the stored frames are shown. FFmpeg leaves out and repeats stretches correctly, but
shows each at the usual speed whatever its rate, and shows wrong frames where an edit after the first one is empty.
Boxes are the units of such a file (ISO/IEC 14496-12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""The boxes that a file of this kind may begin with."""
_EMPTY = -1
"""The media time of an edit that shows nothing."""
_USUAL_RATE = 1 << 16
"""The rate, a fixed-point number, of frames at their own speed; with 0, one frame is held."""
_MOST_EDITS = 4096


def edits_not_followed(path: Path) -> str:
    """Name an edit of a movie that FFmpeg does not apply, such as 'a change of speed'; '' if it applies all."""
    try:
        with path.open("rb") as file:
            return next(filter(None, map(_edit_not_followed, _edit_lists(file, path.stat().st_size))), "")
    except (struct.error, OSError):  # cut or damaged: reading the frames raises the error
        return ""


def _edit_not_followed(edits: list[tuple[int, int]]) -> str:
    """Name an edit of one list that FFmpeg does not apply; '' if there is none. edits: media time and rate of each."""
    times = [time for time, _ in edits]
    begun = next((at for at, time in enumerate(times) if time != _EMPTY), len(times))
    if _EMPTY in times[begun:]:
        return "a stretch without a picture"
    rates = {rate for time, rate in edits if time != _EMPTY}
    if 0 in rates:
        return "a frame that is held"
    return "" if rates <= {_USUAL_RATE} else "a change of speed"


def _edit_lists(file: BinaryIO, size: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the edits of each video track; none for other tracks."""
    head = file.read(8)
    file.seek(0)
    if head[4:] not in _FIRST_BOXES:
        return
    for name, end in _boxes(file, size):
        if name == b"moov":
            for track, end_of_track in _boxes(file, end):
                if track == b"trak":
                    yield _edits_of_picture(file, end_of_track)


def _edits_of_picture(file: BinaryIO, end: int) -> list[tuple[int, int]]:
    edits: list[tuple[int, int]] = []
    is_picture = False
    for name, end_of_box in _boxes(file, end):
        if name == b"edts":
            edits = next((_entries(file) for inner, _ in _boxes(file, end_of_box) if inner == b"elst"), [])
        elif name == b"mdia":
            is_picture = any(inner == b"hdlr" and file.read(12)[8:] == b"vide" for inner, _ in _boxes(file, end_of_box))
    return edits if is_picture else []


def _entries(file: BinaryIO) -> list[tuple[int, int]]:
    version, count = struct.unpack(">B3xI", file.read(8))
    form = struct.Struct(">QqI" if version else ">IiI")
    read = (form.unpack(file.read(form.size)) for _ in range(min(count, _MOST_EDITS)))
    return [(time, rate) for _, time, rate in read]


def _boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int]]:
    """Yield name and end of each box from the file's position on; the file is then at the box's content."""
    begin = file.tell()
    while begin + 8 <= end:
        file.seek(begin)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:  # the size follows the name, in 64 bits
            size = struct.unpack(">Q", file.read(8))[0]
        begin = end if size == 0 else begin + max(size, 8)
        yield name, min(begin, end)
