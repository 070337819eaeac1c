# SPDX-License-Identifier: Apache-2.0
"""Holds one frame's entry in a record: its files, and its coverage, warnings and confidences."""

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
    """Holds the entry of one frame whose files are on disk."""

    files: tuple[str, ...] = ()
    """Paths of the files, relative to the record's folder if they lie in it."""
    coverage: Mapping[str, float] = field(default_factory=dict)
    """The mean of each object's alpha, 0..1."""
    warnings: tuple[str, ...] = ()
    """Warnings as sentences."""
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    """The confidence of each object."""

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
    def from_json(cls, values: Mapping[str, Any]) -> FrameRecord:
        """Read what to_json() returned, here or in version 0.1.0. Raises KeyError, TypeError, ValueError."""
        return cls(
            tuple(map(str, values.get("files", ()))),
            {str(name): float(share) for name, share in dict(values.get("coverage", {})).items()},
            tuple(map(str, values.get("warnings", ()))),
            {str(name): _confidence(told) for name, told in dict(values.get("confidence", {})).items()},
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
    """Return whether an artist should look at a frame. confidences: those of its objects, 0..1."""
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
    """Return the values for which a class has fields, since a later version may have written more."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in told.items() if name in names}


def _beside(record: Path, file: Path) -> str:
    return str(file.relative_to(record.parent)) if file.is_relative_to(record.parent) else str(file)
