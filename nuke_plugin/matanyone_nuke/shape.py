# SPDX-License-Identifier: Apache-2.0
"""The node as data: its knobs, and what stands inside the group. node.py builds it, script.py writes it as a file.

    plate ----------------------------+
    MatteRead (the mattes on disk) -- MatteCopy -- Output
    plate -- WritePlate (off)         mask, inside, outside -- Pick... (one channel as alpha) -- Write... (off)

Rules of this file:
1. It imports no nuke: the shipped gizmo and the built node come from the same values, and a test compares them.
2. One Output. What is rendered for the engine goes through Writes that are off but while a run renders.
3. Every knob does something, and has a tooltip that says what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

CLASS = "MatAnyone"
"""The gizmo's class and the nodes' name."""
ID = "matanyone_id"
RECORD = "matanyone_record"
MATTE_READ, MATTE_COPY = "MatteRead", "MatteCopy"
INPUTS = ("plate", "mask", "inside", "outside")
WRITES: Dict[str, str] = {name: "Write" + name.capitalize() for name in INPUTS}
PICKS: Dict[str, str] = {name: "Pick" + name.capitalize() for name in INPUTS[1:]}
MATTE_DEFAULT = "[file dirname [value root.name]]/matanyone/%s/alpha.####.exr"
"""Beside the script; %s is the node's id, which stays when the node is renamed."""

ON_ERROR = "$gui ? 2 : 0"
"""Of the Read: a checkerboard for the artist, an error for a farm; Nuke knows $gui without this add-on."""

ABSENT = "MatAnyone is not installed here. The mattes on disk still play; to make new ones, install it: docs/nuke.md."


@dataclass(frozen=True)
class Knob:
    """One knob of the group. code: its type in addUserKnob; kind: its class in Python."""

    name: str
    kind: str
    code: int
    label: str = ""
    tooltip: str = ""
    values: Tuple[str, ...] = ()
    default: str = ""
    """As a script says it; '' is the type's own."""
    target: str = ""
    """Of a link: the inner knob. Of a button: what is pressed."""
    new_line: bool = True
    hidden: bool = False
    unsaved: bool = False


@dataclass(frozen=True)
class Inner:
    """One node inside the group."""

    kind: str
    name: str
    inputs: Tuple[str, ...] = ()
    """Names of what is connected, input 0 first."""
    knobs: Tuple[Tuple[str, str], ...] = ()
    """Name, value as a script says it."""
    place: Tuple[int, int] = (0, 0)
    expressions: Tuple[Tuple[str, str], ...] = ()
    """Name, expression."""


def button_code(action: str) -> str:
    """What a button does; a machine without the add-on gets a sentence instead of a traceback."""
    return (
        "try:\n"
        "    from matanyone_nuke import node\n"
        "except ImportError:\n"
        "    (nuke.message if nuke.GUI else nuke.tprint)(%r)\n"
        "else:\n"
        "    node.press(nuke.thisNode(), %r)" % (ABSENT, action)
    )


def _tab(name: str, label: str) -> Knob:
    return Knob(name, "Tab_Knob", 20, label)


def _button(name: str, label: str, tooltip: str, *, new_line: bool = True) -> Knob:
    return Knob(name, "PyScript_Knob", 22, label, tooltip, target=name, new_line=new_line)


def _choice(name: str, label: str, tooltip: str, *values: str) -> Knob:
    return Knob(name, "Enumeration_Knob", 4, label, tooltip, values=values)


def _text(name: str, label: str, tooltip: str, default: str = "", *, new_line: bool = True) -> Knob:
    return Knob(name, "String_Knob", 1, label, tooltip, default=default, new_line=new_line)


def _check(name: str, label: str, tooltip: str, *, on: bool, new_line: bool = True) -> Knob:
    return Knob(name, "Boolean_Knob", 6, label, tooltip, default="true" if on else "false", new_line=new_line)


KNOBS: Tuple[Knob, ...] = (
    _tab("matanyone_tab", "MatAnyone"),
    _button(
        "matte_range", "Matte range", "Matte all frames of the range. Nuke stays usable; Cancel keeps what is done."
    ),
    _button(
        "matte_frame",
        "Matte current frame",
        "Matte the frame the viewer shows. Frames between it and the key frame are computed too, and kept for later.",
        new_line=False,
    ),
    _button(
        "rerun",
        "Re-run changed stretch",
        "The last run again, after a mask, plate or setting has changed: only frames that the change reaches are "
        "computed and written; all others keep their files and time stamps.",
        new_line=False,
    ),
    _button("cancel", "Cancel", "Stop within one frame. Finished frames are kept.", new_line=False),
    Knob("matanyone_status", "Text_Knob", 26, "", unsaved=True),
    _choice(
        "frames_from",
        "range",
        "Which frames are matted: the plate's, the script's, or a list.",
        "input",
        "script",
        "list",
    ),
    _text("frames", "", "Frames for 'list': 1001-1045, 1050, 1060-1080x2.", new_line=False),
    _choice(
        "keys_from",
        "key frames",
        "Where the mask is taken from: the frames on which it is animated upstream, a list, or the frame shown now.",
        "mask animation",
        "list",
        "current frame",
    ),
    _text("keys", "", "Key frames for 'list': 1001, 1047.", new_line=False),
    _text(
        "objects",
        "objects",
        "Layers of the mask input, one object each: hero dog. The matte gets a layer for each of them, and rgba.alpha "
        "is their sum. Empty: one object, from the mask's alpha.",
    ),
    Knob(
        "matte",
        "File_Knob",
        2,
        "matte",
        "The matte's files, with #### for the frame and %V for views. Beside the script by default.",
    ),
    Knob("to_channel", "Link_Knob", 41, "matte to", "The channel the matte is copied to.", target=MATTE_COPY + ".to0"),
    Knob(
        "missing",
        "Link_Knob",
        41,
        "missing frames",
        "What the viewer and renders do where no matte is there yet: 'error' stops a farm from rendering without it.",
        target=MATTE_READ + ".on_error",
    ),
    _tab("matanyone_quality_tab", "Quality"),
    _choice("model", "model", "The network. 'Test engine' fills in what the engine has; licences differ.", "mini"),
    _choice(
        "quality",
        "computed size",
        "Limit of the shortest side that is computed, in pixels. Mattes always have the plate's size.",
        "full",
        "1080",
        "720",
        "480",
    ),
    _choice(
        "region",
        "region",
        "What of the frame is computed: all, a window that follows the subject, or the box. The matte is 0 outside.",
        "off",
        "follow",
        "box",
    ),
    Knob("region_box", "BBox_Knob", 15, "box", "The region for 'box', in pixels of the plate.", default="0 0 0 0"),
    Knob(
        "settle",
        "Int_Knob",
        3,
        "settle",
        "How often the network refines a key frame first; -1 is what suits the model.",
        default="-1",
    ),
    Knob(
        "mask_grow", "Int_Knob", 3, "grow mask", "Pixels by which masks are grown first; negative shrinks.", default="0"
    ),
    Knob(
        "exposure",
        "Double_Knob",
        7,
        "exposure",
        "Stops by which the network sees the plate brighter; nothing else changes.",
        default="0",
    ),
    _check("pin_keys", "all keys remembered", "Every stretch remembers all key frames, not only its own.", on=False),
    _tab("matanyone_shot_tab", "Shot"),
    _text(
        "colorspace",
        "colour space",
        "What the plate is, as OpenColorIO calls it: ACEScg, linear, LogC4. Empty: what the script says.",
    ),
    _text("views", "views", "Views to matte. Empty: all if the matte has %V in its name, else the current one."),
    _check(
        "use_files",
        "use the plate's files",
        "A plate that comes straight from a Read is read by the engine from its own files; off, it is always rendered.",
        on=True,
    ),
    _button(
        "save_job",
        "Save job for the farm",
        "Render what the engine needs, and write a job file beside the matte: matanyone-engine run FILE mattes it "
        "anywhere, without Nuke and without its licence.",
    ),
    _button(
        "delete_export",
        "Delete rendered inputs",
        "Delete the plates and masks that were rendered for the engine: those files only, and never a folder.",
    ),
    _button(
        "convert", "Convert to Read + Copy", "Replace this node by plain nodes that need no add-on.", new_line=False
    ),
    _tab("matanyone_engine_tab", "Engine"),
    Knob("engine", "File_Knob", 2, "connection", "The engine's connection file. Empty: this user's own engine."),
    _check("start_engine", "start it if there is none", "Start an engine on this machine where none runs.", on=True),
    _button("test_engine", "Test engine", "Whether an engine answers, what it runs on, and its models."),
    _button(
        "show_record",
        "Run record",
        "What the mattes on disk were made with, and whether that still holds.",
        new_line=False,
    ),
    Knob(ID, "String_Knob", 1, "id", hidden=True),
    Knob(RECORD, "String_Knob", 1, "record", hidden=True),
)

SETTINGS = (
    "frames_from", "frames", "keys_from", "keys", "objects", "colorspace", "model", "quality", "region", "region_box",
    "settle", "mask_grow", "exposure", "pin_keys", "views", "use_files",
)  # fmt: skip
"""Knobs that are fields of plan.Settings."""

_EXR = (("file_type", "exr"), ("raw", "true"), ("create_directories", "true"), ("disable", "true"))


def _write(name: str, source: str, channels: str, datatype: str, place: Tuple[int, int]) -> Inner:
    knobs = (
        (("channels", channels),) + _EXR[:1] + (("datatype", datatype), ("compression", "Zip (1 scanline)")) + _EXR[1:]
    )
    return Inner("Write", WRITES[name], (source,), knobs, place)


def _picked(name: str, place: Tuple[int, int]) -> Tuple[Inner, ...]:
    """An input's channel as alpha, and its Write."""
    column, row = place
    return (
        Inner("Copy", PICKS[name], (name, name), (("from0", "rgba.alpha"), ("to0", "rgba.alpha")), (column, row + 60)),
        _write(name, PICKS[name], "rgba.alpha", "32 bit float", (column, row + 120)),
    )


INSIDE: Tuple[Inner, ...] = (
    tuple(
        Inner("Input", name, (), (("number", str(number)),) if number else (), (number * 150, 0))
        for number, name in enumerate(INPUTS)
    )
    + (
        Inner(
            "Read",
            MATTE_READ,
            (),
            (("file_type", "exr"), ("raw", "true"), ("label", "mattes on disk")),
            (-150, 0),
            (("on_error", ON_ERROR),),
        ),
        _write("plate", "plate", "rgb", "16 bit half", (0, 120)),
    )
    + tuple(node for number, name in enumerate(INPUTS[1:], 1) for node in _picked(name, (number * 150, 0)))
    + (
        Inner("Copy", MATTE_COPY, ("plate", MATTE_READ), (("from0", "rgba.alpha"), ("to0", "rgba.alpha")), (-150, 120)),
        Inner("Output", "Output1", (MATTE_COPY,), (), (-150, 180)),
    )
)
"""In an order in which everything comes after its inputs."""
