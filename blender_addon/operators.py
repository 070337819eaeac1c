# SPDX-License-Identifier: GPL-3.0-or-later
"""What the buttons do. In background mode the same operators run to the end and say so on stdout."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatVectorProperty, IntProperty, StringProperty

from . import plan, pointer, preferences, scene, session
from .engine.wire import messages as say
from .engine.wire.errors import WireError

_TICK_S = 0.5


def _report(operator, error):
    """A fault as Blender shows it; the operator did nothing."""
    operator.report({"ERROR"}, session.told(error))
    return {"CANCELLED"}


def _asked(operator):
    """The end of an operator that has asked the network thread: in background mode the answer is waited for."""
    if not bpy.app.background:
        return {"FINISHED"}
    failure = session.wait_for_calls()
    if failure is not None:
        return _report(operator, failure)
    print(f"MatAnyone: {session.now.test}", flush=True)
    return {"FINISHED"}


class _Matte:
    """What Matte, Matte Current Frame and Re-run share."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        if session.active():
            cls.poll_message_set("A matte is being made: wait or cancel it")
            return False
        return True

    def only(self, context):
        return None

    def execute(self, context):
        try:
            session.start(context.scene, self.only(context))
        except WireError as error:
            return _report(self, error)
        if bpy.app.background:
            return self.finished(session.run_to_the_end(lambda line: print(f"MatAnyone: {line}", flush=True)))
        return {"FINISHED"}

    def invoke(self, context, event):
        started = self.execute(context)
        if bpy.app.background or started != {"FINISHED"}:
            return started
        self.timer, self.said = context.window_manager.event_timer_add(_TICK_S, window=context.window), ""
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """ESC, and the status bar. If it dies (another file, a closed window) the run goes on without it."""
        run = session.now.run
        if run is None or run.over is not None:
            return self.leave(context, run)
        if event.type == "ESC" and event.value == "PRESS":
            session.cancel()
            return {"RUNNING_MODAL"}
        if event.type == "TIMER":
            self.tell(context, run)
        return {"PASS_THROUGH"}

    def tell(self, context, run):
        """Only what is new: saying it makes Blender draw."""
        text = f"MatAnyone: {session.status(run)}   ESC cancels"
        if text == self.said or context.workspace is None:
            return
        self.said = text
        context.window_manager.progress_update(100 * run.done / max(run.of, 1))
        context.workspace.status_text_set(text)

    def leave(self, context, run):
        context.window_manager.event_timer_remove(self.timer)
        context.window_manager.progress_end()
        if context.workspace:
            context.workspace.status_text_set(None)
        return {"CANCELLED"} if run is None else self.finished(run.over)

    def finished(self, over):
        """Report the end of a run."""
        if over.outcome == "failed":
            self.report({"ERROR"}, session.told(over))
            return {"CANCELLED"}
        self.report({"INFO"}, f"MatAnyone {session.status(session.now.run)}")
        return {"FINISHED"} if over.outcome == "finished" else {"CANCELLED"}


class MATANYONE_OT_matte(_Matte, bpy.types.Operator):
    """Make the mattes of the whole shot from its masks. Blender stays usable; ESC cancels, and finished frames stay"""

    bl_idname = "matanyone.matte"
    bl_label = "Matte"


class MATANYONE_OT_matte_frame(_Matte, bpy.types.Operator):
    """Make the matte of the frame you look at. Frames between the nearest mask and here are followed, too"""

    bl_idname = "matanyone.matte_frame"
    bl_label = "Matte Current Frame"

    def only(self, context):
        plate = scene.plate_of(context.scene.matanyone)
        frame = plate.time.plate_frame(context.scene.frame_current)
        if frame not in (frames := plate.frames()):
            raise plan.refused(
                f"expected a frame of the plate, {frames[0]} to {frames[-1]}, got scene frame "
                f"{context.scene.frame_current}, which is plate frame {frame}",
                "Go to a frame that shows the plate.",
            )
        return frame


class MATANYONE_OT_rerun(_Matte, bpy.types.Operator):
    """Run again after a change: only frames that the change can reach are computed, others stay as they are"""

    bl_idname = "matanyone.rerun"
    bl_label = "Re-run Changed Stretch"

    @classmethod
    def poll(cls, context):
        if not context.scene.matanyone.made:
            cls.poll_message_set("There is no matte yet")
            return False
        return super().poll(context)


class MATANYONE_OT_cancel(bpy.types.Operator):
    """Stop after the frame at hand. Finished mattes stay; Matte goes on from them"""

    bl_idname = "matanyone.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        return session.active() is not None

    def execute(self, context):
        session.cancel()
        return {"FINISHED"}


# ------------------------------------------------------------------------------------------------ plate, objects, masks


class MATANYONE_OT_plate_from_editor(bpy.types.Operator):
    """Take the clip or image sequence that this editor shows, and where on the timeline it begins"""

    bl_idname = "matanyone.plate_from_editor"
    bl_label = "Use This Plate"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        space = context.space_data
        return bool(getattr(space, "clip", None) or getattr(space, "image", None))

    def execute(self, context):
        space = context.space_data
        clip, image = getattr(space, "clip", None), getattr(space, "image", None)
        take_plate(context.scene.matanyone, clip, image, getattr(space, "image_user", None))
        return {"FINISHED"}


def take_plate(shot, clip, image, user=None):
    """Fill in what follows from the plate: its name, where it begins, an object to put masks on."""
    source = clip or image
    shot.plate = "CLIP" if clip else "IMAGE"
    shot.clip, shot.image = clip, None if clip else image
    found = plan.numbered(source.filepath)
    if user is not None:
        # Blender shows file frame_offset + 1 on scene frame frame_start.
        shot.scene_start = user.frame_start + (found.frame - 1 - user.frame_offset if found else 0)
    if not shot.name:
        name = Path(found.pattern if found else source.filepath.replace("\\", "/")).name
        shot.name = name.split("#")[0].rsplit(".", 1)[0].rstrip("._-") or "shot"
    if not shot.objects:
        shot.objects.add()


class MATANYONE_OT_object_add(bpy.types.Operator):
    """Follow one more object, with masks and a matte of its own"""

    bl_idname = "matanyone.object_add"
    bl_label = "Add Object"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        shot = context.scene.matanyone
        taken = {each.name for each in shot.objects}
        added = shot.objects.add()
        if taken:
            added.name = next(name for name in (f"object_{n}" for n in range(2, 1000)) if name not in taken)
        shot.object_index = len(shot.objects) - 1
        return {"FINISHED"}


class MATANYONE_OT_object_remove(bpy.types.Operator):
    """Follow the selected object no longer"""

    bl_idname = "matanyone.object_remove"
    bl_label = "Remove Object"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return len(context.scene.matanyone.objects) > 0

    def execute(self, context):
        shot = context.scene.matanyone
        shot.objects.remove(shot.object_index)
        shot.object_index = max(0, min(shot.object_index, len(shot.objects) - 1))
        return {"FINISHED"}


class MATANYONE_OT_key_add(bpy.types.Operator):
    """Use the editor's mask as it is on the frame you look at. Masks on several frames: the shot is blended between"""

    bl_idname = "matanyone.key_add"
    bl_label = "Add Mask at This Frame"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        shot = context.scene.matanyone
        try:
            plate = scene.plate_of(shot)
        except WireError as error:
            return _report(self, error)
        if not shot.objects:
            shot.objects.add()
        each = shot.objects[shot.object_index]
        key = each.keys.add()
        key.frame = plate.time.plate_frame(context.scene.frame_current)
        key.mask = getattr(context.space_data, "mask", None)
        each.key_index = len(each.keys) - 1
        return {"FINISHED"}


class MATANYONE_OT_key_remove(bpy.types.Operator):
    """Leave this mask out. The datablock stays"""

    bl_idname = "matanyone.key_remove"
    bl_label = "Remove Mask"
    bl_options = {"REGISTER", "UNDO"}
    index: IntProperty()

    def execute(self, context):
        shot = context.scene.matanyone
        shot.objects[shot.object_index].keys.remove(self.index)
        return {"FINISHED"}


class MATANYONE_OT_key_jump(bpy.types.Operator):
    """Go to this frame of the plate"""

    bl_idname = "matanyone.key_jump"
    bl_label = "Go to Frame"
    frame: IntProperty()

    def execute(self, context):
        try:
            context.scene.frame_set(scene.plate_of(context.scene.matanyone).time.scene_frame(self.frame))
        except WireError as error:
            return _report(self, error)
        return {"FINISHED"}


class MATANYONE_OT_preset(bpy.types.Operator):
    """Set size and region together"""

    bl_idname = "matanyone.preset"
    bl_label = "Quality Preset"
    bl_options = {"REGISTER", "UNDO"}
    preset: EnumProperty(items=[(name, label, tip) for name, (label, tip, *_) in plan.PRESETS.items()])

    @classmethod
    def description(cls, context, properties):
        return plan.PRESETS[properties.preset][1]

    def execute(self, context):
        shot = context.scene.matanyone
        _, _, shot.working_size, shot.region = plan.PRESETS[self.preset]
        return {"FINISHED"}


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
            return _report(self, error)
        return _asked(self)

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


class MATANYONE_OT_save_job(bpy.types.Operator):
    """Write the masks and a job file that 'matanyone-engine run' computes on any machine that has these folders"""

    bl_idname = "matanyone.save_job"
    bl_label = "Save Job File"
    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def invoke(self, context, event):
        self.filepath = f"{context.scene.matanyone.name or 'shot'}.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        try:
            session.save_job(context.scene, bpy.path.abspath(self.filepath))
        except WireError as error:
            return _report(self, error)
        return _asked(self)


# ------------------------------------------------------------------------------------------------ the engine


class MATANYONE_OT_engine(bpy.types.Operator):
    """Ask the engine how it is, start it, or end it"""

    bl_idname = "matanyone.engine"
    bl_label = "Engine"
    what: EnumProperty(
        items=(
            ("TEST", "Test", "Ask the engine how it is, and say exactly what is wrong if it does not answer"),
            ("START", "Start", "Start the engine of this machine, or find it running"),
            ("STOP", "Stop", "End the engine; every session is put on disk first. Other programs use it too"),
        )
    )

    @classmethod
    def description(cls, context, properties):
        found = cls.bl_rna.properties["what"].enum_items.get(properties.what)
        return found.description if found else ""

    def execute(self, context):
        message = say.Shutdown() if self.what == "STOP" else say.Status()
        if self.what == "START" and not preferences.own().program:
            self.report({"ERROR"}, "Name the engine's program first")
            return {"CANCELLED"}
        session.now.test = "asking ..."
        try:
            session.ask(lambda client: (client.call(message), client.pump.welcome), _answered)
        except WireError as error:
            session.now.test = session.told(error)
            return _report(self, error)
        return _asked(self)


def _answered(value):
    told, welcome = value
    if isinstance(told, say.StatusReport):
        session.now.models = welcome.models if welcome else ()
        session.now.test = (
            f"engine {told.engine} on {told.device}, process {told.pid}, up {plan.tell_time(told.uptime_s)}, "
            f"{told.activity}; models: {', '.join(session.now.models)}"
        )
    else:
        session.now.test = "the engine ends; every session is on disk"


CLASSES = (
    MATANYONE_OT_matte,
    MATANYONE_OT_matte_frame,
    MATANYONE_OT_rerun,
    MATANYONE_OT_cancel,
    MATANYONE_OT_plate_from_editor,
    MATANYONE_OT_object_add,
    MATANYONE_OT_object_remove,
    MATANYONE_OT_key_add,
    MATANYONE_OT_key_remove,
    MATANYONE_OT_key_jump,
    MATANYONE_OT_preset,
    MATANYONE_OT_point,
    MATANYONE_OT_save_job,
    MATANYONE_OT_engine,
)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
