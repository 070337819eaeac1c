# SPDX-License-Identifier: Apache-2.0
"""Makes an engine fail at an exact moment. It runs inside a real engine process (engines.Engine).

python accidents.py FILE serve ...: as matanyone-engine serve ..., but before each of MOMENTS the FILE is read, and what
it says happens: {"step": {"what": "sleep", "for": 0.5}, "before-store": {"what": "die", "seq": 3}}.

With WITHOUT_GC in the environment the garbage collector is off: what is let go of must be let go of at once.
DEVICE_CHECKS in the environment is the watchdog's number of checks, one a second.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

MOMENTS = ("load", "decode", "step", "predict", "before-store", "after-store", "in-snapshot", "plan", "mask", "look",
           "unload", "job")  # fmt: skip
"""As they are called in the file."""


class Accidents:
    """Wraps the places where something may happen."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def at(self, moment: str, seq: int | None = None) -> None:
        """Let it happen, if it is to happen now."""
        planned = json.loads(self._file.read_text() or "{}").get(moment)
        if planned is None or planned.get("seq", seq) != seq:
            return
        if planned["what"] == "sleep":
            time.sleep(planned["for"])
        elif planned["what"] == "wait":  # until the test plans something else
            end = time.monotonic() + planned["for"]
            while time.monotonic() < end and moment in json.loads(self._file.read_text() or "{}"):
                time.sleep(0.1)
        elif planned["what"] == "work":
            end = time.monotonic() + planned["for"]
            while time.monotonic() < end:
                pass
        elif planned["what"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif planned["what"] == "end-thread":
            raise SystemExit
        elif planned["what"] == "defect":
            raise ZeroDivisionError("a defect")
        else:
            raise MemoryError("no room")

    def install(self) -> None:
        """Put the accidents into this process."""
        from matanyone_engine.engine import engine, pixels, store, worker
        from matanyone_engine.jobs import plate_digests
        from matanyone_engine.matting import step

        engine.DEVICE_CHECKS = int(os.environ.get("DEVICE_CHECKS", engine.DEVICE_CHECKS))
        self._before(pixels, "decode", "decode")
        self._before(engine, "plan_matte", "plan")
        self._before(engine, "make_mask", "mask")
        self._before(plate_digests, "_digest_of", "look")
        self._before(step, "predict", "predict")
        self._before(worker, "load_vetted", "load")
        self._before(worker.Worker, "step", "step")
        self._before(worker.Worker, "unload", "unload")
        self._before(worker.Worker, "job_step", "job")
        self._around_results(store.SessionFolder)
        self._in_snapshots(store)

    def _before(self, place: Any, name: str, moment: str) -> None:
        real = getattr(place, name)

        @functools.wraps(real)  # by its name it travels to the decoding process
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.at(moment)
            return real(*arguments, **named)

        setattr(place, name, wrapped)

    def _around_results(self, folder: Any) -> None:
        real = folder.put_result

        def put_result(self_: Any, line: Any, *rest: Any) -> None:
            self.at("before-store", line.seq)
            real(self_, line, *rest)
            self.at("after-store", line.seq)

        folder.put_result = put_result

    def _in_snapshots(self, store: Any) -> None:
        """Let it happen when half of a snapshot's bytes are written."""
        real = store._write

        def write(path: Path, parts: list[Any], *, durable: bool = False) -> None:
            if path.name.startswith("state-"):
                path.with_name(f".{path.name}.tmp").write_bytes(parts[0][: len(parts[0]) // 2])
                self.at("in-snapshot", int(path.name[6:]))
            real(path, parts, durable=durable)

        store._write = write


def main() -> int:
    """Install, then serve."""
    Accidents(Path(sys.argv[1])).install()
    if "WITHOUT_GC" in os.environ:
        gc.disable()
    from matanyone_engine.cli.main import main as program

    return program(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
