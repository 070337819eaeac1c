# SPDX-License-Identifier: Apache-2.0
"""Decides which files a job may use, and translates clients' paths to paths of this machine.

Rules of this file:
1. Nothing outside the roots is read or written: links in paths are resolved before a path is compared with the roots.
2. A path with '..' is refused before the disk is accessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from matanyone_engine.errors import SettingError


@dataclass(frozen=True)
class Access:
    """Holds the folders that jobs may use, and the path mappings of clients."""

    roots: tuple[Path, ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()
    """(beginning of a client's path, the same folder on this machine), such as ('P:/shots', '/mnt/shots')."""

    def here(self, text: str) -> str:
        """Translate a client's path to a path of this machine; file names and patterns stay. Raises SettingError."""
        path = self._mapped(text)
        if ".." in PurePosixPath(path).parts or ".." in PureWindowsPath(path).parts:
            raise self._refused(text, "a path with '..'")
        self.check([Path(path)])
        return path

    def check(self, paths: Iterable[Path]) -> None:
        """Raise SettingError unless all paths lie under a root after links are resolved."""
        roots = [root.resolve() for root in self.roots]
        for path in paths:
            try:
                resolved = path.resolve()
            # links that form a loop, a name that is too long, or one with a NUL
            except (OSError, RuntimeError, ValueError) as error:
                raise self._refused(str(path), f"a path that cannot be followed ({error})") from error
            if not path.is_absolute() or not any(resolved.is_relative_to(root) for root in roots):
                raise self._refused(str(path), str(resolved))

    def _mapped(self, text: str) -> str:
        plain = text.replace("\\", "/") if len(text) > 1 and text[1] == ":" else text
        for theirs, ours in self.mapping:
            beginning = theirs.replace("\\", "/").rstrip("/")
            if plain == beginning or plain.startswith(f"{beginning}/"):
                return ours.rstrip("/") + plain[len(beginning) :]
        return plain

    def _refused(self, path: str, came: str) -> SettingError:
        allowed = ", ".join(str(root) for root in self.roots) or "none: this engine takes no jobs by path"
        return SettingError(
            expected=f"absolute paths under the engine's roots ({allowed})",
            came=f"{came} for {path!r}" if came != path else repr(path),
            action="Start the engine with --root FOLDER for each folder that jobs may use, or move the files.",
        )
