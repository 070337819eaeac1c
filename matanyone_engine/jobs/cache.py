# SPDX-License-Identifier: Apache-2.0
"""The disk cache: keeps intermediate results under their content keys, up to a size limit. matting/runner.py uses it as
its store.

Rules of this file:
1. An entry has a digest of its own bytes; an entry that does not match it is removed.
2. An entry may be removed at any time, also by another process. Its result is then computed again.
3. The limit holds during a run. Only entries that the run still needs (a stretch between two keys) may exceed it.
4. A cache that cannot be written does not stop a run: what the run needs is then kept in memory (RunStore).
5. A folder that belongs to another user, or that everybody may write to, is not used: whoever can write entries into a
   cache could change the alphas. Links in place of entries are not followed.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from matanyone_engine.errors import OutputError
from matanyone_engine.wire.private import check_own_folder, open_private, private_folder

_log = logging.getLogger("matanyone_engine")

DEFAULT_LIMIT = 20 << 30
"""Bytes."""
_ROOM_WITHOUT = 1 << 30
"""Limit, in bytes, during a run whose cache is removed at its end."""
_DIGEST = 32
_STALE_S = 24 * 3600.0
"""Age, in seconds, after which a half-written file is taken for one that a dead process has left."""


def default_folder() -> Path:
    """Return the folder that MATANYONE_ENGINE_CACHE names, else this user's."""
    named = os.environ.get("MATANYONE_ENGINE_CACHE")
    return Path(named) if named else user_cache_path("matanyone-engine") / "shots"


class DiskCache(MutableMapping[str, bytes]):
    """Maps names to bytes, which are kept in files of a folder. A name is made of hexadecimal digits, a dot, and
    letters. With a limit of 0, close() removes all that this process has written.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        """Set the folder and the limit in bytes.

        A folder that cannot be made or used raises its error at the first write.
        """
        self._folder = folder
        self._refused = _why_unsafe(folder)
        self._limit = limit
        self._written: set[str] = set()
        self.needed: Callable[[str], bool] = lambda _: False
        """Tells which entries are kept although the limit is exceeded."""
        self._size = sum(size for _, size, _ in self._removable())
        self._most = limit or _ROOM_WITHOUT
        """Size in bytes at which entries are removed."""

    def __contains__(self, name: object) -> bool:
        return self._refused is None and self._path(str(name)).is_file()

    def __getitem__(self, name: str) -> bytes:
        path = self._path(name)
        try:
            blob = self._read(path)
            os.utime(path)  # marks the entry as used now
        except OSError as error:
            raise KeyError(name) from error
        if hashlib.sha256(memoryview(blob)[_DIGEST:]).digest() != blob[:_DIGEST]:
            path.unlink(missing_ok=True)
            raise KeyError(name)
        return blob[_DIGEST:]

    def __setitem__(self, name: str, value: bytes) -> None:
        """Raises OutputError."""
        path = self._path(name)
        # Not the process id: jobs of one process, and machines that share the folder, may write the same entry at the
        # same time.
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            self._check_ours()
            private_folder(self._folder)
            private_folder(path.parent)
            with os.fdopen(open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(hashlib.sha256(value).digest())
                file.write(value)
            temporary.replace(path)
        except OSError as error:
            raise _no_cache(self._folder, error) from error
        finally:  # also if a second Ctrl-C ends the run at once
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._written.add(name)
        self._size += _DIGEST + len(value)
        if self._size > self._most:
            self._trim(lambda other: other == name or self.needed(other))

    def __delitem__(self, name: str) -> None:
        try:
            self._check_ours()
            self._path(name).unlink()
        except OSError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return (path.name for _, _, path in self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def close(self) -> None:
        """Remove entries until the cache is within its limit."""
        if self._limit:
            self._trim(lambda _: False)
        else:
            for name in self._written:
                self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _read(self, path: Path) -> bytes:
        self._check_ours()
        with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
            return file.read()

    def _check_ours(self) -> None:
        if self._refused is not None:
            raise PermissionError(errno.EACCES, self._refused)

    def _trim(self, spared: Callable[[str], bool]) -> None:
        """Remove the entries that were not used for the longest time, until a tenth of the limit is free."""
        room, entries = self._limit or _ROOM_WITHOUT, sorted(self._removable())
        self._size = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._size <= room * 0.9:
                break
            if not spared(path.name):
                with suppress(OSError):
                    path.unlink()
                self._size -= size
        # If all remaining entries are needed, searching again at every write would cost more than it frees.
        self._most = max(room, self._size + room // 20)

    def _removable(self) -> list[tuple[float, int, Path]]:
        """Return the entries that may be removed: all, or with a limit of 0 those of this process."""
        return [entry for entry in self._entries() if self._limit or entry[2].name in self._written]

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Return last use, bytes and file of each entry; half-written files of dead processes are removed."""
        found: list[tuple[float, int, Path]] = []
        if self._refused is not None:
            return found
        for path in self._folder.glob("??/*"):
            with suppress(OSError):  # gone meanwhile
                status = path.lstat()
                if not path.name.startswith("."):
                    found.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > _STALE_S:
                    path.unlink()
        return found


def _why_unsafe(folder: Path) -> str | None:
    """Return why a folder must not be used as a cache; None if it may be used, or does not exist yet."""
    try:
        check_own_folder(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(error)
    return None


class RunStore(MutableMapping[str, bytes]):
    """Stores the results of one run in the cache, and keeps in memory what the run still needs if the cache fails."""

    def __init__(self, cache: MutableMapping[str, bytes]) -> None:
        self._cache = cache
        self._own: dict[str, bytes] = {}
        """Entries that are kept in memory because the cache could not keep them."""
        self._needed: Callable[[str], bool] = lambda _: True
        self._alone = self._warned = False
        self._purge_at = 64

    def set_needed(self, needed: Callable[[str], bool]) -> None:
        """Set which entries are needed from now on."""
        self._needed = needed
        if isinstance(self._cache, DiskCache):
            self._cache.needed = needed

    def stop_using_cache(self) -> None:
        """Stop using the cache, because its entries are being removed too soon, and keep what is needed in memory."""
        self._alone = True

    def __contains__(self, name: object) -> bool:
        return name in self._own or (not self._alone and name in self._cache)

    def __getitem__(self, name: str) -> bytes:
        if name in self._own or self._alone:
            return self._own[name]
        return self._cache[name]

    def __setitem__(self, name: str, value: bytes) -> None:
        if not self._cached(name, value) or self._alone:
            self._own[name] = value
            self._purge()

    def __delitem__(self, name: str) -> None:
        if self._own.pop(name, None) is None:
            del self._cache[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*self._own, *(() if self._alone else self._cache)})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _cached(self, name: str, value: bytes) -> bool:
        try:
            self._cache[name] = value
        except OutputError as error:
            if not self._warned:
                _log.warning("Intermediate results are not kept, so that a later run computes them again: %s", error)
            self._warned = True
            return False
        return True

    def _purge(self) -> None:
        """Drop entries that are not needed any more, at intervals."""
        if len(self._own) > self._purge_at:
            self._own = {name: value for name, value in self._own.items() if self._needed(name)}
            self._purge_at = 2 * len(self._own) + 64


def _no_cache(folder: Path, error: OSError) -> OutputError:
    if isinstance(error, PermissionError):
        return OutputError(
            expected=f"a folder for this user's intermediate results at {str(folder)!r}",
            came=error.strerror or str(error),
            action="Name a folder of your own: MATANYONE_ENGINE_CACHE.",
        )
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
