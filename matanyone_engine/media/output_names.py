# SPDX-License-Identifier: Apache-2.0
"""Replaces the tokens {shot}, {object} and {version:03d} in output names, in the file's name and in its folders.

    renders/{shot}/v{version:03d}/{shot}_{object}_v{version:03d}.####.exr

Rules of this file:
1. A version of which any file exists is taken: only its own run may write to it, when it continues.
2. A token is replaced by a plain name, which never leads into another folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from matanyone_engine.errors import SettingError

_TOKEN = re.compile(r"\{(?P<name>[^{}:]*)(?::0(?P<digits>[1-9])d)?\}")
_TOKENS = ("shot", "object", "version")
_OBJECT = "[A-Za-z0-9_]+"
_VERSION_OF_A_NAME = re.compile(r"[._-]v[0-9]+$", re.IGNORECASE)


def tokens_of(text: str) -> frozenset[str]:
    """Return the tokens that a name uses. Raises SettingError for an unknown one."""
    for match in _TOKEN.finditer(text):
        if match["name"] not in _TOKENS or (match["digits"] and match["name"] != "version"):
            raise SettingError(
                expected="{shot}, {object} and {version:03d} as tokens of the output name",
                came=f"{match[0]} in {text!r}",
                action="Use these, or leave the braces out.",
            )
    return frozenset(match["name"] for match in _TOKEN.finditer(text))


def shot_of(plate_name: str, folder: Path) -> str:
    """Return the shot's name: sh010_plate for sh010_plate_v002.####.exr; the folder's name if that leaves nothing."""
    stem = plate_name.split("#", 1)[0] if "#" in plate_name else Path(plate_name).stem
    stem = _VERSION_OF_A_NAME.sub("", stem.rstrip("._-"))
    return _plain(stem) or _plain(folder.absolute().name) or "shot"


def with_tokens(text: str, **values: str | int) -> str:
    """Return the name with these tokens replaced; the others stay."""

    def replaced(match: re.Match[str]) -> str:
        if match["name"] not in values:
            return match[0]
        value = values[match["name"]]
        return f"{value:0{match['digits'] or 1}d}" if isinstance(value, int) else _plain(value)

    return _TOKEN.sub(replaced, text)


def versions_taken(text: str) -> list[int]:
    """Return the versions of this output that exist on disk, ascending. text: a name in which {shot} is replaced.

    The first folder or file name with {version} decides. A file whose name begins like it is enough.
    """
    parts = Path(text).parts
    depth = next(index for index, part in enumerate(parts) if "version" in tokens_of(part))
    begins = re.compile(_as_regex(parts[depth].partition("{version")[0]) + r"(?P<version>[0-9]+)(?![0-9])")
    found = (begins.match(name) for folder in _folders(parts[:depth]) for name in _names(folder))
    return sorted({int(match["version"]) for match in found if match})


def _folders(parts: tuple[str, ...]) -> list[Path]:
    """Return the existing folders that match the parts of a path, where {object} stands for any name."""
    folders = [Path()]
    for part in parts:
        if "object" not in tokens_of(part):
            folders = [folder / part for folder in folders]
            continue
        wanted = re.compile(_as_regex(part))
        folders = [folder / name for folder in folders for name in _names(folder) if wanted.fullmatch(name)]
    return folders


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _as_regex(text: str) -> str:
    return _OBJECT.join(re.escape(piece) for piece in text.split("{object}"))


def _plain(name: str) -> str:
    """Return a name without characters that have a meaning in file systems and shells."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")
