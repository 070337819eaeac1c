# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets an artist choose the engine: the one of this user and machine, or another one. Nothing here asks the network."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from . import session
from .layouts import lines
from .properties import beside_the_blend


class MatAnyonePreferences(bpy.types.AddonPreferences):
    """Holds what is kept in Blender's preferences: paths of secrets, never secrets."""

    bl_idname = __package__

    engine: EnumProperty(
        name="Engine",
        items=(
            ("LOCAL", "On This Machine", "Use the engine of this user, and start it when needed", 0),
            ("REMOTE", "Named by a File", "Use the engine that a connection file names, on any machine", 1),
        ),
        description="Which engine computes the mattes. It is a program of its own, beside Blender",
    )
    program: StringProperty(
        name="Program",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="The engine's program: matanyone-engine, or the Python that it is installed in. "
        "Leave it blank if somebody else starts the engine",
    )
    precision: EnumProperty(
        name="Precision",
        items=(
            (
                "auto",
                "Auto",
                "Fast where this machine was measured to be faster that way and the model was checked to be as good; "
                "else Exact",
                0,
            ),
            ("exact", "Exact", "Compute everything in 32-bit floats: slower, and the reference for the others", 1),
            (
                "fast",
                "Fast",
                "Compute most of it in 16-bit floats, also with models of which nobody has checked that it does no "
                "harm. Where the processor or graphics card cannot do that, Matte says so",
                2,
            ),
        ),
        description="How exactly the engine computes that Blender starts. An engine that runs already stays as it is: "
        "press Stop, then Start",
    )
    connection: StringProperty(
        name="Connection File",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="Connection file that 'matanyone-engine serve' names when it starts. "
        "Leave it blank for your own engine on this machine",
    )
    client_key: StringProperty(
        name="Client Key",
        subtype="FILE_PATH",
        options=beside_the_blend(),
        description="The .key_secret file of 'matanyone-engine keys add', for an engine on another machine",
    )

    flamenco: StringProperty(
        name="Flamenco",
        default="http://localhost:8080",
        description="Address of the Flamenco Manager that Submit to Flamenco hands jobs to",
    )

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.row().prop(self, "engine", expand=True)
        if self.engine == "LOCAL":
            layout.prop(self, "program")
            if self.program:  # an engine that somebody else starts computes as he has told it
                layout.row().prop(self, "precision", expand=True)
        layout.prop(self, "connection")
        if self.engine == "REMOTE":
            layout.prop(self, "client_key")
        row = layout.row(align=True)
        for what in ("TEST", "START", "STOP") if self.engine == "LOCAL" else ("TEST",):
            row.operator("matanyone.engine", text=what.title()).what = what
        layout.prop(self, "flamenco")
        if session.now.test:
            lines(layout, session.now.test, "INFO", context.region.width)


def register():
    bpy.utils.register_class(MatAnyonePreferences)


def unregister():
    bpy.utils.unregister_class(MatAnyonePreferences)
