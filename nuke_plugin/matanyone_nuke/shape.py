# SPDX-License-Identifier: Apache-2.0
"""Describes the inside of the group as data. panel.py has its knobs, node.py builds it, script.py writes it as a file.

    plate ----------------------------------------------+
    MatteRead (mattes on disk)  --+                     |
    MaskRead (first masks)      --+- Shown (a Switch) - MatteCopy - Output
    plate - WritePlate (off)
    mask, inside, outside, corrections, guide, area - Pick... (one channel as alpha) - Write... (off)

Rules of this file:
1. It imports no nuke: the shipped gizmo and the built node come from the same values, and a test compares them.
2. There is one Output; everything the node makes comes out of it as layers. What is rendered for the engine goes
   through Writes that are off but while a run renders.
3. The inputs of version 0.1.0 keep their numbers; new ones come after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

CLASS = "MatAnyone"
"""The gizmo's class and the nodes' name."""
MATTE_READ, MASK_READ, SHOWN, MATTE_COPY = "MatteRead", "MaskRead", "Shown", "MatteCopy"
INPUTS = ("plate", "mask", "inside", "outside", "corrections", "guide", "area")
WRITES: Dict[str, str] = {name: "Write" + name.capitalize() for name in INPUTS}
PICKS: Dict[str, str] = {name: "Pick" + name.capitalize() for name in INPUTS[1:]}
MATTE_DEFAULT = "[file dirname [value root.name]]/matanyone/%s/alpha.####.exr"
"""Beside the script; %s is the node's id, which stays when the node is renamed."""

ON_ERROR = "$gui ? 2 : 0"
"""Of the Read: a checkerboard for the artist, an error for a farm; Nuke knows $gui without this add-on."""
SHOW = "parent.show"
"""Of the Switch: the number of the choice on the panel."""


@dataclass(frozen=True)
class Inner:
    """Describes one node inside the group."""

    kind: str
    name: str
    inputs: Tuple[str, ...] = ()
    """Names of what is connected, input 0 first."""
    knobs: Tuple[Tuple[str, str], ...] = ()
    """Name, value as a script says it."""
    place: Tuple[int, int] = (0, 0)
    expressions: Tuple[Tuple[str, str], ...] = ()
    """Name, expression."""


_EXR = (("file_type", "exr"), ("raw", "true"), ("create_directories", "true"), ("disable", "true"))


def _write(name: str, source: str, channels: str, datatype: str, place: Tuple[int, int]) -> Inner:
    knobs = (
        (("channels", channels),) + _EXR[:1] + (("datatype", datatype), ("compression", "Zip (1 scanline)")) + _EXR[1:]
    )
    return Inner("Write", WRITES[name], (source,), knobs, place)


def _picked(name: str, place: Tuple[int, int]) -> Tuple[Inner, ...]:
    """Return an input's channel as alpha, and its Write."""
    column, row = place
    return (
        Inner("Copy", PICKS[name], (name, name), (("from0", "rgba.alpha"), ("to0", "rgba.alpha")), (column, row + 60)),
        _write(name, PICKS[name], "rgba.alpha", "32 bit float", (column, row + 120)),
    )


def _read(name: str, label: str, place: Tuple[int, int], **more: Tuple[Tuple[str, str], ...]) -> Inner:
    knobs = (("file_type", "exr"), ("raw", "true"), ("label", label)) + more.get("knobs", ())
    return Inner("Read", name, (), knobs, place, more.get("expressions", ()))


INSIDE: Tuple[Inner, ...] = (
    tuple(
        Inner("Input", name, (), (("number", str(number)),) if number else (), (number * 150, 0))
        for number, name in enumerate(INPUTS)
    )
    + (
        _read(MATTE_READ, "mattes on disk", (-150, 0), expressions=(("on_error", ON_ERROR),)),
        _read(MASK_READ, "first masks", (-300, 0), knobs=(("on_error", "black"),)),
        Inner("Switch", SHOWN, (MATTE_READ, MASK_READ), (), (-150, 60), (("which", SHOW),)),
        _write("plate", "plate", "rgb", "16 bit half", (0, 120)),
    )
    + tuple(node for number, name in enumerate(INPUTS[1:], 1) for node in _picked(name, (number * 150, 0)))
    + (
        Inner("Copy", MATTE_COPY, ("plate", SHOWN), (("from0", "rgba.alpha"), ("to0", "rgba.alpha")), (-150, 120)),
        Inner("Output", "Output1", (MATTE_COPY,), (), (-150, 180)),
    )
)
"""In an order in which everything comes after its inputs."""
