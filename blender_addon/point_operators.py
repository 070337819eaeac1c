# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask by Box and Clicks: the engine draws a mask of what the artist points at."""

from __future__ import annotations

import bpy
from bpy.props import FloatVectorProperty

from . import plan, pointer, scene, session
from .engine.wire.errors import WireError
from .reporting import asked, report


class MATANYONE_OT_point(bpy.types.Operator):
    """Let the engine draw the first mask: drag a box around the subject, click what belongs to it and Ctrl-click what
    does not, then press Enter"""

    bl_idname = "matanyone.point"
    bl_label = "Mask by Box and Clicks"
    bl_options = {"REGISTER"}
    box: FloatVectorProperty(size=4, description="Two corners, 0..1 across the picture from the bottom left")
    click: FloatVectorProperty(size=2, default=(-1.0, -1.0), description="A point on the subject, likewise")

    def execute(self, context):
        corners = ((*self.box[:2],), (*self.box[2:],)) if any(self.box) else None
        clicks = (tuple(self.click),) if self.click[0] >= 0 else ()
        return self.send(context, plan.Pointing(corners, clicks))

    def send(self, context, pointing):
        shot = context.scene.matanyone
        try:
            if not shot.objects:
                shot.objects.add()
            frame = scene.plate_of(shot).time.plate_frame(context.scene.frame_current)
            session.point(context.scene, pointing, frame)
        except WireError as error:
            return report(self, error)
        return asked(self)

    def invoke(self, context, event):
        self.pointing, self.pressed = plan.Pointing(), None
        self.space = type(context.space_data)
        self.drawing = self.space.draw_handler_add(pointer.draw, (self,), "WINDOW", "POST_PIXEL")
        self.area, self.region = context.area, next(r for r in context.area.regions if r.type == "WINDOW")
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(
            "Drag a box, click the subject, Ctrl-click the rest; Enter makes it, ESC leaves"
        )
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC":
            return self.leave(context, {"CANCELLED"})
        if event.type in {"RET", "NUMPAD_ENTER"} and event.value == "PRESS":
            return self.leave(context, self.send(context, self.pointing))
        taken = pointer.take(self, event)
        self.area.tag_redraw()
        return {"RUNNING_MODAL" if taken else "PASS_THROUGH"}

    def leave(self, context, ended):
        self.space.draw_handler_remove(self.drawing, "WINDOW")
        context.workspace.status_text_set(None)
        self.area.tag_redraw()
        return ended


CLASSES = (MATANYONE_OT_point,)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
