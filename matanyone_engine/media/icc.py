# SPDX-License-Identifier: Apache-2.0
"""Finds the encoding that an ICC profile describes, by its numbers, since makers give one space many names.

Profiles of three primaries and three curves (matrix/TRC) are read, and profiles that have the codes of ITU-T H.273 (a
cicp tag). Other profiles with tables of colours are not. The layout is that of ICC.1:2022.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.encodings import PRIMARIES, Curve, Encoding, curve_named, of_h273

_HEADER = 128
_MOST_TAGS = 200
_D50 = np.array([0.9642, 1.0, 0.8249])
"""The white point of all profiles, as X, Y and Z."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_NEAR = 0.004
"""The largest difference of X, Y or Z of a colorant that is ignored: makers round, and adapt to D50 differently."""
_PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
"""The parameters of each function of a parametricCurveType, in their order."""

Colorants = NDArray[np.float64]


@lru_cache(maxsize=32)
def encoding_of(profile: bytes) -> Encoding:
    """Return the names of a profile's primaries and curve; '' for those not in encodings.py, and if it is damaged."""
    try:
        tags = _tags(profile)
        if "cicp" in tags:
            return of_h273(tags["cicp"][8], tags["cicp"][9])
        if profile[16:20] == b"GRAY":
            return Encoding("Rec.709", curve_named(_curve(tags["kTRC"])))
        if profile[16:20] != b"RGB " or "A2B0" in tags:
            return Encoding("", "")
        return Encoding(_primaries(tags), _common_curve(tags))
    except (KeyError, IndexError, ValueError, ZeroDivisionError, struct.error):
        return Encoding("", "")


def _tags(profile: bytes) -> Mapping[str, bytes]:
    """Return the content of each tag, its type included, by the tag's signature."""
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    if count > _MOST_TAGS:
        raise ValueError(count)
    entries = [struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number) for number in range(count)]
    return {name.decode("latin-1"): profile[at : at + size] for name, at, size in entries}


def _primaries(tags: Mapping[str, bytes]) -> str:
    colorants = np.array([_fixed(tags[name], 3) for name in ("rXYZ", "gXYZ", "bXYZ")]).T
    known = ((name, _colorants(xy)) for name, xy in PRIMARIES.items())
    return next((name for name, matrix in known if np.abs(matrix - colorants).max() < _NEAR), "")


def _common_curve(tags: Mapping[str, bytes]) -> str:
    """Return the curve's name; '' where red, green and blue have different ones."""
    names = {curve_named(_curve(tags[name])) for name in ("rTRC", "gTRC", "bTRC")}
    return names.pop() if len(names) == 1 else ""


def _fixed(tag: bytes, count: int, at: int = 8) -> list[float]:
    """Return `count` fixed-point numbers with 16 bits before and 16 bits after the point."""
    return [value / 65536 for value in struct.unpack_from(f">{count}i", tag, at)]


def _curve(tag: bytes) -> Curve:
    """Return the function of a curveType or a parametricCurveType."""
    if tag[:4] == b"para":
        return _parametric(tag)
    if tag[:4] != b"curv":
        raise ValueError(tag[:4])
    (count,) = struct.unpack_from(">I", tag, 8)
    if count <= 1:
        gamma = struct.unpack_from(">H", tag, 12)[0] / 256 if count else 1.0
        return lambda codes: codes**gamma
    table = np.frombuffer(tag, ">u2", count, 12) / 65535
    return lambda codes: np.interp(codes, np.linspace(0, 1, count), table)


def _parametric(tag: bytes) -> Curve:
    (kind,) = struct.unpack_from(">H", tag, 8)
    names = _PARAMETERS[kind]
    value = dict.fromkeys("abcdefg", 0.0) | {"a": 1.0} | dict(zip(names, _fixed(tag, len(names), 12), strict=True))
    a, b, c, d, e, f, g = (value[name] for name in "abcdefg")
    if kind in (1, 2):  # a power above -b / a, and the constant c below
        e, f, c, d = c, c, 0.0, -b / a

    def light(codes: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = np.maximum(a * codes + b, 0) ** g + e
        return np.where(codes >= d, powers, c * codes + f)

    return light


def _colorants(xy: tuple[float, ...]) -> Colorants:
    """Return X, Y, Z of red, green and blue as columns, adapted to D50 by Bradford's matrix, as in profiles."""
    corners = np.array(xy).reshape(4, 2)
    red, green, blue, white = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in corners)
    directions = np.column_stack([red, green, blue])
    matrix = directions * np.linalg.solve(directions, white)
    to_d50 = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ to_d50 @ _BRADFORD @ matrix)
