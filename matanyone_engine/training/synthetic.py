# SPDX-License-Identifier: Apache-2.0
"""Draws the first series of foreground clips: figures with true alpha, unlimited, free and deterministic from a seed.

This is the first series. The held-out set is drawn with it (benchmarks/held_out.py), so its pixels must not change.
Clips for training are drawn with the second series (series.py).

Rules of this file:
1. A clip is a function of its number and of the photographs that clothes are cut from: the same pixels every time.
2. Only foregrounds are drawn here. augment.py adds backgrounds, cameras, light and grain.
3. The files have the layout of the public matting sets ({fgr,pha}/<clip>/<frame>), so that one loader reads both.

Units: pixels of the canvas; time in frames; colours and alphas 0..1, colours display-referred RGB; angles in radians.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.training.pictures import Pixels, Rng, write_picture

WIDTH, HEIGHT = 448, 384
"""Size of the canvas: larger than the training crops, so that a crop can look close."""
LENGTH = 10
_SUB = 4
"""Bits of sub-pixel position handed to OpenCV's drawing functions."""


class Layer(NamedTuple):
    """Holds a drawn foreground."""

    rgb: Pixels
    """(H, W, 3), premultiplied."""
    alpha: Pixels
    """(H, W)."""


Draw = Callable[[float], Layer]
"""Draws what is seen at a time in frames."""


class Patch(NamedTuple):
    """Holds the coverage of a rectangle of a canvas or a paper, in its pixels. The rest is not covered."""

    x: int
    y: int
    coverage: Pixels
    """(h, w)."""

    @property
    def window(self) -> tuple[slice, slice]:
        """Returns the rows and columns that it takes."""
        height, width = self.coverage.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    def times(self, factor: Pixels | float) -> Patch:
        """Return a patch in the same place that covers less."""
        return self._replace(coverage=self.coverage * factor)


class Canvas:
    """Holds a picture whose parts are painted over one another, back to front."""

    def __init__(self) -> None:
        self.rgb = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        self.alpha = np.zeros((HEIGHT, WIDTH), np.float32)

    def paint(self, patch: Patch, colour: Pixels) -> None:
        """Lay colour (h, w, 3) or (3,) over what is there where the patch covers."""
        keep = 1 - patch.coverage
        self.rgb[patch.window] *= keep[..., None]
        self.rgb[patch.window] += colour * patch.coverage[..., None]
        self.alpha[patch.window] *= keep
        self.alpha[patch.window] += patch.coverage

    def inside(self, patch: Patch) -> Patch:
        """Return the patch where something is painted already."""
        return patch.times(self.alpha[patch.window])

    def cut(self, patch: Patch) -> None:
        """Cut a hole where the patch covers."""
        self.rgb[patch.window] *= (1 - patch.coverage)[..., None]
        self.alpha[patch.window] *= 1 - patch.coverage

    def layer(self) -> Layer:
        """Return what was painted."""
        return Layer(self.rgb, self.alpha)


def draw_clip(
    number: int, length: int = LENGTH, textures: list[Path] | None = None, kind: str | None = None
) -> Iterator[Layer]:
    """Draw the frames of clip `number`, motion-blurred where the clip has a shutter.

    textures: photographs that clothes and surfaces may be cut from; drawn patterns serve without them.
    kind: one of KINDS; None lets the number decide.
    """
    rng = np.random.default_rng([20251, number])
    cloth = Cloth(rng, textures or [])
    picked = _pick_kind(rng)
    draw = KINDS[kind or picked](rng, cloth)
    shutter = float(rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else 0.0
    defocus = float(rng.uniform(0.6, 2.5)) if rng.random() < 0.2 else 0.0
    pace = float(rng.choice([0.5, 1.0, 1.0, 1.7]))
    for frame in range(length):
        yield _defocused(_exposed(draw, frame * pace, shutter * pace), defocus)


def _pick_kind(rng: Rng) -> str:
    names = list(KIND_SHARES)
    shares = np.array([KIND_SHARES[name] for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


def _exposed(draw: Draw, time: float, shutter: float) -> Layer:
    """Return the mean over the time the shutter is open."""
    if not shutter:
        return draw(time)
    instants = [draw(time + shutter * k / 6) for k in range(6)]
    rgb, alpha = (sum(parts[1:], parts[0]) / len(instants) for parts in zip(*instants, strict=True))
    return Layer(rgb, alpha)


def _defocused(layer: Layer, sigma: float) -> Layer:
    if not sigma:
        return layer
    return Layer(cv2.GaussianBlur(layer.rgb, (0, 0), sigma), cv2.GaussianBlur(layer.alpha, (0, 0), sigma))


# -- shapes -----------------------------------------------------------------------------------------------------------


def polygon(points: NDArray[np.floating]) -> Patch:
    """Return the antialiased coverage of a closed outline (n, 2)."""
    x, y, width, height = _box(points)
    coverage = np.zeros((height, width), np.uint8)
    cv2.fillPoly(coverage, [_fixed(points - (x, y))], 255, cv2.LINE_AA, _SUB)
    return Patch(x, y, coverage.astype(np.float32) / 255)


def strokes(paths: list[NDArray[np.floating]], width: int = 1) -> Patch:
    """Return the coverage of thin open paths, drawn at twice the size so that a hair may be thinner than a pixel."""
    x, y, w, h = _box(np.concatenate(paths), margin=2 + width)
    coverage = np.zeros((2 * h, 2 * w), np.uint8)
    fixed = [_fixed(2 * (path - (x, y))) for path in paths]
    cv2.polylines(coverage, fixed, False, 255, width, cv2.LINE_AA, _SUB)
    small = cv2.resize(coverage, (w, h), interpolation=cv2.INTER_AREA)
    return Patch(x, y, small.astype(np.float32) / 255)


def _box(points: NDArray[np.floating], margin: int = 2) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the smallest part of the canvas around the points; at least one pixel."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    x, y = (int(np.clip(value, 0, size - 1)) for value, size in zip(low, (WIDTH, HEIGHT), strict=True))
    right, bottom = (int(np.clip(value, 1, size)) for value, size in zip(high, (WIDTH, HEIGHT), strict=True))
    return x, y, max(1, right - x), max(1, bottom - y)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(points * (1 << _SUB)).astype(np.int32)


def capsule(a: NDArray[np.floating], b: NDArray[np.floating], ra: float, rb: float) -> NDArray[np.floating]:
    """Return the outline of a limb from a to b with radii ra and rb."""
    along = np.arctan2(*(b - a)[::-1])
    turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 10)
    round_a = a + ra * np.stack([np.cos(along + turn), np.sin(along + turn)], axis=1)
    round_b = b + rb * np.stack([np.cos(along + turn + np.pi), np.sin(along + turn + np.pi)], axis=1)
    return np.concatenate([round_a, round_b])


def blob(rng: Rng, radius: float, roughness: float = 0.25, points: int = 72) -> NDArray[np.floating]:
    """Return a closed smooth outline around the origin (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = np.ones(points)
    for harmonic in range(1, 7):
        r += roughness / harmonic * rng.normal() * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    r = radius * np.clip(r, 0.35, 1.8)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


def turned(points: NDArray[np.floating], angle: float) -> NDArray[np.floating]:
    """Turn points around the origin."""
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


class Wave:
    """Describes a smooth motion: a sum of sines around a rest value."""

    def __init__(self, rng: Rng, size: float, rest: float = 0.0, speed: float = 0.35) -> None:
        self.rest = rest
        self.size = size * rng.uniform(0.3, 1.0, 2) * np.array([1.0, 0.4])
        self.speed = speed * rng.uniform(0.4, 1.6, 2) * np.array([1.0, 2.3])
        self.phase = rng.uniform(0, 2 * np.pi, 2)

    def __call__(self, time: float) -> float:
        return self.rest + float((self.size * np.sin(self.speed * time + self.phase)).sum())


# -- surfaces ---------------------------------------------------------------------------------------------------------


class Cloth:
    """Makes surfaces: photographs, stripes, checks, noise or plain colour, larger than the canvas so they can slide."""

    def __init__(self, rng: Rng, photographs: list[Path]) -> None:
        self.rng = rng
        self.photographs = photographs

    def surface(self, colour: Pixels | None = None) -> Pixels:
        """Make a surface (256, 256, 3); colour sets the mean where it is given."""
        rng = self.rng
        base = rng.uniform(0.03, 0.95, 3).astype(np.float32) if colour is None else colour
        choice = rng.random()
        if colour is None and choice < 0.3 and self.photographs:
            return self._photograph()
        if colour is None and choice < 0.55:
            return self._stripes(base)
        return _noisy(rng, base, float(rng.uniform(0.02, 0.2)))

    def _photograph(self) -> Pixels:
        path = self.photographs[int(self.rng.integers(len(self.photographs)))]
        picture = np.asarray(cv2.imread(str(path)))
        side = int(min(picture.shape[:2]) * self.rng.uniform(0.3, 1.0))
        y = int(self.rng.integers(picture.shape[0] - side + 1))
        x = int(self.rng.integers(picture.shape[1] - side + 1))
        part = cv2.resize(picture[y : y + side, x : x + side, ::-1], (256, 256), interpolation=cv2.INTER_AREA)
        return part.astype(np.float32) / 255

    def _stripes(self, base: Pixels) -> Pixels:
        other = self.rng.uniform(0.03, 0.95, 3).astype(np.float32)
        y, x = np.mgrid[:256, :256].astype(np.float32)
        angle, pitch = self.rng.uniform(0, np.pi), self.rng.uniform(0.08, 0.8)
        wave = np.sin(pitch * (x * np.cos(angle) + y * np.sin(angle)))
        if self.rng.random() < 0.5:
            wave = wave * np.sin(pitch * (y * np.cos(angle) - x * np.sin(angle)))
        mix = 1 / (1 + np.exp(-6 * wave))[..., None]
        return (base * mix + other * (1 - mix)).astype(np.float32)


def _noisy(rng: Rng, base: Pixels, amount: float) -> Pixels:
    surface = np.zeros((256, 256, 1), np.float32)
    for size in (4, 16, 64):
        surface += cv2.resize(rng.normal(0, 1, (size, size)).astype(np.float32), (256, 256))[..., None]
    return np.clip(base * (1 + amount * surface), 0, 1).astype(np.float32)


def placed(surface: Pixels, patch: Patch, origin: NDArray[np.floating], angle: float, size: float) -> Pixels:
    """Return the patch's colours where a surface (256, 256, 3) is laid around origin, `size` pixels wide, mirrored
    beyond its edge.
    """
    scale = size / 256
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    at = origin - (patch.x, patch.y)
    matrix = np.array([[c, -s, at[0] - 128 * (c - s)], [s, c, at[1] - 128 * (s + c)]])
    shape = patch.coverage.shape[::-1]
    return cv2.warpAffine(surface, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def shaded(colour: Pixels, patch: Patch, light: NDArray[np.floating], depth: float) -> Pixels:
    """Make colours look round: brighter towards the light (a 2-vector), darker away from it."""
    height = cv2.GaussianBlur(patch.coverage, (0, 0), max(depth, 1.0), borderType=cv2.BORDER_CONSTANT)
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *order, ksize=1, scale=0.5) for order in ((1, 0), (0, 1)))
    tone = 1 - 2.2 * depth * (dx * light[0] + dy * light[1])
    return np.clip(colour * np.clip(tone, 0.35, 1.5)[..., None], 0, 1).astype(np.float32)


# -- hair -------------------------------------------------------------------------------------------------------------


class StrandTuft:
    """Draws strands that grow from an outline, hang, wave and fly."""

    def __init__(self, rng: Rng, count: int, length: float, *, gravity: float, curl: float) -> None:
        self.at = rng.uniform(0, 1, count)
        self.depth = rng.uniform(0.55, 1.0, count)
        self.length = length * rng.uniform(0.4, 1.2, count)
        self.bend = rng.normal(0, 0.35, count)
        self.curl = curl * rng.normal(0, 1, count)
        self.phase = rng.uniform(0, 2 * np.pi, count)
        self.gravity = gravity
        self.sway = Wave(rng, 0.35)
        tone = rng.uniform(0.03, 0.8) * np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.3, 1.0)])
        self.tones = np.clip(tone * rng.uniform(0.55, 1.6, (4, 1)), 0, 1).astype(np.float32)
        self.width = int(rng.choice([1, 1, 2]))

    def grow(
        self,
        canvas: Canvas,
        outline: NDArray[np.floating],
        middle: NDArray[np.floating],
        time: float,
        reach: float = 1.0,
    ) -> None:
        """Paint the strands over the canvas; roots lie between the middle and the outline, reach shortens them."""
        roots, away = self._roots(outline, middle)
        step = np.linspace(0, 1, 7)[None, :]
        angle = np.arctan2(away[:, 1], away[:, 0])[:, None]
        angle = (
            angle
            + (self.bend + self.sway(time))[:, None] * step
            + self.curl[:, None] * np.sin(6 * step + self.phase[:, None])
        )
        dx, dy = np.cos(angle), np.sin(angle) + self.gravity * step
        along = reach * self.length[:, None] / 6
        x = roots[:, :1] + np.cumsum(dx * along, axis=1) - dx[:, :1] * along
        y = roots[:, 1:] + np.cumsum(dy * along, axis=1) - dy[:, :1] * along
        paths = np.stack([x, y], axis=2)
        for part, tone in enumerate(self.tones):
            canvas.paint(strokes(list(paths[part :: len(self.tones)]), self.width), tone)

    def _roots(
        self, outline: NDArray[np.floating], middle: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        index = self.at * (len(outline) - 1)
        low = index.astype(int)
        on = outline[low] + (outline[np.minimum(low + 1, len(outline) - 1)] - outline[low]) * (index - low)[:, None]
        away = on - middle
        return middle + away * self.depth[:, None], away


# -- what can be drawn ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """Holds the measures of a figure, in head heights."""

    shoulder: float
    hip: float
    torso: float
    arm: float
    leg: float
    thick: float

    @classmethod
    def random(cls, rng: Rng) -> Body:
        """Draw a body within human measures."""
        return cls(*(float(rng.uniform(*span)) for span in _BODY_SPANS))


_BODY_SPANS = ((0.75, 1.15), (0.4, 0.7), (2.0, 2.7), (1.25, 1.6), (1.6, 2.1), (0.22, 0.36))


class JointedFigure:
    """Draws a person: articulated limbs in clothes, a head with a face and hair; seen whole or from the waist up."""

    def __init__(self, rng: Rng, cloth: Cloth) -> None:
        self.body = Body.random(rng)
        self.head = float(rng.choice([rng.uniform(26, 42), rng.uniform(45, 110)]))
        self.at = (Wave(rng, 25, WIDTH * rng.uniform(0.4, 0.6), 0.2), Wave(rng, 6, self._top(rng), 0.3))
        self.lean = Wave(rng, 0.15)
        self.nod, self.turn = Wave(rng, 0.25), Wave(rng, 0.35, rng.uniform(-0.3, 0.3), 0.2)
        self.joints = [Wave(rng, 0.8, rest, 0.4) for rest in rng.normal(0, 0.6, 4)]
        self.legs = [Wave(rng, 0.5, rest, 0.4) for rest in (-0.15, 0.0, 0.15, 0.0)]
        skin = np.clip(np.array([0.85, 0.62, 0.5]) * rng.uniform(0.3, 1.15) + rng.normal(0, 0.03, 3), 0.05, 1)
        self.skin = cloth.surface(skin.astype(np.float32))
        self.shirt, self.trousers = cloth.surface(), cloth.surface()
        self.sleeves = self.shirt if rng.random() < 0.7 else self.skin
        long = float(rng.choice([0.25, 0.5, 1.2]))
        self.hair = StrandTuft(
            rng,
            int(rng.integers(300, 1100)),
            self.head * long * rng.uniform(0.5, 1.2),
            gravity=rng.uniform(0, 1.6),
            curl=rng.choice([0.0, 0.3, 0.8]),
        )
        self.bald = rng.random() < 0.1
        self.face = FlatFace(rng)
        self.light = rng.normal(0, 1, 2)
        self.prop = cloth.surface() if rng.random() < 0.25 else None

    def _top(self, rng: Rng) -> float:
        return float(self.head * rng.uniform(0.9, 1.6) if self.head > 42 else HEIGHT * rng.uniform(0.12, 0.3))

    def __call__(self, time: float) -> Layer:
        canvas, h = Canvas(), self.head
        head = np.array([self.at[0](time), self.at[1](time)])
        lean = self.lean(time)
        neck = head + turned(np.array([0, 0.62 * h]), lean)
        hips = neck + turned(np.array([0, self.body.torso * h]), lean)
        across = turned(np.array([1.0, 0.0]), lean)
        arms = [(neck + side * across * self.body.shoulder * h, side) for side in (-1, 1)]
        self._limb(canvas, arms[0][0], -1, time)
        self._legs(canvas, hips, across, time)
        self._torso(canvas, neck, hips, across, lean)
        self._head(canvas, head, lean, time)
        self._limb(canvas, arms[1][0], 1, time)
        return canvas.layer()

    def _part(self, canvas: Canvas, outline: NDArray[np.floating], surface: Pixels, angle: float) -> None:
        patch = polygon(outline)
        colour = placed(surface, patch, outline.mean(axis=0), angle, 5 * self.head)
        canvas.paint(patch, shaded(colour, patch, self.light, self.head * self.body.thick * 0.6))

    def _limb(self, canvas: Canvas, shoulder: NDArray[np.floating], side: int, time: float) -> None:
        h, thick = self.head, self.body.thick * self.head
        first = side < 0
        upper = self.joints[0 if first else 1](time) + side * 0.3
        lower = upper + self.joints[2 if first else 3](time) + side * -0.5
        elbow = shoulder + self.body.arm * h * np.array([np.sin(upper), np.cos(upper)])
        wrist = elbow + self.body.arm * 0.85 * h * np.array([np.sin(lower), np.cos(lower)])
        if self.prop is not None and side > 0:
            self._part(canvas, capsule(wrist, wrist + 1.5 * (wrist - elbow), 0.08 * h, 0.05 * h), self.prop, lower)
        for number in range(4):  # fingers
            spread = lower + (number - 1.5) * 0.22
            tip = wrist + 0.5 * h * np.array([np.sin(spread), np.cos(spread)])
            self._part(canvas, capsule(wrist, tip, 0.1 * h, 0.05 * h), self.skin, 0)
        self._part(canvas, capsule(elbow, wrist, thick * 0.8, thick * 0.55), self.sleeves, -lower)
        self._part(canvas, capsule(shoulder, elbow, thick, thick * 0.8), self.shirt, -upper)

    def _legs(self, canvas: Canvas, hips: NDArray[np.floating], across: NDArray[np.floating], time: float) -> None:
        h, thick = self.head, 1.3 * self.body.thick * self.head
        for side, wave in ((-1, self.legs[0:2]), (1, self.legs[2:4])):
            upper = wave[0](time)
            lower = upper * 0.5 + 0.4 * wave[1](time)
            hip = hips + side * 0.5 * self.body.hip * h * across
            knee = hip + self.body.leg * h * np.array([np.sin(upper), np.cos(upper)])
            foot = knee + self.body.leg * h * np.array([np.sin(lower), np.cos(lower)])
            self._part(
                canvas,
                capsule(foot, foot + np.array([0.5 * side * h, 0.1 * h]), thick * 0.5, thick * 0.4),
                self.skin,
                0,
            )
            self._part(canvas, capsule(knee, foot, thick * 0.85, thick * 0.55), self.trousers, -lower)
            self._part(canvas, capsule(hip, knee, thick, thick * 0.85), self.trousers, -upper)

    def _torso(
        self,
        canvas: Canvas,
        neck: NDArray[np.floating],
        hips: NDArray[np.floating],
        across: NDArray[np.floating],
        lean: float,
    ) -> None:
        h, b = self.head, self.body
        down = (hips - neck) / np.linalg.norm(hips - neck)
        thick = b.thick * h
        left, right = neck - across * b.shoulder * h, neck + across * b.shoulder * h
        outline = np.array(
            [
                neck - across * 0.3 * h - down * 0.1 * h,
                left - down * 0.05 * h,
                left - across * thick * 0.8 + down * thick,
                hips - across * (b.hip * h + thick * 0.6),
                hips + across * (b.hip * h + thick * 0.6) + down * thick * 0.5,
                right + across * thick * 0.8 + down * thick,
                right - down * 0.05 * h,
                neck + across * 0.3 * h - down * 0.1 * h,
            ]
        )
        self._part(canvas, outline, self.shirt, lean)
        self._part(canvas, capsule(neck - down * 0.45 * h, neck + down * 0.15 * h, 0.27 * h, 0.3 * h), self.skin, lean)

    def _head(self, canvas: Canvas, head: NDArray[np.floating], lean: float, time: float) -> None:
        nod, turn = lean + self.nod(time), self.turn(time)
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        oval = np.stack([0.4 * np.cos(angle), 0.54 * np.sin(angle)], axis=1)
        outline = head + self.head * turned(oval, nod)
        scalp = head + self.head * turned(oval[26:47] * 1.05, nod)
        if not self.bald:  # what hangs behind the face
            self.hair.grow(canvas, scalp, head, time)
        self._part(canvas, outline, self.skin, nod)
        self.face.paint(canvas, head, self.head, nod, turn, time)
        if not self.bald:
            cap = np.concatenate(
                [scalp, head + self.head * turned(np.array([[0.34, -0.2], [0, -0.3], [-0.34, -0.2]]), nod)]
            )
            canvas.paint(polygon(cap), self.hair.tones[0])
            self.hair.grow(canvas, scalp, head, time, reach=0.45)  # and over the brow, not over the face


class FlatFace:
    """Draws eyes, brows, nose and mouth: details inside the subject that must not become holes."""

    def __init__(self, rng: Rng) -> None:
        self.eye = rng.uniform(0.02, 0.5, 3).astype(np.float32)
        self.lips = np.clip(np.array([0.7, 0.3, 0.3]) * rng.uniform(0.4, 1.2), 0, 1).astype(np.float32)
        self.brow = rng.uniform(0.02, 0.4, 3).astype(np.float32)
        self.talk = Wave(rng, 0.05, 0.05, 1.0)
        self.glasses = rng.random() < 0.2

    def paint(
        self, canvas: Canvas, head: NDArray[np.floating], size: float, nod: float, turn: float, time: float
    ) -> None:
        """Draw the features onto the head, shifted sideways by how far it is turned."""

        def at(x: float, y: float) -> NDArray[np.floating]:
            return head + size * turned(np.array([x + 0.35 * turn, y]), nod)

        def oval(x: float, y: float, a: float, b: float) -> Patch:
            angle = np.linspace(0, 2 * np.pi, 20)
            shape = size * turned(np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1), nod)
            return canvas.inside(polygon(at(x, y) + shape))

        for side in (-1, 1):
            x = side * 0.16
            canvas.paint(oval(x, -0.05, 0.07, 0.035), np.array([0.92, 0.92, 0.9], np.float32))
            canvas.paint(oval(x + 0.03 * turn, -0.05, 0.033, 0.033), self.eye)
            canvas.paint(oval(x, -0.13, 0.09, 0.018), self.brow)
            if self.glasses:
                angle = np.linspace(0, 2 * np.pi, 24)
                rim = 0.12 * np.stack([np.cos(angle), 0.8 * np.sin(angle)], axis=1)
                canvas.paint(strokes([at(x, -0.05) + size * turned(rim, nod)], max(2, int(size / 12))), self.brow * 0.3)
        nose = np.array([at(0, -0.02), at(0.07, 0.14), at(-0.04, 0.14)])
        canvas.paint(canvas.inside(polygon(nose)).times(0.35), self.lips * 0.6)
        canvas.paint(oval(0, 0.27, 0.13, 0.025 + max(0.0, self.talk(time))), self.lips * 0.5)
        canvas.paint(oval(0, 0.27, 0.12, 0.015), self.lips)


class Beast:
    """Draws a furry body or a plush thing: an outline that breathes, covered in strands."""

    def __init__(self, rng: Rng, cloth: Cloth) -> None:
        self.radius = float(rng.uniform(45, 120))
        self.outline = blob(rng, self.radius)
        self.at = (Wave(rng, 40, WIDTH / 2, 0.25), Wave(rng, 20, HEIGHT / 2, 0.25))
        self.turn, self.swell = Wave(rng, 0.4), Wave(rng, 0.1, 1.0)
        self.fur = StrandTuft(
            rng, int(rng.integers(300, 900)), self.radius * rng.uniform(0.1, 0.5), gravity=0.4, curl=0.2
        )
        self.surface = cloth.surface(self.fur.tones[1])
        self.spots = [(blob(rng, self.radius * 0.25), rng.uniform(-0.5, 0.5, 2) * self.radius) for _ in range(3)]
        self.spot = cloth.surface()
        self.light = rng.normal(0, 1, 2)

    def __call__(self, time: float) -> Layer:
        canvas, middle = Canvas(), np.array([self.at[0](time), self.at[1](time)])
        angle = self.turn(time)
        outline = middle + self.swell(time) * turned(self.outline, angle)
        patch = polygon(outline)
        colour = placed(self.surface, patch, middle, angle, 3 * self.radius)
        canvas.paint(patch, shaded(colour, patch, self.light, self.radius * 0.25))
        for shape, where in self.spots:
            spot = canvas.inside(polygon(middle + turned(shape + where, angle)))
            canvas.paint(spot, placed(self.spot, spot, middle, angle, 2 * self.radius))
        self.fur.grow(canvas, np.concatenate([outline, outline[:1]]), middle, time)
        return canvas.layer()


class Thing:
    """Draws a hard object, perhaps with holes, perhaps see-through, perhaps with thin bars or wires."""

    def __init__(self, rng: Rng, cloth: Cloth) -> None:
        self.size = float(rng.uniform(40, 120))
        corners = int(rng.integers(3, 9))
        self.outline = blob(rng, self.size, 0.3) if rng.random() < 0.4 else blob(rng, self.size, 0.35, corners)
        self.holes = [
            (blob(rng, self.size * rng.uniform(0.1, 0.3)), rng.uniform(-0.45, 0.45, 2) * self.size)
            for _ in range(int(rng.choice([0, 0, 1, 2, 3])))
        ]
        self.glass = float(rng.uniform(0.25, 0.8)) if rng.random() < 0.2 else 1.0
        self.bars = [rng.uniform(-1.6, 1.6, (2, 2)) * self.size for _ in range(int(rng.choice([0, 2, 5, 9])))]
        self.bar = int(rng.integers(2, 9))
        self.surface, self.metal = cloth.surface(), rng.uniform(0, 1, 3).astype(np.float32)
        self.at = (Wave(rng, 60, WIDTH / 2, 0.25), Wave(rng, 40, HEIGHT / 2, 0.25))
        self.turn, self.light = Wave(rng, 0.8, 0, 0.25), rng.normal(0, 1, 2)

    def __call__(self, time: float) -> Layer:
        canvas, middle = Canvas(), np.array([self.at[0](time), self.at[1](time)])
        angle = self.turn(time)
        patch = polygon(middle + turned(self.outline, angle))
        colour = placed(self.surface, patch, middle, angle, 3 * self.size)
        canvas.paint(patch.times(self.glass), shaded(colour, patch, self.light, self.size * 0.15))
        for shape, where in self.holes:
            canvas.cut(polygon(middle + turned(shape + where, angle)))
        if self.bars:
            canvas.paint(strokes([middle + turned(bar, angle) for bar in self.bars], self.bar), self.metal)
        return canvas.layer()


class StemPlant:
    """Draws stems that branch, with leaves: thin structure all over."""

    def __init__(self, rng: Rng, cloth: Cloth) -> None:
        self.foot = np.array([WIDTH * rng.uniform(0.3, 0.7), HEIGHT * rng.uniform(0.75, 1.0)])
        self.stems = [
            (rng.normal(0, 0.45), rng.uniform(90, 260), rng.normal(0, 0.8), int(rng.integers(2, 7)))
            for _ in range(int(rng.integers(4, 14)))
        ]
        self.leaves = [
            (int(rng.integers(len(self.stems))), rng.uniform(0.3, 1.0), rng.uniform(0, 2 * np.pi), rng.uniform(6, 26))
            for _ in range(int(rng.integers(0, 50)))
        ]
        self.wind = Wave(rng, 0.3)
        self.surface, self.wood = cloth.surface(), rng.uniform(0.05, 0.6, 3).astype(np.float32)

    def __call__(self, time: float) -> Layer:
        canvas, wind = Canvas(), self.wind(time)
        step = np.linspace(0, 1, 12)
        paths = []
        for lean, length, bend, width in self.stems:
            angle = lean + (bend + wind) * step
            path = self.foot + np.cumsum(length / 12 * np.stack([np.sin(angle), -np.cos(angle)], axis=1), axis=0)
            paths.append(path)
            canvas.paint(strokes([path], width), self.wood)
        for stem, along, turn, size in self.leaves:
            at = paths[stem][int(along * 11)]
            angle = np.linspace(0, 2 * np.pi, 14)
            leaf = np.stack([size * np.cos(angle), 0.4 * size * np.sin(angle)], axis=1)
            patch = polygon(at + turned(leaf, turn + wind))
            canvas.paint(patch, placed(self.surface, patch, self.foot, 0, 220))
        return canvas.layer()


class FrayedVeil:
    """Draws cloth in the wind, half see-through, with a frayed edge."""

    def __init__(self, rng: Rng, cloth: Cloth) -> None:
        self.surface = cloth.surface()
        self.density = float(rng.uniform(0.35, 0.95))
        self.box = (rng.uniform(0.2, 0.4), rng.uniform(0.15, 0.3), rng.uniform(0.6, 0.85), rng.uniform(0.6, 0.9))
        self.edges = [Wave(rng, 22, 0, 0.5) for _ in range(10)]
        self.folds = rng.uniform(0.02, 0.12)
        self.drift = Wave(rng, 30)
        self.fringe = StrandTuft(rng, int(rng.integers(60, 300)), 30, gravity=0.8, curl=0.2)

    def __call__(self, time: float) -> Layer:
        canvas = Canvas()
        left, top, right, bottom = self.box
        shift = self.drift(time)
        down = np.linspace(top, bottom, 5) * HEIGHT
        sides = [wave(time) * k / 4 for k, wave in zip([0, 1, 2, 3, 4] * 2, self.edges, strict=True)]
        outline = np.array(
            [(left * WIDTH + shift + d, y) for d, y in zip(sides[:5], down, strict=True)]
            + [(right * WIDTH + shift + d, y) for d, y in zip(sides[5:][::-1], down[::-1], strict=True)]
        )
        x = np.arange(WIDTH, dtype=np.float32)[None, :] - np.float32(shift)
        fold = (0.8 + 0.2 * np.sin(self.folds * x * 6 + time * 0.3)).astype(np.float32)
        patch = polygon(outline)
        fold = fold[:, patch.window[1]]
        colour = placed(self.surface, patch, outline.mean(axis=0), 0, 300) * fold[..., None]
        self.fringe.grow(canvas, outline[4:6], outline.mean(axis=0), time)
        canvas.paint(patch.times(self.density * fold), colour)
        return canvas.layer()


KINDS: dict[str, Callable[[Rng, Cloth], Draw]] = {
    "figure": JointedFigure,
    "beast": Beast,
    "thing": Thing,
    "plant": StemPlant,
    "veil": FrayedVeil,
}
KIND_SHARES = {"figure": 0.62, "beast": 0.14, "thing": 0.14, "plant": 0.06, "veil": 0.04}
"""How often each kind is drawn: mostly people, as shots are."""


# -- files ------------------------------------------------------------------------------------------------------------


def write_clip(root: Path, number: int, length: int = LENGTH, textures: list[Path] | None = None) -> None:
    """Write clip `number`, 8 bits: ROOT/fgr/<number>/<frame>.jpg, straight, and ROOT/pha/<number>/<frame>.png."""
    name = f"{number:06d}"
    for frame, layer in enumerate(draw_clip(number, length, textures)):
        straight, alpha = as_bytes(unpremultiplied(layer)), as_bytes(layer.alpha)
        write_picture(root / "fgr" / name / f"{frame:04d}.jpg", straight[..., ::-1])
        write_picture(root / "pha" / name / f"{frame:04d}.png", alpha)


def as_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """Turn 0..1 into 0..255."""
    return np.asarray(np.clip(255 * pixels, 0, 255).round(), np.uint8)


def is_written(root: Path, number: int, length: int = LENGTH) -> bool:
    """Return whether write_clip finished this clip: its last alpha is written last."""
    return (root / "pha" / f"{number:06d}" / f"{length - 1:04d}.png").is_file()


def unpremultiplied(layer: Layer) -> Pixels:
    """Return straight colours (H, W, 3), which continue outside of the alpha, so that soft edges mix in no black."""
    wide = cv2.GaussianBlur(layer.rgb, (0, 0), 6), cv2.GaussianBlur(layer.alpha, (0, 0), 6)
    around = wide[0] / np.maximum(wide[1], 1e-3)[..., None]
    solid = np.clip(layer.alpha * 8, 0, 1)[..., None]
    return layer.rgb / np.maximum(layer.alpha, 1e-3)[..., None] * solid + around * (1 - solid)
