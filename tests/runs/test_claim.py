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


@pytest.mark.parametrize("apart", [{"namespace": "pid:[1]"}, {"boot": "another"}, {"boot": ""}])
def test_a_process_that_cannot_be_seen_from_here_is_not_taken_for_dead(
    output: OutputPattern, apart: dict[str, str]
) -> None:
    """Containers of one host name number their processes from 1; a claim of version 0.1.0 says nothing of it."""
    papers = Papers.of(output, None)
    elsewhere = replace(Owner.me(FRAMES), pid=1 << 22, **apart)
    left(papers.claim, elsewhere, age=HOLDS_S / 2)
    with pytest.raises(AlreadyRunning), Claim(papers, FRAMES):
        pass
    left(papers.claim, elsewhere, age=HOLDS_S * 2)
    with Claim(papers, FRAMES):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot read a locked file")
def test_a_lock_of_the_storage_holds_whatever_the_claim_says(output: OutputPattern) -> None:
    papers = Papers.of(output, None)
    left(papers.claim, replace(Owner.me(FRAMES), host="node17"), age=HOLDS_S * 2)
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print('x', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, papers.claim], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(AlreadyRunning), Claim(papers, FRAMES):
            pass
        holder.communicate()
    with Claim(papers, FRAMES):
        pass


def test_a_claim_of_version_0_1_0_is_read() -> None:
    known = Owner.me(FRAMES)
    said = {name: value for name, value in known.to_json().items() if name not in ("boot", "namespace")}
    assert Owner.from_json(json.loads(json.dumps(said))) == replace(known, boot="", namespace="")
    assert Owner.from_json({**said, "of_a_later_version": 1}).nonce == known.nonce


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
