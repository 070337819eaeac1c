# SPDX-License-Identifier: Apache-2.0
"""Two workers on the same frames."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from matanyone_engine.errors import AlreadyRunning
from matanyone_engine.media.sequence import OutputPattern
from matanyone_engine.runs.claim import HOLDS_S, Claim, Owner
from matanyone_engine.runs.sidecars import Sidecars, part_name

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
    sidecars = Sidecars.of(output, FRAMES)
    with (
        Claim(sidecars, FRAMES),
        pytest.raises(AlreadyRunning, match=f"process {os.getpid()}, since"),
        Claim(sidecars, FRAMES),
    ):
        pass
    with Claim(sidecars, FRAMES):
        assert sidecars.claim.is_file()
    assert not sidecars.claims()


def test_parts_that_overlap_are_refused_and_others_are_not(output: OutputPattern) -> None:
    with Claim(Sidecars.of(output, None), (1001, 1002)):
        with pytest.raises(AlreadyRunning), Claim(Sidecars.of(output, (1002, 1003)), (1002, 1003)):
            pass
        with Claim(Sidecars.of(output, (1003, 1004)), (1003, 1004)):
            pass


def test_a_claim_of_a_dead_process_of_this_machine_is_void_at_once(output: OutputPattern) -> None:
    sidecars = Sidecars.of(output, None)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left(sidecars.claim, replace(Owner.this_process(FRAMES), pid=int(dead.stdout)))
    with Claim(sidecars, FRAMES):
        pass
    left(sidecars.claim, replace(Owner.this_process(FRAMES), started=1.0))  # the pid is another process's by now
    with Claim(sidecars, FRAMES):
        pass


@pytest.mark.parametrize("apart", [{"namespace": "pid:[1]"}, {"boot": "another"}, {"boot": ""}])
def test_a_process_that_cannot_be_seen_from_here_is_not_taken_for_dead(
    output: OutputPattern, apart: dict[str, str]
) -> None:
    """Containers of one host name number their processes from 1; a claim of version 0.1.0 says nothing of it."""
    sidecars = Sidecars.of(output, None)
    elsewhere = replace(Owner.this_process(FRAMES), pid=1 << 22, **apart)
    left(sidecars.claim, elsewhere, age=HOLDS_S / 2)
    with pytest.raises(AlreadyRunning), Claim(sidecars, FRAMES):
        pass
    left(sidecars.claim, elsewhere, age=HOLDS_S * 2)
    with Claim(sidecars, FRAMES):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot read a locked file")
def test_a_lock_of_the_storage_holds_whatever_the_claim_says(output: OutputPattern) -> None:
    sidecars = Sidecars.of(output, None)
    left(sidecars.claim, replace(Owner.this_process(FRAMES), host="node17"), age=HOLDS_S * 2)
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print('x', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, sidecars.claim], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(AlreadyRunning), Claim(sidecars, FRAMES):
            pass
        holder.communicate()
    with Claim(sidecars, FRAMES):
        pass


def test_a_claim_of_version_0_1_0_is_read() -> None:
    known = Owner.this_process(FRAMES)
    said = {name: value for name, value in known.to_json().items() if name not in ("boot", "namespace")}
    assert Owner.from_json(json.loads(json.dumps(said))) == replace(known, boot="", namespace="")
    assert Owner.from_json({**said, "of_a_later_version": 1}).nonce == known.nonce


def test_a_claim_of_another_machine_is_void_after_its_time(output: OutputPattern) -> None:
    sidecars = Sidecars.of(output, None)
    elsewhere = replace(Owner.this_process(FRAMES), host="node17", user="ann")
    left(sidecars.claim, elsewhere, age=HOLDS_S / 2)
    with pytest.raises(AlreadyRunning, match=r"ann on node17.*touched 3\d s ago"), Claim(sidecars, FRAMES):
        pass
    left(sidecars.claim, elsewhere, age=HOLDS_S * 2)
    with Claim(sidecars, FRAMES):
        pass


def test_a_claim_is_touched_and_its_loss_is_noticed(output: OutputPattern, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.runs.claim.TOUCHED_EVERY_S", 0.05)
    sidecars = Sidecars.of(output, None)
    with Claim(sidecars, FRAMES) as claim:
        os.utime(sidecars.claim, (1.0, 1.0))
        wait_until(lambda: sidecars.claim.stat().st_mtime > 1.0)
        other = replace(Owner.this_process(FRAMES), host="node17", nonce="other")
        left(sidecars.claim, other)
        wait_until(lambda: claim.lost)
    assert sidecars.claim.is_file(), "it is the other's now"


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
