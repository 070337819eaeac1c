# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's alphas for the screen, on a thread of its own: Blender never waits for a file. No bpy.

    reader.ask(path)            what is known of this file now; what is not known is read, the last file asked for first
    reader.look_again(path)     it was written anew: look at once
    reader.news()               whether something new has come since this was asked last

A picture is made smaller to what a screen shows, by whole factors. Files are read as the engine writes them: scan
lines, half or float, uncompressed or ZIP; of others nothing is shown.
"""

from __future__ import annotations

import struct
import threading
import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exr import MAGIC, header_of

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
UNREADABLE = (OSError, ValueError, KeyError, IndexError, struct.error, zlib.error)
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


class Reader:
    """Reads alphas on one thread, which ends with stop()."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: str | None = None
        self._at_work = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._news = self._over = False

    def ask(self, path: str) -> Picture | None:
        """Return the picture of a file as far as it is known, and see to it that it is looked at. Never waits."""
        with self._changed:
            known = self._known.get(path)
            if known is None or time.monotonic() - known.looked > _LOOK_AGAIN_S:
                self._wanted = path
                self._begin()
                self._changed.notify()
            return known.picture if known is not None else None

    def look_again(self, path: str) -> None:
        """Have a file looked at that was written anew just now. Never waits."""
        with self._changed:
            self._wanted = path
            self._begin()
            self._changed.notify()

    def news(self) -> bool:
        """Return whether a file has come, gone or changed since the last call."""
        with self._changed:
            news, self._news = self._news, False
            return news

    def is_waiting(self) -> bool:
        """Return whether a file is still to be looked at."""
        return self._wanted is not None or self._at_work

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
                while self._wanted is None and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                path, self._wanted, self._at_work = self._wanted, None, True
                known = self._known.get(path)
            self._look(path, known)

    def _look(self, path: str, known: _Known | None) -> None:
        stamp = _stamp(path)
        same = known is not None and known.stamp == stamp
        picture = known.picture if same else _read_safely(path, stamp)
        with self._changed:
            self._known[path] = _Known(stamp, time.monotonic(), picture)
            self._known.move_to_end(path)
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


def _read_safely(path: str, stamp: tuple[int, int] | None) -> Picture | None:
    """Read an alpha, or return None: a file that is no alpha of ours, or is cut short, is not shown."""
    try:
        return read_alpha(Path(path)) if stamp is not None else None
    except UNREADABLE:
        return None


def read_alpha(path: Path, widest: int = WIDEST) -> Picture:
    """Read the channel A, or Y where there is none. Raises one of UNREADABLE for other files."""
    import numpy as np

    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise ValueError(f"{path} is no EXR")
    attributes, begin = header_of(data)
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    offset, kind, line = _column(attributes["channels"], width)
    rows = _scan_lines(data, begin, attributes["compression"][0], (height, line))
    length = width * np.dtype(kind).itemsize
    window = rows[:, offset : offset + length].copy().view(kind).astype(np.float32)
    whole = _in_display(window, (left, top), struct.unpack("<4i", attributes["displayWindow"]))
    small = _smaller(whole, widest)
    return Picture(small.shape[1], small.shape[0], np.ascontiguousarray(small[::-1]))


def _scan_lines(data: bytes, begin: int, compression: int, shape: tuple[int, int]) -> Any:
    """Return bytes of this shape, (height, bytes of a line): each line has its channels one after the other."""
    import numpy as np

    (height, line), lines = shape, _LINES[compression]
    chunks = -(-height // lines)
    offsets = struct.unpack_from(f"<{chunks}Q", data, begin)
    blocks = []
    for number, offset in enumerate(offsets):
        size = struct.unpack_from("<i", data, offset + 4)[0]
        raw = data[offset + 8 : offset + 8 + size]
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


def _column(channels: bytes, width: int) -> tuple[int, str, int]:
    """Return where a line's values of the alpha begin, in bytes, their type, and how many bytes a line has."""
    at, offset, found = 0, 0, {}
    while channels[at]:
        end = channels.index(b"\0", at)
        kind = struct.unpack_from("<i", channels, end + 1)[0]
        found[channels[at:end].decode("latin-1")] = (offset, _KINDS.get(kind, ""))
        offset += width * (2 if kind == 1 else 4)
        at = end + 17
    where, kind = found.get("A") or found["Y"]
    if not kind:
        raise ValueError("an alpha of whole numbers")
    return where, kind, offset


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
