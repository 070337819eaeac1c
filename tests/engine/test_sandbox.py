# SPDX-License-Identifier: Apache-2.0
"""The process that reads files of others ends with the engine, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ENGINE = """
import os, time
from matanyone_engine.engine.sandbox import Apart

if __name__ == "__main__":
    print(Apart(60.0).run(os.getpid), flush=True)
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
