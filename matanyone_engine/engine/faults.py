# SPDX-License-Identifier: Apache-2.0
"""Turns errors into codes of the protocol. A test checks that every error class has a code."""

from __future__ import annotations

import errno
import logging

from matanyone_engine import errors
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.text import printable

_log = logging.getLogger("matanyone_engine")

_OF_A_NAME = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""System errors that are about the path and not about the disk."""

# For a class that is not listed, the code of its nearest listed base class counts.
CODES: dict[type[errors.EngineError], Code] = {
    errors.BadInput: Code.BAD_INPUT,
    errors.IllegalMove: Code.OUT_OF_TURN,
    errors.SnapshotError: Code.SNAPSHOT,
    errors.LicenceRefused: Code.LICENCE,
    errors.DeviceError: Code.DEVICE,
    errors.OutOfMemory: Code.OUT_OF_MEMORY,
    errors.OutputError: Code.OUTPUT,
    errors.FetchError: Code.BAD_INPUT,
    errors.EngineUnreachable: Code.UNREACHABLE,
    errors.RefusedByEngine: Code.NOT_ALLOWED,
    errors.BadResult: Code.BAD_RESULT,
    errors.AlreadyRunning: Code.CLAIMED,
    errors.PartlyDone: Code.BAD_INPUT,
    errors.Doubtful: Code.DOUBTFUL,
    errors.Defect: Code.INTERNAL,
    errors.Interrupted: Code.CANCELLED,
}


def as_wire_error(error: BaseException) -> WireError:
    """Return any error as a WireError with a code of the protocol."""
    if isinstance(error, WireError):
        return error
    if isinstance(error, errors.EngineError):
        code = next(CODES[ancestor] for ancestor in type(error).__mro__ if ancestor in CODES)
        return WireError(code, f"expected {error.expected}; got {error.came}", error.action)
    if isinstance(error, OSError) and error.errno in _OF_A_NAME:
        return WireError(
            Code.BAD_INPUT, f"expected a path that can be followed; got {error}", "Name the file by another path."
        )
    if isinstance(error, OSError):
        return WireError(
            Code.OUTPUT,
            f"the engine could not use its disk: {error}",
            "Free some disk space and send it again. Nothing was lost.",
        )
    return WireError(
        Code.INTERNAL,
        f"{type(error).__name__}: {error}"[:500],
        "This is a defect of the engine; report it with its log.",
    )


def logged_wire_error(error: BaseException) -> WireError:
    """Return the error as a WireError for the client; a defect of the engine is logged with its traceback.

    The tracebacks of the error and its causes are removed. Otherwise their stack frames would keep the message, with
    all its pixels, in memory until the garbage collector runs.
    """
    told = as_wire_error(error)
    if told.code is Code.INTERNAL:
        _log.exception("A defect of the engine", exc_info=error)
    drop_tracebacks(error)
    return told


def drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an error and of its causes."""
    found: list[BaseException | None] = [error]
    for each in found:
        if each is not None and each.__traceback__ is not None:
            found += [each.__cause__, each.__context__]
            each.__traceback__ = None


def as_fault(error: WireError) -> say.Fault:
    """Return an error as a Fault message. File names and header texts in it have no control characters."""
    message, action = printable(error.message), printable(error.action)
    return say.Fault(error.code.value, message, action, error.retryable, error.expected_seq)


def shutting_down() -> WireError:
    """Return the error for all requests to an engine that is about to end."""
    return WireError(Code.SHUTTING_DOWN, "the engine is about to end", "Start it again, and reopen the session.")
