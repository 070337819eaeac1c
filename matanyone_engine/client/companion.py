# SPDX-License-Identifier: Apache-2.0
"""Runs the client as a process, for hosts whose Python has no pyzmq: one JSON object a line on stdin and stdout.

    in    {"job": {fields of messages.Job}}      {"prompt": {fields of messages.Prompt}}      {"cancel": true}
          the end of stdin: exit
    out   {"say": "welcome", ...}  {"say": "accepted", ...}  {"say": "progress", ...}  {"say": "job-ended", ...}
          {"say": "masked", ...}  {"say": "fault", "code": ..., "message": ..., "action": ...}

python -m matanyone_engine.client.companion [--connection FILE] [--client NAME] [--start COMMAND_AS_JSON]

Rules of this file:
1. Only such lines go to stdout. Everything else goes to stderr.
2. When the host ends, this process ends; the engine continues its work.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

from ..wire import messages as say
from ..wire.codec import from_fields
from ..wire.connection import Connection, default_path
from ..wire.errors import Code, WireError
from .client import EngineClient
from .job import JobRun
from .launcher import ensure_engine, find_engine

POLL_S = 0.2
_END: dict[str, Any] = {}


class HostLines:
    """Reads the host's lines on a separate thread, so that a running job never waits for them."""

    def __init__(self) -> None:
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, name="asked", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        # Not sys.stdin: this thread would hold its lock, and Python aborts at exit if it cannot acquire that lock.
        while part := os.read(sys.stdin.fileno(), 1 << 16):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._hear(line)
        if rest:
            self._hear(rest)
        self._lines.put(_END)

    def _hear(self, line: bytes) -> None:
        try:
            self._lines.put(dict(json.loads(line.decode("utf-8"))))
        except (ValueError, TypeError) as error:
            self._lines.put({"bad": str(error)[:120]})

    def next(self, *, wait: bool) -> Optional[dict[str, Any]]:
        """Return the next object; an empty one at the end of stdin; None if there is none yet."""
        try:
            return self._lines.get(block=wait)
        except queue.Empty:
            return None


def send_line(kind: str, fields: dict[str, Any]) -> None:
    """Write one line to the host."""
    sys.stdout.write(json.dumps({"say": kind, **fields}, allow_nan=False) + "\n")
    sys.stdout.flush()


def send_fault(error: WireError) -> None:
    """Send an error to the host, with the engine's code."""
    send_line("fault", {"code": error.code.value, "message": error.message, "action": error.action})


def serve_host(find: Callable[[], Connection], client_name: str, asked: HostLines) -> None:
    """Run jobs one after another until the host closes stdin. Raises WireError if there is no engine."""
    with EngineClient(find, client_name) as client:
        while client.pump.welcome is None:
            client.next_event(POLL_S)
        send_line("welcome", dataclasses.asdict(client.pump.welcome))
        while True:
            line = asked.next(wait=True)
            if not line:
                return
            try:
                if not _handle_line(client, line, asked):
                    return
            except WireError as error:
                send_fault(error)


def _handle_line(client: EngineClient, line: dict[str, Any], asked: HostLines) -> bool:
    """Carry out one line; return whether the host is still there. A cancel that comes too late is ignored."""
    if "cancel" in line:
        return True
    if "prompt" in line:
        send_line("masked", dataclasses.asdict(client.make_mask(from_fields(say.Prompt, line["prompt"]))))
        return True
    if "job" not in line:
        raise WireError(
            Code.MALFORMED, f"expected a job or a prompt, got {sorted(line)}", "This is a defect of the host's add-on."
        )
    run = JobRun(client, from_fields(say.Job, line["job"]))
    send_line("accepted", dataclasses.asdict(run.accepted))
    for event in run.events(POLL_S):
        # Read first: after the end of this job is sent, the host's next line is another job.
        said = asked.next(wait=False)
        if said is not None and not said:
            return False
        if said is not None and "cancel" in said:
            run.cancel()
        if event is not None:
            send_line(say.type_name(type(event)), dataclasses.asdict(event))
    return True


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the process. Return 0 also after faults, since these were sent to the host."""
    parser = argparse.ArgumentParser(prog="matanyone_engine.client.companion", description=__doc__)
    parser.add_argument("--connection", type=Path)
    parser.add_argument("--client", default="companion")
    parser.add_argument("--start", type=json.loads, default=[])
    args = parser.parse_args(argv)
    path = args.connection or default_path()
    try:
        if args.start:
            ensure_engine(path, args.start)
        serve_host(lambda: find_engine(path), args.client, HostLines())
    except WireError as error:
        send_fault(error)
    except BrokenPipeError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
