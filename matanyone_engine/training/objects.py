# SPDX-License-Identifier: Apache-2.0
"""Draws the objects of the second series: textiles, plants, animals, gear, most of them solid though they look thin;
and veils.

The network is to learn that threads, fringes, leaves and nets over cloth are solid wherever they cover. Things that are
really see-through are rare and plain: a smooth veil or pane of one colour, through which the background shows.
"""

from __future__ import annotations

import numpy as np

from matanyone_engine.training.drawing import Paper, Points, Wardrobe, ellipse, grown, rgb, smooth, tones
from matanyone_engine.training.synthetic import Rng, Wave, blob, capsule, turned


class Moving:
    """Draws a thing that wanders, turns and comes nearer."""

    def __init__(self, rng: Rng, size: tuple[int, int]) -> None:
        height, width = size
        self.reach = float(rng.uniform(0.2, 0.45)) * height * (1.6 if rng.random() < 0.12 else 1.0)
        edge = self.reach > 0.32 * height and rng.random() < 0.4  # cut by the frame
        middle = rng.uniform(0.35, 0.65, 2) if not edge else rng.choice([0.12, 0.5, 0.88], 2)
        self.at = Wave(rng, 0.15 * width, width * middle[0], 0.25), Wave(rng, 0.1 * height, height * middle[1], 0.25)
        self.turn, self.zoom = Wave(rng, rng.choice([0.15, 0.8]), 0, 0.25), Wave(rng, 0.12, 0, 0.2)
        self.light = rng.normal(0, 0.8, 2)

    def place(self, time: float) -> tuple[Points, float, float]:
        """Return middle, angle and size at a time."""
        return (
            np.array([self.at[0](time), self.at[1](time)]),
            self.turn(time),
            self.reach * float(np.exp(self.zoom(time))),
        )


class Textile(Moving):
    """Draws a rug, blanket, scarf or net over cloth, hanging or held: solid to its last thread, with fringes."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        self.cloth, self.weave = wardrobe.fabric(), float(rng.uniform(0.8, 3))
        self.half = np.array([rng.uniform(0.4, 1.3), rng.uniform(0.5, 1.2)])
        self.edges = [Wave(rng, rng.uniform(0.02, 0.12), 0, 0.5) for _ in range(12)]
        self.kind = str(rng.choice(["rug", "net", "plain"], p=[0.5, 0.25, 0.25]))
        self.fringe = rng.random(int(rng.integers(150, 700))) if rng.random() < 0.7 else np.zeros(0)
        self.fringe_long = float(rng.uniform(0.1, 0.4))
        self.noise = rng.normal(0, 1, (len(self.fringe), 3))
        self.tones = tones(rng, wardrobe.colour(), 0.4, 7)
        self.mesh, self.thread, self.fold = float(rng.uniform(0.06, 0.25)), wardrobe.colour(), rng.uniform(2, 9)
        self.both = rng.random() < 0.5

    def _outline(self, time: float, middle: Points, angle: float, size: float) -> Points:
        """Return the sides (4, 7, 2): top, right, bottom, left, seven points each, in the order around."""
        t = np.linspace(-1, 1, 7)
        sides = []
        one = np.ones_like(t)
        for k, (x, y) in enumerate(((t, -one), (one, t), (-t, one), (-one, -t))):
            waves = [self.edges[3 * k + j](time) * np.sin((j + 1) * np.pi * (t + 1) / 2) for j in range(3)]
            wave = sum(waves[1:], waves[0])
            flat = np.stack([x + wave * (k % 2), y + wave * (k % 2 == 0)], axis=1) * self.half
            sides.append(middle + size * turned(flat, angle))
        return np.stack(sides)

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, angle, size = self.place(time)
        sides = self._outline(time, middle, angle, size)
        for side in (2, 0) if self.both else (2,):
            self._fringes(paper, sides[side], angle + (np.pi / 2 if side == 2 else -np.pi / 2), size, time)
        stain = paper.polygon(sides.reshape(-1, 2))
        colour = paper.dressed(stain, self.cloth, middle, angle, self.weave * size)
        x = np.arange(stain.coverage.shape[1], dtype=np.float32) / (paper.fine * size)
        folds = 0.86 + 0.14 * np.sin(self.fold * x + 0.4 * time + 3 * self.edges[0](time))
        paper.paint(
            stain, paper.rounded(stain, colour * folds.astype(np.float32)[None, :, None], self.light, 0.05 * size)
        )
        if self.kind == "net":
            span = np.arange(-2, 2, self.mesh)
            ends = np.concatenate(
                [
                    np.stack([np.stack([span, span - 2], 1), np.stack([span, span + 2], 1)], 1),
                    np.stack([np.stack([span, span + 2], 1), np.stack([span, span - 2], 1)], 1),
                ]
            )
            net = paper.strokes(
                middle + size * turned(ends.reshape(-1, 2), angle).reshape(-1, 2, 2), max(0.8, 0.012 * size)
            )
            paper.inside(net, self.thread)

    def _fringes(self, paper: Paper, side: Points, heading: float, size: float, time: float) -> None:
        if not len(self.fringe):
            return
        at = self.fringe * (len(side) - 1.001)
        low = at.astype(int)
        roots = side[low] + (side[low + 1] - side[low]) * (at - low)[:, None]
        tassel = np.sin(40 * self.fringe)  # threads gather
        angle = heading + 0.15 * tassel + 0.12 * self.noise[:, 0] + 0.2 * np.sin(0.5 * time)
        long = size * self.fringe_long * (1 + 0.15 * self.noise[:, 1])
        paper.strands(
            grown(roots, angle, long, 0.3 * self.noise[:, 2], 0.1 * tassel, at, 0.3, 7),
            max(0.7, 0.012 * size),
            self.tones,
        )


class Yarn(Moving):
    """Draws a ball of wool, or a heap of it: threads all over, solid inside, with loose ends."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        self.tones = tones(rng, wardrobe.colour(), 0.45, 9)
        self.turns = rng.uniform(0, np.pi, (int(rng.integers(120, 260)), 3))
        self.flat, self.loose = rng.uniform(0.6, 1.0), rng.normal(0, 1, (int(rng.integers(3, 40)), 4))
        self.thick, self.fuzz = float(rng.uniform(0.015, 0.05)), rng.normal(0, 1, (500, 3))

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, angle, size = self.place(time)
        away = np.arctan2(self.fuzz[:, 0], self.fuzz[:, 1])
        rim = middle + size * np.stack([np.cos(away), self.flat * np.sin(away)], axis=1)
        paper.strands(
            grown(rim, away, 0.06 * size * np.abs(1 + self.fuzz[:, 2]), 0.8 * self.fuzz[:, 2], 0 * away, away, 0.2, 5),
            0.5,
            self.tones,
        )
        roots = middle + 0.7 * size * np.stack(
            [np.cos(self.loose[:, 0] * 3), self.flat * np.sin(self.loose[:, 0] * 3)], axis=1
        )
        ends = grown(
            roots,
            self.loose[:, 1] * 2,
            size * (0.6 + 0.4 * np.abs(self.loose[:, 2])),
            self.loose[:, 3],
            0 * self.loose[:, 0] + 0.7,
            self.loose[:, 1],
            0.5,
            18,
        )
        paper.strands(ends, max(1.0, self.thick * size), self.tones)
        paper.paint(paper.polygon(ellipse(middle, size, self.flat * size, points=48)), self.tones[4] * 0.6)
        t = np.linspace(-1.45, 1.45, 14)[None]
        bow, tilt, reach = self.turns[:, :1] - np.pi / 2, self.turns[:, 1:2] * 2, 0.985
        x, y = reach * np.sin(t), reach * np.cos(t) * np.sin(bow)
        c, s = np.cos(tilt + angle), np.sin(tilt + angle)
        paths = middle + size * np.stack([c * x - s * y, self.flat * (s * x + c * y)], axis=2)
        paper.strands(paths, max(1.0, self.thick * size), self.tones)


class Plant(Moving):
    """Draws leaves over leaves, in a pot or cut by the frame: dense, solid, ragged at the rim."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        count = int(rng.integers(40, 240))
        self.kind = str(rng.choice(["leaf", "blade", "fern", "palm"]))
        self.spots = rng.normal(0, 0.42, (count, 2)) * (1, 0.8)
        self.angles = np.arctan2(self.spots[:, 0], -self.spots[:, 1] + 0.35) + rng.normal(0, 0.5, count)
        self.sizes = rng.uniform(0.1, 0.34) * rng.uniform(0.5, 1.3, count)
        self.lean, self.wind = rng.uniform(0, 6, count), rng.uniform(0.02, 0.15)
        green = rgb(rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.7), rng.uniform(0.05, 0.35))
        base = green if rng.random() < 0.75 else wardrobe.colour()
        self.leaves = [
            wardrobe.plain(np.asarray(np.clip(base * rng.uniform(0.5, 1.5), 0, 1), np.float32), 0.06, 0.4)
            for _ in range(4)
        ]
        self.wood, self.pot = base * 0.4, wardrobe.fabric()
        self.potted, self.heart = rng.random() < 0.5, blob(rng, 0.4, 0.5)
        self.grass = rng.normal(0, 1, (700, 3))
        self.greens = tones(rng, base, 0.5, 9)

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, _, size = self.place(time)
        foot = middle + size * np.array([0, 0.95])
        if self.potted:
            pot = paper.polygon(foot + size * np.array([[-0.34, -0.15], [0.34, -0.15], [0.26, 0.45], [-0.26, 0.45]]))
            paper.paint(pot, paper.rounded(pot, paper.dressed(pot, self.pot, foot, 0, size), self.light, 0.12 * size))
        if self.kind == "blade":
            self._grass(paper, foot, size, time)
            return
        at = middle + size * self.spots
        stems = np.stack(
            [np.repeat(foot[None] - (0, 0.15 * size), len(at), 0), 0.5 * (at + foot) + 0.1 * size * self.spots, at],
            axis=1,
        )
        paper.paint(paper.strokes(stems[::2], max(1.0, 0.015 * size)), self.wood)
        if self.kind == "leaf":  # so dense that nothing shows through the middle
            paper.paint(paper.polygon(middle + size * self.heart), self.wood * 0.7)
        outlines = self._leaf()
        for k, (place, angle, long) in enumerate(zip(at, self.angles, self.sizes, strict=True)):
            sway = angle + self.wind * np.sin(0.6 * time + self.lean[k])
            stain = paper.polygon(place + size * long * turned(outlines, -sway))
            paper.paint(
                stain,
                paper.dressed(stain, self.leaves[k % 4], place, sway, 2 * size)
                * np.float32(0.75 + 0.5 * (k / len(at))),
            )
            if long * size > 18:
                rib = np.stack([place, place + size * long * 0.95 * np.array([np.sin(sway), -np.cos(sway)])])
                paper.inside(paper.strokes(rib[None], max(0.6, 0.01 * size)), self.greens[8])

    def _leaf(self) -> Points:
        """Return an outline of length 1 that points up."""
        t = np.linspace(0, np.pi, 14)
        half = 0.3 * np.sin(t) ** (0.8 if self.kind == "leaf" else 1.6)
        if self.kind == "fern":
            half = half * (0.55 + 0.45 * np.sign(np.sin(np.arange(14) * np.pi / 1.5)))
        if self.kind == "palm":
            half = half * 0.45
        x, y = np.concatenate([half, -half[::-1]]), np.concatenate([-t / np.pi, -t[::-1] / np.pi])
        return np.stack([x, y], axis=1) * (1.8 if self.kind == "palm" else 1.0)

    def _grass(self, paper: Paper, foot: Points, size: float, time: float) -> None:
        roots = foot + size * np.stack([0.28 * np.tanh(self.grass[:, 0]), 0 * self.grass[:, 0]], axis=1)
        angle = -np.pi / 2 + 0.45 * self.grass[:, 1] + self.wind * np.sin(0.6 * time + self.grass[:, 0])
        long = size * (1.1 + 0.25 * self.grass[:, 2])
        blades = grown(roots, angle, long, 0.5 * self.grass[:, 1], 0 * long, long, 0.25, 9)
        paper.strands(blades, max(1.0, 0.03 * size), self.greens)


class Animal(Moving):
    """Draws a furry animal or plush toy: body, head, ears, tail, eyes, and fur on all of it."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        base = wardrobe.colour()
        self.tones = tones(rng, base, float(rng.uniform(0.2, 0.6)), 9)
        self.coat, self.spot = wardrobe.plain(base, 0.12, 0.2), wardrobe.colour()
        self.body, self.head = blob(rng, 0.62, 0.2), blob(rng, 0.36, 0.08)
        self.neck = rng.uniform(-0.6, 0.6), rng.uniform(-0.75, -0.5)
        self.nod, self.wag = Wave(rng, 0.3), Wave(rng, 0.6, 0, 0.8)
        self.ears, self.long = rng.uniform(0.12, 0.3), float(rng.uniform(0.04, 0.3))
        count = int(np.clip(self.reach * 14, 600, 2600))
        self.fur = rng.normal(0, 1, (count, 3))
        self.where = rng.random(count)
        self.spots = [
            (blob(rng, rng.uniform(0.1, 0.25)), rng.uniform(-0.4, 0.4, 2)) for _ in range(int(rng.integers(0, 5)))
        ]
        self.legs = [Wave(rng, 0.3) for _ in range(4)] if rng.random() < 0.5 else []

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, angle, size = self.place(time)
        neck = middle + size * turned(np.array(self.neck), angle)
        t = np.linspace(0, 1, 6)[:, None]
        tail = middle + size * turned(
            np.array([-0.5 * np.sign(self.neck[0]), 0.2])
            + t * np.array([-0.6 * np.sign(self.neck[0]), -0.5])
            + np.sin(2 * t) * (0, 0.4 * self.wag(time)),
            angle,
        )
        paper.strands(
            np.repeat(tail[None], 60, 0) + 0.035 * size * self.fur[:60, None, :2], max(1.0, 0.012 * size), self.tones
        )
        for k, wave in enumerate(self.legs):
            hip = middle + size * turned(np.array([-0.4 + 0.27 * k, 0.35]), angle)
            paper.paint(
                paper.polygon(capsule(hip, hip + size * np.array([0.3 * wave(time), 0.55]), 0.13 * size, 0.09 * size)),
                self.tones[2 + 2 * (k % 2)],
            )
        self._covered(paper, middle + size * turned(self.body, angle), middle, angle, size, slice(0, None, 2))
        for shape, place in self.spots:
            paper.inside(paper.polygon(middle + size * turned(shape + place, angle)).times(0.8), self.spot)
        nod = angle + self.nod(time)
        for side in (-1, 1):
            ear = np.array([[side * 0.12, -0.28], [side * 0.34, -0.16], [side * 0.3, -0.3 - self.ears]])
            paper.paint(paper.polygon(smooth(neck + size * turned(ear, nod))), self.tones[3])
        self._covered(paper, neck + size * turned(self.head, nod), neck, nod, size, slice(1, None, 2))
        for x, y, r in ((-0.13, -0.06, 0.05), (0.13, -0.06, 0.05), (0, 0.1, 0.06)):
            spot = neck + size * turned(np.array([x, y]), nod)
            paper.inside(paper.polygon(ellipse(spot, r * size, r * size)), rgb(0.03, 0.02, 0.02))
            paper.inside(
                paper.polygon(ellipse(spot - 0.3 * r * size, 0.25 * r * size, 0.25 * r * size)),
                rgb(0.95, 0.95, 0.95),
            )

    def _covered(self, paper: Paper, outline: Points, middle: Points, angle: float, size: float, which: slice) -> None:
        stain = paper.polygon(outline)
        colour = paper.dressed(stain, self.coat, middle, angle, 2 * size)
        paper.paint(stain, paper.rounded(stain, colour, self.light, 0.2 * size))
        noise, at = self.fur[which], self.where[which] * (len(outline) - 1)
        low = at.astype(int)
        rim = outline[low] + (outline[low + 1 - (low + 1 == len(outline))] - outline[low]) * (at - low)[:, None]
        depth = 0.55 + 0.45 * np.tanh(1.2 + noise[:, :1])
        roots = middle + (rim - middle) * depth
        away = np.arctan2(roots[:, 1] - middle[1], roots[:, 0] - middle[0]) + 0.5 * noise[:, 1]
        hairs = grown(
            roots, away, size * self.long * np.abs(1 + 0.3 * noise[:, 2]), 0.5 * noise[:, 2], 0 * at, at, 0.4, 6
        )
        paper.strands(hairs, max(0.5, 0.008 * size), self.tones)


CHAIR = np.array(
    [((x, 0), (1.2 * x, 1 - 0.4 * (abs(x) < 0.4))) for x in (-0.5, 0.5, -0.3, 0.3)]
    + [((x, 0), (0.9 * x, -1)) for x in (-0.5, 0.5)]
    + [((-0.46, -0.2 * k), (0.46, -0.2 * k)) for k in range(2, 5)]
)
"""Legs, posts and rungs."""


class Gear(Moving):
    """Draws something hard: a wheel, a lattice, a chair, a bottle, a box with print; it has thin bars and real
    holes.
    """

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        self.kind = str(rng.choice(["wheel", "lattice", "chair", "box", "blob"]))
        self.skin, self.bar, self.dark = wardrobe.fabric(), wardrobe.colour(), wardrobe.colour()
        self.spokes, self.thick = int(rng.integers(5, 30)), float(rng.uniform(0.015, 0.07))
        self.shape = blob(rng, 0.8, 0.35, int(rng.choice([5, 7, 72])))
        self.holes = [
            (blob(rng, rng.uniform(0.08, 0.22)), rng.uniform(-0.4, 0.4, 2)) for _ in range(int(rng.integers(0, 4)))
        ]
        self.spin = Wave(rng, 2.0, 0, 0.2)

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, angle, size = self.place(time)

        def at(points: Points) -> Points:
            return np.asarray(middle + size * turned(points, angle))

        width = max(1.0, self.thick * size)
        if self.kind == "wheel":
            turn = np.linspace(0, 2 * np.pi, self.spokes, endpoint=False) + self.spin(time)
            spokes = np.stack(
                [np.repeat(middle[None], len(turn), 0), middle + size * np.stack([np.cos(turn), np.sin(turn)], 1)], 1
            )
            paper.paint(paper.strokes(spokes, max(0.7, 0.3 * width)), self.bar)
            ring = ellipse(middle, size, size, points=64)
            paper.paint(paper.strokes(np.concatenate([ring, ring[:1]])[None], 2.2 * width), self.dark)
            paper.paint(paper.polygon(ellipse(middle, 0.12 * size, 0.12 * size)), self.bar)
        elif self.kind == "lattice":
            span = np.linspace(-1, 1, 4 + self.spokes // 3)
            upright = np.stack([np.stack([span, 0 * span - 0.8], 1), np.stack([span, 0 * span + 0.8], 1)], 1)
            few = 0.8 * span[:: max(1, len(span) // 4)]
            across = np.stack([np.stack([0 * few - 1, few], 1), np.stack([0 * few + 1, few], 1)], 1)
            bars = np.concatenate([upright, across])
            paper.paint(paper.strokes(at(bars.reshape(-1, 2)).reshape(-1, 2, 2), width), self.bar)
        elif self.kind == "chair":
            paper.paint(paper.strokes(at(CHAIR.reshape(-1, 2)).reshape(-1, 2, 2), 1.3 * width), self.bar)
            seat = at(np.array([(-0.55, -0.06), (0.55, -0.06), (0.6, 0.12), (-0.6, 0.12)]))
            self._solid(paper, seat, middle, angle, size)
        else:
            box = np.array([[-0.7, -0.5], [0.7, -0.5], [0.7, 0.5], [-0.7, 0.5]])
            self._solid(paper, at(box if self.kind == "box" else self.shape), middle, angle, size)
            for shape, place in self.holes if self.kind == "blob" else []:
                paper.cut(paper.polygon(at(shape + place)))

    def _solid(self, paper: Paper, outline: Points, middle: Points, angle: float, size: float) -> None:
        stain = paper.polygon(outline)
        paper.paint(
            stain,
            paper.rounded(stain, paper.dressed(stain, self.skin, middle, angle, 1.8 * size), self.light, 0.1 * size),
        )


class Veil(Moving):
    """Draws something really see-through, and plainly so: smooth, of one bright or dark colour, with denser folds and a
    solid hem.
    """

    def __init__(self, rng: Rng, wardrobe: Wardrobe, size: tuple[int, int]) -> None:
        super().__init__(rng, size)
        self.reach *= 1.3
        self.colour = np.asarray(rng.choice([0.95, 0.05]) + rng.uniform(-0.05, 0.05, 3), np.float32).clip(0, 1)
        self.density, self.fold = float(rng.uniform(0.15, 0.5)), float(rng.uniform(4, 14))
        self.edges = [Wave(rng, 0.1, 0, 0.5) for _ in range(8)]
        self.hem = wardrobe.colour()

    def __call__(self, paper: Paper, time: float) -> None:
        """Paint it."""
        middle, angle, size = self.place(time)
        corner = np.array([[-0.7, -1], [0, -0.95], [0.7, -1], [0.8, 0], [0.75, 1], [0, 0.9], [-0.75, 1], [-0.8, 0]])
        moved = corner + np.array([[wave(time), 0.5 * wave(time + 3)] for wave in self.edges])
        outline = smooth(middle + size * turned(moved, angle))
        stain = paper.polygon(outline)
        x = np.arange(stain.coverage.shape[1], dtype=np.float32) / (paper.fine * size)
        fold = np.clip(self.density * (1 + 0.7 * np.sin(self.fold * x + 0.3 * time)), 0.05, 0.9).astype(np.float32)
        paper.paint(stain.times(fold[None]), self.colour)
        paper.paint(paper.strokes(np.concatenate([outline, outline[:1]])[None], max(1.5, 0.03 * size)), self.hem)
