# SPDX-License-Identifier: Apache-2.0
"""Names the colour spaces that files describe by numbers: by primaries and a curve, or by the codes of ITU-T H.273.

An encoding is a pair of names, of primaries and of a curve. No file is read here. What is not in these tables has no
name, and the artist must then name the space: a similar one would give plausible pixels of wrong colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps codes 0..1 to light 0..1."""


class Encoding(NamedTuple):
    """Holds the names of primaries and of a curve, such as 'P3' and 'sRGB'; '' for unknown ones."""

    primaries: str
    curve: str


_D65 = (0.3127, 0.3290)
_ACES_WHITE = (0.32168, 0.33767)
PRIMARIES: dict[str, tuple[float, ...]] = {
    "Rec.709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65),
    "P3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    "Rec.2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    "Adobe RGB": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65),
    "AP1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, *_ACES_WHITE),
    "AP0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, *_ACES_WHITE),
}
"""x and y of red, green, blue and white, as their standards publish them."""
_NEAR = 0.003
"""The largest difference of an x or y that is ignored: files round them, some D65's white to three digits."""

_SPACES = {
    ("Rec.709", "sRGB"): "srgb_rec709_scene",
    ("Rec.709", "linear"): "lin_rec709_scene",
    ("Rec.709", "gamma 1.8"): "g18_rec709_scene",
    ("Rec.709", "gamma 2.2"): "g22_rec709_scene",
    ("Rec.709", "gamma 2.4"): "Gamma 2.4",
    ("Rec.709", "BT.709"): "Rec.709",
    ("P3", "sRGB"): "srgb_p3d65_scene",
    ("P3", "linear"): "lin_p3d65_scene",
    ("P3", "gamma 2.6"): "g26_p3d65_display",
    ("P3", "PQ"): "pq_p3d65_display",
    ("Rec.2020", "linear"): "lin_rec2020_scene",
    ("Rec.2020", "PQ"): "pq_rec2020_display",
    ("Rec.2020", "HLG"): "hlg_rec2020_display",
    ("Adobe RGB", "gamma 2.2"): "g22_adobergb_scene",
    ("Adobe RGB", "linear"): "lin_adobergb_scene",
    ("AP1", "sRGB"): "srgb_ap1_scene",
    ("AP1", "gamma 2.2"): "g22_ap1_scene",
    ("AP1", "linear"): "lin_ap1_scene",
    ("AP0", "linear"): "lin_ap0_scene",
}
"""Names of spaces in old and new OpenColorIO configs; color_spaces.py finds that of the config in use."""

_SAME_LIGHT = 0.003
"""The largest difference, in light, of two curves that count as the same: sRGB and gamma 2.2 differ by 0.009."""


def space_of(encoding: Encoding) -> str:
    """Return the name of a colour space; '' where no config has one."""
    return _SPACES.get(encoding, "")


def primaries_named(xy: Sequence[float]) -> str:
    """Return the name of primaries, given as x and y of red, green, blue and white; '' for unknown ones."""
    found = (name for name, known in PRIMARIES.items() if np.allclose(xy, known, rtol=0, atol=_NEAR))
    return next(found, "")


def curve_named(curve: Curve) -> str:
    """Return the name of the curve that gives the same light as this one; '' if there is none."""
    codes = np.linspace(0, 1, 65)
    light = curve(codes)
    near = (name for name, known in _CURVES.items() if np.abs(known(codes) - light).max() < _SAME_LIGHT)
    return next(near, "")


def gamma_named(exponent: float) -> str:
    """Return the name of a curve that is a power of the code: 'gamma 2.2', 'linear'; '' for another power."""
    return curve_named(_power(exponent))


def _power(exponent: float) -> Curve:
    return lambda codes: codes**exponent


def _from_srgb(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def _from_bt709(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(codes < 0.081, codes / 4.5, ((codes + 0.099) / 1.099) ** (1 / 0.45))


_CURVES: dict[str, Curve] = {
    "sRGB": _from_srgb,
    "linear": _power(1.0),
    "gamma 1.8": _power(1.8),
    "gamma 2.2": _power(2.2),
    "gamma 2.4": _power(2.4),
    "gamma 2.6": _power(2.6),
    "BT.709": _from_bt709,
}

# ---------------------------------------------------------------------------------------------------- ITU-T H.273

UNSPECIFIED = 2
"""H.273's code for unspecified primaries and transfer characteristics."""
_PRIMARIES_BY_CODE = {1: "Rec.709", 9: "Rec.2020", 12: "P3"}
_CURVES_BY_CODE = {4: "gamma 2.2", 8: "linear", 13: "sRGB", 16: "PQ", 18: "HLG"} | dict.fromkeys(
    (1, 6, 14, 15), "BT.709"
)


def of_h273(primaries: int, transfer: int) -> Encoding:
    """Return the encoding that H.273's ColourPrimaries and TransferCharacteristics mean; '' for unknown codes."""
    return Encoding(_PRIMARIES_BY_CODE.get(primaries, ""), _CURVES_BY_CODE.get(transfer, ""))
