# SPDX-License-Identifier: Apache-2.0
"""Defines the events of a run, as values: what run_matte() yields while it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.matting.session import FrameReport
from matanyone_engine.runs.frame_record import FrameRecord


@dataclass(frozen=True)
class StepDone:
    """Says that a step of the work is finished; it is the base of all events."""

    frame: int
    done: int
    """Steps that are finished, this one included."""
    of: int
    """Steps there are in all."""


@dataclass(frozen=True)
class FrameDone(StepDone):
    """Says that a step is finished, and with it a frame, whose files are on disk."""

    paths: list[Path]
    seen: NDArray[np.float32]
    """(H, W, 3) 0..1: what the network saw."""
    alpha: NDArray[np.float32]
    """(H, W) 0..1: all objects in one."""
    warnings: tuple[str, ...] = ()
    """What an artist should look at (matting/frame_warnings.py)."""
    report: FrameReport = field(default_factory=FrameReport)
    alphas: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """For each object its alpha (H, W) 0..1."""
    confidences: Mapping[str, Confidence] = field(default_factory=dict)
    """For each object how far its alpha can be trusted."""


@dataclass(frozen=True)
class Unchanged(StepDone):
    """Names frames that are left alone, since their files would be written again the same."""

    frames: tuple[int, ...]
    lines: Mapping[int, FrameRecord] = field(default_factory=dict)
    """For each frame its entry in the record."""


@dataclass(frozen=True)
class HandFixed(StepDone):
    """Names frames that are left alone, since somebody has changed their files; `overwrite` of a job makes them
    anew.
    """

    frames: tuple[int, ...]


@dataclass(frozen=True)
class Looking(StepDone):
    """Says that files are being read, to find what need not be computed again: `done` and `of` count files, not
    steps.
    """


RunEvent = StepDone
"""Any event of a run."""
