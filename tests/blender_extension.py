# SPDX-License-Identifier: Apache-2.0
"""The Blender extension for tests: staged as its build does it, importable without bpy, and the zip itself."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from matanyone_engine.client.vendor import copy_client

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "blender_addon"
NAME = "matanyone_blender"


def import_extension(folder: Path) -> ModuleType:
    """The add-on with the client beside it, as a package; its modules without bpy can be imported from it."""
    staged = folder / NAME
    shutil.copytree(SOURCE, staged, ignore=shutil.ignore_patterns("__pycache__"))
    copy_client(staged / "engine")
    spec = importlib.util.spec_from_file_location(
        NAME, staged / "__init__.py", submodule_search_locations=[str(staged)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[NAME] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


@cache
def extension_zip(out: Path, bpy_python: Path) -> Path:
    """What `make blender` builds, validated by Blender's tool. Wheels are fetched once."""
    tools = sorted(bpy_python.parent.parent.glob("lib/python3*/site-packages/bpy/*/scripts/**/cli/blender_ext.py"))
    command = [sys.executable, str(SOURCE / "build.py"), "--out", str(out), "--blender-ext", str(tools[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "built and validated" in done.stdout
    return next(out.glob("matanyone-*.zip"))
