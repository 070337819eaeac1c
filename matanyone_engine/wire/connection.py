# SPDX-License-Identifier: Apache-2.0
"""The file through which clients of this user find the engine: where it listens, who it is, and its secret.

Readable by its owner only. It may be stale: whoever reads it makes sure that this engine answers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .errors import Code, WireError

VARIABLE = "MATANYONE_CONNECTION"
"""Environment: the connection file to use instead of the user's own."""


@dataclass(frozen=True)
class Connection:
    """How to reach one run of an engine."""

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
    """Where the engine of this user writes it."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    return _runtime_folder() / "engine.json"


def _runtime_folder() -> Path:
    """A folder of this user alone, emptied at log-out where the system has such a one."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "matanyone-engine" / "run"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "matanyone-engine"
    return Path(tempfile.gettempdir()) / f"matanyone-engine-{os.getuid()}"


def write_connection(path: Path, connection: Connection) -> None:
    """Write it whole and for the owner's eyes only. Raises OSError; PermissionError where others own the folder."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform != "win32" and path.parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{path.parent} belongs to another user")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(connection), file)
    temporary.replace(path)


def read_connection(path: Path) -> Connection:
    """What the file says. Raises WireError where there is none, it is damaged, or others could have read it."""
    try:
        if sys.platform != "win32" and path.stat().st_mode & 0o077:
            raise _unusable(f"{path}, which others may read", "Remove it and start the engine again.")
        return Connection(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise _unusable(f"none at {path}", "Start the engine: matanyone-engine serve.") from error
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(f"{path}: {error}", "Remove it and start the engine again.") from error


def _unusable(came: str, action: str) -> WireError:
    return WireError(Code.UNREACHABLE, f"expected the connection file of an engine, got {came}", action)
