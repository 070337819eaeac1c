# SPDX-License-Identifier: Apache-2.0
"""Keeps the ledger of an output: what each alpha was made from, so that a run leaves finished frames alone.

A file of JSON lines. A frame gets a line that names its files before they are written, and a second one with their
digests once they are on disk; the last line of a frame counts. Finished files stand for a frame if the frame would be
made from the very same things, and the bytes of the files are those that were written.

The ledger also tells whose a file is. A file that some run has written may be written again. A file that was changed
since (an artist's fix) and a file that no ledger names are somebody else's work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from matanyone_engine.atomic import open_inside, whole_file
from matanyone_engine.errors import OutputError
from matanyone_engine.runs.frame_record import FrameRecord

_BLOCK = 1 << 20


class FileState(IntEnum):
    """Says what the files of a frame are to the ledgers. Of several files the greatest counts."""

    MISSING = 0
    AS_WRITTEN = 1
    """A run has written it, or was stopped while it did."""
    CHANGED = 2
    """A run has written it, and somebody has changed it since."""
    UNKNOWN = 3
    """No ledger names it."""


@dataclass(frozen=True)
class LedgerLine:
    """Holds what a ledger says of one frame."""

    frame: int
    files: Mapping[str, str]
    """For each file name the SHA-256 of its bytes; '' while the file is being written."""
    made_from: str = ""
    """Digest of all that the files depend on; '' while they are being written."""
    said: FrameRecord | None = None
    """The frame's entry in the record of the run."""

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> LedgerLine:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        files = {str(name): str(digest) for name, digest in dict(said.get("files", {})).items()}
        record = FrameRecord.from_json(said["said"]) if isinstance(said.get("said"), dict) else None
        return cls(int(said["frame"]), files, str(said.get("madeFrom", "")), record)

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        if not self.made_from:
            return {"frame": self.frame, "files": dict(self.files)}
        said = self.said.to_json() if self.said else {}
        return {"frame": self.frame, "madeFrom": self.made_from, "files": dict(self.files), "said": said}


class Ledger:
    """Reads the ledgers of an output and adds lines to one of them."""

    def __init__(self, path: Path, others: Iterable[Path] = (), foreign: Iterable[Path] = ()) -> None:
        """Read all ledgers; lines are added to the one at `path`.

        others: ledgers of runs over other parts of the same output; their frames stand, too.
        foreign: ledgers of other outputs in the same folders; they only tell whose a file is.
        """
        self._path = path
        self._known = [_read(each) for each in dict.fromkeys((path, *others))]
        self._foreign = [_read(each) for each in dict.fromkeys(foreign) if each not in {path, *others}]
        self._lines = self._known[0]
        self._standing: dict[int, LedgerLine] = {}

    def stands(self, frame: int, made_from: str, files: Sequence[Path]) -> bool:
        """Return whether the files of a frame are there, as they were written, and made from this."""
        names = {path.name for path in files}
        for lines in self._known:
            line = lines.get(frame)
            if line is None or line.said is None or line.made_from != made_from or line.files.keys() != names:
                continue
            if all(path.is_file() and file_digest(path) == line.files[path.name] for path in files):
                self._standing[frame] = line
                return True
        return False

    def state(self, frame: int, files: Iterable[Path]) -> FileState:
        """Return whose the files of a frame are; those that are there are read. Raises OSError."""
        return max((self._state(frame, path) for path in files), default=FileState.MISSING)

    def unknown(self, frame: int, files: Iterable[Path]) -> list[Path]:
        """Return the files of a frame that are there and that no ledger names. Reads none of them."""
        return [path for path in files if path.is_file() and not self._digests(frame, path)]

    def said(self, frame: int) -> FrameRecord:
        """Return the record's entry of a frame that stands."""
        said = self._standing[frame].said
        assert said is not None, "stands() refuses lines without"
        return said

    def last_said(self, frame: int) -> FrameRecord | None:
        """Return the record's entry of a frame, whatever its files are now; None where no run has finished it."""
        return next((line.said for lines in self._known if (line := lines.get(frame)) and line.said), None)

    def lines(self) -> dict[int, FrameRecord]:
        """Return the record's entries of all frames that were ever finished, ascending."""
        noted = {frame: line.said for lines in reversed(self._known) for frame, line in lines.items() if line.said}
        return {frame: noted[frame] for frame in sorted(noted)}

    def begin(self, frame: int, files: Sequence[Path]) -> None:
        """Note which files of a frame are about to be written: should the run be killed, they are known to be ours.

        Raises OutputError.
        """
        self._append(LedgerLine(frame, {path.name: "" for path in files}))

    def add(self, frame: int, made_from: str, files: Sequence[Path], said: FrameRecord) -> None:
        """Note that the files of a frame are on disk, and what the record says of it. Raises OutputError."""
        digests = {path.name: file_digest(path) for path in files}
        self._append(LedgerLine(frame, digests, made_from, said))

    def is_whole(self, frame: int, files: Sequence[Path]) -> bool:
        """Return whether the files of a frame are there as some run has noted them."""
        noted = [line.made_from for lines in self._known if (line := lines.get(frame)) and line.made_from]
        return any(self.stands(frame, made_from, files) for made_from in noted)

    def keep(self, frame: int) -> bool:
        """Let a finished frame stand whose files somebody has changed since; False where no run has finished it."""
        line = next((line for lines in self._known if (line := lines.get(frame)) and line.said), None)
        if line is not None:
            self._standing[frame] = line
        return line is not None

    def join(self) -> None:
        """Take what stands from the other ledgers into this one. Raises OutputError."""
        self._lines.update(self._standing)
        self._write(self._lines)

    def tidy(self) -> None:
        """Write one line a frame again, also of frames that another run noted meanwhile. Raises OutputError."""
        try:
            lines = _read(self._path)
        except OSError as error:
            raise _not_written(self._path, error) from error
        self._write(lines)

    def _state(self, frame: int, path: Path) -> FileState:
        if not path.is_file():
            return FileState.MISSING
        noted = self._digests(frame, path)
        if not noted:
            return FileState.UNKNOWN
        return FileState.AS_WRITTEN if "" in noted or file_digest(path) in noted else FileState.CHANGED

    def _digests(self, frame: int, path: Path) -> set[str]:
        """Return every digest that a ledger has for a file; '' is one that was being written."""
        everywhere = (lines.get(frame) for lines in (*self._known, *self._foreign))
        return {line.files[path.name] for line in everywhere if line is not None and path.name in line.files}

    def _append(self, line: LedgerLine) -> None:
        self._lines[line.frame] = line
        try:
            with open_inside(self._path, "a") as file:
                file.write(json.dumps(line.to_json()) + "\n")
        except OSError as error:
            raise _not_written(self._path, error) from error

    def _write(self, lines: Mapping[int, LedgerLine]) -> None:
        text = "".join(json.dumps(lines[frame].to_json()) + "\n" for frame in sorted(lines))
        try:
            with whole_file(self._path) as temporary:
                temporary.write_text(text)
        except OSError as error:
            raise _not_written(self._path, error) from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits. Raises OSError."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()


def _read(path: Path) -> dict[int, LedgerLine]:
    """Return the last line of each frame. A line that a crash cut short is left out: its frame is written again."""
    lines = {}
    for text in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            line = LedgerLine.from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        lines[line.frame] = line
    return lines


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        expected=f"to write {str(path)!r}, which says what each alpha was made from",
        came=error.strerror or str(error),
        action="Free some disk space, or correct the permissions of the folder. Finished frames are kept.",
    )
