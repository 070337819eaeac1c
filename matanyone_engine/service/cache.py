# SPDX-License-Identifier: Apache-2.0
"""Results on disk under the digest of what made them, up to a size: the store of matting/runner.py.

Rules of this file:
1. An entry is whole or not there: it carries a digest of its own bytes, and one that does not match is removed.
2. Entries may go at any time, also by another process; whoever wants one that is gone computes it again.
3. What this process has used stays until it closes: a run needs room for one stretch whatever the limit says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from matanyone_engine.errors import OutputError

DEFAULT_LIMIT = 20 << 30
"""Bytes."""
_DIGEST = 32
_STALE_S = 24 * 3600.0
"""Age at which a half-written file is nobody's any more."""


def default_folder() -> Path:
    """This user's, or MATANYONE_ENGINE_CACHE."""
    named = os.environ.get("MATANYONE_ENGINE_CACHE")
    return Path(named) if named else user_cache_path("matanyone-engine") / "shots"


class DiskCache(MutableMapping[str, bytes]):
    """Name -> bytes. Names are hexadecimal digits, a dot, and letters.

    With a limit of 0 nothing is left behind: close() removes what this process has written.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        """Raises OutputError if the folder cannot be made."""
        self._folder = folder
        self._limit = limit
        self._used: set[str] = set()
        self._written: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_cache(folder, error) from error
        self._size = sum(size for _, size, _ in self._entries())

    def __contains__(self, name: object) -> bool:
        return self._path(str(name)).is_file()

    def __getitem__(self, name: str) -> bytes:
        path = self._path(name)
        try:
            blob = path.read_bytes()
            os.utime(path)  # lately used
        except OSError as error:
            raise KeyError(name) from error
        if hashlib.sha256(memoryview(blob)[_DIGEST:]).digest() != blob[:_DIGEST]:
            path.unlink(missing_ok=True)
            raise KeyError(name)
        self._used.add(name)
        return blob[_DIGEST:]

    def __setitem__(self, name: str, value: bytes) -> None:
        """Raises OutputError."""
        path = self._path(name)
        # Not by process: jobs of one process, and machines that share the folder, may write one entry at a time.
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(hashlib.sha256(value).digest() + value)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _no_cache(self._folder, error) from error
        self._used.add(name)
        self._written.add(name)
        self._size += _DIGEST + len(value)
        if self._limit and self._size > self._limit:
            self._trim(spare=self._used)

    def __delitem__(self, name: str) -> None:
        try:
            self._path(name).unlink()
        except OSError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return (path.name for _, _, path in self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def close(self) -> None:
        """Keep to the limit."""
        if self._limit:
            self._trim(spare=set())
        else:
            for name in self._written:
                self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _trim(self, spare: set[str]) -> None:
        """Remove what was not used for the longest time until a tenth of the limit is free."""
        entries = sorted(self._entries())
        self._size = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._size <= self._limit * 0.9:
                return
            if path.name not in spare:
                path.unlink(missing_ok=True)
                self._size -= size

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last used, bytes, file) of each; half-written files that somebody left are removed."""
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):  # gone meanwhile
                status = path.stat()
                if not path.name.startswith("."):
                    found.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > _STALE_S:
                    path.unlink()
        return found


def _no_cache(folder: Path, error: OSError) -> OutputError:
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
        return OutputError(
            expected=f"room for intermediate results in {str(folder)!r}",
            came=f"{error.strerror or error} ({free / 1e6:.0f} MB free)",
            action="Free some room, or name another folder: MATANYONE_ENGINE_CACHE.",
        )
    return OutputError(
        expected=f"a folder for intermediate results at {str(folder)!r}",
        came=error.strerror or str(error),
        action="Name another folder: MATANYONE_ENGINE_CACHE.",
    )
