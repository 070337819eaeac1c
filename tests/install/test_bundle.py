# SPDX-License-Identifier: Apache-2.0
"""The wheel holds all that a user needs, and a bundle of it installs without a network.

The bundle of this test has the small extra `client`: with everything it is the same program and 300 MB more.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from matanyone_engine.version import __version__

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"
SHARE = "share/matanyone-engine"


def run(*command: object, fails: bool = False, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=1800,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def without_network() -> list[str]:
    """Return what makes a command see no network, where this system lets us."""
    command = ["unshare", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*command, "true"], check=False, timeout=60).returncode == 0
    return command if allowed else []


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle")
    run(sys.executable, ROOT / "install" / "bundle.py", "--out", out, "--extras", "client", "--without-hosts")
    (folder,) = out.iterdir()
    return folder


@pytest.fixture(scope="module")
def installed(bundle: Path) -> Path:
    """The folder of an installed engine, made without a network."""
    target = bundle.parent / "engine"
    # Proxies and indexes of this machine must not be needed either.
    said = run(*without_network(), sys.executable, bundle / "install.py", target, PIP_INDEX_URL=NOWHERE)
    assert f"{target}/bin/matanyone-engine doctor" in said
    return target


def test_the_wheel_holds_the_engine_the_add_ons_and_the_queues_files(bundle: Path) -> None:
    (wheel,) = (bundle / "wheels").glob("matanyone_engine-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    data = f"matanyone_engine-{__version__}.data/data/{SHARE}/"
    there = {name.removeprefix(data) for name in names if name.startswith(data)} | {
        name for name in names if name.startswith("matanyone_engine/")
    }
    folders = ("matanyone_engine", "nuke_plugin", "blender_addon", "farm")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert there == {name for name in listed if (ROOT / name).is_file()}
    licences = {name.split("licenses/")[1] for name in names if "licenses/" in name}
    assert licences == {"LICENSE", "blender_addon/LICENSE"}


def test_it_installs_without_a_network(installed: Path) -> None:
    assert run(installed / "bin" / "matanyone-engine", "--version").strip() == f"matanyone-engine {__version__}"
    for folder in ("nuke_plugin", "blender_addon", "farm"):
        assert (installed / SHARE / folder).is_dir()


def test_the_node_for_nuke_comes_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    run(installed / "bin" / "matanyone-engine", "nuke", "install", "--nuke-path", tmp_path / "nuke")
    licence = (tmp_path / "nuke" / "matanyone_nuke" / "engine" / "LICENSE").read_text()
    assert "Apache License" in licence, "the client's own, not that of the Blender extension"


def test_the_extension_for_blender_comes_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    """Wheels of pyzmq are given, so nothing is downloaded: these are empty, and only their names count."""
    wheels, out = tmp_path / "wheels", tmp_path / "out"
    wheels.mkdir()
    for python, version in {"311": "26.4.0", "313": "26.4.0", "314": "27.1.0"}.items():
        for platform in ("manylinux_2_28_x86_64", "macosx_10_15_universal2", "win_amd64", "win_arm64"):
            (wheels / f"pyzmq-{version}-cp{python}-cp{python}-{platform}.whl").write_bytes(b"")
    run(installed / "bin" / "matanyone-engine", "blender", "build", "--out", out, "--wheels", wheels)
    names = zipfile.ZipFile(out / f"matanyone-{__version__}.zip").namelist()
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "engine/client/pump.py"} <= set(names)


def test_every_file_is_listed_with_its_digest(bundle: Path) -> None:
    lines = (bundle / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    there = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    assert set(listed) == set(there) - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=bundle, check=True, timeout=60)


def test_the_list_of_parts_names_what_is_installed(bundle: Path) -> None:
    parts = json.loads((bundle / "sbom.cdx.json").read_text())
    assert parts["bomFormat"] == "CycloneDX"
    found = {each["name"]: each for each in parts["components"]}
    (wheel,) = (bundle / "wheels").glob("pyzmq-*.whl")
    assert found["pyzmq"]["version"] == wheel.name.split("-")[1]
    assert found["pyzmq"]["purl"].startswith("pkg:pypi/pyzmq@")
    assert found["pyzmq"]["licenses"]
    assert parts["metadata"]["component"]["name"] == "matanyone-engine"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def test_a_damaged_file_is_named_and_nothing_is_installed(copy: Path, tmp_path: Path) -> None:
    (wheel,) = (copy / "wheels").glob("pyzmq-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    (copy / "wheels" / "evil-1.0-py3-none-any.whl").write_bytes(b"")
    (copy / "sbom.cdx.json").unlink()
    said = run(sys.executable, copy / "install.py", tmp_path / "engine", fails=True)
    assert f"damaged: wheels/{wheel.name}" in said
    assert "missing: sbom.cdx.json" in said
    assert "not listed: wheels/evil-1.0-py3-none-any.whl" in said
    assert not (tmp_path / "engine").exists()


def test_another_python_is_refused(copy: Path, tmp_path: Path) -> None:
    about = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**about, "python": "3.9"}))
    assert "Run this with python3.9" in run(sys.executable, copy / "install.py", tmp_path / "engine", fails=True)
    assert not (tmp_path / "engine").exists()


def test_a_folder_that_is_there_is_left_alone(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert "is not there yet" in run(sys.executable, copy / "install.py", tmp_path / "mine", fails=True)
    assert not list((tmp_path / "mine").iterdir())
