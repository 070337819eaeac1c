# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes that `matanyone-engine shapes` has written as JSON, read and checked. No bpy.

docs/shapes.schema.json of the engine describes the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import plan

FORMAT, VERSION = "matanyone-shapes", 1
_NUMBERS = 7
"""Of a point: handle, point and handle, x and y each, and how far its feather reaches."""

Points = list[list[float]]


@dataclass(frozen=True)
class FileShape:
    """Holds one closed spline and its keys."""

    name: str
    hole: bool
    depth: int
    first: int
    last: int
    keys: dict[int, Points]

    def at(self, frame: int) -> Points:
        """Return where the points are on a frame; before the first key and after the last one, where they are on it."""
        before = max((each for each in self.keys if each <= frame), default=min(self.keys))
        after = min((each for each in self.keys if each >= frame), default=max(self.keys))
        if before == after:
            return self.keys[before]
        share = (frame - before) / (after - before)
        return [
            [a + share * (b - a) for a, b in zip(one, other, strict=True)]
            for one, other in zip(self.keys[before], self.keys[after], strict=True)
        ]


@dataclass(frozen=True)
class ShapeFile:
    """Holds all shapes of a shot, islands before the holes in them."""

    width: int
    height: int
    first: int
    last: int
    shapes: list[FileShape]

    def keyed(self) -> list[int]:
        """Return the frames on which any shape has a key."""
        return sorted({frame for shape in self.shapes for frame in shape.keys})


def read(file: Path) -> ShapeFile:
    """Read a file. Raises WireError where it is none of the engine's, or damaged."""
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        if body["format"] != FORMAT or body["version"] != VERSION:
            raise ValueError(f"{body['format']} {body['version']}")
        shapes = sorted((_shape(each) for each in body["shapes"]), key=lambda shape: shape.depth)
        return ShapeFile(int(body["width"]), int(body["height"]), int(body["first"]), int(body["last"]), shapes)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise plan.refused(
            f"expected a file that 'matanyone-engine shapes' has written as .json, got {file.name!r} ({error})",
            'Write one: matanyone-engine shapes "alpha.####.exr" --out shot.json',
        ) from error


def _shape(body: dict) -> FileShape:
    keys = {int(key["frame"]): [[float(value) for value in row] for row in key["points"]] for key in body["keys"]}
    counts = {len(points) for points in keys.values()}
    if len(counts) != 1 or counts == {0} or any(len(row) != _NUMBERS for points in keys.values() for row in points):
        raise ValueError(f"{body['name']}: keys without points, or with different numbers of them")
    return FileShape(
        str(body["name"]), bool(body["hole"]), int(body["depth"]), int(body["first"]), int(body["last"]), keys
    )
