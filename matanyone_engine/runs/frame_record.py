# SPDX-License-Identifier: Apache-2.0
"""Holds one frame's entry in a record: its files, and what an artist should know of its alphas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.matting.confidence import DOUBTFUL, Confidence, Signals


@dataclass(frozen=True)
class FrameRecord:
    """Holds what a run says of one frame whose files are on disk."""

    files: tuple[str, ...] = ()
    """Relative to the record's folder where they are in it."""
    coverage: Mapping[str, float] = field(default_factory=dict)
    """For each object the mean of its alpha, 0..1."""
    warnings: tuple[str, ...] = ()
    """Sentences for an artist."""
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    """For each object how far its alpha can be trusted."""

    @classmethod
    def of(
        cls,
        record: Path,
        files: Sequence[Path],
        alphas: Mapping[str, NDArray[np.float32]],
        warnings: Sequence[str],
        confidences: Mapping[str, Confidence],
    ) -> FrameRecord:
        """Make the entry of a frame. record: the record's file; alphas: object -> (H, W), 0..1."""
        coverage = {name: round(float(alpha.mean()), 6) for name, alpha in alphas.items()}
        return cls(tuple(_beside(record, file) for file in files), coverage, tuple(warnings), dict(confidences))

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> FrameRecord:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        return cls(
            tuple(map(str, said.get("files", ()))),
            {str(name): float(share) for name, share in dict(said.get("coverage", {})).items()},
            tuple(map(str, said.get("warnings", ()))),
            {str(name): _confidence(told) for name, told in dict(said.get("confidence", {})).items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {
            "files": list(self.files),
            "coverage": dict(self.coverage),
            "warnings": list(self.warnings),
            "confidence": {name: asdict(each) for name, each in self.confidence.items()},
        }

    @property
    def needs_a_look(self) -> bool:
        """Returns whether an artist should look at the frame."""
        return is_suspicious(self.warnings, [each.value for each in self.confidence.values()])


def is_suspicious(warnings: Sequence[str], confidences: Sequence[float]) -> bool:
    """Return whether an artist should look at a frame; confidences: of each of its objects, 0..1."""
    return bool(warnings) or min(confidences, default=1.0) < DOUBTFUL


def _confidence(told: Mapping[str, Any]) -> Confidence:
    signals = told.get("signals")
    return Confidence(
        float(told["value"]),
        str(told.get("why", "")),
        Signals(**_known(Signals, signals)) if signals else None,
        told.get("disagreement"),
    )


def _known(kind: type[Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a class has fields for: a later version may say more."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in told.items() if name in names}


def _beside(record: Path, file: Path) -> str:
    return str(file.relative_to(record.parent)) if file.is_relative_to(record.parent) else str(file)
