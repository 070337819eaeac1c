# SPDX-License-Identifier: Apache-2.0
"""A Blender that CI should have tested and did not is a failure, unless there was nobody to get it from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import install_blender
import pytest


def install(folder: Path, python: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, install_blender.__file__, str(folder), "4.5.15", python]
    plain = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PIP_")}
    return subprocess.run(command, env={**plain, **environment}, capture_output=True, text=True, check=False)


def index_with(folder: Path, name: str, version: str) -> str:
    """An index on disk that has one package, and no bpy; its address."""
    home = folder / name
    home.mkdir(parents=True)
    wheel, facts = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(home / wheel, "w") as packed:
        packed.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        packed.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        packed.writestr(f"{facts}/RECORD", "")
    (home / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    return folder.as_uri()


def test_without_an_index_it_is_skipped_and_said(tmp_path: Path) -> None:
    ended = install(tmp_path / "venv", sys.executable, PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert ended.returncode == 0, ended.stderr
    assert "no package index answers" in (tmp_path / "venv" / "skipped").read_text()
    assert not (tmp_path / "venv" / "ready").exists()


def test_a_wheel_that_the_index_lacks_is_a_failure(tmp_path: Path) -> None:
    index = index_with(tmp_path / "index", *install_blender.SMALL.split("=="))
    ended = install(tmp_path / "venv", sys.executable, PIP_INDEX_URL=index)
    assert ended.returncode == 1, ended.stderr
    assert "bpy 4.5.15 could not be installed" in ended.stderr
    assert not (tmp_path / "venv" / "skipped").exists()


def test_without_its_python_it_is_skipped_but_not_in_ci(tmp_path: Path) -> None:
    assert install(tmp_path / "venv", "python3.0").returncode == 0
    assert "python3.0" in (tmp_path / "venv" / "skipped").read_text()
    assert install(tmp_path / "venv", "python3.0", CI="true").returncode == 1


@pytest.mark.parametrize("ready", [True, False])
def test_a_blender_that_is_asked_for_is_tested_or_a_failure(tmp_path: Path, ready: bool) -> None:
    """`make test-blender`, beside an environment whose tests would pass."""
    for name in ("tests", ".venv/bin", ".venv-blender-5.2.3"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(install_blender.__file__, tmp_path / "tests")
    tested = tmp_path / "tested"
    (tmp_path / ".venv/bin/python").write_text(f"#!/bin/sh\ntouch '{tested}'\n")
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / ".venv/test").touch()
    if ready:
        (tmp_path / ".venv-blender-5.2.3/ready").touch()
    command = ["make", f"--makefile={Path(install_blender.__file__).parents[1] / 'Makefile'}", "--old-file=.venv/test"]
    command += ["test-blender", f"PYTHON={sys.executable}", "BPY=5.2.3", "BPY_ALSO=", "BPY_PYTHON=python3.0"]
    # The make that runs these tests hands its own flags and variables down.
    plain = {
        name: value for name, value in os.environ.items() if name != "CI" and not name.startswith(("MAKE", "MFLAGS"))
    }
    ended = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
    assert (ended.returncode == 0) is ready, ended.stderr
    assert tested.exists() is ready
    assert ("no python3.0 here, which Blender 5.2.3 needs" in ended.stderr) is not ready
