# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the brush by which an artist marks where the alpha of a frame is refined, and the buttons beside it."""

from __future__ import annotations

import math

import bpy
import gpu
from bpy.props import IntProperty, StringProperty
from gpu_extras.batch import batch_for_shader

from . import brush, overlay, pointer, scene, session
from .alphas import Picture
from .engine.wire.errors import WireError
from .reporting import report

_HELP = "Paint where the alpha is refined, Ctrl erases, [ and ] change the size, Z takes back, Enter keeps, ESC leaves"
_WIDE = 640
"""Pixels across of what is shown while one paints; the area itself is painted at the plate's size."""
_SMALLEST, _LARGEST, _STEP = 0.004, 0.5, 1.25
"""Radii of the brush, as a part of the picture's height, and what a key press changes."""
_SIDES = 48
_WHITE, _BLACK = (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0)


class MATANYONE_OT_area_paint(bpy.types.Operator):
    """Paint over this frame where the alpha is to be solved again along the plate's own detail: roughly over soft hair
    and some pixels around it. Ctrl erases, [ and ] change the brush, Z takes the last stroke back, Enter keeps"""

    bl_idname = "matanyone.area_paint"
    bl_label = "Paint Area on This Frame"
    bl_options = {"REGISTER"}
    strokes: StringProperty(description="Strokes to be kept at once, as brush.py writes them")

    radius = 0.05
    """Of the brush that was used last."""

    def execute(self, context):
        try:
            keep(context.scene.matanyone, scene.frame_at_hand(context), brush.strokes_from(self.strokes))
        except WireError as error:
            return report(self, error)
        return {"FINISHED"}

    def invoke(self, context, event):
        try:
            self.frame = scene.frame_at_hand(context)
            width, height = scene.size_of(context.scene.matanyone)
        except WireError as error:
            return report(self, error)
        found = scene.area_on(context.scene.matanyone, self.frame)
        self.kept = list(brush.strokes_from(found.strokes)) if found is not None else []
        self.identity = session.identity(context.scene)
        self.shown = (_WIDE, max(1, round(_WIDE * height / width)))
        self.canvas, self.picture, self.stroke, self.mouse = None, None, None, None
        self.replay()
        self.space = type(context.space_data)
        self.drawing = self.space.draw_handler_add(_draw, (self,), "WINDOW", "POST_PIXEL")
        self.area, self.region = context.area, next(r for r in context.area.regions if r.type == "WINDOW")
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(_HELP)
        overlay.here.painting = True
        self.area.tag_redraw()
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if self.area not in context.window.screen.areas[:]:
            return self.leave(context, {"CANCELLED"})
        if event.value == "PRESS" and event.type == "ESC":
            return self.leave(context, {"CANCELLED"})
        if event.value == "PRESS" and event.type in {"RET", "NUMPAD_ENTER"}:
            home = session.found(self.identity)
            if home is not None:
                keep(home.matanyone, self.frame, self.kept)
                bpy.ops.ed.undo_push(message="MatAnyone area")
            return self.leave(context, {"FINISHED"})
        taken = self.pressed_key(event) if event.value == "PRESS" else False
        taken = taken or self.moved(event)
        if taken or event.type == "MOUSEMOVE":
            overlay.redraw_picture(self.area)
        return {"RUNNING_MODAL" if taken else "PASS_THROUGH"}

    def pressed_key(self, event):
        """Take back a stroke, or change the brush; whether the key was for us."""
        cls = type(self)
        if event.type == "Z":
            self.kept = self.kept[:-1]
            self.replay()
        elif event.type in {"LEFT_BRACKET", "RIGHT_BRACKET"}:
            factor = _STEP if event.type == "RIGHT_BRACKET" else 1 / _STEP
            cls.radius = min(max(cls.radius * factor, _SMALLEST), _LARGEST)
        else:
            return False
        return True

    def moved(self, event):
        """Begin, go on with or end a stroke; whether the event was for us."""
        self.mouse = here = (event.mouse_x - self.region.x, event.mouse_y - self.region.y)
        if event.type == "LEFTMOUSE" and event.value == "PRESS" and pointer.inside(self.region, here):
            self.stroke = brush.Stroke((), type(self).radius, bool(event.ctrl))
            self.canvas.begin()
        elif self.stroke is None:
            return False
        self.go_on(pointer.spot(self.region, here))
        if event.type == "LEFTMOUSE" and event.value == "RELEASE":
            self.kept.append(self.stroke)
            self.stroke = None
        return True

    def go_on(self, point):
        """Add a point to the stroke, unless it is where the last one is."""
        points, radius = self.stroke.points, self.stroke.radius
        if points and math.dist(points[-1], point) < radius / 10:
            return
        self.stroke = brush.Stroke((*points, point), radius, self.stroke.erase)
        self.canvas.add(point, radius, self.stroke.erase)
        self.picture = Picture(*self.shown, self.canvas.values)

    def replay(self):
        """Paint what is kept from nothing."""
        self.canvas = brush.Canvas(*self.shown)
        self.canvas.paint(self.kept)
        self.picture = Picture(*self.shown, self.canvas.values)

    def leave(self, context, ended):
        self.space.draw_handler_remove(self.drawing, "WINDOW")
        overlay.here.painting = False
        if context.workspace is not None:
            context.workspace.status_text_set(None)
        self.area.tag_redraw()
        return ended

    def cancel(self, context):
        """Clean up: Blender ends the painting itself when another file is opened or the window is closed."""
        self.leave(context, {"CANCELLED"})


def keep(shot, frame, strokes):
    """Keep strokes as the area of the selected object on a plate frame; none remove it."""
    areas = shot.objects[shot.object_index].areas
    found = scene.area_on(shot, frame)
    if not strokes:
        if found is not None:
            areas.remove(areas[:].index(found))
        return
    found = found or areas.add()
    found.frame, found.strokes = frame, brush.text_of(strokes)


def _draw(operator):
    """Draw the area and the brush over the editor's picture."""
    overlay.draw_picture(operator.region, operator.picture, overlay.AREA)
    if operator.mouse is None:
        return
    reach = type(operator).radius * _height_on_screen(operator.region)
    turns = [2 * math.pi * side / _SIDES for side in range(_SIDES + 1)]
    for colour, radius in ((_BLACK, reach + 1), (_WHITE, reach)):
        x, y = operator.mouse
        ring = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        batch = batch_for_shader(shader, "LINE_STRIP", {"pos": ring})
        shader.uniform_float("color", colour)
        batch.draw(shader)


def _height_on_screen(region):
    """Return how many pixels high the picture is in a region."""
    (_, low), (_, high) = (region.view2d.view_to_region(0, side, clip=False) for side in (0, 1))
    return high - low


class MATANYONE_OT_area_remove(bpy.types.Operator):
    """Forget what was painted on this frame"""

    bl_idname = "matanyone.area_remove"
    bl_label = "Remove Painted Area"
    bl_options = {"REGISTER", "UNDO"}
    index: IntProperty()

    def execute(self, context):
        shot = context.scene.matanyone
        shot.objects[shot.object_index].areas.remove(self.index)
        return {"FINISHED"}


CLASSES = (MATANYONE_OT_area_paint, MATANYONE_OT_area_remove)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
