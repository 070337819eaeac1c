# SPDX-License-Identifier: Apache-2.0
"""Draws people of the second series: heads that turn, hair of thousands of strands, hands with fingers, clothes.

A figure is made of flat parts, painted in order. Only the head is round: features have a longitude and a latitude on
it, so that a face can turn away and back. Lengths are in head heights (a head is about 1.04 of them tall).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matanyone_engine.training.drawing import Paper, Points, Wardrobe, ellipse, grown, rgb, smooth, tones
from matanyone_engine.training.synthetic import Patch, Pixels, Rng, Wave, capsule, turned

SKULL = np.array([0.40, 0.52])


@dataclass
class HeadPose:
    """Says where the head is at an instant."""

    middle: Points
    size: float
    yaw: float
    """0 looks at us."""
    nod: float

    def at(self, x: float | Points, y: float | Points) -> Points:
        """Return a point of the head's own plane."""
        flat = np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), axis=-1)
        return np.asarray(self.middle + self.size * turned(flat, self.nod))

    def on(self, longitude: float | Points, y: float | Points, reach: float = 1.0) -> Points:
        """Return a point of the face's surface; behind the head it stops at the outline."""
        turn = np.clip(np.asarray(longitude) + self.yaw, -np.pi / 2, np.pi / 2)
        return self.at(reach * SKULL[0] * np.sin(turn), y)

    def faces(self, longitude: float) -> float:
        """Return 1 where the surface looks at us, 0 at the outline, and less behind."""
        return float(np.cos(longitude + self.yaw))


# -- hair -------------------------------------------------------------------------------------------------------------

_AT, _LINE = (0, 0.7, 1.2, 1.7, 2.4, np.pi), (0.62, 0.55, 0.15, -0.05, -0.45, -0.5)
"""The hairline: latitude over longitude."""


@dataclass(frozen=True)
class Style:
    """Says how hair grows; lengths are in head heights."""

    length: float
    gravity: float
    curl: float
    comb: float
    """0 stands out from the head, 1 lies along it."""
    count: int = 1000


STYLES = {
    "crop": Style(0.10, 0.1, 0.1, 0.5, 1200),
    "short": Style(0.26, 0.3, 0.15, 0.7),
    "bob": Style(0.85, 1.5, 0.08, 0.7),
    "long": Style(1.9, 1.8, 0.06, 0.7),
    "wavy": Style(1.7, 1.4, 0.4, 0.6),
    "curly": Style(0.9, 0.7, 0.9, 0.4),
    "afro": Style(0.42, 0.0, 1.3, 0.0, 1400),
    "spiky": Style(0.34, -0.2, 0.15, 0.1, 700),
    "wild": Style(0.95, 0.5, 0.5, 0.15, 1200),
    "tail": Style(0.16, 0.2, 0.05, 0.9),
    "bun": Style(0.16, 0.2, 0.05, 0.9),
}
SHARES = {"crop": 1, "short": 2, "bob": 1.5, "long": 2.5, "wavy": 2, "curly": 1.5, "afro": 1, "spiky": 0.7, "wild": 1.3}
SHARES |= {"tail": 1.2, "bun": 0.8, "bald": 0.5}


class Hair:
    """Draws strands rooted on a skull that turns; they lag behind its motion."""

    def __init__(self, rng: Rng, size: float, dark: bool) -> None:
        names = list(SHARES)
        shares = np.array([SHARES[name] for name in names])
        self.name = str(rng.choice(names, p=shares / shares.sum()))
        self.style = STYLES.get(self.name, STYLES["crop"])
        tone = _hair_colour(rng) * (0.4 if dark else 1.0)
        self.tones = tones(rng, tone, float(rng.uniform(0.25, 0.6)), 9)
        rng.shuffle(self.tones)
        self.cap = np.asarray(tone * 0.7, np.float32)
        count = int(self.style.count * np.clip(size / 80, 0.3, 1.7))
        self._root(rng, count)
        self.length = self.style.length * rng.uniform(0.7, 1.2) * rng.uniform(0.45, 1.15, len(self.lon))
        self.bend = rng.normal(0, 0.22, len(self.lon))
        self.curl = self.style.curl * rng.normal(0.6, 0.4, len(self.lon)) * rng.choice([-1, 1], len(self.lon))
        self.phase = rng.uniform(0, 2 * np.pi, len(self.lon))
        self.part, self.fine = rng.uniform(-0.25, 0.25), float(rng.uniform(0.005, 0.012))
        self.bangs = rng.random() < 0.35 and self.style.length > 0.2
        self.stray = rng.random(len(self.lon)) < rng.uniform(0.01, 0.08)
        self.sway = Wave(rng, 0.15, 0, 0.5)
        self.tail_at, self.tail_long = float(rng.choice([-1.9, 1.9, np.pi])), float(rng.uniform(0.7, 1.8))
        self.tail = rng.normal(0, 1, (int(np.clip(size * 5, 120, 700)), 3))
        self.steps = 12 if self.style.curl > 0.3 else 8

    def _root(self, rng: Rng, count: int) -> None:
        lon, up = rng.uniform(-np.pi, np.pi, 3 * count), rng.uniform(-0.55, 1.0, 3 * count)
        lat = np.arcsin(up)
        grows = lat > np.interp(np.abs(lon), _AT, _LINE) + rng.normal(0, 0.04, 3 * count)
        self.lon, self.lat = lon[grows][:count], lat[grows][:count]

    def paths(self, seen: HeadPose, push: float, time: float) -> tuple[Points, Points]:
        """Return all strands (n, k, 2), and how much each root faces us."""
        turn = self.lon + seen.yaw
        x, y = SKULL[0] * 1.03 * np.cos(self.lat) * np.sin(turn), -SKULL[1] * 1.03 * np.sin(self.lat)
        depth = np.cos(self.lat) * np.cos(turn)
        roots = seen.at(x, y)
        side = np.where(x > self.part * np.cos(seen.yaw), 1.0, -1.0)
        along = np.stack([np.where(depth > 0, side * 0.9, 0.6 * np.sign(x)), np.where(depth > 0, 0.1, 0.6)], axis=1)
        out = np.stack([x, y], axis=1) / np.maximum(np.hypot(x, y), 0.05)[:, None]
        comb = self.style.comb * (1 - 0.8 * self.stray)
        heading = comb[:, None] * along + (1 - comb)[:, None] * out
        length = self.length.copy()
        if self.bangs:
            front = (np.abs(self.lon) < 0.75) & (self.lat < 0.95)
            heading[front] = np.stack([0.25 * x[front], np.ones(int(front.sum()))], axis=1)
            length[front] = np.minimum(length[front], 0.3)
        angle = np.arctan2(heading[:, 1], heading[:, 0]) + seen.nod
        bend = self.bend * (1 + 2 * self.stray) + self.sway(time) + push
        strands = grown(roots, angle, seen.size * length, bend, self.curl, self.phase, self.style.gravity, self.steps)
        return strands, depth

    def behind(self, paper: Paper, seen: HeadPose, push: float, time: float) -> None:
        """Paint what hangs behind head and shoulders."""
        if self.name == "bald":
            return
        paths, depth = self.paths(seen, push, time)
        back = paths[depth <= 0.1]
        paper.strands(back[::2, : self.steps // 2 + 1], max(0.016 * seen.size, 1.0), self.tones[:3] * 0.75)
        paper.strands(back, self.fine * seen.size, self.tones)
        if self.name == "tail" and np.cos(self.tail_at + seen.yaw) < 0.3:
            self._ponytail(paper, seen, push, time)

    def before(self, paper: Paper, seen: HeadPose, push: float, time: float) -> None:
        """Paint what lies over the skull and frames the face."""
        if self.name == "bald":
            return
        paths, depth = self.paths(seen, push, time)
        front = paths[depth > 0.1]
        paper.strands(front[::3, : self.steps // 2], max(0.014 * seen.size, 1.0), self.tones[:3] * 0.8)
        paper.strands(front, self.fine * seen.size, self.tones)
        if self.name == "tail" and np.cos(self.tail_at + seen.yaw) >= 0.3:
            self._ponytail(paper, seen, push, time)
        if self.name == "bun":
            self._bun(paper, seen)

    def flyaways(self, paper: Paper, seen: HeadPose, push: float, time: float) -> None:
        """Paint single hairs far from the rest."""
        if self.name in ("bald", "crop"):
            return
        paths, _ = self.paths(seen, 2 * push, time)
        few = paths[::23]
        far = (
            few[:, :1]
            + (few - few[:, :1]) * np.float32(1.25)
            + 0.06
            * seen.size
            * np.sin(self.phase[::23, None, None] + np.linspace(0, 4, few.shape[1])[None, :, None])
            * np.linspace(0, 1, few.shape[1])[None, :, None]
        )
        paper.strands(far, 0.5, self.tones)

    def _ponytail(self, paper: Paper, seen: HeadPose, push: float, time: float) -> None:
        root = seen.on(self.tail_at, -0.12, 1.05)
        count = len(self.tail)
        side = np.sign(np.sin(self.tail_at + seen.yaw)) or 1.0
        angle = np.where(side > 0, 0.3, np.pi - 0.3) + 0.16 * self.tail[:, 0]
        strands = grown(
            root + 0.03 * seen.size * self.tail[:, 1:],
            angle,
            seen.size * self.tail_long * (1 + 0.12 * self.tail[:, 2]),
            0.2 * self.tail[:, 1] + self.sway(time) + 1.5 * push,
            np.full(count, 0.5 * self.style.curl + 0.05),
            self.tail[:, 0],
            2.0,
            14,
        )
        paper.strands(strands[::3, :-2], max(0.03 * seen.size, 1.0), self.tones[:3] * 0.8)
        paper.strands(strands, self.fine * seen.size, self.tones)

    def _bun(self, paper: Paper, seen: HeadPose) -> None:
        middle = seen.on(self.tail_at, -0.5, 0.5)
        angle = self.tail[:200, 0] * 3
        ring = 0.2 * seen.size * (0.55 + 0.45 * np.abs(np.sin(7 * angle)))
        t = np.linspace(0, 2.4, 8)[None] + angle[:, None]
        paths = middle + np.stack([ring[:, None] * np.cos(t), 0.85 * ring[:, None] * np.sin(t)], axis=2)
        paper.paint(paper.polygon(ellipse(middle, 0.18 * seen.size, 0.15 * seen.size)), self.cap)
        paper.strands(paths, max(self.fine * seen.size, 0.6), self.tones)

    def line(self, longitude: Points) -> Points:
        """Return the height of the hairline in the face's plane; a bald head has none."""
        if self.name == "bald":
            return np.full(len(longitude), -1.0)
        return -SKULL[1] * np.sin(np.interp(np.abs(longitude), _AT, _LINE))


def _hair_colour(rng: Rng) -> Pixels:
    if rng.random() < 0.12:
        return rng.uniform(0.1, 0.9, 3).astype(np.float32)
    bases = [
        (0.03, 0.025, 0.02),
        (0.12, 0.07, 0.04),
        (0.3, 0.18, 0.1),
        (0.5, 0.2, 0.08),
        (0.75, 0.58, 0.35),
        (0.7, 0.7, 0.7),
    ]
    return np.asarray(bases[int(rng.integers(len(bases)))], np.float32) * np.float32(rng.uniform(0.8, 1.25))


# -- the head ---------------------------------------------------------------------------------------------------------


class Face:
    """Draws a head: skull and jaw, features that turn with it, glasses, hats, beards."""

    def __init__(self, rng: Rng, wardrobe: Wardrobe, skin: Pixels, size: float) -> None:
        self.skin, self.light = skin, rng.normal(0, 0.8, 2)
        self.tone = np.asarray(skin.mean(axis=(0, 1)), np.float32)
        self.hair = Hair(rng, size, wardrobe.dark)
        self.jaw, self.long = rng.uniform(0.12, 0.34), rng.uniform(0.95, 1.08)
        self.eye, self.brow = rng.uniform(0.03, 0.5, 3).astype(np.float32), self.hair.cap * 0.8
        self.lips = np.asarray(self.tone * rng.uniform((0.7, 0.35, 0.35), (1.0, 0.7, 0.7)), np.float32)
        self.talk, self.blink = Wave(rng, 0.05, 0.03, 1.0), Wave(rng, 1.0, 0.2, 0.9)
        self.glasses = str(rng.choice(["", "rim", "sun"], p=[0.7, 0.18, 0.12]))
        self.hat = str(rng.choice(["", "cap", "beanie", "brim", "band"], p=[0.76, 0.07, 0.07, 0.06, 0.04]))
        self.felt, self.rim = wardrobe.fabric(), wardrobe.colour()
        self.beard = rng.random() < 0.22
        self.bristles = rng.normal(0, 1, (int(np.clip(size * 6, 100, 900)), 3))
        self.beard_long = float(rng.choice([0.05, 0.1, 0.35]))
        self.ring = rng.random() < 0.2

    def outline(self, seen: HeadPose) -> Points:
        """Return the outline of skull and jaw."""
        t = np.linspace(0, 2 * np.pi, 44, endpoint=False)
        low = np.maximum(np.sin(t), 0)
        x = SKULL[0] * np.cos(t) * (1 - self.jaw * low**2) + 0.05 * np.sin(seen.yaw) * low**3
        return seen.at(x, SKULL[1] * np.sin(t) * np.where(np.sin(t) > 0, self.long * 1.08, 1.0))

    def paint(self, paper: Paper, seen: HeadPose, push: float, time: float) -> None:
        """Paint the head over what is there. Hair.behind comes before it, and whatever lies between."""
        size, outline = seen.size, self.outline(seen)
        self._ears(paper, seen, near=False)
        if abs(np.sin(seen.yaw)) > 0.55 and seen.faces(0) > -0.3:  # the nose sticks out of a profile
            way = np.sign(np.sin(seen.yaw)) * abs(np.sin(seen.yaw))
            nose = seen.at(np.array([0.34, 0.5, 0.44, 0.3]) * way, np.array([-0.08, 0.12, 0.17, 0.2]))
            paper.paint(paper.polygon(nose), self.tone * 0.95)
        head = paper.polygon(outline)
        colour = paper.dressed(head, self.skin, seen.middle, seen.nod, 1.6 * size)
        paper.paint(head, paper.rounded(head, colour, self.light, 0.16 * size))
        if seen.faces(0) > -0.2:
            self._features(paper, seen, time)
        if self.hair.name != "bald":
            self._cap(paper, seen)
        self._ears(paper, seen, near=True)
        if self.beard and seen.faces(0) > -0.5:
            self._beard(paper, seen)
        self.hair.before(paper, seen, push, time)
        self.hair.flyaways(paper, seen, push, time)
        if self.glasses and seen.faces(0) > -0.2:
            self._glasses(paper, seen)
        if self.hat:
            self._hat(paper, seen)

    def _ears(self, paper: Paper, seen: HeadPose, *, near: bool) -> None:
        for side in (-1.5, 1.5):
            facing = seen.faces(side)
            if facing > -0.3 and (facing > 0.25) == near:
                middle = seen.at(0.41 * np.sin(np.clip(side + seen.yaw, -1.5, 1.5)), 0.02)
                ear = paper.polygon(ellipse(middle, 0.06 * seen.size, 0.12 * seen.size, seen.nod))
                paper.paint(ear, self.tone * 0.88)
                if self.ring:
                    ring = ellipse(middle + np.array([0, 0.18 * seen.size]), 0.05 * seen.size, 0.06 * seen.size)
                    paper.paint(
                        paper.strokes(np.concatenate([ring, ring[:1]])[None], max(1.0, 0.012 * seen.size)), self.rim
                    )

    def _cap(self, paper: Paper, seen: HeadPose) -> None:
        """Paint hair colour on the skull above the hairline."""
        longitude = np.linspace(-np.pi / 2, np.pi / 2, 15) - seen.yaw
        longitude = (longitude + np.pi) % (2 * np.pi) - np.pi
        line = seen.at(SKULL[0] * np.linspace(-1, 1, 15) ** 1, self.hair.line(longitude))
        t = np.linspace(0, -np.pi, 20)
        arc = seen.at(1.02 * SKULL[0] * np.cos(t), 1.03 * SKULL[1] * np.sin(t))
        paper.paint(paper.polygon(np.concatenate([line, arc])), self.hair.cap)

    def _features(self, paper: Paper, seen: HeadPose, time: float) -> None:
        size, blink = seen.size, float(np.clip(1.6 - self.blink(time), 0.1, 1))
        for side in (-0.42, 0.42):
            facing = seen.faces(side)
            if facing < 0.1:
                continue
            eye = seen.on(side, -0.03)
            wide = 0.09 * size * facing
            paper.inside(paper.polygon(ellipse(eye, wide, 0.045 * size * blink, seen.nod)), rgb(0.92, 0.9, 0.88))
            iris = eye + size * np.array([0.02 * np.sin(seen.yaw), 0.004])
            paper.inside(paper.polygon(ellipse(iris, 0.04 * size * facing, 0.04 * size * blink)), self.eye)
            paper.inside(paper.polygon(ellipse(iris, 0.018 * size * facing, 0.018 * size * blink)), self.eye * 0.1)
            across = np.linspace(-0.2, 0.2, 7)
            lid = seen.on(side + across, -0.03 - 0.055 * blink * np.cos(across * 7))
            brow = seen.on(side + 1.3 * across, -0.15 - 0.02 * np.cos(across * 6))
            paper.inside(paper.strokes(lid[None], max(0.6, 0.018 * size)), self.tone * 0.3)
            paper.inside(paper.strokes(brow[None], max(0.8, 0.035 * size)), self.brow)
        if seen.faces(0) > 0.1:
            bridge = np.stack(
                [seen.on(0.12, -0.05), seen.on(0.2, 0.1, 1.1), seen.on(0.13, 0.15, 1.15), seen.on(-0.05, 0.165, 1.15)]
            )
            paper.inside(paper.strokes(bridge[None], max(0.7, 0.02 * size)).times(0.6), self.tone * 0.6)
        across = np.linspace(-0.36, 0.36, 9)
        wave, open_by = 0.012 * np.cos(across * 12), max(0.0, self.talk(time))
        upper, lower = 0.29 - 0.03 * np.cos(across * 4.2) + wave, 0.29 + (0.03 + open_by) * np.cos(across * 4.2)
        lips = np.concatenate([seen.on(across, upper), seen.on(across[::-1], lower[::-1])])
        paper.inside(paper.polygon(lips), self.lips)
        if open_by > 0.015:
            mouth = np.concatenate(
                [seen.on(0.7 * across, 0.285), seen.on(0.7 * across[::-1], 0.285 + open_by * np.cos(across * 4.2))]
            )
            paper.inside(paper.polygon(mouth), rgb(0.25, 0.05, 0.05))

    def _beard(self, paper: Paper, seen: HeadPose) -> None:
        lon, low = 0.75 * np.tanh(self.bristles[:, 0]) * 1.3, np.abs(np.tanh(self.bristles[:, 1]))
        y = np.clip(0.2 + 0.34 * low, 0, 0.52) - 0.0 * lon
        keep = (np.cos(lon + seen.yaw) > 0.05) & ~((np.abs(lon) < 0.34) & (np.abs(y - 0.29) < 0.05))
        roots = seen.on(lon[keep], y[keep], 0.96)
        angle = np.pi / 2 + 0.5 * self.bristles[keep, 2] + seen.nod
        length = seen.size * self.beard_long * np.clip(1 + 0.3 * self.bristles[keep, 0], 0.3, 2)
        strands = grown(roots, angle, length, 0.3 * self.bristles[keep, 1], 0 * length, 0 * length, 0.3, 5)
        paper.strands(strands, max(0.6, 0.014 * seen.size), self.hair.tones)

    def _glasses(self, paper: Paper, seen: HeadPose) -> None:
        for side in (-0.44, 0.44):
            if seen.faces(side) > 0.05:
                lens = ellipse(
                    seen.on(side, -0.02, 1.05), 0.15 * seen.size * seen.faces(side), 0.12 * seen.size, seen.nod
                )
                if self.glasses == "sun":
                    paper.paint(paper.polygon(lens), self.rim * 0.15)
                rim = np.concatenate([lens, lens[:1]])
                paper.paint(paper.strokes(rim[None], max(1.0, 0.022 * seen.size)), self.rim * 0.5)
        bow = np.stack([seen.on(-0.15, -0.04, 1.06), seen.on(0.15, -0.04, 1.06)])
        paper.paint(paper.strokes(bow[None], max(1.0, 0.025 * seen.size)), self.rim * 0.5)

    def _hat(self, paper: Paper, seen: HeadPose) -> None:
        size = seen.size
        t = np.linspace(0, -np.pi, 20)
        tall = {"cap": 0.62, "beanie": 0.68, "brim": 0.78, "band": 0.0}[self.hat]
        rim = -0.22
        if self.hat == "band":
            outline = seen.at(np.array([-0.42, 0.42, 0.4, -0.4]), np.array([-0.34, -0.34, -0.2, -0.2]))
        else:
            outline = seen.at(
                0.45 * np.cos(t) * (1 - 0.12 * (self.hat == "brim") * np.sin(t) ** 2),
                rim + (tall + rim) * np.sin(t) * 1.05,
            )
        crown = paper.polygon(outline)
        paper.paint(
            crown,
            paper.rounded(
                crown, paper.dressed(crown, self.felt, seen.middle, seen.nod, 1.5 * size), self.light, 0.12 * size
            ),
        )
        if self.hat == "brim":
            brim = paper.polygon(seen.at(0.85 * np.cos(2 * t), rim + 0.11 * np.sin(2 * t)))
            paper.paint(brim, paper.dressed(brim, self.felt, seen.middle, seen.nod, 1.1 * size) * 0.85)
        elif self.hat == "cap" and seen.faces(0) > -0.4:
            peak = np.array([[-0.3, rim], [0.3, rim], [0.28, rim + 0.12], [0, rim + 0.2], [-0.28, rim + 0.12]])
            peak[:, 0] += 0.45 * np.sin(seen.yaw)
            paper.paint(paper.polygon(smooth(seen.at(peak[:, 0], peak[:, 1]))), self.rim)
        elif self.hat == "beanie":
            bobble = self.bristles[:160]
            away = np.arctan2(bobble[:, 0], bobble[:, 1])
            top = seen.at(0.0, -0.72) + 0 * bobble[:, :2]
            paper.strands(
                grown(top, away, 0.14 * size * (1 + 0.2 * bobble[:, 2]), 0 * away, 0 * away, 0 * away, 0.0, 4),
                max(1.0, 0.03 * size),
                tones(np.random.default_rng(1), self.rim),
            )


# -- hands ------------------------------------------------------------------------------------------------------------

_FINGERS = ((-1.5, 0.19), (-0.5, 0.23), (0.5, 0.215), (1.5, 0.165))
"""Place across the palm and length of a finger."""


class Hand:
    """Draws a palm, a thumb and four fingers that curl and spread."""

    def __init__(self, rng: Rng, skin: Pixels, light: Points) -> None:
        self.skin, self.light = skin, light
        self.nail = np.asarray(np.minimum(skin.mean(axis=(0, 1)) * 1.15 + 0.05, 1), np.float32)
        self.curls = [Wave(rng, 0.35, rng.uniform(0, 0.6), 0.6) for _ in range(5)]
        self.spread = Wave(rng, 0.12, rng.uniform(0.03, 0.25), 0.4)

    def paint(self, paper: Paper, wrist: Points, angle: float, size: float, side: float, time: float) -> None:
        """Paint the hand. angle is measured from straight down; side 1 has its thumb to the right."""
        ahead = np.array([np.sin(angle), np.cos(angle)])
        across = np.array([np.cos(angle), -np.sin(angle)]) * side
        spread = self.spread(time)
        fingers = [
            self._finger(
                wrist + size * (0.3 * ahead + 0.075 * place * across),
                angle + side * place * spread,
                size * length,
                size,
                k,
                time,
            )
            for k, (place, length) in enumerate(_FINGERS)
        ]
        thumb = self._finger(
            wrist + size * (0.1 * ahead + 0.11 * across),
            angle + side * (0.75 - 0.4 * self._curl(4, time)),
            0.17 * size,
            size,
            4,
            time,
        )
        palm = np.array(
            [[-0.1, -0.03], [0.1, -0.03], [0.16, 0.14], [0.155, 0.31], [0, 0.35], [-0.155, 0.31], [-0.14, 0.12]]
        )
        outline = smooth(wrist + size * (palm[:, :1] * across + palm[:, 1:] * ahead))
        for outlines in [*fingers, thumb]:
            stain = paper.polygons(outlines)
            self._skin(paper, stain, wrist, angle, size, 0.05)
            if size > 70:
                tip = outlines[1].mean(axis=0) + 0.3 * (outlines[1][-5] - outlines[1].mean(axis=0))
                paper.inside(paper.polygon(ellipse(tip, 0.022 * size, 0.03 * size, -angle)).times(0.6), self.nail)
        stain = paper.polygon(outline)
        self._skin(paper, stain, wrist, angle, size, 0.09)

    def _curl(self, finger: int, time: float) -> float:
        return float(np.clip(self.curls[finger](time), 0, 1))

    def _finger(self, root: Points, angle: float, length: float, size: float, number: int, time: float) -> Points:
        curl = self._curl(number, time)
        first = length * (1 - 0.45 * curl)
        joint = root + first * np.array([np.sin(angle), np.cos(angle)])
        bent = angle + 1.3 * curl * (1 if number < 2 else -1)
        tip = joint + 0.85 * length * (1 - 0.6 * curl) * np.array([np.sin(bent), np.cos(bent)])
        return np.stack(
            [capsule(root, joint, 0.052 * size, 0.046 * size), capsule(joint, tip, 0.046 * size, 0.036 * size)]
        )

    def _skin(self, paper: Paper, stain: Patch, at: Points, angle: float, size: float, depth: float) -> None:
        colour = paper.dressed(stain, self.skin, at, angle, 1.6 * size)
        paper.paint(stain, paper.rounded(stain, colour, self.light, depth * size))
