# SPDX-License-Identifier: Apache-2.0
"""Draws scenes in which a single first key may fail: occlusion, a look-alike that crosses, leaving and coming back.

People are training/synthetic.py's, drawn with numbers that training never uses; a look-alike is the same person a few
moments later. Each scene has the true alpha of everyone in it.

Pixels are (H, W, 3) float32, display-referred 0..1; alphas (H, W) 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.training.synthetic import HEIGHT, WIDTH, Cloth, Layer, draw_clip

Picture = NDArray[np.float32]

SIZE = (216, 384)
"""Height, width."""
FIRST = 1001
HELD_OUT = 1_000_000
"""Clips are drawn from this number on; training uses small ones."""
_GRAIN = 0.012


@dataclass(frozen=True)
class Actor:
    """Describes someone in a scene."""

    name: str
    number: int
    """Of the drawn clip; the same number is the same person."""
    centre: Callable[[float], float]
    """Says where the person's middle is at a time 0..1 across the picture, 0 its left and 1 its right side."""
    late: int = 0
    """Frames by which the motion is ahead."""
    height: float = 1.0
    """Of the canvas the person is drawn on, as part of the picture's height."""


@dataclass(frozen=True)
class Scene:
    """Holds a clip with the truth about it."""

    name: str
    plates: list[Picture]
    truth: dict[str, list[Picture]]
    """The alphas of each actor."""

    @property
    def frames(self) -> tuple[int, ...]:
        """Return the plate frame numbers."""
        return tuple(range(FIRST, FIRST + len(self.plates)))


def _clips(person: int) -> int:
    return HELD_OUT + person


def occlusion(person: int, length: int) -> Scene:
    """Let someone walk behind a wall that hides all of them for a while, and on."""
    walker = Actor("hero", _clips(person), lambda t: float(np.interp(t, (0, 0.3, 0.7, 1), (0.14, 0.5, 0.5, 0.86))))
    return _scene("occlusion", [walker], person, length, wall=(0.34, 0.66))


def look_alike(person: int, length: int) -> Scene:
    """Let two people who look the same pass each other, the wrong one in front."""
    hero = Actor("hero", _clips(person), lambda t: 0.22 + 0.56 * t)
    twin = Actor("twin", _clips(person), lambda t: 0.78 - 0.56 * t, late=17)
    return _scene("look-alike", [hero, twin], person, length)


def re_entry(person: int, length: int) -> Scene:
    """Let someone leave the picture and come back, while another who looks the same stays."""
    hero = Actor("hero", _clips(person), lambda t: 0.7 + 0.6 * float(np.sin(np.pi * min(1.0, 1.25 * t))))
    twin = Actor("twin", _clips(person), lambda t: 0.24 + 0.04 * t, late=23)
    return _scene("re-entry", [twin, hero], person, length)


def crowd(person: int, length: int) -> Scene:
    """Show three people beside each other, two of whom look the same."""
    hero = Actor("hero", _clips(person), lambda t: 0.22 + 0.1 * t, height=0.9)
    twin = Actor("twin", _clips(person), lambda t: 0.5 - 0.1 * t, late=17, height=0.9)
    other = Actor("other", _clips(person + 1), lambda t: 0.8 - 0.05 * t, height=0.9)
    return _scene("crowd", [other, hero, twin], person, length)


def _scene(name: str, actors: list[Actor], person: int, length: int, wall: tuple[float, float] | None = None) -> Scene:
    """Paint actors in order, the last in front; a wall (left, right) stands in front of all."""
    rng = np.random.default_rng([7, person])
    backdrop = _backdrop(rng)
    drawn = {actor.name: list(_drawn(actor, length)) for actor in actors}
    plates, truth = [], {actor.name: [] for actor in actors}
    for frame in range(length):
        plate, alphas = backdrop.copy(), {}
        for actor in actors:
            layer = drawn[actor.name][frame]
            plate = plate * (1 - layer.alpha[..., None]) + layer.rgb
            alphas = {other: alpha * (1 - layer.alpha) for other, alpha in alphas.items()} | {actor.name: layer.alpha}
        if wall:
            left, right = (round(side * SIZE[1]) for side in wall)
            plate[:, left:right] = 0.55 * backdrop[:, ::-1][:, left:right] + 0.2
            for alpha in alphas.values():
                alpha[:, left:right] = 0
        plate = np.clip(plate + _GRAIN * rng.standard_normal(plate.shape, np.float32), 0, 1)
        plates.append(plate.astype(np.float32))
        for actor, alpha in alphas.items():
            truth[actor].append(alpha.astype(np.float32))
    return Scene(name, plates, truth)


def _backdrop(rng: np.random.Generator) -> Picture:
    """Return a room of coloured surfaces, out of focus."""
    cloth = Cloth(rng, [])
    picture = cv2.resize(cloth.surface(), SIZE[::-1])
    for _ in range(9):
        x, y = (int(rng.integers(0, side)) for side in SIZE[::-1])
        w, h = int(rng.integers(30, 120)), int(rng.integers(30, 120))
        area = picture[y : y + h, x : x + w]
        area[:] = cv2.resize(cloth.surface(), area.shape[1::-1])
    return cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.float32)


def _drawn(actor: Actor, length: int) -> Iterator[Layer]:
    """Yield the actor's layer on every frame, at its place."""
    clip = list(draw_clip(actor.number, length + actor.late, kind="figure"))[actor.late :]
    scale = actor.height * SIZE[0] / HEIGHT
    for number, layer in enumerate(clip):
        shift = actor.centre(number / max(length - 1, 1)) * SIZE[1] - scale * WIDTH / 2
        matrix = np.array([[scale, 0, shift], [0, scale, SIZE[0] * (1 - actor.height)]])
        small = [
            cv2.warpAffine(plane, matrix, SIZE[::-1], flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            for plane in (cv2.GaussianBlur(layer.rgb, (0, 0), 0.6), cv2.GaussianBlur(layer.alpha, (0, 0), 0.6))
        ]
        yield Layer(*small)
