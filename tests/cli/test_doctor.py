# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from matanyone_engine.cli import doctor
from matanyone_engine.cli.main import main
from matanyone_engine.matting import self_test
from matanyone_engine.model import gpus
from matanyone_engine.model.half_speed import HalfSpeed


def test_doctor_reports_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["libraries"]["torch"]
    assert report["weights"]["mini"].endswith("mini.safetensors")
    assert report["self_test"]["passed"]
    assert report["self_test"]["difference"] < 1e-3


def test_doctor_for_people_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cpu"]) == 0
    assert "passed on cpu" in capsys.readouterr().out


def test_wrong_arithmetic_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    right = self_test.answer
    monkeypatch.setattr(self_test, "answer", lambda network: right(network) + 0.01)
    assert main(["doctor", "--device", "cpu"]) == 8
    assert "Do not use this device" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_reported_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--device", "cuda:99"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert report["libraries"]["torch"]
    assert not report["self_test"]["passed"]


def test_an_unused_gpu_is_reported_with_the_commands_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "0000:01:00.0"
    card.mkdir()
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
    monkeypatch.setattr(gpus, "PCI", tmp_path)
    if torch.version.cuda:
        pytest.skip("this torch was built for CUDA")
    assert main(["doctor", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "idle GPU" in said
    assert "GPU of NVIDIA" in said
    assert "--torch-backend=auto" in said


def test_the_speed_of_half_precision_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "half_type", lambda _device: torch.bfloat16)
    measured = HalfSpeed("a CPU", "2.13.0", "bfloat16", (1.0, 1.7), (1.0, 1.7))
    monkeypatch.setattr(doctor, "half_speed", lambda *_: measured)
    assert main(["doctor", "--device", "cpu"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--precision auto is exact here" in said
    assert "0.59 times as fast as float32" in said
