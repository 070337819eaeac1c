# SPDX-License-Identifier: Apache-2.0
"""Keeps what a first mask was made from for the next one, since an artist's next click is usually on the same frame.

A file counts as unchanged as long as its size, its inode and its times of change are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from matanyone_engine.media.color_spaces import ColourChoice
from matanyone_engine.media.images import FloatImage, PlateHeader

MOST_BYTES = 1 << 27
"""The most bytes of a picture that is kept. A plate of 4096x2160 fits; one of 8K is read again for each click."""

T = TypeVar("T")

_Stamps = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class SeenPlate:
    """Holds the frame of a plate that a mask is cut from, as the network sees it."""

    header: PlateHeader
    seen: FloatImage
    """(H, W, 3) sRGB 0..1."""
    colour: ColourChoice
    view_name: str
    """How the plate was converted to what the network sees, for a file's header."""


class Latest(Generic[T]):
    """Holds the value made last from files, until the files or the request change."""

    def __init__(self, size: Callable[[T], int]) -> None:
        """size: returns the bytes of a value; one of more than MOST_BYTES is not kept."""
        self._size = size
        self._held: tuple[object, T] | None = None

    def get(self, asked: object, files: Iterable[Path], make: Callable[[], T]) -> T:
        """Return what make() returns.

        It is not called if the last call asked for the same, and the files are unchanged.
        """
        stamps = _stamps(files)  # before the files are read: one that changes meanwhile is read again
        held = self._held
        if held is not None and held[0] == (asked, stamps):
            return held[1]
        made = make()
        self._held = ((asked, stamps), made) if stamps is not None and self._size(made) <= MOST_BYTES else None
        return made

    def forget(self) -> None:
        """Drop the value."""
        self._held = None


class MaskMemory:
    """Holds the plate frame that was clicked last, the mask that was corrected, and the name of the mask that was
    written."""

    def __init__(self) -> None:
        self.plate: Latest[SeenPlate] = Latest(lambda plate: plate.seen.nbytes)
        self.start: Latest[FloatImage] = Latest(lambda start: start.nbytes)
        self._written: tuple[Path, _Stamps | None] | None = None

    def forget(self) -> None:
        """Drop everything, since an idle engine gives its memory back."""
        self.plate.forget()
        self.start.forget()

    def note_written(self, path: Path) -> None:
        """Note the state of a mask that was just written."""
        self._written = (path, _stamps([path]))

    def is_as_written(self, path: Path) -> bool:
        """Return whether a file is certainly the mask that was written there last, and may be replaced without losing
        anyone's work.
        """
        if self._written is None or self._written[0] != path or self._written[1] is None:
            return False
        return self._written[1] == _stamps([path])


def _stamps(files: Iterable[Path]) -> _Stamps | None:
    """Return values that change if one of the files does; None if one of them does not exist."""
    try:
        told = [path.stat() for path in files]
    except OSError:
        return None
    return tuple((each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in told)
