# SPDX-License-Identifier: Apache-2.0
"""The process that reads files of others ends with the engine, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matanyone_engine.engine.sandbox import Sandbox
from matanyone_engine.wire.errors import Code, WireError

_ENGINE = """
import os, time
from matanyone_engine.engine.sandbox import Sandbox

if __name__ == "__main__":
    print(Sandbox(60.0).run(os.getpid), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked at in /proc")
def test_it_does_not_outlive_an_engine_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "engine.py"
    program.write_text(_ENGINE)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        reader = int(engine.stdout.readline())
        assert runs(reader)
        engine.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while runs(reader) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(reader)


def runs(pid: int) -> bool:
    """Whether it is there and no zombie that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_or_die(what: str) -> str:
    """Work for the sandbox."""
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return what


def test_who_had_not_begun_when_it_died_is_served_all_the_same() -> None:
    sandbox = Sandbox(60.0)
    with ThreadPoolExecutor(4) as threads:
        begun = [threads.submit(sandbox.run, wait_or_die, what) for what in ("a", "die", "b", "c")]
        outcomes = [each.exception() or each.result() for each in begun]
    assert (outcomes[0], *outcomes[2:]) == ("a", "b", "c")
    assert isinstance(outcomes[1], WireError)
    assert outcomes[1].code is Code.BAD_INPUT
    sandbox.close()


def test_it_may_die_between_two_pieces_of_work() -> None:
    sandbox = Sandbox(60.0)
    assert sandbox.run(wait_or_die, "a") == "a"
    (process,) = sandbox.processes()
    os.kill(process, signal.SIGKILL)
    assert sandbox.run(wait_or_die, "b") == "b", "this file has killed nobody"
    sandbox.close()


def test_it_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    for module in ("argparse", "multiprocessing", "pickle"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(7)")
    program = tmp_path.parent / f"{tmp_path.name}-engine.py"
    program.write_text(_ENGINE.replace("    time.sleep(600)\n", ""))
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip().isdigit(), done.stderr
