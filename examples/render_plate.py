#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Render the example plate, its true alpha and an artist's first mask with Blender (Cycles, the `bpy` wheel).

    python examples/render_plate.py --out examples            # the committed files, about twenty minutes on two cores
    python examples/render_plate.py --out /tmp/look --frames 1001 1016 --samples 12 --alpha-samples 16
    python examples/render_plate.py --out /tmp/other --seed 7 # another person, another light

A person of our own making waves in an alley; the camera drifts. The beauty pass holds subject and set together, so
edges mix as light does; the alpha pass sees the subject alone through the same camera, shutter and lens. Everything
follows from --seed.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from scene.look import FIRST_FRAME, FPS, look_from_seed
from scene.person import build_person
from scene.street import build_camera, build_light, build_street

MASK_FRAME = FIRST_FRAME


@dataclass(frozen=True)
class Quality:
    """How well it is rendered; no more than two threads keeps a shared machine usable."""

    width: int = 640
    height: int = 360
    samples: int = 28
    alpha_samples: int = 144
    threads: int = 2
    grain: float = 0.006
    """Standard deviation of the grain, as a share of the square root of the signal."""


def main() -> None:
    args = _arguments()
    quality = Quality(*args.resolution, args.samples, args.alpha_samples, args.threads)
    frames = args.frames or list(range(FIRST_FRAME, FIRST_FRAME + args.length))
    scene = build_scene(args.seed, args.length, quality)
    # One pass after the other: Cycles then keeps the scene between frames.
    _set_up_beauty(scene, quality)
    for frame in frames:
        rgb = rendered(scene, frame, args.scratch / f"beauty.{frame}.exr")[..., :3]
        write_plate(args.out / "plate" / f"plate.{frame}.exr", with_grain(rgb, quality.grain, args.seed, frame), frame)
    _set_up_alpha(scene, quality)
    for frame in frames:
        alpha = rendered(scene, frame, args.scratch / f"alpha.{frame}.exr")[..., 3]
        write_matte(args.out / "truth" / f"alpha.{frame}.exr", alpha)
        if frame == MASK_FRAME:
            write_matte(args.out / f"mask.{frame}.exr", drawn_by_hand(alpha))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render the example plate.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/render_plate"), help="folder for single passes")
    parser.add_argument("--frames", type=int, nargs="+", help="only these frames")
    parser.add_argument("--length", type=int, default=32, help="frames of the whole clip")
    parser.add_argument("--resolution", type=int, nargs=2, default=(Quality.width, Quality.height))
    parser.add_argument("--samples", type=int, default=Quality.samples)
    parser.add_argument("--alpha-samples", type=int, default=Quality.alpha_samples)
    parser.add_argument("--threads", type=int, default=Quality.threads)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


# Scene ---------------------------------------------------------------------------------------------------------------


def build_scene(seed: int, length: int, quality: Quality) -> bpy.types.Scene:
    """Subject, set, light and camera, animated."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FIRST_FRAME, FIRST_FRAME + length - 1
    _render_settings(scene, quality, seed)
    look = look_from_seed(seed, length)
    subject, stage = (bpy.data.collections.new(name) for name in ("subject", "stage"))
    for collection in (subject, stage):
        scene.collection.children.link(collection)
    build_person(subject, look)
    build_street(stage, look)
    build_light(stage, look)
    build_camera(scene, look)
    return scene


def _render_settings(scene: bpy.types.Scene, quality: Quality, seed: int) -> None:
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device, cycles.seed = "CYCLES", "CPU", seed
    render.resolution_x, render.resolution_y, render.resolution_percentage = quality.width, quality.height, 100
    render.fps, render.threads_mode, render.threads = FPS, "FIXED", quality.threads
    render.use_motion_blur, render.motion_blur_shutter = True, 0.5
    render.use_persistent_data = True
    image = render.image_settings
    image.file_format, image.color_depth, image.color_mode = "OPEN_EXR", "32", "RGBA"
    cycles.caustics_reflective = cycles.caustics_refractive = False
    scene.cycles_curves.shape = "RIBBONS"


def _set_up_beauty(scene: bpy.types.Scene, quality: Quality) -> None:
    cycles = scene.cycles
    cycles.samples, cycles.max_bounces, cycles.use_denoising = quality.samples, 4, True
    cycles.use_adaptive_sampling = False


def _set_up_alpha(scene: bpy.types.Scene, quality: Quality) -> None:
    """The subject's coverage alone, without light: a flat surface on everything is the cheapest to see."""
    flat = bpy.data.materials.new("coverage")
    flat.use_nodes = True
    flat.node_tree.nodes.clear()
    emission, output = (flat.node_tree.nodes.new(f"ShaderNode{kind}") for kind in ("Emission", "OutputMaterial"))
    flat.node_tree.links.new(emission.outputs[0], output.inputs["Surface"])
    scene.view_layers[0].material_override = flat
    scene.render.film_transparent = True
    scene.cycles.samples, scene.cycles.max_bounces, scene.cycles.use_denoising = quality.alpha_samples, 0, False
    bpy.data.collections["stage"].hide_render = True


def rendered(scene: bpy.types.Scene, frame: int, path: Path) -> np.ndarray:
    """Render one frame to a float EXR and read it back: (H, W, 4), top row first."""
    scene.frame_set(frame)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    pixels = _openimageio().ImageBuf(str(path)).get_pixels()
    print(f"{path.stem} rendered", flush=True)
    return pixels


# From renders to plate and mask --------------------------------------------------------------------------------------


def with_grain(rgb: np.ndarray, strength: float, seed: int, frame: int) -> np.ndarray:
    """Photographic noise: grows with the square root of the light, softened over a pixel."""
    noise = np.random.default_rng([seed, frame]).standard_normal(rgb.shape).astype(np.float32)
    soft = (noise + 0.5 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))) / math.sqrt(1.5)
    return rgb + strength * np.sqrt(np.maximum(rgb, 0.0) + 0.01) * soft


def drawn_by_hand(alpha: np.ndarray) -> np.ndarray:
    """What a roto artist would draw: the solid shape, strands left out, smoothed, feathered by about two pixels."""
    solid = (_blurred(alpha, 2) > 0.55).astype(np.float32)
    rounded = (_blurred(solid, 3) > 0.5).astype(np.float32)
    return np.clip(_blurred(rounded, 1), 0.0, 1.0)


def _blurred(image: np.ndarray, radius: int) -> np.ndarray:
    """Three box blurs: close to a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            image = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=axis).mean(axis=-1)
    return image.astype(np.float32)


# Files ---------------------------------------------------------------------------------------------------------------


def _openimageio() -> ModuleType:
    """OpenImageIO ships inside the bpy wheel, outside its path."""
    folder = Path(bpy.utils.resource_path("LOCAL")) / "python" / "lib"
    sys.path += [str(path) for path in folder.glob("python3*/site-packages") if str(path) not in sys.path]
    import OpenImageIO

    return OpenImageIO


def write_plate(path: Path, rgb: np.ndarray, frame: int) -> None:
    """Half, DWAB, with frame rate and timecode."""
    oiio = _openimageio()
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, oiio.HALF)
    spec.attribute("compression", "dwab:45")
    spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (FPS, 1))
    spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (_timecode(frame - FIRST_FRAME), 0))
    spec.attribute("colorInteropID", "lin_rec709_scene")
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290))
    _write(path, rgb, spec, oiio)


def write_matte(path: Path, alpha: np.ndarray) -> None:
    """Half, ZIPS, one channel."""
    oiio = _openimageio()
    spec = oiio.ImageSpec(alpha.shape[1], alpha.shape[0], 1, oiio.HALF)
    # Blender shows a lone Y right, and garbage for a lone A.
    spec.channelnames = ("Y",)
    spec.attribute("compression", "zips")
    spec.attribute("colorInteropID", "data")
    _write(path, alpha[..., None], spec, oiio)


def _timecode(count: int) -> int:
    """01:00:00:00 plus a number of frames, as the packed digits of SMPTE 12M."""
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
