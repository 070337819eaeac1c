# SPDX-License-Identifier: GPL-3.0-or-later
"""An animated Mask datablock made of shapes that `matanyone-engine shapes` has written.

Each shape becomes a layer of its own, since a layer's points are keyed together. Islands are added, holes taken away.
"""

from __future__ import annotations

from contextlib import contextmanager

import bpy


def mask_of(context, shapes, name, scene_frame):
    """Make the mask. shapes: a ShapeFile; scene_frame: plate frame -> scene frame. context: an operator's."""
    mask = bpy.data.masks.new(name)
    mask.frame_start, mask.frame_end = scene_frame(shapes.first), scene_frame(shapes.last)
    layers = [(_layer(mask, shape, shapes), shape) for shape in shapes.shapes]
    scene, playhead = context.scene, context.scene.frame_current
    with _editor(context, mask):
        for frame in shapes.keyed():
            scene.frame_set(scene_frame(frame))  # at once: what is left to later would undo what comes now
            for layer, shape in layers:
                _place(layer, shape.at(frame), shapes)
                layer.hide = frame not in shape.keys
            bpy.ops.mask.shape_key_insert()
    for layer, shape in layers:
        layer.hide = False
        _live(layer, shape, shapes, scene_frame)
    scene.frame_set(playhead)
    return mask


def _layer(mask, shape, shapes):
    layer = mask.layers.new(name=shape.name)
    layer.blend = "MERGE_SUBTRACT" if shape.hole else "MERGE_ADD"
    layer.falloff = "LINEAR"
    spline = layer.splines.new()
    spline.points.add(len(shape.at(shape.first)) - 1)
    spline.use_cyclic = True
    for point in spline.points:
        point.select = True  # Blender keys the points that are selected
        point.handle_left_type = point.handle_right_type = "FREE"
    _place(layer, shape.at(shape.first), shapes)
    return layer


def _place(layer, points, shapes):
    """Put a layer's points where a key has them. points: rows as in shape_files.py, pixels from the top left."""
    largest = max(shapes.width, shapes.height)

    def spot(x, y):
        return 0.5 + (x - shapes.width / 2) / largest, 0.5 + (shapes.height / 2 - y) / largest

    around = (
        points if layer.blend == "MERGE_ADD" else [[*row[4:6], *row[2:4], *row[:2], row[6]] for row in points[::-1]]
    )
    for point, row in zip(layer.splines[0].points, around, strict=True):  # Blender's feathers want all one way around
        point.co = spot(row[2], row[3])
        point.handle_left, point.handle_right = spot(row[0], row[1]), spot(row[4], row[5])
        point.weight = row[6] / largest


def _live(layer, shape, shapes, scene_frame):
    """Show a layer on the frames of its shape only."""
    if shape.first > shapes.first:
        _key_alpha(layer, 0.0, scene_frame(shape.first) - 1)
        _key_alpha(layer, 1.0, scene_frame(shape.first))
    if shape.last < shapes.last:
        _key_alpha(layer, 1.0, scene_frame(shape.last))
        _key_alpha(layer, 0.0, scene_frame(shape.last) + 1)


def _key_alpha(layer, value, frame):
    layer.alpha = value
    layer.keyframe_insert("alpha", frame=frame)


@contextmanager
def _editor(context, mask):
    """Lend the operator's own area to Blender's mask operators, which want an editor that shows the mask."""
    area = context.area or context.window_manager.windows[0].screen.areas[0]
    window = context.window or context.window_manager.windows[0]
    before = area.ui_type
    try:
        area.ui_type = "IMAGE_EDITOR"
        space = area.spaces.active
        space.mode, space.mask = "MASK", mask
        region = next(each for each in area.regions if each.type == "WINDOW")
        with context.temp_override(window=window, screen=window.screen, area=area, region=region):
            yield
    finally:
        area.ui_type = before
