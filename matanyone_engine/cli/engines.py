# SPDX-License-Identifier: Apache-2.0
"""What the commands that talk to a running engine share: which engine, and its errors as ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.client.transport import ClientKeys
from matanyone_engine.errors import EngineUnreachable, RefusedByEngine
from matanyone_engine.wire.errors import Code, WireError


def add_connection(parser: argparse.ArgumentParser) -> None:
    """--connection and --client-key."""
    parser.add_argument("--connection", type=Path, metavar="FILE", help="the engine's file (default: this user's)")
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="this client's secret key, for encrypted engines"
    )


@contextmanager
def connected(args: argparse.Namespace, patience_s: float = 10.0) -> Iterator[EngineClient]:
    """A client of the engine that the arguments name; what it refuses becomes an error of our family."""
    try:
        keys = _keys(args.client_key) if args.client_key else None
        with EngineClient(lambda: find_engine(args.connection), "matanyone-engine", keys, patience_s) as client:
            yield client
    except WireError as error:
        family = EngineUnreachable if error.code in (Code.UNREACHABLE, Code.STALLED) else RefusedByEngine
        raise family(expected="an engine that does it", came=error.message, action=error.action) from error


def _keys(path: Path) -> ClientKeys:
    import zmq.auth

    public, secret = zmq.auth.load_certificate(path)
    if secret is None:
        raise WireError(Code.UNAUTHORISED, f"expected a secret key in {path}, got a public one", "Name the other file.")
    return ClientKeys(public.decode(), secret.decode())
