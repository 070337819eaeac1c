# SPDX-License-Identifier: Apache-2.0
"""Writes files atomically, and keeps an engine's writes inside the folders that its jobs may use.

An engine writes files on behalf of its clients. A folder may be replaced by a link after a job was checked, so each
write is checked when it happens: the folder is opened, the system tells its real path, and the file is created in the
opened folder (openat). Windows has no such calls; there the path is resolved once more just before the write.
"""

from __future__ import annotations

import errno
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_DESCRIPTORS = Path("/proc/self/fd")
_F_GETPATH = 50
"""fcntl of macOS: the path of an open file."""

_allowed: list[tuple[Path, ...]] = []
"""A single entry with the folders that this process may write in; while the list is empty, it may write anywhere."""


def confine_writes(folders: Iterable[Path] | None) -> None:
    """Let this module write only inside these folders from now on; None removes the limit."""
    _allowed[:] = [] if folders is None else [tuple(folder.resolve() for folder in folders)]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; when the block ends, the file is synced to disk and renamed to
    `path`.

    If the block raises an error, the temporary file is removed and an earlier file at `path` stays as it was. The
    temporary name is hidden and ends in .tmp, so that no program takes it for a frame of a sequence. Raises OSError if
    the system cannot write or if this process may not write in the folder, and whatever the block raises.
    """
    # The process id would not do: machines that share a folder may use the same id at the same time.
    name = f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"
    with _opened(path.parent) as folder:
        temporary = path.with_name(name) if folder is None or not _has_descriptors() else _at(folder) / name
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if folder is None:
                temporary.replace(path)
            else:
                os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(OSError):  # if nothing could be written, there is nothing to remove
                temporary.unlink(missing_ok=True)


def open_inside(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    """Open a file for writing without following a link at its place. Raises OSError as whole_file does."""
    with _opened(path.parent) as folder:
        if folder is None:
            return path.open(mode, encoding=encoding)
        return open(
            path.name,
            mode,
            encoding=encoding,
            opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=folder),
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are not there. Raises OSError as whole_file does."""
    if _allowed:
        _check_allowed(folder.resolve(), folder)
    folder.mkdir(parents=True, exist_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove temporary files that a killed process has left beside these files.

    Call it only if no other process writes them now.
    """
    wanted: dict[Path, set[str]] = {}
    for path in paths:
        wanted.setdefault(path.parent, set()).add(path.name)
    for folder, names in wanted.items():
        with suppress(OSError):
            for found in folder.glob(".*.tmp"):
                if found.name[1:].rsplit(".", 2)[0] in names:
                    found.unlink(missing_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Yield the opened folder after checking that this process may write in it; None if there is no limit to check, or
    on Windows.
    """
    if not _allowed:
        yield None
        return
    if os.name == "nt":
        _check_allowed(folder.resolve(), folder)
        yield None
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_allowed(_place_of(handle), folder)
        yield handle
    finally:
        os.close(handle)


def _check_allowed(place: Path, folder: Path) -> None:
    if _allowed and not any(place.is_relative_to(each) for each in _allowed[0]):
        raise PermissionError(errno.EACCES, f"this engine may not write in {place}", str(folder))


def _place_of(handle: int) -> Path:
    """Return the real path of an open folder."""
    if sys.platform == "darwin":
        import fcntl

        return Path(os.fsdecode(fcntl.fcntl(handle, _F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return _at(handle).readlink()


def _at(handle: int) -> Path:
    return _DESCRIPTORS / str(handle)


def _has_descriptors() -> bool:
    """Return whether the system has a path for a file in an open folder, which libraries in C++ need."""
    return _DESCRIPTORS.is_dir()
