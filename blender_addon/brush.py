# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the strokes of a brush into the areas in which alphas are refined (docs/refine_area.md). No bpy.

    Canvas      a mask that strokes are painted on, one spot after the other
    strokes_from, text_of      strokes as the .blend keeps them
    write_areas                the files that the engine is given; for the network thread

A stroke is white, or with `erase` black. It is soft: full up to half its radius, and nothing beyond it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import plan
from .exr import write_mask
from .raster import drawn_note

_SOFT = 0.5
"""Of a brush's radius: how far its soft edge reaches in."""


@dataclass(frozen=True)
class Stroke:
    """Holds a stroke. It is painted anew at any size."""

    points: tuple[tuple[float, float], ...]
    """0 to 1 across the picture, from the bottom left."""
    radius: float
    """As a part of the picture's height."""
    erase: bool = False


def text_of(strokes: Iterable[Stroke]) -> str:
    """Return strokes as the .blend keeps them."""
    return json.dumps([asdict(each) for each in strokes])


def strokes_from(text: str) -> tuple[Stroke, ...]:
    """Read what text_of() has said; none where that is nothing of it."""
    try:
        return tuple(
            Stroke(tuple((float(x), float(y)) for x, y in said["points"]), float(said["radius"]), bool(said["erase"]))
            for said in json.loads(text)
        )
    except (ValueError, TypeError, KeyError):
        return ()


class Canvas:
    """Holds a mask of one size. `values`: numpy, float32, (height, width), 0 to 1, the bottom row first."""

    def __init__(self, width: int, height: int) -> None:
        import numpy as np

        self._width, self._height = width, height
        self.values: Any = np.zeros((height, width), np.float32)
        self._below: Any = None
        self._stroke: Any = None
        self._last: tuple[float, float] | None = None

    def paint(self, strokes: Iterable[Stroke]) -> None:
        """Paint whole strokes."""
        for stroke in strokes:
            self.begin()
            for point in stroke.points:
                self.add(point, stroke.radius, stroke.erase)

    def begin(self) -> None:
        """Begin a stroke on top of what is there."""
        import numpy as np

        self._below, self._last = self.values.copy(), None
        self._stroke = np.zeros_like(self.values)

    def add(self, point: tuple[float, float], radius: float, erase: bool) -> None:
        """Go on with the stroke to this point. point, radius: as a Stroke has them."""
        import numpy as np

        here = (point[0] * self._width, point[1] * self._height)
        last, reach = self._last or here, max(radius * self._height, 0.5)
        window = self._window(last, here, reach)
        self._stroke[window] = np.maximum(self._stroke[window], self._covered(window, last, here, reach))
        self._last = here
        painted, below = self._stroke[window], self._below[window]
        self.values[window] = below * (1 - painted) if erase else np.maximum(below, painted)

    def _window(self, one: tuple[float, float], other: tuple[float, float], reach: float) -> tuple[slice, slice]:
        """Return the part of the picture that a piece of a stroke can reach."""
        sides = []
        for axis, most in ((1, self._height), (0, self._width)):
            low, high = sorted((one[axis], other[axis]))
            sides.append(slice(min(max(int(low - reach), 0), most), min(max(int(high + reach) + 1, 0), most)))
        return sides[0], sides[1]

    def _covered(self, window: tuple[slice, slice], one: Any, other: Any, reach: float) -> Any:
        """Return how far each pixel of a window is covered by the piece from one point to the other."""
        import numpy as np

        y, x = (np.arange(side.start, side.stop, dtype=np.float32) + 0.5 for side in window)
        along = (other[0] - one[0], other[1] - one[1])
        length = along[0] ** 2 + along[1] ** 2
        right, up = x[None, :] - one[0], y[:, None] - one[1]
        part = np.clip((right * along[0] + up * along[1]) / length, 0, 1) if length else 0
        away = np.hypot(right - part * along[0], up - part * along[1])
        return np.clip((reach - away) / max(reach * _SOFT, 1.0), 0, 1)


def write_areas(
    pattern: str, strokes: Mapping[int, str], size: tuple[int, int], check: Callable[[], None] = lambda: None
) -> None:
    """Write a mask for each frame that was painted on, and take others of these names off the disk. Raises OSError.

    size: width and height of the plate. check: called now and then; what it raises ends the work.
    """
    drawn_note(pattern).unlink(missing_ok=True)  # what a Mask was drawn into files of these names before is gone
    for frame in set(plan.frames_on_disk(pattern)) - set(strokes):
        Path(plan.file_of(pattern, frame)).unlink(missing_ok=True)
    for frame, text in strokes.items():
        check()
        canvas = Canvas(*size)
        canvas.paint(strokes_from(text))
        rows = [row.tobytes() for row in canvas.values[::-1].astype("<f4")]
        write_mask(Path(plan.file_of(pattern, frame)), size, rows, zipped=True)
