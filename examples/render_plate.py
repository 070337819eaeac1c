#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders the example plate, its true alpha and an artist's first mask with Blender (Cycles, the `bpy` wheel).

    python examples/render_plate.py --makehuman makehuman --textures textures --light panoramas \
        --photograph china.jpg --out examples                       # the committed files, about six minutes on one core
    python examples/render_plate.py ... --out /tmp/look --frames 1001 1016 --samples 16

A woman waves before a photograph with a bright sky; the camera pans. mini/person.py builds her, in clothes and a
pose that no training clip shows. The subject is rendered before nothing, so the true alpha is that of the plate's own
edges; hair, lens and shutter are in it. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "mini"))

import bpy
import cv2
import numpy as np
import render_people as people
from person import FORWARD, UP, Body, Motion, Pose, rotation

FIRST_FRAME, LENGTH = 1001, 24
FPS = people.FPS
SIZE = (640, 360)
SEED, HAIR = "the example 1", "ponytail01"
GRAIN = 0.007
"""Standard deviation of the grain, as a share of the square root of the signal."""
DUSK = ((0.004, 0.006, 0.012), (0.015, 0.03, 0.07))
"""Scene-linear Rec.709 of the composite's background at the bottom and the top edge of the frame."""
COMPOSITES = range(1009, 1015)
"""Frames of which a true composite is written."""


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore")
    scene = Example(args)
    photograph = read_photograph(args.photograph)
    for frame in args.frames or range(FIRST_FRAME, FIRST_FRAME + LENGTH):
        subject = scene.rendered_linear(frame - FIRST_FRAME, args.scratch)
        alpha = np.clip(subject[..., 3], 0, 1)
        over = subject[..., :3] + (1 - alpha[..., None]) * panned(photograph, frame - FIRST_FRAME)
        write_plate(args.out / "plate" / f"plate.{frame}.exr", with_grain(over, 1, frame), frame)
        write_matte(args.out / "truth" / f"alpha.{frame}.exr", alpha)
        if frame in COMPOSITES:
            composite = subject[..., :3] + (1 - alpha[..., None]) * dusk()
            write_plate(args.out / "truth" / f"composite.{frame}.exr", composite, frame)
        if frame == FIRST_FRAME:
            write_matte(args.out / "mask.1001.exr", drawn_by_hand(alpha))
        print(f"frame {frame}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render the example plate.")
    people.add_material(parser)
    parser.add_argument("--photograph", type=Path, required=True, help="china.jpg of the package scikit-learn")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/render_plate"), help="folder for single passes")
    parser.add_argument("--frames", type=int, nargs="+", help="only these frames")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.set_defaults(testing=True, length=LENGTH, size=SIZE)
    return parser.parse_args()


# The subject ---------------------------------------------------------------------------------------------------------


class Wave(Motion):
    """Moves a standing person who waves with the right hand, looks around and shifts her weight."""

    def __init__(self, body: Body, poses: tuple[Path, Path], rng: random.Random) -> None:
        super().__init__(body, poses, rng)
        self.stands: Pose = {bone: turn for bone, turn in self.ends[0].items() if "arm" not in bone}

    def __call__(self, time: float) -> Pose:
        """Return the pose at a time in seconds."""
        pose, body = dict(self.stands), self.body
        swing, wave = math.sin(2 * math.pi * 0.5 * time), math.sin(2 * math.pi * 2.2 * time)
        upper = body.bend("upperarm01.R", "lowerarm01.R", UP, math.radians(22 + 5 * wave))
        along = body.head_of("lowerarm01.R") - body.head_of("upperarm01.R")
        pose["upperarm01.R"] = body.bend("upperarm01.R", "lowerarm01.R", FORWARD, 0.3) @ upper @ rotation(along, -0.5)
        pose["lowerarm01.R"] = body.bend("lowerarm01.R", "wrist.R", UP, math.radians(104 + 20 * wave))
        pose["wrist.R"] = body.bend("wrist.R", "finger3-1.R", UP, math.radians(4 + 12 * math.sin(13.8 * time - 0.7)))
        down = body.bend("upperarm01.L", "lowerarm01.L", -UP, math.radians(34 + 3 * swing))
        pose["upperarm01.L"], pose["lowerarm01.L"] = down, body.bend("lowerarm01.L", "wrist.L", FORWARD, 0.25)
        pose["root"] = rotation(UP, math.radians(12 + 8 * swing))
        pose["spine03"] = rotation(FORWARD, math.radians(3 * swing)) @ pose.get("spine03", np.eye(3))
        pose["neck01"] = rotation(UP, math.radians(10 * math.sin(3.5 * time + 0.4)))
        pose["head"] = rotation(UP, math.radians(16 * math.sin(3.5 * time + 0.4)))
        return pose


class Example(people.Scene):
    """Holds the example's person, light and camera."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args, random.Random(SEED))
        render = bpy.context.scene.render
        render.use_motion_blur, render.image_settings.file_format = True, "OPEN_EXR"
        render.image_settings.color_depth = "32"
        bpy.context.scene.cycles.adaptive_threshold = 0.01

    def _move(self) -> Motion:
        path = self.args.makehuman / "poses" / "standing05.bvh"
        return Wave(self.body, (path, path), self.rng)

    def _hair(self) -> None:
        """Give her dark hair from which strands fly."""
        shell = people.read_garment(self.args.makehuman / "hair" / HAIR / f"{HAIR}.mhclo", self.body)
        self._wear_hair(shell, 0.045, 9_000)

    def _hair_material(self) -> bpy.types.Material:
        material, _, shader = people.principled("hair", 0.5)
        shader.inputs["Specular IOR Level"].default_value = 0.25
        shader.inputs["Base Color"].default_value = (0.055, 0.026, 0.014, 1.0)
        return material

    def _cloth(self) -> bpy.types.Material:
        """Make a knit of two reds; the shoes have it, too, out of sight."""
        material, tree, shader = people.principled("knit", 0.9)
        wave = tree.nodes.new("ShaderNodeTexWave")
        wave.inputs["Scale"].default_value = 22.0
        tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["UV"], wave.inputs["Vector"])
        mix = tree.nodes.new("ShaderNodeMix")
        mix.data_type = "RGBA"
        mix.inputs["A"].default_value, mix.inputs["B"].default_value = (0.30, 0.035, 0.03, 1), (0.45, 0.13, 0.09, 1)
        tree.links.new(wave.outputs["Fac"], mix.inputs["Factor"])
        tree.links.new(mix.outputs["Result"], shader.inputs["Base Color"])
        return material

    def _light(self) -> None:
        """Light her by the forest's open sky, and by a sun from the left."""
        self._sky(self.args.light / "forest.exr", 2.4, 1.3)
        self._sun(3.2, 0.04, (math.radians(52), 0.0, math.radians(-38)), (1.0, 0.9, 0.78))

    def _camera(self) -> None:
        """Look at head, shoulders and the waving hand with a lens of 60 mm at f/2.8, from three metres away."""
        camera = self._new_camera()
        data = camera.data
        data.lens = 60.0
        crown = self.body.head_of("head")
        place = crown + np.array([-0.12, -2.45, -0.12])
        camera.matrix_world = people.matrix(np.array([1.0, 0, 0]), UP, FORWARD, place)
        data.dof.use_dof, data.dof.focus_distance, data.dof.aperture_fstop = True, 2.35, 2.8

    def rendered_linear(self, number: int, scratch: Path) -> people.Pixels:
        """Return (H, W, 4) of a frame, scene-linear Rec.709, premultiplied, top row first."""
        self.show(number)
        path = scratch / f"subject.{number}.exr"
        bpy.context.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        image = _openimageio().ImageBuf(str(path))
        return np.asarray(image.get_pixels(), np.float32)[..., :4]


# What is behind ------------------------------------------------------------------------------------------------------


def read_photograph(path: Path) -> people.Pixels:
    """Read an 8-bit sRGB picture as scene-linear Rec.709 (H, W, 3), a little out of focus."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path}: expected a photograph that OpenCV reads")
    encoded = picture[..., ::-1].astype(np.float32) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return cv2.GaussianBlur(linear.astype(np.float32) * np.float32(1.2), (0, 0), 0.8)


def panned(photograph: people.Pixels, number: int) -> people.Pixels:
    """Return the part (H, W, 3) of the photograph that the camera sees at a frame."""
    scale = 1.12 * SIZE[0] / photograph.shape[1]
    x = -(0.02 + 0.07 * number / LENGTH) * SIZE[0]
    y = -0.02 * SIZE[1] + 0.004 * SIZE[1] * math.sin(0.6 * number)
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    return cv2.warpAffine(photograph, matrix, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def dusk() -> people.Pixels:
    """Return the sky of the composites (H, W, 3)."""
    height = 1 - (np.arange(SIZE[1], dtype=np.float32)[:, None, None] + 0.5) / SIZE[1]
    low, high = (np.array(colour, np.float32) for colour in DUSK)
    return np.repeat(low * (1 - height) + high * height, SIZE[0], axis=1)


# Passes --------------------------------------------------------------------------------------------------------------


def with_grain(rgb: np.ndarray, seed: int, frame: int) -> np.ndarray:
    """Add photographic noise, which grows with the square root of the light, softened over a pixel."""
    noise = np.random.default_rng([seed, frame]).standard_normal(rgb.shape).astype(np.float32)
    soft = (noise + 0.5 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))) / math.sqrt(1.5)
    return rgb + GRAIN * np.sqrt(np.maximum(rgb, 0.0) + 0.01) * soft


def drawn_by_hand(alpha: np.ndarray) -> np.ndarray:
    """Return what a roto artist would draw: the solid shape, strands left out, smoothed, feathered by about two
    pixels.
    """
    solid = (blurred(alpha, 3) > 0.55).astype(np.float32)
    rounded = (blurred(solid, 4) > 0.5).astype(np.float32)
    return np.clip(blurred(rounded, 1), 0.0, 1.0)


def blurred(image: np.ndarray, radius: int) -> np.ndarray:
    """Blur by about so many pixels."""
    return cv2.GaussianBlur(image, (0, 0), float(radius))


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
