# SPDX-License-Identifier: Apache-2.0
"""Find this user's engine, or start one and wait until it answers. Never ends an engine that it did not start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

from ..wire.connection import Connection, default_path, read_connection
from ..wire.errors import Code, WireError
from ..wire.lock import try_lock
from .pump import EnginePump, State
from .transport import ClientKeys

_ANSWER_S = 3.0
_NICER = 5
"""How far an engine that a host starts gives way to it: on a plain CPU, the host's window goes first."""


def find_engine(path: Optional[Path] = None) -> Connection:
    """What the connection file says; whether that engine lives shows when it is talked to. Raises WireError."""
    return read_connection(path or default_path())


def is_alive(connection: Connection, timeout_s: float = _ANSWER_S, keys: Optional[ClientKeys] = None) -> bool:
    """Whether this very run of an engine answers: a stale file may name a port that something else has now.

    Raises WireError where it takes keys and there are none.
    """
    pump = EnginePump(lambda: connection, "launcher", keys)
    try:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            pump.poll(50)
            if pump.state in (State.READY, State.BUSY, State.STALLED):
                return pump.welcome is not None and pump.welcome.epoch == connection.epoch
        return False
    finally:
        pump.close()


def ensure_engine(
    path: Optional[Path] = None, command: Optional[Sequence[str]] = None, timeout_s: float = 120.0
) -> Connection:
    """The running engine, or a new one, ready to be talked to.

    command: starts an engine that writes its connection file to `path`; default: this Python's own package.
    Raises WireError where it ends or does not get ready in time, with the end of what it said.
    """
    file = path or default_path()
    found = _running(file)
    if found is not None:
        return found
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _starting_alone(file.with_suffix(".starting"), timeout_s):
        return _running(file) or _start(
            file, list(command or [sys.executable, "-m", "matanyone_engine", "serve"]), timeout_s
        )


def _running(file: Path) -> Optional[Connection]:
    """The engine that the file names, if it answers."""
    try:
        connection = find_engine(file)
    except WireError:
        return None
    return connection if is_alive(connection) else None


@contextmanager
def _starting_alone(path: Path, timeout_s: float) -> Iterator[None]:
    """Two hosts that find no engine at the same time must not start one each."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = try_lock(path)
        if held is not None:
            break
        if time.monotonic() > deadline:
            raise WireError(
                Code.UNREACHABLE,
                f"expected the engine to start; another program has been starting it for {timeout_s:.0f} s",
                "Wait for it, or end that program.",
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        held.close()


def _start(file: Path, command: list[str], timeout_s: float) -> Connection:
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--connection", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the host's terminal is not meant for it
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
    _give_way(process.pid)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _not_started(f"it ended with exit code {process.returncode}", log)
        connection = _connection_of(file, process.pid)
        if connection is not None and is_alive(connection):
            return connection
        time.sleep(0.1)
    raise _not_started(f"it was not ready after {timeout_s:.0f} s", log)


def _give_way(pid: int) -> None:
    """Where the system has niceness: before the engine has threads, which inherit it."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + _NICER))


def _connection_of(file: Path, pid: int) -> Optional[Connection]:
    try:
        connection = read_connection(file)
    except WireError:
        return None
    return connection if connection.pid == pid else None


def _not_started(why: str, log: Path) -> WireError:
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
    return WireError(Code.UNREACHABLE, f"expected the engine to start; {why}: {said}", f"See {log}.")
