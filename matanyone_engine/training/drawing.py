# SPDX-License-Identifier: Apache-2.0
"""Draws paper, shapes, strands and fabrics: the tools with which the second series of clips is drawn (series.py).

Rules of this file:
1. There are no subjects here: those are in people.py, figures.py and objects.py.
2. Positions and sizes are in pixels of the finished picture; paper is FINE times as fine, so that a hair may be thinner
   than a pixel and an edge is covered exactly.
3. Details on a solid thing are painted `inside` it: they change its colours and never its alpha.

Colours are display-referred RGB 0..1, angles in radians, y points down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.training.synthetic import Layer, Patch, Pixels, Rng

Points = NDArray[np.floating]
_SUB = 4
"""Bits of sub-pixel position handed to OpenCV's drawing functions."""
SIDE = 320
"""Side of a fabric in pixels."""


class Paper:
    """Holds a premultiplied, supersampled picture, which is painted from back to front."""

    def __init__(self, size: tuple[int, int], fine: int) -> None:
        self.size, self.fine = size, fine
        self.rgba = np.zeros((size[0] * fine, size[1] * fine, 4), np.float32)

    # shapes

    def polygon(self, points: Points) -> Patch:
        """Return the coverage of a closed outline (n, 2)."""
        return self._drawn(points[None], lambda sheet, at: cv2.fillPoly(sheet, list(at), 255, cv2.LINE_AA, _SUB), 2)

    def polygons(self, outlines: Points) -> Patch:
        """Return the coverage of the union of many closed outlines (n, k, 2)."""

        def draw(sheet: Pixels, at: NDArray[np.int32]) -> None:
            for outline in at:
                cv2.fillPoly(sheet, [outline], 255, cv2.LINE_AA, _SUB)

        return self._drawn(outlines, draw, 2)

    def strokes(self, paths: Points, width: float) -> Patch:
        """Return the coverage of open paths (n, k, 2) of a width; what is thinner than a fine pixel covers less of
        it.
        """
        thick = max(1, round(width * self.fine))
        return self._drawn(
            paths,
            lambda sheet, at: cv2.polylines(sheet, list(at), False, 255, thick, cv2.LINE_AA, _SUB),
            2 + thick,
        ).times(min(1.0, width * self.fine))

    def strands(self, paths: Points, width: float, shades: Pixels) -> None:
        """Paint many open paths (n, k, 2) of a width over what is there, in turn with each of the shades (m, 3)."""
        if not len(paths):
            return
        thick = max(1, round(width * self.fine))
        x, y, shape, at = self._placed(paths, 2 + thick)
        sheet = np.zeros((*shape, 4), np.uint8)  # drawing on black, all four channels alike, is premultiplied "over"
        for number, shade in enumerate(shades):
            colour = (*(int(255 * v) for v in shade), 255)
            cv2.polylines(sheet, list(at[number :: len(shades)]), False, colour, thick, cv2.LINE_AA, _SUB)
        over = sheet.astype(np.float32) * np.float32(1 / 255)
        part = self.rgba[y : y + shape[0], x : x + shape[1]]
        part *= 1 - over[..., 3:]
        part += over

    def _drawn(self, points: Points, draw: Callable[[Any, Any], object], margin: int) -> Patch:
        x, y, shape, at = self._placed(points, margin)
        sheet = np.zeros(shape, np.uint8)
        draw(sheet, at)
        return Patch(x, y, sheet.astype(np.float32) * np.float32(1 / 255))

    def _placed(self, points: Points, margin: int) -> tuple[int, int, tuple[int, int], NDArray[np.int32]]:
        """Return x, y and shape of the part of the paper around the points, and the points in it as OpenCV wants
        them.
        """
        fine = points * self.fine
        flat = fine.reshape(-1, 2)
        low, high = flat.min(axis=0) - margin, flat.max(axis=0) + margin
        height, width = self.rgba.shape[:2]
        x, y = (int(np.clip(v, 0, n - 1)) for v, n in zip(low, (width, height), strict=True))
        right, bottom = (int(np.clip(v, 1, n)) for v, n in zip(np.ceil(high), (width, height), strict=True))
        at = np.clip(np.round((fine - (x, y)) * (1 << _SUB)), -(1 << 24), 1 << 24).astype(np.int32)
        return x, y, (max(1, bottom - y), max(1, right - x)), at

    # paint

    def paint(self, stain: Patch, colour: Pixels) -> None:
        """Lay colour (h, w, 3) or (3,) over what is there."""
        part, cover = self.rgba[stain.window], stain.coverage[..., None]
        part *= 1 - cover
        part[..., :3] += colour * cover
        part[..., 3:] += cover

    def inside(self, stain: Patch, colour: Pixels) -> None:
        """Change the colour of what is there and leave its alpha as it is."""
        part, cover = self.rgba[stain.window], stain.coverage[..., None]
        alpha = part[..., 3:]
        part[..., :3] += (colour * alpha - part[..., :3]) * cover

    def cut(self, stain: Patch) -> None:
        """Cut a hole."""
        self.rgba[stain.window] *= 1 - stain.coverage[..., None]

    def layer(self) -> Layer:
        """Return what was painted, at the size of the picture.

        Many layers of strands that cover partly give an alpha close to 1, but never 1; so it is multiplied by 1.03.
        """
        small = cv2.resize(self.rgba, self.size[::-1], interpolation=cv2.INTER_AREA) if self.fine > 1 else self.rgba
        full = small * np.minimum(1.03, 1 / np.maximum(small[..., 3:], 0.5))
        return Layer(np.ascontiguousarray(full[..., :3]), np.ascontiguousarray(np.clip(full[..., 3], 0, 1)))

    # light and fabric

    def dressed(self, stain: Patch, fabric: Pixels, origin: Points, angle: float, size: float) -> Pixels:
        """Return the stain's colours where a fabric is laid around origin, `size` pixels wide, mirrored beyond its
        edge.
        """
        scale = size * self.fine / SIDE
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        at = origin * self.fine - (stain.x, stain.y)
        matrix = np.array([[c, -s, at[0] - SIDE / 2 * (c - s)], [s, c, at[1] - SIDE / 2 * (s + c)]])
        shape = stain.coverage.shape[::-1]
        return cv2.warpAffine(fabric, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    def rounded(self, stain: Patch, colour: Pixels, light: Points, depth: float) -> Pixels:
        """Make the colours look round: brighter towards the light (a 2-vector), darker away from it; depth in
        pixels.
        """
        height, width = stain.coverage.shape
        step = max(1.0, depth * self.fine / 3)
        small = cv2.resize(
            stain.coverage, (max(1, int(width / step)), max(1, int(height / step))), interpolation=cv2.INTER_AREA
        )
        small = cv2.GaussianBlur(small, (0, 0), 3.0, borderType=cv2.BORDER_CONSTANT)
        dx, dy = (cv2.Sobel(small, cv2.CV_32F, *order, ksize=1, scale=0.5) for order in ((1, 0), (0, 1)))
        tone = np.clip(1 - 3.0 * (dx * light[0] + dy * light[1]), 0.4, 1.5)
        wide = cv2.resize(np.asarray(tone, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.minimum(colour * wide[..., None], 1)


# -- curves -----------------------------------------------------------------------------------------------------------


def smooth(points: Points, steps: int = 5) -> Points:
    """Return a closed Catmull-Rom curve through the points."""
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(curve.reshape(-1, 2))


def ellipse(middle: Points, a: float, b: float, angle: float = 0.0, points: int = 24) -> Points:
    """Return an ellipse as an outline (points, 2)."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x, y = a * np.cos(t), b * np.sin(t)
    return np.asarray(middle + np.stack([c * x - s * y, s * x + c * y], axis=1))


def grown(
    roots: Points,
    heading: Points,
    length: Points,
    bend: Points,
    curl: Points,
    phase: Points,
    gravity: float,
    steps: int,
) -> Points:
    """Grow strands (n, steps, 2) that start at roots (n, 2), head somewhere, bend, curl and fall."""
    t = np.linspace(0, 1, steps)[None]
    angle = heading[:, None] + bend[:, None] * t + curl[:, None] * np.sin(9 * t * (0.5 + t) + phase[:, None])
    dx, dy = np.cos(angle), np.sin(angle) + gravity * 2.6 * t
    norm = (length / (steps - 1))[:, None] / np.maximum(np.hypot(dx, dy), 0.3)
    path = np.stack([np.cumsum(dx * norm, axis=1), np.cumsum(dy * norm, axis=1)], axis=2)
    return np.asarray(roots[:, None] + path - path[:, :1])


# -- fabrics ----------------------------------------------------------------------------------------------------------


@dataclass
class Wardrobe:
    """Makes fabrics (SIDE, SIDE, 3): photographs, prints, weaves, knits, plain cloth, with folds."""

    rng: Rng
    photographs: list[Path]
    dark: bool = False
    """Whether all fabrics are darker than most backgrounds."""

    def colour(self) -> Pixels:
        """Return a random colour; half of the time it is not saturated."""
        rng = self.rng
        value = rng.uniform(0.02, 0.22) if self.dark else rng.uniform(0.03, 0.97)
        tint = rng.uniform(0.25, 1.0, 3) if rng.random() < 0.5 else rng.uniform(0.85, 1.0, 3)
        return np.asarray(value * tint, np.float32)

    def plain(self, colour: Pixels, grain: float = 0.05, folds: float = 0.25) -> Pixels:
        """Return cloth of one colour."""
        return self._creased(np.broadcast_to(colour, (SIDE, SIDE, 3)), grain, folds)

    def fabric(self) -> Pixels:
        """Return any fabric."""
        rng, base = self.rng, self.colour()
        makers = [self._stripes, self._plaid, self._dots, self._knit, self._print, self._words, self._photograph]
        if rng.random() < 0.4:
            return self.plain(base, float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.1, 0.5)))
        cloth = makers[int(rng.integers(len(makers)))](base)
        return self._creased(cloth * (0.25 if self.dark else 1.0), 0.04, float(rng.uniform(0.05, 0.4)))

    def _creased(self, cloth: Pixels, grain: float, folds: float) -> Pixels:
        rng = self.rng
        tone = np.ones((SIDE, SIDE), np.float32)
        for size, strength in ((5, 0.6), (11, 0.4)):
            wide = cv2.resize(
                rng.normal(0, 1, (size, size * 2)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
            )
            tone += folds * strength * (0.5 - np.abs(wide))
        tone += grain * rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
        return np.clip(cloth * tone[..., None], 0, 1).astype(np.float32)

    def _grid(self) -> tuple[Pixels, Pixels]:
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        angle = self.rng.choice([0.0, 0.0, 0.8, np.pi / 2])
        return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)

    def _mixed(self, base: Pixels, mask: Pixels) -> Pixels:
        return base + (self.colour() - base) * np.clip(mask, 0, 1)[..., None]

    def _stripes(self, base: Pixels) -> Pixels:
        u, _ = self._grid()
        pitch = self.rng.uniform(0.1, 1.2)
        return self._mixed(base, 5 * np.sin(pitch * u) + self.rng.uniform(-3, 3))

    def _plaid(self, base: Pixels) -> Pixels:
        u, v = self._grid()
        pitch = self.rng.uniform(0.08, 0.5)
        for k in (1, 1, 2.6):
            base = self._mixed(base, 0.5 * (np.sin(k * pitch * u) > 0.3) + 0.5 * (np.sin(k * pitch * v) > 0.3))
        return base

    def _dots(self, base: Pixels) -> Pixels:
        u, v = self._grid()
        pitch = self.rng.uniform(0.12, 0.6)
        return self._mixed(base, 6 * (np.sin(pitch * u) * np.sin(pitch * v) - self.rng.uniform(0.2, 0.7)))

    def _knit(self, base: Pixels) -> Pixels:
        u, v = self._grid()
        pitch = self.rng.uniform(0.35, 0.9)
        loops = np.abs(np.sin(pitch * u + 1.2 * np.abs(np.sin(pitch * v))))
        cloth = base * (0.45 + 0.75 * loops)[..., None]
        return self._mixed(cloth, 5 * np.sin(0.15 * pitch * v) - 3) if self.rng.random() < 0.4 else cloth

    def _print(self, base: Pixels) -> Pixels:
        """Print leaves, flowers or camouflage: noise at a few sizes, cut hard."""
        size = int(self.rng.integers(6, 34))
        for _ in range(int(self.rng.integers(1, 4))):
            noise = self.rng.normal(0, 1, (size, size)).astype(np.float32)
            wide = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            base = self._mixed(base, 8 * (wide - 0.4))
        return base

    def _words(self, base: Pixels) -> Pixels:
        """Print a logo: letters and a badge."""
        rng, mask = self.rng, np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(int(rng.integers(1, 5))):
            letters = "".join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(1, 7))))
            at = (int(rng.integers(0, SIDE // 2)), int(rng.integers(40, SIDE)))
            size, thick = float(rng.uniform(1, 4)), int(rng.integers(2, 9))
            cv2.putText(mask, letters, at, int(rng.integers(0, 5)), size, 255, thick, cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.circle(
                mask, (SIDE // 2, SIDE // 2), int(rng.integers(20, 90)), 255, int(rng.integers(3, 14)), cv2.LINE_AA
            )
        return self._mixed(base, mask.astype(np.float32) / 255)

    def _photograph(self, base: Pixels) -> Pixels:
        if not self.photographs:
            return self._print(base)
        picture = np.asarray(cv2.imread(str(self.photographs[int(self.rng.integers(len(self.photographs)))])))
        side = int(min(picture.shape[:2]) * self.rng.uniform(0.3, 1.0))
        y = int(self.rng.integers(picture.shape[0] - side + 1))
        x = int(self.rng.integers(picture.shape[1] - side + 1))
        part = cv2.resize(picture[y : y + side, x : x + side, ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return part.astype(np.float32) / 255


def rgb(red: float, green: float, blue: float) -> Pixels:
    """Return a colour."""
    return np.array([red, green, blue], np.float32)


def tones(rng: Rng, base: Pixels, spread: float = 0.5, count: int = 5) -> Pixels:
    """Return shades of one colour (count, 3), dark to light, for strands."""
    shades = np.linspace(1 - spread, 1 + spread, count)[:, None] * rng.uniform(0.92, 1.08, (count, 1))
    return np.clip(base * shades, 0.004, 1).astype(np.float32)
