# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar panels of the Clip, Image and compositor editors, and the preferences. They read; they change nothing."""

from __future__ import annotations

import bpy

from . import plan, session

_CATEGORY = "MatAnyone"


class MATANYONE_UL_objects(bpy.types.UIList):
    """Objects that are followed."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon="HIDE_ON" if item.rival else "USER")
        row.label(text=f"{len(item.keys)} masks" if len(item.keys) != 1 else "1 mask")


class _Panel:
    """Common to all: where it is."""

    bl_region_type = "UI"
    bl_category = _CATEGORY

    @classmethod
    def poll(cls, context):
        space = context.space_data
        return getattr(space, "tree_type", "CompositorNodeTree") == "CompositorNodeTree"


class _Main(_Panel):
    """The run: what an artist looks at most."""

    bl_label = "MatAnyone"

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_plate(layout, context, shot)
        _draw_run(layout, shot)


def _draw_plate(layout, context, shot):
    layout.operator("matanyone.plate_from_editor", icon="EYEDROPPER")
    layout.prop(shot, "name")
    layout.row().prop(shot, "plate", expand=True)
    if shot.plate == "CLIP":
        layout.prop(shot, "clip")
    else:
        layout.prop(shot, "image")
        layout.prop(shot, "scene_start")


def _draw_run(layout, shot):
    run = session.active()
    column = layout.column(align=True)
    column.use_property_split = False
    if run is not None:
        _draw_progress(column, run)
        column.operator("matanyone.cancel", icon="CANCEL")
        return
    big = column.row()
    big.scale_y = 1.4
    changed = session.stale(shot)
    if changed:
        big.operator("matanyone.rerun", icon="FILE_REFRESH")
    else:
        big.operator("matanyone.matte", icon="PLAY")
    column.operator("matanyone.matte_frame", icon="IMAGE_DATA")
    if changed:
        column.label(text=f"Out of date: {' and '.join(changed)} changed", icon="ERROR")
    elif shot.record:
        column.label(text="Up to date", icon="CHECKMARK")
    _draw_last(layout, session.now.run)


def _draw_progress(column, run):
    text = session.status(run)
    factor = run.done / run.of if run.of else 0.0
    column.progress(factor=factor, text=text)


def _draw_last(layout, run):
    """How the last run ended, and what to look at."""
    if run is None or run.over is None:
        return
    icon = {"finished": "CHECKMARK", "cancelled": "INFO"}.get(run.over.outcome, "ERROR")
    _lines(layout, session.status(run), icon)
    if run.over.action:
        _lines(layout, run.over.action, "BLANK1")
    for warning in run.warnings[:3]:
        _lines(layout, warning, "ERROR")
    doubtful = plan.doubtful(run.sure)
    if doubtful:
        row = layout.row(align=True)
        row.label(text="Look at", icon="VIEWZOOM")
        for frame in doubtful:
            row.operator("matanyone.key_jump", text=str(frame)).frame = frame


def _lines(layout, text, icon, width=46):
    """A sentence in lines that a sidebar can hold."""
    column = layout.column(align=True)
    line = ""
    for word in text.split():
        if line and len(line) + len(word) > width:
            column.label(text=line, icon=icon)
            line, icon = "", "BLANK1"
        line = f"{line} {word}".strip()
    column.label(text=line, icon=icon)


class _Masks(_Panel):
    """Objects and their masks."""

    bl_label = "Masks"

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        row = layout.row()
        row.template_list("MATANYONE_UL_objects", "", shot, "objects", shot, "object_index", rows=2)
        buttons = row.column(align=True)
        buttons.operator("matanyone.object_add", icon="ADD", text="")
        buttons.operator("matanyone.object_remove", icon="REMOVE", text="")
        if 0 <= shot.object_index < len(shot.objects):
            _draw_object(layout, shot.objects[shot.object_index])
        layout.operator("matanyone.key_add", icon="MOD_MASK")
        if context.space_data.type != "NODE_EDITOR":
            layout.operator("matanyone.point", icon="SELECT_SET")
        if session.now.test:
            _lines(layout, session.now.test, "INFO")


def _draw_object(layout, each):
    row = layout.row(align=True)
    row.prop(each, "rival", toggle=True)
    row.prop(each, "use_life", toggle=True)
    if each.use_life:
        row.prop(each, "first")
        row.prop(each, "last")
    for index, key in enumerate(each.keys):
        pair = layout.column(align=True)
        row = pair.row(align=True)
        row.prop(key, "frame")
        row.operator("matanyone.key_jump", icon="TRACKING_FORWARDS_SINGLE", text="").frame = key.frame
        row.operator("matanyone.key_remove", icon="X", text="").index = index
        row = pair.row(align=True)
        row.prop(key, "source", text="", icon_only=True)
        row.prop(key, "mask" if key.source == "MASK" else "image", text="")


class _Settings(_Panel):
    """Colour, model, quality, output."""

    bl_label = "Settings"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        row = layout.row(align=True)
        for name, (label, *_) in plan.PRESETS.items():
            row.operator("matanyone.preset", text=label).preset = name
        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_input(layout, shot)
        _draw_quality(layout, shot)
        layout.prop(shot, "out")
        layout.prop(shot, "foreground")
        layout.operator("matanyone.save_job", icon="FILE_TICK")


def _draw_input(layout, shot):
    layout.prop(shot, "use_range")
    if shot.use_range:
        layout.prop(shot, "first")
        layout.prop(shot, "last")
    layout.prop(shot, "skip_missing")
    layout.prop(shot, "color")
    source = shot.clip if shot.plate == "CLIP" else shot.image
    if shot.color == "NAME":
        layout.prop(shot, "color_name")
    elif shot.color == "BLENDER" and source is not None:
        layout.label(text=source.colorspace_settings.name, icon="COLOR")


def _draw_quality(layout, shot):
    layout.prop(shot, "model")
    layout.label(text=plan.LICENCES.get(shot.model, "licence: as its makers say"), icon="INFO")
    for name in ("working_size", "refine", "region"):
        layout.prop(shot, name)
    if shot.region == "box":
        layout.prop(shot, "box")
    for name in ("mask_grow", "exposure", "settle_passes"):
        layout.prop(shot, name)


def draw_preferences(chosen, layout):
    """Of the add-on."""
    layout.use_property_split = True
    layout.row().prop(chosen, "engine", expand=True)
    if chosen.engine == "LOCAL":
        layout.prop(chosen, "program")
    layout.prop(chosen, "connection")
    if chosen.engine == "REMOTE":
        layout.prop(chosen, "client_key")
    row = layout.row(align=True)
    for what in ("TEST", "START", "STOP") if chosen.engine == "LOCAL" else ("TEST",):
        row.operator("matanyone.engine", text=what.title()).what = what
    if session.now.test:
        _lines(layout, session.now.test, "INFO", width=90)


def _in_editors(part, mixin, parent=""):
    """A panel class for each editor."""
    made = []
    for space in ("CLIP_EDITOR", "IMAGE_EDITOR", "NODE_EDITOR"):
        name = f"MATANYONE_PT_{part}_{space.lower()}"
        body = {"bl_space_type": space, "bl_idname": name}
        if parent:
            body["bl_parent_id"] = f"MATANYONE_PT_{parent}_{space.lower()}"
        made.append(type(name, (mixin, bpy.types.Panel), body))
    return made


CLASSES = (
    MATANYONE_UL_objects,
    *_in_editors("main", _Main),
    *_in_editors("masks", _Masks, "main"),
    *_in_editors("settings", _Settings, "main"),
)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
