# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws how far the matte can be trusted, as a coloured strip at the foot of the timeline, with the frames of the
masks.
"""

from __future__ import annotations

import blf
import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from . import plan, scene, session

_SURE, _DOUBT, _UNKNOWN, _KEY = (0.2, 0.7, 0.3), (0.9, 0.2, 0.15), (0.45, 0.45, 0.45), (1.0, 0.85, 0.1)
_HEIGHT, _KEY_HEIGHT, _TEXT_SIZE = 6, 15, 11
"""In pixels of an interface that is not scaled."""


def draw():
    """Draw over a timeline or dope sheet; Blender calls this after it has drawn one."""
    context = bpy.context
    home, shot = context.scene, context.scene.matanyone
    made = plan.made_from(shot.made)
    if shot.show == "OFF" or (shot.clip is None and shot.image is None):
        return
    across = _across(context.region)
    scale = context.preferences.system.ui_scale
    when = scene.time_of(shot, shot.clip if shot.plate == "CLIP" else shot.image)
    boxes = []
    for first, last, value in plan.coloured(made.frames, session.sure_of(home)) if made is not None else ():
        left, right = across(when.scene_frame(first) - 0.5), across(when.scene_frame(last) + 0.5)
        boxes.append(((left, right), _HEIGHT * scale, _colour(value)))
    keys = {key.frame: across(when.scene_frame(key.frame)) for each in shot.objects for key in each.keys}
    boxes += [((at - 1, at + 1), _KEY_HEIGHT * scale, _KEY) for at in keys.values()]
    _draw_boxes(boxes)
    for frame, at in keys.items():
        _draw_text(str(frame), at + 3 * scale, (_HEIGHT + 2) * scale, scale)


def _across(region):
    """Return a function that tells how far right a scene frame is in the region, in pixels."""
    left, right = (region.view2d.region_to_view(x, 0)[0] for x in (0, region.width))
    return lambda frame: (frame - left) / (right - left) * region.width


def _colour(value):
    """Return the colour of a confidence: red where the alpha is not to be trusted, green where it is, grey where nobody
    knows.
    """
    if value is None:
        return _UNKNOWN
    part = min(max((value - 0.3) / 0.6, 0.0), 1.0)
    return tuple(bad + part * (good - bad) for bad, good in zip(_DOUBT, _SURE, strict=True))


def _draw_boxes(boxes):
    """Draw rectangles that stand on the region's foot, all at once. boxes: ((left, right), height, colour)."""
    if not boxes:
        return
    spots, colours = [], []
    for (left, right), high, colour in boxes:
        end = max(right, left + 1)
        spots += [(left, 0), (end, 0), (end, high), (left, 0), (end, high), (left, high)]
        colours += [(*colour, 1.0)] * 6
    shader = gpu.shader.from_builtin("FLAT_COLOR")
    batch_for_shader(shader, "TRIS", {"pos": spots, "color": colours}).draw(shader)


def _draw_text(text, x, y, scale):
    blf.size(0, _TEXT_SIZE * scale)
    blf.color(0, *_KEY, 1.0)
    blf.position(0, x, y, 0)
    blf.draw(0, text)
