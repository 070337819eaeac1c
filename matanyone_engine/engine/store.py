# SPDX-License-Identifier: Apache-2.0
"""Sessions on disk: what an engine that was killed at any moment goes on from.

    <state>/held                    by the one engine that runs on this folder
    <state>/<name>/session.json     what Open said, and the secret; folder and file for the owner's eyes only
                   journal          a line per answered frame: seq, frame, digest of request, checksum of alpha, of mask
                   result-<seq>     the last answers: a line that declares the payload, then its bytes
                   state-<seq>      the newest two snapshots, each standing before <seq>; each with a digest of its own

Order of writing: result, journal, snapshot. So whatever a snapshot has seen is in the journal, and whatever is in the
journal can be sent again.

Rules of this file:
1. Every file is whole or not there, but the journal, whose last line may be cut short and then does not count.
2. No pickle. Nothing that is read back is trusted: it is checked, or it is computed again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matanyone_engine.errors import SettingError
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload, check_content, check_length
from matanyone_engine.wire.codec import from_fields
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.lock import try_lock

RESULTS_KEPT = 16
"""More than any window: a client lacks at most a window of answers."""
SNAPSHOTS_KEPT = 2
_LOCK = "held"


@dataclass(frozen=True)
class Answered:
    """A line of the journal."""

    seq: int
    frame: int
    digest: str
    """Of the request."""
    checksum: str
    """Of the alpha."""
    mask: str = ""
    """SHA-256 of the mask, of a key."""


def public_name(session: str) -> str:
    """What others may know a session by: its secret cannot be told from it."""
    return hashlib.sha256(session.encode()).hexdigest()[:12]


class SessionFolder:
    """One session's part of the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, root: Path, session: str, opening: say.Open, need: int) -> SessionFolder:
        """Make the folder and say whose it is. Raises OSError."""
        folder = root / public_name(session)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = {"session": session, "opening": dataclasses.asdict(opening), "need": need}
        _write(folder / "session.json", [json.dumps(about).encode()], durable=True)
        return cls(folder)

    def about(self) -> tuple[str, say.Open, int]:
        """(session, what Open said, its memory estimate). Raises OSError, ValueError, KeyError, WireError."""
        about = json.loads((self.folder / "session.json").read_bytes())
        return str(about["session"]), from_fields(say.Open, about["opening"]), int(about["need"])

    # ------------------------------------------------------------------------------------------------- results

    def put_result(self, line: Answered, payload: Payload, data: Any, result: say.Result) -> None:
        """Store an answer, then its line. Raises OSError."""
        said = {**dataclasses.asdict(result), "session": ""}
        declared = json.dumps({"payload": dataclasses.asdict(payload), "result": said})
        _write(self._result(line.seq), [declared.encode(), b"\n", data])
        text = json.dumps(dataclasses.astuple(line), separators=(",", ":"))
        with (self.folder / "journal").open("ab") as journal:
            journal.write(f"{text}\n".encode())
        self._result(line.seq - RESULTS_KEPT).unlink(missing_ok=True)

    def get_result(self, session: str, seq: int) -> tuple[say.Result, Payload, bytes]:
        """A stored answer. Raises WireError where it is no longer there, or damaged."""
        try:
            declared, _, data = self._result(seq).read_bytes().partition(b"\n")
            fields = json.loads(declared)
            payload = from_fields(Payload, fields["payload"])
            check_length(payload, data)
            check_content(payload, data)
            return from_fields(say.Result, {**fields["result"], "session": session}), payload, data
        except (OSError, ValueError, KeyError, WireError) as error:
            raise WireError(
                Code.RESULT_GONE,
                f"expected the stored result of seq {seq}; it is no longer there",
                f"The last {RESULTS_KEPT} are kept. Open a new session to compute it again.",
            ) from error

    def journal(self) -> dict[int, Answered]:
        """Every answered frame by seq; the later line counts. A damaged line and what follows do not."""
        return {line.seq: line for line in self._lines()}

    def _lines(self) -> Iterator[Answered]:
        try:
            text = (self.folder / "journal").read_bytes()
        except FileNotFoundError:
            return
        for line in text.split(b"\n")[:-1]:
            try:
                seq, frame, *words = json.loads(line)
                answered = Answered(int(seq), int(frame), *map(str, words))
            except (ValueError, TypeError):
                return
            yield answered

    def mend_journal(self) -> None:
        """Cut off a last line that a crash cut short, so that the next one begins at a line's start."""
        path = self.folder / "journal"
        if path.exists():
            text = path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if whole != text:
                _write(path, [whole])

    # ----------------------------------------------------------------------------------------------- snapshots

    def put_snapshot(self, next_seq: int, blob: bytes) -> None:
        """Keep a state; older ones than the last two go. Raises OSError."""
        _write(self.folder / f"state-{next_seq}", [blob], durable=True)
        for seq in self.snapshots()[SNAPSHOTS_KEPT:]:
            (self.folder / f"state-{seq}").unlink(missing_ok=True)

    def snapshots(self) -> list[int]:
        """What states there are, newest first."""
        found = (re.fullmatch(r"state-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def snapshot(self, next_seq: int) -> bytes:
        """One state's bytes. Raises OSError."""
        return (self.folder / f"state-{next_seq}").read_bytes()

    def remove(self) -> None:
        """Forget the session."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _result(self, seq: int) -> Path:
        return self.folder / f"result-{seq}"


class Store:
    """All sessions of an engine on disk."""

    def __init__(self, root: Path) -> None:
        """root: of this engine alone. Raises OSError where it cannot be made, SettingError where another has it."""
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = try_lock(root / _LOCK)
        if self._held is None:
            raise SettingError(
                expected="a state folder for this engine alone",
                came=f"{root}, which a running engine has",
                action="Use that engine, or name other places with --state and --connection.",
            )

    def close(self) -> None:
        """Let another engine have the folder."""
        if self._held is not None:
            self._held.close()

    def create(self, session: str, opening: say.Open, need: int) -> SessionFolder:
        """A folder for a new session. Raises OSError."""
        return SessionFolder.create(self.root, session, opening, need)

    def folder(self, session: str) -> SessionFolder:
        """The folder of a session."""
        return SessionFolder(self.root / public_name(session))

    def sessions(self) -> Iterator[SessionFolder]:
        """Those that an earlier engine left; damaged ones are passed over."""
        for path in self._folders():
            folder = SessionFolder(path)
            try:
                folder.about()
            except (OSError, ValueError, KeyError, TypeError, WireError):
                continue
            yield folder

    def excess(self, most_bytes: int) -> list[str]:
        """Sessions that were left alone longest, of those that go beyond so many bytes together."""
        kept, over = 0, []
        for path in sorted(self._folders(), key=_touched, reverse=True):
            kept += sum(file.stat().st_size for file in path.glob("*"))
            if kept > most_bytes:
                over.append(SessionFolder(path).about()[0])
        return over

    def prune(self, most_age_s: float, most_bytes: int) -> None:
        """Bound what is on disk: sessions left alone for long go, then those left alone longest of too many bytes.

        Age is counted back from the newest session, if that is older than now: a clock that leaps forward between two
        runs must not cost every session.
        """
        folders = self._folders()
        now = min(time.time(), max(map(_touched, folders), default=0.0))
        kept = 0
        for path in sorted(folders, key=_touched, reverse=True):
            kept += sum(file.stat().st_size for file in path.glob("*"))
            if kept > most_bytes or now - _touched(path) > most_age_s:
                shutil.rmtree(path, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.is_dir())


def _touched(path: Path) -> float:
    return max((file.stat().st_mtime for file in path.glob("*")), default=path.stat().st_mtime)


def _write(path: Path, parts: list[Any], *, durable: bool = False) -> None:
    """Whole or not there. Not durable: survives the death of the process, perhaps not of the machine's power."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
