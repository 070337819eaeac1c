#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders people with strand hair and true alpha in Blender's Cycles: foreground clips for training the bundled model.

    pip install bpy==4.5.15 'numpy<2' && pip install --no-deps anny==0.6.2    # an environment of its own, Python 3.11
    pip install torch opencv-python-headless roma pyyaml trimesh safetensors requests zstandard
    python examples/mini/render_people.py --makehuman makehuman --textures textures --light panoramas \
        --prints photographs --out /data/mini/mat_vid/People --count 100

`person.py` builds the person; this file adds skin, cloth, light and a camera whose picture holds both sides of the
person. It writes straight colours and alpha in the layout of the public matting sets, {fgr,pha}/<clip>/<frame>.png. A
clip is a function of its number and of the folders' files.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import random
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import bpy
import cv2
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray
from person import HAIR, SKIN_VERTICES, Body, Garment, Motion, Points, Pose, Strands, read_garment

FPS, SHUTTER = 24, 0.5
FIRST_EYE_VERTEX, EYE_RADIUS = 14_598, 0.0155
KEPT_FOR_TESTING = {
    *("female_elegantsuit01", "male_casualsuit04", "bob02", "short03", "shoes06"),
    *("standing03", "standing05", "forest", "sunset"),
}
"""Clothes, hair, poses and panoramas that no training clip shows; clips made with --testing show only these, where
there is a choice."""
WOMENS_HAIR = ("long01", "long01", "bob01", "bob02", "ponytail01", "braid01", "afro01")
MENS_HAIR = ("short01", "short02", "short03", "short04", "short02", "afro01", "bald")
Pixels = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description="Render foreground clips of people.")
    add_material(parser)
    parser.add_argument("--prints", type=Path, required=True, help="folder of photographs that some clothes show")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--length", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(416, 352))
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--testing", action="store_true", help="show what is kept for testing, and nothing else")
    parser.add_argument("--heads", action="store_true", help="show heads, near, with long and loose hair")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for number in range(args.first, args.first + args.count):
        name, began = f"{number:06d}", time.monotonic()
        if not (args.out / "pha" / name / f"{args.length - 1:04d}.png").exists():
            render_clip(args, number, args.out / "fgr" / name, args.out / "pha" / name)
            print(f"clip {number}: {time.monotonic() - began:.0f} s", flush=True)


def add_material(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a person's material is."""
    parser.add_argument("--makehuman", type=Path, required=True, help="folder with clothes/, hair/, poses/, eyebrows/")
    parser.add_argument("--textures", type=Path, required=True, help="folder with the pictures of skin and brows")
    parser.add_argument("--light", type=Path, required=True, help="folder of panoramas (.exr)")


def render_clip(args: argparse.Namespace, number: int, colours: Path, alphas: Path) -> None:
    """Render all frames of one clip."""
    kind, of = (Head, "head") if args.heads else (Scene, "person")
    scene = kind(args, random.Random(f"{of} {number}{' for testing' * args.testing}"))
    for frame in range(args.length):
        rgba = scene.rendered(frame)
        write(colours / f"{frame:04d}.png", filled(rgba))
        write(alphas / f"{frame:04d}.png", rgba[..., 3:])


# -- the person in Blender --------------------------------------------------------------------------------------------


@dataclass
class Worn:
    """Holds a garment with the object that shows it."""

    garment: Garment
    thing: bpy.types.Object


class Scene:
    """Holds one person before nothing, lit and seen by a camera."""

    ABOVE = 0.12
    """Metres that are seen above the person."""

    def __init__(self, args: argparse.Namespace, rng: random.Random) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.args, self.rng = args, rng
        self.body = Body(rng)
        self.motion = self._move()
        self._dress()
        self._render_settings()
        self._light()
        self._camera()

    def _move(self) -> Motion:
        """Choose how the person moves."""
        poses = [self._one_of(self.args.makehuman, "poses/*.bvh") for _ in range(2)]
        return Motion(self.body, (poses[0], poses[1]), self.rng)

    # The person ------------------------------------------------------------------------------------------------------

    def _dress(self) -> None:
        folder = self.args.makehuman
        sex = "female" if self.body.woman else "male"
        kinds = (f"clothes/{sex}_*/*.mhclo", "clothes/shoes*/*.mhclo")
        garments = [read_garment(self._one_of(folder, kind), self.body) for kind in kinds]
        self.skin = self._skin_mesh(set().union(*(garment.hides for garment in garments)))
        self.eyes = self._eye_mesh()
        self.worn = [Worn(garment, mesh_object("cloth", garment, self._cloth())) for garment in garments]
        self.on_head: list[Worn] = []
        self.strands: Strands | None = None
        self._hair()
        brows = read_garment(folder / "eyebrows" / "eyebrow001" / "eyebrow001.mhclo", self.body)
        self.worn.append(Worn(brows, mesh_object("brows", brows, self._brows())))

    def _skin_mesh(self, hidden: set[int]) -> bpy.types.Object:
        body, faces, corners = self.body, [], []
        for face, corner in zip(body.faces, body.corners, strict=True):
            if face.max() < SKIN_VERTICES and not any(int(index) in hidden for index in face):
                kept = {int(index): int(at) for index, at in zip(face, corner, strict=True)}  # a triangle repeats one
                faces.append(list(kept))
                corners.append(list(kept.values()))
        garment = Garment(body.rest, faces, body.uv, corners)
        return mesh_object("skin", garment, self._skin())

    def _eye_mesh(self) -> bpy.types.Object:
        """Make both eyeballs; their texture coordinates are 0 in the pupil's middle and 1 at the ball's outline."""
        body = self.body
        faces = [list(dict.fromkeys(map(int, face))) for face in body.faces if face.min() >= FIRST_EYE_VERTEX]
        middle = np.where(body.rest[:, :1] > 0, 1.0, -1.0) * body.head_of("eye.L")
        middle[:, 1:] = body.head_of("eye.L")[1:]
        around = ((body.rest - middle) / EYE_RADIUS)[:, [0, 2]]
        return mesh_object("eyes", Garment(body.rest, faces, around, faces), self._eye())

    def _one_of(self, folder: Path, pattern: str) -> Path:
        """Draw one of a folder's files: one that is kept for testing where these are wanted, else one that is not."""
        found = sorted(folder.glob(pattern))
        kept = [path for path in found if (path.stem in KEPT_FOR_TESTING) == self.args.testing]
        return self.rng.choice(kept or found)

    def _hair(self) -> None:
        rng, folder = self.rng, self.args.makehuman / "hair"
        kinds = WOMENS_HAIR if self.body.woman else MENS_HAIR
        kind = rng.choice([name for name in kinds if (name in KEPT_FOR_TESTING) == self.args.testing] or kinds)
        if kind == "bald":
            return
        shell = read_garment(folder / kind / f"{kind}.mhclo", self.body)
        self._wear_hair(shell, HAIR[kind])
        if rng.random() < 0.08:
            hat = read_garment(self.args.makehuman / "clothes" / "fedora01" / "fedora.mhclo", self.body)
            self.on_head.append(Worn(hat, mesh_object("hat", hat, self._cloth())))

    def _wear_hair(self, shell: Garment, length: float, strands: int | None = None) -> None:
        """Put a mesh of hair on the head, and strands of about a length in metres that leave it; how many is drawn
        where it is not given.
        """
        material = self._hair_material()
        self.on_head.append(Worn(shell, mesh_object("hair", shell, material)))
        self._grow(Strands(shell, length, self.rng, strands or int(self.rng.uniform(5000, 11000))), material)

    def _grow(self, strands: Strands, material: bpy.types.Material) -> None:
        """Add strands to the scene, and remember them."""
        self.strands = strands
        self.curves = bpy.data.hair_curves.new("strands")
        count, points = self.strands.points.shape[:2]
        self.curves.add_curves([points] * count)
        radius = self.curves.attributes.get("radius") or self.curves.attributes.new("radius", "FLOAT", "POINT")
        radius.data.foreach_set("value", np.tile(self.strands.radius, count).astype(np.float32))
        self.curves.attributes.new("velocity", "FLOAT_VECTOR", "POINT")
        self.curves.materials.append(material)
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("strands", self.curves))

    def show(self, frame: int) -> None:
        """Move everything to a frame, with the speed at which it passes through it."""
        now, later = (self._placed(frame / FPS + step) for step in (0.0, 0.004))
        things = [self.skin, self.eyes, *(worn.thing for worn in (*self.worn, *self.on_head))]
        for thing, here, there in zip(things, now[0], later[0], strict=True):
            place_mesh(thing.data, here, (there - here) / 0.004)
        if self.strands is not None:
            speed = (later[1][:, 3] + later[1][:, :3] @ self.crown - now[1][:, 3] - now[1][:, :3] @ self.crown) / 0.004
            here, there = self.strands.posed(now[1], speed), self.strands.posed(later[1], speed)
            place_curves(self.curves, here, (there - here) / 0.004)

    def _placed(self, seconds: float) -> tuple[list[Points], Points]:
        """Return the vertices of all meshes at a time, and the transform of the head."""
        transforms = self.body.bone_transforms(self.motion(seconds))
        vertices, head = self.body.posed(transforms), transforms[self.body.bones.index("head")]
        meshes = [vertices, vertices, *(worn.garment.posed(self.body.rest, vertices) for worn in self.worn)]
        return [*meshes, *(worn.garment.rest @ head[:, :3].T + head[:, 3] for worn in self.on_head)], head

    @property
    def crown(self) -> Points:
        """Return the middle of the head in the rest pose."""
        return self.body.head_of("head") + np.array([0.0, 0.0, 0.1])

    # Materials -------------------------------------------------------------------------------------------------------

    def _skin(self) -> bpy.types.Material:
        material, tree, shader = principled("skin", self.rng.uniform(0.35, 0.6))
        picture = image_node(tree, self.args.textures / "young_lightskinned_male_diffuse2.png")
        tone = tree.nodes.new("ShaderNodeMix")
        tone.data_type, tone.blend_type = "RGBA", "MULTIPLY"
        tone.inputs["Factor"].default_value = 1.0
        dark = self.rng.uniform(0.12, 1.1)
        tone.inputs["B"].default_value = (dark**0.85, dark, dark**1.1, 1.0)
        tree.links.new(picture.outputs["Color"], tone.inputs["A"])
        tree.links.new(tone.outputs["Result"], shader.inputs["Base Color"])
        return material

    def _eye(self) -> bpy.types.Material:
        material, tree, shader = principled("eye", 0.15)
        away = tree.nodes.new("ShaderNodeVectorMath")
        away.operation = "LENGTH"
        tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["UV"], away.inputs[0])
        ramp = tree.nodes.new("ShaderNodeValToRGB")
        iris = tuple(self.rng.uniform(0.02, 0.25) for _ in range(3))
        ramp.color_ramp.interpolation = "CONSTANT"
        ramp.color_ramp.elements[0].color = (0.005, 0.005, 0.005, 1.0)
        ramp.color_ramp.elements[1].position, ramp.color_ramp.elements[1].color = 0.18, (*iris, 1.0)
        ramp.color_ramp.elements.new(0.42).color = (0.75, 0.7, 0.68, 1.0)
        tree.links.new(away.outputs["Value"], ramp.inputs["Fac"])
        tree.links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
        return material

    def _cloth(self) -> bpy.types.Material:
        """Make cloth: plain, striped, mottled, checked, or with a photograph printed on it."""
        rng = self.rng
        material, tree, shader = principled("cloth", rng.uniform(0.5, 0.95))
        kind = rng.choice(["plain", "plain", "stripes", "mottled", "check", "print"])
        if kind == "plain":
            shader.inputs["Base Color"].default_value = (*self._colour(), 1.0)
            return material
        if kind == "print":
            picture = image_node(tree, rng.choice(sorted(self.args.prints.glob("*.jpg"))))
            tree.links.new(picture.outputs["Color"], shader.inputs["Base Color"])
            return material
        where = tree.nodes.new("ShaderNodeTexCoord").outputs["UV"]
        node = tree.nodes.new(
            {"stripes": "ShaderNodeTexWave", "mottled": "ShaderNodeTexNoise"}.get(kind, "ShaderNodeTexChecker")
        )
        node.inputs["Scale"].default_value = rng.choice([4, 10, 25, 60]) * rng.uniform(0.7, 1.4)
        tree.links.new(where, node.inputs["Vector"])
        mix = tree.nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        tree.links.new(node.outputs["Fac"], mix.inputs["Factor"])
        mix.inputs["A"].default_value, mix.inputs["B"].default_value = (*self._colour(), 1.0), (*self._colour(), 1.0)
        tree.links.new(mix.outputs["Result"], shader.inputs["Base Color"])
        return material

    def _colour(self) -> tuple[float, float, float]:
        rng = self.rng
        return colorsys.hsv_to_rgb(
            rng.random(), rng.random() ** 1.5, rng.choice([0.02, 0.08, 0.3, 0.8]) * rng.uniform(0.6, 1.2)
        )

    def _hair_material(self) -> bpy.types.Material:
        """Make hair of one colour, as a plain glossy surface: a shader made for hair takes longer to render."""
        rng = self.rng
        material, _, shader = principled("hair", rng.uniform(0.3, 0.5))
        base = rng.choice(
            [
                (0.012, 0.009, 0.007),
                (0.06, 0.03, 0.015),
                (0.16, 0.08, 0.04),
                (0.25, 0.08, 0.03),
                (0.5, 0.36, 0.2),
                (0.5, 0.5, 0.5),
            ]
        )
        shader.inputs["Base Color"].default_value = (*(channel * rng.uniform(0.8, 1.25) for channel in base), 1.0)
        return material

    def _brows(self) -> bpy.types.Material:
        material, tree, shader = principled("brows", 0.7)
        picture = image_node(tree, self.args.textures / "eyebrow001.png")
        shader.inputs["Base Color"].default_value = (0.02, 0.013, 0.01, 1.0)
        tree.links.new(picture.outputs["Alpha"], shader.inputs["Alpha"])
        return material

    # Light, camera, settings -----------------------------------------------------------------------------------------

    def _render_settings(self) -> None:
        scene, args = bpy.context.scene, self.args
        render, cycles = scene.render, scene.cycles
        render.engine, render.fps, render.film_transparent = "CYCLES", FPS, True
        render.resolution_x, render.resolution_y, render.resolution_percentage = *args.size, 100
        render.threads_mode, render.threads = "FIXED", args.threads
        render.use_motion_blur, render.motion_blur_shutter = self.rng.random() < 0.7, SHUTTER
        render.image_settings.file_format, render.image_settings.color_depth = "PNG", "16"
        render.image_settings.color_mode = "RGBA"
        scene.view_settings.view_transform = "Standard"
        cycles.device, cycles.samples, cycles.use_denoising = "CPU", args.samples, True
        cycles.denoising_quality, cycles.denoising_prefilter, cycles.denoising_input_passes = (
            "FAST",
            "NONE",
            "RGB_ALBEDO",
        )
        cycles.use_adaptive_sampling, cycles.adaptive_threshold, cycles.adaptive_min_samples = True, 0.05, 8
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transparent_max_bounces = 2, 1, 1, 6
        scene.cycles_curves.shape = "RIBBONS"
        render.use_persistent_data = True

    def _light(self) -> None:
        rng = self.rng
        panorama = self._one_of(self.args.light, "*.exr")
        self._sky(panorama, rng.uniform(0, 2 * math.pi), rng.uniform(0.4, 1.3))
        if rng.random() < 0.5:
            energy = rng.uniform(0.5, 4.0)
            self._sun(energy, 0.05, (math.radians(rng.uniform(15, 75)), 0.0, rng.uniform(0, 6.3)))

    def _sky(self, panorama: Path, turned: float, strength: float) -> None:
        """Light the scene by a panorama that is turned about the vertical, in radians."""
        world = bpy.data.worlds.new("world")
        bpy.context.scene.world, world.use_nodes = world, True
        tree = world.node_tree
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 256
        picture = tree.nodes.new("ShaderNodeTexEnvironment")
        picture.image = bpy.data.images.load(str(panorama))
        turn = tree.nodes.new("ShaderNodeMapping")
        turn.inputs["Rotation"].default_value = (0.0, 0.0, turned)
        tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"], turn.inputs["Vector"])
        tree.links.new(turn.outputs["Vector"], picture.inputs["Vector"])
        tree.links.new(picture.outputs["Color"], tree.nodes["Background"].inputs["Color"])
        tree.nodes["Background"].inputs["Strength"].default_value = strength

    def _sun(
        self,
        energy: float,
        angle: float,
        rotation: tuple[float, float, float],
        colour: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a sun. angle: its apparent size; rotation: where it shines from; both in radians."""
        lamp = bpy.data.lights.new("sun", "SUN")
        lamp.energy, lamp.angle, lamp.color = energy, angle, colour
        sun = bpy.data.objects.new("sun", lamp)
        sun.rotation_euler = rotation
        bpy.context.scene.collection.objects.link(sun)

    def _new_camera(self) -> bpy.types.Object:
        """Add a camera, through which the scene is seen from now on."""
        scene = bpy.context.scene
        camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.collection.objects.link(camera)
        scene.camera, camera.data.sensor_fit = camera, "HORIZONTAL"
        return camera

    def _camera(self) -> None:
        """Choose what is seen, from the head alone to the whole person, with both sides in the picture."""
        rng, camera = self.rng, self._new_camera()
        data = camera.data
        data.lens = rng.uniform(40, 90)
        around, up = rng.uniform(-0.5, 0.5), rng.uniform(-0.15, 0.2)
        back = np.array([math.sin(around) * math.cos(up), -math.cos(around) * math.cos(up), math.sin(up)])
        right = np.array([math.cos(around), math.sin(around), 0.0])
        over = np.cross(back, right)
        middle, width = self._framed(right, over, back)
        distance = width * data.lens / data.sensor_width
        camera.matrix_world = matrix(right, over, back, middle + back * distance)
        data.dof.use_dof, data.dof.focus_distance = rng.random() < 0.4, distance - 0.1
        data.dof.aperture_fstop = rng.choice([1.4, 2.8, 4.0])

    def _framed(self, right: Points, over: Points, back: Points) -> tuple[Points, float]:
        """Return the middle of what a camera with these axes shows, and its width in metres: from above the head
        downwards, as wide as the person is in any frame.
        """
        wide, tall = self.args.size
        moments = [frame / FPS for frame in range(0, self.args.length, 3)]
        seen = np.concatenate([self._placed(seconds)[0][0][:SKIN_VERTICES] for seconds in moments])
        top = (seen @ over).max() + self.ABOVE
        height = self._frame_height()
        part = seen[(seen @ over) > top - height]
        left, far = (part @ right).min() - 0.1, (part @ right).max() + 0.1
        height = max(height, (far - left) * tall / wide)
        middle = right * (left + far) / 2 + over * (top - height / 2) + back * float((part @ back).mean())
        return middle, height * wide / tall

    def _frame_height(self) -> float:
        """Draw how many metres of the person are seen, from above the head."""
        return self.rng.choice([0.5, 0.65, 0.8, 1.0, 1.3, 2.1])

    def rendered(self, frame: int) -> Pixels:
        """Return straight colours and alpha (H, W, 4), display-referred, top row first."""
        self.show(frame)
        scene = bpy.context.scene
        scene.cycles.seed = self.rng.randrange(1 << 30)
        path = Path(bpy.app.tempdir) / "person.png"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        bgra = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 65535
        straight = bgra[..., [2, 1, 0]]
        return np.concatenate([straight, bgra[..., 3:]], axis=2)


class Head(Scene):
    """Holds one person whose head is seen from near, with hair that background shows through."""

    HEIGHTS = (0.45, 0.5, 0.55, 0.65)
    """Metres of the person that are seen."""
    ABOVE = 0.2
    TRIES = 30
    """Of motions, until one keeps the hands low; the last is taken in any case."""

    def _move(self) -> Motion:
        """Choose a motion that keeps the hands below the head, so that the head fills the picture."""
        for _ in range(self.TRIES):
            motion = super()._move()
            if all(self._hands_are_low(motion(frame / FPS)) for frame in range(self.args.length)):
                break
        return motion

    def _hands_are_low(self, pose: Pose) -> bool:
        """Return whether both hands are at least 35 cm below the top of the head."""
        vertices = self.body.posed(self.body.bone_transforms(pose))[:SKIN_VERTICES]
        hands = np.abs(self.body.rest[:SKIN_VERTICES, 0]) > 0.9 * np.abs(self.body.rest[:SKIN_VERTICES, 0]).max()
        return bool(vertices[hands, 2].max() < vertices[:, 2].max() - 0.35)

    def _hair(self) -> None:
        rng, folder = self.rng, self.args.makehuman / "hair"
        kinds = [name for name in sorted(HAIR) if (name in KEPT_FOR_TESTING) == self.args.testing]
        kind = rng.choice(kinds)
        shell, material = read_garment(folder / kind / f"{kind}.mhclo", self.body), self._hair_material()
        if rng.random() < 0.5:  # without the mesh below, one sees between the strands
            self.on_head.append(Worn(shell, mesh_object("hair", shell, material)))
        length, loose = HAIR[kind] * rng.uniform(1.2, 3.5), rng.uniform(0.2, 1.2)
        self._grow(Strands(shell, length, rng, int(rng.uniform(2500, 12000)), loose), material)

    def _frame_height(self) -> float:
        return self.rng.choice(self.HEIGHTS)


# -- small parts ------------------------------------------------------------------------------------------------------


def mesh_object(name: str, garment: Garment, material: bpy.types.Material) -> bpy.types.Object:
    """Make an object of a garment's mesh at rest."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(garment.rest.tolist(), [], garment.faces)
    if all(garment.corners):
        layer = mesh.uv_layers.new(name="UV")
        layer.data.foreach_set("uv", garment.uv[np.concatenate(garment.corners)].astype(np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(garment.faces), bool))
    mesh.attributes.new("velocity", "FLOAT_VECTOR", "POINT")
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def place_mesh(mesh: bpy.types.Mesh, here: Points, speed: Points) -> None:
    """Move a mesh's vertices; the speed, in metres a second, is what its motion blur follows."""
    mesh.vertices.foreach_set("co", here.astype(np.float32).ravel())
    mesh.attributes["velocity"].data.foreach_set("vector", speed.astype(np.float32).ravel())
    mesh.update()


def place_curves(curves: bpy.types.Curves, here: Points, speed: Points) -> None:
    """Move strands as place_mesh moves a mesh."""
    curves.position_data.foreach_set("vector", here.astype(np.float32).ravel())
    curves.attributes["velocity"].data.foreach_set("vector", speed.astype(np.float32).ravel())
    curves.update_tag()


def principled(name: str, roughness: float) -> tuple[bpy.types.Material, bpy.types.NodeTree, bpy.types.Node]:
    """Make a material with one shader."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    return material, material.node_tree, shader


def image_node(tree: bpy.types.NodeTree, path: Path) -> bpy.types.Node:
    """Add a node that shows a picture file."""
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(str(path))
    return node


def matrix(right: Points, over: Points, back: Points, at: Points) -> Matrix:
    """Return a camera's transform from its axes and its place."""
    rows = np.eye(4)
    rows[:3] = np.stack([right, over, back, at], axis=1)
    return Matrix(rows.tolist())


def filled(rgba: Pixels) -> Pixels:
    """Return straight colours (H, W, 3), carried on outside the alpha so that soft edges find no black to mix in."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    weight = cv2.GaussianBlur(alpha, (0, 0), 6)[..., None]
    around = cv2.GaussianBlur(rgb * alpha, (0, 0), 6) / np.maximum(weight, 1e-3)
    solid = np.clip(alpha * 4, 0, 1)
    return np.clip(rgb * solid + around * (1 - solid), 0, 1)


def write(path: Path, pixels: Pixels) -> None:
    """Write an 8-bit PNG of one or three channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if not cv2.imwrite(str(path), picture[..., ::-1] if picture.shape[2] == 3 else picture):
        raise SystemExit(f"could not write {path}")


if __name__ == "__main__":
    main()
