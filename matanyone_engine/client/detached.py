# SPDX-License-Identifier: Apache-2.0
"""Starts a program so that it belongs to nobody: it outlives its starter and takes nothing of it along.

    python -I -S detached.py PROGRAM ARGUMENT ...      its standard output and error become the program's

    starter (launcher.py) ---> this process ---> the program

This process stays until the program ends, and then ends with the program's exit code, or until its standard input is
closed, and then leaves the program alone. So the starter learns why a start failed, and once it is satisfied, or dead,
the program is nobody's child: who ends the starter and all its children does not end the program.

Rules of this file:
1. It imports the standard library only and nothing of this package: it is run by its path, also inside a host's add-on.
2. It is no way around a studio's security. What may not run on a machine must not be started by a host either.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

NICER = 5
"""How far the program gives way to its starter: on a plain CPU, the host's window goes first."""
KEEP = "MATANYONE_KEEP"
"""An environment variable with names of others, divided by commas, that are handed on although a host sets them."""
HOST_PREFIXES = ("PYTHON", "NUKE", "FOUNDRY", "BLENDER", "QT_", "QML", "LD_", "DYLD_")
BLENDERS_COLOUR = "/datafiles/colormanagement/config.ocio"
"""How the path of Blender's own OpenColorIO config ends: 5.2 sets OCIO to it for its children. Other configs stay."""
HOST_NAMES = frozenset({"VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "OFX_PLUGIN_PATH", "OLDPWD", "PWD"})

# Windows' numbers, which subprocess knows on Windows only.
CREATE_NEW_PROCESS_GROUP = 0x00000200
BELOW_NORMAL_PRIORITY_CLASS = 0x00004000
CREATE_BREAKAWAY_FROM_JOB = 0x01000000
CREATE_NO_WINDOW = 0x08000000


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what a host sets for its own Python, Qt, shared libraries and colours."""
    kept = {name.strip() for name in environment.get(KEEP, "").split(",")}
    return {name: value for name, value in environment.items() if name in kept or not _of_a_host(name.upper(), value)}


def _of_a_host(name: str, value: str) -> bool:
    if name == "OCIO":
        return value.replace("\\", "/").endswith(BLENDERS_COLOUR)
    return name in HOST_NAMES or name.startswith(HOST_PREFIXES)


def start_detached(command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a program in a session (Windows: process group and console) of its own. more: further words for Popen."""
    if os.name != "nt":
        return subprocess.Popen(command, start_new_session=True, **more)
    return start_on_windows(command, **more)


def start_on_windows(command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a program out of its starter's console and, where the job allows it, out of its job.

    A job that kills its processes at its end would take the program along; a job may forbid leaving it.
    CREATE_NO_WINDOW gives the program a console that nobody sees and that its helpers share. DETACHED_PROCESS would
    give it none, and Windows would open a window for each helper.
    """
    flags = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW | BELOW_NORMAL_PRIORITY_CLASS
    try:
        return subprocess.Popen(command, creationflags=flags | CREATE_BREAKAWAY_FROM_JOB, **more)
    except PermissionError:
        return subprocess.Popen(command, creationflags=flags, **more)


def give_way() -> None:
    """Lower this process's priority, which the program inherits with all its threads."""
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(NICER)


def main(command: Sequence[str]) -> int:
    """Start the program and wait for its end; its exit code. Leaves at once when standard input is closed."""
    give_way()
    program = start_detached(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_leave_when_released, daemon=True).start()
    return program.wait()


def _leave_when_released() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock would hold up the end of this process
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
