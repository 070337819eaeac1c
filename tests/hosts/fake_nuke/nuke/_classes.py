# SPDX-License-Identifier: Apache-2.0
"""Defines node classes, their inputs and knobs, by the names that Nuke 17.0 lists for its nodes. Only these exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import _knobs as k


class NodeClass(NamedTuple):
    """Describes a class of nodes. inputs: (fewest, most). knobs: by its name, what makes one."""

    inputs: tuple[int, int]
    knobs: dict[str, Callable[[str], Any]]
    can_be_off: bool = True


def _choice(*values: str) -> Callable[[str], Any]:
    return lambda name: k.Enumeration_Knob(name, "", values)


_COMMON: dict[str, Callable[[str], Any]] = {
    "name": k.String_Knob,
    "label": k.Multiline_Eval_String_Knob,
    "help": k.EvalString_Knob,
    "tile_color": k.ColorChip_Knob,
    "selected": k.Boolean_Knob,
    "xpos": k.Int_Knob,
    "ypos": k.Int_Knob,
    "knobChanged": k.PythonKnob,
    "onCreate": k.PythonKnob,
    "onDestroy": k.PythonKnob,
}
_SPACES = ("default", "linear", "sRGB", "rec709", "Cineon", "AlexaV3LogC", "SLog3", "Log3G10", "ARRILogC4")
_TIMES = ("expression", "start at", "offset")

CLASSES: dict[str, NodeClass] = {
    "Root": NodeClass(
        (0, 0),
        {
            "first_frame": k.Int_Knob,
            "last_frame": k.Int_Knob,
            "fps": k.Double_Knob,
            "frame": k.Double_Knob,
            "format": k.Format_Knob,
            "proxy": k.Boolean_Knob,
            "colorManagement": _choice("Nuke", "OCIO"),
            "workingSpaceLUT": _choice("linear", "scene_linear", "ACES - ACEScg", "ACEScg", "sRGB"),
            "floatLut": _choice("linear", "scene_linear (ACES - ACEScg)", "ACEScg"),
        },
        can_be_off=False,
    ),
    "Group": NodeClass((0, 100), {}),
    "Input": NodeClass((0, 0), {"number": k.Int_Knob}, can_be_off=False),
    "Output": NodeClass((1, 1), {}, can_be_off=False),
    "Dot": NodeClass((1, 1), {}, can_be_off=False),
    "NoOp": NodeClass((1, 1), {}),
    "Read": NodeClass(
        (0, 0),
        {
            "file": k.File_Knob,
            "file_type": _choice(" ", "exr", "dpx", "mov", "png"),
            "first": k.Int_Knob,
            "last": k.Int_Knob,
            "origfirst": k.Int_Knob,
            "origlast": k.Int_Knob,
            "before": _choice("hold", "loop", "bounce", "black"),
            "after": _choice("hold", "loop", "bounce", "black"),
            "frame_mode": _choice(*_TIMES),
            "frame": k.String_Knob,
            "on_error": _choice("error", "black", "checkerboard", "nearest frame"),
            "raw": k.Boolean_Knob,
            "colorspace": _choice(*_SPACES),
            "premultiplied": k.Boolean_Knob,
            "auto_alpha": k.Boolean_Knob,
            "reload": k.Script_Knob,
        },
    ),
    "Write": NodeClass(
        (1, 1),
        {
            "file": k.File_Knob,
            "file_type": _choice(" ", "exr", "dpx", "png"),
            "channels": k.ChannelMask_Knob,
            "raw": k.Boolean_Knob,
            "colorspace": _choice(*_SPACES),
            "create_directories": k.Boolean_Knob,
            "on_error": _choice("error", "black"),
            "use_limit": k.Boolean_Knob,
        },
    ),
    "Copy": NodeClass(
        (2, 3),
        {
            **{f"{side}{slot}": k.Channel_Knob for slot in range(4) for side in ("from", "to")},
            "channels": k.ChannelMask_Knob,
            "bbox": _choice("union", "B\tB side", "A\tA side"),
            "mix": k.Double_Knob,
        },
    ),
    "Multiply": NodeClass((1, 2), {"channels": k.ChannelMask_Knob, "value": k.Double_Knob, "mix": k.Double_Knob}),
    "TimeOffset": NodeClass((1, 1), {"time_offset": k.Int_Knob, "reverse_input": k.Boolean_Knob}),
    "Retime": NodeClass(
        (1, 1),
        {
            "input.first": k.Int_Knob,
            "input.first_lock": k.Boolean_Knob,
            "output.first": k.Int_Knob,
            "output.first_lock": k.Boolean_Knob,
            "speed": k.Double_Knob,
            "filter": _choice("box", "nearest", "none"),
        },
    ),
    "AdjBBox": NodeClass((1, 1), {"numpixels": k.WH_Knob}),
    "Switch": NodeClass((1, 100), {"which": k.Double_Knob}),
    "RotoPaint": NodeClass((0, 5), {"curves": k.CurveKnob, "output": k.ChannelMask_Knob}),
    "Roto": NodeClass((0, 5), {"curves": k.CurveKnob, "output": k.ChannelMask_Knob}),
}
FRESH: dict[str, dict[str, Any]] = {
    "Copy": {"from0": "rgba.alpha", "to0": "rgba.alpha", "mix": 1.0},
    "Multiply": {"value": 1.0, "mix": 1.0, "channels": "all"},
    "Retime": {"speed": 1.0},
    "Write": {"channels": "rgb"},
    "Read": {"first": 1, "last": 1, "origfirst": 1, "origlast": 1},
}
"""What a new node's knobs are, where that is not their type's own default."""
WRITE_EXR: dict[str, Callable[[str], Any]] = {
    "datatype": _choice("16 bit half", "32 bit float"),
    "compression": _choice("none", "Zip (1 scanline)", "Zip (16 scanlines)", "PIZ Wavelet (32 scanlines)", "DWAA"),
    "metadata": _choice("default metadata", "all metadata", "no metadata"),
}
"""Of a Write once its file_type is exr, and not before."""


def make_knobs(kind: str) -> dict[str, Any]:
    """Make fresh knobs of a class. Raises KeyError for a class that is not there."""
    about = CLASSES[kind]
    off = {"disable": k.Disable_Knob} if about.can_be_off else {}
    return {name: make(name) for name, make in {**_COMMON, **off, **about.knobs}.items()}


def knob_names(kind: str, knobs: dict[str, str]) -> set[str]:
    """Return what a saved node of this class may set."""
    more = set(WRITE_EXR) if kind == "Write" and knobs.get("file_type") == "exr" else set()
    return set(make_knobs(kind)) | more
