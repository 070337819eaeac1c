# SPDX-License-Identifier: Apache-2.0
"""Two workers on the same frames, and storage that is away for a moment."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from matanyone_engine.errors import AlreadyRunning, EngineError, OutputError, PlateError
from matanyone_engine.jobs import retry
from matanyone_engine.jobs.retry import patiently, read_through, write_something
from matanyone_engine.media.sequence import OutputPattern
from matanyone_engine.runs.claim import HOLDS_S, Claim, Owner
from matanyone_engine.runs.sidecars import Papers, part_name

FRAMES = (1001, 1002, 1003)


@pytest.fixture
def output(tmp_path: Path) -> OutputPattern:
    return OutputPattern.parse(tmp_path / "alpha.####.exr")


def left(path: Path, owner: Owner, age: float = 0.0) -> None:
    """A claim as a worker on another machine would hold it, last touched so long ago."""
    path.write_text(json.dumps(asdict(owner)))
    then = time.time() - age
    os.utime(path, (then, then))


def test_two_workers_on_one_segment_are_told_who_is_first(output: OutputPattern) -> None:
    papers = Papers.of(output, FRAMES)
    with (
        Claim(papers, FRAMES),
        pytest.raises(AlreadyRunning, match=f"process {os.getpid()}, since"),
        Claim(papers, FRAMES),
    ):
        pass
    with Claim(papers, FRAMES):
        assert papers.claim.is_file()
    assert not papers.claims()


def test_parts_that_overlap_are_refused_and_others_are_not(output: OutputPattern) -> None:
    with Claim(Papers.of(output, None), (1001, 1002)):
        with pytest.raises(AlreadyRunning), Claim(Papers.of(output, (1002, 1003)), (1002, 1003)):
            pass
        with Claim(Papers.of(output, (1003, 1004)), (1003, 1004)):
            pass


def test_a_claim_of_a_dead_process_of_this_machine_is_void_at_once(output: OutputPattern) -> None:
    papers = Papers.of(output, None)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left(papers.claim, replace(Owner.me(FRAMES), pid=int(dead.stdout)))
    with Claim(papers, FRAMES):
        pass
    left(papers.claim, replace(Owner.me(FRAMES), started=1.0))  # the pid is another process's by now
    with Claim(papers, FRAMES):
        pass


def test_a_claim_of_another_machine_is_void_after_its_time(output: OutputPattern) -> None:
    papers = Papers.of(output, None)
    elsewhere = replace(Owner.me(FRAMES), host="node17", user="ann")
    left(papers.claim, elsewhere, age=HOLDS_S / 2)
    with pytest.raises(AlreadyRunning, match=r"ann on node17.*touched 3\d s ago"), Claim(papers, FRAMES):
        pass
    left(papers.claim, elsewhere, age=HOLDS_S * 2)
    with Claim(papers, FRAMES):
        pass


def test_a_claim_is_touched_and_its_loss_is_noticed(output: OutputPattern, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.runs.claim.TOUCHED_EVERY_S", 0.05)
    papers = Papers.of(output, None)
    with Claim(papers, FRAMES) as claim:
        os.utime(papers.claim, (1.0, 1.0))
        wait_until(lambda: papers.claim.stat().st_mtime > 1.0)
        other = replace(Owner.me(FRAMES), host="node17", nonce="other")
        left(papers.claim, other)
        wait_until(lambda: claim.lost)
    assert papers.claim.is_file(), "it is the other's now"


def wait_until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_parts_have_short_names() -> None:
    assert part_name(range(1001, 1046)) == "1001-1045"
    ragged = part_name([n * n for n in range(20)])
    assert ragged.startswith("0-361-")
    assert len(ragged) < 24
    assert ragged != part_name([n * n for n in range(1, 20)] + [0, 2])


# ------------------------------------------------------------------------------------------------ storage that is away


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


def test_a_fault_that_passes_costs_no_frame(caplog: pytest.LogCaptureFixture) -> None:
    wrapped = OutputError(expected="a", came="b", action="c")
    wrapped.__cause__ = stale()
    assert patiently(failing(2, wrapped), lambda: None) == "done"
    assert "trying again" in caplog.text
    with pytest.raises(OutputError):
        patiently(failing(3, wrapped), lambda: None)


def test_what_the_image_library_does_not_say_the_system_does() -> None:
    unreadable = PlateError(expected="a plate", came="broken", action="c")
    assert patiently(failing(1, unreadable), failing(1, stale())) == "done"  # type: ignore[arg-type]
    with pytest.raises(PlateError):
        patiently(failing(1, unreadable), lambda: None)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_a_fault_that_stays_is_told_at_once(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        patiently(failing(1, OSError(number, os.strerror(number))), lambda: None)


def test_looking_takes_the_systems_word(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    read_through(tmp_path / "a")
    write_something(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(FileNotFoundError):
        read_through(tmp_path / "b")


def test_errors_of_the_family_have_room_for_a_frame() -> None:
    assert EngineError(expected="a", came="b", action="c").frame is None
