# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which engine is used, and how it is reached or started. It is read from the preferences once, and then a value.
No bpy.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .engine.wire.connection import default_path, read_connection
from .engine.wire.errors import Code, WireError

if TYPE_CHECKING:
    from .engine.client.client import EngineClient
    from .engine.client.transport import ClientKeys
    from .engine.wire.connection import Connection

PYZMQ = (25, 28)
"""Versions from, and before which, the client is known to work: Blender may give us another add-on's pyzmq."""
_KEY = re.compile(r'^\s*(public|secret)-key\s*=\s*"([^"]{40})"', re.MULTILINE)
_LOOPBACK = ("127.", "localhost", "[::1]", "ipc:", "inproc:")


@dataclass(frozen=True)
class Target:
    """Names one engine."""

    connection: Path | None = None
    """The engine's connection file; None is this user's own engine."""
    command: tuple[str, ...] = ()
    """The command that starts the engine where it does not run; empty where it is somebody else's to start."""
    client_key: Path | None = None
    """This client's .key_secret file, for an engine on another machine."""
    online: bool = True
    """Whether Blender may go online: asked for any engine that is not on this machine."""
    client: str = field(default="Blender", compare=False)
    timeout_s: float = 60.0

    def connect(self, while_waiting: Callable[[], None]) -> EngineClient:
        """Return a client of it. while_waiting: called all the time while it waits; what it raises ends the wait.

        Raises WireError: no engine, no permission, no keys, no pyzmq. For the network thread: it may take a minute.
        """
        load_client()
        from .engine.client.client import EngineClient

        return EngineClient(self.find, self.client, self._keys(), self.timeout_s, while_waiting)

    def find(self) -> Connection:
        """Return the running engine, which is started if that is ours to do. Raises WireError."""
        load_client()
        from .engine.client.launcher import ensure_engine

        if self.command:
            return ensure_engine(self.connection, self.command)
        found = read_connection(self.connection or default_path())
        if not self.online and not all(_is_here(end) for end in (found.data, found.control)):
            raise WireError(
                Code.NOT_ALLOWED,
                f"expected permission to go online, since the engine is at {found.control}",
                "Allow it: Preferences > System > Network > Allow Online Access.",
            )
        return found

    def _keys(self) -> ClientKeys | None:
        from .engine.client.transport import ClientKeys

        if self.client_key is None:
            return None
        try:
            found = dict(_KEY.findall(self.client_key.read_text(encoding="utf-8")))
            return ClientKeys(found["public"], found["secret"])
        except (OSError, UnicodeDecodeError, KeyError) as error:
            why = "it has no secret key" if isinstance(error, KeyError) else str(error)
            raise WireError(
                Code.UNAUTHORISED,
                f"expected this client's secret key in {self.client_key}; {why}",
                "Name the .key_secret file of matanyone-engine keys add in the add-on's preferences.",
            ) from error


def command_for(program: str, precision: str = "auto") -> tuple[str, ...]:
    """Return the command that starts an engine: `program` is a Python that has the engine, or its matanyone-engine.
    Raises WireError.

    precision: 'auto', which is what an engine does untold, 'exact' or 'fast'.
    """
    path = Path(program).expanduser()
    if not path.is_file():
        raise WireError(
            Code.UNREACHABLE,
            f"expected the engine's program, got {program!r}, which is no file",
            "Name its Python (.venv/bin/python) or matanyone-engine in the add-on's preferences.",
        )
    own = ["-m", "matanyone_engine"] if path.name.lower().startswith("python") else []
    roots = [f"--root={root}" for root in _drives()]
    computing = () if precision == "auto" else ("--precision", precision)
    return (str(path), *own, "serve", *roots, "--idle-exit", "3600", *computing)


def _drives() -> list[str]:
    """Return all folders: an engine that this user starts for himself may use what he may use."""
    if sys.platform != "win32":
        return ["/"]
    return [f"{letter}:\\" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if Path(f"{letter}:\\").exists()]


def _is_here(endpoint: str) -> bool:
    return endpoint.split("://", 1)[-1].startswith(_LOOPBACK) or endpoint.startswith(_LOOPBACK)


def preload() -> None:
    """Import all that an engine is talked to with, and that alphas are read with. What cannot be imported is said when
    it is needed.
    """
    with suppress(ImportError):
        import numpy  # noqa: F401 (only its being loaded counts)
        import zmq  # noqa: F401

        from .engine.client import client, job, launcher  # noqa: F401


def load_client() -> None:
    """Raise WireError unless the pyzmq that Blender gives us will do."""
    try:
        import zmq
    except ImportError as error:
        raise WireError(
            Code.UNREACHABLE,
            f"expected pyzmq, which the extension brings along; {error}",
            "Install the extension from its zip again: its wheels are missing.",
        ) from error
    first, before = PYZMQ
    if not first <= zmq.pyzmq_version_info()[0] < before:
        raise WireError(
            Code.UNREACHABLE,
            f"expected pyzmq {first} to {before - 1}, got {zmq.__version__} at {zmq.__file__}",
            "Another extension brought it: update or disable that one.",
        )
