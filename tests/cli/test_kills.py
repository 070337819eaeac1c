# SPDX-License-Identifier: Apache-2.0
"""A job that is killed over and over comes to the same files, and does nothing twice that it need not do twice.

KILLS in the environment says how many accidents of each kind befall it (default: 1).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from shots import Shot, files, make_shot

from matanyone_engine.cli.main import main

FRAMES = 60
KILLS = int(os.environ.get("KILLS", "1"))
INTERVAL_S = 0.2
"""Between resume points."""


@dataclass(frozen=True)
class Job:
    """A shot as a job file, and what its files are when nothing befalls it."""

    file: Path
    out: Path
    whole: dict[str, bytes]

    def finished(self) -> list[Path]:
        return sorted(self.out.glob("a.*.exr"))

    def begin(self, *before: str) -> subprocess.Popen[str]:
        """Run it in a process of its own, with a cache of its own that a kill may find half-written."""
        command = [*before, sys.executable, "-m", "matanyone_engine", "run", str(self.file), "--json"]
        environment = {**os.environ, "MATANYONE_ENGINE_CACHE": str(self.out.parent / "cache")}
        return subprocess.Popen(
            [*command, "--resume-interval", str(INTERVAL_S)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return make_shot(tmp_path_factory.mktemp("kills"), count=FRAMES)


@pytest.fixture(scope="module")
def whole(shot: Shot) -> dict[str, bytes]:
    out = shot.folder / "whole" / "a.####.exr"
    assert main(shot.arguments("--out", str(out), "--mask", f"{shot.mask}@1031", "--cache", "0")) == 0
    return files(out.parent)


@pytest.fixture
def job(shot: Shot, whole: dict[str, bytes], tmp_path: Path) -> Job:
    """The key is in the middle: half of the shot is run backwards."""
    file, out = tmp_path / "job.json", tmp_path / "out"
    options = ["--out", str(out / "a.####.exr"), "--mask", f"{shot.mask}@1031", "--save-job", str(file)]
    assert main(shot.arguments(*options)) == 0
    return Job(file, out, whole)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What it says; a line that the kill has cut is none."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def frames(said: list[dict[str, Any]], event: str = "frame") -> list[int]:
    return [each["frame"] for each in said if each["event"] == event]


def befall(process: subprocess.Popen[str], number: int, after: int, pause: float = 0.0) -> list[dict[str, Any]]:
    """Let it come to its so-manieth alpha, then send the signal, perhaps so many seconds later; what it had said."""
    said = []
    for event in events(process):
        said.append(event)
        if event["event"] == "frame" and len(frames(said)) == after:
            time.sleep(pause)
            process.send_signal(number)
    process.wait(60)
    return said


def run_to_the_end(job: Job) -> list[dict[str, Any]]:
    process = job.begin()
    said = list(events(process))
    assert process.wait(60) == 0, process.stderr.read() if process.stderr else ""
    assert files(job.out) == job.whole
    assert not unfinished(job)
    assert not list(job.out.glob(".*.resume"))
    return said


def unfinished(job: Job) -> list[str]:
    """Temporary files and claims that a run has left in its output folder."""
    return [path.name for path in job.out.iterdir() if path.suffix in (".tmp", ".claim")]


def unfinished_in_cache(job: Job) -> list[str]:
    return [path.name for path in (job.out.parent / "cache").rglob("*.tmp")]


def chance(seed: int) -> int:
    return random.Random(seed).randrange(3, FRAMES // 2)


@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_9_then_again(job: Job, seed: int) -> None:
    """Twice in a row: the second soon after the first has gone on."""
    first = befall(job.begin(), signal.SIGKILL, chance(seed))
    second = befall(job.begin(), signal.SIGKILL, 1 + chance(seed + 1000) // 4)
    last = run_to_the_end(job)
    again = set(frames(first)) & set(frames(second)) | set(frames(second)) & set(frames(last))
    assert not again, "a frame whose files and ledger are whole is not written again"
    assert last[-1]["outcome"] == "finished"


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_stop_is_clean_and_loses_nothing(job: Job, seed: int) -> None:
    """SIGTERM or Ctrl-C, at any moment: while an alpha, the ledger or a resume point is being written, or between."""
    process = job.begin()
    pause = random.Random(seed).uniform(0, 0.1)
    said = befall(process, (signal.SIGTERM, signal.SIGINT)[seed % 2], chance(seed), pause)
    assert (process.returncode, said[-1]["outcome"], said[-1]["exit"]) == (130, "stopped", 130)
    assert not [*unfinished(job), *unfinished_in_cache(job)]
    assert len(job.finished()) == len(frames(said))
    last = run_to_the_end(job)
    assert not set(frames(said)) & set(frames(last))
    # What is run again is nothing that the resume point has: at most the frames on their way, and the key if need be.
    steps = frames(last) + frames(last, "step")
    assert len(steps) <= FRAMES - len(frames(said)) + 1


@pytest.mark.parametrize("seed", range(1, KILLS))
def test_two_signals_stop_it_at_once_and_leave_nothing_half_done(job: Job, seed: int) -> None:
    """Whoever presses Ctrl-C twice does not wait for the frame. Only the alpha at hand is lost."""
    dice = random.Random(seed)
    number, after = dice.choice((signal.SIGTERM, signal.SIGINT)), dice.randrange(1, FRAMES // 2)
    process = job.begin()
    for event in events(process):
        if event["event"] == "frame" and len(job.finished()) >= after:
            break
    for pause in (0.1, 0.02):
        time.sleep(dice.uniform(0, pause))
        process.send_signal(number)
    for _ in events(process):
        pass
    assert process.wait(60) == 130
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert not [*unfinished(job), *unfinished_in_cache(job)]
    run_to_the_end(job)


@pytest.fixture
def disk(job: Job) -> Iterator[Path]:
    """The job's output folder as a small disk of its own, of 200 KB to begin with; skips where that is not allowed."""
    job.out.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(job.out)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield job.out
    subprocess.run(["umount", str(job.out)], check=True)


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_disk_that_fills_up_is_said_and_costs_nothing(job: Job, disk: Path, seed: int) -> None:
    resize(disk, 100 + 25 * chance(seed) // 3)
    process = job.begin()
    said = list(events(process))
    assert process.wait(60) == 6, said
    assert (said[-1]["outcome"], said[-1]["error"]["kind"]) == ("failed", "OutputError")
    done = [each["frame"] for each in said if each["event"] == "frame" and each["state"] != "failed"]
    assert len(job.finished()) == len(done)
    resize(disk, 10_000)
    assert not set(done) & set(frames(run_to_the_end(job)))


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


@pytest.mark.parametrize("seed", range(KILLS))
def test_files_cut_short_by_a_power_cut_are_made_again_and_no_others(job: Job, seed: int) -> None:
    """The file system kept the names and lost the ends: of the last alphas, the ledger, the resume point, the cache."""
    befall(job.begin(), signal.SIGKILL, chance(seed))
    dice = random.Random(seed)
    newest = sorted(job.finished(), key=lambda path: path.stat().st_mtime_ns)
    before = {path.name for path in newest[:-3]}
    cut = [*newest[-3:], job.out / ".a.exr.made", job.out / ".a.exr.resume", job.out / "a.matanyone.json"]
    cut += sorted((job.out.parent / "cache").glob("??/*"))[-3:]
    for path in (path for path in cut if path.is_file()):
        os.truncate(path, dice.randrange(max(path.stat().st_size - 100, 1), path.stat().st_size))
    last = run_to_the_end(job)
    made_again = {f"a.{frame}.exr" for frame in frames(last)} & before
    assert len(made_again) <= 1, "but for the one whose line the ledger has lost"
