# SPDX-License-Identifier: Apache-2.0
"""Gives tests the Blender extension, staged as its build does it and importable without bpy, the zip itself, and
Blenders.

MATANYONE_BLENDERS: folders that tests/install_blender.py has made, as the Makefile names them. The first one is tested
in all ways, the others in the main one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from matanyone_engine.client.vendor import copy_client

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "blender_addon"
NAME = "matanyone_blender"


def import_extension(folder: Path) -> ModuleType:
    """Import the add-on with the client beside it, as a package; its modules without bpy can be imported from it."""
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


@dataclass(frozen=True)
class Blender:
    """Names one release of Blender, as a Python module in a virtual environment."""

    folder: Path

    @property
    def version(self) -> str:
        return self.folder.name.rpartition("-")[2]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def missing(self) -> str:
        """Return why it cannot be used; '' if it can."""
        if (self.folder / "ready").exists():
            return ""
        why = self.folder / "skipped"
        return why.read_text() if why.exists() else f"no Blender {self.version} here: make test installs it"

    @property
    def extension_tool(self) -> Path:
        """Return its blender_ext.py, which any Python runs."""
        return next(self.folder.glob("lib/python3*/site-packages/bpy/*/scripts/**/cli/blender_ext.py"))


BLENDERS = tuple(Blender((ROOT / name).resolve()) for name in os.environ.get("MATANYONE_BLENDERS", "").split())


@cache
def extension_zip(out: Path) -> Path:
    """Return what `make blender` builds. Wheels are fetched once. The tool of the first Blender that is here validates
    it.
    """
    tool = next(each.extension_tool for each in BLENDERS if not each.missing)
    command = [sys.executable, str(SOURCE / "build.py"), "--out", str(out), "--blender-ext", str(tool)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "built and validated" in done.stdout
    return next(out.glob("matanyone-*.zip"))
