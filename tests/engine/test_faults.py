# SPDX-License-Identifier: Apache-2.0
"""Every error of the engine has a code, and says on the wire what it says here."""

from __future__ import annotations

import errno
import pickle

import pytest

from matanyone_engine import errors
from matanyone_engine.engine.faults import as_fault, as_wire_error
from matanyone_engine.wire.errors import Code, WireError


def family(kind: type[errors.EngineError] = errors.EngineError) -> list[type[errors.EngineError]]:
    return [sub for direct in kind.__subclasses__() for sub in (direct, *family(direct))]


@pytest.mark.parametrize("kind", family(), ids=lambda kind: kind.__name__)
def test_every_error_travels_with_its_three_parts(kind: type[errors.EngineError]) -> None:
    told = as_fault(as_wire_error(kind(expected="a whale", came="a tree", action="Look again.")))
    assert told.code != Code.INTERNAL.value or kind is errors.Defect
    assert "a whale" in told.message
    assert "a tree" in told.message
    assert told.action == "Look again."


@pytest.mark.parametrize("kind", family(), ids=lambda kind: kind.__name__)
def test_every_error_travels_between_processes(kind: type[errors.EngineError]) -> None:
    error = pickle.loads(pickle.dumps(kind(expected="a whale", came="a tree", action="Look again.")))
    assert type(error) is kind
    assert (error.expected, error.came, error.action) == ("a whale", "a tree", "Look again.")


def test_other_exceptions_get_the_right_error_code() -> None:
    assert as_wire_error(OSError(errno.ENOSPC, "No space left")).code is Code.OUTPUT
    assert as_wire_error(ZeroDivisionError("x")).code is Code.INTERNAL
    same = WireError(Code.BUSY, "m", "a")
    assert as_wire_error(same) is same
    assert as_fault(same).retryable
