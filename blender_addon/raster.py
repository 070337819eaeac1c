# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask datablocks -> soft masks on disk, in a second Blender, so that the artist's own never waits for them.

Blender's mask rasteriser has hard edges: it is asked for a picture several times finer, which is averaged. Feather,
falloff, layers, animation and tracking are Blender's own this way.

    blender --background --factory-startup --python-expr "...; raster.main(ORDERS.json)"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .exr import write_mask


def command(program, module, orders):
    """What runs main() in another Blender. program: Blender's binary, or '' inside the bpy module."""
    folder = Path(__file__).resolve().parent
    code = (
        f"import importlib.util as u, sys; s = u.spec_from_file_location('{module}', {str(folder / '__init__.py')!r}, "
    )
    code += f"submodule_search_locations=[{str(folder)!r}]); m = u.module_from_spec(s); sys.modules['{module}'] = m; "
    code += f"s.loader.exec_module(m); from {module} import raster; raster.main({str(orders)!r})"
    if program:
        return [program, "--background", "--factory-startup", "--python-exit-code", "3", "--python-expr", code]
    return [sys.executable, "-c", code]


def main(orders_file):
    """Do the orders: {"library", "size", "factor", "frames", "masks": [{"mask", "scene_frame", "file"}]}.

    Prints a line for each mask. How they move is left beside the orders, as outline.movement() tells it.
    """
    import bpy

    from . import outline

    orders = json.loads(Path(orders_file).read_text(encoding="utf-8"))
    with bpy.data.libraries.load(orders["library"], link=False) as (there, here):
        here.masks = list(there.masks)
    moves = {mask.name: outline.movement(bpy.context.scene, mask, orders["frames"]) for mask in here.masks}
    Path(orders_file).with_suffix(".moving").write_text(json.dumps({name: at for name, at in moves.items() if at}))
    for order in orders["masks"]:
        scratch = Path(orders_file).with_suffix(f".{order['scene_frame']}.scratch")
        rows = rasterise(order["mask"], order["scene_frame"], orders["size"], orders["factor"], scratch)
        write_mask(Path(order["file"]), tuple(orders["size"]), rows)
        print(f"masked {order['file']}", flush=True)


def rasterise(mask, scene_frame, size, factor, scratch):
    """One mask -> rows of float32 0..1, the top one first. size: the plate's; factor: how much finer it is drawn."""
    import bpy

    from . import nodes

    scene = bpy.data.scenes.new("matanyone raster")
    scene.render.resolution_x, scene.render.resolution_y = size[0] * factor, size[1] * factor
    scene.render.resolution_percentage = 100
    if hasattr(scene.render, "compositor_device"):
        scene.render.compositor_device = "CPU"
    tree = nodes.new_tree_of(scene)
    node = tree.nodes.new("CompositorNodeMask")
    node.mask = bpy.data.masks[mask]
    out = nodes.new_file_output(tree, str(scratch), "mask.####.")
    tree.links.new(node.outputs[0], out.inputs[0])
    scene.frame_set(scene_frame)
    bpy.context.scene.frame_set(scene_frame)  # only the active scene's frame moves the points that the node draws
    bpy.ops.render.render(scene=scene.name)  # not an animation, which writes a picture of its own as well
    drawn = next(scratch.glob("mask.*.exr"))
    rows = _averaged(drawn, size, factor)
    drawn.unlink()
    scratch.rmdir()
    return rows


def _averaged(drawn, size, factor):
    import bpy
    import numpy as np

    image = bpy.data.images.load(str(drawn), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    width, height = size
    pixels = np.empty(width * height * factor * factor * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    first = pixels.reshape(height, factor, width, factor, image.channels)[..., 0]
    mask = np.clip(first.mean(axis=(1, 3), dtype=np.float64), 0, 1).astype("<f4")[::-1]
    bpy.data.images.remove(image)
    return [row.tobytes() for row in mask]
