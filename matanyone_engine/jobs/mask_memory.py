# SPDX-License-Identifier: Apache-2.0
"""Keeps what a first mask was made of for the next one, since an artist's next click is on the same frame.

A file counts as the same as long as its size, its place on the disk and its times of change are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from matanyone_engine.media.color_spaces import ColourChoice
from matanyone_engine.media.images import FloatImage, PlateHeader

MOST_BYTES = 1 << 27
"""Of a picture that is kept: a plate of 4096x2160 fits, one of 8K is read for each click."""

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
    """Holds the latest of what was made from files, until those files or what was asked change."""

    def __init__(self, size: Callable[[T], int]) -> None:
        """size: returns the bytes of a value; one of more than MOST_BYTES is not kept."""
        self._size = size
        self._held: tuple[object, T] | None = None

    def get(self, asked: object, files: Iterable[Path], make: Callable[[], T]) -> T:
        """Return what make() returns, without calling it where the same was asked for last, of the same files."""
        stamps = _stamps(files)  # before they are read: a file that changes meanwhile is read again next time
        held = self._held
        if held is not None and held[0] == (asked, stamps):
            return held[1]
        made = make()
        self._held = ((asked, stamps), made) if stamps is not None and self._size(made) <= MOST_BYTES else None
        return made

    def forget(self) -> None:
        """Let go of what is held."""
        self._held = None


class MaskMemory:
    """Holds the plate's frame that was clicked last, the mask that was corrected, and which mask was written."""

    def __init__(self) -> None:
        self.plate: Latest[SeenPlate] = Latest(lambda plate: plate.seen.nbytes)
        self.start: Latest[FloatImage] = Latest(lambda start: start.nbytes)
        self._written: tuple[Path, _Stamps | None] | None = None

    def forget(self) -> None:
        """Let go of everything: an idle engine gives its memory back."""
        self.plate.forget()
        self.start.forget()

    def note_written(self, path: Path) -> None:
        """Remember a mask as it was written just now."""
        self._written = (path, _stamps([path]))

    def is_as_written(self, path: Path) -> bool:
        """Return whether a file is certainly the mask that was written there last, so that nobody's work is lost when
        it is written anew.
        """
        if self._written is None or self._written[0] != path or self._written[1] is None:
            return False
        return self._written[1] == _stamps([path])


def _stamps(files: Iterable[Path]) -> _Stamps | None:
    """Return what tells whether files are as they were; None where one of them is not there."""
    try:
        told = [path.stat() for path in files]
    except OSError:
        return None
    return tuple((each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in told)
