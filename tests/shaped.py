# SPDX-License-Identifier: Apache-2.0
"""Small alphas whose shapes are known: a ring that moves and grows, and a disc that appears later."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from matanyone_engine.jobs.shape_files import MadeShapes, frames_of
from matanyone_engine.shapes.build import ShapeRules, follow_outlines, shape_of
from matanyone_engine.shapes.flow import AlphaFlow
from matanyone_engine.shapes.shape import ShapeSet
from matanyone_engine.sizes import Size

SIZE = Size(120, 160)
FRAMES = tuple(range(1001, 1009))
DISC_FROM = 1004


def disc(x: float, y: float, radius: float, fade: float = 1.0) -> npt.NDArray[np.float32]:
    """Draw a disc with a straight fade of so many pixels around its edge."""
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width] + 0.5
    return np.clip(0.5 + (radius - np.hypot(columns - x, rows - y)) / fade, 0, 1).astype(np.float32)


def alpha_of(frame: int) -> npt.NDArray[np.float32]:
    """Draw the ring, which moves by 3 pixels a frame and grows, and the disc from DISC_FROM on."""
    step = frame - FRAMES[0]
    ring = disc(50 + 3 * step, 60, 30 + step, fade=4.0) - disc(50 + 3 * step, 60, 12)
    return np.maximum(ring, disc(135, 25, 12)) if frame >= DISC_FROM else ring


def shapes(rules: ShapeRules | None = None) -> MadeShapes:
    """Make the shapes of these alphas."""
    rules = rules or ShapeRules()
    kept, left_out = follow_outlines(((frame, alpha_of(frame)) for frame in FRAMES), AlphaFlow(alpha_of), rules)
    made = tuple(shape_of(number, track, alpha_of, rules) for number, track in enumerate(kept, start=1))
    return MadeShapes(ShapeSet(SIZE.resolution, FRAMES, made, rules.error), frames_of(left_out))
