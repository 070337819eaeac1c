# SPDX-License-Identifier: Apache-2.0
"""Keeps two workers from computing the same frames at the same time.

A small file beside the alphas, the claim, names the worker that computes them. A second worker respects it

1. while the first one holds the storage's own lock on the file, where the storage has locks;
2. if the first one is a process that this one can see (same host name, same boot, same pid namespace): for as long as
   that process lives;
3. else for HOLDS_S seconds after the last touch. The owner touches the file every TOUCHED_EVERY_S seconds, and age is
   measured by the clock of the file server alone.

Host names and process ids say nothing on their own: containers share a host name and number their processes from 1.

Rule of this file: a claim saves double work. Results do not depend on it: files are written whole whoever writes them.
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
"""Seconds without a touch after which a claim is void; a worker that was cut off for longer finds it taken, and stops.
"""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Owner:
    """Names the worker that holds a claim."""

    host: str
    pid: int
    """Process id, as its own pid namespace numbers it."""
    started: float
    """Start of the process in seconds since 1970: the same pid may be another process's by now."""
    user: str
    since: str
    """When the claim was made: ISO 8601, UTC."""
    nonce: str
    """Tells this claim from all others."""
    frames: tuple[int, ...]
    boot: str = ""
    """Id of the system's boot. '' in claims of version 0.1.0, which do not say it."""
    namespace: str = ""
    """Id of the pid namespace; '' on systems without them."""

    @classmethod
    def me(cls, frames: tuple[int, ...]) -> Owner:
        """Return this process as the owner of some frames."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        started, nonce = psutil.Process().create_time(), uuid.uuid4().hex
        return cls(platform.node(), os.getpid(), started, _user(), now, nonce, frames, _boot(), _namespace())

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Owner:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        known = {field.name for field in fields(cls)}
        texts = {name: value for name, value in said.items() if name in known}
        frames = tuple(int(frame) for frame in said["frames"])
        return cls(**{**texts, "pid": int(said["pid"]), "started": float(said["started"]), "frames": frames})

    def to_json(self) -> dict[str, Any]:
        """Return the owner as JSON values."""
        return asdict(self)

    @property
    def is_visible(self) -> bool:
        """Returns whether this process can see whether the owner's process lives."""
        return bool(self.boot) and (self.host, self.boot, self.namespace) == (platform.node(), _boot(), _namespace())

    def lives(self) -> bool:
        """Return whether the owner's process lives; to be asked of a visible owner only."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.Error:
            return False


class Claim:
    """Holds some frames of an output while a run computes them: `with Claim(sidecars, frames) as claim`."""

    def __init__(self, sidecars: Sidecars, frames: tuple[int, ...]) -> None:
        self._sidecars, self._path = sidecars, sidecars.claim
        self._owner = Owner.me(frames)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)
        self._lock: BinaryIO | None = None
        self.lost = False
        """Whether another worker has taken the claim, since this process did not touch it for too long."""

    def __enter__(self) -> Claim:
        """Make the claim. Raises AlreadyRunning where another worker computes any of the frames; OutputError."""
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
        """Remove the claim that a dead worker left on these very frames."""
        owner = _read(self._path)
        if self._path.exists():
            age = _age(self._path)
            if _holds(self._path, owner, age):
                raise _taken(self._path, owner, age)
            self._path.unlink(missing_ok=True)

    def _refuse_overlap(self) -> None:
        """Refuse frames that another claim has. Our own stands already, so that of two workers one sees the other."""
        for path in self._sidecars.claims():
            owner = _read(path)
            if path == self._path or owner is None or not set(owner.frames) & set(self._owner.frames):
                continue
            age = _age(path)
            if _holds(path, owner, age):
                self._let_go()
                raise _taken(path, owner, age)

    def _keep(self) -> None:
        """Touch the claim until the work is done."""
        while not self._done.wait(TOUCHED_EVERY_S):
            owner = _read(self._path)
            if owner is not None and owner.nonce != self._owner.nonce:
                self.lost = True
                return
            with suppress(OSError):  # storage that is away: it counts as long as it is not taken
                os.utime(self._path)

    def _let_go(self) -> None:
        if self._lock is not None:  # before the file goes: Windows removes no file that is open
            self._lock.close()
            self._lock = None
        owner = _read(self._path)
        if owner is not None and owner.nonce == self._owner.nonce:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _holds(path: Path, owner: Owner | None, age: float) -> bool:
    """Return whether a claim that was touched `age` seconds ago still stands."""
    if _is_locked(path):
        return True
    if owner is not None and owner.is_visible:
        return owner.lives()
    return age < HOLDS_S


def _is_locked(path: Path) -> bool:
    """Return whether a living worker holds the storage's lock. False says nothing: not every storage has locks."""
    try:
        return not _lock_is_free(path)
    except OSError:
        return False


if sys.platform == "win32":
    # A locked byte of a file cannot be read there, and claims must be read: on Windows their age decides.

    def _try_lock(_path: Path) -> BinaryIO | None:
        return None

    def _lock_is_free(_path: Path) -> bool:
        return True

else:
    import fcntl

    def _try_lock(path: Path) -> BinaryIO | None:
        """Lock a file until the returned one is closed or this process ends; None where the storage has no locks."""
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
        """Return whether nobody holds the lock of a file. Raises OSError where the storage has no locks."""
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask do not see each other
            except BlockingIOError:
                return False
        return True


def _read(path: Path) -> Owner | None:
    """Return the owner of a claim; None where there is no file, or one that was cut short."""
    try:
        return Owner.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _age(path: Path) -> float:
    """Return the seconds since a claim was touched, by the clock that stamps both files. Raises OSError."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return HOLDS_S  # let go meanwhile
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
    except (KeyError, OSError):  # no name for this user id, as in many containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _boot() -> str:
    """Return what tells this boot of this system from all others; '' where nothing does."""
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
