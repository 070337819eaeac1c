# SPDX-License-Identifier: Apache-2.0
"""Defines the events that run_matte() yields."""

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
    """Reports that a step of the work is finished. It is the base of all events."""

    frame: int
    done: int
    """Number of finished steps, including this one."""
    of: int
    """Number of all steps."""


@dataclass(frozen=True)
class FrameDone(StepDone):
    """Reports that a frame is finished: its files are on disk."""

    paths: list[Path]
    seen: NDArray[np.float32]
    """(H, W, 3) 0..1: the plate as the network saw it."""
    alpha: NDArray[np.float32]
    """(H, W) 0..1: all objects in one alpha."""
    warnings: tuple[str, ...] = ()
    """Warnings for the artist (matting/frame_warnings.py)."""
    report: FrameReport = field(default_factory=FrameReport)
    alphas: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """The alpha (H, W) 0..1 of each object."""
    confidences: Mapping[str, Confidence] = field(default_factory=dict)
    """The confidence of each object."""


@dataclass(frozen=True)
class Unchanged(StepDone):
    """Lists frames that are left alone because their files are up to date."""

    frames: tuple[int, ...]
    lines: Mapping[int, FrameRecord] = field(default_factory=dict)
    """The record's entry of each frame."""


@dataclass(frozen=True)
class EditedByHand(StepDone):
    """Lists frames that are left alone because their files were changed by hand; a job with `overwrite` replaces
    them."""

    frames: tuple[int, ...]


@dataclass(frozen=True)
class BeforeSteps(StepDone):
    """Reports work before the first step. Here `done` and `of` do not count steps."""


@dataclass(frozen=True)
class CheckingFiles(BeforeSteps):
    """Reports that files are read to find what need not be computed again.

    Here `done` and `of` count files.
    """


@dataclass(frozen=True)
class Preparing(BeforeSteps):
    """Reports that a part of the engine is made ready. Here `done` and `of` are 0."""

    what: str
    """What is done, in words for the artist."""


RunEvent = StepDone
"""Any event of a run."""
