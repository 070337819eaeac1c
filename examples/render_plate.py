#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Render the example plate, its true alpha and an artist's first mask with Blender (Cycles, the `bpy` wheel).

    python examples/render_plate.py --out examples            # the committed files, about twenty minutes on two cores
    python examples/render_plate.py --out /tmp/look --frames 1001 1016 --samples 16 --alpha-samples 16

A person of our own making (skinned body, cloth and skin, strand hair) waves in a courtyard; the camera drifts. The
beauty pass holds subject and set together, so edges mix as light does; the alpha pass sees the subject alone through
the same camera, shutter and lens. Everything follows from --seed.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

FIRST_FRAME = 1001
FPS = 24

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Says what is rendered, and how well."""

    seed: int = 1
    width: int = 640
    height: int = 360
    length: int = 24
    samples: int = 24
    alpha_samples: int = 128
    threads: int = 2
    grain: float = 0.007
    """Standard deviation of the grain, as a share of the square root of the signal."""


@dataclass(frozen=True)
class Joint:
    """Holds a joint of the rest pose in metres: x to the subject's left, y away from the camera, z up."""

    name: str
    parent: str | None
    at: Point
    radius: float


# The subject from the hips up; arms hang a little away from the body so that skinning can tell them apart.
SKELETON = (
    Joint("hips", None, (0.0, 0.0, 0.95), 0.155),
    Joint("waist", "hips", (0.0, 0.0, 1.12), 0.135),
    Joint("chest", "waist", (0.0, 0.0, 1.32), 0.165),
    Joint("collar", "chest", (0.0, 0.0, 1.46), 0.085),
    Joint("neck", "collar", (0.0, -0.01, 1.53), 0.050),
    Joint("skull", "neck", (0.0, -0.02, 1.61), 0.050),
    *(
        Joint(f"{part}.{side}", f"{parent}.{side}" if parent != "chest" else "chest", (sign * x, y, z), radius)
        for side, sign in (("l", 1.0), ("r", -1.0))
        for part, parent, (x, y, z), radius in (
            ("shoulder", "chest", (0.19, 0.0, 1.42), 0.078),
            ("elbow", "shoulder", (0.33, 0.02, 1.17), 0.052),
            ("wrist", "elbow", (0.42, -0.02, 0.95), 0.036),
            ("palm", "wrist", (0.45, -0.04, 0.87), 0.043),
            ("fingers", "palm", (0.47, -0.06, 0.79), 0.026),
        )
    ),
)
HEAD_CENTRE = Vector((0.0, -0.035, 1.675))

DUSK = ((0.004, 0.006, 0.012), (0.015, 0.03, 0.07))
"""Scene-linear Rec.709 of the composite's background at the bottom and the top edge of the frame."""


def main() -> None:
    args = _arguments()
    look = Look(args.seed, *args.size, args.length, args.samples, args.alpha_samples, args.threads)
    frames = args.frames or list(range(FIRST_FRAME, FIRST_FRAME + look.length))
    scene = build_scene(look)
    if args.composite:
        hang_backdrop(scene)
    for frame in frames:
        if args.composite:
            write_plate(
                args.out / "truth" / f"composite.{frame}.exr", render_composite(scene, look, frame, args.scratch), frame
            )
            continue
        beauty = render_beauty(scene, look, frame, args.scratch)
        alpha = render_alpha(scene, look, frame, args.scratch)
        write_plate(args.out / "plate" / f"plate.{frame}.exr", with_grain(beauty, look, frame), frame)
        write_matte(args.out / "truth" / f"alpha.{frame}.exr", alpha)
        if frame == FIRST_FRAME:
            write_matte(args.out / "mask.1001.exr", drawn_by_hand(alpha))
        print(f"frame {frame} of {frames[-1]}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render the example plate.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/render_plate"), help="folder for single passes")
    parser.add_argument("--frames", type=int, nargs="+", help="only these frames")
    parser.add_argument(
        "--composite", action="store_true", help="only the subject over DUSK, lit by the set: truth/composite"
    )
    parser.add_argument("--length", type=int, default=Look.length)
    parser.add_argument("--size", type=int, nargs=2, default=(Look.width, Look.height))
    parser.add_argument("--samples", type=int, default=Look.samples)
    parser.add_argument("--alpha-samples", type=int, default=Look.alpha_samples)
    parser.add_argument("--threads", type=int, default=Look.threads)
    parser.add_argument("--seed", type=int, default=Look.seed)
    return parser.parse_args()


# Scene ---------------------------------------------------------------------------------------------------------------


def build_scene(look: Look) -> bpy.types.Scene:
    """Build subject, set, light and camera, animated."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    rng = random.Random(look.seed)
    _render_settings(scene, look)
    subject = _collection(scene, "subject")
    stage = _collection(scene, "set")
    build_subject(subject, look, rng)
    build_set(stage, rng)
    build_light(stage)
    build_camera(scene, look)
    return scene


def _collection(scene: bpy.types.Scene, name: str) -> bpy.types.Collection:
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    return collection


def _render_settings(scene: bpy.types.Scene, look: Look) -> None:
    scene.frame_start, scene.frame_end = FIRST_FRAME, FIRST_FRAME + look.length - 1
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = look.width, look.height, 100
    render.fps = FPS
    render.threads_mode, render.threads = "FIXED", look.threads
    render.use_motion_blur, render.motion_blur_shutter = True, 0.5
    render.use_persistent_data = True
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.color_mode = "RGBA"
    scene.cycles.device = "CPU"
    scene.cycles.seed = look.seed
    scene.cycles.use_adaptive_sampling = False
    scene.cycles_curves.shape = "RIBBONS"


def _object(collection: bpy.types.Collection, name: str, data: bpy.types.ID) -> bpy.types.Object:
    thing = bpy.data.objects.new(name, data)
    collection.objects.link(thing)
    return thing


# Materials -----------------------------------------------------------------------------------------------------------


class Nodes:
    """Builds a material's node tree, written top down."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = self.tree.nodes["Principled BSDF"]

    def add(self, kind: str, **values: object) -> bpy.types.Node:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in values.items():
            node.inputs[name.replace("_", " ")].default_value = value
        return node

    def link(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        self.tree.links.new(source, target)

    def ramp(self, factor: bpy.types.NodeSocket, *stops: tuple[float, Point]) -> bpy.types.NodeSocket:
        """Turn a factor into a colour."""
        node = self.tree.nodes.new("ShaderNodeValToRGB")
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (place, colour) in zip(elements, stops, strict=True):
            element.position, element.color = place, (*colour, 1.0)
        self.link(factor, node.inputs["Fac"])
        return node.outputs["Color"]

    def coordinates(self, scale: Point = (1.0, 1.0, 1.0)) -> bpy.types.NodeSocket:
        """Return object coordinates of the rest pose, scaled."""
        mapping = self.add("Mapping", Scale=scale)
        self.link(self.tree.nodes.new("ShaderNodeTexCoord").outputs["Object"], mapping.inputs["Vector"])
        return mapping.outputs["Vector"]

    def noise(self, scale: float, detail: float = 6.0) -> bpy.types.NodeSocket:
        node = self.add("TexNoise", Scale=scale, Detail=detail)
        self.link(self.coordinates(), node.inputs["Vector"])
        return node.outputs["Fac"]

    def finish(self, colour: bpy.types.NodeSocket | Point, roughness: float, bump: bpy.types.NodeSocket | None = None,
               depth: float = 0.2) -> bpy.types.Material:  # fmt: skip
        if isinstance(colour, tuple):
            self.shader.inputs["Base Color"].default_value = (*colour, 1.0)
        else:
            self.link(colour, self.shader.inputs["Base Color"])
        self.shader.inputs["Roughness"].default_value = roughness
        if bump:
            node = self.add("Bump", Strength=depth, Distance=0.02)
            self.link(bump, node.inputs["Height"])
            self.link(node.outputs["Normal"], self.shader.inputs["Normal"])
        return self.material


def skin() -> bpy.types.Material:
    nodes = Nodes("skin")
    blotches = nodes.noise(9.0)
    colour = nodes.ramp(blotches, (0.3, (0.50, 0.255, 0.165)), (0.7, (0.64, 0.365, 0.255)))
    return nodes.finish(colour, 0.48, nodes.noise(160.0), 0.05)


def shirt() -> bpy.types.Material:
    """Make a dark blue knit with a quiet pattern."""
    nodes = Nodes("shirt")
    wave = nodes.add("TexWave", Scale=7.0, Distortion=0.6)
    nodes.link(nodes.coordinates((0.4, 0.4, 1.6)), wave.inputs["Vector"])
    across = nodes.add("TexWave", Scale=7.0, Distortion=0.6)
    nodes.link(nodes.coordinates((2.2, 0.3, 0.1)), across.inputs["Vector"])
    mix = nodes.add("Math")
    mix.operation = "MULTIPLY"
    nodes.link(wave.outputs["Fac"], mix.inputs[0])
    nodes.link(across.outputs["Fac"], mix.inputs[1])
    colour = nodes.ramp(mix.outputs[0], (0.15, (0.025, 0.075, 0.17)), (0.6, (0.045, 0.12, 0.24)))
    folds = nodes.noise(11.0, 3.0)
    nodes.shader.inputs["Sheen Weight"].default_value = 0.3
    return nodes.finish(colour, 0.85, folds, 0.55)


def jeans() -> bpy.types.Material:
    nodes = Nodes("jeans")
    return nodes.finish(nodes.ramp(nodes.noise(40.0), (0.3, (0.02, 0.04, 0.10)), (0.7, (0.06, 0.10, 0.21))), 0.8)


def plain(name: str, colour: Point, roughness: float = 0.5) -> bpy.types.Material:
    return Nodes(name).finish(colour, roughness)


def glowing(name: str, colour: Point, strength: float) -> bpy.types.Material:
    nodes = Nodes(name)
    nodes.shader.inputs["Emission Color"].default_value = (*colour, 1.0)
    nodes.shader.inputs["Emission Strength"].default_value = strength
    return nodes.material


def hair_material() -> bpy.types.Material:
    material = bpy.data.materials.new("hair")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    shader = tree.nodes.new("ShaderNodeBsdfHairPrincipled")
    shader.parametrization = "MELANIN"
    shader.inputs["Melanin"].default_value = 0.62
    shader.inputs["Melanin Redness"].default_value = 0.7
    shader.inputs["Roughness"].default_value = 0.35
    shader.inputs["Random Color"].default_value = 0.25
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    return material


# Subject -------------------------------------------------------------------------------------------------------------


def build_subject(collection: bpy.types.Collection, look: Look, rng: random.Random) -> None:
    """Build body, head and hair on one armature."""
    rig = build_rig(collection)
    body = build_body(collection)
    _skin_to(body, rig)
    for part in build_head(collection, look):
        _hang_on(part, rig, "skull")
    animate(rig, look, rng)


def build_rig(collection: bpy.types.Collection) -> bpy.types.Object:
    """Build one bone from each joint's parent to the joint, named after the joint."""
    rig = _object(collection, "rig", bpy.data.armatures.new("rig"))
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    places = {joint.name: Vector(joint.at) for joint in SKELETON}
    for joint in SKELETON:
        bone = rig.data.edit_bones.new(joint.name)
        bone.head = places[joint.parent] if joint.parent else Vector(joint.at) - Vector((0.0, 0.0, 0.12))
        bone.tail = Vector(joint.at)
        bone.parent = rig.data.edit_bones.get(joint.parent) if joint.parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def build_body(collection: bpy.types.Collection) -> bpy.types.Object:
    """Build a mesh grown around the skeleton, in three materials."""
    grown = _object(collection, "grown", _skeleton_mesh())
    grown.modifiers.new("skin", "SKIN")
    layer = grown.data.skin_vertices[0].data
    for vertex, joint in zip(layer, SKELETON, strict=True):
        flat = 0.78 if joint.name in {"chest", "waist", "hips"} else 1.0
        vertex.radius = (joint.radius, joint.radius * flat)
        vertex.use_root = joint.parent is None
    grown.modifiers.new("smooth", "SUBSURF").render_levels = 3
    grown.modifiers["smooth"].levels = 3
    mesh = bpy.data.meshes.new_from_object(grown.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    bpy.data.objects.remove(grown)
    body = _object(collection, "body", mesh)
    for material in (shirt(), skin(), jeans()):
        mesh.materials.append(material)
    for polygon in mesh.polygons:
        polygon.use_smooth = True
        polygon.material_index = _cloth(polygon.center)
    return body


def _skeleton_mesh() -> bpy.types.Mesh:
    numbers = {joint.name: number for number, joint in enumerate(SKELETON)}
    edges = [(numbers[joint.parent], numbers[joint.name]) for joint in SKELETON if joint.parent]
    mesh = bpy.data.meshes.new("skeleton")
    mesh.from_pydata([joint.at for joint in SKELETON], edges, [])
    return mesh


def _cloth(at: Vector) -> int:
    """Return the material of a place: 0 shirt, 1 skin, 2 jeans."""
    hand = abs(at.x) > 0.385 and at.z < 1.03
    collar = at.z > 1.495
    if hand or collar:
        return 1
    return 2 if at.z < 0.99 and abs(at.x) < 0.3 else 0


def _skin_to(body: bpy.types.Object, rig: bpy.types.Object) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    body.select_set(True)
    rig.select_set(True)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.parent_set(type="ARMATURE_AUTO")


def _hang_on(part: bpy.types.Object, rig: bpy.types.Object, bone: str) -> None:
    """Parent an object to a bone without moving it."""
    world = part.matrix_world.copy()
    part.parent, part.parent_type, part.parent_bone = rig, "BONE", bone
    bpy.context.view_layer.update()
    part.matrix_world = world


def build_head(collection: bpy.types.Collection, look: Look) -> list[bpy.types.Object]:
    """Build a skull with a nose and a chin, eyes, brows, lips, and the scalp that carries the hair."""
    head = _ball(collection, "head", HEAD_CENTRE, (0.083, 0.102, 0.122), skin(), _face_shape)
    scalp = _ball(collection, "scalp", HEAD_CENTRE + Vector((0, 0.008, 0.006)), (0.084, 0.099, 0.121), skin())
    _grow_hair(scalp, look)
    parts = [head, scalp]
    white, iris = plain("eye", (0.75, 0.73, 0.70), 0.15), plain("iris", (0.05, 0.03, 0.02), 0.1)
    lips, brow = plain("lips", (0.42, 0.13, 0.12), 0.35), plain("brow", (0.03, 0.018, 0.012), 0.7)
    for side in (-1.0, 1.0):
        eye = HEAD_CENTRE + Vector((side * 0.034, -0.083, 0.012))
        above = eye + Vector((side * 0.002, -0.004, 0.023))
        beside = HEAD_CENTRE + Vector((side * 0.083, 0.012, -0.005))
        parts += [
            _ball(collection, "eye", eye, (0.0150, 0.013, 0.0095), white),
            _ball(collection, "iris", eye + Vector((0, -0.0085, 0)), (0.0068, 0.006, 0.0068), iris),
            _ball(collection, "brow", above, (0.020, 0.008, 0.0042), brow),
            _ball(collection, "ear", beside, (0.010, 0.02, 0.031), skin()),
        ]
    for lip, place, radii in (
        ("upper lip", (0.0, -0.090, -0.060), (0.024, 0.012, 0.0052)),
        ("lower lip", (0.0, -0.089, -0.069), (0.020, 0.012, 0.0060)),
    ):
        parts.append(_ball(collection, lip, HEAD_CENTRE + Vector(place), radii, lips))
    return parts


def _ball(
    collection: bpy.types.Collection,
    name: str,
    centre: Vector,
    radii: Point,
    material: bpy.types.Material,
    shape: Callable[[Vector], Vector] = lambda _at: Vector(),
) -> bpy.types.Object:
    """Make a smooth ellipsoid around a point; `shape` moves its vertices (unit sphere in, offset in metres out)."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=32, radius=1.0)
    ball = bpy.context.active_object
    for owner in list(ball.users_collection):
        owner.objects.unlink(ball)
    collection.objects.link(ball)
    ball.name = name
    for vertex in ball.data.vertices:
        at = vertex.co.copy()
        vertex.co = Vector(a * r for a, r in zip(at, radii, strict=True)) + shape(at)
    for polygon in ball.data.polygons:
        polygon.use_smooth = True
    ball.data.materials.append(material)
    ball.location = centre
    bpy.context.view_layer.update()
    return ball


def _face_shape(at: Vector) -> Vector:
    """Shape nose, brow ridge, eye sockets, cheeks and a narrower jaw. at is on the unit sphere, y to the back."""

    def bump(x: float, z: float, width: float, height: float) -> float:
        front = max(0.0, -at.y)
        return front * math.exp(-(((abs(at.x) - x) / width) ** 2) - ((at.z - z) / height) ** 2)

    forward = 0.030 * bump(0.0, -0.18, 0.13, 0.16) + 0.012 * bump(0.0, 0.05, 0.12, 0.22)
    forward += 0.008 * bump(0.4, 0.30, 0.30, 0.10) - 0.010 * bump(0.40, 0.10, 0.16, 0.12)
    forward += 0.010 * bump(0.0, -0.78, 0.25, 0.16) + 0.006 * bump(0.45, -0.2, 0.2, 0.2)
    jaw = -0.020 * at.x * max(0.0, -at.z) ** 1.5
    return Vector((jaw, -forward, 0.0))


def _grow_hair(scalp: bpy.types.Object, look: Look) -> None:
    """Grow strands on the upper and back part of the scalp: shoulder length, with flyaways."""
    group = scalp.vertex_groups.new(name="hair")
    group.add([vertex.index for vertex in scalp.data.vertices if _has_hair(vertex.co)], 1.0, "ADD")
    scalp.data.materials.append(hair_material())
    scalp.data.materials.append(plain("roots", (0.09, 0.048, 0.026), 0.6))
    for polygon in scalp.data.polygons:
        # Between the strands one sees more hair, not skin.
        polygon.material_index = 2 if _has_hair(polygon.center) else 0
    for vertex in scalp.data.vertices:
        if _has_hair(vertex.co):
            vertex.co *= 1.045
    for name, count, length, stray in (("hair", 1100, 0.235, 0.035), ("flyaway", 80, 0.20, 0.14)):
        modifier = scalp.modifiers.new(name, "PARTICLE_SYSTEM")
        system = modifier.particle_system
        system.vertex_group_density = "hair"
        system.seed = look.seed
        _hair_settings(system.settings, count, length, stray)


def _has_hair(at: Vector) -> bool:
    """Return whether hair grows here on the scalp: above the forehead, over the ears, down to the nape."""
    x, y, z = at.x / 0.084, at.y / 0.099, at.z / 0.121
    return z > 0.50 - 0.25 * abs(x) if y < -0.15 else z > -0.5


def _hair_settings(settings: bpy.types.ParticleSettings, count: int, length: float, stray: float) -> None:
    settings.type = "HAIR"
    settings.count, settings.hair_length, settings.hair_step = count, length, 8
    # Grown outwards and bent down by the brush of gravity.
    settings.normal_factor = 0.022
    settings.object_align_factor = (0.0, 0.022, -0.030)
    settings.brownian_factor = stray * 0.12
    settings.use_advanced_hair = True
    settings.child_type = "INTERPOLATED"
    settings.rendered_child_count = 9 if count > 100 else 2
    settings.child_length = 1.0
    settings.clump_factor = 0.35
    settings.roughness_1, settings.roughness_2 = 0.006, stray
    settings.roughness_endpoint = stray * 0.5
    settings.root_radius, settings.tip_radius = 0.16, 0.04
    settings.radius_scale = 0.006
    settings.material = 2
    settings.display_step = settings.render_step = 5


def animate(rig: bpy.types.Object, look: Look, rng: random.Random) -> None:
    """Key a weight shift, a turn of the head, and a wave of the right arm on every frame."""
    phase = rng.uniform(0.0, 0.4)
    pose = rig.pose.bones
    for bone in pose:
        bone.rotation_mode = "XYZ"
    # Two frames beyond each end, so that the shutter finds motion on the first and the last frame.
    for number in range(-2, look.length + 2):
        t = number / look.length + phase
        frame = FIRST_FRAME + number
        rig.location = (0.10 * math.sin(2 * math.pi * t * 0.55) - 0.08, 0.0, 0.012 * math.sin(2 * math.pi * t * 1.1))
        rig.keyframe_insert("location", frame=frame)
        for bone, angles in _pose(t).items():
            pose[bone].rotation_euler = [math.radians(angle) for angle in angles]
            pose[bone].keyframe_insert("rotation_euler", frame=frame)


def _pose(t: float) -> dict[str, Point]:
    """Return each bone's Euler angles in degrees at time t (one shot is 1)."""
    swing, wave = math.sin(2 * math.pi * t * 0.55), math.sin(2 * math.pi * t * 1.5)
    return {
        "waist": (2.0, 6.0 * swing, 3.0 * swing),
        "chest": (-2.0, 7.0 * swing, -2.0 * swing),
        "neck": (-4.0, 9.0 * swing, 2.0),
        "skull": (3.0 * wave * 0.3, 20.0 * math.sin(2 * math.pi * (t * 0.6 + 0.1)), 4.0 * swing),
        "elbow.r": (0.0, 0.0, 62.0 + 3.0 * wave),
        "wrist.r": (0.0, 0.0, 78.0 + 24.0 * wave),
        "palm.r": (0.0, 0.0, 10.0 + 16.0 * math.sin(2 * math.pi * t * 1.5 - 0.7)),
        "elbow.l": (4.0 * swing, 0.0, 6.0),
        "wrist.l": (-14.0 + 5.0 * swing, 0.0, 0.0),
    }


# Set, light, camera --------------------------------------------------------------------------------------------------


def build_set(collection: bpy.types.Collection, rng: random.Random) -> None:
    """Build a courtyard: brick wall with a window and a door, paving, shrubs, pots, a string of lamps."""
    _slab(collection, "wall", (0.0, 3.4, 2.0), (9.0, 0.2, 5.0), bricks())
    _slab(collection, "side wall", (-3.4, 1.6, 2.0), (0.2, 5.0, 5.0), plaster())
    _slab(collection, "ground", (0.0, 1.0, -0.05), (12.0, 9.0, 0.1), paving())
    _slab(collection, "door", (1.75, 3.27, 1.05), (0.95, 0.08, 2.1), plain("door", (0.30, 0.17, 0.05), 0.4))
    for x in (-3.0, -2.05):
        _slab(collection, "frame", (x + 0.43, 3.27, 1.75), (0.95, 0.10, 1.15), plain("paint", (0.6, 0.57, 0.5), 0.5))
        _slab(collection, "pane", (x + 0.43, 3.21, 1.75), (0.80, 0.04, 1.0), glowing("pane", (1.0, 0.62, 0.30), 0.3))
    leaves = [plain(f"leaf {n}", (0.03 + 0.05 * n, 0.10 + 0.05 * n, 0.02), 0.5) for n in range(3)]
    for centre, size, count in (
        ((-2.4, 2.3, 0.7), 0.8, 420),
        ((2.9, 2.6, 0.9), 0.9, 420),
        ((0.95, 2.9, 0.45), 0.4, 200),
    ):
        _shrub(collection, Vector(centre), size, count, leaves, rng)
    for n in range(9):
        place = (-2.2 + 0.5 * n, 2.2, 2.12 - 0.2 * math.sin(math.pi * (n / 8.0)))
        _ball(collection, "lamp", Vector(place), (0.035, 0.035, 0.035), glowing("lamp", (1.0, 0.70, 0.38), 9.0))


def _slab(
    collection: bpy.types.Collection, name: str, centre: Point, size: Point, material: bpy.types.Material
) -> bpy.types.Object:
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=centre, scale=size)
    slab = bpy.context.active_object
    for owner in list(slab.users_collection):
        owner.objects.unlink(slab)
    collection.objects.link(slab)
    slab.name = name
    bpy.ops.object.select_all(action="DESELECT")
    slab.select_set(True)
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    slab.data.materials.append(material)
    return slab


def bricks() -> bpy.types.Material:
    nodes = Nodes("bricks")
    brick = nodes.add("TexBrick", Scale=2.2, Color1=(0.34, 0.13, 0.085, 1), Color2=(0.22, 0.085, 0.06, 1),
                      Mortar=(0.36, 0.33, 0.29, 1), Mortar_Size=0.012)  # fmt: skip
    swap = nodes.add("Mapping", Rotation=(math.pi / 2, 0.0, 0.0))
    nodes.link(nodes.coordinates(), swap.inputs["Vector"])
    nodes.link(swap.outputs["Vector"], brick.inputs["Vector"])
    stain = nodes.ramp(nodes.noise(1.3), (0.3, (0.55, 0.55, 0.55)), (0.7, (1.15, 1.12, 1.08)))
    mix = nodes.add("Mix")
    mix.data_type, mix.blend_type = "RGBA", "MULTIPLY"
    mix.inputs["Factor"].default_value = 1.0
    nodes.link(brick.outputs["Color"], mix.inputs[6])
    nodes.link(stain, mix.inputs[7])
    return nodes.finish(mix.outputs[2], 0.9, brick.outputs["Fac"], 0.4)


def plaster() -> bpy.types.Material:
    nodes = Nodes("plaster")
    return nodes.finish(nodes.ramp(nodes.noise(2.0), (0.3, (0.42, 0.36, 0.27)), (0.7, (0.56, 0.49, 0.38))), 0.9)


def paving() -> bpy.types.Material:
    nodes = Nodes("paving")
    brick = nodes.add(
        "TexBrick", Scale=1.4, Color1=(0.26, 0.25, 0.23, 1), Color2=(0.19, 0.18, 0.17, 1), Mortar=(0.08, 0.08, 0.07, 1)
    )
    nodes.link(nodes.coordinates(), brick.inputs["Vector"])
    return nodes.finish(brick.outputs["Color"], 0.7, nodes.noise(20.0), 0.2)


def _shrub(
    collection: bpy.types.Collection,
    centre: Vector,
    size: float,
    count: int,
    leaves: list[bpy.types.Material],
    rng: random.Random,
) -> None:
    """Leaves on a ball, as one mesh of small quads in a few greens."""
    corners, faces, shades = [], [], []
    for n in range(count):
        direction = Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1))).normalized()
        at = centre + direction * size * rng.uniform(0.55, 1.0) * (0.8 + 0.3 * math.sin(7 * direction.x))
        along = Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1))).normalized() * rng.uniform(0.05, 0.1)
        across = along.cross(direction).normalized() * 0.035
        corners += [at - along, at + across, at + along, at - across]
        faces.append(range(4 * n, 4 * n + 4))
        shades.append(rng.randrange(len(leaves)))
    mesh = bpy.data.meshes.new("shrub")
    mesh.from_pydata(corners, [], faces)
    for material in leaves:
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", shades)
    _object(collection, "shrub", mesh)


def build_light(collection: bpy.types.Collection) -> None:
    """Open sky, a low warm sun from behind the camera's left, a soft rim from the right."""
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.42, 0.55, 0.78, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.55
    bpy.context.scene.world = world
    for name, kind, energy, colour, rotation in (
        ("sun", "SUN", 2.6, (1.0, 0.87, 0.70), (52.0, 0.0, -38.0)),
        ("rim", "SUN", 1.5, (0.75, 0.85, 1.0), (62.0, 0.0, 150.0)),
    ):
        lamp = _object(collection, name, bpy.data.lights.new(name, kind))
        lamp.data.energy, lamp.data.color, lamp.data.angle = energy, colour, math.radians(3.0)
        lamp.rotation_euler = [math.radians(angle) for angle in rotation]


def build_camera(scene: bpy.types.Scene, look: Look) -> None:
    """Place a 50 mm lens at f/2 that drifts by a hand's breadth, focused on the subject."""
    camera = _object(scene.collection, "camera", bpy.data.cameras.new("camera"))
    camera.data.lens, camera.data.sensor_width = 50.0, 36.0
    camera.data.dof.use_dof, camera.data.dof.focus_distance, camera.data.dof.aperture_fstop = True, 2.3, 2.0
    for number in (-2, look.length + 1):
        share = number / look.length
        camera.location = (0.02 - 0.22 * share, -2.2, 1.44 + 0.02 * share)
        camera.rotation_euler = (math.radians(89.6), 0.0, math.radians(3.6 - 5.0 * share))
        camera.keyframe_insert("location", frame=FIRST_FRAME + number)
        camera.keyframe_insert("rotation_euler", frame=FIRST_FRAME + number)
    scene.camera = camera


def hang_backdrop(scene: bpy.types.Scene) -> None:
    """Let the camera see the subject over DUSK instead of the set, which still lights it and is mirrored in it."""
    for thing in bpy.data.collections["set"].objects:
        thing.visible_camera = False
    tree = scene.world.node_tree
    sky, output = tree.nodes["Background"], tree.nodes["World Output"]
    place, height, mix, dusk, choice, path = (
        tree.nodes.new(f"ShaderNode{kind}")
        for kind in ("TexCoord", "SeparateXYZ", "Mix", "Background", "MixShader", "LightPath")
    )
    mix.data_type = "RGBA"
    mix.inputs[6].default_value, mix.inputs[7].default_value = ((*colour, 1.0) for colour in DUSK)
    for source, target in (
        (place.outputs["Window"], height.inputs[0]),
        (height.outputs["Y"], mix.inputs["Factor"]),
        (mix.outputs[2], dusk.inputs["Color"]),
        (path.outputs["Is Camera Ray"], choice.inputs[0]),
        (sky.outputs[0], choice.inputs[1]),
        (dusk.outputs[0], choice.inputs[2]),
        (choice.outputs[0], output.inputs["Surface"]),
    ):
        tree.links.new(source, target)


# Passes --------------------------------------------------------------------------------------------------------------


def render_beauty(scene: bpy.types.Scene, look: Look, frame: int, scratch: Path) -> np.ndarray:
    """Return (H, W, 3) scene-linear Rec.709 with subject and set."""
    scene.render.film_transparent = False
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = look.samples, True, 4
    _show(stage=True)
    return _rendered(scene, frame, scratch / f"beauty.{frame}.exr")[..., :3]


def render_composite(scene: bpy.types.Scene, look: Look, frame: int, scratch: Path) -> np.ndarray:
    """Return (H, W, 3) scene-linear Rec.709: what a composite over DUSK should be. It has no grain; see
    hang_backdrop.
    """
    scene.render.film_transparent = False
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = look.samples, True, 4
    _show(stage=True)
    return _rendered(scene, frame, scratch / f"composite.{frame}.exr")[..., :3]


def render_alpha(scene: bpy.types.Scene, look: Look, frame: int, scratch: Path) -> np.ndarray:
    """Return (H, W): the subject's coverage, with the motion and the lens of the beauty pass, without light."""
    scene.render.film_transparent = True
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = look.alpha_samples, False, 0
    _show(stage=False)
    return _rendered(scene, frame, scratch / f"alpha.{frame}.exr")[..., 3]


def _show(*, stage: bool) -> None:
    bpy.data.collections["set"].hide_render = not stage


def _rendered(scene: bpy.types.Scene, frame: int, path: Path) -> np.ndarray:
    """Render one frame to a float EXR and read it back: (H, W, 4), top row first."""
    scene.frame_set(frame)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.empty(width * height * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1].copy()


def with_grain(rgb: np.ndarray, look: Look, frame: int) -> np.ndarray:
    """Add photographic noise, which grows with the square root of the light, softened over a pixel."""
    noise = np.random.default_rng([look.seed, frame]).standard_normal(rgb.shape).astype(np.float32)
    soft = (noise + 0.5 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))) / math.sqrt(1.5)
    return rgb + look.grain * np.sqrt(np.maximum(rgb, 0.0) + 0.01) * soft


def drawn_by_hand(alpha: np.ndarray) -> np.ndarray:
    """Return what a roto artist would draw: the solid shape, strands left out, smoothed, feathered by about two
    pixels.
    """
    solid = (_blurred(alpha, 3) > 0.55).astype(np.float32)
    rounded = (_blurred(solid, 4) > 0.5).astype(np.float32)
    return np.clip(_blurred(rounded, 1), 0.0, 1.0)


def _blurred(image: np.ndarray, radius: int) -> np.ndarray:
    """Blur by three boxes, which is close to a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            window = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=axis)
            image = window.mean(axis=-1)
    return image.astype(np.float32)


# Files ---------------------------------------------------------------------------------------------------------------


def _openimageio() -> ModuleType:
    """Import OpenImageIO, which ships inside the bpy wheel, outside its path."""
    folder = Path(bpy.utils.resource_path("LOCAL")) / "python" / "lib"
    sys.path += [str(path) for path in folder.glob("python3*/site-packages") if str(path) not in sys.path]
    import OpenImageIO

    return OpenImageIO


def write_plate(path: Path, rgb: np.ndarray, frame: int) -> None:
    """Write half floats, DWAB, with frame rate and timecode."""
    oiio = _openimageio()
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, oiio.HALF)
    spec.attribute("compression", "dwab:45")
    spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (FPS, 1))
    spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (_timecode(frame - FIRST_FRAME), 0))
    spec.attribute("colorInteropID", "lin_rec709_scene")
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290))
    _write(path, rgb, spec, oiio)


def write_matte(path: Path, alpha: np.ndarray) -> None:
    """Write half floats, ZIPS, one channel."""
    oiio = _openimageio()
    spec = oiio.ImageSpec(alpha.shape[1], alpha.shape[0], 1, oiio.HALF)
    spec.channelnames = ("Y",)  # Blender shows garbage colour for a lone A
    spec.attribute("compression", "zips")
    spec.attribute("colorInteropID", "data")
    _write(path, alpha[..., None], spec, oiio)


def _timecode(count: int) -> int:
    """Return 01:00:00:00 plus a number of frames, as the packed digits of SMPTE 12M."""
    seconds, frames = divmod(count, FPS)
    return 0x01000000 | (seconds // 10 << 12 | seconds % 10 << 8) | (frames // 10 << 4 | frames % 10)


def _write(path: Path, pixels: np.ndarray, spec: Any, oiio: ModuleType) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    output = oiio.ImageOutput.create(str(path))
    done = output.open(str(path), spec) and output.write_image(np.ascontiguousarray(pixels, dtype=np.float32))
    if not (done and output.close()):
        raise OSError(f"{path}: {output.geterror()}")


if __name__ == "__main__":
    main()
