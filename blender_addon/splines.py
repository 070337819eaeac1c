# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a Mask datablock of the picture of a mask, so that an artist can edit what was clicked."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import alphas, contours, plan, scene


def mask_of(image):
    """Make a Mask of an image datablock whose file the engine has written. Raises WireError."""
    name, picture = ("", None) if image is None else (image.name, _read(image))
    if picture is None:
        raise plan.refused(
            f"expected a mask that the engine has drawn, got {name or 'no image'!r}, whose file cannot be read here",
            "Make the mask by box and clicks, or draw splines around it yourself.",
        )
    loops = contours.outlines(picture.values)
    if not loops:
        raise plan.refused(f"expected a mask with something in it, got {name!r}, which is black", "Click another one.")
    mask = bpy.data.masks.new(Path(name).stem)
    layer = mask.layers.new()
    for loop in loops:
        _draw(layer, loop, (picture.width, picture.height))
    return mask


def _read(image):
    """Read the picture of an image's file; None where it is none of the engine's."""
    try:
        return alphas.read_alpha(Path(scene.full(image.filepath, image.library)))
    except alphas.UNREADABLE:
        return None


def _draw(layer, loop, size):
    """Add a closed spline of straight lines. loop: x and y in pixels from the bottom left; size: width and height."""
    spline = layer.splines.new()
    spline.points.add(len(loop) - 1)
    spline.use_cyclic = True
    longest = max(size)
    for point, (x, y) in zip(spline.points, loop, strict=True):
        point.handle_type = "VECTOR"
        spot = (0.5 + (x - size[0] / 2) / longest, 0.5 + (y - size[1] / 2) / longest)
        point.co = point.handle_left = point.handle_right = spot
