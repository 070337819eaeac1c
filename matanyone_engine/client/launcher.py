# SPDX-License-Identifier: Apache-2.0
"""Finds this user's engine, or starts one and waits until it answers.

Rules of this file:
1. It never ends an engine, not even one that it started.
2. An engine is started detached (detached.py): it outlives the host that started it, and inherits nothing from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Optional

from ..wire.connection import Connection, default_path, read_connection
from ..wire.errors import Code, WireError
from ..wire.lock import try_lock
from ..wire.private import open_private, private_folder
from . import detached
from .pump import EnginePump, State
from .transport import ClientKeys

_ANSWER_S = 3.0
_RUN_MODULE = (
    "import sys; sys.path[:] = [p for p in sys.path if p[:1] == '/' or p[1:2] == ':' or p[:2] == chr(92) * 2]; "
    "import runpy; runpy.run_module('{module}', run_name='__main__', alter_sys=True)"
)
"""Python code that removes relative folders from the import path before it imports anything but sys, which is built
in."""


def find_engine(path: Optional[Path] = None) -> Connection:
    """Return the connection in the connection file without checking that the engine still runs. Raises WireError."""
    return read_connection(path or default_path())


def is_alive(connection: Connection, timeout_s: float = _ANSWER_S, keys: Optional[ClientKeys] = None) -> bool:
    """Return whether this run of the engine answers. A stale file may name a port that another program uses now. Raises
    WireError if the engine requires keys and none are given.
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
    """Return the running engine, or start one and return it when it is ready.

    command: starts an engine that writes its connection file to `path`; default: the package of this Python. Raises
    WireError, with the end of the engine's output, if it exits or is not ready in time.
    """
    file = path or default_path()
    found = _running(file)
    if found is not None:
        return found
    try:
        private_folder(file.parent)
        with _starting_alone(file.with_suffix(".starting"), timeout_s):
            return _running(file) or _start(
                file, _safe(command or [sys.executable, "-m", "matanyone_engine", "serve"]), timeout_s
            )
    except OSError as error:
        raise WireError(
            Code.UNREACHABLE,
            f"expected a place for this user's own engine, got {error}",
            "Remove it, or name another connection file with MATANYONE_CONNECTION.",
        ) from error


def module_command(python: str, module: str) -> list[str]:
    """Return a command that runs a module like -m, but never imports from the current folder.

    With -m the current folder is searched first, and a shot's folder may hold a file with the name of a Python module.
    Python's option -P exists from 3.11 on only, and -I leaves out packages that a user has installed.
    """
    return [python, "-c", _RUN_MODULE.format(module=module)]


def _safe(command: Sequence[str]) -> list[str]:
    """Return the command; `python -m MODULE` is replaced by one that does not search the current folder."""
    if len(command) > 2 and command[1] == "-m":
        return [*module_command(command[0], command[2]), *command[3:]]
    return list(command)


def _running(file: Path) -> Optional[Connection]:
    """Return the engine of the connection file if it answers."""
    connection = _output_of(file)
    return connection if connection is not None and is_alive(connection) else None


def _output_of(file: Path) -> Optional[Connection]:
    try:
        return find_engine(file)
    except WireError:
        return None


@contextmanager
def _starting_alone(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold a lock while an engine is started, so that two hosts do not start one each at the same time."""
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
    before = _output_of(file)
    with os.fdopen(open_private(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as output:
        try:
            process = _started(command, file, output)
        except OSError as error:
            raise _not_started(f"its program could not be run ({error})", log) from error
    try:
        return _when_ready(process, file, before, log, timeout_s)
    finally:
        _release(process)


def _started(command: list[str], file: Path, output: BinaryIO) -> subprocess.Popen[bytes]:
    """Start the engine detached.

    Return the process between this one and the engine, or the engine itself if there is none between.
    """
    whole = [*command, "--connection", str(file.absolute())]
    python = _python_for_detaching(command)
    if python is not None:
        whole = [python, "-I", "-S", detached.__file__, *whole]
    return detached.start_detached(
        whole,
        stdin=subprocess.DEVNULL if python is None else subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd=file.absolute().parent,  # otherwise the engine would keep the host's current folder in use
        env=detached.clean_environment(os.environ),
    )


def _python_for_detaching(command: Sequence[str]) -> Optional[str]:
    """Return a Python that can run detached.py: the engine's, otherwise this one; None inside a host that has no Python
    program.
    """
    for program in (command[0], sys.executable or ""):
        if Path(program).name.lower().startswith("python"):
            return program
    return None


def _when_ready(
    process: subprocess.Popen[bytes], file: Path, before: Optional[Connection], log: Path, timeout_s: float
) -> Connection:
    """Wait until the engine answers. before: the connection that was in the file, of an engine that does not answer."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = _output_of(file)
        if found is not None and found != before and is_alive(found):
            return found
        if process.poll() is not None:
            raise _not_started(f"it ended with exit code {process.returncode}", log)
        time.sleep(0.1)
    raise _not_started(f"it was not ready after {timeout_s:.0f} s", log)


def _release(process: subprocess.Popen[bytes]) -> None:
    """Let the process between this one and the engine end; the engine goes on."""
    if process.stdin is not None:
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(2.0)


def _not_started(why: str, log: Path) -> WireError:
    said = log.read_text(encoding="utf-8", errors="replace").strip(" .\r\n")[-800:]
    why = f"{why}: {said}" if said else f"{why}, and it has printed nothing"
    return WireError(
        Code.UNREACHABLE,
        f"expected the engine to start; {why}",
        f"Is this the engine's program? {log} has all that it printed.",
    )
