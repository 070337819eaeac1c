# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the mouse of 'Mask by Box and Clicks' into a plan.Pointing, and draws the box and points over the picture."""

from __future__ import annotations

from dataclasses import replace

import gpu
from gpu_extras.batch import batch_for_shader

_DRAG = 6
"""Pixels that tell a box from a click."""
_BOX, _SUBJECT, _OTHER = (1.0, 0.8, 0.2, 1.0), (0.2, 1.0, 0.4, 1.0), (1.0, 0.3, 0.3, 1.0)
_CROSS = 7


def take(operator, event):
    """Put a mouse event into operator.pointing; whether it was for us."""
    here = (event.mouse_x - operator.region.x, event.mouse_y - operator.region.y)
    if event.type == "LEFTMOUSE" and event.value == "PRESS":
        operator.pressed = here if inside(operator.region, here) else None
        operator.before = operator.pointing
        return operator.pressed is not None
    if operator.pressed is None:
        return False
    dragged = max(abs(here[0] - operator.pressed[0]), abs(here[1] - operator.pressed[1])) > _DRAG
    if dragged:
        corners = (spot(operator.region, operator.pressed), spot(operator.region, here))
        operator.pointing = replace(operator.pointing, corners=corners)
    if event.type == "LEFTMOUSE" and event.value == "RELEASE":
        if not dragged:
            name = "other" if event.ctrl else "subject"
            points = (*getattr(operator.pointing, name), spot(operator.region, here))
            operator.pointing = replace(operator.pointing, **{name: points})
        operator.history.append(operator.before)
        operator.pressed = None
    return True


def inside(region, here):
    """Return whether a position, in pixels of the region, lies in it."""
    return 0 <= here[0] < region.width and 0 <= here[1] < region.height


def spot(region, here):
    """Return a position in the region as 0..1 across the picture, from the bottom left."""
    return tuple(region.view2d.region_to_view(*here))


def draw(operator):
    """Draw box and points over the editor's picture."""
    pointing = operator.pointing
    if pointing.corners is not None:
        (ax, ay), (bx, by) = (_back(operator.region, corner) for corner in pointing.corners)
        _lines([(ax, ay), (bx, ay), (bx, ay), (bx, by), (bx, by), (ax, by), (ax, by), (ax, ay)], _BOX)
    for points, colour in ((pointing.subject, _SUBJECT), (pointing.other, _OTHER)):
        for point in points:
            x, y = _back(operator.region, point)
            _lines([(x - _CROSS, y), (x + _CROSS, y), (x, y - _CROSS), (x, y + _CROSS)], colour)


def _back(region, spot):
    return region.view2d.view_to_region(*spot, clip=False)


def _lines(points, colour):
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": [(x, y) for x, y in points]})
    shader.uniform_float("color", colour)
    batch.draw(shader)
