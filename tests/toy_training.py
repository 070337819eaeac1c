# SPDX-License-Identifier: Apache-2.0
"""Holds the published stages at toy size. Run under torchrun (DATA FOLDER) it trains one, as several processes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from toy import TOY

from matanyone_engine.model import MatAnyone
from matanyone_engine.training.loop import RunOptions, train
from matanyone_engine.training.recipe import MATANYONE_STAGES, TrainingStage


def untrained() -> MatAnyone:
    """Return a network with the same weights every time."""
    torch.manual_seed(3)
    return MatAnyone(TOY)


def toy_stage(number: int, **changes: object) -> TrainingStage:
    """Return a published stage at toy size: all its passes, losses and data."""
    small = {"batch": 2, "crop": (64, 80), "frames": (3, 3), "points": 64, "iterations": 4, "rate": 1e-3}
    return replace(MATANYONE_STAGES[number], **{**small, **changes})


if __name__ == "__main__":
    torch.set_num_threads(1)
    for _ in train(untrained(), toy_stage(1, iterations=2), Path(sys.argv[1]), RunOptions(Path(sys.argv[2]))):
        pass
