# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine nuke install: whole, audited, offline, and never over somebody else's files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from matanyone_engine.cli.main import main


def wheel(folder: Path, python: str, platform: str = "manylinux2014_x86_64") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"pyzmq-26.4.0-{python}-{python}-{platform}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zmq/__init__.py", f"python = {python!r}\n")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the wheels made here are for Linux")
def test_it_installs_what_it_says_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "nuke"
    made = [wheel(wheels, python) for python in ("cp39", "cp310", "cp311")]
    wheel(wheels, "cp311", "win_amd64")
    for _ in range(2):
        assert main(["nuke", "install", "--nuke-path", str(target), "--wheels", str(wheels)]) == 0
    assert "pyzmq     cp310, cp311, cp39" in capsys.readouterr().out
    record = json.loads((target / "matanyone_nuke" / "install.json").read_text())
    assert record["engine_python"] == [sys.executable]
    assert record["wheels"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert there == {*record["files"], "matanyone_nuke/install.json"}
    for name, digest in record["files"].items():
        assert hashlib.sha256((target / name).read_bytes()).hexdigest() == digest
    assert (target / "matanyone_nuke" / "wheels" / "cp39" / "zmq" / "__init__.py").is_file()
    assert (target / "matanyone_nuke" / "engine" / "client" / "pump.py").is_file()


def test_it_leaves_an_artists_own_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "init.py").write_text("# mine\n")
    assert main(["nuke", "install", "--nuke-path", str(tmp_path)]) == 2
    assert "an init.py" not in (tmp_path / "init.py").read_text()
    assert "somebody else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["init.py"]


def test_without_wheels_an_error_says_how_to_download_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nuke", "install", "--nuke-path", str(tmp_path / "nuke"), "--wheels", str(tmp_path)]) == 2
    assert "pip download" in capsys.readouterr().err
    assert not (tmp_path / "nuke").exists()


def test_the_client_is_copied_from_an_installed_package_too(tmp_path: Path) -> None:
    """Where the licence lies among the distribution's files, not beside the package."""
    site, root = tmp_path / "site", Path(__file__).resolve().parents[2]
    shutil.copytree(
        root / "matanyone_engine", site / "matanyone_engine", ignore=shutil.ignore_patterns("*.safetensors")
    )
    about = site / "matanyone_engine-0.1.0.dist-info"
    (about / "licenses").mkdir(parents=True)
    shutil.copy(root / "LICENSE", about / "licenses")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: matanyone-engine\nVersion: 0.1.0\n")
    (about / "RECORD").write_text(f"{about.name}/METADATA,,\n{about.name}/licenses/LICENSE,,\n")
    command = [sys.executable, "-m", "matanyone_engine.client.vendor", str(tmp_path / "copy")]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()
