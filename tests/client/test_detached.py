# SPDX-License-Identifier: Apache-2.0
"""An engine that a host starts belongs to nobody: it outlives the host and takes none of its things along."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import toy_weights

from matanyone_engine.client import detached
from matanyone_engine.client.launcher import ensure_engine, find_engine, is_alive, module_command
from matanyone_engine.wire.errors import WireError

LINUX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at /proc, which only Linux has")
HOST = """
import json, os, signal, sys
from pathlib import Path
lock = open(sys.argv[1])
os.set_inheritable(lock.fileno(), True)
from matanyone_engine.client.launcher import ensure_engine
found = ensure_engine(Path(sys.argv[2]), json.loads(sys.argv[3]))
print(json.dumps({"engine": found.pid, "host": os.getpid(), "session": os.getsid(0)}), flush=True)
signal.pause()
"""
"""A host with a terminal, an open file and settings of its own, that starts an engine and goes on."""
HOSTS_SETTINGS = {
    "PYTHONPATH": "/nowhere/nuke/python",
    "PYTHONDONTWRITEBYTECODE": "1",
    "NUKE_PATH": "/nowhere/nuke",
    "LD_LIBRARY_PATH": "/nowhere/nuke/lib",
    "QT_PLUGIN_PATH": "/nowhere/nuke/qt",
    "BLENDER_SYSTEM_SCRIPTS": "/nowhere/blender",
}


def engine_command(folder: Path) -> list[str]:
    state = ["--state", str(folder / "state"), "--device", "cpu", "--model", str(toy_weights(folder))]
    return [sys.executable, "-m", "matanyone_engine", "serve", *state]


@contextlib.contextmanager
def started_by_a_host(folder: Path) -> Iterator[dict[str, int]]:
    """An engine started from a process with a terminal: what the host said. Ends the engine, not the host."""
    (folder / "hosts.lock").touch()
    (folder / "standing").mkdir()
    file = folder / "run" / "engine.json"
    words = [str(folder / "hosts.lock"), str(file), json.dumps(engine_command(folder))]
    terminal, inner = pty.openpty()
    host = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + HOST, *words],
        stdin=inner,
        stdout=subprocess.PIPE,
        env={**os.environ, **HOSTS_SETTINGS},
        cwd=folder / "standing",
        start_new_session=True,
    )
    os.close(inner)
    assert host.stdout is not None
    said = json.loads(host.stdout.readline() or b"{}")
    try:
        yield said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(host.pid, signal.SIGKILL)
        host.wait()
        host.stdout.close()
        with contextlib.suppress(OSError):
            os.close(terminal)
        with contextlib.suppress(WireError, ProcessLookupError):
            os.kill(find_engine(file).pid, signal.SIGTERM)


def status_of(pid: int) -> dict[str, int]:
    """Parent, process group, session and terminal of a process, as Linux tells them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return dict(zip(("parent", "group", "session", "terminal"), map(int, fields[1:5]), strict=True))


def open_files(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return [str(path.readlink()) for path in folder.iterdir()]


@LINUX
def test_a_started_engine_outlives_its_starter_and_takes_nothing_along(tmp_path: Path) -> None:
    with started_by_a_host(tmp_path) as said:
        engine = said["engine"]
        about = status_of(engine)
        assert about["parent"] != said["host"], "it is nobody's child"
        assert about["session"] not in (said["session"], 0)
        assert about["group"] == engine, "no signal for the host's group is for it"
        assert about["terminal"] == 0, "it has no console"
        files = open_files(engine)
        assert not [name for name in files if name.startswith(("/dev/pts", "/dev/ptmx")) or "hosts.lock" in name], files
        environment = Path(f"/proc/{engine}/environ").read_bytes().decode().split("\0")
        assert not [line for line in environment if line.partition("=")[0] in HOSTS_SETTINGS]
        assert f"HOME={os.environ['HOME']}" in environment, "what is the user's stays"
        assert Path(f"/proc/{engine}/cwd").readlink() == tmp_path / "run"
        os.killpg(said["host"], signal.SIGKILL)
        time.sleep(0.5)
        connection = find_engine(tmp_path / "run" / "engine.json")
        assert connection.pid == engine
        assert is_alive(connection)


def children() -> set[str]:
    """The process ids of this process's children."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@LINUX
def test_nothing_stays_between_the_host_and_its_engine(tmp_path: Path) -> None:
    before = children()  # the tests' own, such as the one of forked.py
    found = ensure_engine(tmp_path / "engine.json", engine_command(tmp_path))
    try:
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children() - before]
        assert not [line for line in commands if b"detached.py" in line or b"serve" in line]
        assert status_of(found.pid)["parent"] != os.getpid()
    finally:
        os.kill(found.pid, signal.SIGTERM)


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"exit code 7: (?s:.*)no such luck"):
        ensure_engine(
            tmp_path / "engine.json", [sys.executable, "-c", "import sys; print('no such luck'); sys.exit(7)"]
        )
    with pytest.raises(WireError, match="could not be run"):
        ensure_engine(tmp_path / "engine.json", ["/nowhere/python3", "-m", "matanyone_engine"])


@pytest.mark.parametrize("start", ["engine", "companion"])
def test_nothing_is_imported_from_the_folder_that_a_host_stands_in(tmp_path: Path, start: str) -> None:
    """A shot's folder may hold anything, also a file called argparse.py; -m would put that folder first."""
    for module in ("argparse", "runpy", "json", "typing", "zmq"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(7)")
    if start == "engine":
        command = [*module_command(sys.executable, "matanyone_engine"), "--version"]
    else:
        command = module_command(sys.executable, "matanyone_engine.client.companion")
    done = subprocess.run(
        [*command, *(["--connection", str(tmp_path / "none")] if start == "companion" else [])],
        cwd=tmp_path, input=b"", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"matanyone-engine 0" in done.stdout if start == "engine" else b'"unreachable"' in done.stdout


def test_a_hosts_settings_go_and_the_users_stay() -> None:
    users = {"HOME": "/home/a", "OCIO": "/show/config.ocio", "MATANYONE_CONNECTION": "x", "CUDA_VISIBLE_DEVICES": "1"}
    assert detached.clean_environment({**users, **HOSTS_SETTINGS}) == users
    kept = {"MATANYONE_KEEP": "LD_LIBRARY_PATH, NUKE_PATH", **HOSTS_SETTINGS}
    assert set(detached.clean_environment(kept)) == {"MATANYONE_KEEP", "LD_LIBRARY_PATH", "NUKE_PATH"}


@pytest.mark.parametrize("job_forbids_leaving", [False, True])
def test_on_windows_it_leaves_console_and_job_where_it_may(
    monkeypatch: pytest.MonkeyPatch, job_forbids_leaving: bool
) -> None:
    """Windows itself was not at hand: this looks at what it would be asked, by Windows' own numbers."""
    asked: list[int] = []

    def popen(command: list[str], *, creationflags: int, **more: Any) -> str:
        asked.append(creationflags)
        if job_forbids_leaving and creationflags & 0x01000000:
            raise PermissionError(13, "Access is denied")
        return "started"

    monkeypatch.setattr(detached.subprocess, "Popen", popen)
    assert detached.start_on_windows(["engine.exe"], stdin=subprocess.DEVNULL) == "started"
    new_group, no_window, below_normal, breakaway = 0x200, 0x08000000, 0x4000, 0x01000000
    assert asked[0] == new_group | no_window | below_normal | breakaway
    assert asked[1:] == ([asked[0] & ~breakaway] if job_forbids_leaving else [])
