# SPDX-License-Identifier: Apache-2.0
"""Starts engines by fork from one process that has imported everything, because most of a start is torch's import.

Such an engine is a process of its own, with its own arguments, environment, files and sockets, and it can be killed and
stopped as any other. tests/engine/test_engine_cli.py and others start the real program.

python forked.py serve reads requests, each a line of JSON, and answers each with one: START is answered with the
engine's process id, POLL with its exit code, null while it runs. By the word serve `matanyone-engine stop` knows an
engine.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START, POLL = "start", "poll"
IS_POSSIBLE = sys.platform == "linux"
"""On macOS libraries do not survive a fork, and Windows has none."""


class ForkedProcess:
    """Holds an engine, with what subprocess.Popen offers of it."""

    def __init__(self, arguments: Sequence[str], stderr: Path, env: dict[str, str], largest_file: int | None) -> None:
        """arguments: of the engine, sys.argv[1:] of accidents.py. largest_file: in bytes; writing more fails."""
        self.returncode: int | None = None
        self.pid = int(_ask(START, [list(arguments), str(stderr), env, largest_file, str(Path.cwd())]))

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number if one ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = _ask(POLL, self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit code. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("engine", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


_asking = threading.Lock()


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    atexit.register(server.kill)
    return server


def _ask(what: str, about: Any) -> Any:
    with _asking:
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps([what, about]) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
    assert answer, "the process that starts engines has ended"
    return json.loads(answer)


# ---------------------------------------------------------------------------------------------- in the other process


def _serve() -> int | None:
    """Answer requests until there are no more; in an engine's process, return its exit code."""
    import accidents

    importlib.import_module("matanyone_engine.cli.serve")  # and all that it needs

    for line in sys.stdin:
        what, about = json.loads(line)
        if what == START:
            answer = os.fork()
            if not answer:
                _become(*about)
                return accidents.main()
        else:
            done, status = os.waitpid(about, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if done else None
        print(json.dumps(answer), flush=True)
    return None


def _become(arguments: Sequence[str], stderr: str, env: dict[str, str], largest_file: int | None, folder: str) -> None:
    """Take on what a new process has: arguments, environment, files, folder, limits, threads."""
    import accidents
    import torch

    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for ours, number in ((nothing, 0), (nothing, 1), (log, 2)):
        os.dup2(ours, number)
    os.closerange(3, 1 << 16)
    sys.argv = [accidents.__file__, *arguments]
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    torch.set_num_threads(int(env["OMP_NUM_THREADS"]))


if __name__ == "__main__":
    sys.exit(_serve())
