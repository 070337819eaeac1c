# SPDX-License-Identifier: Apache-2.0
"""Makes the digests of a run's plates, which are part of the content keys of results.

Rule of this file: for a long shot on a server this takes minutes, so it reports its progress and can be stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import PlateError
from matanyone_engine.jobs.retry import read_through, with_retries
from matanyone_engine.matting.content_keys import digest
from matanyone_engine.media.plates import PlateSource
from matanyone_engine.runs.ledger import file_digest

Stamp = tuple[str, int, int]
"""State of a file when it was read: path, size in bytes, time of change in nanoseconds."""

_SAID_EVERY_S = 0.5
_READERS = 4


class Clock:
    """Tells when to report the progress of a long read. It does not report at once, since most reads are short."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def due(self) -> bool:
        """Return whether a report is due, and start waiting for the next one."""
        now = time.monotonic()
        if now - self._said < _SAID_EVERY_S:
            return False
        self._said = now
        return True


@dataclass(frozen=True)
class PlateDigests:
    """Holds the digests of a run's plates, and the state of their files when they were read."""

    digests: Mapping[int, str]
    """The digest of each frame's plate, which is part of content keys."""
    stamps: Mapping[int, list[Stamp]]
    """The state of the files of each frame."""


@dataclass(frozen=True)
class FilesRead:
    """Reports how many files of how many were read; `frame` is the frame of one of the last files."""

    frame: int
    done: int
    of: int


def stamps(source: PlateSource, frame: int) -> list[Stamp]:
    """Return the state of each file of a plate frame. Raises OSError."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.paths((frame,))]


def read_digests(
    source: PlateSource, frames: Iterable[int], stopping: Callable[[], bool] = lambda: False
) -> Generator[FilesRead, None, PlateDigests | None]:
    """Read every plate and return its digest: of its file's bytes, and of the frame number if a file holds several
    frames. Returns None if it was stopped. Raises PlateError.
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

    return with_retries(lambda: stamps(source, frame), look)


def _digest_of(path: Path) -> str:
    return with_retries(lambda: file_digest(path), lambda: read_through(path))
