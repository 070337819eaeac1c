# SPDX-License-Identifier: Apache-2.0
"""The node's knobs in Nuke: made from shape.py, read into plan.Settings. Main thread only.

Rule of this file: reading a knob never evaluates an image, so callbacks may do it.
"""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Optional

import nuke

from . import plan, shape


def add_knobs(node: Any) -> None:
    """All of shape.KNOBS, in order."""
    for knob in shape.KNOBS:
        node.addKnob(_made(knob))
        if knob.kind == "Link_Knob":
            node[knob.name].setLink(knob.target)
    for knob in shape.KNOBS:
        if knob.default:
            node[knob.name].fromScript(knob.default)


def _made(knob: shape.Knob) -> Any:
    kind = getattr(nuke, knob.kind)
    if knob.kind == "Enumeration_Knob":
        made = kind(knob.name, knob.label, list(knob.values))
    elif knob.kind == "PyScript_Knob":
        made = kind(knob.name, knob.label, shape.button_code(knob.target))
    else:
        made = kind(knob.name, knob.label)
    if knob.tooltip:
        made.setTooltip(knob.tooltip)
    if knob.new_line:
        made.setFlag(nuke.STARTLINE)
    else:
        made.clearFlag(nuke.STARTLINE)
    if knob.hidden:
        made.setFlag(nuke.INVISIBLE)
    if knob.unsaved:
        made.setFlag(nuke.DO_NOT_WRITE)
    return made


def is_ours(node: Any) -> bool:
    """Whether it is a MatAnyone node, group or gizmo."""
    return shape.ID in node.knobs() and shape.RECORD in node.knobs()


def our_nodes() -> List[Any]:
    """All of them in the script, in groups too."""
    return [node for node in nuke.allNodes(recurseGroups=True) if is_ours(node)]


def find(identity: str) -> Optional[Any]:
    """The node of this id, whatever it is called now; None if it is gone."""
    return next((node for node in our_nodes() if node[shape.ID].value() == identity), None)


def identify(node: Any) -> str:
    """Its id, which stays when it is renamed; a new one for a new node, and for a copy of another."""
    own = node[shape.ID].value()
    others = {each[shape.ID].value() for each in our_nodes() if each.fullName() != node.fullName()}
    if own and own not in others:
        return str(own)
    fresh = uuid.uuid4().hex[:12]
    node[shape.ID].setValue(fresh)
    matte = node["matte"].getText()
    if not matte:
        set_matte(node, shape.MATTE_DEFAULT % fresh)
    elif own and own in matte:
        set_matte(node, matte.replace(own, fresh))
        node[shape.RECORD].setValue("")
    return fresh


def set_matte(node: Any, text: str) -> None:
    """The output pattern, on the knob and on the Read inside."""
    node["matte"].setValue(text)
    follow_matte(node)


def follow_matte(node: Any) -> None:
    """The Read inside shows what the knob names; the text is copied, so it means the same in both places."""
    read = node.node(shape.MATTE_READ)
    text = node["matte"].getText()
    if read is not None and read["file"].getText() != text:
        read["file"].setValue(text)


def settings(node: Any) -> plan.Settings:
    """The knobs as they stand."""
    said = {name: node[name].value() for name in shape.SETTINGS}
    said["region_box"] = tuple(float(value) for value in said["region_box"])
    said["settle"], said["mask_grow"] = int(said["settle"]), int(said["mask_grow"])
    return plan.Settings(**said)


def record(node: Any) -> Dict[str, str]:
    """What the last run said of itself."""
    return plan.read_record(node[shape.RECORD].value())


def show_status(node: Any, text: str) -> None:
    """One line on the panel; not saved, and nothing to undo."""
    nuke.Undo.disable()
    try:
        node["matanyone_status"].setValue(text)
    finally:
        nuke.Undo.enable()


def show_staleness(node: Any) -> None:
    """Whether the mattes still are what the knobs say."""
    show_status(node, plan.staleness(settings(node), record(node)))


def set_models(node: Any, models: List[str]) -> None:
    """What the engine has, the chosen one kept where it is among them."""
    chosen = node["model"].value()
    node["model"].setValues(models if chosen in models else [chosen] + models)
    node["model"].setValue(chosen)
