# SPDX-License-Identifier: Apache-2.0
"""Converts a plate to what the network sees. No other module has transfer functions.

Rules of this file:
1. Every curve and matrix is OpenColorIO's (through OpenImageIO). Only exposure and the shoulder are added here, to the
   network's copy: the plate's own array is never changed.
2. A transform is measured once and kept as a matrix and tables, if these give the same values. If not, OpenColorIO
   converts every frame (docs/decisions/DR007-network-view.md).
3. A conversion to NaN is an error, never a black pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from matanyone_engine.errors import ColourError, SettingError
from matanyone_engine.media.color_spaces import LINEAR, SRGB, config_name, engine_space, known_space
from matanyone_engine.media.images import FloatImage, last_error

Table = NDArray[np.float32]

KNEE = 0.9
"""Display value (sRGB encoded) up to which a scene-referred plate is shown as it is; 0.787 in linear light."""

MOST_EXPOSURE = 16.0
"""The largest exposure, in stops up or down. It is more than the range of any camera."""

MIDDLE_GREY = 0.18
"""Middle grey in linear light, where white is 1."""

_VERY_DARK = MIDDLE_GREY / 4.0
"""A plate whose brightest tenth is darker than this, two stops below middle grey, is made brighter for the network."""
_FAR_ABOVE_WHITE = 2.0
"""A plate of which more than half is brighter than this does not use 1 for white, and is made darker for the
network."""
_MOST_FOUND = 8.0
"""The largest exposure that find_exposure() returns, in stops up or down. Weaker light is noise."""
_PIXELS_LOOKED_AT = 1 << 18

_CODES = 65535
_DROPPED = 13
"""Low bits of a float that are dropped to make a step: a step has the ten binary digits of a half float, and the range
of a float."""
_STEPS = (np.arange(1 << (32 - _DROPPED), dtype=np.uint32) << np.uint32(_DROPPED)).view(np.float32)
"""The values of all steps, in the order of their bits: those that are not negative come first, in ascending order."""
_INFINITY = 0x7F800000 >> _DROPPED
"""The number of the step that is infinity."""
_GREATEST = 65504.0
"""The greatest half float. Brighter values are shown as this one."""

_CURVE_STEPS = 1 << 16
"""Entries in the table of the sRGB curve: the nearest one is off by 1e-4 at most, a fortieth of an 8-bit step."""
_PICTURES = ("sRGB", "lin_rec709_scene", "ocio://default")
"""The encoded space, the linear space and the config for contact sheets, which look the same in every studio."""

_ROUNDING = 1e-4
"""The rounding error that float matrices may add to white or to black."""

_WAY_BACK = 1e-3
"""The largest difference of a value 0..1 after a conversion to linear light and back: a quarter of an 8-bit code."""

_STRIPE_ROWS = 16
"""Number of rows that are converted together, so that intermediate results stay in the CPU's cache."""


class Levels(NamedTuple):
    """Holds the shares of a plate's pixels, 0..1, that the network's view compresses or clips in any channel."""

    above_knee: float
    """Pixels in the shoulder, which are shown with less contrast. 0 if the network's view has no shoulder."""
    above_white: float
    """Pixels that are brighter than display white after exposure."""
    below_black: float
    """Negative pixels, which are shown as 0."""


class NetworkView:
    """Converts a plate to display-referred sRGB, 0..1, as the network sees it (texture encoding, no view transform).

    A scene-referred plate, linear or logarithmic, holds light above display white: it is compressed above KNEE by a
    soft shoulder and never clipped. A plate that is display-referred already (sRGB, Rec.709) ends at white and passes
    without a shoulder, sRGB bit for bit, unless exposure lifts it above white.
    """

    def __init__(self, space: str, exposure: float = 0.0) -> None:
        """space: a name as in spaces.known_space; exposure: stops, applied in linear light before everything else.

        Raises ColourError, SettingError.
        """
        self._way = _find_way(known_space(space), check_exposure(exposure), config_name())

    @property
    def name(self) -> str:
        """Return the transform for provenance: source, exposure, target, what became of highlights, and the config."""
        way = self._way
        exposed = f", exposure {way.exposure:+g} stops" if way.exposure else ""
        ended = f"soft shoulder from {KNEE}" if way.shoulder else "clipped to 0..1"
        return f"{way.space}{exposed} -> {way.target}, {ended} ({way.config})"

    @property
    def exposure(self) -> float:
        """Returns the exposure in stops."""
        return self._way.exposure

    def __call__(self, rgb: FloatImage) -> FloatImage:
        """Convert (H, W, 3) float32 in the plate's space to (H, W, 3) float32 sRGB 0..1; the argument is not altered.

        Raises ColourError where the transform gives no number (values the space cannot hold).
        """
        way = self._way
        if way.space == way.target and not way.exposure:
            return np.clip(rgb, 0.0, 1.0)
        seen = np.empty(rgb.shape, dtype=np.float32)
        for rows, linear in _linear_stripes(way, rgb):
            self._check_numbers(linear)
            np.take(way.tone, _nearest_steps(linear), out=seen[rows], mode="clip")
        return seen

    def _check_numbers(self, linear: FloatImage) -> None:
        with np.errstate(invalid="ignore"):  # the sum is NaN for Inf - Inf, too: the next line finds real NaN
            suspicious = np.isnan(linear.sum())
        if suspicious and np.isnan(linear).any():
            raise _no_transform(self.name, f"NaN in {int(np.isnan(linear).any(axis=-1).sum())} pixels")

    def levels(self, rgb: FloatImage) -> Levels:
        """Measure how much of a plate, (H, W, 3) in its space, the network's view cannot show in full contrast."""
        way = self._way
        white = 2.0**-way.exposure
        above_knee = above_white = below_black = 0
        for _, linear in _linear_stripes(way, rgb):
            brightest = linear.max(axis=-1)
            above_knee += int((brightest > way.knee).sum())
            above_white += int((brightest > white * (1.0 + _ROUNDING)).sum())
            below_black += int((linear.min(axis=-1) < -_ROUNDING).sum())
        pixels = rgb.shape[0] * rgb.shape[1]
        return Levels(above_knee / pixels if way.shoulder else 0.0, above_white / pixels, below_black / pixels)


class LinearLight:
    """Converts a plate's values to scene-linear light and back, for operations that mix light.

    The light has Rec.709's primaries. Colours outside of them have negative values, and are converted back correctly.
    """

    def __init__(self, space: str) -> None:
        """space: a name as in spaces.known_space. Raises ColourError where the config cannot convert back."""
        self.space = known_space(space)
        self._linear, self._config = engine_space(LINEAR), config_name()
        # The colours are muted: if one channel is a million times as bright as another, floats are not exact enough to
        # convert back.
        codes = np.linspace(0.1, 0.8, 4096, dtype=np.float32).reshape(64, 64, 1) + np.array(
            [0.1, 0.0, 0.05], np.float32
        )
        if not np.abs(self.back(self.of(codes)) - codes).max() < _WAY_BACK:
            raise _no_transform(
                f"{self.space} -> {self._linear} and back ({self._config})", "colours that are not the same afterwards"
            )

    def of(self, rgb: FloatImage) -> FloatImage:
        """Convert (H, W, 3) float32 in the plate's space to (H, W, 3) float32 scene-linear. Raises ColourError."""
        return _convert(rgb, self.space, self._linear, self._config)

    def back(self, light: FloatImage) -> FloatImage:
        """Convert scene-linear light back to the plate's space. Raises ColourError."""
        return _convert(light, self._linear, self.space, self._config)


def find_exposure(space: str, rgb: FloatImage) -> float:
    """Return the whole stops by which the network should see a plate, (H, W, 3) in its space, brighter.

    It is 0 for every plate that is not far off, so that ordinary dark shots stay as they are. A plate whose brightest
    tenth is two stops or more below middle grey is brightened until that tenth is about middle grey. A plate of which
    more than half is over twice as bright as white, as renders in physical units are, is darkened until its middle is
    about middle grey. A black plate stays as it is. Raises ColourError.
    """
    step = max(1, math.isqrt(rgb.shape[0] * rgb.shape[1] // _PIXELS_LOOKED_AT))
    looked_at = np.ascontiguousarray(rgb[::step, ::step])
    way = _find_way(known_space(space), 0.0, config_name())
    light = np.concatenate([linear.max(axis=-1).ravel() for _, linear in _linear_stripes(way, looked_at)])
    middle, bright = np.quantile(light[np.isfinite(light)], (0.5, 0.9)) if np.isfinite(light).any() else (0.0, 0.0)
    if 0.0 < bright <= _VERY_DARK:
        return float(min(round(math.log2(MIDDLE_GREY / bright)), _MOST_FOUND))
    if middle > _FAR_ABOVE_WHITE:
        return float(max(round(math.log2(MIDDLE_GREY / middle)), -_MOST_FOUND))
    return 0.0


def exposure_or_found(given: float | None, space: str, look: Callable[[], FloatImage]) -> float:
    """Return the given stops, or if they are None, those that find_exposure() finds. look: reads the plate, (H, W, 3)
    in its space; it is called only if the stops are None. Raises what `look` raises, and ColourError.
    """
    return find_exposure(space, look()) if given is None else given


def check_exposure(stops: float) -> float:
    """Return stops as it is. Raises SettingError unless it is a number of at most MOST_EXPOSURE either way."""
    if not (math.isfinite(stops) and abs(stops) <= MOST_EXPOSURE):
        raise SettingError(
            expected=f"an exposure from {-MOST_EXPOSURE:g} to {MOST_EXPOSURE:g} stops",
            came=f"{stops:g}",
            action="Give the stops by which the network shall see the plate brighter: --exposure 1.5.",
        )
    return float(stops)


def shoulder(encoded: FloatImage) -> FloatImage:
    """Map display values 0..inf to 0..1: the same up to KNEE, then ever flatter towards 1.

    With t = (y - KNEE) / (1 - KNEE) it is KNEE + (1 - KNEE) * t / (1 + t): slope 1 at the knee, so that there is no
    edge in a gradient; display white becomes (1 + KNEE) / 2, and no value, however bright, is lost.
    """
    over = np.maximum(np.float64(encoded) - KNEE, 0.0) / (1.0 - KNEE)
    bent = KNEE + (1.0 - KNEE) * over / (1.0 + over)
    return np.where(over > 0.0, bent, encoded).astype(np.float32)


def decode_srgb(encoded: FloatImage) -> FloatImage:
    """Convert (H, W, 3) display-referred sRGB to linear Rec.709, 0..1, the rest clipped: for pictures of 8 bits."""
    return _picture_curve(encodes=False)[_steps(encoded)]


def encode_srgb(linear: FloatImage) -> FloatImage:
    """Convert (H, W, 3) linear Rec.709 to display-referred sRGB, 0..1, the rest clipped: for pictures of 8 bits."""
    return _picture_curve(encodes=True)[_steps(linear)]


def _steps(values: FloatImage) -> NDArray[np.uint16]:
    return (np.clip(values, 0.0, 1.0) * np.float32(_CURVE_STEPS - 1) + np.float32(0.5)).astype(np.uint16)


@lru_cache(maxsize=2)
def _picture_curve(*, encodes: bool) -> FloatImage:
    """Return the sRGB curve at even steps from 0 to 1, by the built-in config, whatever $OCIO is. Loading it takes
    40 ms.
    """
    ramp = np.linspace(0.0, 1.0, _CURVE_STEPS, dtype=np.float32)
    encoded, linear, config = _PICTURES
    way = (linear, encoded) if encodes else (encoded, linear)
    return np.ascontiguousarray(_convert(np.repeat(ramp[None, :, None], 3, axis=2), *way, config)[0, :, 1])


# ------------------------------------------------------------------------------------------ from space to display


@dataclass(frozen=True)
class _Way:
    """Holds the conversion from a colour space to the network's view."""

    space: str
    linear: str
    target: str
    config: str
    exposure: float
    curve: Table | None
    """(65536,): the linear light of code / 65535; None where the space is linear, or is not one curve and a matrix."""
    matrix: Table | None
    """(3, 3), from linear light of the space to that of Rec.709; None where OpenColorIO must convert every frame."""
    shoulder: bool
    """Whether highlights are compressed by the shoulder; if not, they are clipped."""
    tone: Table
    """(524288,): display value 0..1 of each step of linear Rec.709 before exposure; _nearest_steps() gives the step."""
    knee: float
    """KNEE in linear light, before exposure."""


def _linear_stripes(way: _Way, rgb: FloatImage) -> Iterator[tuple[slice, FloatImage]]:
    """Yield linear Rec.709 before exposure, a few rows at a time."""
    by_tables = way.matrix is not None and (way.curve is None or _are_codes(rgb))
    matrix = way.matrix if by_tables else None
    light = rgb if by_tables else _convert(rgb, way.space, way.linear, way.config)
    for top in range(0, rgb.shape[0], _STRIPE_ROWS):
        rows = slice(top, top + _STRIPE_ROWS)
        yield rows, light[rows] if matrix is None else _convert_by_tables(way.curve, matrix, light[rows])


def _convert_by_tables(curve: Table | None, matrix: Table, rgb: FloatImage) -> FloatImage:
    """Convert to linear Rec.709 by curve and matrix."""
    light = rgb if curve is None else np.take(curve, (rgb * _CODES + 0.5).astype(np.uint16), mode="clip")
    return np.asarray(cv2.transform(np.ascontiguousarray(light, dtype=np.float32), matrix), dtype=np.float32)


def _are_codes(rgb: FloatImage) -> bool:
    """Return whether all values are 0..1, as in integer files: a curve's table covers no others."""
    return bool(rgb.min() >= 0.0 and rgb.max() <= 1.0)


def _nearest_steps(linear: FloatImage) -> NDArray[np.uint32]:
    """Return the number in _STEPS of the step nearest to each value; NaN is not allowed."""
    bits = np.ascontiguousarray(linear, dtype=np.float32).view(np.uint32)
    return (bits + np.uint32(1 << (_DROPPED - 1))) >> np.uint32(_DROPPED)


# ------------------------------------------------------------------------------------------ measuring OpenColorIO


@lru_cache(maxsize=16)
def _find_way(space: str, exposure: float, config: str) -> _Way:
    linear, target = engine_space(LINEAR), engine_space(SRGB)

    def to_linear(rgb: FloatImage) -> FloatImage:
        return _convert(rgb[None], space, linear, config)[0]

    curve, matrix = _find_tables(to_linear)
    shouldered = not _ends_at_white(to_linear) or exposure > 0
    encoded = _encode_steps(exposure, linear, target, config)
    tone = np.zeros(_STEPS.shape, dtype=np.float32)  # negative light is shown as 0
    tone[:_INFINITY] = shoulder(encoded) if shouldered else np.minimum(encoded, 1.0)
    tone[_INFINITY] = 1.0
    knee = float(_STEPS[np.searchsorted(encoded, KNEE)])
    return _Way(space, linear, target, config, exposure, curve, matrix, shouldered, tone, knee)


def _find_tables(to_linear: Callable[[FloatImage], FloatImage]) -> tuple[Table | None, Table | None]:
    """Find a curve and a matrix that give the same values as OpenColorIO: (None, matrix) for a linear space, and (None,
    None) if there are none.
    """
    rng = np.random.default_rng(0)
    light = rng.normal(0.0, 4.0, (4096, 3)).astype(np.float32)
    matrix = np.ascontiguousarray(to_linear(np.eye(3, dtype=np.float32)).T)
    if _agree(light @ matrix.T, to_linear(light)):
        return None, matrix
    ramp = np.linspace(0.0, 1.0, _CODES + 1, dtype=np.float32)
    greys = to_linear(np.repeat(ramp[:, None], 3, axis=1))
    curve = np.ascontiguousarray(greys[:, 1])
    codes = rng.integers(0, _CODES + 1, (4096, 3))
    expected = to_linear(codes.astype(np.float32) / np.float32(_CODES))
    matrix = _fit_matrix(curve[codes], expected)
    if _agree(curve[codes] @ matrix.T, expected):
        return curve, matrix
    return None, None


def _fit_matrix(light: FloatImage, target: FloatImage) -> Table:
    """Return the (3, 3) matrix from light to target of the least squared error, relative to the brightest channel."""
    weight = 1.0 / (np.abs(target).max(axis=-1, keepdims=True).astype(np.float64) + 1e-4)
    fitted, *_ = np.linalg.lstsq(light * weight, target * weight, rcond=None)
    return np.ascontiguousarray(fitted.T, dtype=np.float32)


def _agree(found: FloatImage, expected: FloatImage) -> bool:
    """Return whether two results agree to a tenth of a half float's step at the brightest channel of each colour."""
    scale = np.abs(expected).max(axis=-1, keepdims=True) + 1e-4
    return bool((np.abs(found - expected) <= 5e-5 * scale).all())


def _ends_at_white(to_linear: Callable[[FloatImage], FloatImage]) -> bool:
    """Return whether a space is display-referred: its code 1 is display white, and its values are not linear light."""
    white, grey = to_linear(np.repeat(np.array([[1.0], [0.5]], dtype=np.float32), 3, axis=1))
    return bool(np.abs(white - 1.0).max() < 1e-3 and np.abs(grey - 0.5).max() > 0.05)


def _encode_steps(exposure: float, linear: str, target: str, config: str) -> FloatImage:
    """Return the display values of all finite steps from 0, after exposure, (_INFINITY,), in ascending order."""
    light = np.minimum(_STEPS[:_INFINITY], _GREATEST) * np.float32(2.0**exposure)
    encoded = _convert(np.repeat(light[None, :, None], 3, axis=2), linear, target, config)[0, :, 1]
    return np.asarray(np.maximum.accumulate(np.maximum(encoded, 0.0)), dtype=np.float32)


def _convert(rgb: FloatImage, source: str, target: str, config: str) -> FloatImage:
    """Convert (H, W, 3) from one space of the config to another by OpenColorIO, values outside 0..1 included."""
    pixels = oiio.ImageBuf(np.ascontiguousarray(rgb, dtype=np.float32))
    converted = oiio.ImageBufAlgo.colorconvert(pixels, source, target, unpremult=False, colorconfig=config)
    if converted.has_error:
        raise _no_transform(f"{source} -> {target} ({config})", last_error(converted))
    return np.asarray(converted.get_pixels(oiio.FLOAT), dtype=np.float32)


def _no_transform(name: str, why: str) -> ColourError:
    return ColourError(
        expected=f"a colour transform that gives numbers: {name}",
        came=why.strip(),
        action="Check that this is the plate's colour space; name the right one with --colorspace.",
    )
