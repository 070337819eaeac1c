# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the buttons by which masks are clicked: the engine draws a mask of what the artist points at, again after each
click.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, FloatVectorProperty

from . import overlay, plan, pointer, scene, session
from .engine.wire.errors import WireError
from .reporting import asked, report

_TICK_S = 0.01
_HELP = "Click the subject, Ctrl-click what is not; Z takes back, Enter keeps, ESC leaves"


class MATANYONE_OT_point(bpy.types.Operator):
    """Let the engine draw the mask. Drag a box around the subject, click what belongs to it, Ctrl-click what does not:
    each click shows the new mask. Z takes the last one back, Enter keeps the mask. On a frame that has a matte, clicks
    add to it or cut from it, and Enter makes it a mask key and runs the changed stretch again"""

    bl_idname = "matanyone.point"
    bl_label = "Mask by Box and Clicks"
    bl_options = {"REGISTER"}
    box: FloatVectorProperty(size=4, description="Two corners, 0..1 across the picture from the bottom left")
    click: FloatVectorProperty(size=2, default=(-1.0, -1.0), description="A point on the subject, likewise")
    other: FloatVectorProperty(size=2, default=(-1.0, -1.0), description="A point that is not the subject, likewise")
    correct: BoolProperty(description="Change the alpha of this frame near the points, and keep it elsewhere")

    @classmethod
    def poll(cls, context):
        return session.is_free(cls)

    # -------------------------------------------------------------------------------------------- from a script

    def execute(self, context):
        corners = ((*self.box[:2],), (*self.box[2:],)) if any(self.box) else None
        clicks, others = ((tuple(spot),) if spot[0] >= 0 else () for spot in (self.click, self.other))
        try:
            pointing = plan.Pointing(corners, clicks, others)
            session.point(context.scene, pointing, scene.frame_at_hand(context), self._alpha(context))
        except WireError as error:
            return report(self, error)
        return asked(self)

    def _alpha(self, context):
        """Return the alpha to be corrected, '' for a mask from nothing. Raises WireError."""
        if not self.correct:
            return ""
        alpha = overlay.file_at(context.scene)
        if not Path(alpha).is_file():
            raise plan.refused("expected a frame that has an alpha, got one without", "Matte first, or draw a mask.")
        return alpha

    # -------------------------------------------------------------------------------------------- by mouse

    def invoke(self, context, event):
        shot = context.scene.matanyone
        try:
            self.frame = scene.frame_at_hand(context)
            self.file = scene.file_for_prompts(shot, self.frame)
            alpha = overlay.file_at(context.scene)
            self.pointing = scene.pointing_at(shot, self.frame)
            if self.pointing is None:  # nobody has pointed at this frame before: correct the alpha that is there
                self.pointing = plan.Pointing(start=scene.start_of(self.file) if Path(alpha).is_file() else "")
            self.live = session.begin_live(alpha, self.pointing.start, overlay.selected(shot), overlay.read_ahead)
        except WireError as error:
            return report(self, error)
        self.identity = session.identity(context.scene)
        self.history, self.pressed, self.shown, self.keeping = [], None, None, False
        self.space = type(context.space_data)
        self.drawing = self.space.draw_handler_add(pointer.draw, (self,), "WINDOW", "POST_PIXEL")
        self.area, self.region = context.area, next(r for r in context.area.regions if r.type == "WINDOW")
        self.timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(("" if self.pointing else "Drag a box. ") + _HELP)
        self.ask(context)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if self.area not in context.window.screen.areas[:]:  # closed, or another workspace: there is nothing to click
            return self.leave(context, {"CANCELLED"})
        if event.type == "TIMER":
            return self.look(context)
        if event.type == "ESC" and event.value == "PRESS":
            return self.leave(context, {"CANCELLED"})
        if event.type in {"RET", "NUMPAD_ENTER"} and event.value == "PRESS":
            self.keeping = True
            return self.look(context)
        if event.type == "Z" and event.value == "PRESS" and not self.keeping:
            self.take_back(context)
            return {"RUNNING_MODAL"}
        before = self.pointing
        taken = not self.keeping and pointer.take(self, event)
        if taken and event.value == "RELEASE" and event.type == "LEFTMOUSE":
            self.ask(context)
        elif self.pointing != before:
            overlay.redraw_picture(self.area)
        return {"RUNNING_MODAL" if taken else "PASS_THROUGH"}

    def ask(self, context):
        """Have the mask of what is pointed at now made."""
        overlay.redraw_picture(self.area)
        if not self.pointing:
            overlay.end_live()
            return
        self.say(context, f"Making the mask ... {_HELP}")
        try:
            self.live.ask(scene.prompt_for(context.scene.matanyone, self.pointing, self.frame, self.file))
        except WireError as error:
            self.say(context, session.told(error))

    def take_back(self, context):
        """Undo the last box or click."""
        if self.history:
            self.pointing = self.history.pop()
            self.ask(context)

    def look(self, context):
        """Show what has come, and end once the mask of the last click is there."""
        live = self.live
        if live.is_done and live.fault is not None:
            self.say(context, session.told(live.fault))
            self.keeping = False
        elif live.made is not self.shown:
            self.shown = live.made
            overlay.show_live(self.frame, self.file)
            self.say(context, f"{100 * live.made.covers:.1f} % of the picture. {_HELP}")
        if self.keeping and not self.pointing:  # there is nothing to keep
            return self.leave(context, {"CANCELLED"})
        if self.keeping and live.is_done and live.made is not None:
            return self.keep(context)
        return {"RUNNING_MODAL"}

    def keep(self, context):
        """Make the mask a key; after a correction, run again what it can reach."""
        home = session.found(self.identity)
        ended = self.leave(context, {"FINISHED"})
        if home is not None:
            scene.take_mask(home.matanyone, self.frame, self.file, self.pointing)
            bpy.ops.ed.undo_push(message="MatAnyone mask")
            if self.pointing.start and home == context.scene:
                bpy.ops.matanyone.rerun("INVOKE_DEFAULT")
        return ended

    def say(self, context, text):
        if context.workspace is not None:
            context.workspace.status_text_set(text)

    def leave(self, context, ended):
        """End the clicking. A mask that is not kept is taken off the disk once the engine has written it."""
        kept = ended == {"FINISHED"}
        session.end_live(self.live, () if kept else (self.file, scene.start_of(self.file)))
        self.space.draw_handler_remove(self.drawing, "WINDOW")
        context.window_manager.event_timer_remove(self.timer)
        self.say(context, None)
        overlay.end_live()
        return ended

    def cancel(self, context):
        """Clean up: Blender ends the clicking itself when another file is opened or the window is closed."""
        self.leave(context, {"CANCELLED"})


class MATANYONE_OT_draw_region(bpy.types.Operator):
    """Drag the box that is computed. The alpha is 0 outside of it"""

    bl_idname = "matanyone.draw_region"
    bl_label = "Draw Box"
    bl_options = {"REGISTER", "UNDO"}

    def invoke(self, context, event):
        self.pointing, self.history, self.pressed = plan.Pointing(), [], None
        self.space = type(context.space_data)
        self.drawing = self.space.draw_handler_add(pointer.draw, (self,), "WINDOW", "POST_PIXEL")
        self.area, self.region = context.area, next(r for r in context.area.regions if r.type == "WINDOW")
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("Drag the box that is computed; ESC leaves")
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC" or self.area not in context.window.screen.areas[:]:
            return self.leave(context, {"CANCELLED"})
        taken = pointer.take(self, event)
        overlay.redraw_picture(self.area)
        if self.pointing.corners is None or self.pressed is not None:
            return {"RUNNING_MODAL" if taken else "PASS_THROUGH"}
        try:
            size = scene.size_of(context.scene.matanyone)
        except WireError as error:
            self.leave(context, {"CANCELLED"})
            return report(self, error)
        context.scene.matanyone.box = plan.box_of(self.pointing.corners, size)
        return self.leave(context, {"FINISHED"})

    def leave(self, context, ended):
        self.space.draw_handler_remove(self.drawing, "WINDOW")
        if context.workspace is not None:
            context.workspace.status_text_set(None)
        return ended

    def cancel(self, context):
        """Clean up: Blender ends the dragging itself when another file is opened or the window is closed."""
        self.leave(context, {"CANCELLED"})


CLASSES = (MATANYONE_OT_point, MATANYONE_OT_draw_region)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
