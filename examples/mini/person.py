# SPDX-License-Identifier: Apache-2.0
"""Builds a moving, dressed person as plain arrays: a body of Anny, MakeHuman's clothes and hair, strands on top.

Anny (pip install anny) is a parametric, rigged human body on MakeHuman's CC0 data. Clothes and hair are MakeHuman's own
CC0 meshes. Lengths are metres; x points to the person's left, y away from the viewer, z up. A pose is a rotation for
each bone, in these axes of the rest pose, relative to the bone's parent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Pose = dict[str, NDArray[np.float64]]
"""Rotation matrices (3, 3) by the bones' names; a bone without one stays as it rests."""

SKIN_VERTICES = 13_380
"""The first vertices of the body are skin; the others only help to fit clothes."""
FORWARD, UP = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])

LIMBS = ("pelvis", "upperleg", "lowerleg", "foot", "spine", "clavicle", "shoulder", "upperarm", "lowerarm")
"""What follows MakeHuman's poses; heads and hands have motions of their own."""

HAIR = {"short01": 0.03, "short02": 0.03, "short03": 0.035, "short04": 0.03, "bob01": 0.06, "bob02": 0.06}
HAIR |= {"long01": 0.09, "ponytail01": 0.07, "braid01": 0.06, "afro01": 0.05}
"""MakeHuman's hair meshes, and how long the strands are that leave them."""


def rotation(axis: Points, angle: float) -> NDArray[np.float64]:
    """Return the matrix (3, 3) of a turn by an angle in radians."""
    x, y, z = axis / max(float(np.linalg.norm(axis)), 1e-9)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


# -- the body ---------------------------------------------------------------------------------------------------------


class Body:
    """Holds one person's shape, and moves it."""

    def __init__(self, rng: random.Random) -> None:
        import anny  # here, so that all but the body works without it
        import torch

        model = anny.create_fullbody_model(remove_unattached_vertices=False, triangulate_faces=False)
        self.woman = rng.random() < 0.5
        looks = dict.fromkeys(model.phenotype_labels, 0.5)
        looks |= {"gender": 0.0 if self.woman else 1.0, "age": rng.uniform(0.55, 0.9), "muscle": rng.random()}
        looks |= {"weight": rng.uniform(0.25, 0.8), "height": rng.uniform(0.35, 0.7)}
        with torch.no_grad():
            kwargs = {name: torch.tensor([value]) for name, value in looks.items()}
            rest = model(phenotype_kwargs=kwargs)
        self.rest: Points = rest["rest_vertices"][0].double().numpy()
        self.heads: Points = rest["rest_bone_heads"][0].double().numpy()
        self.faces, self.corners = model.faces.numpy(), model.face_texture_coordinate_indices.numpy()
        self.uv = model.texture_coordinates.numpy()
        self.bones: list[str] = list(model.bone_labels)
        self.parents: list[int] = [int(parent) for parent in model.bone_parents]
        self.weights = model.vertex_bone_weights.double().numpy()
        self.owners = model.vertex_bone_indices.numpy()

    def bone_transforms(self, pose: Pose) -> Points:
        """Return (bones, 3, 4): what each bone does to points of the rest pose."""
        out = np.zeros((len(self.bones), 3, 4))
        for number, (name, parent) in enumerate(zip(self.bones, self.parents, strict=True)):
            turn, head = pose.get(name, np.eye(3)), self.heads[number]
            own = np.concatenate([turn, (head - turn @ head)[:, None]], axis=1)
            if parent >= 0 and number != parent:
                above = out[parent]
                own = np.concatenate([above[:, :3] @ own[:, :3], above[:, :3] @ own[:, 3:] + above[:, 3:]], axis=1)
            out[number] = own
        return out

    def posed(self, transforms: Points) -> Points:
        """Return the vertices (n, 3) under transforms of the bones."""
        mixed = np.einsum("vk,vkij->vij", self.weights, transforms[self.owners])
        return np.asarray(np.einsum("vij,vj->vi", mixed[:, :, :3], self.rest) + mixed[:, :, 3])

    def head_of(self, bone: str) -> Points:
        """Return where a bone begins in the rest pose."""
        return np.asarray(self.heads[self.bones.index(bone)])

    def bend(self, bone: str, child: str, toward: Points, angle: float) -> NDArray[np.float64]:
        """Return the rotation that moves a limb, from bone to child, toward a direction."""
        along = self.head_of(child) - self.head_of(bone)
        return rotation(np.cross(along, toward), angle)


def read_bvh(path: Path) -> Pose:
    """Read one of MakeHuman's poses: the only frame of a BVH file, in our axes."""
    text = path.read_text().split("MOTION")
    names, channels = [], []
    for line in text[0].splitlines():
        words = line.split()
        if words[:1] in (["ROOT"], ["JOINT"]):
            names.append(words[1])
        elif words[:1] == ["CHANNELS"]:
            channels.append(words[2:])
    values = iter(float(word) for word in text[1].splitlines()[3].split())
    pose: Pose = {}
    for name, own in zip(names, channels, strict=True):
        turn = np.eye(3)
        for channel in own:
            value = next(values)
            if channel.endswith("rotation"):
                turn = turn @ rotation(np.eye(3)["XYZ".index(channel[0])], np.radians(value))
        pose[name] = turn
    return pose


def between(one: Pose, other: Pose, part: float) -> Pose:
    """Return the pose a part of the way from one to the other."""
    out: Pose = {}
    for name in one | other:
        start, end = one.get(name, np.eye(3)), other.get(name, np.eye(3))
        way = start.T @ end
        angle = np.arccos(np.clip((np.trace(way) - 1) / 2, -1, 1))
        axis = np.array([way[2, 1] - way[1, 2], way[0, 2] - way[2, 0], way[1, 0] - way[0, 1]])
        out[name] = start @ rotation(axis, part * angle) if angle > 1e-6 else start
    return out


# -- motion -----------------------------------------------------------------------------------------------------------


@dataclass
class Swing:
    """Says how an angle goes with time: it rests somewhere, swings, and drifts. Radians and seconds."""

    rest: float
    size: float
    pace: float
    phase: float
    drift: float = 0.0

    @classmethod
    def of(cls, rng: random.Random, low: float, high: float, size: float, pace: float) -> Swing:
        """Draw a swing that rests between two angles in degrees."""
        rest = rng.uniform(low, high)
        return cls(
            np.radians(rest), np.radians(rng.uniform(0, size)), pace * rng.uniform(0.6, 1.4), rng.uniform(0, 6.3)
        )

    def __call__(self, time: float) -> float:
        return self.rest + self.size * float(np.sin(2 * np.pi * self.pace * time + self.phase)) + self.drift * time


class Motion:
    """Moves a body: two of MakeHuman's poses, and on top arms, hands, head and trunk that swing."""

    def __init__(self, body: Body, poses: tuple[Path, Path], rng: random.Random) -> None:
        self.body = body
        self.ends = [{bone: turn for bone, turn in read_bvh(path).items() if bone.startswith(LIMBS)} for path in poses]
        pace = rng.choice([0.3, 0.6, 1.2, 2.0])
        self.part = Swing(rng.uniform(0.2, 0.8), rng.uniform(0, 0.5), 0.4 * pace, rng.uniform(0, 6.3))
        self.turn = Swing.of(rng, -60, 60, 25, 0.25 * pace)
        self.turn.drift = rng.choice([0.0, 0.0, rng.uniform(-1.5, 1.5)])
        self.sway = Swing.of(rng, -4, 4, 6, 0.5 * pace)
        self.nod, self.look = Swing.of(rng, -15, 15, 12, pace), Swing.of(rng, -30, 30, 25, 0.6 * pace)
        self.arms = [self._arm(rng, side, pace) for side in ("L", "R") if rng.random() < 0.75]
        self.arms += [self._hand(rng, side, pace) for side in ("L", "R")]

    def _arm(self, rng: random.Random, side: str, pace: float) -> Callable[[float], Pose]:
        """Draw what one arm does in place of its part of the poses."""
        high = rng.random() < 0.4
        raise_ = Swing.of(rng, 10, 80, 25, pace) if high else Swing.of(rng, -40, 5, 12, pace)
        front, flex = Swing.of(rng, -10, 60, 25, pace), Swing.of(rng, 20, 125, 40, 1.3 * pace)
        twist, body = Swing.of(rng, -60, 60, 30, pace), self.body

        def pose(time: float) -> Pose:
            upper = body.bend(f"upperarm01.{side}", f"lowerarm01.{side}", UP, raise_(time))
            upper = body.bend(f"upperarm01.{side}", f"lowerarm01.{side}", FORWARD, front(time)) @ upper
            along = body.head_of(f"lowerarm01.{side}") - body.head_of(f"upperarm01.{side}")
            flexed = body.bend(f"lowerarm01.{side}", f"wrist.{side}", FORWARD, flex(time))
            return {f"upperarm01.{side}": upper @ rotation(along, twist(time)), f"lowerarm01.{side}": flexed}

        return pose

    def _hand(self, rng: random.Random, side: str, pace: float) -> Callable[[float], Pose]:
        """Draw what one hand does: it turns at the wrist, and its fingers curl."""
        wrist, body = Swing.of(rng, -25, 25, 35, 1.6 * pace), self.body
        most = rng.choice([12, 30, 60])
        curls = [Swing.of(rng, -5, most, 15, pace) for _ in range(5)]
        along = body.head_of(f"finger3-1.{side}") - body.head_of(f"wrist.{side}")
        across = body.head_of(f"finger2-1.{side}") - body.head_of(f"finger5-1.{side}")
        palm = np.cross(along, across) * (1.0 if side == "L" else -1.0)

        def pose(time: float) -> Pose:
            out = {f"wrist.{side}": body.bend(f"wrist.{side}", f"finger3-1.{side}", palm, wrist(time))}
            for finger, curl in enumerate(curls, start=1):
                for joint in (1, 2) if finger > 1 else (2,):
                    name, child = f"finger{finger}-{joint}.{side}", f"finger{finger}-{joint + 1}.{side}"
                    out[name] = body.bend(name, child, palm, curl(time) * (1 if finger > 1 else 0.4))
            return out

        return pose

    def __call__(self, time: float) -> Pose:
        """Return the pose at a time in seconds."""
        pose = between(*self.ends, float(np.clip(self.part(time), 0, 1)))
        for arm in self.arms:
            pose |= arm(time)
        pose["root"] = rotation(UP, self.turn(time))
        pose["spine03"] = rotation(FORWARD, self.sway(time)) @ pose.get("spine03", np.eye(3))
        pose["head"] = rotation(UP, 0.6 * self.look(time)) @ rotation(np.array([1.0, 0, 0]), self.nod(time))
        pose["neck01"] = rotation(UP, 0.4 * self.look(time))
        return pose


# -- what the body wears ----------------------------------------------------------------------------------------------


@dataclass
class Garment:
    """Holds a mesh that follows the body: each vertex hangs on a triangle of the body's vertices."""

    rest: Points
    faces: list[list[int]]
    uv: Points
    corners: list[list[int]]
    hides: set[int] = field(default_factory=set)
    """Vertices of the body that the mesh covers."""
    anchors: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    shares: Points = field(default_factory=lambda: np.zeros((0, 3)))
    offsets: Points = field(default_factory=lambda: np.zeros((0, 3)))

    def posed(self, rest: Points, now: Points) -> Points:
        """Return the vertices (n, 3) on a body that moved from `rest` to `now`."""
        frames = _frames(now[self.anchors]) @ np.swapaxes(_frames(rest[self.anchors]), 1, 2)
        middle = np.einsum("nk,nki->ni", self.shares, now[self.anchors])
        return np.asarray(middle + np.einsum("nij,nj->ni", frames, self.offsets))


def _frames(triangles: Points) -> Points:
    """Return a right-handed frame (n, 3, 3) for each triangle (n, 3, 3)."""
    first = triangles[:, 1] - triangles[:, 0]
    normal = np.cross(first, triangles[:, 2] - triangles[:, 0])
    first = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return np.stack([first, np.cross(normal, first), normal], axis=2)


def read_garment(path: Path, body: Body) -> Garment:
    """Fit one of MakeHuman's meshes (.mhclo beside its .obj) to a body at rest."""
    spans: dict[str, tuple[int, int, float]] = {}
    rows: list[tuple[list[int], list[float], list[float]]] = []
    hidden: list[str] = []
    part, mesh = "", path.with_suffix(".obj")
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            spans[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] == "obj_file":
            mesh = path.parent / words[1]
        elif words[0] in ("verts", "delete_verts", "weights"):
            part = words[0]
        elif part == "verts" and words[0].isdigit():
            numbers = [float(word) for word in words]
            one = len(numbers) == 1
            rows.append(
                ([int(numbers[0])] * 3, [1.0, 0, 0], [0.0, 0, 0])
                if one
                else ([int(number) for number in numbers[:3]], numbers[3:6], numbers[6:9])
            )
        elif part == "delete_verts":
            hidden.append(line)
    scale = np.array([abs(body.rest[a, axis] - body.rest[b, axis]) / span for a, b, span, axis in
                      ((*spans[name], axis) for name, axis in (("x", 0), ("y", 2), ("z", 1)))])  # fmt: skip
    anchors, shares = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    away = np.array([row[2] for row in rows]) * scale
    offsets = np.stack([away[:, 0], -away[:, 2], away[:, 1]], axis=1)
    rest = np.einsum("nk,nki->ni", shares, body.rest[anchors]) + offsets
    return Garment(rest, *_read_obj(mesh), _ranges(" ".join(hidden)), anchors, shares, offsets)


def _ranges(text: str) -> set[int]:
    """Read '3 - 7 12' as the numbers 3 to 7 and 12."""
    words, out = text.replace("-", " - ").split(), set()
    at = 0
    while at < len(words):
        if at + 2 < len(words) and words[at + 1] == "-":
            out.update(range(int(words[at]), int(words[at + 2]) + 1))
            at += 3
        else:
            out.add(int(words[at]))
            at += 1
    return out


def _read_obj(path: Path) -> tuple[list[list[int]], Points, list[list[int]]]:
    """Read faces, texture coordinates (n, 2) and the faces' corners in them."""
    faces, corners, uv = [], [], []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["vt"]:
            uv.append((float(words[1]), float(words[2])))
        elif words[:1] == ["f"]:
            faces.append([int(word.split("/")[0]) - 1 for word in words[1:]])
            corners.append([int(word.split("/")[1]) - 1 for word in words[1:] if "/" in word])
    return faces, np.array(uv) if uv else np.zeros((1, 2)), corners


# -- strands ----------------------------------------------------------------------------------------------------------


class Strands:
    """Holds hair that leaves a mesh of hair: strands of `POINTS` points each, which follow the head with a lag."""

    POINTS = 8

    def __init__(self, shell: Garment, length: float, rng: random.Random, count: int, loose: float = 0.0) -> None:
        """Grow `count` strands of about a length in metres. loose: 0 for combed hair; about 1 for hair that stands off
        the head in locks and is blown to one side.
        """
        draw = np.random.default_rng(rng.randrange(1 << 30))
        roots, normals = _scattered(shell, draw, count)
        low = roots[:, 2] < np.quantile(roots[:, 2], 0.03)
        combed = draw.normal(0, 0.5, 3) * (1, 1, 0) - UP  # on the crown, hair lies to one side
        down = combed - normals * (normals @ combed)[:, None]
        side = np.cross(normals, UP)
        stands = draw.uniform(0.02, 0.4) + 0.2 * draw.random(count) + (draw.random(count) < draw.uniform(0.02, 0.12))
        heading = down + stands[:, None] * normals + draw.normal(0, 0.2, count)[:, None] * side
        heading[low] -= UP
        if loose:
            heading += loose * (_of_locks(roots, draw) + draw.random(count)[:, None] * normals)
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        long = length * draw.uniform(0.6, 1.5) * draw.uniform(0.5, 1.3, count)
        curl, weight = draw.uniform(0, 0.35) * length, draw.uniform(0.2, 1.2)
        steps = np.linspace(0, 1, self.POINTS)[None, :, None]
        sag = -UP * (weight * 0.5 * long)[:, None, None] * steps**2
        waves = np.sin(draw.uniform(4, 14) * steps + draw.uniform(0, 6.3, count)[:, None, None])
        self.points = (roots - 0.004 * normals)[:, None] + heading[:, None] * long[:, None, None] * steps + sag
        self.points += waves * steps * curl * (side + 0.5 * normals)[:, None]
        self.radius = draw.uniform(0.00018, 0.0004) * np.linspace(1, 0.3, self.POINTS)
        self.lag = 0.04

    def posed(self, head: Points, speed: Points) -> Points:
        """Return the points (n, 3) under the head's transform (3, 4), which moves at `speed` metres a second."""
        out = self.points @ head[:, :3].T + head[:, 3]
        out = out - self.lag * speed * np.linspace(0, 1, self.POINTS)[None, :, None] ** 2
        return np.asarray(out.reshape(-1, 3))


def _of_locks(roots: Points, draw: np.random.Generator, locks: int = 60) -> Points:
    """Return a direction (n, 3) for each strand: that of its lock, and of a wind that blows on all of them."""
    middles = roots[draw.choice(len(roots), locks)]
    nearest = ((roots[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1)
    wind = draw.normal(0, 0.4, 3) * (1, 1, 0.5)
    return np.asarray((draw.normal(0, 0.5, (locks, 3)) + wind)[nearest])


def _scattered(shell: Garment, draw: np.random.Generator, count: int) -> tuple[Points, Points]:
    """Return random places (n, 3) on a mesh, evenly by area, and its normals there."""
    triangles = np.array([[face[0], face[at], face[at + 1]] for face in shell.faces for at in range(1, len(face) - 1)])
    corners = shell.rest[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(across, axis=1)
    chosen = draw.choice(len(area), count, p=area / area.sum())
    shares = draw.dirichlet((1.0, 1.0, 1.0), count)
    places = np.einsum("nk,nki->ni", shares, corners[chosen])
    normals = across[chosen] / np.maximum(area[chosen, None], 1e-12)
    outward = places - shell.rest.mean(axis=0)
    normals *= np.where((normals * outward).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    return places, normals
