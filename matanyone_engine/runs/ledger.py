# SPDX-License-Identifier: Apache-2.0
"""What the alphas beside it were made from, so that a run leaves those alone that it would write again the same.

A line a frame, added once its files are on disk. A file stands for a frame only if the frame would be made from the
very same things and the file's bytes are those that were written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError

_BLOCK = 1 << 20


class Ledger:
    """Frame -> what it was made from, and its files' digests."""

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        """others: ledgers of runs over other parts of the same output; they are read only."""
        self._path = path
        self._known = [_read(each) for each in dict.fromkeys((path, *others))]
        self._lines = self._known[0]
        self._standing: dict[int, dict[str, Any]] = {}

    def stands(self, frame: int, made_from: str, files: Sequence[Path]) -> bool:
        """Whether the files of a frame are there, as they were written, and made from this."""
        names = {path.name for path in files}
        for lines in self._known:
            line = lines.get(frame, {})
            if line.get("madeFrom") != made_from or line.get("files", {}).keys() != names:
                continue
            if all(path.is_file() and file_digest(path) == line["files"][path.name] for path in files):
                self._standing[frame] = line
                return True
        return False

    def said(self, frame: int) -> dict[str, Any]:
        """The line of a run's record (record.py) for a frame that stands."""
        said: dict[str, Any] = self._standing[frame]["said"]
        return said

    def lines(self) -> dict[int, dict[str, Any]]:
        """What the record says of every frame that was ever noted here, ascending."""
        noted = {frame: line for lines in reversed(self._known) for frame, line in lines.items()}
        return {frame: noted[frame]["said"] for frame in sorted(noted) if "said" in noted[frame]}

    def add(self, frame: int, made_from: str, files: Sequence[Path], said: Mapping[str, Any]) -> None:
        """A frame's files are on disk, and this is what the record says of it. Raises OutputError."""
        digests = {path.name: file_digest(path) for path in files}
        line = {"frame": frame, "madeFrom": made_from, "files": digests, "said": dict(said)}
        self._lines[frame] = line
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise _not_written(self._path, error) from error

    def is_whole(self, frame: int, files: Sequence[Path]) -> bool:
        """Whether the files of a frame are there as some run has noted them."""
        noted = [line["madeFrom"] for lines in self._known if (line := lines.get(frame)) and "madeFrom" in line]
        return any(self.stands(frame, made_from, files) for made_from in noted)

    def join(self) -> None:
        """Take what stands from the other ledgers into this one. Raises OutputError."""
        self._lines.update(self._standing)
        try:
            with whole_file(self._path) as temporary:
                temporary.write_text("".join(json.dumps(self._lines[frame]) + "\n" for frame in sorted(self._lines)))
        except OSError as error:
            raise _not_written(self._path, error) from error

    def tidy(self) -> None:
        """One line a frame again, also of frames that another run noted meanwhile. Raises OutputError."""
        try:
            lines = _read(self._path)
            with whole_file(self._path) as temporary:
                temporary.write_text("".join(json.dumps(lines[frame]) + "\n" for frame in sorted(lines)))
        except OSError as error:
            raise _not_written(self._path, error) from error


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """Frame -> its last line."""
    lines = {}
    for text in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            lines[int(line["frame"])] = line
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short by a crash: its frame is written again
    return lines


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        expected=f"to note in {str(path)!r} what was written",
        came=error.strerror or str(error),
        action="Check the room on the disk and the permissions of the folder; finished frames are kept.",
    )
