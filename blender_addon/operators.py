# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the buttons that run a shot and ask the engine. In background mode they run to the end and say so on stdout."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from . import chosen, plan, scene, session
from .engine.wire import messages as say
from .engine.wire.errors import WireError
from .reporting import asked, report

_TICK_S = 0.5


class _Matte:
    """Holds what Matte, Matte Current Frame and Re-run share."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return session.is_free(cls)

    def only(self, context):
        return None

    def execute(self, context):
        try:
            session.start(context.scene, self.only(context))
        except WireError as error:
            return report(self, error)
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
        """Watch for ESC and keep the status bar. If this dies (another file, a closed window) the run goes on without
        it.
        """
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
        """Show only what is new, since showing it makes Blender draw."""
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
    """Make the matte of the frame you look at. The frames between the nearest mask and this one are
    computed too"""

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
    """Stop after the current frame. Finished mattes stay, and Matte goes on from there"""

    bl_idname = "matanyone.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        return session.active() is not None

    def execute(self, context):
        session.cancel()
        return {"FINISHED"}


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
            return report(self, error)
        return asked(self)


class MATANYONE_OT_submit(bpy.types.Operator):
    """Write the masks and a job file beside the output, and hand it to the Flamenco Manager of the preferences. Its
    workers must see plate and output under the same names"""

    bl_idname = "matanyone.submit"
    bl_label = "Submit to Flamenco"
    segments: IntProperty(
        name="Workers",
        default=3,
        min=1,
        max=1000,
        description="Most workers that share the shot: it is split into so many parts",
    )

    def execute(self, context):
        try:
            session.submit(context.scene, scene.job_file(context.scene.matanyone), chosen.own().flamenco, self.segments)
        except WireError as error:
            return report(self, error)
        return asked(self)


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
        if self.what == "START" and not chosen.own().program:
            self.report({"ERROR"}, "Name the engine's program first")
            return {"CANCELLED"}
        session.now.test = "asking ..."
        try:
            session.ask(lambda client: (client.call(message), client.pump.welcome), _answered, tell="test")
        except WireError as error:
            session.now.test = session.told(error)
            return report(self, error)
        return asked(self)


def _answered(value):
    told, welcome = value
    if isinstance(told, say.StatusReport):
        models = ", ".join(welcome.models) if welcome else "not said"
        session.now.test = (
            f"engine {told.engine} on {told.device}, process {told.pid}, up {plan.tell_time(told.uptime_s)}, "
            f"{told.activity}; models: {models}"
        )
    else:
        session.now.test = "the engine ends; every session is on disk"


CLASSES = (
    MATANYONE_OT_matte,
    MATANYONE_OT_matte_frame,
    MATANYONE_OT_rerun,
    MATANYONE_OT_cancel,
    MATANYONE_OT_save_job,
    MATANYONE_OT_submit,
    MATANYONE_OT_engine,
)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
