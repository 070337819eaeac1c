# SPDX-License-Identifier: Apache-2.0
"""The Open Job Description template, checked and run by its own tool: engine, segments, merge."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml
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


def test_a_queue_makes_the_files_of_one_run(tmp_path: Path) -> None:
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
    assert "has ended; its sessions are on disk" in said, "the engine of the session is stopped"
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".exr") == [
        ".a.exr.made",
        "a.matanyone.json",
    ]


def test_names_are_arguments_and_never_text_of_a_script() -> None:
    """What stands in the data of an embedded file is run by a shell."""
    template = yaml.safe_load(TEMPLATE.read_text())
    files = [
        each["data"]
        for step in template["steps"]
        for environment in step.get("stepEnvironments", [])
        for each in environment["script"]["embeddedFiles"]
    ]
    assert len(files) == 2
    assert not [text for text in files if "{{" in text]


def test_a_root_that_a_shell_would_run_is_one_argument(tmp_path: Path) -> None:
    template = yaml.safe_load(TEMPLATE.read_text())
    (step,) = [step for step in template["steps"] if step["name"] == "Matte"]
    start = next(each["data"] for each in step["stepEnvironments"][0]["script"]["embeddedFiles"])
    fake = tmp_path / "bin" / "matanyone-engine"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" >> '{tmp_path}/arguments'\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
    given = [str(tmp_path), '/root $(touch PWNED) "q"; touch PWNED', "mini$(touch PWNED)", "cpu"]
    done = subprocess.run(
        ["bash", "-c", start, "Start", *given],
        env=environment,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = (tmp_path / "arguments").read_text().splitlines()
    assert {f"--root={given[1]}", f"--model={given[2]}"} <= set(said)
    assert not (tmp_path / "PWNED").exists()
    refused = ["bash", "-c", start, "Start", str(tmp_path), "/root\nopenjd_env: A=B", "mini", "cpu"]
    done = subprocess.run(refused, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n")) == (2, 1)
