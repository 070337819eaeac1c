# SPDX-License-Identifier: Apache-2.0
"""Ends the running engine, which puts every session on disk first: `matanyone-engine stop`."""

from __future__ import annotations

import argparse
import time

import psutil

from matanyone_engine.cli.engines import add_connection, client_keys, connected
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.client.launcher import is_alive
from matanyone_engine.errors import EngineUnreachable
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.connection import Connection

_TIMEOUT_S = 150.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'stop' to the program's parser."""
    parser = subparsers.add_parser(
        "stop",
        description="Ends the running engine. Every session is put on disk first, so that its client can go on later.",
    )
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Tell the engine to end, and wait until it has. Raises EngineUnreachable."""
    with connected(args) as client:
        connection, keys = client.pump.connection, client_keys(args)
        process = _process_of(connection)
        client.call(say.Shutdown())
    deadline = time.monotonic() + _TIMEOUT_S
    while is_alive(connection, 1.0, keys) or _runs(process):
        if time.monotonic() > deadline:
            raise EngineUnreachable(
                expected=f"the engine to end within {_TIMEOUT_S:.0f} seconds",
                came=f"an engine that still runs (process {connection.pid})",
                action="See what it is doing with matanyone-engine status.",
            )
        time.sleep(0.05)
    PlainConsole(stderr=True, highlight=False).print(
        f"ended   The engine (process {connection.pid}) has ended; its sessions are on disk."
    )


def _process_of(connection: Connection) -> psutil.Process | None:
    """Return the engine's process if it runs on this machine: an engine that does not answer may be busy and still
    run."""
    try:
        process = psutil.Process(connection.pid)
        here = connection.control.startswith(("tcp://127.", "tcp://[::1]"))
        return process if here and "serve" in process.cmdline() else None
    except psutil.Error:
        return None


def _runs(process: psutil.Process | None) -> bool:
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
