# SPDX-License-Identifier: Apache-2.0
"""Draws a plate whose subject differs in colour, and holds prompts for it as an artist would give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from shots import write_image

from matanyone_engine.media.prompts import Prompts, Stroke

WIDTH, HEIGHT = 96, 64
CENTRE, RADIUS = (56.0, 30.0), 18.0
BOX = (34, 8, 80, 54)
ON = Stroke(((50.0, 30.0), (60.0, 30.0)))
BESIDE = Stroke(((6.0, 60.0), (90.0, 60.0)), subject=False)
PROMPTS = Prompts(BOX, (ON,))


def disc(radius: float = RADIUS) -> np.ndarray:
    """Return the subject, (H, W) 0..1, with two pixels of soft edge."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.clip((radius - np.hypot(x - CENTRE[0], y - CENTRE[1])) / 2 + 0.5, 0, 1).astype(np.float32)


def picture(seed: int = 0) -> np.ndarray:
    """Return (H, W, 3) 0..1: an orange disc before a grainy blue-grey."""
    rng = np.random.default_rng(seed)
    alpha = disc()[..., None]
    mixed = alpha * np.float32([0.8, 0.4, 0.1]) + (1 - alpha) * np.float32([0.1, 0.2, 0.35])
    return (mixed + rng.normal(0, 0.02, mixed.shape)).clip(0, 1).astype(np.float32)


def write_plate(folder: Path, frames: tuple[int, ...] = (1001, 1002)) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        write_image(folder / f"plate.{frame}.exr", picture(frame), ("R", "G", "B"), PixelAspectRatio=2.0, scene="12")
    return str(folder / "plate.####.exr")


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the intersection over the union."""
    ours, theirs = mask > 0.5, truth > 0.5
    return float((ours & theirs).sum() / (ours | theirs).sum())
