# SPDX-License-Identifier: Apache-2.0
"""Handles views of a stereo shot in file names: %V is a view's name, %v its first letter, as Nuke writes them.

Rules of this file:
1. A view's name is a plain word: it never leads into another folder.
2. Only folders are listed; no file is opened.
"""

from __future__ import annotations

import re
from pathlib import Path

from matanyone_engine.errors import SettingError

_TOKEN = re.compile(r"%[Vv]")
_NAME = re.compile(r"[^\W\d][\w-]*")


def has_view(text: str) -> bool:
    """Tell whether a name has %V or %v."""
    return _TOKEN.search(text) is not None


def with_view(text: str, view: str | None) -> str:
    """Return the name with %V and %v replaced. Raises SettingError where there is a token and no view."""
    if not has_view(text):
        return text
    if view is None:
        raise SettingError(
            expected=f"a view to stand for {_TOKEN.findall(text)[0]} in {text!r}",
            came="none",
            action="Name it: --view left, or --view all.",
        )
    check_view(view)
    return text.replace("%V", view).replace("%v", view[0])


def check_view(view: str) -> None:
    """Check a view's name. Raises SettingError for one that is not letters, digits, _ and -."""
    if not _NAME.fullmatch(view):
        raise SettingError(
            expected="a view's name: a letter, then letters, digits, _ and -",
            came=repr(view),
            action="Correct the name.",
        )


def views_on_disk(text: str) -> list[str]:
    """Return the names that %V may stand for, by the files and folders that exist, sorted.

    The first part of the path that has %V is compared with them. Raises SettingError if that has %v alone, which stands
    for the first letter of any name.
    """
    parts = Path(text).parts
    depth = next(number for number, part in enumerate(parts) if has_view(part))
    if "%V" not in parts[depth]:
        raise SettingError(
            expected="the names of the views, of which %v is the first letter",
            came=f"%v in {text!r}",
            action="Write --view left --view right.",
        )
    folder = Path(*parts[:depth])
    before, _, after = parts[depth].partition("%V")
    last = depth == len(parts) - 1
    # A file name may have a frame token after %V. Only the text before the token is compared.
    after = re.split(r"[#%]", after)[0] if last else after
    shape = re.compile(re.escape(before) + f"({_NAME.pattern})" + re.escape(after) + (".*" if last else ""))
    listed = folder.iterdir() if folder.is_dir() else ()
    found = (shape.fullmatch(path.name) for path in listed if path.is_dir() != last)
    return sorted({match[1] for match in found if match})
