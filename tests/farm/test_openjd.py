# SPDX-License-Identifier: Apache-2.0
"""The Open Job Description template, checked and run by its own tool: engine, segments, merge."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shots import files, make_shot

from matanyone_engine.cli.main import main

TEMPLATE = Path(__file__).resolve().parents[2] / "farm" / "openjd" / "matte.yaml"
BIN = Path(sys.executable).parent


def openjd(*arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(BIN / "openjd"), *arguments], capture_output=True, text=True, check=False, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_template_is_valid() -> None:
    assert "passes validation" in openjd("check", str(TEMPLATE))


def test_a_queue_comes_to_the_files_of_one_run(tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "shot", count=9)
    masks = ["--mask", f"{shot.mask}@1005"]
    assert main(shot.arguments(*masks, "--out", str(tmp_path / "whole" / "a.####.exr"), "--cache", "0")) == 0
    job = tmp_path / "sh010.json"
    out = ["--out", str(tmp_path / "out" / "a.####.exr"), "--save-job", str(job)]
    assert main(shot.arguments(*masks, *out)) == 0
    parameters = {"JobFile": job, "Plan": tmp_path / "sh010.plan.json", "Root": tmp_path, "Model": shot.weights}
    given = [text for name, value in parameters.items() for text in ("-p", f"{name}={value}")]
    said = openjd("run", str(TEMPLATE), *given, "-p", "Device=cpu", "-p", "Segments=2")
    assert said.count("openjd_progress: 100.0") == 2
    assert "ended   process" in said, "the engine of the session is stopped"
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".exr") == [
        ".a.exr.made",
        "a.matanyone.json",
    ]
