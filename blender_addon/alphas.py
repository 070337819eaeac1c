# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's alphas for the screen, on a thread of its own: Blender never waits for a file. No bpy.

    reader.ask(path, name)      what is known of an object's alpha now; else it is read, the last one asked for first
    reader.look_again(path)     it was written anew: look at once
    reader.news()               whether something new has come since this was asked last

A picture is made smaller to what a screen shows, by whole factors. Files are read as the engine writes them: scan
lines, half or float, uncompressed or ZIP; of others nothing is shown.
"""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exr import MAGIC, channel_list, channels_by_object, header_of

WIDEST = 2048
"""Pixels across: larger pictures are averaged down."""
_KEPT = 24
"""Pictures that are remembered."""
_LOOK_AGAIN_S = 0.3
"""How long a file is taken to be as it was."""
_KINDS = {1: "<f2", 2: "<f4"}
"""EXR's pixel types, and numpy's types for them."""
_LINES = {0: 1, 2: 1, 3: 16}
"""How many scan lines a chunk holds with each compression that is read: none, ZIPS, ZIP."""
UNREADABLE = (OSError, ValueError, KeyError, IndexError, StopIteration, struct.error, zlib.error)
"""The errors of reading a file that is no alpha of the engine's, or is cut short."""


@dataclass(frozen=True)
class Picture:
    """Holds an alpha, small enough for a screen."""

    width: int
    height: int
    values: Any
    """numpy, float32, (height, width), 0 to 1, the bottom row first, as Blender's textures have it."""


@dataclass
class _Known:
    stamp: tuple[int, int] | None
    looked: float
    picture: Picture | None


_Wanted = tuple[str, str]
"""A file, and the object in it whose alpha is wanted; '' is all objects."""


class Reader:
    """Reads alphas on one thread, which ends with stop()."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Wanted, _Known] = OrderedDict()
        self._wanted: _Wanted | None = None
        self._again: _Wanted | None = None
        """A file that was written anew, which is looked at first."""
        self._at_work = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._news = self._over = False

    def ask(self, path: str, name: str = "") -> Picture | None:
        """Return the alpha in a file as far as it is known, and see to it that it is looked at. Never waits.

        name: the object, where a file holds several.
        """
        asked = (path, name)
        with self._changed:
            known = self._known.get(asked)
            if known is None or time.monotonic() - known.looked > _LOOK_AGAIN_S:
                self._wanted = asked
                self._begin()
                self._changed.notify()
            return known.picture if known is not None else None

    def look_again(self, path: str) -> None:
        """Have a file looked at that was written anew just now. Never waits."""
        with self._changed:
            self._again = (path, "")
            self._begin()
            self._changed.notify()

    def news(self) -> bool:
        """Return whether a file has come, gone or changed since the last call."""
        with self._changed:
            news, self._news = self._news, False
            return news

    def is_waiting(self) -> bool:
        """Return whether a file is still to be looked at."""
        return self._wanted is not None or self._again is not None or self._at_work

    def stop(self) -> None:
        """End the thread; what was read is forgotten."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2.0)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="matanyone alphas", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._wanted is None and self._again is None and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                asked, self._at_work = self._next(), True
                known = self._known.get(asked)
            self._look(asked, known)

    def _next(self) -> _Wanted:
        """Take the file that is looked at next: one that was written anew goes first."""
        if self._again is not None:
            asked, self._again = self._again, None
        else:
            assert self._wanted is not None
            asked, self._wanted = self._wanted, None
        return asked

    def _look(self, asked: _Wanted, known: _Known | None) -> None:
        stamp = _stamp(asked[0])
        same = known is not None and known.stamp == stamp
        picture = known.picture if same else _read_safely(asked, stamp)
        with self._changed:
            self._known[asked] = _Known(stamp, time.monotonic(), picture)
            self._known.move_to_end(asked)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            self._news = self._news or not same
            self._at_work = False


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        told = Path(path).stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size


def _read_safely(asked: _Wanted, stamp: tuple[int, int] | None) -> Picture | None:
    """Read an alpha, or return None: a file that is no alpha of ours, or is cut short, is not shown."""
    try:
        return read_alpha(Path(asked[0]), name=asked[1]) if stamp is not None else None
    except UNREADABLE:
        return None


def read_alpha(path: Path, widest: int = WIDEST, name: str = "") -> Picture:
    """Read the alpha of an object. Raises one of UNREADABLE for files without it, and for those of others.

    name: the object's name, where the engine has put all objects into one file, as layers or as a Cryptomatte. Else,
    and with '', the alpha is the channel A, or Y where there is none.
    """
    import numpy as np

    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise ValueError(f"{path} is no EXR")
    attributes, begin = header_of(data)
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    columns, line = _columns(attributes["channels"], width)
    kind = attributes["compression"][0]
    if _LINES[kind] == 1:  # as the engine writes alphas: each channel is read by itself
        raw = _chunks(data, begin, height)
        read = lambda channel: _channel_of_lines(raw, columns[channel], (width, line))  # noqa: E731
    else:
        rows = _scan_lines(data, begin, kind, (height, line))
        read = lambda channel: _channel(rows, columns[channel], width)  # noqa: E731
    window = _coverage(read, columns, attributes, name)
    whole = _in_display(window, (left, top), struct.unpack("<4i", attributes["displayWindow"]))
    small = _smaller(whole, widest)
    return Picture(small.shape[1], small.shape[0], np.ascontiguousarray(small[::-1]))


def _coverage(read: Callable[[str], Any], columns: Container[str], attributes: dict[str, bytes], name: str) -> Any:
    """Return an object's alpha over the data window. read: gives the values of a channel by its name."""
    layout = attributes.get("matanyone:layout", b"")
    if not name or layout not in (b"layers", b"cryptomatte"):
        return read("A" if "A" in columns else "Y")
    where = channels_by_object(attributes)[name]
    return read(where) if layout == b"layers" else _picked(read, columns, where, _id_of(attributes, name))


def _id_of(attributes: dict[str, bytes], name: str) -> int:
    """Return the number that a Cryptomatte has for an object."""
    manifests = (key for key in attributes if key.startswith("cryptomatte/") and key.endswith("/manifest"))
    return int(json.loads(attributes[next(manifests)])[name], 16)


def _picked(read: Callable[[str], Any], columns: Container[str], layer: str, number: int) -> Any:
    """Return the coverage that a Cryptomatte has for an object. Each of its layers has two pairs of id and coverage."""
    import numpy as np

    total, rank = 0.0, 0
    while f"{layer}{rank:02d}.R" in columns:
        for of, covers in ("RG", "BA"):
            ids = np.ascontiguousarray(read(f"{layer}{rank:02d}.{of}")).view(np.uint32)
            total = total + np.where(ids == number, read(f"{layer}{rank:02d}.{covers}"), np.float32(0))
        rank += 1
    if not rank:
        raise ValueError("a Cryptomatte without layers")
    return total


def _channel(rows: Any, column: tuple[int, str], width: int) -> Any:
    """Return the values of a channel, float32 (height, width). column: where it begins in a line, and its type."""
    import numpy as np

    offset, kind = column
    if not kind:
        raise ValueError("an alpha of whole numbers")
    length = width * np.dtype(kind).itemsize
    return rows[:, offset : offset + length].copy().view(kind).astype(np.float32)


def _chunks(data: bytes, begin: int, count: int) -> list[bytes]:
    """Return the chunks of a file as they are stored. begin: where the table of their offsets is."""
    chunks = []
    for offset in struct.unpack_from(f"<{count}Q", data, begin):
        size = struct.unpack_from("<i", data, offset + 4)[0]
        chunks.append(data[offset + 8 : offset + 8 + size])
    return chunks


def _channel_of_lines(raw: list[bytes], column: tuple[int, str], size: tuple[int, int]) -> Any:
    """Return the values of a channel, float32 (height, width), of lines as they are stored.

    size: the width in pixels, and the bytes of a line. A zipped line is undone as far as this channel needs it, and
    lines that are the same, such as empty ones, once.
    """
    import numpy as np

    (offset, kind), (width, line) = column, size
    if not kind:
        raise ValueError("an alpha of whole numbers")
    part = slice(offset, offset + width * np.dtype(kind).itemsize)
    zipped = list(dict.fromkeys(each for each in raw if len(each) != line))
    undone = dict(zip(zipped, _part_of_lines(zipped, line, part), strict=True)) if zipped else {}
    rows = [undone[each] if each in undone else np.frombuffer(each, np.uint8)[part] for each in raw]
    return np.stack(rows).view(kind).astype(np.float32)


def _part_of_lines(zipped: list[bytes], line: int, part: slice) -> Any:
    """Return the same part of zipped lines, one a row. ZIP keeps differences of bytes, less 128, and the even bytes
    of a line before the odd ones; a part begins and ends at an even byte.
    """
    import numpy as np

    middle, first, stop = line // 2, part.start // 2, part.stop // 2
    needed = middle + stop
    told = b"".join([zlib.decompressobj().decompress(each, needed) for each in zipped])
    steps = np.frombuffer(told, np.uint8).reshape(len(zipped), needed)
    bytes_of = np.empty((len(zipped), stop - first, 2), np.uint8)
    for odd, at in enumerate((first, middle + first)):
        before = steps[:, :at].sum(axis=1, dtype=np.uint8)
        sums = np.cumsum(steps[:, at : at + stop - first], axis=1, dtype=np.uint8) + before[:, None]
        sums[:, (at + 1) % 2 :: 2] += 128  # 128 less for each step after the first: two of them are nothing
        bytes_of[..., odd] = sums
    return bytes_of.reshape(len(zipped), -1)


def _scan_lines(data: bytes, begin: int, compression: int, shape: tuple[int, int]) -> Any:
    """Return bytes of this shape, (height, bytes of a line): each line has its channels one after the other."""
    import numpy as np

    (height, line), lines = shape, _LINES[compression]
    blocks = []
    for number, raw in enumerate(_chunks(data, begin, -(-height // lines))):
        count = min(lines, height - number * lines)
        stored = len(raw) == count * line  # what would have grown is left as it is
        blocks.append((np.frombuffer(raw, np.uint8) if stored else _unzipped(raw)).reshape(count, line))
    return np.concatenate(blocks)


def _unzipped(raw: bytes) -> Any:
    """Undo ZIP: it keeps differences of bytes, the even ones before the odd ones."""
    import numpy as np

    steps = np.frombuffer(zlib.decompress(raw), np.uint8).copy()
    steps[1:] -= 128
    halves = np.cumsum(steps, dtype=np.uint8)
    middle = (len(halves) + 1) // 2
    mixed = np.empty_like(halves)
    mixed[0::2], mixed[1::2] = halves[:middle], halves[middle:]
    return mixed


def _columns(channels: bytes, width: int) -> tuple[dict[str, tuple[int, str]], int]:
    """Return where a line's values of each channel begin, in bytes, and their type; and how many bytes a line has."""
    offset, found = 0, {}
    for name, kind in channel_list(channels):
        found[name] = (offset, _KINDS.get(kind, ""))
        offset += width * (2 if kind == 1 else 4)
    return found, offset


def _in_display(window: Any, corner: tuple[int, int], display: tuple[int, ...]) -> Any:
    """Return the data window's values in the display window, with 0 elsewhere."""
    import numpy as np

    left, top, right, bottom = display
    if (*corner, *window.shape[::-1]) == (left, top, right - left + 1, bottom - top + 1):
        return window
    whole = np.zeros((bottom - top + 1, right - left + 1), np.float32)
    x, y = corner[0] - left, corner[1] - top
    from_x, from_y = max(0, -x), max(0, -y)
    part = window[from_y : whole.shape[0] - y, from_x : whole.shape[1] - x]
    whole[max(0, y) : max(0, y) + part.shape[0], max(0, x) : max(0, x) + part.shape[1]] = part
    return whole


def _smaller(whole: Any, widest: int) -> Any:
    factor = -(-whole.shape[1] // widest)
    if factor <= 1:
        return whole
    height, width = (side // factor * factor for side in whole.shape)
    return whole[:height, :width].reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
