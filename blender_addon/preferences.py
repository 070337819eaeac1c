# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine: this user's own on this machine, or another one. Nothing here is asked of the network."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .target import Target, command_for


class MatAnyonePreferences(bpy.types.AddonPreferences):
    """Kept in Blender's preferences; paths of secrets, never secrets."""

    bl_idname = __package__

    engine: EnumProperty(
        name="Engine",
        items=(
            ("LOCAL", "On This Machine", "Use the engine of this user, and start it when needed", 0),
            ("REMOTE", "Named by a File", "Use the engine that a connection file names, on any machine", 1),
        ),
    )
    program: StringProperty(
        name="Program",
        subtype="FILE_PATH",
        description="The Python that has matanyone-engine, or matanyone-engine itself. "
        "Blank: the engine is started by somebody else",
    )
    connection: StringProperty(
        name="Connection File",
        subtype="FILE_PATH",
        description="As 'matanyone-engine serve' prints it. Blank on this machine: this user's own",
    )
    client_key: StringProperty(
        name="Client Key",
        subtype="FILE_PATH",
        description="The .key_secret file of 'matanyone-engine keys add', for an engine on another machine",
    )

    def draw(self, context):
        from . import panels

        panels.draw_preferences(self, self.layout)


def own():
    """The add-on's preferences, or None while it is not enabled by Blender."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def target():
    """The engine that the preferences name. Raises WireError where they cannot be right."""
    chosen = own()
    local = chosen.engine == "LOCAL"
    return Target(
        connection=_path(chosen.connection),
        command=command_for(bpy.path.abspath(chosen.program)) if local and chosen.program else (),
        client_key=None if local else _path(chosen.client_key),
        online=getattr(bpy.app, "online_access", True),
        client=f"Blender {bpy.app.version_string}, {Path(bpy.data.filepath).name or 'unsaved'}",
    )


def _path(text):
    return Path(bpy.path.abspath(text)) if text else None


def register():
    bpy.utils.register_class(MatAnyonePreferences)


def unregister():
    bpy.utils.unregister_class(MatAnyonePreferences)
