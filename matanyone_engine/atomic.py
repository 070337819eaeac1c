# SPDX-License-Identifier: Apache-2.0
"""Writes files that are whole or not there, and keeps an engine's writes inside the folders that its jobs may use.

An engine writes for others. Somebody may put a link in place of a folder after a job was checked, so each write is
checked when it happens: the folder is opened, the system says where it really is, and the file is made in what was
opened (openat). On Windows, which has no such calls, the path is resolved once more right before.
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
"""Folders that this process may write in, as one entry; without an entry, all."""


def confine_writes(folders: Iterable[Path] | None) -> None:
    """Let this process write through this module only inside these folders from now on; None lifts that again."""
    _allowed[:] = [] if folders is None else [tuple(folder.resolve() for folder in folders)]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; afterwards its bytes are on the disk and it has its name.

    If anything is raised meanwhile, the temporary file goes and an earlier file of that name stays as it was. The
    temporary name is hidden and ends in .tmp, so that nothing takes it for a frame of a sequence.
    Raises OSError where the system cannot write or the folder is not one to write in, and whatever the caller raises.
    """
    # Not by process: machines that share a folder may count theirs alike.
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
            with suppress(OSError):  # where nothing could be written there is nothing to remove
                temporary.unlink(missing_ok=True)


def open_inside(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    """Open a file to write to; no link is followed to it. Raises OSError as whole_file does."""
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
    """Remove temporary files that a killed process left of these files. Only for whom nobody else writes them now."""
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
    """Yield the folder, opened and sure to be one to write in; None where there is nothing to be sure of, or on
    Windows.
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
    """Return where an open folder really is."""
    if sys.platform == "darwin":
        import fcntl

        return Path(os.fsdecode(fcntl.fcntl(handle, _F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return _at(handle).readlink()


def _at(handle: int) -> Path:
    return _DESCRIPTORS / str(handle)


def _has_descriptors() -> bool:
    """Return whether files can be named through an open folder, as libraries in C++ need it."""
    return _DESCRIPTORS.is_dir()
