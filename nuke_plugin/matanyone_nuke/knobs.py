# SPDX-License-Identifier: Apache-2.0
"""Makes the node's knobs in Nuke from panel.py, and reads them into plan.Settings. It runs on the main thread only.

Rule of this file: reading a knob never evaluates an image, so callbacks may do it.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, Dict, Iterator, List, Optional

import nuke

from . import panel, plan, record, shape
from .jobs import Marks


def add_knobs(node: Any) -> None:
    """Give an empty group all knobs, in the panel's order."""
    for knob in panel.KNOBS:
        node.addKnob(_made(knob))
        if knob.kind == "Link_Knob":
            node[knob.name].setLink(knob.target)
    for knob in panel.KNOBS:
        if knob.default:
            node[knob.name].fromScript(knob.default)


def _made(knob: panel.Knob) -> Any:
    kind = getattr(nuke, knob.kind)
    if knob.kind == "Enumeration_Knob":
        made = kind(knob.name, knob.label, list(knob.values))
    elif knob.kind == "PyScript_Knob":
        made = kind(knob.name, knob.label, panel.button_code(knob.target))
    else:
        made = kind(knob.name, knob.label)
    if knob.tooltip:
        made.setTooltip(knob.tooltip)
    if knob.new_line:
        made.setFlag(nuke.STARTLINE)
    else:
        made.clearFlag(nuke.STARTLINE)
    if knob.hidden or knob.folded:
        made.setFlag(nuke.INVISIBLE)
    if knob.unsaved:
        made.setFlag(nuke.DO_NOT_WRITE)
    return made


def is_ours(node: Any) -> bool:
    """Tell whether it is a MatAnyone node, group or gizmo."""
    return panel.ID in node.knobs() and panel.RECORD in node.knobs()


def our_nodes() -> List[Any]:
    """Return all of them in the script, those in groups too."""
    return [node for node in nuke.allNodes(recurseGroups=True) if is_ours(node)]


def find(identity: str) -> Optional[Any]:
    """Return the node of this id, whatever it is called now; None if it is gone."""
    return next((node for node in our_nodes() if node[panel.ID].value() == identity), None)


def identify(node: Any) -> str:
    """Return its id, which stays when it is renamed; a new node and a copy of another get a new one."""
    own = node[panel.ID].value()
    others = {each[panel.ID].value() for each in our_nodes() if each.fullName() != node.fullName()}
    if own and own not in others:
        return str(own)
    fresh = uuid.uuid4().hex[:12]
    node[panel.ID].setValue(fresh)
    matte = node["matte"].getText()
    if not matte:
        set_matte(node, shape.MATTE_DEFAULT % fresh)
    elif own and own in matte:
        set_matte(node, matte.replace(own, fresh))
        node[panel.RECORD].setValue("")
    return fresh


def set_matte(node: Any, text: str) -> None:
    """Set where the mattes go, on the knob and on the Reads inside."""
    node["matte"].setValue(text)
    follow_matte(node)


def follow_matte(node: Any) -> None:
    """Let the Reads inside show what the knob names; the text is copied, so it means the same in both places."""
    text = node["matte"].getText()
    _read_file(node, shape.MATTE_READ, text)
    _read_file(node, shape.MASK_READ, plan.first_mask_file(text, _prompted(node)))


def _read_file(node: Any, name: str, text: str) -> None:
    read = node.node(name)
    if read is not None and read["file"].getText() != text:
        read["file"].setValue(text)


def _prompted(node: Any) -> str:
    """Return the object whose first masks are shown."""
    said = str(_value(node, "prompt_object")).strip()
    return said or (plan.names_in(_value(node, "objects")) or (plan.SUBJECT,))[0]


# ------------------------------------------------------------------------------------------------------- reading


def _value(node: Any, name: str) -> Any:
    """Return a knob's value; that of its old name, or its default, on a node of an earlier version."""
    knobs = node.knobs()
    if name in knobs:
        return knobs[name].value()
    old = panel.OLD_NAMES.get(name)
    if old in knobs:
        return knobs[old].value()
    return getattr(plan.Settings(), name, panel.defaults()[name])


def settings(node: Any) -> plan.Settings:
    """Read the knobs as they stand."""
    said = {name: _value(node, name) for name in panel.SETTINGS}
    said["region_box"] = tuple(float(value) for value in said["region_box"])
    for name in ("warm_up", "mask_grow", "core_inset", "guide_band", "edge_despeckle"):
        said[name] = int(said[name])
    return plan.Settings(**said)


def is_of_an_earlier_version(node: Any) -> bool:
    """Tell whether it was saved by a version whose node had fewer knobs."""
    there = node.knobs()
    return any(knob.name not in there for knob in panel.KNOBS)


def need_this_version(node: Any) -> None:
    """Refuse a node that lacks the knobs and the insides of this version. Raises PlanError."""
    if is_of_an_earlier_version(node):
        raise plan.PlanError(
            "a node of this version of MatAnyone",
            "one that an earlier version saved",
            "Select it and choose MatAnyone > Update selected nodes in the Nodes menu.",
        )


def take_over_old_names(node: Any) -> None:
    """Give a gizmo that an earlier version saved the values that it has under old names."""
    there = node.knobs()
    defaults = panel.defaults()
    for name, old in panel.OLD_NAMES.items():
        if name in there and old in there and there[old].toScript() != defaults[old]:
            with without_undo():
                there[name].setValue(there[old].value())
                there[old].fromScript(defaults[old])


def marks(node: Any) -> Marks:
    """Read the box and the points for a first mask."""
    points = []
    for number in range(1, panel.POINTS + 1):
        side = node["point_%d_is" % number].value()
        if side != panel.POINT_SIDES[0]:
            x, y = node["point_%d" % number].value()
            points.append((float(x), float(y), side == panel.POINT_SIDES[1]))
    box = tuple(float(value) for value in node["prompt_box"].value())
    return Marks(
        (box[0], box[1], box[2], box[3]), tuple(points), node["prompt_object"].value(), node["prompt_by"].value()
    )


def show_points(node: Any) -> None:
    """Show the handles of those points only that are in use."""
    for number in range(1, panel.POINTS + 1):
        knob = node.knobs().get("point_%d" % number)
        if knob is not None:
            knob.setVisible(node["point_%d_is" % number].value() != panel.POINT_SIDES[0])


def last_record(node: Any) -> Dict[str, str]:
    """Read what the last run said of itself."""
    return record.read_record(node[panel.RECORD].value())


# -------------------------------------------------------------------------------------------------------- showing


@contextlib.contextmanager
def without_undo() -> Iterator[None]:
    """Keep what is done inside out of the artist's undo."""
    nuke.Undo.disable()
    try:
        yield
    finally:
        nuke.Undo.enable()


@contextlib.contextmanager
def one_undo(name: str) -> Iterator[None]:
    """Make all that is done inside one step for the artist's undo."""
    nuke.Undo.begin(name)
    try:
        yield
    finally:
        nuke.Undo.end()


def show_status(node: Any, text: str) -> None:
    """Say one line on the panel; it is not saved, and nothing to undo."""
    with without_undo():
        node[panel.STATUS].setValue(text)


def show_staleness(node: Any) -> None:
    """Say whether the mattes still are what the knobs say."""
    text = record.staleness(settings(node), last_record(node))
    if is_of_an_earlier_version(node):
        text += " (made by an earlier version: Nodes > MatAnyone > Update selected nodes brings what is new)"
    show_status(node, text)


def set_choices(node: Any, name: str, values: List[str]) -> None:
    """Fill a choice with what the engine has; the chosen one is kept."""
    knob = node.knobs().get(name)
    if knob is not None and values:
        chosen = knob.value()
        knob.setValues(values if chosen in values else [chosen] + values)
        knob.setValue(chosen)


def confidence_curve(node: Any) -> Dict[int, float]:
    """Read the confidence of each frame from the curve's keys."""
    knob = node.knobs().get("confidence")
    if knob is None or not knob.isAnimated():
        return {}
    return {int(round(frame)): float(knob.getValueAt(frame)) for frame in knob.getKeyList()}


def draw_confidence(node: Any, sure: Dict[int, float]) -> None:
    """Add frames to the curve in one step. A key at a time would redraw the panel as often."""
    knob = node.knobs().get("confidence")
    if knob is None or not sure:
        return
    keys = confidence_curve(node)
    keys.update(sure)
    with without_undo():
        knob.fromScript("{curve %s}" % " ".join("x%d %.4g" % each for each in sorted(keys.items())))
