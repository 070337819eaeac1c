# SPDX-License-Identifier: Apache-2.0
"""Names the files that a run leaves beside its alphas.

    out/alpha.####.exr     a run of all frames      a run of the frames 1001-1045
    record                 alpha.matanyone.json     alpha.1001-1045.matanyone.json
    ledger                 .alpha.exr.made          .alpha.exr.1001-1045.made
    resume point           .alpha.exr.resume        .alpha.exr.1001-1045.resume
    claim                  .alpha.exr.claim         .alpha.exr.1001-1045.claim

Runs over different parts of one output have separate sidecars, so that two workers never write the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.media.sequence import OutputPattern, describe_frames

RECORD = ".matanyone.json"
_LONGEST_PART = 24
"""Most characters of a part's name; a longer name is shortened and ends in a digest."""


@dataclass(frozen=True)
class Sidecars:
    """Names the sidecars of one output pattern, or of a run over a part of its frames."""

    output: OutputPattern
    part: str = ""

    @classmethod
    def of(cls, output: OutputPattern, asked: Sequence[int] | None) -> Sidecars:
        """Return the sidecars of a run. asked: the frames that its job names; None is all frames of the plate."""
        return cls(output, "" if asked is None else part_name(asked))

    @property
    def record(self) -> Path:
        """Returns the path of the record (record.py)."""
        return self.output.folder / f"{self._record_stem}{self._dotted}{RECORD}"

    @property
    def ledger(self) -> Path:
        """Returns the path of the ledger (ledger.py)."""
        return self._hidden("made")

    @property
    def resume(self) -> Path:
        """Returns the path of the resume point (resume.py)."""
        return self._hidden("resume")

    @property
    def claim(self) -> Path:
        """Returns the path of the claim (claim.py)."""
        return self._hidden("claim")

    def ledgers(self) -> list[Path]:
        """Return the existing ledgers of all parts of the output; that of a run over all frames comes first."""
        return self._of_all_parts("made")

    def foreign_ledgers(self) -> list[Path]:
        """Return the existing ledgers of other outputs in the same folder."""
        folder = self.output.folder
        return sorted(set(folder.glob(".*.made")) - set(self.ledgers())) if folder.is_dir() else []

    def claims(self) -> list[Path]:
        """Return the existing claims on all parts of the output."""
        return self._of_all_parts("claim")

    def records(self) -> list[Path]:
        """Return the existing records of all parts of the output; that of a run over all frames comes first."""
        stem = self._record_stem
        return _found(self.output.folder, f"{stem}{RECORD}", f"{stem}.", RECORD)

    @property
    def _record_stem(self) -> str:
        return self.output.prefix.rstrip("._-") or "alphas"

    @property
    def _hidden_stem(self) -> str:
        return f".{self.output.prefix}{self.output.suffix.removeprefix('.')}"

    @property
    def _dotted(self) -> str:
        return f".{self.part}" if self.part else ""

    def _hidden(self, kind: str) -> Path:
        return self.output.folder / f"{self._hidden_stem}{self._dotted}.{kind}"

    def _of_all_parts(self, kind: str) -> list[Path]:
        stem = self._hidden_stem
        return _found(self.output.folder, f"{stem}.{kind}", f"{stem}.", f".{kind}")


def part_name(frames: Sequence[int]) -> str:
    """Return frames as a part of a file's name: '1001-1045'; if that is too long, its first and last frame and a
    digest."""
    text = describe_frames(frames)
    if len(text) <= _LONGEST_PART:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{min(frames)}-{max(frames)}-{digest}"


def _found(folder: Path, main: str, beginning: str, end: str) -> list[Path]:
    """Return the existing sidecars of one kind.

    A part's name has no dot, so output 'a.b' is not taken for a part of output 'a'.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    parts = [name for name in names if name.startswith(beginning) and name.endswith(end) and name != main]
    whole = [name for name in parts if "." not in name[len(beginning) : len(name) - len(end)]]
    return [folder / name for name in ([main] if main in names else []) + whole]
