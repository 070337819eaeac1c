# SPDX-License-Identifier: Apache-2.0
"""Keeps the ledger of an output: what each alpha was made from. With it, a run can leave finished frames alone.

A file of JSON lines. A frame gets a line that names its files before they are written, and a second one with their
digests once they are on disk; the last line of a frame counts. The files of a frame are current if the frame would be
made from the same inputs, and if the files still have the bytes that were written.

The ledger also protects files of others. A file that a run has written may be overwritten. A file that was changed
since then (an artist's fix), or that no ledger lists, may not.
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
    """Names the states of a frame's files according to the ledgers. Of several files, the greatest value counts."""

    MISSING = 0
    AS_WRITTEN = 1
    """A run has written it, or was stopped while writing it."""
    CHANGED = 2
    """A run has written it, and it was changed since."""
    UNKNOWN = 3
    """No ledger lists it."""


@dataclass(frozen=True)
class LedgerLine:
    """Holds a ledger's line about one frame."""

    frame: int
    files: Mapping[str, str]
    """The SHA-256 of each file, by its name; '' while the file is being written."""
    made_from: str = ""
    """Digest of all that the files depend on; '' while they are being written."""
    entry: FrameRecord | None = None
    """The frame's entry in the record of the run."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LedgerLine:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        files = {str(name): str(digest) for name, digest in dict(values.get("files", {})).items()}
        record = FrameRecord.from_json(values["said"]) if isinstance(values.get("said"), dict) else None
        return cls(int(values["frame"]), files, str(values.get("madeFrom", "")), record)

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        if not self.made_from:
            return {"frame": self.frame, "files": dict(self.files)}
        entry = self.entry.to_json() if self.entry else {}
        return {"frame": self.frame, "madeFrom": self.made_from, "files": dict(self.files), "said": entry}


class Ledger:
    """Reads the ledgers of an output and adds lines to one of them."""

    def __init__(self, path: Path, others: Iterable[Path] = (), foreign: Iterable[Path] = ()) -> None:
        """Read all ledgers; lines are added to the one at `path`.

        others: ledgers of runs over other parts of the same output; they are read as well.
        foreign: ledgers of other outputs in the same folders; they only tell that a run has written a file.
        """
        self._path = path
        self._known = [_read(each) for each in dict.fromkeys((path, *others))]
        self._foreign = [_read(each) for each in dict.fromkeys(foreign) if each not in {path, *others}]
        self._lines = self._known[0]
        self._current: dict[int, LedgerLine] = {}

    def is_current(self, frame: int, made_from: str, files: Sequence[Path]) -> bool:
        """Return whether the files of a frame exist, are unchanged, and were made from these inputs."""
        names = {path.name for path in files}
        for lines in self._known:
            line = lines.get(frame)
            if line is None or line.entry is None or line.made_from != made_from or line.files.keys() != names:
                continue
            if all(path.is_file() and file_digest(path) == line.files[path.name] for path in files):
                self._current[frame] = line
                return True
        return False

    def state(self, frame: int, files: Iterable[Path]) -> FileState:
        """Return the state of a frame's files; existing files are read. Raises OSError."""
        return max((self._state(frame, path) for path in files), default=FileState.MISSING)

    def unlisted(self, frame: int, files: Iterable[Path]) -> list[Path]:
        """Return the existing files of a frame that no ledger lists, without reading them."""
        return [path for path in files if path.is_file() and not self._digests(frame, path)]

    def entry(self, frame: int) -> FrameRecord:
        """Return the record's entry of a frame whose files are current."""
        entry = self._current[frame].entry
        assert entry is not None, "is_current() refuses lines without an entry"
        return entry

    def last_entry(self, frame: int) -> FrameRecord | None:
        """Return the record's last entry of a frame, whether or not its files are current; None if no run has finished
        it."""
        return next((line.entry for lines in self._known if (line := lines.get(frame)) and line.entry), None)

    def lines(self) -> dict[int, FrameRecord]:
        """Return the record's entries of all frames that any run has finished, ascending."""
        noted = {frame: line.entry for lines in reversed(self._known) for frame, line in lines.items() if line.entry}
        return {frame: noted[frame] for frame in sorted(noted)}

    def begin(self, frame: int, files: Sequence[Path]) -> None:
        """Note the files of a frame that are about to be written, so that they are known as this engine's if the run is
        killed.

        Raises OutputError.
        """
        self._append(LedgerLine(frame, {path.name: "" for path in files}))

    def add(self, frame: int, made_from: str, files: Sequence[Path], entry: FrameRecord) -> None:
        """Note that the files of a frame are on disk, with the frame's entry in the record. Raises OutputError."""
        digests = {path.name: file_digest(path) for path in files}
        self._append(LedgerLine(frame, digests, made_from, entry))

    def is_whole(self, frame: int, files: Sequence[Path]) -> bool:
        """Return whether the files of a frame exist as a run has written them."""
        noted = [line.made_from for lines in self._known if (line := lines.get(frame)) and line.made_from]
        return any(self.is_current(frame, made_from, files) for made_from in noted)

    def keep(self, frame: int) -> bool:
        """Keep a finished frame whose files were changed since; return False if no run has finished it."""
        line = next((line for lines in self._known if (line := lines.get(frame)) and line.entry), None)
        if line is not None:
            self._current[frame] = line
        return line is not None

    def join(self) -> None:
        """Copy the lines of current frames from the other ledgers into this one. Raises OutputError."""
        self._lines.update(self._current)
        self._write(self._lines)

    def compact(self) -> None:
        """Rewrite the ledger with one line for each frame, including frames that another run has added meanwhile.

        Raises OutputError.
        """
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
        """Return all digests that ledgers have for a file; '' stands for a file that was being written."""
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
    """Return the last line of each frame.

    A line that a crash has cut short is ignored, so its frame is written again.
    """
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
