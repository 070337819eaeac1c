# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the sidebar panels of the Clip, Image and compositor editors. They read and change nothing."""

from __future__ import annotations

import bpy

from . import edges, nodes, plan, scene, session
from .layouts import lines

_CATEGORY = "MatAnyone"


class MATANYONE_UL_objects(bpy.types.UIList):
    """Lists the objects that are followed."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon="HIDE_ON" if item.rival else "USER")
        row.label(text=f"{len(item.keys)} masks" if len(item.keys) != 1 else "1 mask")


class _Panel:
    """Holds what all panels have in common: where they are."""

    bl_region_type = "UI"
    bl_category = _CATEGORY

    @classmethod
    def poll(cls, context):
        space = context.space_data
        return getattr(space, "tree_type", "CompositorNodeTree") == "CompositorNodeTree"


class _Main(_Panel):
    """Shows the plate and the run, which an artist looks at most."""

    bl_label = "MatAnyone"

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_plate(layout, shot)
        _draw_run(layout, context)


def _draw_plate(layout, shot):
    layout.operator("matanyone.plate_from_editor", icon="EYEDROPPER")
    layout.prop(shot, "name")
    layout.row().prop(shot, "plate", expand=True)
    if shot.plate == "CLIP":
        layout.prop(shot, "clip")
    else:
        layout.prop(shot, "image")
        layout.prop(shot, "scene_start")
    layout.operator("matanyone.match_scene", icon="SCENE_DATA")


def _draw_run(layout, context):
    shot, width = context.scene.matanyone, context.region.width
    column = layout.column(align=True)
    column.use_property_split = False
    if (run := session.active()) is not None:
        _draw_progress(column, run, ours=session.run_of(context.scene) is run)
        return
    big = column.row()
    big.scale_y = 1.4
    changed = session.stale(shot)
    if changed:
        big.operator("matanyone.rerun", icon="FILE_REFRESH")
    else:
        big.operator("matanyone.matte", icon="PLAY")
    column.operator("matanyone.matte_frame", icon="IMAGE_DATA")
    _draw_state(column, shot, changed, width)
    if nodes.tree_of(context.scene) is None and not shot.made:
        lines(layout, "Matte also makes a compositor: F12 then renders the plate times alpha.", "INFO", width)
    _draw_last(layout, session.run_of(context.scene), width)
    if shot.made and context.space_data.type != "NODE_EDITOR":
        row = layout.row(align=True)
        row.operator("matanyone.show_result", icon="HIDE_OFF")
        row.prop(shot, "show", text="")


def _draw_progress(column, run, ours):
    """Draw the run that is under way, perhaps one of another scene."""
    if not ours:
        column.label(text=f"A matte of {run.scene[2]} is being made", icon="INFO")
    column.progress(factor=run.done / run.of if run.of else 0.0, text=session.status(run))
    column.operator("matanyone.cancel", icon="CANCEL")


def _draw_state(column, shot, changed, width):
    """Draw whether what is on disk is what the settings, masks and plate would give now."""
    made = plan.made_from(shot.made)
    if changed:
        lines(column, f"Out of date: {' and '.join(changed)} changed", "ERROR", width)
    elif shot.record and session.is_known(shot):
        column.label(text="Up to date", icon="CHECKMARK")
    elif made is not None and made.outcome != "finished":
        lines(column, f"Not finished: {len(made.frames)} mattes are there", "ERROR", width)


def _draw_last(layout, run, width):
    """Draw how the last run of this scene ended, and what to look at."""
    if run is None or run.over is None:
        return
    icon = {"finished": "CHECKMARK", "cancelled": "INFO"}.get(run.over.outcome, "ERROR")
    lines(layout, session.status(run), icon, width)
    if run.over.action:
        lines(layout, session.in_blender(run.over.action), "BLANK1", width)
    for warning in run.warnings[:3]:
        lines(layout, warning, "ERROR", width)
    doubtful = plan.doubtful(run.sure)
    if doubtful:
        row = layout.row(align=True)
        row.label(text="Look at", icon="VIEWZOOM")
        for frame in doubtful:
            row.operator("matanyone.key_jump", text=str(frame)).frame = frame
        for said in plan.told_reasons(doubtful, run.reasons):
            lines(layout, said, "BLANK1", width)


class _Masks(_Panel):
    """Shows the objects and their masks."""

    bl_label = "Masks"

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        row = layout.row()
        row.template_list("MATANYONE_UL_objects", "", shot, "objects", shot, "object_index", rows=2)
        buttons = row.column(align=True)
        buttons.operator("matanyone.object_add", icon="ADD", text="")
        buttons.operator("matanyone.object_remove", icon="REMOVE", text="")
        each = scene.selected(shot)
        if each is not None:
            _draw_object(layout, each, context.region.width)
        layout.operator("matanyone.key_add", icon="MOD_MASK")
        if context.space_data.type != "NODE_EDITOR":
            layout.operator("matanyone.point", icon="SELECT_SET")
        if session.now.note:
            lines(layout, session.now.note, "INFO", context.region.width)


def _draw_object(layout, each, width):
    row = layout.row(align=True)
    row.prop(each, "rival", toggle=True)
    row.prop(each, "use_life", toggle=True)
    if each.use_life:
        row = layout.row(align=True)
        row.prop(each, "first")
        row.prop(each, "last")
    if not each.keys and (each.guide_mask or each.guide):
        lines(layout, "No mask: a frame of the guide stands in for one. A mask that you draw is better.", "INFO", width)
    for index, key in enumerate(each.keys):
        _draw_key(layout.column(align=True), key, index)


def _draw_key(pair, key, index):
    row = pair.row(align=True)
    row.prop(key, "frame")
    row.operator("matanyone.key_jump", icon="TRACKING_FORWARDS_SINGLE", text="").frame = key.frame
    row.operator("matanyone.key_remove", icon="X", text="").index = index
    row = pair.row(align=True)
    row.prop(key, "source", text="", icon_only=True)
    row.prop(key, "mask" if key.source == "MASK" else "image", text="")
    if key.source == "IMAGE":
        row.operator("matanyone.key_to_spline", icon="CURVE_BEZCIRCLE", text="").index = index


class _Constraints(_Panel):
    """Shows the masks of the selected object that count on every frame."""

    bl_label = "Guide, Inside, Outside"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        layout.use_property_split = True
        layout.use_property_decorate = False
        each = scene.selected(shot)
        if each is None:
            return
        for side in ("guide", "inside", "outside"):
            column = _draw_side(layout, each, side)
            if side == "guide" and (each.guide_mask or each.guide):
                column.prop(each, "guide_band")


def _draw_side(layout, each, side):
    """Draw the Mask of one side, or where there is none its files; return their column. side: of plan.CONSTRAINTS."""
    column = layout.column(align=True)
    column.prop(each, f"{side}_mask")
    if getattr(each, f"{side}_mask") is None:
        column.prop(each, side, text="or Files")
    return column


class _Area(_Panel):
    """Shows where the alpha of the selected object is refined: painted frames, a Mask, or files."""

    bl_label = "Refine Area"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        each = scene.selected(shot)
        if each is None:
            return
        if context.space_data.type != "NODE_EDITOR":
            layout.operator("matanyone.area_paint", icon="BRUSH_DATA")
        if each.areas:
            layout.prop(shot, "show_area")
        for index, area in enumerate(each.areas):
            row = layout.row(align=True)
            row.label(text=f"Painted on {area.frame}", icon="BRUSH_DATA")
            row.operator("matanyone.key_jump", icon="TRACKING_FORWARDS_SINGLE", text="").frame = area.frame
            row.operator("matanyone.area_remove", icon="X", text="").index = index
        layout.use_property_split = True
        layout.use_property_decorate = False
        if not each.areas or each.area_mask or each.area:
            _draw_side(layout, each, "area")


class _Edges(_Panel):
    """Shows the controls of the selected object's edges."""

    bl_label = "Edges"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        each = scene.selected(shot)
        if each is None:
            return
        if each.rival:
            layout.label(text="A distractor gets no matte", icon="INFO")
            return
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        for name in edges.CONTROLS:
            column.prop(each.edges, name)
        layout.prop(shot, "edges_at_once")
        layout.operator("matanyone.edges_reset", icon="LOOP_BACK")


class MATANYONE_MT_models(bpy.types.Menu):
    """Lists the models that the engine has, with their licences."""

    bl_idname = "MATANYONE_MT_models"
    bl_label = "Model"

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        for name, licence in plan.model_list(session.models(), shot.model):
            icon = "CHECKMARK" if name == shot.model else "BLANK1"
            layout.operator("matanyone.model", text=f"{plan.short(name)} ({licence})", icon=icon).name = name
        layout.separator()
        if not session.models():
            layout.operator("matanyone.engine", text="Ask the Engine Which It Has", icon="FILE_REFRESH").what = "TEST"
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("matanyone.model_file", text="Weights in a File ...", icon="FILE_FOLDER")


class _Settings(_Panel):
    """Colour, model, quality, output."""

    bl_label = "Settings"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, shot = self.layout, context.scene.matanyone
        row = layout.row(align=True)
        is_on = plan.preset_of(shot.working_size, shot.region)
        for name, (label, *_) in plan.PRESETS.items():
            row.operator("matanyone.preset", text=label, depress=name == is_on).preset = name
        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_input(layout, shot)
        _draw_quality(layout, context)
        layout.prop(shot, "out")
        _draw_files(layout, shot, context.region.width)
        layout.operator("matanyone.save_job", icon="FILE_TICK")
        layout.operator("matanyone.submit", icon="NETWORK_DRIVE")
        layout.operator("matanyone.import_shapes", icon="MOD_MASK")


def _draw_files(layout, shot, width):
    layout.prop(shot, "files")
    if shot.files == "cryptomatte" and not nodes.groups_take_cryptomatte():
        text = "This Blender allows no Cryptomatte node in a group: the group gives all objects together. For one of "
        text += f"them, add a Cryptomatte node that picks from the image MatAnyone: {shot.name}"
        lines(layout, text, "INFO", width)
    row = layout.row()
    row.enabled = shot.foreground or shot.files not in plan.HOLDS_ALL  # one that is on can be switched off
    row.prop(shot, "foreground")


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


def _draw_quality(layout, context):
    shot = context.scene.matanyone
    split = layout.split(factor=0.4)
    split.column().label(text="Model")
    split.menu("MATANYONE_MT_models", text=plan.short(shot.model))
    lines(layout, plan.about_model(shot.model, session.models()), "INFO", context.region.width)
    for name in ("working_size", "refine", "region"):
        layout.prop(shot, name)
    if shot.region == "box":
        layout.prop(shot, "box")
        if context.space_data.type != "NODE_EDITOR":
            layout.operator("matanyone.draw_region", icon="SELECT_SET")
    for name in ("mask_grow", "exposure", "auto_exposure", "settle_passes", "hold_tolerance"):
        layout.prop(shot, name)


def _in_editors(part, mixin, parent=""):
    """Make a panel class for each editor."""
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
    MATANYONE_MT_models,
    *_in_editors("main", _Main),
    *_in_editors("masks", _Masks, "main"),
    *_in_editors("constraints", _Constraints, "main"),
    *_in_editors("area", _Area, "main"),
    *_in_editors("edges", _Edges, "main"),
    *_in_editors("settings", _Settings, "main"),
)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
