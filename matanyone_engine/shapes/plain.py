# SPDX-License-Identifier: Apache-2.0
"""Writes shapes as plain JSON, which docs/shapes.schema.json describes and the Blender extension imports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from matanyone_engine.shapes.shape import Shape, ShapeKey, ShapeSet
from matanyone_engine.sizes import Resolution
from matanyone_engine.version import __version__

FORMAT = "matanyone-shapes"
VERSION = 1
_DIGITS = 3
"""Of a pixel: positions are rounded to a thousandth."""


def to_json(shapes: ShapeSet) -> str:
    """Return the text of a file."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"matanyone-engine {__version__}",
        "width": shapes.size.width,
        "height": shapes.size.height,
        "first": shapes.frames[0],
        "last": shapes.frames[-1],
        "error": shapes.error,
        "shapes": [_shape(each) for each in shapes.shapes],
    }
    return json.dumps(body, indent=1) + "\n"


def _shape(shape: Shape) -> dict[str, Any]:
    return {
        "name": shape.name,
        "hole": shape.hole,
        "depth": shape.depth,
        "first": shape.first,
        "last": shape.last,
        "keys": [{"frame": key.frame, "points": _points(key)} for key in shape.keys],
    }


def _points(key: ShapeKey) -> list[list[float]]:
    rows = np.concatenate([key.points.reshape(len(key.points), 6), key.feather[:, None]], axis=1)
    return [[round(value, _DIGITS) for value in row] for row in rows.tolist()]


def from_json(text: str) -> ShapeSet:
    """Return the shapes of a file that to_json() wrote. Raises KeyError and ValueError for any other text."""
    body = json.loads(text)
    if body["format"] != FORMAT or body["version"] != VERSION:
        raise ValueError(f"{body['format']} {body['version']}")
    shapes = tuple(
        Shape(each["name"], each["depth"], each["last"], tuple(_key(key) for key in each["keys"]))
        for each in body["shapes"]
    )
    frames = tuple(range(body["first"], body["last"] + 1))
    return ShapeSet(Resolution(body["width"], body["height"]), frames, shapes, body["error"])


def _key(body: dict[str, Any]) -> ShapeKey:
    rows = np.array(body["points"], np.float64)
    return ShapeKey(body["frame"], rows[:, :6].reshape(-1, 3, 2), rows[:, 6])
