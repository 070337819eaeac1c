# SPDX-License-Identifier: Apache-2.0
"""Brings a node that an earlier version saved to this version: a new one takes its place, values and all. Main thread.

An older node goes on working as it is, but lacks the knobs and inputs that came later. It is never altered unasked.
"""

from __future__ import annotations

from typing import Any, Callable

import nuke

from . import host, knobs, layers, panel, shape, wiring
from .frames import PlanError


def update_selected(build: Callable[[Any], None]) -> None:
    """Update all selected MatAnyone nodes, and say how many. build: fills an empty group."""
    chosen = [node for node in nuke.selectedNodes() if knobs.is_ours(node)]
    old = [node for node in chosen if node.Class() == "Group" and knobs.is_of_an_earlier_version(node)]
    if not chosen:
        host.say("MatAnyone: expected a selected MatAnyone node; got none. Select one and choose this again.")
        return
    for node in old:
        update(node, build)
    host.say("MatAnyone: %d updated, %d up to date." % (len(old), len(chosen) - len(old)))


def update(old: Any, build: Callable[[Any], None]) -> Any:
    """Put a node of this version in the place of an older one, and return it. Raises PlanError."""
    if not knobs.is_ours(old):
        raise PlanError("a MatAnyone node", old.name(), "Select one.")
    with knobs.one_undo("Update MatAnyone"):
        with wiring.inside(old.parent()):
            new = nuke.nodes.Group()
        build(new)
        _take_values(old, new)
        wiring.take_place(old, new)
        name = old.name()
        nuke.delete(old)
        new.setName(name)
        knobs.follow_matte(new)
        knobs.show_staleness(new)
    return new


def _take_values(old: Any, new: Any) -> None:
    """Copy every knob that both have; old names go to new ones. A knob that may be animated is copied as a script."""
    there = old.knobs()
    for knob in panel.KNOBS:
        source = there.get(knob.name) or there.get(panel.OLD_NAMES.get(knob.name, ""))
        if source is None or knob.kind in ("Tab_Knob", "Text_Knob", "PyScript_Knob", "Link_Knob"):
            continue
        if knob.kind in ("String_Knob", "File_Knob"):
            new[knob.name].setValue(source.getText())
        elif knob.kind in ("Double_Knob", "BBox_Knob", "XY_Knob"):
            new[knob.name].fromScript(source.toScript())
        else:
            new[knob.name].setValue(source.value())
    _take_insides(old, new)
    knobs.show_points(new)


def _take_insides(old: Any, new: Any) -> None:
    """Copy what the knobs of the inner nodes say, and the layers that come out."""
    read, copy = old.node(shape.MATTE_READ), old.node(shape.MATTE_COPY)
    if not read["on_error"].hasExpression():
        new.node(shape.MATTE_READ)["on_error"].setValue(read["on_error"].value())
    for name in ("first", "last", "origfirst", "origlast"):
        new.node(shape.MATTE_READ)[name].setValue(read[name].value())
    new.node(shape.MATTE_COPY)["to0"].setValue(copy["to0"].value())
    layers.show_layers(new, layers.shown_layers(old))
