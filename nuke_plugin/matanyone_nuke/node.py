# SPDX-License-Identifier: Apache-2.0
"""Builds the MatAnyone node in Nuke, runs it, and answers its buttons and callbacks. Main thread only.

Rules of this file:
1. Callbacks only look at knobs and remember: nothing is evaluated, rendered or connected to in them.
2. A run finds its node by id each time it comes to the main thread: the node may be renamed, or gone.
3. What a run changes for a moment (proxy, Writes, undo, the modified flag) is put back in `finally`.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple

import nuke

from . import export, farm, host, knobs, layers, masks, panel, plan, record, shape, update, wiring
from .frames import PlanError, parse_frames
from .run import Cancelled, Outcome
from .scene import look_around
from .stage import NodeRun, ask_engine, mask_run, matte_run
from .wiring import inside

RUNS: Dict[str, NodeRun] = {}
"""The run of each node, by the node's id."""
_BAD_INPUT = 2


# --------------------------------------------------------------------------------------------------- building


def create() -> Any:
    """Make a MatAnyone node: a plain group that Nuke draws without this add-on."""
    with knobs.one_undo("Create MatAnyone"):
        node = nuke.createNode("Group", inpanel=False)
        node.setName(shape.CLASS + "1", uncollide=True)
        build(node)
        knobs.identify(node)
        knobs.show_points(node)
    return node


def update_selected() -> None:
    """Bring selected nodes that an earlier version saved to this version."""
    update.update_selected(build)


def build(node: Any) -> None:
    """Fill an empty group with what shape.py and panel.py say."""
    node.begin()
    try:
        made = {}
        for inner in shape.INSIDE:
            made[inner.name] = one = getattr(nuke.nodes, inner.kind)()
            one.setName(inner.name)
            for name, value in inner.knobs:
                one[name].fromScript(value)
            for name, text in inner.expressions:
                one[name].setExpression(text)
            for number, source in enumerate(inner.inputs):
                one.setInput(number, made[source])
            one.setXYpos(*inner.place)
    finally:
        node.end()
    knobs.add_knobs(node)


# ---------------------------------------------------------------------------------------------------- buttons


def press(node: Any, action: str) -> None:
    """Do what a button of the panel says. Anything that goes wrong becomes a sentence."""
    try:
        _ACTIONS[action](node)
    except PlanError as error:
        host.say("MatAnyone: expected %s; got %s.\n\n%s" % (error.expected, error.came, error.action))
    except export.ExportError as error:
        host.say("MatAnyone: %s" % error)
    except Cancelled:
        host.say("MatAnyone: stopped.")


def _matte_range(node: Any) -> None:
    start(node)


def _matte_frame(node: Any) -> None:
    start(node, only=(int(nuke.frame()),))


def _rerun(node: Any) -> None:
    """Run the frames of the last run again; the engine finds out which of them a change can reach."""
    frames = knobs.last_record(node).get("frames", "")
    start(node, only=parse_frames(frames) if frames else None)


def _cancel(node: Any) -> None:
    run = RUNS.get(node[panel.ID].value())
    if run is not None:
        run.cancel()


def _test_engine(node: Any) -> None:
    """Ask the engine on a thread of its own, so that a dead engine freezes nothing."""
    ask_engine(knobs.identify(node), _where_of(node))


def _show_record(node: Any) -> None:
    said = knobs.last_record(node)
    text = record.staleness(knobs.settings(node), said)
    host.say("\n".join(["MatAnyone: " + text, ""] + ["%s: %s" % pair for pair in said.items()]))


def _delete_export(node: Any) -> None:
    count = export.delete_rendered(plan.export_folder(node["matte"].getEvaluatedValue() or ""))
    host.say("MatAnyone: %d rendered files deleted." % count)


def _save_job(node: Any) -> None:
    identity = knobs.identify(node)
    planned = plan.plan_run(knobs.settings(node), look_around(node))
    paths = farm.save_job_files(identity, planned, _client(node))
    host.say("MatAnyone: saved for the farm:\n%s\n\nmatanyone-engine run FILE needs no Nuke." % "\n".join(paths))


def _convert(node: Any) -> None:
    convert(node)


def _make_mask(node: Any) -> None:
    start_mask(node)


def _remove_mask(node: Any) -> None:
    knobs.show_status(node, masks.remove_mask(node))


def _correct_frame(node: Any) -> None:
    knobs.show_status(node, masks.correct_frame(node))


def _next_doubtful(node: Any) -> None:
    knobs.show_status(node, masks.next_doubtful(node))


_ACTIONS = {
    "matte_range": _matte_range,
    "matte_frame": _matte_frame,
    "rerun": _rerun,
    "cancel": _cancel,
    "test_engine": _test_engine,
    "show_record": _show_record,
    "delete_export": _delete_export,
    "save_job": _save_job,
    "convert": _convert,
    "make_mask": _make_mask,
    "remove_mask": _remove_mask,
    "correct_frame": _correct_frame,
    "next_doubtful": _next_doubtful,
}


# -------------------------------------------------------------------------------------------------------- runs


def start(node: Any, only: Optional[Tuple[int, ...]] = None) -> None:
    """Matte beside the artist's work (GUI), or now (nuke -t). Raises PlanError before anything is rendered."""
    if not nuke.GUI:
        matte(node, only)
        return
    identity = _free(node)
    planned = plan.plan_run(knobs.settings(node), look_around(node), only)
    _go(node, identity, matte_run(identity, planned, _where_of(node)), "asking for an engine")


def start_mask(node: Any) -> None:
    """Make a first mask on the current frame, beside the artist's work or now. Raises PlanError."""
    identity = _free(node)
    scene, planned = masks.planned_mask(node)
    run = mask_run(identity, scene, planned, _where_of(node))
    _go(node, identity, run, "making a mask on frame %d" % scene.frame)


def _free(node: Any) -> str:
    """Return the id of a node that runs nothing. Raises PlanError."""
    identity = knobs.identify(node)
    if identity in RUNS and RUNS[identity].running():
        raise PlanError("one run of a node at a time", "a run that is not finished", "Wait for it, or press Cancel.")
    return identity


def _go(node: Any, identity: str, run: NodeRun, status: str) -> None:
    RUNS[identity] = run
    knobs.show_status(node, status)
    if nuke.GUI:
        run.start()
        return
    try:
        run.run_here()
    finally:
        RUNS.pop(identity, None)


def matte(node: Any, only: Optional[Tuple[int, ...]] = None) -> int:
    """Matte now, and return the exit code when it is done (docs/nuke.md): for nuke -t."""
    identity = knobs.identify(node)
    try:
        planned = plan.plan_run(knobs.settings(node), look_around(node), only)
        run = matte_run(identity, planned, _where_of(node))
    except PlanError as error:
        host.log("not begun: expected %s; got %s. %s" % (error.expected, error.came, error.action))
        return _BAD_INPUT
    _go(node, identity, run, "running")
    outcome: Outcome = run.outcome
    return outcome.exit_code


def _where_of(node: Any) -> Any:
    from .bridge import installed_where

    start, chosen = bool(node["start_engine"].value()), node.knobs().get("precision")
    precision = chosen.value() if chosen is not None else "auto"  # a node of version 0.1.0 has no such knob
    return installed_where(node["engine"].value() or "", start, _client(node), precision)


def _client(node: Any) -> str:
    """Say who asks, for people."""
    return "Nuke %s, %s %s" % (nuke.NUKE_VERSION_STRING, os.path.basename(nuke.root().name()), node.fullName())


# --------------------------------------------------------------------------------------------------- converting


def convert(node: Any) -> Any:
    """Put a plain Read and Copy in its place, which any Nuke draws, and return the Copy."""
    with knobs.one_undo("Convert MatAnyone"):
        inner = {name: node.node(name) for name in (shape.MATTE_READ, shape.MATTE_COPY)}
        with inside(node.parent()):
            read, copy = nuke.nodes.Read(), nuke.nodes.Copy()
        _copy_knobs(inner[shape.MATTE_READ], read, ("file", "first", "last", "origfirst", "origlast", "raw"))
        read["on_error"].setExpression(shape.ON_ERROR)
        _copy_knobs(inner[shape.MATTE_COPY], copy, ("from0", "to0"))
        copy.setInput(0, node.input(0))
        copy.setInput(1, read)
        read.setXYpos(node.xpos() - 150, node.ypos())
        copy.setXYpos(node.xpos(), node.ypos())
        last = _copy_objects(node, copy, read)
        for user, number in wiring.users_of(node):
            user.setInput(number, last)
        nuke.delete(node)
    return last


def _copy_knobs(source: Any, target: Any, names: Tuple[str, ...]) -> None:
    for name in names:
        value = source[name].getText() if name == "file" else source[name].value()
        target[name].setValue(value)


def _copy_objects(node: Any, copy: Any, read: Any) -> Any:
    """Make a further Copy for each four objects, as inside the node, and return the last one."""
    for inner in layers.object_copies(node):
        with inside(node.parent()):
            more = nuke.nodes.Copy()
        _copy_knobs(inner, more, tuple("%s%d" % (side, slot) for slot in range(4) for side in ("from", "to")))
        more.setInput(0, copy)
        more.setInput(1, read)
        more.setXYpos(copy.xpos(), copy.ypos() + 40)
        copy = more
    return copy


# -------------------------------------------------------------------------------------------------- callbacks


def on_create() -> None:
    """Give a node that was made, pasted or loaded an id of its own."""
    node = nuke.thisNode()
    if knobs.is_ours(node):
        knobs.take_over_old_names(node)
        knobs.identify(node)
        knobs.show_points(node)
        knobs.show_staleness(node)


def on_destroy() -> None:
    """Stop the run of a node that is deleted."""
    node = nuke.thisNode()
    if knobs.is_ours(node) and node[panel.ID].value() in RUNS:
        RUNS.pop(node[panel.ID].value()).cancel()


def on_knob_changed() -> None:
    """Say what has changed; the Reads follow the knobs that name them."""
    node, knob = nuke.thisNode(), nuke.thisKnob()
    if not knobs.is_ours(node):
        return
    if knob.name() in ("matte", "objects", "prompt_object"):
        knobs.follow_matte(node)
    if knob.name().endswith("_is"):
        knobs.show_points(node)
    if knob.name() in panel.SETTINGS:
        knobs.show_staleness(node)
    if knob.name() == "inputChange":
        knobs.show_status(node, "an input has changed since the last look: press Re-run changed stretch")


def on_script_close() -> None:
    """Stop all runs of a script that is closed."""
    for identity in list(RUNS):
        RUNS.pop(identity).cancel()


def register() -> None:
    """Register the callbacks for groups and gizmos; also under nuke -t."""
    for kind in ("Group", shape.CLASS):
        nuke.addOnCreate(on_create, nodeClass=kind)
        nuke.addOnDestroy(on_destroy, nodeClass=kind)
        nuke.addKnobChanged(on_knob_changed, nodeClass=kind)
    nuke.addOnScriptClose(on_script_close)
