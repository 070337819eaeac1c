# SPDX-License-Identifier: GPL-3.0-or-later
"""Wraps text in panels to the width that a panel has."""

from __future__ import annotations

import bpy

_LETTER = 7.0
"""Width of a letter of Blender's own font, on average, in pixels of an unscaled interface."""
_MARGIN = 60.0
"""What an icon and the panel's frame take, likewise."""


def lines(layout, text, icon, width):
    """Draw a sentence in as many lines as it needs. width: of the region, in pixels."""
    scale = bpy.context.preferences.system.ui_scale or 1.0
    most = max(16, int((width / scale - _MARGIN) / _LETTER))
    column = layout.column(align=True)
    line = ""
    for word in text.split():
        if line and len(line) + len(word) + 1 > most:
            column.label(text=line, icon=icon)
            line, icon = "", "BLANK1"
        line = f"{line} {word}".strip()
    column.label(text=line, icon=icon)
