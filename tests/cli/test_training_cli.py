# SPDX-License-Identifier: Apache-2.0
"""evaluate, draw and train, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import layouts as tiny
import numpy as np
import pytest
from shots import write_image

from matanyone_engine.cli.main import main
from matanyone_engine.training.metrics import METRICS


def write_alphas(folder: Path, name: str, frames: range, shift: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    for frame in frames:
        alpha = tiny.blob(frame - 1001 + shift).astype(np.float32) / 255
        write_image(
            folder / f"{name}.{frame}.exr", np.repeat(alpha[..., None], 4, axis=2), channels=("R", "G", "B", "A")
        )
    return str(folder / f"{name}.####.exr")


def test_evaluate_prints_a_table_and_writes_json_and_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred = write_alphas(tmp_path, "pred", range(1001, 1005), shift=1)
    truth = write_alphas(tmp_path, "truth", range(1001, 1005))
    out = ["--json", str(tmp_path / "s.json"), "--plot", str(tmp_path / "s.png")]
    assert main(["evaluate", pred, truth, *out]) == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert sorted(report["frames"]) == ["1001", "1002", "1003", "1004"]
    assert set(report["mean"]) == set(METRICS)
    wrong = (tiny.blob(0) != tiny.blob(1)).mean()
    assert report["frames"]["1001"]["mad"] == pytest.approx(1000 * wrong, rel=1e-3)
    assert f"{report['mean']['mad']:.3f}" in capsys.readouterr().out
    assert (tmp_path / "s.png").stat().st_size > 2000


def test_evaluate_of_the_truth_itself_is_perfect(tmp_path: Path) -> None:
    truth = write_alphas(tmp_path, "truth", range(1001, 1004))
    assert main(["evaluate", truth, truth, "--json", str(tmp_path / "s.json")]) == 0
    mean = json.loads((tmp_path / "s.json").read_text())["mean"]
    assert {name: mean[name] for name in mean if name != "overlap"} == dict.fromkeys(METRICS[:-1], 0)


def test_evaluate_compares_by_frame_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An alpha whose frame has no truth is an error; a truth that is longer is not."""
    pred = write_alphas(tmp_path, "pred", range(1003, 1006))
    truth = write_alphas(tmp_path, "truth", range(1001, 1005))
    assert main(["evaluate", pred, truth]) == 2
    assert "1005" in capsys.readouterr().err
    pred = write_alphas(tmp_path / "short", "pred", range(1003, 1005))
    assert main(["evaluate", pred, truth, "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text())["mean"]["mad"] == 0
    assert "were not compared: 1001-1002" in capsys.readouterr().out


def test_evaluate_says_where_the_subject_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred = write_alphas(tmp_path, "pred", range(1001, 1003), shift=14)
    assert main(["evaluate", pred, write_alphas(tmp_path, "truth", range(1001, 1003))]) == 0
    assert "subject was lost on 1001-1002" in capsys.readouterr().out


def test_evaluate_finds_out_first_whether_it_can_write(tmp_path: Path) -> None:
    truth = write_alphas(tmp_path, "truth", range(1001, 1002))
    (tmp_path / "file").write_text("")
    assert main(["evaluate", truth, truth, "--json", str(tmp_path / "file" / "s.json")]) == 6


def test_evaluate_never_stretches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_alphas(tmp_path, "truth", range(1001, 1002))
    (tmp_path / "small").mkdir()
    write_image(tmp_path / "small" / "a.1001.exr", np.ones((8, 8, 1), np.float32), channels=("A",))
    assert main(["evaluate", str(tmp_path / "small" / "a.####.exr"), truth]) == 2
    assert "96x72" in capsys.readouterr().err


def test_draw_writes_clips_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_backgrounds(tmp_path)
    command = ["draw", "--data", str(tmp_path), "--clips", "2", "--length", "2"]
    assert main(command) == 0
    written = sorted((tmp_path / "mat_vid/Drawn2").rglob("*.*"))
    assert len(written) == 2 * 2 * 2
    times = [path.stat().st_mtime_ns for path in written]
    assert main(command) == 0
    assert "0 clips drawn, 2 were there" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in written] == times


def train(data: Path, folder: Path, *more: str) -> list[str]:
    small = ["--iterations", "2", "--batch", "1", "--crop", "64", "80", "--device", "cpu", "--threads", "1"]
    return ["train", "--stage", "mini-1", "--data", str(data), "--out", str(folder), *small, *more]


def test_train_runs_and_its_weights_matte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_matting_video(tmp_path)
    tiny.write_backgrounds(tmp_path)
    assert main(train(tmp_path, tmp_path / "run")) == 0
    assert "step 2/2" in capsys.readouterr().err
    assert main(["weights", "verify", str(tmp_path / "run/weights.safetensors")]) == 0


def test_train_starts_from_a_model_by_name(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path)
    tiny.write_backgrounds(tmp_path)
    assert main(train(tmp_path, tmp_path / "run", "--init", "mini", "--rate", "1e-9")) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--crop", "65", "80"], "multiples of 16"),
        (["--rate", "3"], "rate between 0 and 1"),
        (["--init", "no-such"], "no-such"),
        (["--batch", "0"], "at least one"),
        (["--threads", "-1"], "--threads of 1 or more"),
        (["--workers", "-1"], "--workers of 0 or more"),
        (["--stage", "matanyone-1"], "--init"),
    ],
)
def test_train_refuses_bad_settings_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(train(tmp_path, tmp_path / "run", *options)) == 2
    assert said in capsys.readouterr().err


def test_train_without_data_says_where_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train(tmp_path, tmp_path / "run")) == 2
    assert "matanyone-engine draw" in capsys.readouterr().err
