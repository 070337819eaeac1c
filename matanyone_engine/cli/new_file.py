# SPDX-License-Identifier: Apache-2.0
"""Checks the names of files and folders that a command will write."""

from __future__ import annotations

from pathlib import Path

from matanyone_engine.media.portable_names import check_portable


def new_file(text: str) -> Path:
    """Return the path of a file that is to be written.

    Raises SettingError if Windows could not open a file of this name.
    """
    path = Path(text)
    check_portable(path)
    return path


def new_folder(text: str) -> Path:
    """Return a folder for new files.

    Raises SettingError as new_file does, but only if the folder does not exist yet.
    """
    path = Path(text)
    check_portable(path / "file")
    return path
