# SPDX-License-Identifier: Apache-2.0
"""Whether half precision is faster is measured once, and the answer stands for later runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import toy_network

from matanyone_engine.cli.train import in_measured_precision
from matanyone_engine.model import half_speed
from matanyone_engine.model.checkpoint import network_digest
from matanyone_engine.model.half_speed import HalfSpeed
from matanyone_engine.model.precision import Precision, choose_precision, half_type, prepared
from matanyone_engine.training.loop import CHECKPOINT
from matanyone_engine.training.recipe import STAGES

CPU = torch.device("cpu")
FASTER = HalfSpeed("one", "2.13.0", "bfloat16", (2.0, 1.0), (2.0, 1.0))
SLOWER = HalfSpeed("one", "2.13.0", "bfloat16", (1.0, 1.7), (1.0, 1.6))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder that is empty, on a machine whose CPU says that it has bfloat16."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("matanyone_engine.model.precision._cpu_has_bfloat16", lambda: True)
    return tmp_path


def test_the_gain_is_the_time_of_both_works_together() -> None:
    assert HalfSpeed("one", "2", "bfloat16", (3.0, 1.0), (1.0, 1.0)).gain == 2.0
    assert FASTER.worthwhile
    assert not SLOWER.worthwhile
    # Within 5 % of each other either way will do; exact is taken.
    assert not HalfSpeed("one", "2", "bfloat16", (1.04, 1.0), (1.04, 1.0)).worthwhile


def test_it_takes_a_tenth_of_a_second_of_one_core() -> None:
    begun = time.process_time()
    measured = half_speed.measure(CPU, torch.bfloat16)
    assert time.process_time() - begun < 3.0
    assert all(0 < each < 1000 for each in (*measured.product_ms, *measured.convolution_ms))


@pytest.mark.parametrize(("measured", "chosen"), [(FASTER, Precision.FAST), (SLOWER, Precision.EXACT)])
def test_auto_follows_the_measured_speed_and_not_the_cpus_features(
    cache: Path, monkeypatch: pytest.MonkeyPatch, measured: HalfSpeed, chosen: Precision
) -> None:
    monkeypatch.setattr(half_speed, "measure", lambda *_: measured)
    assert choose_precision("auto", CPU, verified=True) is chosen
    assert choose_precision("auto", CPU, verified=False) is Precision.EXACT
    assert choose_precision("fast", CPU, verified=True) is Precision.FAST, "who asks for it has it"


def test_a_stored_measurement_is_used_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine that would answer otherwise must not keep a stopped run from going on."""
    monkeypatch.setattr(half_speed, "measure", lambda *_: FASTER)
    assert half_speed.half_speed(CPU, torch.bfloat16) == FASTER
    monkeypatch.setattr(half_speed, "measure", lambda *_: SLOWER)
    assert half_speed.half_speed(CPU, torch.bfloat16) == FASTER
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert half_speed.half_speed(CPU, torch.bfloat16) == SLOWER, "another torch is measured for itself"


def test_the_first_stored_measurement_counts_for_both_processes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_: object) -> HalfSpeed:
        monkeypatch.setattr(half_speed, "measure", lambda *_: FASTER)
        assert half_speed.half_speed(CPU, torch.bfloat16) == FASTER
        return SLOWER

    monkeypatch.setattr(half_speed, "measure", slowly)
    assert half_speed.half_speed(CPU, torch.bfloat16) == FASTER
    assert [path.name for path in cache.rglob(".*.tmp")] == []


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"product_ms": [0, 1]}', "\0\0"])
def test_a_damaged_measurement_is_repeated(cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(half_speed, "measure", lambda *_: FASTER)
    half_speed.half_speed(CPU, torch.bfloat16)
    (kept,) = cache.rglob("*.json")
    kept.write_text(damage)
    assert half_speed.half_speed(CPU, torch.bfloat16) == FASTER
    assert json.loads(kept.read_text())["half"] == "bfloat16"


def test_nothing_is_measured_where_it_cannot_be_stored(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer would change from run to run; the CPU's own word does not."""
    (cache / "matanyone-engine").write_text("a file where a folder should be")
    monkeypatch.setattr(half_speed, "measure", lambda *_: SLOWER)
    assert half_speed.half_speed(CPU, torch.bfloat16) is None
    assert choose_precision("auto", CPU, verified=True) is Precision.FAST


@pytest.mark.skipif(half_type(CPU) is None, reason="this CPU has no bfloat16 instructions")
def test_another_precision_is_another_network_for_runs_and_snapshots() -> None:
    """So an answer that changes can make a run begin anew, and never go on with other arithmetic."""
    network = toy_network()
    exact, fast = (prepared(network, each) for each in (Precision.EXACT, Precision.FAST))
    assert network_digest(exact) != network_digest(fast)


def test_two_processes_agree(tmp_path: Path) -> None:
    code = (
        "import torch\n"
        "from matanyone_engine.model.half_speed import half_speed\n"
        "print(half_speed(torch.device('cpu'), torch.bfloat16))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        for _ in range(2)
    ]
    assert said[0].stdout == said[1].stdout != ""


def test_training_begins_in_the_faster_precision_and_keeps_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = replace(STAGES["mini-1"], bf16=True)
    monkeypatch.setattr(half_speed, "measure", lambda *_: SLOWER)
    assert not in_measured_precision(stage, CPU, tmp_path / "new").bf16
    assert not in_measured_precision(replace(stage, bf16=False), CPU, tmp_path / "new").bf16
    begun = tmp_path / "begun"
    begun.mkdir()
    torch.save({"stage": {"bf16": True}}, begun / CHECKPOINT)
    assert in_measured_precision(stage, CPU, begun).bf16
