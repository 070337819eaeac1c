# SPDX-License-Identifier: Apache-2.0
"""Says the engine's sentences in the words of the node, since they name options of its command line.

Rule of this file: it imports no nuke.
"""

from __future__ import annotations

import re

_IN_NUKE = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r",? or (?:leave the others out|run without(?: them)?): --missing skip", ""),
        (
            r"Name it with --colorspace; 'matanyone-engine inspect --colorspaces' lists all",
            "Name it in the knob 'colour space'",
        ),
        (r" (?:with|by) --colorspace|: --colorspace| --colorspace", " in the knob 'colour space'"),
        (r": --mask (?:NAME=)?FILE@FRAME", " by the input 'mask'"),
        (r"(?:as in )?--mask (?:NAME=)?FILE@FRAME", "by the input 'mask'"),
        (r": --working-size \d+| ?\(--working-size \d+\)| ?--working-size", " (the knob 'computed size')"),
        (r": --guide rough\.####\.exr|: --refine-area area\.####\.exr", ""),
        (r"leave --refine-area out", "disconnect the input 'area'"),
        (r"the area of --refine-area", "the input 'area'"),
        (r": --exposure \d+(?:\.\d+)?", " (the knob 'exposure')"),
        (r"use --exposure", "use the knob 'exposure'"),
        (r"Say which frames to run with --frames", "Set them with 'range'"),
        (r"Leave --version out for the next free one, or go on with that run: --resume", "Matte again"),
        (r", or take --layout layers or cryptomatte", ""),
        (r"name with --out", "name in the knob 'matte'"),
        (r", or replace them with --overwrite", ""),
        (
            r"(?:Choose one(?: of them)?|Choose a picture that all frames have): --(?:view|part|layer).*",
            "Switch 'use the plate's files' off, so that Nuke renders what the viewer shows.",
        ),
        (r"Name it: --view left, or --view all|Write --view left --view right", "Name it in the knob 'views'"),
        (r", or choose another layer with --layer", ""),
        (r", or the strokes beside the subject thinner: --brush", ""),
        (r": --point x,y,-|\(--point x,y,-\)", " with a point on the background"),
        (r"\(--point x,y,\+\)", "with a point on it"),
        (r"Give --box x0,y0,x1,y1 or --point x,y,\+", "Drag the box, or set a point to 'subject'"),
        (r" \(--life\); --accept-doubt takes the result as it is", ""),
        (r"Run it without --resume: it begins anew", "Matte again: it begins anew"),
        (r"Use --model mini", "Choose the model mini"),
        (r"by their path, --model FILE", "by their path in the knob 'model'"),
        (r"Start the engine with --root FOLDER", "Whoever starts the engine names --root FOLDER"),
    )
]
"""Patterns of what the engine says, and what a compositor is told instead."""


def in_nuke(text: str) -> str:
    """Return a message or an action of the engine in the node's words."""
    for pattern, words in _IN_NUKE:
        text = pattern.sub(words, text)
    return text
