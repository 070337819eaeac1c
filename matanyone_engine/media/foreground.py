# SPDX-License-Identifier: Apache-2.0
"""Estimates the subject's own colour under a soft edge, freed of the background, and splits a matte in two.

A pixel of the plate is alpha * F + (1 - alpha) * B. Plate times alpha still contains B, and leaves a fringe of the old
background over a new one. F is estimated here, straight (not multiplied by alpha).

The method is the multi-level one of Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation"
(ICPR 2020): F and B that explain the plate and vary smoothly, solved from one pixel up to full size. Changed for
scene-linear plates: nothing is clipped to 0..1, bright pixels weigh less (or a lamp behind hair would darken all hair
around it), and only the soft band is solved at full size. docs/decisions/DR008-foreground.md has the comparison.

Rules of this file:
1. Light is mixed linearly, so the plate must be in a scene-linear space, of any primaries.
2. The result scales with exposure: k times the plate gives k times the foreground.
3. Where alpha is 1, the foreground is the plate, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import PlateError, SettingError
from matanyone_engine.media.images import FloatImage

METHOD = "multi-level, straight, scene-linear, bright pixels weighted down"
"""For a file's header."""

# The weight of differences between neighbours against that of the difference from the plate; and the weight that is
# added per change of alpha. The paper's figures are for images 0..1; these were chosen on examples/
# (benchmarks/composite.py).
SMOOTHNESS = 1e-3
SMOOTHNESS_ACROSS_EDGES = 0.1

# The weight of a pixel of n times the plate's mean brightness is 1 / (1 + n) ** GLARE_FALLOFF.
GLARE_FALLOFF = 3
# Levels of at most COARSE_SIDE pixels on a side are solved everywhere, larger ones in the soft band and BAND_MARGIN
# pixels around it.
COARSE_SIDE = 64
BAND_MARGIN = 2
COARSE_SWEEPS = 20
FINE_SWEEPS = 5

# Alpha from which a pixel begins to count as certainly inside, and from which it wholly does.
CORE_FROM, CORE_FULL = 0.90, 0.98
# Core values are multiples of this, the spacing of half floats in 0.5..1, so that edge = alpha - core has no rounding.
CORE_STEP = 1.0 / 2048.0
MOST_CHOKE = 200
CORE_CHOKE = 2
"""The default number of pixels by which the core is shrunk."""


def estimate_foreground(plate: FloatImage, alpha: FloatImage) -> FloatImage:
    """Estimate the subject's unmixed colour, straight: (H, W, 3) float32, in the plate's own scene-linear space.

    plate: (H, W, 3) float32, scene-linear, any finite value (above 1 and below 0 too). alpha: (H, W) float32 0..1.
    Where alpha is 1, the result is the plate. In the soft band it is an estimate within the plate's range (from the
    least value or 0 to the greatest). Where alpha is 0, the nearest foreground colours continue smoothly, so that a
    blur finds no black. Without a subject it is the plate's mean colour everywhere.
    Raises PlateError if the sizes differ, or for NaN or Inf in either.
    """
    _check(plate, alpha)
    levels = list(_pyramid(plate, alpha))
    limits = (min(0.0, float(plate.min())), float(plate.max()))
    foreground = background = levels[-1].plate
    for level in reversed(levels):
        foreground, background = level.refined(level.enlarged(foreground), level.enlarged(background), limits)
    return np.where(alpha[..., np.newaxis] >= 1.0, plate, foreground)


def split_matte(alpha: FloatImage, choke: int) -> tuple[FloatImage, FloatImage]:
    """Split an alpha into (core, edge), each (H, W) float32 0..1, with core + edge == alpha exactly.

    core = alpha * erode(ramp(alpha, 0.90 to 0.98), choke), rounded down to 1/2048; edge = alpha - core.
    So the core is certainly inside the subject, `choke` pixels away from all other pixels; hair, motion blur and the
    border of the solid part are edge. For the sum to hold in a file, alpha must already have the file's precision.
    Raises SettingError for a choke that is not 0 to 200.
    """
    check_choke(choke)
    inside = np.clip((alpha - CORE_FROM) / (CORE_FULL - CORE_FROM), 0.0, 1.0, dtype=np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * choke + 1, 2 * choke + 1))
    certain = np.asarray(cv2.erode(inside, disc), dtype=np.float32)
    core = np.floor(alpha * certain / np.float32(CORE_STEP)) * np.float32(CORE_STEP)
    return core, alpha - core


def check_choke(choke: int) -> None:
    """Raise SettingError unless a core is shrunk by 0 to 200 pixels."""
    if not 0 <= choke <= MOST_CHOKE:
        raise SettingError(
            expected=f"a choke of 0 to {MOST_CHOKE} pixels",
            came=str(choke),
            action="Choose a number in between.",
        )


def describe_split(choke: int) -> str:
    """Return the formula of split_matte, for a file's header."""
    return f"core = alpha * erode(ramp(alpha, {CORE_FROM:.2f}..{CORE_FULL:.2f}), {choke} px); edge = alpha - core"


def _check(plate: FloatImage, alpha: FloatImage) -> None:
    if plate.shape != (*alpha.shape, 3):
        came = f"{plate.shape} and {alpha.shape}"
    elif not (np.isfinite(plate).all() and np.isfinite(alpha).all()):
        came = "NaN or Inf"
    else:
        return
    raise PlateError(
        expected="a plate (H, W, 3) and its alpha (H, W), all numbers",
        came=came,
        action="Estimate the foreground from the plate that the alpha was made from.",
    )


# ------------------------------------------------------------------------------------------------------- levels


@dataclass(frozen=True)
class _Level:
    """Holds plate (h, w, 3), alpha (h, w) 0..1 and the weight of each pixel, (h, w) 0..1, at one size."""

    plate: FloatImage
    alpha: FloatImage
    weight: FloatImage

    def halved(self) -> _Level:
        """Return the level at half the size, rounded up. Plate and alpha are averaged with the same weights, so that
        they still belong together.
        """
        weight = _shrunk(self.weight)
        return _Level(
            _shrunk(self.plate * self.weight[..., np.newaxis]) / weight[..., np.newaxis],
            _shrunk(self.alpha * self.weight) / weight,
            weight,
        )

    def enlarged(self, colour: FloatImage) -> FloatImage:
        """Enlarge a colour (h', w', 3) of the next smaller level to this level's size."""
        height, width = self.alpha.shape
        return _shaped(cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR), height, width, 3)

    def refined(
        self, foreground: FloatImage, background: FloatImage, limits: tuple[float, float]
    ) -> tuple[FloatImage, FloatImage]:
        """Solve both colours (h, w, 3) at this size, from the given ones as a start."""
        alpha = self.alpha[..., np.newaxis]
        foreground = np.where(alpha >= 1.0, self.plate, foreground)
        background = np.where(alpha <= 0.0, self.plate, background)
        coarse = max(self.alpha.shape) <= COARSE_SIDE
        halves = [_Equations.of(self, at) for at in _chequered(np.ones_like(alpha[..., 0]) if coarse else self._band())]
        # Views: the solver writes through them.
        flat_foreground, flat_background = foreground.reshape(-1, 3), background.reshape(-1, 3)
        for _ in range(COARSE_SWEEPS if coarse else FINE_SWEEPS):
            for half in halves:
                half.solve(flat_foreground, flat_background, limits)
        return foreground, background

    def _band(self) -> FloatImage:
        """Return a mask (h, w) of the soft part of the matte and BAND_MARGIN pixels around it."""
        soft = ((self.alpha > 0.0) & (self.alpha < 1.0)).astype(np.float32)
        side = 2 * BAND_MARGIN + 1
        return np.asarray(cv2.dilate(soft, np.ones((side, side), np.uint8)), dtype=np.float32)


def _pyramid(plate: FloatImage, alpha: FloatImage) -> Iterator[_Level]:
    """Return the levels from full size down to one pixel."""
    brightness = np.abs(plate).max(axis=-1)
    typical = max(float(brightness.mean(dtype=np.float64)), float(np.finfo(np.float32).tiny))
    # A smaller weight would make a mean over such pixels alone inexact.
    weight = np.maximum((1.0 + brightness / typical) ** -GLARE_FALLOFF, 1e-12).astype(np.float32)
    level = _Level(plate, alpha, weight)
    yield level
    while max(level.alpha.shape) > 1:
        level = level.halved()
        yield level


def _shrunk(values: FloatImage) -> FloatImage:
    height, width = ((side + 1) // 2 for side in values.shape[:2])
    return _shaped(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), height, width, *values.shape[2:])


def _shaped(values: npt.NDArray[np.generic], *shape: int) -> FloatImage:
    """Give back axes of length 1, which OpenCV drops."""
    return np.asarray(values, dtype=np.float32).reshape(shape)


def _chequered(where: FloatImage) -> list[npt.NDArray[np.intp]]:
    """Return the pixels that are not 0, as (n, 2) rows and columns, in the two halves of a chessboard.

    No two pixels of a half are neighbours, so each half can be solved at once from the newest values of the other
    (red-black Gauss-Seidel).
    """
    at = np.argwhere(where)
    white = at.sum(axis=1) % 2 == 0
    return [at[white], at[~white]]


# ---------------------------------------------------------------------------------------------------- equations


@dataclass(frozen=True)
class _Equations:
    """Holds for n pixels the pair of linear equations that gives F and B from their neighbours' F and B.

    Least squares of  d (a F + b B - plate)^2 + sum over neighbours of  w (F - F')^2 + v (B - B')^2  with b = 1 - a.
    d: the pixel's weight. w: smoothness. v: w times the smaller weight of the two pixels. With it the background of a
    bright lamp does not spread into the wall, while the foreground before the lamp is taken from the hair beside it.
    """

    at: npt.NDArray[np.intp]
    """(n,) flat pixel numbers."""
    beside: tuple[npt.NDArray[np.intp], ...]
    """Four times (n,): above, below, left, right; at the border the pixel itself."""
    smooth: tuple[FloatImage, ...]
    """w, four times (n, 1)."""
    smooth_background: tuple[FloatImage, ...]
    """v, four times (n, 1)."""
    seen: tuple[FloatImage, FloatImage]
    """d a plate and d b plate, (n, 3)."""
    matrix: tuple[FloatImage, FloatImage, FloatImage]
    """The inverse's three numbers, (n, 1): F by F, F by B (to subtract), B by B."""

    @classmethod
    def of(cls, level: _Level, at: npt.NDArray[np.intp]) -> _Equations:
        """Set the equations up. at: (n, 2) rows and columns of the level's pixels."""
        height, width = level.alpha.shape
        rows, columns = at[:, 0], at[:, 1]
        here = rows * width + columns
        beside = (
            np.maximum(rows - 1, 0) * width + columns,
            np.minimum(rows + 1, height - 1) * width + columns,
            rows * width + np.maximum(columns - 1, 0),
            rows * width + np.minimum(columns + 1, width - 1),
        )
        alpha, weight = level.alpha.reshape(-1, 1), level.weight.reshape(-1, 1)
        a, d = alpha[here], weight[here]
        b = 1.0 - a
        smooth = tuple(SMOOTHNESS + SMOOTHNESS_ACROSS_EDGES * np.abs(a - alpha[there]) for there in beside)
        smooth_background = tuple(w * np.minimum(d, weight[there]) for w, there in zip(smooth, beside, strict=True))
        sum_w, sum_v = sum(smooth), sum(smooth_background)
        # In this form no terms cancel, so that it is exact where a or b is 0.
        determinant = d * (a * a * sum_v + b * b * sum_w) + sum_w * sum_v
        seen = level.plate.reshape(-1, 3)[here]
        return cls(
            here,
            beside,
            smooth,
            smooth_background,
            (d * a * seen, d * b * seen),
            ((d * b * b + sum_v) / determinant, d * a * b / determinant, (d * a * a + sum_w) / determinant),
        )

    def solve(self, foreground: FloatImage, background: FloatImage, limits: tuple[float, float]) -> None:
        """Write F and B of these pixels into (H * W, 3) of each."""
        right_f, right_b = self.seen[0].copy(), self.seen[1].copy()
        for there, w, v in zip(self.beside, self.smooth, self.smooth_background, strict=True):
            right_f += w * foreground[there]
            right_b += v * background[there]
        f_by_f, f_by_b, b_by_b = self.matrix
        foreground[self.at] = np.clip(f_by_f * right_f - f_by_b * right_b, *limits)
        background[self.at] = np.clip(b_by_b * right_b - f_by_b * right_f, *limits)
