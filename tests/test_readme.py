# SPDX-License-Identifier: Apache-2.0
"""Every command of the README runs as written, on the example shot."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import OpenImageIO as oiio
import pytest
from shots import read_image

from matanyone_engine.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [line.split("  # ")[0].split("    #")[0].strip() for line in lines if line.strip()]


def planned(target: str, **variables: object) -> list[list[str]]:
    """What make would run, without running it."""
    make = ["make", "--dry-run", target, *(f"{name}={value}" for name, value in variables.items())]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in printed.replace("\\\n", " ").splitlines()]


def test_the_readme_names_these_commands_and_no_others() -> None:
    """A new command in the README needs a test here."""
    assert [shlex.split(command)[:2] for command in commands()] == [
        ["make", "demo"],
        ["make", "test"],
        ["pip", "install"],
        ["matanyone-engine", "matte"],
        ["matanyone-engine", "review"],
        ["matanyone-engine", "doctor"],
        ["matanyone-engine", "serve"],
        ["matanyone-engine", "matte"],
        ["matanyone-engine", "status"],
        ["matanyone-engine", "stop"],
    ]


def test_make_demo_mattes_the_example(tmp_path: Path) -> None:
    steps = [step for step in planned("demo", OUT=tmp_path) if "pip" not in step and step[0].startswith(".venv/bin/")]
    steps = [step for step in steps if step[1:3] != ["-m", "venv"]]
    assert len(steps) == 2
    said = ""
    for step in steps:
        command = [str(BIN / Path(step[0]).name), *step[1:]]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    mad = float(re.search(r"mean\D+([\d.]+)", said)[1])
    assert 0 < mad < 30, said
    plates = sorted(path.name.replace("plate", "alpha") for path in (ROOT / "examples" / "plate").iterdir())
    assert sorted(path.name for path in tmp_path.glob("alpha.*.exr")) == plates
    assert read_image(tmp_path / "preview.png").std() > 0.05


def test_make_test_runs_every_check() -> None:
    run = [" ".join(step) for step in planned("test")]
    for check in ("ruff check .", "ruff format --check .", "mypy", "lint-imports", "-m pytest"):
        assert any(line.endswith(check) for line in run), check


def test_make_quick_runs_the_checks_that_start_nothing() -> None:
    run = [" ".join(step) for step in planned("quick")]
    for check in ("ruff check .", "ruff format --check .", "mypy", "lint-imports"):
        assert any(line.endswith(check) for line in run), check
    tests = next(line for line in run if "-m pytest" in line)
    assert all((ROOT / path).exists() for path in tests.split() if path.startswith("tests/"))
    assert "hosts" not in tests
    assert "test_engine_" not in tests


def test_the_main_command_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder laid out as the command expects, with three frames."""
    for frame in (1001, 1002, 1003):
        shutil.copy(ROOT / "examples" / "plate" / f"plate.{frame}.exr", tmp_path)
    shutil.copy(ROOT / "examples" / "mask.1001.exr", tmp_path)
    monkeypatch.chdir(tmp_path)
    command = next(line for line in commands() if line.startswith("matanyone-engine matte"))
    assert main(shlex.split(command)[1:]) == 0
    assert len(list((tmp_path / "out").glob("alpha.*.exr"))) == 3
    review = next(line for line in commands() if line.startswith("matanyone-engine review"))
    assert main(shlex.split(review)[1:]) == 0
    assert (tmp_path / "out" / "review.html").is_file()
    header = oiio.ImageInput.open("out/alpha.1002.exr").spec()
    assert header.get_string_attribute("smpte:TimeCode") == "01:00:00:01"
    assert header.getattribute("FramesPerSecond") == (24, 1)


def test_the_engine_commands_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "examples" / "plate" / "plate.1001.exr", tmp_path)
    shutil.copy(ROOT / "examples" / "mask.1001.exr", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATANYONE_CONNECTION", str(tmp_path / "run" / "engine.json"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    serve, matte, status, stop = [shlex.split(line) for line in commands() if line.startswith("matanyone-engine")][-4:]
    with subprocess.Popen([str(BIN / serve[0]), *serve[1:]], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("file"):
                break
        assert main(matte[1:]) == 0
        assert (tmp_path / "out" / "alpha.1001.exr").is_file()
        assert main(status[1:]) == 0
        assert main(stop[1:]) == 0
        assert process.wait(30) == 0


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[PosixPath('demo_out/alpha.1001.exr')] 0.")
    assert len(list((tmp_path / "demo_out").glob("alpha.*.exr"))) == 3


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
