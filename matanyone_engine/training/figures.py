# SPDX-License-Identifier: Apache-2.0
"""Draws the bodies of the people of the second series: clothes, poses, and objects in their hands. Heads and hands are
in people.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matanyone_engine.training.drawing import Paper, Points, Wardrobe, ellipse, rgb, smooth
from matanyone_engine.training.people import Face, Hand, HeadPose
from matanyone_engine.training.synthetic import Pixels, Rng, Wave, capsule, turned

BodyPose = Callable[[float | Points, float | Points], Points]
"""Maps a point of the body's plane, in head heights from the neck, to the picture."""
NEAR = {"whole": (0.085, 0.125), "waist": (0.16, 0.28), "close": (0.3, 0.6)}
"""The least and the greatest height of the head, in heights of the picture, by how close the person is."""
OPEN = {"tee": 0.25, "dress": 0.6, "tank": 0.5}
"""The depth of a neckline, in head heights, by outfit."""
OUTFITS = ("tee", "shirt", "suit", "hoodie", "dress", "coat", "tank", "turtleneck")


@dataclass(frozen=True)
class Build:
    """Holds the measures of a body, in head heights."""

    shoulder: float
    waist: float
    hip: float
    torso: float
    arm: float
    leg: float
    thick: float

    @classmethod
    def random(cls, rng: Rng) -> Build:
        """Draw a body within human measures."""
        spans = ((0.75, 1.05), (0.5, 0.75), (0.55, 0.75), (2.1, 2.6), (1.2, 1.5), (1.6, 2.0), (0.17, 0.27))
        return cls(*(float(rng.uniform(*span)) for span in spans))


class Figure:
    """Draws a person who moves, turns and waves, and is seen whole, from the waist up or close."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        height, width = size
        self.build, near = Build.random(rng), str(rng.choice(list(NEAR), p=[0.22, 0.4, 0.38]))
        self.size = float(rng.uniform(*NEAR[near])) * height
        inside = near == "whole" or rng.random() < 0.82
        middle = rng.uniform(0.35, 0.65) if inside else rng.choice([rng.uniform(0, 0.12), rng.uniform(0.88, 1)])
        top = {"whole": 0.13 * height, "waist": 1.1 * self.size, "close": rng.uniform(0.36, 0.55) * height}[near]
        self.at = Wave(rng, 0.35 * self.size + 8, width * middle, 0.2), Wave(rng, 0.08 * self.size, top, 0.3)
        self.zoom = Wave(rng, 0.4 if rng.random() < 0.3 else 0.08, 0, 0.15)
        turns = rng.random()
        self.yaw = (
            Wave(rng, 3.0, rng.uniform(-0.5, 0.5), 0.14) if turns < 0.3 else Wave(rng, 0.6, rng.uniform(-0.5, 0.5), 0.2)
        )
        self.look, self.nod, self.lean = Wave(rng, 0.3), Wave(rng, 0.15), Wave(rng, 0.35 if turns > 0.85 else 0.1)
        fast = rng.uniform(0.7, 1.4) if rng.random() < 0.3 else 0.3
        self.upper = [Wave(rng, 0.9, rest, fast) for rest in rng.normal(0.35, 0.8, 2)]
        self.lower = [Wave(rng, 0.8, rest, fast) for rest in rng.normal(0.6, 0.7, 2)]
        self.wrist = [Wave(rng, 0.5, 0, fast) for _ in range(2)]
        self.step = Wave(rng, 0.5, 0, 0.35), Wave(rng, 0.3, 0.2, 0.35)
        self.light = rng.normal(0, 0.8, 2)
        self._dress(rng, wardrobe)
        self.face = Face(rng, wardrobe, self.skin, self.size)
        self.hands = [Hand(rng, self.skin, self.light) for _ in range(2)]
        self.prop = str(
            rng.choice(["", "bag", "strap", "stick", "book", "cup"], p=[0.55, 0.08, 0.12, 0.09, 0.08, 0.08])
        )
        self.both_before = rng.random() < 0.5

    def _dress(self, rng: Rng, wardrobe: Wardrobe) -> None:
        tone = np.array(
            [(0.93, 0.74, 0.64), (0.8, 0.58, 0.45), (0.62, 0.42, 0.3), (0.42, 0.27, 0.19), (0.24, 0.15, 0.11)][
                int(rng.integers(5))
            ]
        )
        tone = tone * rng.uniform(0.8, 1.1) * (0.45 if wardrobe.dark else 1.0)
        self.skin = wardrobe.plain(np.asarray(np.clip(tone, 0.02, 1), np.float32), 0.015, 0.04)
        self.bare = np.asarray(tone, np.float32)
        self.outfit = OUTFITS[int(rng.integers(len(OUTFITS)))]
        self.shirt, self.under, self.trousers = wardrobe.fabric(), wardrobe.fabric(), wardrobe.fabric()
        if self.outfit == "suit":
            self.shirt = wardrobe.plain(wardrobe.colour() * 0.5, 0.04, 0.3)
            self.under = wardrobe.plain(rgb(0.9, 0.9, 0.92) * (0.3 if wardrobe.dark else 1.0), 0.02, 0.15)
        self.accent, self.metal = wardrobe.fabric(), wardrobe.colour()
        self.sleeve = {"tee": 0.5, "dress": 0.4, "tank": 0.0}.get(self.outfit, 2.0) if rng.random() < 0.85 else 0.6
        self.fabric_size = float(rng.uniform(1.6, 4.5))
        self.necklace, self.patterned_legs = rng.random() < 0.2, rng.random() < 0.5
        self.shoe = wardrobe.colour()

    # the body

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint the figure as it is at a time."""
        head, size = self._place(time), self.size * float(np.exp(self.zoom(time)))
        before = self._place(time - 1.5)
        push = float(np.clip(-(head[0] - before[0]) / (1.2 * size), -0.8, 0.8))
        lean, turn = self.lean(time), self.yaw(time)
        seen = HeadPose(head, size, turn + self.look(time), lean + self.nod(time))
        c, hair = np.cos(turn), self.face.hair
        wide = abs(c) + 0.5 * abs(np.sin(turn))
        neck = head + size * turned(np.array([0.0, 0.6]), lean)

        def body(x: float | Points, y: float | Points) -> Points:
            flat = np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), axis=-1)
            return np.asarray(neck + size * turned(flat, lean))

        order = (0, 1) if c >= 0 else (1, 0)
        if seen.faces(0) > 0:
            hair.behind(paper, seen, push, time)
        if not self.both_before:
            self._arm(paper, body, order[0], size, wide, c, time)
        self._legs(paper, body, size, wide, time)
        self._torso(paper, body, size, wide, c)
        paper.paint(paper.polygon(capsule(body(0, -0.35), body(0, 0.1), 0.22 * size, 0.24 * size)), self.bare * 0.85)
        if c > -0.2:
            self._neckline(paper, body, size, c)
        self.face.paint(paper, seen, push, time)
        if seen.faces(0) <= 0:
            hair.behind(paper, seen, push, time)
        if self.both_before:
            self._arm(paper, body, order[0], size, wide, c, time)
        self._arm(paper, body, order[1], size, wide, c, time)

    def _place(self, time: float) -> Points:
        return np.array([self.at[0](time), self.at[1](time)])

    def _part(
        self, paper: Paper, outline: Points, fabric: Pixels, origin: Points, angle: float, size: float, depth: float
    ) -> None:
        stain = paper.polygon(outline)
        colour = paper.dressed(stain, fabric, origin, angle, self.fabric_size * size)
        paper.paint(stain, paper.rounded(stain, colour, self.light, depth * size))

    def _torso(self, paper: Paper, body: BodyPose, size: float, wide: float, c: float) -> None:
        b = self.build
        x = np.array(
            [0.16, 0.3, b.shoulder * 0.92, b.shoulder, b.shoulder * 0.84, b.waist * 0.95, b.waist, b.hip, b.hip * 1.02]
        )
        y = np.array([-0.04, 0.07, 0.2, 0.4, 0.75, 0.62 * b.torso, 0.7 * b.torso, 0.92 * b.torso, b.torso + 0.1])
        right, left = body(x * wide, y), body(-x[::-1] * wide, y[::-1])
        self._part(paper, smooth(np.concatenate([right, left])), self.shirt, body(0.15 * c, 1.0), 0, size, 0.25)
        if self.outfit == "hoodie":
            hood = smooth(
                body(np.array([-0.45, -0.2, 0.2, 0.45, 0.25, -0.25]), np.array([0.05, -0.32, -0.32, 0.05, 0.28, 0.28]))
            )
            self._part(paper, hood, self.shirt, body(0, 0), 0.4, size, 0.1)
        if self.prop == "strap":
            strap = np.stack([body(-0.5 * wide, 0.05), body(0.55 * wide, 0.95 * b.torso)])
            stain = paper.strokes(strap[None], max(1.5, 0.12 * size))
            paper.inside(stain, paper.dressed(stain, self.accent, body(0, 1), 0.8, 2 * size))
            bag = smooth(body(np.array([0.4, 0.95, 1.0, 0.45]) * wide, np.array([0.85, 0.8, 1.15, 1.2]) * b.torso), 3)
            self._part(paper, bag, self.accent, body(0.5, b.torso), 0, size, 0.1)

    def _neckline(self, paper: Paper, body: BodyPose, size: float, c: float) -> None:
        """Paint what the outfit shows on the chest."""

        def at(x: list[float], y: list[float]) -> Points:
            return np.asarray(body(np.array(x) * c, np.array(y)))

        def fill(x: list[float], y: list[float], fabric: Pixels, tone: float = 1.0) -> None:
            stain = paper.polygon(at(x, y))
            paper.inside(stain, tone * paper.dressed(stain, fabric, body(0, 0.5), 0.2, 3 * size))

        long, kind, line = self.build.torso, self.outfit, max(0.6, 0.02 * size)
        if kind in OPEN:
            deep = OPEN[kind]
            skin = paper.polygon(at([-0.27, 0.27, 0.15, 0, -0.15], [-0.02, -0.02, deep * 0.7, deep, deep * 0.7]))
            paper.inside(skin, self.bare * 0.92)
        self._front(fill, kind, long)
        if kind in ("shirt", "coat", "hoodie"):
            paper.inside(paper.strokes(at([0.0, 0.0], [0.2, long + 0.05])[None], line), self.bare * 0.2)
            buttons = at([0.03] * 6, [0.15 + 0.14 * k * long for k in range(1, 7)])
            for button in buttons:
                paper.inside(paper.polygon(ellipse(button, 0.035 * size, 0.035 * size)), self.metal)
        if kind == "turtleneck":
            fill([-0.25, 0.25, 0.27, -0.27], [-0.24, -0.24, 0.06, 0.06], self.shirt, 0.9)
        if self.necklace:
            t = np.linspace(0, np.pi, 12)
            chain = paper.strokes(body(0.28 * c * np.cos(t), 0.5 * np.sin(t) - 0.05)[None], 1.5 * line)
            paper.inside(chain, self.metal)

    def _front(self, fill: Callable[..., None], kind: str, long: float) -> None:
        """Paint shirt front, tie, lapels and collar."""
        if kind in ("suit", "coat"):
            fill([-0.2, 0.2, 0.12, 0, -0.12], [-0.05, -0.05, 0.6 * long, 0.7 * long, 0.6 * long], self.under)
            fill([-0.06, 0.06, 0.1, 0, -0.1], [0.1, 0.1, 0.55 * long, 0.63 * long, 0.55 * long], self.accent)
            for side in (-1, 1):
                lapel = [side * 0.2, side * 0.48, side * 0.36, side * 0.02]
                fill(lapel, [-0.04, 0.25, 0.55, 0.66 * long], self.shirt, 0.75)
        if kind in ("shirt", "suit"):
            for side in (-1, 1):
                fill([side * 0.22, side * 0.3, side * 0.14, 0.0], [-0.12, 0.12, 0.24, 0.08], self.under, 1.05)

    def _arm(self, paper: Paper, body: BodyPose, number: int, size: float, wide: float, c: float, time: float) -> None:
        b, side = self.build, -1.0 if number == 0 else 1.0
        way = side * (1.0 if c >= 0 else -1.0)
        shoulder = body(way * b.shoulder * 0.86 * wide, 0.3)
        upper = way * (0.15 + self.upper[number](time))
        lower = upper - way * np.clip(self.lower[number](time), -0.2, 2.4)
        elbow = shoulder + b.arm * size * np.array([np.sin(upper), np.cos(upper)])
        wrist = elbow + b.arm * 0.9 * size * np.array([np.sin(lower), np.cos(lower)])
        hand, thick = lower + self.wrist[number](time), b.thick
        if self.prop in ("stick", "book", "cup", "bag") and number == 1:
            self._hold(paper, wrist + 0.25 * size * np.array([np.sin(hand), np.cos(hand)]), hand, size)
        self.hands[number].paint(paper, wrist, hand, size * 0.95, -way, time)
        self._part(
            paper, capsule(elbow, wrist, 0.82 * thick * size, 0.5 * thick * size), self.skin, elbow, -lower, size, 0.12
        )
        self._part(
            paper, capsule(shoulder, elbow, thick * size, 0.85 * thick * size), self.skin, shoulder, -upper, size, 0.14
        )
        if self.sleeve > 1:
            cuff = elbow + 0.93 * (wrist - elbow)
            self._part(
                paper,
                capsule(elbow, cuff, 1.05 * thick * size, 0.72 * thick * size),
                self.shirt,
                elbow,
                -lower,
                size,
                0.14,
            )
        if self.sleeve > 0:
            end = shoulder + min(1.0, self.sleeve) * (elbow - shoulder)
            self._part(
                paper,
                capsule(shoulder, end, 1.2 * thick * size, 1.1 * thick * size),
                self.shirt,
                shoulder,
                -upper,
                size,
                0.16,
            )

    def _hold(self, paper: Paper, at: Points, angle: float, size: float) -> None:
        ahead, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
        if self.prop == "stick":
            self._part(
                paper,
                capsule(at - 0.8 * size * across, at + 2.4 * size * across, 0.05 * size, 0.03 * size),
                self.accent,
                at,
                angle,
                size,
                0.05,
            )
            return
        half = {"book": (0.35, 0.5), "cup": (0.16, 0.22), "bag": (0.5, 0.6)}[self.prop]
        middle = at + (0.75 * size if self.prop == "bag" else 0.1 * size) * np.array(
            [0.0, 1.0] if self.prop == "bag" else ahead
        )
        box = np.array([[-1, -1], [1, -1], [0.9, 1], [-0.9, 1]]) * half
        outline = middle + size * (box if self.prop == "bag" else box[:, :1] * across + box[:, 1:] * ahead)
        self._part(paper, outline, self.accent, middle, -angle if self.prop != "bag" else 0.0, size, 0.1)
        if self.prop == "bag":
            grip = np.stack([middle + size * np.array([-0.3, -0.6]), at, middle + size * np.array([0.3, -0.6])])
            paper.paint(paper.strokes(grip[None], max(1.0, 0.06 * size)), self.metal)

    def _legs(self, paper: Paper, body: BodyPose, size: float, wide: float, time: float) -> None:
        b = self.build
        if body(0, b.torso)[1] > paper.size[0] + 1.5 * size:
            return
        for side in (-1.0, 1.0):
            upper = 0.12 * side + side * self.step[0](time)
            lower = upper - 0.5 * abs(self.step[1](time))
            hip = body(side * 0.5 * b.hip * wide, b.torso - 0.15)
            knee = hip + b.leg * size * np.array([np.sin(upper), np.cos(upper)])
            foot = knee + b.leg * size * np.array([np.sin(lower), np.cos(lower)])
            bare = self.outfit == "dress"
            fabric, thick = (self.skin if bare else self.trousers), b.thick * size * (1.0 if bare else 1.3)
            paper.paint(
                paper.polygon(
                    capsule(
                        foot + np.array([0, 0.08 * size]),
                        foot + size * np.array([0.42 * side, 0.16]),
                        0.16 * size,
                        0.12 * size,
                    )
                ),
                self.shoe,
            )
            self._part(paper, capsule(knee, foot, 0.95 * thick, 0.65 * thick), fabric, knee, -lower, size, 0.15)
            self._part(paper, capsule(hip, knee, 1.35 * thick, 1.0 * thick), fabric, hip, -upper, size, 0.2)
        if self.outfit == "dress":
            swing = 0.15 * self.step[0](time)
            x = np.array([-b.waist, b.waist, b.hip * 1.5 + swing, 0.6, 0.2, -0.2, -0.6, -b.hip * 1.5 + swing]) * wide
            y = b.torso * 0.66 + np.array([0, 0, 1.9, 2.0, 1.92, 2.0, 1.9, 1.9])
            self._part(paper, body(x, y), self.shirt, body(0, 1.0), 0, size, 0.2)
