# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the file by which this user's clients find the engine: where it listens, who it is, its secret.

The file is for its owner only. It may be stale: whoever reads it makes sure that this engine answers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .errors import Code, WireError
from .private import home_or_temporary, open_private, private_folder

VARIABLE = "MATANYONE_CONNECTION"
"""Environment: the connection file to use instead of the user's own."""
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Connection:
    """Describes how to reach a running engine."""

    data: str
    """ZeroMQ endpoint of the data socket: tcp://127.0.0.1:5555."""
    control: str
    token: str
    epoch: str
    pid: int
    engine: str
    """Version."""
    server_key: Optional[str] = None
    """CURVE public key in Z85; None: plain, which is for loopback only."""


def default_path() -> Path:
    """Return the path at which this user's engine writes the file."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    return _runtime_folder() / "engine.json"


def _runtime_folder() -> Path:
    """Return a folder that only this user can read.

    If the system has one that is emptied at log-out, it is that one.
    """
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(home_or_temporary()))) / "matanyone-engine" / "run"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "matanyone-engine"
    return Path(tempfile.gettempdir()) / f"matanyone-engine-{os.getuid()}"


def write_connection(path: Path, connection: Connection) -> None:
    """Write the file whole, readable by its owner only. Raises OSError; PermissionError where others own the folder."""
    private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        handle = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(connection), file)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_connection(path: Path) -> Connection:
    """Read the file. Raises WireError where there is none, it is damaged, or others could have read it."""
    try:
        with os.fdopen(open_private(path, os.O_RDONLY), encoding="utf-8") as file:
            if sys.platform != "win32" and os.fstat(file.fileno()).st_mode & 0o077:
                raise _unusable(f"{path}, which others may read", "Remove it and start the engine again.")
            return Connection(**json.loads(file.read(_MOST_BYTES)))
    except FileNotFoundError as error:
        raise _unusable(f"none at {path}", "Start the engine: matanyone-engine serve.") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _unusable(f"{path}: {error}", "Remove it and start the engine again.") from error


def _unusable(came: str, action: str) -> WireError:
    return WireError(Code.UNREACHABLE, f"expected the connection file of an engine, got {came}", action)
