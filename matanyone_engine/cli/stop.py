# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine stop: end the running engine; every session is put on disk first."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from matanyone_engine.cli.engines import add_connection, client_keys, connected
from matanyone_engine.client.launcher import is_alive
from matanyone_engine.errors import EngineUnreachable
from matanyone_engine.wire import messages as say

_PATIENCE_S = 150.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'stop' to the program's parser."""
    parser = subparsers.add_parser("stop", help="end the running engine", description="End the running engine.")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Say shutdown, and wait until nobody answers."""
    with connected(args) as client:
        connection, keys = client.pump.connection, client_keys(args)
        client.call(say.Shutdown())
    deadline = time.monotonic() + _PATIENCE_S
    while is_alive(connection, 1.0, keys):
        if time.monotonic() > deadline:
            raise EngineUnreachable(
                expected=f"the engine to end within {_PATIENCE_S:.0f} s",
                came=f"process {connection.pid}, which still answers",
                action="Look at matanyone-engine status.",
            )
    Console(stderr=True, highlight=False).print(f"ended   process {connection.pid}; sessions are on disk")
