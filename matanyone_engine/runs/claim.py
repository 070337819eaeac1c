# SPDX-License-Identifier: Apache-2.0
"""Who is at work on which frames of an output, so that two workers do not do one segment at a time.

A small file beside the alphas names its owner and is touched every few seconds. It holds for as long as it is touched;
on its owner's machine, for as long as the process lives. Age is measured by the file server's clock alone.

Rule of this file: a claim saves double work. Results do not depend on it: files are written whole whoever writes them.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import threading
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import psutil

from matanyone_engine.errors import AlreadyRunning, OutputError
from matanyone_engine.runs.sidecars import Papers

TOUCHED_EVERY_S = 10.0
HOLDS_S = 60.0
"""Without a touch; a worker whose storage was away for longer finds its claim taken and stops."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim."""

    host: str
    pid: int
    started: float
    """When the process was started, as its system says: a pid alone may be another process's by now."""
    user: str
    since: str
    nonce: str
    frames: tuple[int, ...]

    @classmethod
    def me(cls, frames: tuple[int, ...]) -> Owner:
        """This process."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        started = psutil.Process().create_time()
        return cls(platform.node(), os.getpid(), started, _user(), now, uuid.uuid4().hex, frames)

    @property
    def is_here(self) -> bool:
        return self.host == platform.node()

    def lives(self) -> bool:
        """Of an owner on this machine."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.Error:
            return False


class Claim:
    """Held while a run is at work: with Claim(papers, frames) as claim."""

    def __init__(self, papers: Papers, frames: tuple[int, ...]) -> None:
        self._papers, self._path = papers, papers.claim
        self._owner = Owner.me(frames)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)
        self.lost = False
        """Whether somebody else holds it now: this process was away for too long."""

    def __enter__(self) -> Claim:
        """Raises AlreadyRunning where another worker is at any of the frames; OutputError."""
        try:
            self._clear_own_place()
            with self._path.open("x", encoding="utf-8") as file:
                json.dump(asdict(self._owner), file)
            self._refuse_overlap()
        except FileExistsError as error:
            raise _taken(self._path, _read(self._path), 0.0) from error
        except OSError as error:
            raise OutputError(
                expected=f"to note in {str(self._path)!r} who is at work",
                came=error.strerror or str(error),
                action="Check the room on the disk and the permissions of the folder.",
            ) from error
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        self._let_go()

    def _clear_own_place(self) -> None:
        """Remove what a dead worker left on these very frames."""
        owner = _read(self._path)
        if self._path.exists():
            age = _age(self._path)
            if _holds(owner, age):
                raise _taken(self._path, owner, age)
            self._path.unlink(missing_ok=True)

    def _refuse_overlap(self) -> None:
        """After our own is there, so that of two that come at once at least one sees the other."""
        for path in self._papers.claims():
            owner = _read(path)
            if path == self._path or owner is None or not set(owner.frames) & set(self._owner.frames):
                continue
            age = _age(path)
            if _holds(owner, age):
                self._let_go()
                raise _taken(path, owner, age)

    def _keep(self) -> None:
        """Touch it until the work is done."""
        while not self._done.wait(TOUCHED_EVERY_S):
            owner = _read(self._path)
            if owner is not None and owner.nonce != self._owner.nonce:
                self.lost = True
                return
            with suppress(OSError):  # storage that is away: it counts as long as it is not taken
                os.utime(self._path)

    def _let_go(self) -> None:
        owner = _read(self._path)
        if owner is not None and owner.nonce == self._owner.nonce:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _holds(owner: Owner | None, age: float) -> bool:
    if owner is not None and owner.is_here:
        return owner.lives()
    return age < HOLDS_S


def _read(path: Path) -> Owner | None:
    """None where there is none, or one that was cut short."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Owner(**{**said, "frames": tuple(said["frames"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _age(path: Path) -> float:
    """Seconds since it was touched, by the clock that stamps both files. Raises OSError."""
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
        expected="frames that no other worker is at",
        came=f"a claim by {who}, touched {age:.0f} s ago: {path}",
        action=f"Wait for it. If that worker is gone, the claim is void {HOLDS_S:.0f} s after its last touch.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in many containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
