# SPDX-License-Identifier: Apache-2.0
"""Reads the name of a file that a command is to write, or of the folder for its files."""

from __future__ import annotations

from pathlib import Path

from matanyone_engine.media.portable_names import check_portable


def new_file(text: str) -> Path:
    """Return the path. Raises SettingError for a name that Windows cannot open, before any work."""
    path = Path(text)
    check_portable(path)
    return path


def new_folder(text: str) -> Path:
    """Return the folder, whose name counts only where it is still to be made. Raises SettingError as new_file does."""
    path = Path(text)
    check_portable(path / "file")
    return path
