# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the buttons that set a shot up: its plate, its objects, their masks, the quality."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from . import edges, mask_import, outline, plan, scene, shape_files, splines
from .engine.wire.errors import WireError
from .reporting import report


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
        path = scene.full(source.filepath, source.library)
        shot.name = plan.name_of(found.pattern if found else path, path, _names_of_other_scenes(shot))
    if not shot.objects:
        shot.objects.add()


def _names_of_other_scenes(shot):
    return {other.matanyone.name for other in bpy.data.scenes if other != shot.id_data}


class MATANYONE_OT_match_scene(bpy.types.Operator):
    """Set the scene's size, frame rate and frame range to those of the plate"""

    bl_idname = "matanyone.match_scene"
    bl_label = "Match Scene to Plate"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        home, shot = context.scene, context.scene.matanyone
        try:
            plate, size = scene.plate_of(shot), scene.size_of(shot)
        except WireError as error:
            return report(self, error)
        render, frames = home.render, plate.frames()
        render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
        if frames:
            home.frame_start, home.frame_end = (plate.time.scene_frame(frame) for frame in (frames[0], frames[-1]))
        rate = shot.clip.fps if shot.plate == "CLIP" else 0.0  # an image does not say
        if rate > 0:
            render.fps = max(1, round(rate))
            render.fps_base = render.fps / rate
        return {"FINISHED"}


class MATANYONE_OT_object_add(bpy.types.Operator):
    """Follow one more object, with masks and a matte of its own. The output gets {object} where its name belongs"""

    bl_idname = "matanyone.object_add"
    bl_label = "Add Object"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        shot = context.scene.matanyone
        taken = {each.name for each in shot.objects}
        added = shot.objects.add()
        if taken:
            added.name = next(name for name in (f"object_{n}" for n in range(2, 1000)) if name not in taken)
            shot.out = shot.out if shot.files in plan.HOLDS_ALL else plan.with_object(shot.out)
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


class MATANYONE_OT_edges_reset(bpy.types.Operator):
    """Set the edge controls of the selected object back, so that its alphas are as the network made them"""

    bl_idname = "matanyone.edges_reset"
    bl_label = "Reset Edges"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return scene.selected(context.scene.matanyone) is not None

    def execute(self, context):
        controls = scene.selected(context.scene.matanyone).edges
        for name in edges.CONTROLS:
            setattr(controls, name, getattr(edges.NO_EDGES, name))
        return {"FINISHED"}


class MATANYONE_OT_key_add(bpy.types.Operator):
    """Use the editor's mask as it is on the frame you look at. With masks on several frames, the alphas in between
    are blended of both"""

    bl_idname = "matanyone.key_add"
    bl_label = "Add Mask at This Frame"
    bl_options = {"REGISTER", "UNDO"}
    copy: BoolProperty(
        name="Use a Copy of It",
        default=True,
        description="Draw on a copy of the mask from now on, so that the mask of the other frame stays as it is",
    )

    def invoke(self, context, event):
        try:
            _, mask = _new_key(context)
        except WireError as error:
            return report(self, error)
        if not _frames_that_share(context.scene.matanyone, mask):
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(self, width=420)

    def draw(self, context):
        shot, mask = context.scene.matanyone, context.space_data.mask
        for text in _about_sharing(shot, mask):
            self.layout.label(text=text)
        self.layout.prop(self, "copy")

    def execute(self, context):
        shot = context.scene.matanyone
        try:
            frame, mask = _new_key(context)
        except WireError as error:
            return report(self, error)
        if self.copy and _frames_that_share(shot, mask):
            mask = mask.copy()
            mask.animation_data_clear()
            context.space_data.mask = mask
            self.report({"INFO"}, f"{mask.name} is a copy: what you draw from now on is for frame {frame} only")
        if not shot.objects:
            shot.objects.add()
        each = shot.objects[shot.object_index]
        key = each.keys.add()
        key.frame, key.mask = frame, mask
        key.looks = outline.looks(mask)
        each.key_index = len(each.keys) - 1
        return {"FINISHED"}


def _new_key(context):
    """Return the plate frame at hand and the mask that the editor shows. Raises WireError where they cannot become a
    key.
    """
    shot = context.scene.matanyone
    frame = scene.plate_of(shot).time.plate_frame(context.scene.frame_current)
    mask = getattr(context.space_data, "mask", None)
    if mask is None:
        raise plan.refused(
            "expected a mask in this editor, got none",
            "Go to the Movie Clip or Image editor's Mask mode, and draw around the subject or choose a mask there.",
        )
    keys = shot.objects[shot.object_index].keys if shot.objects else ()
    if any(key.frame == frame for key in keys):
        raise plan.refused(
            f"expected a frame without a mask, got {frame}, which has one",
            "Edit that mask, or remove it from the list first.",
        )
    return frame, mask


def _frames_that_share(shot, mask):
    """Return the frames on which a mask is used already and looks as it does here: it is not animated between them."""
    when = scene.plate_of(shot).time
    keys = [key for each in shot.objects for key in each.keys if key.source == "MASK" and key.mask == mask]
    here = shot.id_data.frame_current
    looks = outline.looks_on(mask, {here, *(when.scene_frame(key.frame) for key in keys)}) if keys else {}
    return sorted(key.frame for key in keys if looks[when.scene_frame(key.frame)] == looks[here])


def _about_sharing(shot, mask):
    """Return what the artist should know before one mask is used on two frames."""
    frames = _frames_that_share(shot, mask)
    yield f"{mask.name} is used on {plan.tell_frames(frames)} already, and it is not animated."
    keys = [key for each in shot.objects for key in each.keys if key.mask == mask and key.frame in frames]
    if any(key.looks and key.looks != outline.looks(mask) for key in keys):
        yield "It was changed since it was added there: with Ctrl Z you get the old one back."


class MATANYONE_OT_key_remove(bpy.types.Operator):
    """Take this mask out of the list, so that its frame is no key any more. The mask itself stays in the file"""

    bl_idname = "matanyone.key_remove"
    bl_label = "Remove Mask"
    bl_options = {"REGISTER", "UNDO"}
    index: IntProperty()

    def execute(self, context):
        shot = context.scene.matanyone
        shot.objects[shot.object_index].keys.remove(self.index)
        return {"FINISHED"}


class MATANYONE_OT_key_to_spline(bpy.types.Operator):
    """Make a Mask datablock of the mask's picture: its outline with few points, which you can edit. The picture stays,
    so that you can go back to it"""

    bl_idname = "matanyone.key_to_spline"
    bl_label = "Make Editable"
    bl_options = {"REGISTER", "UNDO"}
    index: IntProperty()

    def execute(self, context):
        shot = context.scene.matanyone
        key = shot.objects[shot.object_index].keys[self.index]
        try:
            mask = splines.mask_of(key.image)
        except WireError as error:
            return report(self, error)
        key.source, key.mask = "MASK", mask
        if getattr(context.space_data, "type", "") in {"CLIP_EDITOR", "IMAGE_EDITOR"}:
            context.space_data.mode, context.space_data.mask = "MASK", mask
        return {"FINISHED"}


class MATANYONE_OT_import_shapes(bpy.types.Operator):
    """Make a Mask datablock of shapes that 'matanyone-engine shapes' has written as .json: animated splines with few
    points, which you can edit"""

    bl_idname = "matanyone.import_shapes"
    bl_label = "Import as Mask"
    bl_options = {"REGISTER", "UNDO"}
    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        file = Path(bpy.path.abspath(self.filepath))
        try:
            shapes = shape_files.read(file)
        except WireError as error:
            return report(self, error)
        shot = context.scene.matanyone
        source = shot.clip if shot.plate == "CLIP" else shot.image
        scene_frame = scene.time_of(shot, source).scene_frame if source else int
        mask = mask_import.mask_of(context, shapes, file.stem, scene_frame)
        if getattr(context.space_data, "type", "") in {"CLIP_EDITOR", "IMAGE_EDITOR"}:
            context.space_data.mode, context.space_data.mask = "MASK", mask
        return {"FINISHED"}


class MATANYONE_OT_show_result(bpy.types.Operator):
    """Show the plate in this editor, with the matte over it"""

    bl_idname = "matanyone.show_result"
    bl_label = "Show Result"

    def execute(self, context):
        shot, space = context.scene.matanyone, context.space_data
        if space.type == "CLIP_EDITOR" and shot.clip is not None:
            space.clip = shot.clip
        elif space.type == "IMAGE_EDITOR" and shot.image is not None:
            space.image = shot.image
        if shot.show == "OFF":
            shot.show = "RED"
        return {"FINISHED"}


class MATANYONE_OT_key_jump(bpy.types.Operator):
    """Go to this frame of the plate"""

    bl_idname = "matanyone.key_jump"
    bl_label = "Go to Frame"
    frame: IntProperty()

    def execute(self, context):
        try:
            # Not frame_set(): Blender would leave the Movie Clip editor on the frame that it shows.
            context.scene.frame_current = scene.plate_of(context.scene.matanyone).time.scene_frame(self.frame)
        except WireError as error:
            return report(self, error)
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


class MATANYONE_OT_model(bpy.types.Operator):
    """Make the alphas with this model"""

    bl_idname = "matanyone.model"
    bl_label = "Model"
    bl_options = {"REGISTER", "UNDO"}
    name: StringProperty()

    def execute(self, context):
        context.scene.matanyone.model = self.name
        return {"FINISHED"}


class MATANYONE_OT_model_file(bpy.types.Operator):
    """Make the alphas with the weights in a file. The engine must be allowed to read it"""

    bl_idname = "matanyone.model_file"
    bl_label = "Weights in a File"
    bl_options = {"REGISTER", "UNDO"}
    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.safetensors;*.pth", options={"HIDDEN"})

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        context.scene.matanyone.model = scene.full(self.filepath)
        return {"FINISHED"}


CLASSES = (
    MATANYONE_OT_plate_from_editor,
    MATANYONE_OT_match_scene,
    MATANYONE_OT_object_add,
    MATANYONE_OT_object_remove,
    MATANYONE_OT_edges_reset,
    MATANYONE_OT_key_add,
    MATANYONE_OT_key_remove,
    MATANYONE_OT_key_jump,
    MATANYONE_OT_preset,
    MATANYONE_OT_model,
    MATANYONE_OT_model_file,
    MATANYONE_OT_key_to_spline,
    MATANYONE_OT_import_shapes,
    MATANYONE_OT_show_result,
)


register, unregister = bpy.utils.register_classes_factory(CLASSES)
