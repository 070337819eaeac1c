# SPDX-License-Identifier: Apache-2.0
"""Draws a shot's scores as curves over its frames, in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.training.metrics import FrameScores
from matanyone_engine.training.pictures import write_picture

PLOTTED = {"mad": "MAD x 1000", "dtssd": "dtSSD x 100", "edge": "edge error x 1000", "core": "core error x 1000"}

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP = 960, 170, 76, 24, 30
_INK, _GRID, _PAPER = (235, 200, 90), (70, 70, 70), 28


def write_score_plot(path: Path, scores: Mapping[int, FrameScores]) -> None:
    """Write an 8-bit PNG, atomically, with a panel for each metric: frames along x, and scores from 0 along y."""
    frames = sorted(scores)
    panels = [_panel(title, frames, [getattr(scores[f], name) for f in frames]) for name, title in PLOTTED.items()]
    write_picture(path, np.concatenate(panels))


def _panel(title: str, frames: Sequence[int], values: Sequence[float]) -> NDArray[np.uint8]:
    panel = np.full((_PANEL + _TOP, _WIDTH, 3), _PAPER, np.uint8)
    top = max(*values, 1e-9) if len(values) > 1 else max(values[0], 1e-9)
    span = max(frames[-1] - frames[0], 1)
    bottom = _PANEL + _TOP - 26
    for share in (0.0, 0.5, 1.0):
        height = round(bottom - share * (bottom - _TOP))
        cv2.line(panel, (_LEFT, height), (_WIDTH - _RIGHT, height), _GRID)
        _text(panel, f"{share * top:.3g}", (8, height + 5))
    x = [_LEFT + (frame - frames[0]) / span * (_WIDTH - _RIGHT - _LEFT) for frame in frames]
    y = [bottom - value / top * (bottom - _TOP) for value in values]
    points = np.round(16 * np.stack([x, y], axis=1)).astype(np.int32)
    cv2.polylines(panel, [points], False, _INK, 2, cv2.LINE_AA, 4)
    _text(panel, title, (_LEFT, _TOP - 12))
    _text(panel, str(frames[0]), (_LEFT, bottom + 20))
    _text(panel, str(frames[-1]), (_WIDTH - _RIGHT - 50, bottom + 20))
    return panel


def _text(panel: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (215, 215, 215), 1, cv2.LINE_AA)
