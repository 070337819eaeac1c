# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask datablocks -> soft masks on disk, in a second Blender, so that the artist's own never waits for them.

Blender's mask rasteriser has hard edges: it is asked for a picture several times finer, which is averaged. Feather,
falloff, layers, animation and tracking are Blender's own this way.

    blender --background --factory-startup --python-expr "...; raster.main(ORDERS.json)"
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from . import plan
from .engine.wire.errors import WireError
from .exr import is_whole, write_mask

_RGBA = 4


def command(program, module, orders):
    """Return the command that runs main() in another Blender. program: Blender's binary, or '' inside the bpy
    module.
    """
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
    """Do the orders that scene.py writes: draw masks, copy images, and tell how masks move.

    Prints a line for each mask. How they move is left beside the orders, as outline.movement() tells it; what cannot be
    right, as message and action.
    """
    import bpy

    from . import outline

    file = Path(orders_file)
    orders = json.loads(file.read_text(encoding="utf-8"))
    size, factor = tuple(orders["size"]), orders["factor"]
    masks = _loaded(orders, "masks", [*orders["masks"], *orders["also"], *orders["held"]])
    moves = {mask.name: outline.movement(bpy.context.scene, mask, orders["frames"]) for mask in masks.values()}
    file.with_suffix(".moving").write_text(json.dumps({name: at for name, at in moves.items() if at}))
    for order in orders["masks"]:
        scratch = file.with_suffix(f".{order['scene_frame']}.scratch")
        rows = rasterise(masks[_key(order)], order["scene_frame"], size, factor, scratch)
        write_mask(Path(order["file"]), size, rows)
        print(f"masked {order['file']}", flush=True)
    for order in orders["held"]:
        draw_on_frames(masks[_key(order)], order, moves, size, file.with_suffix(".scratch"))
    try:
        _copy_images(orders, size)
    except WireError as error:
        file.with_suffix(".fault").write_text(json.dumps([error.message, error.action]), encoding="utf-8")


def _key(order):
    return order["library"], order["name"]


def _loaded(orders, kind, wanted):
    """Load each datablock from its own file, and return them by (library, name). kind: 'masks' or 'images'."""
    import bpy

    found = {}
    for library in sorted({each["library"] for each in wanted}):
        names = sorted({each["name"] for each in wanted if each["library"] == library})
        with bpy.data.libraries.load(library or orders["library"], link=False) as (_, here):
            setattr(here, kind, list(names))
        found |= {(library, name): block for name, block in zip(names, getattr(here, kind), strict=True)}
    return found


def _copy_images(orders, size):
    import numpy as np

    images = _loaded(orders, "images", orders["images"])
    for order in orders["images"]:
        image = images[_key(order)]
        refuse_size(image, size)
        flat = np.empty(size[0] * size[1] * image.channels, dtype=np.float32)
        image.pixels.foreach_get(flat)
        write_mask(Path(order["file"]), size, rows_of(flat, size))


def refuse_size(image, size):
    """Raise WireError for a mask image that is not of the plate's size; of a file, this reads it."""
    if tuple(image.size) != tuple(size):
        raise plan.refused(
            f"expected a mask image of the plate's size, {size[0]}x{size[1]}, got {image.size[0]}x{image.size[1]} "
            f"in {image.name!r}",
            "Paint or render it at the plate's size; it is never stretched.",
        )


def rows_of(flat, size):
    """Turn pixels as Blender has them into rows of float32 0..1, the top one first: alpha, or grey where alpha is 1
    everywhere.

    flat: (height * width * channels), the bottom row first.
    """
    import numpy as np

    pixels = flat.reshape(size[1], size[0], -1)[::-1]
    has_alpha = pixels.shape[-1] == _RGBA and float(pixels[..., 3].min()) < 1
    mask = pixels[..., 3] if has_alpha else pixels[..., :3].mean(axis=-1)
    return [row.tobytes() for row in np.clip(mask, 0, 1).astype("<f4")]


# ------------------------------------------------------------------------------------------------ many frames


def draw_on_frames(mask, order, moves, size, scratch):
    """Draw a mask on many frames. A file that shows it as it is stays, and so does its time; one of a frame that is not
    asked for goes.

    order: as constraint_masks.orders() has it. moves: outline.movement() by mask. A note beside the files says what
    each of them shows.
    """
    from . import outline

    moving, still = moves.get(mask.name, {}), outline.looks(mask)
    wanted = {}
    for frame, file in order["files"]:
        facts = (moving.get(str(frame), still), outline.ties(mask, frame), size, order["factor"])
        wanted[Path(file).name] = plan.digest(facts)
    note = drawn_note(order["pattern"])
    there = {name: looks for name, looks in _noted(note).items() if _stands(note.parent / name, looks, wanted)}
    _remove_others(order["pattern"], {file for _, file in order["files"]})
    _write_note(note, there)  # nothing is said of a file that is drawn just now
    drawn = {looks: name for name, looks in there.items()}
    for frame, file in order["files"]:
        name, looks = Path(file).name, wanted[Path(file).name]
        if name not in there:
            if looks in drawn:
                _linked(note.parent / drawn[looks], Path(file))
            else:
                write_mask(Path(file), size, rasterise(mask, frame, size, order["factor"], scratch), zipped=True)
            drawn[looks] = name
        print(f"masked {file}", flush=True)
    _write_note(note, wanted)


def drawn_note(pattern):
    """Return the note beside files of this pattern, which says what each of them shows."""
    return Path(pattern.partition("#")[0].rstrip(".") + ".drawn")


def _noted(note):
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _write_note(note, said):
    note.parent.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".tmp")
    fresh.write_text(json.dumps(said), encoding="utf-8")
    fresh.replace(note)


def _stands(file, looks, wanted):
    """Return whether a file is there and shows the mask as it is wanted."""
    return wanted.get(file.name) == looks and is_whole(file)


def _remove_others(pattern, files):
    for frame in plan.frames_on_disk(pattern):
        file = plan.file_of(pattern, frame)
        if file not in files:
            Path(file).unlink(missing_ok=True)


def _linked(source, file):
    """Let a second name show the same picture, by a link where the disk has them."""
    fresh = file.with_name(f".{file.name}.tmp")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    fresh.replace(file)
    fresh.unlink(missing_ok=True)  # of two links to one file, replace() leaves both


# ------------------------------------------------------------------------------------------------ one mask


def rasterise(mask, scene_frame, size, factor, scratch):
    """Draw one mask as rows of float32 0..1, the top one first. size: the plate's; factor: how much finer it is
    drawn.
    """
    import bpy

    from . import nodes

    scene = bpy.data.scenes.new("matanyone raster")
    scene.render.resolution_x, scene.render.resolution_y = size[0] * factor, size[1] * factor
    scene.render.resolution_percentage = 100
    if hasattr(scene.render, "compositor_device"):
        scene.render.compositor_device = "CPU"
    tree = nodes.new_tree_of(scene)
    node = tree.nodes.new("CompositorNodeMask")
    node.mask = mask
    out = nodes.new_file_output(tree, str(scratch), "mask.####.")
    tree.links.new(node.outputs[0], out.inputs[0])
    scene.frame_set(scene_frame)
    bpy.context.scene.frame_set(scene_frame)  # only the active scene's frame moves the points that the node draws
    bpy.ops.render.render(scene=scene.name)  # not an animation, which writes a picture of its own as well
    drawn = next(scratch.glob("mask.*.exr"))
    rows = _averaged(drawn, size, factor)
    drawn.unlink()
    scratch.rmdir()
    bpy.data.scenes.remove(scene)
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
