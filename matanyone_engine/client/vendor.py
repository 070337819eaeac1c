# SPDX-License-Identifier: Apache-2.0
"""Copies wire/ and client/ into a host's add-on, which then needs no matanyone_engine beside it.

copy_client(Path("staging/my_addon/engine"))      then, in the add-on:  from .engine.client.pump import EnginePump

Rules of this file:
1. The files are copied unchanged: the two folders import each other relatively, so that any name works for the package.
2. Only an earlier copy is removed. It is recognised by the first line of its __init__.py.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

from ..version import __version__

FOLDERS = ("wire", "client")
"""Folders of the package that are copied; their licence is Apache-2.0."""
_HEAD = "# SPDX-License-Identifier: Apache-2.0\n"
_MARK = '"""MatAnyone Engine client, copied by matanyone_engine.client.vendor: edit it there, not here."""\n'


def copy_client(folder: Path) -> list[Path]:
    """Make `folder` a package of wire/ and client/, replacing an earlier copy; return its files, sorted.

    The package's `__version__` is the engine's. Raises FileExistsError if `folder` holds anything else.
    """
    _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).resolve().parents[1]
    for name in FOLDERS:
        (folder / name).mkdir()
        for source in sorted((package / name).glob("*.py")):
            if source != Path(__file__).resolve():
                shutil.copyfile(source, folder / name / source.name)
    shutil.copyfile(_licence(package), folder / "LICENSE")
    (folder / "__init__.py").write_text(f'{_HEAD}{_MARK}\n__version__ = "{__version__}"\n', encoding="utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _licence(package: Path) -> Path:
    """Find the licence file: beside the package in a checkout, or among the installed distribution's files."""
    beside = package.parent / "LICENSE"
    if beside.is_file():
        return beside
    files = importlib.metadata.files("matanyone-engine") or ()
    # The wheel has a second licence in another folder: that of the Blender extension.
    return Path(next(file.locate() for file in files if file.parts[-2:] == ("licenses", "LICENSE")))


def _clear(folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        return
    init = folder / "__init__.py"
    if not init.is_file() or not init.read_text(encoding="utf-8").startswith(_HEAD + _MARK):
        raise FileExistsError(f"expected an earlier copy of the client or an empty folder, got {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    for path in copy_client(Path(sys.argv[1])):
        print(path)
