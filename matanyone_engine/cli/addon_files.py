# SPDX-License-Identifier: Apache-2.0
"""Finds the files of the add-ons for Blender and Nuke, which are shipped with the engine's package."""

from __future__ import annotations

import sys
from pathlib import Path

from matanyone_engine.errors import SettingError


def addon_folder(folder: str, file: str, called: str) -> Path:
    """Return the folder of an add-on: beside the package in a checkout, under share/ in an installation.

    file: the name of a file that the folder must hold. called: the add-on's name in the error. Raises SettingError.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package.parent, Path(sys.prefix) / "share" / "matanyone-engine"):
        if (place / folder / file).is_file():
            return place / folder
    raise SettingError(
        expected=f"the files of the {called} beside this package",
        came="a package without them",
        action="Install matanyone-engine from its wheel or its checkout.",
    )
