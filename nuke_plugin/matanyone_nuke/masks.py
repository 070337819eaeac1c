# SPDX-License-Identifier: Apache-2.0
"""Makes masks: first masks from a box and points, and corrections of a matte. Main thread only.

Rules of this file:
1. A first mask is the engine's file; here it is asked for, shown and deleted.
2. A correction is a copy of a matte: the artist paints over the copy, and the next run may write over the matte.
3. Nodes are made beside the node, in one undo step, where the artist sees and keeps them.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Tuple

import nuke

from . import export, exr, knobs, plan, shape, stage
from .engine.wire.reasons import reason
from .frames import PlanError, describe_frames, frame_file, parse_frames, with_view
from .jobs import MaskPlan, plan_mask
from .scene import look_around
from .wiring import inside

CORRECTIONS = shape.INPUTS.index("corrections")


def planned_mask(node: Any) -> Tuple[plan.Scene, MaskPlan]:
    """Decide how the first mask on the current frame is made. Raises PlanError."""
    knobs.need_this_version(node)
    scene = look_around(node)
    planned = plan_mask(knobs.settings(node), scene, knobs.marks(node))
    folder = os.path.dirname(planned.ask.out)
    os.makedirs(folder, exist_ok=True)
    export.remember(folder, [planned.ask.out])
    return scene, planned


def remove_mask(node: Any) -> str:
    """Delete the first mask on the current frame, and say so. Raises PlanError."""
    knobs.need_this_version(node)
    pattern = node.node(shape.MASK_READ)["file"].getEvaluatedValue() or ""
    frame = int(nuke.frame())
    path = frame_file(pattern, frame)
    if not export.is_listed(path):
        raise PlanError("a first mask on frame %d" % frame, "none", "Go to the frame whose mask shall go.")
    os.remove(path)
    stage.show_first_masks(node)
    return "the first mask on frame %d is gone" % frame


# --------------------------------------------------------------------------------------------------- corrections


def correct_frame(node: Any) -> str:
    """Give the artist the current frame's matte to paint on, and say what to do next. Raises PlanError."""
    knobs.need_this_version(node)
    frame = int(nuke.frame())
    matte = node["matte"].getEvaluatedValue() or ""
    view = nuke.thisView()
    source = _what_is_there(node, with_view(matte, view), frame)
    pattern = corrections_file(matte)
    copy = frame_file(pattern, frame)
    if not os.path.isfile(copy):
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        export.remember(os.path.dirname(copy), [copy])
        shutil.copyfile(source, copy)
    with knobs.one_undo("Correct a MatAnyone frame"):
        paint = _painted_node(node, pattern)
        _add_corrected(node, frame)
    return "paint on frame %d in %s, then press Re-run changed stretch" % (frame, paint.name())


def corrections_file(matte: str) -> str:
    """Return the pattern of the copies that are painted on."""
    return "%s/corrections/alpha.####.exr" % os.path.dirname(matte.replace("\\", "/"))


def _what_is_there(node: Any, matte: str, frame: int) -> str:
    """Return the file that a correction begins with: the matte, else the first mask."""
    drawn = node.node(shape.MASK_READ)["file"].getEvaluatedValue() or ""
    for path in (frame_file(matte, frame), frame_file(drawn, frame)):
        if os.path.isfile(path):
            return path
    raise PlanError("a matte of frame %d" % frame, "none", "Press Matte current frame first.")


def _painted_node(node: Any, pattern: str) -> Any:
    """Return what is connected to 'corrections'; where nothing is, make a Read of the copies with a RotoPaint on it."""
    paint = node.input(CORRECTIONS)
    if paint is None:
        with inside(node.parent()):
            read, paint = nuke.nodes.Read(), nuke.nodes.RotoPaint()
        for name, value in (("file", pattern), ("raw", True), ("on_error", "black"), ("label", "corrections")):
            read[name].setValue(value)
        paint.setInput(0, read)
        read.setXYpos(node.xpos() + 150, node.ypos() - 120)
        paint.setXYpos(node.xpos() + 150, node.ypos() - 60)
        node.setInput(CORRECTIONS, paint)
    read = paint.input(0)
    if read is not None and read.Class() == "Read":
        stage.show_files(read, stage.frames_of_pattern(read["file"].getEvaluatedValue() or ""))
    return paint


def _add_corrected(node: Any, frame: int) -> None:
    said = node["corrected"].value().strip()
    frames = set(parse_frames(said)) if said else set()
    node["corrected"].setValue(describe_frames(frames | {frame}).replace(",", ", "))


# --------------------------------------------------------------------------------------------------------- doubts


def next_doubtful(node: Any) -> str:
    """Move the playhead to the next doubtful frame, and say how doubtful it is. Raises PlanError."""
    knobs.need_this_version(node)
    curve = knobs.confidence_curve(node)
    below = float(node["doubt_below"].value())
    if not curve:
        raise PlanError("a confidence for each frame", "none: nothing has been matted yet", "Press Matte range.")
    doubtful = sorted(frame for frame, value in curve.items() if value < below)
    if not doubtful:
        return "no frame has a confidence below %g" % below
    here = int(nuke.frame())
    frame = next((each for each in doubtful if each > here), doubtful[0])
    nuke.frame(frame)
    said = "frame %d: confidence %.2f; %d doubtful frames" % (frame, curve[frame], len(doubtful))
    return ". ".join(filter(None, (said, _reason(node, frame, curve[frame]))))


def _reason(node: Any, frame: int, confidence: float) -> str:
    """Return in one sentence why to look at a frame; '' where its matte does not say or is gone."""
    path = frame_file(with_view(node["matte"].getEvaluatedValue() or "", nuke.thisView()), frame)
    return reason(exr.why_of(path), confidence) if os.path.isfile(path) else ""
