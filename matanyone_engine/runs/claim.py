# SPDX-License-Identifier: Apache-2.0
"""Keeps two workers from computing the same frames at the same time.

A small file beside the alphas, the claim, names the worker that computes them. A second worker respects it

1. while the first one holds a lock on the file, if the storage supports locks;
2. otherwise, if the first one is a process that this one can see (same host name, same boot, same pid namespace): as
   long as that process lives;
3. otherwise, for HOLDS_S seconds after the file was last touched. The owner touches the file every TOUCHED_EVERY_S
   seconds. Its age is measured by the file server's clock only. A host name with a process id does not identify a
   process: containers may share a host name and number their processes from 1.

Rule of this file: a claim only saves double work. The results do not depend on it, since every file is written
atomically.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import sys
import threading
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import psutil

from matanyone_engine.atomic import open_inside
from matanyone_engine.errors import AlreadyRunning, OutputError
from matanyone_engine.runs.sidecars import Sidecars

TOUCHED_EVERY_S = 10.0
HOLDS_S = 60.0
"""Seconds without a touch after which a claim is void. A worker that could not reach the storage for longer finds its
claim taken, and stops.
"""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Owner:
    """Identifies the worker that holds a claim."""

    host: str
    pid: int
    """Process id in the worker's pid namespace."""
    started: float
    """Start of the process in seconds since 1970, because another process may have the same pid later."""
    user: str
    since: str
    """When the claim was made: ISO 8601, UTC."""
    nonce: str
    """A random text that identifies this claim."""
    frames: tuple[int, ...]
    boot: str = ""
    """Id of the system's boot; '' in claims of version 0.1.0."""
    namespace: str = ""
    """Id of the pid namespace; '' on systems without them."""

    @classmethod
    def this_process(cls, frames: tuple[int, ...]) -> Owner:
        """Return the owner for this process and some frames."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        started, nonce = psutil.Process().create_time(), uuid.uuid4().hex
        return cls(platform.node(), os.getpid(), started, _user(), now, nonce, frames, _boot(), _namespace())

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Owner:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        known = {field.name for field in fields(cls)}
        texts = {name: value for name, value in values.items() if name in known}
        frames = tuple(int(frame) for frame in values["frames"])
        return cls(**{**texts, "pid": int(values["pid"]), "started": float(values["started"]), "frames": frames})

    def to_json(self) -> dict[str, Any]:
        """Return the owner as JSON values."""
        return asdict(self)

    @property
    def is_visible(self) -> bool:
        """Returns whether this process can check if the owner's process lives."""
        return bool(self.boot) and (self.host, self.boot, self.namespace) == (platform.node(), _boot(), _namespace())

    def lives(self) -> bool:
        """Return whether the owner's process lives. Call it only for a visible owner."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.Error:
            return False


class Claim:
    """Claims some frames of an output while a run computes them: `with Claim(sidecars, frames) as claim`."""

    def __init__(self, sidecars: Sidecars, frames: tuple[int, ...]) -> None:
        self._sidecars, self._path = sidecars, sidecars.claim
        self._owner = Owner.this_process(frames)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)
        self._lock: BinaryIO | None = None
        self.lost = False
        """Whether another worker has taken the frames, because this process could not touch its claim for too long."""

    def __enter__(self) -> Claim:
        """Make the claim. Raises AlreadyRunning if another worker is computing any of the frames; OutputError."""
        try:
            self._clear_own_place()
            with open_inside(self._path, "x", encoding="utf-8") as file:
                json.dump(self._owner.to_json(), file)
            self._lock = _try_lock(self._path)
            self._refuse_overlap()
        except FileExistsError as error:
            raise _taken(self._path, _read(self._path), 0.0) from error
        except OSError as error:
            raise OutputError(
                expected=f"to write {str(self._path)!r}, which says who computes these frames",
                came=error.strerror or str(error),
                action="Free some disk space, or correct the permissions of the folder.",
            ) from error
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        self._let_go()

    def _clear_own_place(self) -> None:
        """Remove the claim that a dead worker has left on exactly these frames."""
        owner = _read(self._path)
        if self._path.exists():
            age = _age(self._path)
            if _holds(self._path, owner, age):
                raise _taken(self._path, owner, age)
            self._path.unlink(missing_ok=True)

    def _refuse_overlap(self) -> None:
        """Raise AlreadyRunning if another claim has any of the frames.

        This worker's claim is written before the check, so of two workers at least one sees the other's.
        """
        for path in self._sidecars.claims():
            owner = _read(path)
            if path == self._path or owner is None or not set(owner.frames) & set(self._owner.frames):
                continue
            age = _age(path)
            if _holds(path, owner, age):
                self._let_go()
                raise _taken(path, owner, age)

    def _keep(self) -> None:
        """Touch the claim at intervals until the work is done."""
        while not self._done.wait(TOUCHED_EVERY_S):
            owner = _read(self._path)
            if owner is not None and owner.nonce != self._owner.nonce:
                self.lost = True
                return
            # the storage does not answer: the claim counts as long as no other worker has taken it
            with suppress(OSError):
                os.utime(self._path)

    def _let_go(self) -> None:
        if self._lock is not None:  # before the file is removed: Windows cannot remove an open file
            self._lock.close()
            self._lock = None
        owner = _read(self._path)
        if owner is not None and owner.nonce == self._owner.nonce:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _holds(path: Path, owner: Owner | None, age: float) -> bool:
    """Return whether a claim that was touched `age` seconds ago is valid."""
    if _is_locked(path):
        return True
    if owner is not None and owner.is_visible:
        return owner.lives()
    return age < HOLDS_S


def _is_locked(path: Path) -> bool:
    """Return whether a living worker holds the lock on the file.

    False proves nothing, since not every storage supports locks.
    """
    try:
        return not _lock_is_free(path)
    except OSError:
        return False


if sys.platform == "win32":
    # On Windows a locked byte cannot be read, and claims must be readable: there, only their age counts.

    def _try_lock(_path: Path) -> BinaryIO | None:
        return None

    def _lock_is_free(_path: Path) -> bool:
        return True

else:
    import fcntl

    def _try_lock(path: Path) -> BinaryIO | None:
        """Lock a file until the returned file is closed or this process ends; None if the storage does not support
        locks."""
        try:
            file = path.open("r+b")
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def _lock_is_free(path: Path) -> bool:
        """Return whether no process holds the lock on a file. Raises OSError if the storage does not support locks."""
        with path.open("rb") as file:
            try:
                # a shared lock: two processes that check at the same time do not disturb each other
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


def _read(path: Path) -> Owner | None:
    """Return the owner of a claim; None if there is no file, or if the file was cut short."""
    try:
        return Owner.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _age(path: Path) -> float:
    """Return the seconds since a claim was touched, by the file server's clock, which stamps both files.

    Raises OSError.
    """
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return HOLDS_S  # the claim was released meanwhile
    finally:
        probe.unlink(missing_ok=True)


def _taken(path: Path, owner: Owner | None, age: float) -> AlreadyRunning:
    who = f"{owner.user} on {owner.host}, process {owner.pid}, since {owner.since}" if owner else "a worker"
    return AlreadyRunning(
        expected="frames that no other worker is computing",
        came=f"a claim on them by {who}, which was touched {age:.0f} s ago: {path}",
        action=f"Run it again when that worker has finished. If it is gone, its claim is void {HOLDS_S:.0f} s after "
        "the last touch.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user id has no name, as in many containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _boot() -> str:
    """Return an id of this boot of the system; '' if the system has none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        pass
    try:
        return f"{round(psutil.boot_time())} {uuid.getnode():012x}"
    except (OSError, psutil.Error):
        return ""


def _namespace() -> str:
    """Return the id of this process's pid namespace; '' on systems without them."""
    try:
        return os.readlink(_PID_NAMESPACE)  # noqa: PTH115 - a name, no path: 'pid:[4026531836]'
    except OSError:
        return ""
