# SPDX-License-Identifier: GPL-3.0-or-later
"""Says the engine's sentences in the words of Blender's panel, since they name options of its command line. No bpy."""

from __future__ import annotations

import re

_IN_BLENDER = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"(?:or )?run without them: --missing skip", "or switch on Settings > Skip Missing"),
        (
            r"Name it with --colorspace; 'matanyone-engine inspect --colorspaces' lists all",
            "Choose it under Settings > Color",
        ),
        (r"(?:with|by) --colorspace", "under Settings > Color"),
        (r": --mask (?:NAME=)?FILE@FRAME", " with Add Mask at This Frame"),
        (r"(?:as in )?--mask (?:NAME=)?FILE@FRAME", "with Add Mask at This Frame"),
        (r": --working-size \d+|\(--working-size \d+\)|--working-size", "(Settings > Lines)"),
        (r": --guide rough\.####\.exr", ""),
        (r": --refine-area area\.####\.exr", ""),
        (r"leave --refine-area out", "leave the refine area out"),
        (r"the area of --refine-area", "a refine area"),
        (r": --exposure \d+(?:\.\d+)?", " (Settings > Exposure)"),
        (r"Say which frames to run with --frames", "Set them with Settings > Range"),
        (r"Leave --version out for the next free one, or go on with that run: --resume", "Press Matte again"),
        (r", or take --layout layers or cryptomatte", ", or choose Layers or Cryptomatte under Settings > Files"),
        (r": --point x,y,-", " with a Ctrl-click"),
        (r"\(--point x,y,\+\)", "with a click"),
        (r"\(--point x,y,-\)", "with a Ctrl-click"),
        (r"Give --box x0,y0,x1,y1 or --point x,y,\+", "Drag a box, or click the subject"),
        (r"Use --model mini", "Choose the model mini"),
        (r"by their path, --model FILE", "by their path as the Model"),
        (r"Start the engine with --root FOLDER", "Whoever starts the engine names --root FOLDER"),
        (
            r"Start the engine: matanyone-engine serve",
            "Name its program in the add-on's preferences, and press Start there",
        ),
    )
)
"""Patterns of what the engine says, and what an artist in Blender is told instead."""


def in_blender(text: str) -> str:
    """Return a message or an action of the engine in the panel's words."""
    for pattern, words in _IN_BLENDER:
        text = pattern.sub(words, text)
    return text
