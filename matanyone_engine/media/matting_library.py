# SPDX-License-Identifier: Apache-2.0
"""Loads the three functions of the library pymatting that solve an area (media/solve_area.py), and compiles them once
on each machine.

pymatting is written in Python, and the library numba compiles it when it is imported. `import pymatting` compiles all
of its methods: that takes 90 seconds of a processor core, of which the three functions here need 4. So only their files
are loaded.

numba keeps what it has compiled. By default it writes it beside pymatting's own files, which changes an installation
that may be read-only or audited. Here it is written to this user's cache folder instead, unless NUMBA_CACHE_DIR names
another. Where that folder cannot be used, the functions are compiled in each process, and nothing is kept.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from matanyone_engine.errors import SettingError
from matanyone_engine.wire.private import private_folder

_log = logging.getLogger("matanyone_engine")


class MattingLibrary(NamedTuple):
    """Holds the functions of pymatting that are used here."""

    cf_laplacian: Callable[..., Any]
    """Makes the equations of closed-form matting for an image (H, W, 3)."""
    cg: Callable[..., Any]
    """Solves equations by conjugate gradients."""
    jacobi: Callable[..., Any]
    """Makes a preconditioner for cg."""


_FILES = {
    "cf_laplacian": "laplacian/cf_laplacian.py",
    "cg": "solver/cg.py",
    "jacobi": "preconditioner/jacobi.py",
}
"""The file of each function in the package."""

_loaded: list[MattingLibrary] = []
"""The library once it is loaded."""
_loading = Lock()


def is_installed() -> bool:
    """Return whether pymatting is installed. It is not imported."""
    return importlib.util.find_spec("pymatting") is not None


def is_loaded() -> bool:
    """Return whether matting_library() returns at once."""
    return bool(_loaded)


def matting_library() -> MattingLibrary:
    """Return the library. The first call in a process takes seconds, and longer if numba has kept nothing.

    Any thread may call it. Raises SettingError if the library cannot be loaded.
    """
    with _loading:
        if not _loaded:
            _loaded.append(_load())
        return _loaded[0]


def _load() -> MattingLibrary:
    folder = compiled_folder()
    try:
        try:
            return _load_with(folder)
        except Exception:
            if not folder.is_dir():
                raise
            _log.warning("What numba has kept in %s cannot be used; it is compiled again.", folder)
            shutil.rmtree(folder, ignore_errors=True)
            return _load_with(folder)
    except Exception as error:
        raise SettingError(
            expected="the library pymatting, which solves the area of --refine-area",
            came=f"an installation that cannot be loaded: {type(error).__name__}: {error}",
            action="Install it again: pip uninstall pymatting numba, then pip install 'matanyone-engine[refine]'. "
            "Or leave --refine-area out.",
        ) from error


def compiled_folder() -> Path:
    """Return the folder in which compiled functions are kept."""
    return user_cache_path("matanyone-engine") / "compiled"


def _load_with(folder: Path) -> MattingLibrary:
    with _numba_keeps_in(folder):
        spec = importlib.util.find_spec("pymatting")
        package = Path(((spec and spec.submodule_search_locations) or [""])[0])
        if all((package / file).is_file() for file in _FILES.values()):
            return MattingLibrary(**{name: _function(name, package / file) for name, file in _FILES.items()})
        import pymatting  # a release that has other files

        return MattingLibrary(*(getattr(pymatting, name) for name in _FILES))


def _function(name: str, path: Path) -> Callable[..., Any]:
    """Return a function from a file of the package, without importing the package."""
    known_as = f"matanyone_engine_pymatting_{name}"
    spec = importlib.util.spec_from_file_location(known_as, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module  # numba imports it by this name when it reads what it has kept
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


@contextmanager
def _numba_keeps_in(folder: Path) -> Iterator[None]:
    """Have numba keep what it compiles in a folder of this user alone, since whoever writes there can run code here.

    A folder that the user has named by NUMBA_CACHE_DIR stays.
    """
    from numba import config

    if config.CACHE_DIR:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="matanyone-engine-") as temporary:
        config.CACHE_DIR = str(_usable(folder) or temporary)
        try:
            yield
        finally:
            config.CACHE_DIR = ""


def _usable(folder: Path) -> Path | None:
    """Return the folder, made if it is missing; None if it cannot be used."""
    try:
        private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        _log.warning(
            "Compiled functions cannot be kept in %s (%s). Each process that solves a refine area compiles them again.",
            folder,
            error,
        )
        return None
