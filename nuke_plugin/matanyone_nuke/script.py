# SPDX-License-Identifier: Apache-2.0
"""Writes the node as files that Nuke reads without this add-on: a gizmo, and a toolset that pastes a plain group.

    python -m matanyone_nuke.script FOLDER      writes FOLDER/MatAnyone.gizmo and FOLDER/ToolSets/MatAnyone.nk

Rule of this file: it imports no nuke. It writes what panel.py and shape.py say; a test compares that with a node.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

from . import panel, shape

_HEAD = (
    "# SPDX-License-Identifier: Apache-2.0\n# Made by python -m matanyone_nuke.script: change panel.py or shape.py.\n"
)
_SAVED_WITH = "version 14.0 v1\n"
HELP = "MatAnyone: a matte for the whole shot from a mask on one frame, by the MatAnyone Engine."


def gizmo_text() -> str:
    """Return MatAnyone.gizmo, which makes nodes of a class of their own."""
    return _HEAD + _SAVED_WITH + _group("Gizmo", "")


def toolset_text() -> str:
    """Return ToolSets/MatAnyone.nk, which pastes a group that saves everything with the script."""
    return (
        _HEAD
        + "set cut_paste_input [stack 0]\n"
        + _SAVED_WITH
        + "push $cut_paste_input\n"
        + _group("Group", " name %s1\n" % shape.CLASS)
    )


def _group(kind: str, name: str) -> str:
    inputs = " inputs %d\n" % len(shape.INPUTS) if kind == "Group" else ""
    lines = ["%s {\n%s%s help %s\n" % (kind, inputs, name, _quoted(HELP))]
    lines += [" %s\n" % _user_knob(knob) for knob in panel.KNOBS]
    lines += [_value(knob) for knob in panel.KNOBS if knob.default or knob.kind == "File_Knob"]
    return "".join(lines) + "}\n" + "".join(_inner(node) for node in shape.INSIDE) + "end_group\n"


def _user_knob(knob: panel.Knob) -> str:
    """Return the line addUserKnob {code name l label t tooltip flags M values T code-or-target}."""
    words = ["addUserKnob {%d %s" % (knob.code, knob.name)]
    if knob.label or knob.kind in ("String_Knob", "Text_Knob", "File_Knob"):
        words.append("l %s" % _quoted(knob.label))
    if knob.hidden or knob.folded:
        words.append("+INVISIBLE")
    if knob.unsaved:
        words.append("+DO_NOT_WRITE")
    if knob.tooltip:
        words.append("t %s" % _quoted(knob.tooltip))
    if not knob.new_line:
        words.append("-STARTLINE")
    if knob.values:
        words.append("M {%s}" % " ".join(_quoted(value) for value in knob.values))
    if knob.kind == "PyScript_Knob":
        words.append("T %s" % _quoted(panel.button_code(knob.target)))
    if knob.kind == "Link_Knob":
        words.append("T %s" % knob.target)
    return " ".join(words) + "}"


def _value(knob: panel.Knob) -> str:
    text = "{%s}" % knob.default if knob.kind in ("BBox_Knob", "XY_Knob") else _quoted(knob.default)
    return " %s %s\n" % (knob.name, text)


def _inner(node: shape.Inner) -> str:
    """Write a node on Nuke's stack: its inputs are pushed, input 0 last; what it leaves is named for those that
    follow.
    """
    pushed = "".join("push $%s\n" % name for name in reversed(node.inputs))
    inputs = " inputs %d\n" % len(node.inputs) if len(node.inputs) != 1 else ""
    knobs = "".join(" %s %s\n" % (name, _quoted(value)) for name, value in node.knobs)
    knobs += "".join(" %s {{%s}}\n" % (name, _quoted(text)) for name, text in node.expressions)
    place = " xpos %d\n ypos %d\n" % node.place
    return "%s%s {\n%s%s name %s\n%s}\nset %s [stack 0]\n" % (
        pushed, node.kind, inputs, knobs, node.name, place, node.name
    )  # fmt: skip


def _quoted(text: str) -> str:
    """Return a value as Nuke's scripts write it: quoted where it is not one plain word."""
    if text and all(letter.isalnum() or letter in "._-/#%:" for letter in text):
        return text
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("[", "\\["), ("$", "\\$")):
        text = text.replace(plain, escaped)
    return '"%s"' % text


def write_files(folder: Path) -> List[Path]:
    """Write both files under `folder`; their paths."""
    files = {folder / "MatAnyone.gizmo": gizmo_text(), folder / "ToolSets" / "MatAnyone.nk": toolset_text()}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return list(files)


if __name__ == "__main__":
    for written in write_files(Path(sys.argv[1])):
        print(written)
