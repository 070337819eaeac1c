# SPDX-License-Identifier: Apache-2.0
"""Keeps the record of a run: how its alphas were made, and an entry for every frame that is on disk.

    out/alpha.####.exr  ->  out/alpha.matanyone.json

It is written atomically when a run begins, with every resume point, and when the run ends. Frames that a run leaves
alone keep their entries, which are in the ledger as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from matanyone_engine.atomic import open_inside, whole_file
from matanyone_engine.errors import EngineError, OutputError, SettingError
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.frame_record import FrameRecord

FORMAT = 1

_RANGES = ("done", "reused", "suspicious", "handFixed")

_log = logging.getLogger("matanyone_engine")


@dataclass(frozen=True)
class Failure:
    """Describes the error that stopped a run, and its frame."""

    frame: int | None
    error: str
    """Name of the error's class."""
    expected: str
    came: str
    action: str

    @classmethod
    def of(cls, error: EngineError) -> Failure:
        """Make a Failure from an error."""
        return cls(error.frame, type(error).__name__, error.expected, error.came, error.action)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Failure:
        """Read what to_json() returned."""
        texts = (str(values.get(name, "")) for name in ("error", "expected", "got", "do"))
        return cls(values.get("frame"), *texts)

    def to_json(self) -> dict[str, Any]:
        """Return the failure as JSON values."""
        entries = {"expected": self.expected, "got": self.came, "do": self.action}
        return {"frame": self.frame, "error": self.error, **entries}


@dataclass(frozen=True)
class RunSummary:
    """Describes the last run; its frames are ranges such as '1001-1045,1050'."""

    done: str = ""
    reused: str = ""
    suspicious: str = ""
    """The frames among `done` that an artist should look at."""
    hand_fixed: str = ""
    """Frames that were left alone because their files were changed by hand."""
    failed: Failure | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunSummary:
        """Read what to_json() returned, here or in version 0.1.0."""
        done, reused, suspicious, fixed = (str(values.get(name, "")) for name in _RANGES)
        failed = Failure.from_json(values["failed"]) if values.get("failed") else None
        return cls(done, reused, suspicious, fixed, failed)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        fixed = {"handFixed": self.hand_fixed} if self.hand_fixed else {}
        values = {"done": self.done, "reused": self.reused, "suspicious": self.suspicious, **fixed}
        return {**values, "failed": self.failed.to_json() if self.failed else None}


@dataclass(frozen=True)
class Record:
    """Holds a record. `job`, `shot` and `made` are for people and for `review`."""

    state: str = ""
    """'planned', 'running', 'stopped' or 'finished'."""
    identity: str = ""
    """Digest of the job; '' in a record that was merged from several."""
    job: Mapping[str, Any] = field(default_factory=dict)
    """The job's fields."""
    shot: Mapping[str, Any] = field(default_factory=dict)
    """Plate, size, colour space, and each object's keys."""
    made: Mapping[str, str] = field(default_factory=dict)
    """How the alphas were made, as in their headers."""
    begun: str = ""
    """ISO 8601, UTC, as `written` is."""
    written: str = ""
    run: RunSummary = field(default_factory=RunSummary)
    frames: Mapping[int, FrameRecord] = field(default_factory=dict)
    parts: tuple[Mapping[str, Any], ...] = ()
    """In a merged record: begun, written, run and made of each part."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        state, identity, begun, written = (
            str(values.get(name, "")) for name in ("state", "identity", "begun", "written")
        )
        job, shot, made = (dict(values.get(name) or {}) for name in ("job", "shot", "made"))
        frames = {int(frame): FrameRecord.from_json(line) for frame, line in dict(values.get("frames", {})).items()}
        run = RunSummary.from_json(values.get("run") or {})
        return cls(state, identity, job, shot, made, begun, written, run, frames, tuple(values.get("parts", ())))

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values without empty ones."""
        texts = {"identity": self.identity, "job": dict(self.job), "shot": dict(self.shot), "made": dict(self.made)}
        times = {"state": self.state, "begun": self.begun, "written": self.written}
        run = {"parts": list(self.parts)} if self.parts else {"run": self.run.to_json()}
        entries = {name: value for name, value in {**texts, **times}.items() if value}
        frames = {str(frame): self.frames[frame].to_json() for frame in sorted(self.frames)}
        return {"software": SOFTWARE, "format": FORMAT, **entries, **run, "frames": frames}


def reserve(path: Path, name: str) -> None:
    """Reserve a version by creating its record. Raises SettingError if another run has reserved it just before."""
    try:
        with open_inside(path, "x", encoding="utf-8") as file:
            json.dump({"software": SOFTWARE, "format": FORMAT, "state": "planned"}, file)
    except FileExistsError as error:
        raise SettingError(
            expected=f"a version of {name} that no run has taken",
            came=f"{path}, which another run has just made",
            action="Run it again: it takes the next version.",
        ) from error


class RunRecord:
    """Collects the results of a run; write() writes the record."""

    def __init__(self, path: Path, about: Record, hand_fixed: Sequence[int] = ()) -> None:
        """Begin the record at `path`. about: identity, job, shot and made of this run; its `frames` are the entries of
        frames that are left alone. hand_fixed: the frames among them whose files were changed by hand.
        """
        self.path = path
        self._about = about
        self._frames = dict(about.frames)
        self._kept = tuple(frame for frame in about.frames if frame not in hand_fixed)
        self._hand_fixed = tuple(hand_fixed)
        self._begun = _now()
        self._done: list[int] = []
        self._suspicious: list[int] = []
        self._failed: Failure | None = None

    @property
    def frames(self) -> Mapping[int, FrameRecord]:
        """Returns the entries of all frames that are on disk."""
        return self._frames

    def add(self, frame: int, entry: FrameRecord) -> None:
        """Add a frame whose files are on disk."""
        self._done.append(frame)
        if entry.needs_a_look:
            self._suspicious.append(frame)
        self._frames[frame] = entry

    def fail(self, error: EngineError) -> None:
        """Record the error that stopped the run."""
        self._failed = Failure.of(error)

    def write(self, state: str) -> None:
        """Write the record. If that fails, only a warning is logged, so that the run goes on. state: 'running',
        'finished' or 'stopped'.
        """
        done, kept, suspicious, fixed = map(
            describe_frames, (self._done, self._kept, self._suspicious, self._hand_fixed)
        )
        run = RunSummary(done, kept, suspicious, fixed, self._failed)
        record = replace(
            self._about, state=state, begun=self._begun, written=_now(), run=run, frames=dict(self._frames)
        )
        try:
            _write(self.path, record)
        except OSError as error:
            _log.warning("The record of this run, %s, could not be written: %s", self.path, error)


def join_records(into: Path, parts: Sequence[Path], frames: Mapping[int, FrameRecord]) -> None:
    """Write one record for a whole output from the records of its parts. frames: the entries of its frames.

    Raises OutputError.
    """
    records = [read_record(path) or Record() for path in parts]
    entries = tuple(
        {"begun": each.begun, "written": each.written, "run": each.run.to_json(), "made": dict(each.made)}
        for each in records
    )
    first = records[0]
    whole = Record("finished", "", first.job, first.shot, first.made, "", _now(), RunSummary(), frames, entries)
    try:
        _write(into, whole)
    except OSError as error:
        raise OutputError(
            expected=f"to write the record {into}", came=str(error), action="Free some disk space and run it again."
        ) from error


def read_record(path: Path) -> Record | None:
    """Read a record; None if there is no file, or if it is not a record of this engine."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(values, dict) or values.get("software") != SOFTWARE:
            return None
        return Record.from_json(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(path: Path, record: Record) -> None:
    with whole_file(path) as temporary:
        text = json.dumps(record.to_json(), indent=1, ensure_ascii=False, default=str)
        temporary.write_text(text, encoding="utf-8")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
