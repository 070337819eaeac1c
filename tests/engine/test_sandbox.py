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


def test_waiting_work_is_done_when_the_sandbox_dies() -> None:
    sandbox = Sandbox(60.0)
    with ThreadPoolExecutor(4) as threads:
        begun = [threads.submit(sandbox.run, wait_or_die, what) for what in ("a", "die", "b", "c")]
        outcomes = [each.exception() or each.result() for each in begun]
    assert (outcomes[0], *outcomes[2:]) == ("a", "b", "c")
    assert isinstance(outcomes[1], WireError)
    assert outcomes[1].code is Code.BAD_INPUT
    sandbox.close()


def test_a_sandbox_that_is_killed_while_idle_is_restarted() -> None:
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


def environment() -> dict[str, str]:
    """Work for the sandbox."""
    return dict(os.environ)


def test_it_changes_nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    before = dict(os.environ)
    sandbox = Sandbox(60.0)
    there = sandbox.run(environment)
    assert sandbox.run(os.getpid) == sandbox.processes()[0]
    assert dict(os.environ) == before, "whatever is started later must not inherit what only the child needs"
    assert not [name for name in there if name.startswith("PYTHON") and name not in before]
    sandbox.close()


def print_and_return(what: str) -> str:
    """Work for the sandbox that prints, as image libraries do."""
    os.write(1, b"a library says something\n")
    print(what, flush=True)
    return what


def raise_one_that_cannot_be_pickled() -> None:
    """Work for the sandbox."""

    class OfALibrary(Exception):
        pass

    raise OfALibrary("a tile is missing")


def test_what_the_sandbox_prints_is_not_taken_for_a_result() -> None:
    sandbox = Sandbox(60.0)
    assert sandbox.run(print_and_return, "a" * 100_000) == "a" * 100_000
    sandbox.close()


def test_an_error_comes_with_where_it_was_raised() -> None:
    sandbox = Sandbox(60.0)
    with pytest.raises(ZeroDivisionError) as raised:
        sandbox.run(divmod, 1, 0)
    assert "in the sandbox" in str(raised.value.__cause__)
    with pytest.raises(RuntimeError, match="OfALibrary: a tile is missing") as raised_there:
        sandbox.run(raise_one_that_cannot_be_pickled)
    assert "raise_one_that_cannot_be_pickled" in str(raised_there.value.__cause__)
    sandbox.close()


def test_work_that_does_not_end_is_ended() -> None:
    sandbox = Sandbox(20.0)
    sandbox.run(os.getpid)
    (process,) = sandbox.processes()
    sandbox._timeout_s = 0.5
    with pytest.raises(WireError) as raised:
        sandbox.run(time.sleep, 600)
    assert raised.value.code is Code.BAD_INPUT
    assert not runs(process)
    sandbox._timeout_s = 20.0
    assert sandbox.run(os.getpid) != process
    sandbox.close()


def test_a_process_that_has_nothing_to_do_may_rest() -> None:
    sandbox = Sandbox(60.0)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(sandbox.run, wait_or_die, "a")
        while not sandbox.processes():
            time.sleep(0.01)
        sandbox.rest()
        assert working.result() == "a", "it rests only between two pieces of work"
    (process,) = sandbox.processes()
    sandbox.rest()
    assert not sandbox.processes()
    assert not runs(process)
    assert sandbox.run(wait_or_die, "b") == "b"
    sandbox.close()
