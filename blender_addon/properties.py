# SPDX-License-Identifier: GPL-3.0-or-later
"""Declares what the scene keeps of a shot, which travels with the .blend. Tooltips say what a thing is for.

Rule of this file: identifiers never change, since .blend files hold them. What version 0.1.0 called rival and
settle_passes is called a distractor and warm-up passes everywhere else.
"""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)

from . import edge_update, edges, overlay, plan, scene
from .engine.wire.errors import WireError


def beside_the_blend():
    """Return the options of a file path that may begin with '//': Blender 5.2 shows it in red unless it is told so."""
    known = "is_path_supports_blend_relative" in bpy.types.Property.bl_rna.properties
    return {"PATH_SUPPORTS_BLEND_RELATIVE"} if known else set()


def _show_otherwise(shot, context):
    overlay.redraw()


def _name_each_object(shot, context):
    """Give each object files of its own where there are several, once they are not in one file any more."""
    if shot.files not in plan.HOLDS_ALL and len(shot.objects) > 1:
        shot.out = plan.with_object(shot.out)


def _fill_in_frames(limits, context):
    """Set first and last frame to those of the plate, where they were never set. limits: a shot, or one object."""
    if limits.is_property_set("first") or limits.is_property_set("last"):
        return
    try:
        plate = scene.plate_of(limits.id_data.matanyone)
    except WireError:  # there is no plate yet
        return
    limits.first, limits.last = plate.time.first, plate.time.first + plate.count - 1


class MatAnyoneKey(bpy.types.PropertyGroup):
    """Holds a mask on one frame of the plate."""

    frame: IntProperty(name="Frame", description="Plate frame that the mask was drawn on, as in the file's name")
    source: EnumProperty(
        name="Source",
        items=(
            (
                "MASK",
                "Mask",
                "A Mask datablock of the Clip or Image editor: feather and animation count",
                "MOD_MASK",
                0,
            ),
            ("IMAGE", "Image", "A painted or loaded image: its alpha, or its grey where it has none", "IMAGE_DATA", 1),
        ),
        description="What the mask of this frame is taken from",
    )
    mask: PointerProperty(type=bpy.types.Mask, name="Mask", description="Roto of the subject on this frame")
    image: PointerProperty(
        type=bpy.types.Image, name="Image", description="Image of the plate's size, white on the subject"
    )
    pointing: StringProperty(options={"HIDDEN"}, description="Box and clicks that the mask was made of")
    looks: StringProperty(options={"HIDDEN"}, description="Digest of the mask when it was added")


class MatAnyoneArea(bpy.types.PropertyGroup):
    """Holds an area that was painted over one plate frame."""

    frame: IntProperty(name="Frame", description="Plate frame that the area was painted on")
    strokes: StringProperty(options={"HIDDEN"}, description="The strokes, as brush.py reads them")


def _edges_turned(controls, context):
    edge_update.turned(controls.id_data)


def _edges_at_once(shot, context):
    edge_update.turned(shot.id_data)


def _edge_property(name):
    """Return the property of an edge control, with the engine's range and default."""
    control = edges.CONTROLS[name]
    least, most = edges.limits_of(name)
    default = getattr(edges.NO_EDGES, name)
    soft_least, soft_most = control.often or (least, most)
    about = {"name": control.label, "description": control.tooltip, "min": least, "max": most, "default": default}
    about |= {"soft_min": soft_least, "soft_max": soft_most, "update": _edges_turned}
    if isinstance(default, int):
        return IntProperty(**about, subtype="PIXEL")
    unit = "PIXEL" if control.pixels else "NONE" if control.often else "FACTOR"
    return FloatProperty(**about, subtype=unit, precision=2, step=5 if unit == "FACTOR" else 10)


class MatAnyoneEdges(bpy.types.PropertyGroup):
    """Holds what is done to the edges of an object's alphas before they are written."""

    # Each is written out: in Blender 4.2, a class whose __annotations__ are assigned as a dict is never freed, and the
    # bpy module then crashes when its process ends after the extension was uninstalled.
    deflicker: _edge_property("deflicker")
    despeckle: _edge_property("despeckle")
    solidify: _edge_property("solidify")
    black_clip: _edge_property("black_clip")
    white_clip: _edge_property("white_clip")
    black_knee: _edge_property("black_knee")
    white_knee: _edge_property("white_knee")
    gamma: _edge_property("gamma")
    edge_grow: _edge_property("edge_grow")
    edge_blur: _edge_property("edge_blur")


class MatAnyoneObject(bpy.types.PropertyGroup):
    """Holds somebody or something that is followed."""

    name: StringProperty(
        name="Name",
        default=plan.SUBJECT,
        description="Name of the object, of letters, digits and _. File names contain it",
    )
    rival: BoolProperty(
        name="Distractor",
        description="This object is followed only to keep the others off it, such as a twin who crosses. It gets no "
        "matte",
    )
    use_life: BoolProperty(
        name="Limit",
        description="The object is to be seen on a part of the shot only. Its alpha is 0 elsewhere",
        update=_fill_in_frames,
    )
    first: IntProperty(name="From", default=1, description="First plate frame it is to be seen on")
    last: IntProperty(name="To", default=100, description="Last plate frame it is to be seen on")
    inside: StringProperty(
        name="Inside",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="Mask files of where the object is for certain, whatever the network thinks. A name with #### is a "
        "file for each plate frame, one without is a file for all",
    )
    outside: StringProperty(
        name="Outside",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="Mask files of where the object certainly is not. A name with #### is a "
        "file for each plate frame, one without is a file for all",
    )
    inside_mask: PointerProperty(
        type=bpy.types.Mask,
        name="Inside",
        description="Mask of where the object is for certain, whatever the network thinks. It counts on every frame, "
        "as it is shown there",
    )
    outside_mask: PointerProperty(
        type=bpy.types.Mask,
        name="Outside",
        description="Mask of where the object certainly is not. It counts on every frame, as it is shown there",
    )
    guide_mask: PointerProperty(
        type=bpy.types.Mask,
        name="Guide",
        description="Rough animated mask that keeps the network near the object and leaves the edge to it. It counts "
        "on every frame, as it is shown there; frames on which it is empty are computed without it",
    )
    guide: StringProperty(
        name="Guide",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="Rough masks such as a tracker writes them: a name with ####. Frames may be missing",
    )
    guide_band: IntProperty(
        name="Band",
        min=0,
        max=1024,
        default=0,
        subtype="PIXEL",
        description="Pixels by which the guide's edge may be wrong. 0 is a sixteenth of the plate's shorter side",
    )
    area_mask: PointerProperty(
        type=bpy.types.Mask,
        name="Area",
        description="Mask of where the alpha is solved again along the plate's own detail, such as hair. It counts on "
        "every frame, as it is shown there; frames on which it is empty stay as they are",
    )
    area: StringProperty(
        name="Area",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="Mask files of where the alpha is solved again: a name with ####. Frames may be missing",
    )
    areas: CollectionProperty(type=MatAnyoneArea)
    edges: PointerProperty(type=MatAnyoneEdges)
    keys: CollectionProperty(type=MatAnyoneKey)
    key_index: IntProperty()
    group: PointerProperty(type=bpy.types.NodeTree, description="Node group that shows its alphas")


class MatAnyoneShot(bpy.types.PropertyGroup):
    """Holds one plate and its mattes."""

    name: StringProperty(
        name="Name", description="Name of the shot. The node group has it, and it takes the place of {shot} in Output"
    )
    plate: EnumProperty(
        name="Plate",
        items=(
            ("CLIP", "Movie Clip", "A movie clip or image sequence of the Clip editor", 0),
            ("IMAGE", "Image", "An image sequence or movie of the Image editor", 1),
        ),
        description="Where Blender has the plate",
    )
    clip: PointerProperty(type=bpy.types.MovieClip, name="Clip", description="The plate, as the Clip editor has it")
    image: PointerProperty(type=bpy.types.Image, name="Image", description="The plate, as the Image editor has it")
    scene_start: IntProperty(
        name="Starts At",
        default=1,
        description="Scene frame that shows the plate's first file. Plate frames keep the numbers of their files",
    )
    use_range: BoolProperty(
        name="Range",
        description="Write alphas of a part of the plate only",
        update=_fill_in_frames,
    )
    first: IntProperty(name="Start", default=1, description="First plate frame to get an alpha")
    last: IntProperty(name="End", default=100, description="Last plate frame to get an alpha")
    skip_missing: BoolProperty(
        name="Skip Missing",
        description="Matte the frames that are there, although others of the plate are missing. Off, Matte stops and "
        "names those that are missing",
    )
    objects: CollectionProperty(type=MatAnyoneObject)
    object_index: IntProperty()
    color: EnumProperty(
        name="Color",
        items=(
            ("BLENDER", "As in Blender", "What the plate's Color Space is set to in Blender", 0),
            ("FILE", "From File", "What the file says of itself, else linear Rec.709 for EXR and sRGB for the rest", 1),
            ("NAME", "Named", "An OpenColorIO name, such as ACEScg or ARRI LogC4, that Blender may not know", 2),
        ),
        description="Colour space of the plate. It decides what the network sees; plate values are never changed",
    )
    color_name: StringProperty(name="Space", description="Name as 'matanyone-engine inspect --colorspaces' lists it")
    model: StringProperty(
        name="Model",
        default="mini",
        description="The weights that make the alphas: one of the engine's models by its name, or a file by its path",
    )
    working_size: IntProperty(
        name="Lines",
        min=0,
        default=0,
        description="Shortest side that is computed. 0 is the model's own size: 432 lines for mini, all of the plate "
        "for matanyone and matanyone2. Alphas always come at the plate's size",
    )
    refine: BoolProperty(
        name="Refine",
        default=True,
        description="Where fewer lines are computed than the plate has, enlarge the alpha along the plate's own "
        "detail. Off, it is enlarged smoothly, which blurs fine edges",
    )
    region: EnumProperty(
        name="Region",
        items=(
            ("off", "Whole Frame", "Everything is computed", 0),
            ("follow", "Follow Subject", "A window around the subject, which moves and grows with it: faster", 1),
            ("box", "Box", "Your own box; the alpha is 0 outside of it", 2),
        ),
        default="off",
        description="Which part of the frame is computed. Outside of it the alpha is 0",
    )
    box: IntVectorProperty(
        name="Box",
        size=4,
        default=(0, 0, 1920, 1080),
        description="Left, top, right, bottom in plate pixels from the top left",
    )
    settle_passes: IntProperty(
        name="Warm-Up",
        min=-1,
        max=50,
        default=-1,
        description="How many times the network looks at a frame with a mask again before it goes on, so that it "
        "remembers its own view of the subject. -1 takes what suits the model",
    )
    exposure: FloatProperty(
        name="Exposure",
        min=-16,
        max=16,
        description="Stops by which the network sees the plate brighter; nothing else changes",
    )
    auto_exposure: BoolProperty(
        name="Auto Exposure",
        default=True,
        description="Give very dark and overbright plates an exposure by themselves, where Exposure is 0. Ordinary "
        "plates stay as they are",
    )
    mask_grow: IntProperty(
        name="Grow Mask", min=-200, max=200, description="Pixels by which masks are grown; negative shrinks them"
    )
    hold_tolerance: FloatProperty(
        name="Hold Frames",
        min=0.0,
        max=1.0,
        precision=4,
        description="A frame that differs from the one before by no more than this gets the same alpha, as in "
        "animation on twos. At 0, both have to be equal bit for bit",
    )
    foreground: BoolProperty(
        name="Own Color",
        description="Write the subject's own color beside the alpha, without the old background's light in soft edges; "
        "the node group gives that instead of the plate's. It is an estimate: it needs a good alpha, and takes longer",
    )
    files: EnumProperty(
        name="Files",
        items=[(name, label, tip, number) for number, (name, (label, tip)) in enumerate(plan.LAYOUTS.items())],
        default="matte",
        description="How several objects are laid out in the files on disk",
        update=_name_each_object,
    )
    out: StringProperty(
        name="Output",
        subtype="FILE_PATH",
        default="//matte/{shot}/{shot}.####.exr",
        options=beside_the_blend(),
        description="#### is the plate's frame number. {shot}, {object} and {version:03d} are replaced",
    )
    show: EnumProperty(
        name="Overlay",
        items=overlay.MODES,
        default="RED",
        description="How the matte is shown over the plate, in the Movie Clip and Image editors",
        update=_show_otherwise,
    )
    show_area: BoolProperty(
        name="Show Painted Area",
        default=True,
        description="Outline in blue what was painted on this frame, in the Movie Clip and Image editors",
        update=_show_otherwise,
    )
    edges_at_once: BoolProperty(
        name="Update at Once",
        default=True,
        description="Write the mattes anew a moment after a control was turned, if nothing else has changed. The "
        "network does not run for it. Off, press Re-run Changed Stretch",
        update=_edges_at_once,
    )
    record: StringProperty()
    made: StringProperty()


CLASSES = (MatAnyoneKey, MatAnyoneArea, MatAnyoneEdges, MatAnyoneObject, MatAnyoneShot)


def register():
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.matanyone = PointerProperty(type=MatAnyoneShot)


def unregister():
    del bpy.types.Scene.matanyone
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
