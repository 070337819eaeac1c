# SPDX-License-Identifier: Apache-2.0
"""Starts a program as an independent process: it outlives its starter and inherits nothing from it.

    python -I -S detached.py PROGRAM ARGUMENT ...      its standard output and error become the program's

    starter (launcher.py) ---> this process ---> the program

This process waits until the program ends, and then ends with the program's exit code; or until its standard input is
closed, and then ends without the program. So the starter learns why a start failed. Once the starter closes the pipe or
dies, the program has no parent, so ending the starter with all its child processes does not end the program.

Rules of this file:
1. It imports only the standard library, since it is run by its path, also inside a host's add-on.
2. It does not bypass a studio's security: a program that may not run on a machine cannot be started this way.
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
"""Niceness of the program: on a CPU, the host's window must stay responsive."""
KEEP = "MATANYONE_KEEP"
"""Environment variable with the names, separated by commas, of variables that the program inherits although a host sets
them."""
HOST_PREFIXES = ("PYTHON", "NUKE", "FOUNDRY", "BLENDER", "QT_", "QML", "LD_", "DYLD_")
BLENDERS_COLOUR = "/datafiles/colormanagement/config.ocio"
"""End of the path of Blender's own OpenColorIO config.

Blender 5.2 sets OCIO to it for child processes; other values of OCIO are kept.
"""
HOST_NAMES = frozenset({"VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "OFX_PLUGIN_PATH", "OLDPWD", "PWD"})

# Constants of Windows; the module subprocess has them on Windows only.
CREATE_NEW_PROCESS_GROUP = 0x00000200
BELOW_NORMAL_PRIORITY_CLASS = 0x00004000
CREATE_BREAKAWAY_FROM_JOB = 0x01000000
CREATE_NO_WINDOW = 0x08000000


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that a host sets for its own Python, Qt, shared libraries and colour
    config."""
    kept = {name.strip() for name in environment.get(KEEP, "").split(",")}
    return {name: value for name, value in environment.items() if name in kept or not _of_a_host(name.upper(), value)}


def _of_a_host(name: str, value: str) -> bool:
    if name == "OCIO":
        return value.replace("\\", "/").endswith(BLENDERS_COLOUR)
    return name in HOST_NAMES or name.startswith(HOST_PREFIXES)


def start_detached(command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a program in its own session (Windows: process group and console). more: further arguments for Popen."""
    if os.name != "nt":
        return subprocess.Popen(command, start_new_session=True, **more)
    return start_on_windows(command, **more)


def start_on_windows(command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a program outside of its starter's console and, if the starter's job object allows it, outside of that job
    object.

    A job object may kill all its processes when it ends, and may forbid leaving it. CREATE_NO_WINDOW gives the program
    a hidden console, which its child processes share. With DETACHED_PROCESS it would have none, and Windows would open
    a window for each child process.
    """
    flags = CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW | BELOW_NORMAL_PRIORITY_CLASS
    try:
        return subprocess.Popen(command, creationflags=flags | CREATE_BREAKAWAY_FROM_JOB, **more)
    except PermissionError:
        return subprocess.Popen(command, creationflags=flags, **more)


def lower_priority() -> None:
    """Lower this process's priority; the program inherits it."""
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(NICER)


def main(command: Sequence[str]) -> int:
    """Start the program, wait for its end, and return its exit code. Exits at once when standard input is closed."""
    lower_priority()
    program = start_detached(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_leave_when_released, daemon=True).start()
    return program.wait()


def _leave_when_released() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock would delay the end of this process
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
