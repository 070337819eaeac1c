# SPDX-License-Identifier: Apache-2.0
"""Draws a plate in which a spotted disc moves before a grainy wall: optical flow can follow it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from shots import write_image

WIDTH, HEIGHT, FIRST, FRAMES = 128, 72, 1001, 8
RADIUS, STEP = 16.0, 3.0


def place(frame: int) -> tuple[float, float]:
    """Return x, y of the disc's middle."""
    return 40.0 + STEP * (frame - FIRST), 36.0


def truth(frame: int) -> np.ndarray:
    """Return the disc, (H, W) 0 or 1."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = place(frame)
    return (np.hypot(columns - x, rows - y) <= RADIUS).astype(np.float32)


def picture(frame: int) -> np.ndarray:
    """Return (H, W, 3) 0..1."""
    rng = np.random.default_rng(3)
    wall, spots = (cv2.GaussianBlur(rng.random((HEIGHT, 2 * WIDTH)), (0, 0), 1.5) for _ in range(2))
    wall, spots = ((each - each.min()) / np.ptp(each) for each in (wall, spots))
    shift = np.float32([[1, 0, STEP * (frame - FIRST)], [0, 1, 0]])
    moved = cv2.warpAffine(spots, shift, (2 * WIDTH, HEIGHT), borderMode=cv2.BORDER_WRAP)[:, :WIDTH]
    inside = truth(frame)[..., None]
    subject = moved[..., None] * np.float32([0.9, 0.5, 0.1])
    behind = wall[:, :WIDTH, None] * np.float32([0.2, 0.4, 0.8])
    return (inside * subject + (1 - inside) * behind).astype(np.float32)


def write_plate(folder: Path, frames: range = range(FIRST, FIRST + FRAMES)) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        write_image(folder / f"plate.{frame}.exr", picture(frame), ("R", "G", "B"), scene="12")
    return str(folder / "plate.####.exr")


def write_mask(folder: Path, frame: int = FIRST) -> str:
    path = folder / f"mask.{frame}.exr"
    write_image(path, truth(frame)[..., None], ("A",))
    return str(path)


def overlap(mask: np.ndarray, frame: int) -> float:
    """Return the intersection with the disc over the union."""
    ours, theirs = mask > 0.5, truth(frame) > 0.5
    return float((ours & theirs).sum() / (ours | theirs).sum())
