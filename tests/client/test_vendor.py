# SPDX-License-Identifier: Apache-2.0
"""The client as hosts carry it: under another name, without the package, on the oldest Python they have."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from engines import running

import matanyone_engine
from matanyone_engine.client.vendor import copy_client

OLDEST = (3, 9)
ASK = """
import sys
from pathlib import Path
from some_host.carried import __version__
from some_host.carried.client.client import EngineClient
from some_host.carried.client.launcher import find_engine
from some_host.carried.wire.messages import Status
assert not {'torch', 'numpy', 'matanyone_engine'} & set(sys.modules), sorted(sys.modules)
with EngineClient(lambda: find_engine(Path(sys.argv[1])), 'host', timeout_s=20) as client:
    print(sys.version_info[:2], __version__, client.call(Status()).engine)
"""


def oldest_python() -> str | None:
    """An interpreter of the oldest version that hosts have; pyenv's are not on the path."""
    found = [shutil.which("python3.9"), *sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))]
    for candidate in filter(None, found):
        ask = [str(candidate), "-c", "import sys; print(sys.version_info[:2])"]
        done = subprocess.run(ask, capture_output=True, check=False)
        if done.stdout.decode().strip() == str(OLDEST):
            return str(candidate)
    return None


def carried(host: Path) -> list[Path]:
    return copy_client(host / "some_host" / "carried")


def test_every_file_is_of_the_oldest_python_and_imports_only_its_own_folder(tmp_path: Path) -> None:
    sources = [path for path in carried(tmp_path) if path.suffix == ".py"]
    assert {"pump.py", "transport.py", "messages.py"} <= {path.name for path in sources}
    assert "vendor.py" not in {path.name for path in sources}
    for source in sources:
        tree = ast.parse(source.read_text(), feature_version=OLDEST)
        names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        tops = {str(name).partition(".")[0] for name in names}
        assert tops <= sys.stdlib_module_names | ({"zmq"} if source.name == "transport.py" else set()), source


def test_it_replaces_an_earlier_copy_and_nothing_else(tmp_path: Path) -> None:
    first = carried(tmp_path)
    left = tmp_path / "some_host" / "carried" / "wire" / "gone_since.py"
    left.touch()
    assert carried(tmp_path) == first
    assert not left.exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.py").touch()
    with pytest.raises(FileExistsError, match="expected an earlier copy"):
        copy_client(mine)
    assert (mine / "precious.py").exists()


@pytest.mark.parametrize("version", ["this", "oldest"])
def test_a_host_asks_a_real_engine_with_it(version: str, tmp_path: Path) -> None:
    carried(tmp_path)
    libraries = tmp_path / "libraries"
    python = sys.executable if version == "this" else oldest_python()
    if python is None:
        pytest.skip("no Python 3.9 on this machine")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    install += ["--python-version", "3.9"] if version == "oldest" else []
    subprocess.run([*install, "--target", str(libraries), "pyzmq>=26"], check=True)
    with running(tmp_path / "engine") as engine:
        done = subprocess.run(
            [python, "-S", "-c", ASK, str(engine.file)],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{tmp_path}:{libraries}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    running_on = sys.version_info[:2] if version == "this" else OLDEST
    assert done.stdout.strip() == f"{running_on} {matanyone_engine.__version__} {matanyone_engine.__version__}"
