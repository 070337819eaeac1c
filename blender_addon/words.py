# SPDX-License-Identifier: GPL-3.0-or-later
"""Says the engine's sentences in the words of Blender's panel, since they name options of its command line. No bpy."""

from __future__ import annotations

import re

_IN_BLENDER = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"a mask from 0 \(outside\) to 1 \(the subject\) that shows the subject([;,]) got a black mask "
            r"\(no value is above [\d.e-]+\), in channel \w+ of '(?:[^']*[/\\])?([^/\\']+)\.(-?\d+)\.exr'",
            r"a mask that shows the subject\1 got an empty one: \2 on frame \3",
        ),
        (
            r"Check what was written as the mask, and in which channel",
            "Look whether that mask lies on the picture on its frame, and is visible",
        ),
        (r": --missing skip", " (Settings > Skip Missing)"),
        (r"name with --out", "name as Output"),
        (r", or replace them with --overwrite", ""),
        (
            r"Name it with --colorspace; 'matanyone-engine inspect --colorspaces' lists all",
            "Choose it under Settings > Color",
        ),
        (r"(?:with|by) --colorspace", "under Settings > Color"),
        (r": --colorspace", " under Settings > Color"),
        (
            r"(?:Choose one(?: of them)?|Choose a picture that all frames have): --(?:view|part|layer).*",
            "Write the plate anew with one picture of R, G and B: the panel cannot choose among several.",
        ),
        (r"Name it: --view left, or --view all|Write --view left --view right", "Choose the plate of one view"),
        (r"Leave --view out, or write %V where the names of the views' files differ", "Choose the plate of one view"),
        (r", or choose another layer with --layer", ""),
        (r", or the strokes beside the subject thinner: --brush", ""),
        (r" \(--life\); --accept-doubt takes the result as it is", " with Limit, in the panel Masks"),
        (r"Run it without --resume: it begins anew", "Press Matte again: it begins anew"),
        (r": --mask (?:NAME=)?FILE@FRAME", " with Add Mask at This Frame"),
        (r"(?:as in )?--mask (?:NAME=)?FILE@FRAME", "with Add Mask at This Frame"),
        (r": --working-size \d+|\(--working-size \d+\)|--working-size", "(Settings > Lines)"),
        (r": --guide rough\.####\.exr", ""),
        (r": --refine-area area\.####\.exr", ""),
        (r"leave --refine-area out", "leave the refine area out"),
        (r"the area of --refine-area", "a refine area"),
        (r": --exposure \d+(?:\.\d+)?", " (Settings > Exposure)"),
        (r"use --exposure", "use Settings > Exposure"),
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
