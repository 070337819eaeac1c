#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Render people with strand hair and true alpha in Blender's Cycles: foreground clips for training the bundled model.

    pip install bpy==4.5.15            # in an environment of its own, Python 3.11
    python examples/mini/render_people.py --out /data/mini/mat_vid/Rendered --first 0 --count 30

The person of examples/render_plate.py in other clothes, hair, poses, light and framing, before nothing: straight
colours and alpha in the layout of the public matting sets, {fgr,pha}/<clip>/<frame>.png. A clip is a function of its
number.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpy
import numpy as np
import render_plate as plate


def main() -> None:
    parser = argparse.ArgumentParser(description="Render foreground clips of people.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240))
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for number in range(args.first, args.first + args.count):
        name = f"{number:06d}"
        if not (args.out / "pha" / name / f"{args.length - 1:04d}.png").exists():
            render_clip(args, number, args.out / "fgr" / name, args.out / "pha" / name)
        print(f"clip {number}", flush=True)


def render_clip(args: argparse.Namespace, number: int, colours: Path, alphas: Path) -> None:
    """Render all frames of one clip."""
    rng = random.Random(f"person {number}")
    look = plate.Look(seed=number, width=args.size[0], height=args.size[1], length=args.length, threads=args.threads)
    scene = build_person(look, rng)
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = args.samples, False, 3
    for frame in range(args.length):
        rgba = rendered(scene, plate.FIRST_FRAME + frame)
        write(colours / f"{frame:04d}.png", filled(rgba))
        write(alphas / f"{frame:04d}.png", rgba[..., 3:])


def build_person(look: plate.Look, rng: random.Random) -> bpy.types.Scene:
    """Build a scene with one random person, lit and seen by a camera, on nothing."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    plate._render_settings(scene, look)
    scene.render.film_transparent = True
    scene.render.use_motion_blur = rng.random() < 0.6
    scene.view_settings.view_transform = "Standard"
    person = plate._collection(scene, "subject")
    plate.build_subject(person, look, rng)
    dress(rng)
    cut_hair(rng)
    move(bpy.data.objects["rig"], look, rng)
    light(plate._collection(scene, "set"), rng)
    frame_up(scene, look, rng)
    return scene


def dress(rng: random.Random) -> None:
    """Choose other colours for skin, clothes and hair."""
    tone = rng.uniform(0.25, 1.25)
    for material in bpy.data.materials:
        name = material.name.split(".")[0]
        nodes = material.node_tree.nodes
        if name == "hair":
            hair = nodes["Principled Hair BSDF"]
            hair.inputs["Melanin"].default_value = rng.uniform(0.05, 1.0)
            hair.inputs["Melanin Redness"].default_value = rng.uniform(0.0, 1.0)
        for ramp in (node for node in nodes if node.type == "VALTORGB"):
            shade = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.95), rng.uniform(0.03, 0.9))
            for element in ramp.color_ramp.elements:
                if name == "skin":
                    element.color = (*(min(1.0, channel * tone) for channel in element.color[:3]), 1.0)
                else:
                    shade = tuple(channel * rng.uniform(0.2, 1.4) for channel in shade)
                    element.color = (*shade, 1.0)


def cut_hair(rng: random.Random) -> None:
    """Choose another length and wildness of the hair."""
    length, wild = rng.choice([0.06, 0.13, 0.24, 0.34]) * rng.uniform(0.8, 1.2), rng.uniform(0.5, 3.0)
    for settings in bpy.data.particles:
        settings.hair_length = length
        settings.roughness_2 *= wild
        settings.brownian_factor *= wild


def move(rig: bpy.types.Object, look: plate.Look, rng: random.Random) -> None:
    """Key random poses that swing slowly, beyond both ends for the shutter."""
    rig.animation_data_clear()
    spans = {
        "waist": 6,
        "chest": 10,
        "neck": 12,
        "skull": 28,
        "elbow.r": 45,
        "elbow.l": 45,
        "wrist.r": 60,
        "wrist.l": 60,
    }
    swings = {
        bone: [(rng.uniform(-span, span), rng.uniform(0, span * 0.6), rng.uniform(0, 6.3)) for _ in range(3)]
        for bone, span in spans.items()
    }
    pace = rng.uniform(0.15, 0.6)
    for number in range(-2, look.length + 2):
        frame = plate.FIRST_FRAME + number
        for bone, axes in swings.items():
            angles = [math.radians(rest + size * math.sin(pace * number + phase)) for rest, size, phase in axes]
            rig.pose.bones[bone].rotation_euler = angles
            rig.pose.bones[bone].keyframe_insert("rotation_euler", frame=frame)


def light(collection: bpy.types.Collection, rng: random.Random) -> None:
    """Light the scene by a sky and two suns from anywhere above."""
    plate.build_light(collection)
    world = bpy.context.scene.world.node_tree.nodes["Background"]
    world.inputs["Color"].default_value = (*(rng.uniform(0.3, 0.9) for _ in range(3)), 1)
    world.inputs["Strength"].default_value = rng.uniform(0.15, 0.9)
    for lamp in (thing for thing in collection.objects if thing.type == "LIGHT"):
        lamp.data.energy = rng.uniform(0.3, 3.5)
        lamp.data.color = [rng.uniform(0.6, 1.0) for _ in range(3)]
        lamp.rotation_euler = [math.radians(rng.uniform(20, 75)), 0, rng.uniform(0, 6.3)]


def frame_up(scene: bpy.types.Scene, look: plate.Look, rng: random.Random) -> None:
    """Put a camera around the person: from a close-up of the head to everything above the hips."""
    plate.build_camera(scene, look)
    camera = scene.camera
    camera.animation_data_clear()
    distance, height = rng.choice([(0.95, 1.62), (1.4, 1.55), (2.2, 1.38), (2.7, 1.3)])
    around = rng.uniform(-0.9, 0.9)
    camera.data.dof.use_dof = rng.random() < 0.4
    camera.data.dof.focus_distance = distance
    camera.data.sensor_fit = "HORIZONTAL"
    camera.location = (distance * math.sin(around), -distance * math.cos(around), height)
    camera.rotation_euler = (math.radians(90), 0, around)


def rendered(scene: bpy.types.Scene, frame: int) -> np.ndarray:
    """Return (H, W, 4), display-referred, premultiplied, top row first."""
    scene.frame_set(frame)
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "16"
    path = Path(bpy.app.tempdir) / "person.png"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    oiio = plate._openimageio()
    return oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT)


def filled(rgba: np.ndarray) -> np.ndarray:
    """Return straight colours (H, W, 3), carried on outside the alpha so that soft edges find no black to mix in."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    wide, cover = (np.stack([plate._blurred(c, 6) for c in np.moveaxis(x, 2, 0)], axis=2) for x in (rgb, alpha))
    around = wide / np.maximum(cover, 1e-3)
    solid = np.clip(alpha * 8, 0, 1)
    return np.clip(rgb / np.maximum(alpha, 1e-3) * solid + around * (1 - solid), 0, 1)


def write(path: Path, pixels: np.ndarray) -> None:
    """Write an 8-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    oiio = plate._openimageio()
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], oiio.UINT8)
    image = oiio.ImageBuf(spec)
    image.set_pixels(oiio.ROI.All, np.ascontiguousarray(pixels, dtype=np.float32))
    if not image.write(str(path)):
        raise SystemExit(image.geterror())


if __name__ == "__main__":
    main()
