# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which engine the add-on's preferences choose, as a value. Nothing here asks the network."""

from __future__ import annotations

from pathlib import Path

import bpy

from .target import Target, command_for


def own():
    """Return the add-on's preferences, or None while Blender has not enabled it."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def target():
    """Return the engine that the preferences name. Raises WireError where they cannot be right."""
    chosen = own()
    local = chosen.engine == "LOCAL"
    return Target(
        connection=_path(chosen.connection),
        command=command_for(bpy.path.abspath(chosen.program), chosen.precision) if local and chosen.program else (),
        client_key=None if local else _path(chosen.client_key),
        online=getattr(bpy.app, "online_access", True),
        client=f"Blender {bpy.app.version_string}, {Path(bpy.data.filepath).name or 'unsaved'}",
    )


def _path(text):
    return Path(bpy.path.abspath(text)) if text else None
