# SPDX-License-Identifier: Apache-2.0
"""Writes shapes as the script text of one Roto node, which Nuke opens or takes from the clipboard.

Nuke counts y from the bottom. Handles and feathers are offsets from their point. What is written first lies on top, so
holes come before the islands around them; they are drawn in black. Each point has keys of its own: as many as it needs
whether Nuke moves it between them on straight lines or on smooth ones.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from matanyone_engine.shapes.feather import inwards
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, Numbers, Shape, ShapeSet

_POINT_SHARE = 0.5
"""Of the shapes' error: how far a point may be off between its own keys; its handles, twice as far."""
_LAYER = "pt1x 0 pt1y 0 pt2x 0 pt2y 0 pt3x 0 pt3y 0 pt4x 0 pt4y 0"
_FRAME_RANGE = 4
"""The number of Nuke's lifetime type 'frame range'."""


def to_nk(shapes: ShapeSet) -> str:
    """Return the script text of a Roto node that draws the shapes into alpha."""
    ordered = sorted(shapes.shapes, key=lambda shape: -shape.depth)
    centre = f"{number(shapes.size.width / 2)} {number(shapes.size.height / 2)}"
    lines = [
        "set cut_paste_input [stack 0]",
        "push $cut_paste_input",
        "Roto {",
        " output alpha",
        " cliptype none",
        " curves {{{v x3f99999a}",
        "  {f 0}",
        "  {n",
        "   {layer Root",
        "    {f 2097152}",
        f"    {{t {centre}}}",
        f"    {{a {_LAYER}}}",
        *(_shape(shape, shapes) for shape in ordered),
        "   }}}}",
        " name MatAnyoneShapes",
        "}",
    ]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return a number as Nuke's curves write it: whole ones in digits, others as the bits of a 32-bit float."""
    if value == int(value) and abs(value) < 10000:
        return str(int(value))
    return f"x{struct.unpack('<I', struct.pack('<f', value))[0]:08x}"


def point_key_counts(shape: Shape, shapes: ShapeSet) -> list[int]:
    """Return how many keys each point of a shape gets."""
    values = _values(shape, shapes.size.height)
    return [len(point_keys(own, shapes.error * _POINT_SHARE)) for own in np.moveaxis(values, 1, 0)]


def _shape(shape: Shape, shapes: ShapeSet) -> str:
    values = _values(shape, shapes.size.height)
    line, soft = [], []
    for own in np.moveaxis(values, 1, 0):
        keyed = point_keys(own, shapes.error * _POINT_SHARE)
        times = [shape.first + row for row in keyed]
        line.append(_point(times, own[keyed][:, [0, 1, 2, 3, 4, 5]]))
        soft.append(_point(times, own[keyed][:, [0, 1, 6, 7, 4, 5]]))
    outer = _control_curve(soft) if values[:, :, 6:].any() else "idem"
    colour = 0 if shape.hole else 1
    pivot = " ".join(number(float(value)) for value in values[0, :, 2:4].mean(axis=0))
    life = f"ltn {number(shape.first)} ltm {number(shape.last)} ltt {_FRAME_RANGE}"
    return (
        f"    {{curvegroup {shape.name} 512 bezier\n"
        f"     {{{_control_curve(line)}\n      {outer}}}\n"
        f"     {{t {pivot}}}\n"
        f"     {{a r {colour} g {colour} b {colour} a {colour} str 1 sb 1 {life}}}}}"
    )


def _values(shape: Shape, height: int) -> Numbers:
    """Return (frames, points, 8): handle, place, handle and feather of each point, x and y as Nuke has them."""
    there = [shape.at(frame) for frame in range(shape.first, shape.last + 1)]
    points = np.stack([key.points for key in there if key is not None])
    ends = np.stack([inwards(key.points, -key.feather) for key in there if key is not None])
    up = points * (1, -1) + (0, height)
    places = up[:, :, CENTRE]
    feather = (ends - points)[:, :, CENTRE] * (1, -1)
    return np.concatenate([up[:, :, LEFT] - places, places, up[:, :, RIGHT] - places, feather], axis=2)


def _control_curve(points: Sequence[str]) -> str:
    return "{cc\n       {f 8192}\n       {p\n" + _lines(points) + "}}"


def _lines(points: Sequence[str]) -> str:
    return "\n".join(f"        {point}" for point in points)


def _point(times: Sequence[int], values: Numbers) -> str:
    """Write the three pairs of a point: before it, itself, after it. values: (keys, 6)."""
    pairs = [(values[:, at], values[:, at + 1]) for at in (0, 2, 4)]
    return " ".join(f"{{{_curve(times, x)} {_curve(times, y)}}}" for x, y in pairs)


def _curve(times: Sequence[int], values: Numbers) -> str:
    """Write a value that is the same on all keys as a number, and any other as a curve."""
    if np.ptp(values) < 1e-6:
        return number(float(values[0]))
    keys = " ".join(f"{{{number(time)} {number(float(value))}}}" for time, value in zip(times, values, strict=True))
    return f"{{{keys}}}"


def point_keys(values: Numbers, error: float) -> list[int]:
    """Return the rows of values (frames, 8) that need a key, so that the others are near however Nuke goes between.

    values: handle, place, handle, feather, x and y each. The places may be off by `error`, the others by twice as much.
    """
    scaled = values / np.array([2, 2, 1, 1, 2, 2, 2, 2])[: values.shape[1]]
    keyed = sorted({0, len(values) - 1})
    while True:
        off = np.maximum(*(np.abs(way(keyed, scaled) - scaled).max(axis=1) for way in (straight, smooth)))
        worst = int(off.argmax())
        if off[worst] <= error:
            return keyed
        keyed = sorted({*keyed, worst})


def straight(keyed: Sequence[int], values: Numbers) -> Numbers:
    """Return (frames, n): the values on all frames, on straight lines between those of the keyed frames."""
    rows = np.arange(len(values))
    return np.stack([np.interp(rows, keyed, column[keyed]) for column in values.T], axis=1)


def smooth(keyed: Sequence[int], values: Numbers) -> Numbers:
    """Return (frames, n): the same on cubics whose slope at a key is that of the line between the keys beside it."""
    if len(keyed) < 2:
        return np.repeat(values[keyed], len(values), axis=0)
    times = np.asarray(keyed, np.float64)
    own = values[keyed]
    slopes = np.gradient(own, times, axis=0, edge_order=1) if len(keyed) == 2 else _slopes(times, own)
    rows = np.arange(len(values))
    after = np.clip(np.searchsorted(times, rows, side="right"), 1, len(times) - 1)
    length = (times[after] - times[after - 1])[:, None]
    share = (rows[:, None] - times[after - 1][:, None]) / length
    rest = 1 - share
    return np.asarray(
        own[after - 1] * (1 + 2 * share) * rest**2
        + own[after] * (3 - 2 * share) * share**2
        + slopes[after - 1] * length * share * rest**2
        - slopes[after] * length * share**2 * rest
    )


def _slopes(times: Numbers, own: Numbers) -> Numbers:
    middle = (own[2:] - own[:-2]) / (times[2:] - times[:-2])[:, None]
    first, last = (own[1] - own[0]) / (times[1] - times[0]), (own[-1] - own[-2]) / (times[-1] - times[-2])
    return np.concatenate([first[None], middle, last[None]])
