# SPDX-License-Identifier: Apache-2.0
"""Work on storage that is away for a moment is tried again; other faults are reported at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest

from matanyone_engine.atomic import open_inside
from matanyone_engine.errors import EngineError, OutputError, PlateError
from matanyone_engine.jobs import retry
from matanyone_engine.jobs.retry import read_through, with_retries, write_something
from matanyone_engine.media import mattes
from matanyone_engine.media.mattes import check_writable


def failing(times: int, error: Exception) -> Callable[[], str]:
    left_over = [times]

    def work() -> str:
        if left_over[0]:
            left_over[0] -= 1
            raise error
        return "done"

    return work


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES_S", (0.0, 0.0))


def stale() -> OSError:
    return OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_a_temporary_fault_costs_no_frame(caplog: pytest.LogCaptureFixture) -> None:
    wrapped = OutputError(expected="a", came="b", action="c")
    wrapped.__cause__ = stale()
    assert with_retries(failing(2, wrapped), lambda: None) == "done"
    assert "trying again" in caplog.text
    with pytest.raises(OutputError):
        with_retries(failing(3, wrapped), lambda: None)


def test_an_error_of_the_image_library_is_retried_if_the_system_has_a_temporary_fault() -> None:
    unreadable = PlateError(expected="a plate", came="broken", action="c")
    assert with_retries(failing(1, unreadable), failing(1, stale())) == "done"  # type: ignore[arg-type]
    with pytest.raises(PlateError):
        with_retries(failing(1, unreadable), lambda: None)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_a_lasting_fault_is_reported_at_once(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        with_retries(failing(1, OSError(number, os.strerror(number))), lambda: None)


def test_checks_read_and_write_real_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    read_through(tmp_path / "a")
    write_something(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(FileNotFoundError):
        read_through(tmp_path / "b")


def test_errors_of_the_family_have_room_for_a_frame() -> None:
    assert EngineError(expected="a", came="b", action="c").frame is None


@pytest.mark.parametrize(("module", "look"), [(mattes, check_writable), (retry, write_something)])
def test_a_file_that_is_written_to_look_has_another_name_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, look: Callable[[Path], object]
) -> None:
    """Under a name that is known before, somebody could put a link to a file of the engine's owner."""
    opened: list[tuple[str, str]] = []

    def open_and_note(path: Path, mode: str) -> IO[Any]:
        opened.append((path.name, mode))
        return open_inside(path, mode)

    monkeypatch.setattr(module, "open_inside", open_and_note)
    for _ in range(3):
        look(tmp_path)
    assert len({name for name, _ in opened}) == 3
    assert {mode for _, mode in opened} == {"xb"}
    assert not list(tmp_path.iterdir())
