# SPDX-License-Identifier: Apache-2.0
"""Refuses names for new files that Windows cannot open, since a file may be made on Linux and opened on Windows.

Folders that exist already may have any name.
"""

from __future__ import annotations

import re
from pathlib import Path

from matanyone_engine.errors import SettingError

_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
"""Names that Windows takes for devices, whatever follows after a dot."""
_SIGNS = re.compile(r'[<>:"|?*\\]')


def check_portable(path: Path) -> None:
    """Raise SettingError for a new file that Windows could not open, by its name or that of a folder still to be made.

    path: the file, perhaps with # for digits of a frame number.
    """
    for part in (path, *path.parents):
        if part != path and _is_there(part):
            break
        why = _why_not(part.name)
        if why:
            raise SettingError(
                expected="names of files and folders that Windows can open, too",
                came=f"{part.name!r} in {str(path)!r}, {why}",
                action="Choose another name; where it is that of an object or a shot, rename that.",
            )


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists() or folder == folder.parent
    except (OSError, ValueError):  # no folder can have this name; opening it raises the error
        return False


def _why_not(name: str) -> str:
    """Return what is wrong with the name of a file or folder; '' where nothing is."""
    if name in ("", ".", ".."):
        return ""
    if sign := _SIGNS.search(name):
        return f"which has {sign[0]} in it"
    if name[-1] in ". ":
        return f"which ends with a {'dot' if name[-1] == '.' else 'space'}"
    stem = name.replace("#", "1").partition(".")[0].rstrip(" ")
    return f"which Windows takes for the device {stem.upper()}" if _DEVICES.fullmatch(stem) else ""
