# SPDX-License-Identifier: Apache-2.0
"""Turns errors into codes of the protocol. A test walks the error family so that none is forgotten."""

from __future__ import annotations

import errno
import logging

from matanyone_engine import errors
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.text import printable

_log = logging.getLogger("matanyone_engine")

_OF_A_NAME = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of the system that say that a path is at fault, not the disk."""

# The most specific ancestor of an error that stands here decides.
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
    """Return any error as a WireError, with the code that a client branches on."""
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


def as_told(error: BaseException) -> WireError:
    """Return the error as it travels; a defect of ours is logged with its traceback.

    Afterwards no traceback of the error or its causes is left: their frames would hold on to the message, with all its
    pixels, until the garbage collector comes round.
    """
    told = as_wire_error(error)
    if told.code is Code.INTERNAL:
        _log.exception("A defect of the engine", exc_info=error)
    let_go(error)
    return told


def let_go(error: BaseException) -> None:
    """Take the tracebacks off an error and off everything that led to it."""
    found: list[BaseException | None] = [error]
    for each in found:
        if each is not None and each.__traceback__ is not None:
            found += [each.__cause__, each.__context__]
            each.__traceback__ = None


def as_fault(error: WireError) -> say.Fault:
    """Return an error as a message. It may name files and quote their headers, without control characters."""
    message, action = printable(error.message), printable(error.action)
    return say.Fault(error.code.value, message, action, error.retryable, error.expected_seq)


def shutting_down() -> WireError:
    """Return the error that everybody gets once the engine is about to end."""
    return WireError(Code.SHUTTING_DOWN, "the engine is about to end", "Start it again, and reopen the session.")
