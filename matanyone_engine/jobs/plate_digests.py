# SPDX-License-Identifier: Apache-2.0
"""Makes the digests of a run's plates, by which results are named.

Rule of this file: on a long shot from a server this takes minutes, so it says how far it is and can be stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import PlateError
from matanyone_engine.jobs.retry import patiently, read_through
from matanyone_engine.matting.content_keys import digest
from matanyone_engine.media.plates import PlateSource
from matanyone_engine.runs.ledger import file_digest

Stamp = tuple[str, int, int]
"""A file as it was when it was read: path, bytes, time in nanoseconds."""

_SAID_EVERY_S = 0.5
_READERS = 4


class Clock:
    """Tells when it is time to say how far a long reading is; never at once, since most take no time."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time; the next time is then a while later."""
        now = time.monotonic()
        if now - self._said < _SAID_EVERY_S:
            return False
        self._said = now
        return True


@dataclass(frozen=True)
class PlateDigests:
    """Holds the digests of a run's plates, and what tells whether their files have changed since."""

    digests: Mapping[int, str]
    """For each frame the digest of the plate's bytes, which is a part of content keys."""
    stamps: Mapping[int, list[Stamp]]
    """For each frame name, bytes and time of each of its files."""


@dataclass(frozen=True)
class FilesRead:
    """Tells how many files of how many were read; `frame` is that of one of the last."""

    frame: int
    done: int
    of: int


def stamps(source: PlateSource, frame: int) -> list[Stamp]:
    """Return name, bytes and time of change (ns) of each file of a plate frame. Raises OSError."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.paths((frame,))]


def read_digests(
    source: PlateSource, frames: Iterable[int], stopping: Callable[[], bool] = lambda: False
) -> Generator[FilesRead, None, PlateDigests | None]:
    """Read every plate and return the digests: of its file's bytes, and of its number where a file holds many.

    None where it was stopped.

    Raises PlateError.
    """
    try:
        return (yield from _digested(source, frames, stopping))
    except OSError as error:
        raise PlateError(
            expected=f"plates of {source.name} that can be read",
            came=str(error),
            action="Render or copy the frame again, or check the storage.",
        ) from error


def _digested(
    source: PlateSource, frames: Iterable[int], stopping: Callable[[], bool]
) -> Generator[FilesRead, None, PlateDigests | None]:
    known = {frame: _stamped(source, frame) for frame in frames}
    frame_of = {path: frame for frame, each in known.items() for path, _, _ in each}
    of_files: dict[str, str] = {}
    clock, threads = Clock(), ThreadPoolExecutor(_READERS)
    try:
        for path, found in zip(frame_of, threads.map(_digest_of, map(Path, frame_of)), strict=True):
            of_files[path] = found
            if stopping():
                return None
            if clock.due():
                yield FilesRead(frame_of[path], len(of_files), len(frame_of))
    finally:
        threads.shutdown(cancel_futures=True)
    many = len(frame_of) < len(known)
    digests = {
        frame: digest([of_files[path] for path, _, _ in each], frame if many else None) for frame, each in known.items()
    }
    return PlateDigests(digests, known)


def _stamped(source: PlateSource, frame: int) -> list[Stamp]:
    def look() -> None:
        for path in source.paths((frame,)):
            path.stat()

    return patiently(lambda: stamps(source, frame), look)


def _digest_of(path: Path) -> str:
    return patiently(lambda: file_digest(path), lambda: read_through(path))
