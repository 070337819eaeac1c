# SPDX-License-Identifier: Apache-2.0
"""Keeps sessions on disk, so that a new engine can continue them after the last one was killed at any moment.

    <state>/held                    locked by the one engine that runs on this folder
    <state>/ages                    for how long each session was left alone (ages.py)
    <state>/<name>/session.json     what Open said, and the secret; folder and file for the owner's eyes only
                   journal          a line per answered frame: seq, frame, digest of request, checksum of alpha,
                           of mask, and where the mask or guide is
                   result-<seq>     the last answers: a line that declares the payload, then its bytes
                   state-<seq>      the newest two snapshots, each standing before <seq>

Order of writing: result, journal, snapshot. All frames that a snapshot depends on are synced to disk before it is. So
they are in the journal, and the journal's last answers can be sent again. Since disks fail all the same,
usable_snapshots() checks both.

Rules of this file:
1. Every file is written atomically, except the journal: a last line that was cut short is ignored.
2. No pickle. Every file, and every line of the journal, has a checksum; a frame whose file does not match is computed
   again. Version 0.1.0 wrote journals and headers without checksums, which are still read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matanyone_engine.engine.ages import Ages
from matanyone_engine.errors import SettingError
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload, check_content, check_length
from matanyone_engine.wire.codec import from_fields
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.lock import try_lock
from matanyone_engine.wire.private import private_folder

RESULTS_KEPT = 16
"""Results that are kept; more than any window, since a client can lack at most the answers of one window."""
SNAPSHOTS_KEPT = 2
_LOCK = "held"
_CHECK_DIGITS = 8
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, WireError)
"""Errors that reading a damaged file may raise."""


@dataclass(frozen=True)
class JournalLine:
    """Holds one line of the journal."""

    seq: int
    frame: int
    digest: str
    """Digest of the request."""
    checksum: str
    """Checksum of the alpha."""
    mask: str = ""
    """SHA-256 of a key's mask; '' for a frame."""
    place: str = ""
    """A small picture of a key's mask or of a frame's guide (media/guide_history.py); '' without one."""


def public_name(session: str) -> str:
    """Return the public name of a session, from which its secret cannot be found out."""
    return hashlib.sha256(session.encode()).hexdigest()[:12]


class SessionFolder:
    """Reads and writes the folder of one session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, root: Path, session: str, opening: say.Open, need: int) -> SessionFolder:
        """Make the folder and write the session's secret into it. Raises OSError."""
        folder = root / public_name(session)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = {"session": session, "opening": dataclasses.asdict(opening), "need": need}
        _write(folder / "session.json", [json.dumps(_with_check(about)).encode()], durable=True)
        return cls(folder)

    def about(self) -> tuple[str, say.Open, int]:
        """Return the session's secret, its Open message, and its memory estimate in bytes. Raises WireError if the file
        is damaged or gone.
        """
        try:
            about = _checked(json.loads((self.folder / "session.json").read_bytes()), {"session", "opening", "need"})
            session = str(about["session"])
            if public_name(session) != self.folder.name:
                raise ValueError("the secret is not the one of this folder")
            return session, from_fields(say.Open, about["opening"]), int(about["need"])
        except _DAMAGED as error:
            raise WireError(Code.UNKNOWN_SESSION, f"damaged: {error}"[:200], "Open a new one.") from error

    # ------------------------------------------------------------------------------------------------- results

    def put_result(self, line: JournalLine, payload: Payload, data: Any, result: say.Result) -> None:
        """Store an answer, then append its line to the journal. Raises OSError."""
        said = {**dataclasses.asdict(result), "session": ""}
        declared = json.dumps(_with_check({"payload": dataclasses.asdict(payload), "result": said}))
        _write(self._result(line.seq), [declared.encode(), b"\n", data])
        text = json.dumps(dataclasses.astuple(line), separators=(",", ":"))
        with (self.folder / "journal").open("ab") as journal:
            journal.write(f"{text} {_check(text.encode())}\n".encode())
        self._result(line.seq - RESULTS_KEPT).unlink(missing_ok=True)

    def get_result(self, session: str, seq: int) -> tuple[say.Result, Payload, bytes]:
        """Return a stored answer. Raises WireError if it is no longer there, or damaged."""
        try:
            declared, _, data = self._result(seq).read_bytes().partition(b"\n")
            fields = _checked(json.loads(declared), {"payload", "result"})
            payload = from_fields(Payload, fields["payload"])
            check_length(payload, data)
            check_content(payload, data)
            result = from_fields(say.Result, {**fields["result"], "session": session})
            if result.seq != seq:
                raise ValueError(f"the result of seq {result.seq}")
            return result, payload, data
        except _DAMAGED as error:
            raise WireError(
                Code.RESULT_GONE,
                f"expected the stored result of seq {seq}; it is no longer there",
                f"The last {RESULTS_KEPT} are kept. Open a new session to compute it again.",
            ) from error

    def journal(self) -> dict[int, JournalLine]:
        """Return the journal's lines by seq. Of two lines with one seq the later counts; a damaged line is ignored."""
        return {line.seq: line for line in self._lines()}

    def _lines(self) -> Iterator[JournalLine]:
        try:
            text = (self.folder / "journal").read_bytes()
        except FileNotFoundError:
            return
        for line in text.split(b"\n")[:-1]:
            said, _, check = line.rpartition(b"] ")
            if said and check.decode("latin-1") != _check(said + b"]"):
                continue
            with suppress(*_DAMAGED):
                seq, frame, *words = json.loads(said + b"]" if said else line)  # 0.1.0 wrote no checksums
                yield JournalLine(int(seq), int(frame), *map(str, words))

    def mend_journal(self) -> None:
        """Remove a last line that a crash cut short, so that the next line is not appended to it."""
        path = self.folder / "journal"
        if path.exists():
            text = path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if whole != text:
                _write(path, [whole])

    # ----------------------------------------------------------------------------------------------- snapshots

    def put_snapshot(self, next_seq: int, blob: bytes) -> None:
        """Store a snapshot after syncing all frames that it depends on; only the last two snapshots are kept.

        Raises OSError.
        """
        seen = [self._result(seq) for seq in range(max(0, next_seq - RESULTS_KEPT), next_seq)]
        for path in (*seen, self.folder / "journal"):
            with suppress(FileNotFoundError), path.open("rb+") as file:
                os.fsync(file.fileno())
        _write(self.folder / f"state-{next_seq}", [blob], durable=True)
        for seq in self.snapshots()[SNAPSHOTS_KEPT:]:
            (self.folder / f"state-{seq}").unlink(missing_ok=True)

    def snapshots(self) -> list[int]:
        """Return the seqs of the stored snapshots, newest first."""
        found = (re.fullmatch(r"state-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def usable_snapshots(self) -> list[int]:
        """Return the seqs of the snapshots from which the session can continue, newest first.

        A snapshot cannot be used if an answer before it is lost that a client may still ask for, or if the journal line
        of its mask is lost. Older snapshots need less. If none can be used, the session starts at its beginning.
        """
        journal = self.journal()
        last = max(journal, default=-1)
        lost = [seq for seq in range(max(0, last + 1 - RESULTS_KEPT), last + 1) if not self._has_result(seq)]
        keys = [seq for seq, line in journal.items() if line.mask]
        usable = []
        for next_seq in self.snapshots():
            key = max((seq for seq in keys if seq < next_seq), default=-1)
            whole = key >= 0 and all(seq in journal for seq in range(key, next_seq))
            if whole and not any(seq < next_seq for seq in lost):
                usable.append(next_seq)
        return usable

    def _has_result(self, seq: int) -> bool:
        try:
            self.get_result("", seq)
        except WireError:
            return False
        return True

    def drop_snapshots_after(self, next_seq: int) -> None:
        """Remove newer snapshots: the session continues from this one, and its next frames may be different."""
        for seq in self.snapshots():
            if seq > next_seq:
                (self.folder / f"state-{seq}").unlink(missing_ok=True)

    def snapshot(self, next_seq: int) -> bytes:
        """Return the bytes of one snapshot. Raises OSError."""
        return (self.folder / f"state-{next_seq}").read_bytes()

    def remove(self) -> None:
        """Remove the session's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _result(self, seq: int) -> Path:
        return self.folder / f"result-{seq}"


class SessionStore:
    """Holds all sessions of an engine on disk."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """root: the folder, which only this engine uses. clock: returns the system's time in seconds. Raises OSError if
        the folder cannot be made or belongs to another user, SettingError if another engine uses it.
        """
        self.root = root
        private_folder(root)
        self._ages = Ages(root / "ages", clock)
        self._held = try_lock(root / _LOCK)
        if self._held is None:
            raise SettingError(
                expected="a state folder that no other engine uses",
                came=f"{root}, which a running engine uses",
                action="Use that engine, or name other places with --state and --connection.",
            )

    def close(self) -> None:
        """Release the folder, so that another engine can use it."""
        if self._held is not None:
            self._held.close()

    def create(self, session: str, opening: say.Open, need: int) -> SessionFolder:
        """Make the folder of a new session. Raises OSError."""
        return SessionFolder.create(self.root, session, opening, need)

    def folder(self, session: str) -> SessionFolder:
        """Return the folder of a session."""
        return SessionFolder(self.root / public_name(session))

    def sessions(self) -> Iterator[SessionFolder]:
        """Yield the sessions that an earlier engine left, except damaged ones."""
        for path in self._folders():
            folder = SessionFolder(path)
            with suppress(WireError):
                folder.about()
                yield folder

    def excess(self, most_bytes: int) -> list[str]:
        """Return the sessions to delete so that the others take at most so many bytes: those not used for the longest
        time. Raises OSError.

        Of these, folders that cannot be read any more are removed at once. Call it at intervals, since it also counts
        ages.
        """
        folders = self._folders()
        ages = self._ages.count({path.name: _touched(path) for path in folders})
        kept, over = 0, []
        for path in sorted(folders, key=lambda each: (ages[each.name], -_touched(each))):
            kept += _bytes_of(path)
            if kept > most_bytes:
                try:
                    over.append(SessionFolder(path).about()[0])
                except WireError:
                    shutil.rmtree(path, ignore_errors=True)
        return over

    def prune(self, most_age_s: float, most_bytes: int) -> None:
        """Delete sessions that were not used for so long, then those not used for the longest time until the rest takes
        at most so many bytes.
        """
        folders = self._folders()
        ages = self._ages.count({path.name: _touched(path) for path in folders})
        kept = 0
        for path in sorted(folders, key=lambda each: (ages[each.name], -_touched(each))):
            kept += _bytes_of(path)
            if kept > most_bytes or ages[path.name] > most_age_s:
                shutil.rmtree(path, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink())


def _touched(path: Path) -> float:
    """Return the time of the last write to a session, in seconds of the system's clock."""
    return max((file.stat().st_mtime for file in path.glob("*")), default=path.stat().st_mtime)


def _bytes_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*"))


def _check(data: bytes) -> str:
    """Return a checksum that detects accidental damage."""
    return hashlib.sha256(data).hexdigest()[:_CHECK_DIGITS]


def _with_check(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with a checksum of them added."""
    return {**fields, "check": _check(json.dumps(fields, sort_keys=True).encode())}


def _checked(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the fields without their checksum, if it matches. Raises ValueError. Version 0.1.0 wrote none."""
    check = fields.pop("check", None)
    if set(fields) != names:
        raise ValueError(f"fields {sorted(fields)}"[:120])
    if check is not None and check != _check(json.dumps(fields, sort_keys=True).encode()):
        raise ValueError("the checksum does not match")
    return fields


def _write(path: Path, parts: list[Any], *, durable: bool = False) -> None:
    """Write a file atomically.

    Unless it is durable, it survives a crash of the process, but perhaps not a power cut.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Sync the folder, so that the names of new files are on disk; Windows does this by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
