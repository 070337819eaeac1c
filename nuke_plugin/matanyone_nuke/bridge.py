# SPDX-License-Identifier: Apache-2.0
"""Talks to the engine: by pyzmq in this process where this Python has one, else by the engine's own Python beside it.

    with open_link(where) as link:
        accepted = link.ask(job)
        for event in link.events():        # Progress, at last JobEnded; None now and then
            ...

Rules of this file:
1. It imports no nuke, and runs on whatever thread calls it: the run's own under a GUI, the only one under nuke -t.
2. Both links say the same messages; what went wrong is a LinkError with one of the engine's codes.
3. It never ends an engine, only the companion process that it started itself.
4. Python 3.7: Nuke 13 has no pyzmq that we support, and goes through the companion.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional, Tuple

from .engine.wire import messages as say

TIMEOUT_S = 60.0
MASK_S = 300.0
"""How long a first mask may take before the companion counts as gone."""
IDLE = ("--idle-exit", "3600")
"""It goes on when Nuke is closed, and ends after an hour without work."""
_WHEELS = Path(__file__).resolve().parent / "wheels"
_SETTINGS = Path(__file__).resolve().parent / "install.json"

EXIT_CODES = {
    "bad-input": 2,
    "out-of-memory": 3,
    "no-room": 3,
    "device": 4,
    "licence": 5,
    "output": 6,
    "bad-result": 8,
    "unreachable": 9,
    "stalled": 9,
    "claimed": 11,
    "doubtful": 13,
    "cancelled": 130,
}
"""What a farm is told, by the engine's code; the command line's own (docs/cli.md). REFUSED for any other."""
REFUSED = 10


class LinkError(Exception):
    """The engine refused, or could not be reached."""

    def __init__(self, code: str, message: str, action: str) -> None:
        self.code, self.message, self.action = code, message, action
        super().__init__("%s. %s" % (message, action))


@dataclasses.dataclass(frozen=True)
class Where:
    """Says which engine is meant, and how to get to it."""

    connection: str = ""
    """Its connection file; '' is this user's."""
    start: Tuple[str, ...] = ()
    """The command that starts one where none runs; () never does."""
    companion: Tuple[str, ...] = ()
    """The engine's Python, for the companion."""
    client: str = "Nuke"
    direct: bool = True
    """Whether pyzmq in this process may be used."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """Holds what an engine said of itself."""

    version: str
    device: str
    models: Tuple[str, ...]
    link: str
    """'pyzmq' or 'companion'."""
    mask_makers: Tuple[str, ...] = ()
    """What it makes first masks with."""


def installed_where(connection: str, start: bool, client: str, precision: str = "auto") -> Where:
    """Read what the installation wrote (install.json); without it, only an engine that runs is found.

    precision: 'auto', 'exact' or 'fast', for an engine that is started.
    """
    try:
        said = json.loads(_SETTINGS.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        said = {}
    python = tuple(said.get("engine_python", ()))
    serve = python + ("-m", "matanyone_engine", "serve", "--root", os.path.abspath(os.sep)) + IDLE if python else ()
    serve += ("--precision", precision) if serve and precision != "auto" else ()
    return Where(connection, serve if start else (), python, client)


def open_link(where: Where) -> Link:
    """Return a link to the engine, which is started if need be. Raises LinkError."""
    if where.direct and _import_zmq():
        return DirectLink(where)
    if not where.companion:
        raise LinkError(
            "unreachable",
            "expected pyzmq for Python %d.%d, or the engine's Python; the installation has neither"
            % sys.version_info[:2],
            "Run matanyone-engine nuke install again.",
        )
    return CompanionLink(where)


def _import_zmq() -> bool:
    """Return whether pyzmq can be had: a facility's own goes first, ours stands at the end of the path."""
    folder = str(_WHEELS / ("cp%d%d" % sys.version_info[:2]))
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.append(folder)
    if sys.version_info < (3, 9):
        return False
    try:
        import zmq  # noqa: F401
    except ImportError:
        return False
    return True


class Link:
    """Leads one conversation with one engine."""

    engine: Engine

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, job: say.Job) -> say.Accepted:
        """Send a job, and return what the engine makes of it. Raises LinkError."""
        raise NotImplementedError

    def events(self, poll_s: float = 0.25) -> Iterator[Any]:
        """Yield what becomes of the job; ends after JobEnded. Raises LinkError."""
        raise NotImplementedError

    def make_mask(self, prompt: say.Prompt) -> say.Masked:
        """Have a first mask made, and wait until it is on disk: seconds. Raises LinkError."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop within one frame; JobEnded follows. Raises LinkError."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave; the engine goes on with what it was asked."""
        raise NotImplementedError


class DirectLink(Link):
    """Talks by pyzmq in this process."""

    def __init__(self, where: Where) -> None:
        from .engine.client.client import EngineClient
        from .engine.client.launcher import ensure_engine, find_engine
        from .engine.wire.connection import default_path
        from .engine.wire.errors import WireError

        self._error = WireError
        path = Path(where.connection) if where.connection else default_path()
        with self._told():
            if where.start:
                ensure_engine(path, list(where.start))
            self._client = EngineClient(lambda: find_engine(path), where.client, None, TIMEOUT_S)
            while self._client.pump.welcome is None:
                self._client.next_event(0.05)
        welcome = self._client.pump.welcome
        self.engine = Engine(welcome.engine, welcome.device, tuple(welcome.models), "pyzmq", tuple(welcome.backends))

    def ask(self, job: say.Job) -> say.Accepted:
        from .engine.client.job import JobRun

        with self._told():
            self._run = JobRun(self._client, job)
        return self._run.accepted

    def events(self, poll_s: float = 0.25) -> Iterator[Any]:
        with self._told():
            for event in self._run.events(poll_s):
                yield event

    def make_mask(self, prompt: say.Prompt) -> say.Masked:
        with self._told():
            masked: say.Masked = self._client.make_mask(prompt)
        return masked

    def cancel(self) -> None:
        with self._told():
            self._run.cancel()

    def close(self) -> None:
        self._client.pump.close()

    def _told(self) -> _Told:
        return _Told(self._error)


class _Told:
    """Turns a WireError into a LinkError."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, self._kind):
            raise LinkError(error.code.value, error.message, error.action) from error


_RUN_COMPANION = (
    "import sys; sys.path[:] = [p for p in sys.path if p[:1] == '/' or p[1:2] == ':' or p[:2] == chr(92) * 2]; "
    "import runpy; runpy.run_module('matanyone_engine.client.companion', run_name='__main__', alter_sys=True)"
)
"""As -m, but nothing is imported from the folder that Nuke stands in (client/launcher.py: module_command)."""


class CompanionLink(Link):
    """Talks through the engine's own Python beside this process, one JSON object a line (client/companion.py)."""

    def __init__(self, where: Where) -> None:
        command = list(where.companion) + ["-c", _RUN_COMPANION]
        command += ["--connection", where.connection] if where.connection else []
        command += ["--client", where.client] + (["--start", json.dumps(list(where.start))] if where.start else [])
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_plain_environment()
            )
        except OSError as error:
            raise LinkError("unreachable", "expected the engine's Python: %s" % error, "Install again.") from error
        self._lines: queue.Queue[Optional[bytes]] = queue.Queue()
        self._said: List[bytes] = []
        self._threads = [
            _reading(self._process.stdout, self._lines.put),
            _reading(self._process.stderr, lambda line: self._said.append(line or b"")),
        ]
        welcome = self._next(120.0)
        if welcome is None:
            raise self._lost()
        self.engine = Engine(
            welcome["engine"],
            welcome["device"],
            tuple(welcome["models"]),
            "companion",
            tuple(welcome.get("backends", ())),
        )

    def ask(self, job: say.Job) -> say.Accepted:
        self._send({"job": dataclasses.asdict(job)})
        accepted = self._message(self._next(TIMEOUT_S * 2))
        if not isinstance(accepted, say.Accepted):
            raise self._lost()
        return accepted

    def events(self, poll_s: float = 0.25) -> Iterator[Any]:
        while True:
            line = self._next(poll_s)
            event = None if line is None else self._message(line)
            yield event
            if isinstance(event, say.JobEnded):
                return

    def make_mask(self, prompt: say.Prompt) -> say.Masked:
        self._send({"prompt": dataclasses.asdict(prompt)})
        masked = self._message(self._next(MASK_S))
        if not isinstance(masked, say.Masked):
            raise self._lost()
        return masked

    def cancel(self) -> None:
        self._send({"cancel": True})

    def close(self) -> None:
        if self._process.stdin is not None and self._process.poll() is None:
            self._process.stdin.close()  # which it takes for the end
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(5)

    def _send(self, said: Dict[str, Any]) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(said).encode("utf-8") + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def _next(self, timeout_s: float) -> Optional[Dict[str, Any]]:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            raise self._lost()
        said: Dict[str, Any] = json.loads(line.decode("utf-8"))
        if said["say"] == "fault":
            raise LinkError(said["code"], said["message"], said["action"])
        return said

    def _message(self, said: Optional[Dict[str, Any]]) -> Any:
        if said is None:
            return None
        return message_of(said)

    def _lost(self) -> LinkError:
        said = b"".join(self._said).decode("utf-8", "replace").strip()[-400:]
        return LinkError("unreachable", "the companion of the engine is gone: %s" % said, "Start the run again.")


def message_of(said: Dict[str, Any]) -> Any:
    """Return the message that a line of the companion holds. The wire's own reader needs a newer Python than 3.7."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    kind = say.MESSAGES[str(fields.pop("say"))]
    if kind is say.Progress:
        fields["confidences"] = tuple(say.ObjectConfidence(**each) for each in fields.get("confidences", ()))
    return kind(**fields)


def _reading(stream: Optional[IO[bytes]], take: Any) -> threading.Thread:
    """Start a thread that gives each line on, and None at the end."""

    def read() -> None:
        assert stream is not None
        for line in stream:
            take(line)
        stream.close()
        take(None)

    thread = threading.Thread(target=read, name="matanyone-companion", daemon=True)
    thread.start()
    return thread


def _plain_environment() -> Dict[str, str]:
    """Return the environment without Nuke's own Python settings, which are not meant for the engine's Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
