# SPDX-License-Identifier: Apache-2.0
"""Describes the panel as data: the knobs in the order in which a compositor sees them, each with its tooltip.

    MatAnyone   matte, stop, look          Masks     first masks, corrections      Quality   how it is computed
    Edges       controls as of a keyer     Output    layers beside the matte       Shot      plate, views, files
    Engine      who computes

Rules of this file:
1. It imports no nuke: the shipped gizmo and the built node come from the same values, and a test compares them.
2. Every knob that is shown does something, and has a tooltip in a compositor's words that says what.
3. A knob's name is never given to another meaning: scripts of earlier versions have it. Old names stay in OLD_NAMES.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from .edges import EDGES, Edge

ID = "matanyone_id"
RECORD = "matanyone_record"
STATUS = "matanyone_status"
POINTS = 6
"""How many points a first mask may be given on its plate."""
POINT_SIDES = ("off", "subject", "background")
SHOWN = ("matte", "first masks")
OLD_NAMES: Dict[str, str] = {"warm_up": "settle"}
"""What knobs were called in version 0.1.0."""

ABSENT = "MatAnyone is not installed here. The mattes on disk still play; to make new ones, install it: docs/nuke.md."


@dataclass(frozen=True)
class Knob:
    """Describes one knob of the group. code: its type in addUserKnob; kind: its class in Python."""

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
    folded: bool = False
    """Whether it is hidden until the artist needs it."""
    unsaved: bool = False


def button_code(action: str) -> str:
    """Return what a button does; a machine without the add-on gets a sentence instead of a traceback."""
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


def _heading(name: str, text: str) -> Knob:
    return Knob(name, "Text_Knob", 26, text)


def _button(name: str, label: str, tooltip: str, *, new_line: bool = True) -> Knob:
    return Knob(name, "PyScript_Knob", 22, label, tooltip, target=name, new_line=new_line)


def _choice(name: str, label: str, tooltip: str, *values: str, new_line: bool = True, hidden: bool = False) -> Knob:
    return Knob(name, "Enumeration_Knob", 4, label, tooltip, values=values, new_line=new_line, hidden=hidden)


def _text(name: str, label: str, tooltip: str, *, new_line: bool = True) -> Knob:
    return Knob(name, "String_Knob", 1, label, tooltip, new_line=new_line)


def _check(name: str, label: str, tooltip: str, *, on: bool, new_line: bool = True) -> Knob:
    return Knob(name, "Boolean_Knob", 6, label, tooltip, default="true" if on else "false", new_line=new_line)


def _whole(name: str, label: str, tooltip: str, default: int, *, new_line: bool = True, hidden: bool = False) -> Knob:
    return Knob(
        name, "Int_Knob", 3, label, tooltip, default=str(default), new_line=new_line, hidden=hidden
    )  # fmt: skip


def _number(name: str, label: str, tooltip: str, default: str, *, new_line: bool = True) -> Knob:
    return Knob(name, "Double_Knob", 7, label, tooltip, default=default, new_line=new_line)


def _box(name: str, label: str, tooltip: str) -> Knob:
    return Knob(name, "BBox_Knob", 15, label, tooltip, default="0 0 0 0")


def _point(number: int) -> Tuple[Knob, ...]:
    side = _choice(
        "point_%d_is" % number,
        "point %d" % number,
        "What the point lies on: the subject, or the background that must stay out of the mask. 'off' leaves it out.",
        *POINT_SIDES,
    )
    place = Knob(
        "point_%d" % number,
        "XY_Knob",
        12,
        "at",
        "Where the point is, in pixels. Drag its handle in the viewer.",
        default="0 0",
        new_line=False,
        folded=True,
    )
    return side, place


_MATTE_TAB = (
    _tab("matanyone_tab", "MatAnyone"),
    _button(
        "matte_range",
        "Matte range",
        "Mattes all frames of the range. Nuke stays usable meanwhile; Cancel keeps what is done.",
    ),
    _button(
        "matte_frame",
        "Matte current frame",
        "Mattes the frame the viewer shows. Frames between it and the key frame are computed too, and kept for later.",
        new_line=False,
    ),
    _button(
        "rerun",
        "Re-run changed stretch",
        "Does the last run again after a mask, the plate or a setting has changed. Only frames that the change "
        "reaches are computed and written; all others keep their files and time stamps.",
        new_line=False,
    ),
    _button("cancel", "Cancel", "Stops within one frame. Finished frames are kept.", new_line=False),
    Knob(STATUS, "Text_Knob", 26, "", "What the node is doing, or whether its mattes are up to date.", unsaved=True),
    _choice(
        "frames_from",
        "range",
        "Which frames are matted: those of the plate, those of the script, or a list.",
        "input",
        "script",
        "list",
    ),
    _text(
        "frames", "", "The frames to matte when range is 'list', such as 1001-1045, 1050, 1060-1080x2.", new_line=False
    ),
    _choice(
        "keys_from",
        "key frames",
        "On which frames the mask input is used: the frames on which the roto has keys, a list, or the current frame.",
        "mask animation",
        "list",
        "current frame",
    ),
    _text("keys", "", "The key frames when key frames is 'list', such as 1001, 1047.", new_line=False),
    _text(
        "objects",
        "objects",
        "Layers of the mask input, each of which is an object with a matte of its own: hero dog are two. The node gets "
        "a layer for each of them, and rgba.alpha is their sum. Leave it empty for one object, from the mask's alpha.",
    ),
    _text(
        "distractors",
        "distractors",
        "Layers of the mask input that show look-alikes, such as a twin who crosses the picture; several with a blank "
        "between them. They are followed only to keep the mattes off them, and get no matte of their own.",
    ),
    Knob(
        "matte",
        "File_Knob",
        2,
        "matte",
        "Where the matte's files go, with #### for the frame and %V for views. The default is beside the script.",
    ),
    Knob("to_channel", "Link_Knob", 41, "matte to", "Which channel the matte is copied to.", target="MatteCopy.to0"),
    Knob(
        "missing",
        "Link_Knob",
        41,
        "missing frames",
        "What the viewer and renders do on frames without a matte. 'error' stops a farm from rendering without it.",
        target="MatteRead.on_error",
    ),
    _heading("matanyone_look", "Where to look"),
    _number(
        "confidence",
        "confidence",
        "How far the matte of each frame can be trusted, from 0 (look here first) to 1. Each run draws this curve; "
        "open it in the Curve Editor. It is a hint, not a measure of error.",
        "1",
    ),
    _number("doubt_below", "doubtful below", "Frames with less confidence than this count as doubtful.", "0.5"),
    _button(
        "next_doubtful",
        "Next doubtful frame",
        "Moves the playhead to the next doubtful frame, and from the last one to the first.",
        new_line=False,
    ),
)

_MASKS_TAB = (
    _tab("matanyone_masks_tab", "Masks"),
    _heading("matanyone_first", "First mask on the current frame"),
    _box("prompt_box", "box", "A box around the whole subject. Drag its corners in the viewer."),
    *(knob for number in range(1, POINTS + 1) for knob in _point(number)),
    _text(
        "prompt_object",
        "for object",
        "Which object the box and the points show, where there are several. Leave it empty for the first.",
    ),
    _choice("prompt_by", "made by", "What cuts the mask out. 'Test engine' fills in what the engine has.", "grabcut"),
    _button(
        "make_mask",
        "Make mask",
        "Makes a soft mask from the box and the points, shows it, and makes the current frame a key frame. Move a "
        "point and press again until it fits.",
    ),
    _button(
        "remove_mask",
        "Remove mask",
        "Deletes the first mask on the current frame, so that it is no key frame any more.",
        new_line=False,
    ),
    _choice("show", "viewer shows", "Whether alpha in the viewer is the matte or the first masks.", *SHOWN),
    _heading("matanyone_corrections", "Corrections"),
    _button(
        "correct_frame",
        "Correct this frame",
        "Takes the current frame's matte as a mask that you can paint on: a RotoPaint with it is connected to "
        "'corrections', and the frame becomes a key frame. Paint, then press Re-run changed stretch.",
    ),
    _text(
        "corrected",
        "corrected frames",
        "The frames on which the corrections input is used as the mask, such as 1047, 1102.",
        new_line=False,
    ),
)

_GUIDE = (
    _heading("matanyone_guide", "Guide"),
    _whole(
        "guide_band",
        "guide band",
        "The input 'guide' takes a rough matte of every frame, such as a tracker's. So many pixels on either side of "
        "its edge are left to the network; further out the matte is 0. -1 is a sixteenth of the plate's shorter side.",
        -1,
    ),
)

_QUALITY_TAB = (
    _tab("matanyone_quality_tab", "Quality"),
    _choice(
        "model",
        "model",
        "Which network makes the matte. 'Test engine' fills in what the engine has; licences differ.",
        "mini",
    ),
    _choice(
        "quality",
        "computed size",
        "How many pixels the shortest side has at most while it is computed. Mattes always have the plate's size.",
        "full",
        "1080",
        "720",
        "480",
    ),
    _choice(
        "region",
        "region",
        "What is computed: the whole frame, a window that follows the subject, or the box. Elsewhere the matte is 0.",
        "off",
        "follow",
        "box",
    ),
    _box("region_box", "box", "The region when region is 'box'. Drag its corners in the viewer."),
    _whole(
        "warm_up",
        "warm-up",
        "How many times the network looks at a key frame again before it goes on, so that it remembers its own view of "
        "the subject. -1 takes what suits the model.",
        -1,
    ),
    _whole(
        "settle",
        "settle",
        "The name of 'warm-up' in version 0.1.0. Its value is taken over when an older script is opened.",
        -1,
        hidden=True,
    ),
    _whole("mask_grow", "grow mask", "By how many pixels masks are grown first. A negative number shrinks them.", 0),
    _number(
        "exposure",
        "exposure",
        "By how many stops the network sees the plate brighter. It changes nothing else.",
        "0",
    ),
    _check(
        "auto_exposure",
        "auto",
        "Whether very dark and overbright plates get an exposure by themselves. It counts where exposure is 0; "
        "ordinary plates stay as they are.",
        on=True,
        new_line=False,
    ),
    _check(
        "pin_keys",
        "all keys remembered",
        "Lets the network remember every key frame on all frames, not only the two key frames that a frame lies "
        "between. A changed mask then reaches all frames.",
        on=False,
    ),
)


def _edge(edge: Edge) -> Knob:
    if edge.whole:
        return _whole(edge.knob, edge.label, edge.tooltip, int(edge.default), new_line=edge.new_line)
    return _number(edge.knob, edge.label, edge.tooltip, "%g" % edge.default, new_line=edge.new_line)


_EDGES_TAB = (_tab("matanyone_edges_tab", "Edges"), *(_edge(edge) for edge in EDGES))

_OUTPUT_TAB = (
    _tab("matanyone_output_tab", "Output"),
    _check(
        "own_colour",
        "subject's own colour",
        "Adds the layer fg: the subject's colour in soft edges, unmixed from the background. It is not premultiplied.",
        on=False,
    ),
    _check(
        "core_edge",
        "core and edge",
        "Adds the layers core and edge: what is certainly inside, and the soft rest. Their sum is the matte.",
        on=False,
    ),
    _whole("core_inset", "core drawn in", "By how many pixels the core is drawn in from the edge.", 2, new_line=False),
)

_SHOT_TAB = (
    _tab("matanyone_shot_tab", "Shot"),
    _text(
        "colorspace",
        "colour space",
        "Which colour space the plate is in, as OpenColorIO calls it: ACEScg, linear, LogC4. Leave it empty to take "
        "what the script says.",
    ),
    _text(
        "views",
        "views",
        "Which views are matted. Empty: all of them if the matte has %V in its name, else for the current one.",
    ),
    _check(
        "use_files",
        "use the plate's files",
        "Lets the engine read a plate that comes straight from a Read from its own files. Off, it is always rendered.",
        on=True,
    ),
    _button(
        "save_job",
        "Save job for the farm",
        "Renders what the engine needs and writes a job file beside the matte: matanyone-engine run FILE mattes it "
        "anywhere, without Nuke and without its licence.",
    ),
    _button(
        "delete_export",
        "Delete rendered inputs",
        "Deletes the plates and masks that were rendered for the engine: those files only, and never a folder.",
    ),
    _button(
        "convert", "Convert to Read + Copy", "Replaces this node by plain nodes that need no add-on.", new_line=False
    ),
)

_ENGINE_TAB = (
    _tab("matanyone_engine_tab", "Engine"),
    Knob(
        "engine",
        "File_Knob",
        2,
        "connection",
        "The connection file of the engine that computes. Leave it empty for this user's own engine.",
    ),
    _check(
        "start_engine",
        "start it if there is none",
        "Starts an engine here where none runs. It goes on when Nuke is closed, until it has idled for an hour.",
        on=True,
    ),
    _choice(
        "precision",
        "precision",
        "How exactly the engine computes that is started here. 'exact' computes in 32-bit floats, 'fast' mostly in "
        "16-bit floats. 'auto' is fast where this machine was measured to gain by it and the model was checked to be "
        "as good. An engine that runs already stays as it is.",
        "auto",
        "exact",
        "fast",
    ),
    _button("test_engine", "Test engine", "Says whether an engine answers, what it runs on, and which models it has."),
    _button(
        "show_record",
        "Run record",
        "Says what the mattes on disk were made with, and whether that still holds.",
        new_line=False,
    ),
    Knob(ID, "String_Knob", 1, "id", "Tells this node's files from those of other nodes.", hidden=True),
    Knob(RECORD, "String_Knob", 1, "record", "What the last run said.", hidden=True),
)

KNOBS: Tuple[Knob, ...] = (
    _MATTE_TAB + _MASKS_TAB + _GUIDE + _QUALITY_TAB + _EDGES_TAB + _OUTPUT_TAB + _SHOT_TAB + _ENGINE_TAB
)

SETTINGS = (
    "frames_from", "frames", "keys_from", "keys", "objects", "distractors", "corrected", "colorspace", "model",
    "quality", "region", "region_box", "warm_up", "mask_grow", "exposure", "auto_exposure", "pin_keys", "own_colour",
    "core_edge", "core_inset", "views", "use_files", "guide_band",
) + tuple(edge.knob for edge in EDGES)  # fmt: skip
"""Knobs that are fields of plan.Settings."""


def defaults() -> Dict[str, str]:
    """Return each knob's default as a script says it; the first value where it is a choice."""
    return {knob.name: knob.default or (knob.values[0] if knob.values else "") for knob in KNOBS}


def listing() -> str:
    """Return the panel as a page: a table for each tab, in the order in which a compositor sees it."""
    lines = ["<!-- SPDX-License-Identifier: Apache-2.0 -->", "<!-- Made by python -m matanyone_nuke.panel. -->"]
    lines += ["# The node's panel", ""]
    lines += ["What a compositor sees, tab by tab, with the tooltips; [nuke.md](nuke.md) says how to use it."]
    for knob in KNOBS:
        if knob.kind == "Tab_Knob":
            lines += ["", "## %s" % knob.label, "", "| knob | | tooltip |", "|---|---|---|"]
        elif knob.kind == "Text_Knob" and knob.name != STATUS:
            lines.append("| | | **%s** |" % knob.label)
        elif not knob.hidden:
            lines.append("| %s | %s | %s |" % (_shown(knob), _kind(knob), knob.tooltip))
    return "\n".join(lines) + "\n"


def _shown(knob: Knob) -> str:
    if knob.name == STATUS:
        return "(status line)"
    return "**[%s]**" % knob.label if knob.kind == "PyScript_Knob" else knob.label or "(its list)"


def _kind(knob: Knob) -> str:
    if knob.folded:
        return "point, shown when in use"
    kinds = {
        "Enumeration_Knob": "choice", "String_Knob": "text", "File_Knob": "file", "Boolean_Knob": "check box",
        "Int_Knob": "number", "Double_Knob": "number", "BBox_Knob": "box with handles", "XY_Knob": "point",
        "Link_Knob": "choice", "PyScript_Knob": "button", "Text_Knob": "text",
    }  # fmt: skip
    return kinds[knob.kind]


if __name__ == "__main__":
    print(listing(), end="")
