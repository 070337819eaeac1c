# SPDX-License-Identifier: Apache-2.0
"""Connects a command to a running engine, and turns the engine's faults into errors with an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matanyone_engine import errors
from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.client.transport import ClientKeys
from matanyone_engine.wire.errors import Code, WireError

_FAMILY: dict[str, type[errors.EngineError]] = {
    Code.BAD_INPUT.value: errors.BadInput,
    Code.OUT_OF_MEMORY.value: errors.OutOfMemory,
    Code.NO_ROOM.value: errors.OutOfMemory,
    Code.DEVICE.value: errors.DeviceError,
    Code.LICENCE.value: errors.LicenceRefused,
    Code.OUTPUT.value: errors.OutputError,
    Code.BAD_RESULT.value: errors.BadResult,
    Code.CLAIMED.value: errors.AlreadyRunning,
    Code.DOUBTFUL.value: errors.Doubtful,
    Code.UNREACHABLE.value: errors.EngineUnreachable,
    Code.STALLED.value: errors.EngineUnreachable,
}


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add --connection and --client-key to a parser."""
    parser.add_argument(
        "--connection",
        type=Path,
        metavar="FILE",
        help="The connection file of the engine. Default: the one of this user's engine.",
    )
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="The secret key of this client, for an engine that takes keys."
    )


@contextmanager
def connected(args: argparse.Namespace, timeout_s: float = 10.0) -> Iterator[EngineClient]:
    """Yield a client of the engine that the arguments name. Faults of the engine are raised as EngineErrors."""
    try:
        keys = client_keys(args)
        with EngineClient(lambda: find_engine(args.connection), "matanyone-engine", keys, timeout_s) as client:
            yield client
    except WireError as error:
        raise as_engine_error(error.code.value, error.message, error.action) from error


def as_engine_error(code: str, message: str, action: str) -> errors.EngineError:
    """Return an engine's fault as the error that the same work would raise in this process, so that the exit code is
    the same."""
    family = _FAMILY.get(code, errors.RefusedByEngine)
    return family(expected="the running engine to do it", came=message, action=action)


def client_keys(args: argparse.Namespace) -> ClientKeys | None:
    """Read the keys of --client-key. Raises SettingError if the file has no secret key."""
    if args.client_key is None:
        return None
    import zmq.auth

    path: Path = args.client_key
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise _no_key(f"{path}: {error}") from error
    if secret is None:
        raise _no_key(f"{path}, which has the public key only")
    return ClientKeys(public.decode(), secret.decode())


def _no_key(came: str) -> errors.SettingError:
    return errors.SettingError(
        expected="a client's secret key", came=came, action="Name the .key_secret file of matanyone-engine keys add."
    )
