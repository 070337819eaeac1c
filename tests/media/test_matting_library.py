# SPDX-License-Identifier: Apache-2.0
"""The functions of pymatting: only those that are used are compiled, once on a machine, and an installation is left as
it is.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SHOW = """
import sys, time
from matanyone_engine.media import matting_library as ours
import numba
begun = time.process_time()
library = ours.matting_library()
print("seconds", time.process_time() - begun)
import numpy as np
made = library.cf_laplacian(np.full((3, 3, 3), 0.5), epsilon=1e-6, is_known=np.zeros((3, 3), bool))
assert abs(made.sum()) < 1e-9 and made.shape == (9, 9)
assert "pymatting" not in sys.modules
assert not numba.config.CACHE_DIR or "NUMBA_CACHE_DIR" in __import__("os").environ
"""


def shown(home: Path, **environment: str) -> str:
    """Load the library in a process of its own whose user has this home; return what it printed and logged."""
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "LOCALAPPDATA": str(home)}
    cleaned = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    result = subprocess.run(
        [sys.executable, "-c", _SHOW],
        env={**cleaned, **places, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def compiled(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".nbc", ".nbi"))


def installed() -> Path:
    spec = importlib.util.find_spec("pymatting")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_it_is_compiled_once_into_the_cache_folder_and_the_installation_stays(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in compiled(installed())}
    shown(tmp_path)
    kept = compiled(tmp_path)
    assert [path.suffix for path in kept] == [".nbc", ".nbi"]
    assert all(path.is_relative_to(tmp_path / ".cache" / "matanyone-engine" / "compiled") for path in kept)
    assert {path: path.stat().st_mtime_ns for path in compiled(installed())} == before
    stamps = [path.stat().st_mtime_ns for path in kept]
    shown(tmp_path)
    assert [path.stat().st_mtime_ns for path in compiled(tmp_path)] == stamps, "it was compiled again"
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    assert "it is compiled again" in shown(tmp_path)
    assert compiled(tmp_path)[0].stat().st_size > 100


def test_a_folder_that_is_named_for_numba_is_used(tmp_path: Path) -> None:
    shown(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "mine"), NUMBA_DISABLE_JIT="1")
    assert not (tmp_path / ".cache").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="such places are private there")
@pytest.mark.parametrize("fault", ["a file in its place", "everybody may write"])
def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / ".cache" / "matanyone-engine" / "compiled"
    folder.parent.mkdir(parents=True)
    if fault == "a file in its place":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    said = shown(tmp_path, NUMBA_DISABLE_JIT="1")
    assert "Each process that solves a refine area compiles them again" in said
    assert not compiled(tmp_path)
