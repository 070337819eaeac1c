# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from matanyone_engine.cli.main import main
from matanyone_engine.matting import self_test


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
