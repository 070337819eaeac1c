# SPDX-License-Identifier: Apache-2.0
"""Holds roto shapes, as far as they are asked for: polygons whose points are keyed together. They are saved as JSON,
unlike Nuke's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator


class AnimControlPoint:
    """Holds a point over time, in pixels from the bottom left."""

    def __init__(self) -> None:
        self.keys: dict[float, tuple[float, float]] = {}
        self.still = (0.0, 0.0)
        """Where it is without a key."""

    def addPositionKey(self, time: float, positionOrDim: tuple[float, float], view: str = "main") -> None:
        self.keys[float(time)] = positionOrDim

    def getControlPointKeyTimes(self, view: str = "main") -> list[float]:
        return sorted(self.keys)

    def at(self, time: float) -> tuple[float, float]:
        times = sorted(self.keys)
        if not times:
            return self.still
        low = max([each for each in times if each <= time] or times[:1])
        high = min([each for each in times if each >= time] or times[-1:])
        share = 0.0 if high == low else (time - low) / (high - low)
        (x0, y0), (x1, y1) = self.keys[low], self.keys[high]
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


class ShapeControlPoint:
    def __init__(self) -> None:
        self.center = AnimControlPoint()


class Shape:
    """Holds a polygon."""

    def __init__(self, knob: object = None, *points: tuple[float, float]) -> None:
        self.points: list[ShapeControlPoint] = []
        for place in points:
            self.points.append(ShapeControlPoint())
            self.points[-1].center.still = place

    def __getitem__(self, number: int) -> ShapeControlPoint:
        return self.points[number]

    def __iter__(self) -> Iterator[ShapeControlPoint]:
        return iter(self.points)

    def key(self, frame: float, polygon: list[tuple[float, float]]) -> None:
        """Draw it on a frame (for tests; the real API sets point by point)."""
        while len(self.points) < len(polygon):
            self.points.append(ShapeControlPoint())
        for point, place in zip(self.points, polygon):
            point.center.keys[float(frame)] = place


class Layer:
    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def __iter__(self) -> Iterator[Shape]:
        return iter(self.shapes)

    def append(self, element: Shape) -> None:
        self.shapes.append(element)

    def _save(self) -> str:
        keys = [[sorted(point.center.keys.items()) for point in shape] for shape in self.shapes]
        return json.dumps(keys).replace("[", "(").replace("]", ")")

    def _load(self, text: str) -> None:
        for points in json.loads(text.replace("(", "[").replace(")", "]")):
            shape = Shape()
            for keys in points:
                point = ShapeControlPoint()
                point.center.keys = {float(time): (place[0], place[1]) for time, place in keys}
                shape.points.append(point)
            self.append(shape)
