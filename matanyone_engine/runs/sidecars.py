# SPDX-License-Identifier: Apache-2.0
"""What a run leaves beside its alphas, and how that is called.

    out/alpha.####.exr     a run of all frames      a run of the frames 1001-1045
    record                 alpha.matanyone.json     alpha.1001-1045.matanyone.json
    ledger                 .alpha.exr.made          .alpha.exr.1001-1045.made
    resume point           .alpha.exr.resume        .alpha.exr.1001-1045.resume
    claim                  .alpha.exr.claim         .alpha.exr.1001-1045.claim

Runs of different parts of one pattern have papers of their own: workers on different segments never write one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.media.sequence import OutputPattern, describe_frames

RECORD = ".matanyone.json"
_LONGEST_PART = 24
"""Characters; frames that take more to say are told apart by a digest."""


@dataclass(frozen=True)
class Papers:
    """Of one output pattern, or of a part of its frames."""

    output: OutputPattern
    part: str = ""

    @classmethod
    def of(cls, output: OutputPattern, asked: Sequence[int] | None) -> Papers:
        """asked: the frames a job names; None is all of the plate's."""
        return cls(output, "" if asked is None else part_name(asked))

    @property
    def record(self) -> Path:
        return self.output.folder / f"{self._record_stem}{self._dotted}{RECORD}"

    @property
    def ledger(self) -> Path:
        return self._hidden("made")

    @property
    def resume(self) -> Path:
        return self._hidden("resume")

    @property
    def claim(self) -> Path:
        return self._hidden("claim")

    def ledgers(self) -> list[Path]:
        """Of every part of the pattern there is one of, the main one first."""
        return self._of_all_parts("made")

    def claims(self) -> list[Path]:
        """As ledgers()."""
        return self._of_all_parts("claim")

    def records(self) -> list[Path]:
        """As ledgers()."""
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
    """What a set of frames is called in file names: '1001-1045', or its ends and a digest where it is ragged."""
    said = describe_frames(frames)
    if len(said) <= _LONGEST_PART:
        return said
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    return f"{min(frames)}-{max(frames)}-{digest}"


def _found(folder: Path, main: str, beginning: str, end: str) -> list[Path]:
    """Files of a pattern's papers of one kind. Parts are names without a dot, so that 'a.b' is not taken for a part."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    parts = [name for name in names if name.startswith(beginning) and name.endswith(end) and name != main]
    whole = [name for name in parts if "." not in name[len(beginning) : len(name) - len(end)]]
    return [folder / name for name in ([main] if main in names else []) + whole]
