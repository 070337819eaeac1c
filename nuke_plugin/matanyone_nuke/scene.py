# SPDX-License-Identifier: Apache-2.0
"""Finds out what stands around the node: plate files, mask keys, layers, views, working space. Main thread only.

Rule of this file: called when a run is planned, never in a callback, since some of it makes Nuke evaluate.
"""

from __future__ import annotations

import os
from typing import Any, Iterator, Optional, Set, Tuple

import nuke

from . import plan, shape
from .frames import frame_file, frames_of

PASSES_ON = frozenset(["Dot", "NoOp"])
"""Node classes that change neither a pixel nor a time."""
SHAPES = frozenset(["Roto", "RotoPaint"])
_FLOAT_FILES = frozenset([".exr", ".hdr"])
_MOST_KEYS = 100
_MOST_NODES = 500


def look_around(node: Any) -> plan.Scene:
    """Find out everything that a plan needs to know. Raises PlanError where there is no plate."""
    root = nuke.root()
    sources = {name: node.input(number) for number, name in enumerate(shape.INPUTS)}
    plate = sources["plate"]
    if plate is None:
        raise plan.PlanError("something on the input 'plate'", "nothing", "Connect the plate.")
    matte = (node["matte"].getEvaluatedValue() or "").replace("\\", "/")
    return plan.Scene(
        matte=matte,
        script="" if root.name() == "Root" else root.name(),
        node=node.fullName(),
        frame=int(nuke.frame()),
        input_frames=(int(plate.firstFrame()), int(plate.lastFrame())),
        script_frames=(int(root["first_frame"].value()), int(root["last_frame"].value())),
        views=tuple(nuke.views()),
        view=nuke.thisView(),
        size=(int(plate.format().width()), int(plate.format().height())),
        working_space=root["workingSpaceLUT"].value(),
        plate=plate_files(plate),
        mask_keys=animated_frames(sources["mask"]) if sources["mask"] is not None else (),
        mask_layers=_layers(sources["mask"]),
        inside_layers=_layers(sources["inside"]),
        outside_layers=_layers(sources["outside"]),
        corrections_layers=_layers(sources["corrections"]),
        guide_layers=_layers(sources["guide"]),
        area_layers=_layers(sources["area"]),
        first_masks=first_masks(matte),
    )


def first_masks(matte: str) -> Tuple[Tuple[str, Tuple[int, ...]], ...]:
    """Find the first masks beside a matte: each object with the frames that have one."""
    folder = os.path.dirname(plan.first_mask_file(matte, plan.SUBJECT))
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    objects = sorted({name.split(".")[0] for name in names if name.endswith(".exr") and name[0] != "."})
    return tuple((name, frames_of("%s.####.exr" % name, names)) for name in objects)


def _layers(node: Optional[Any]) -> Optional[Tuple[str, ...]]:
    """Return those that have an alpha; None where nothing is connected."""
    if node is None:
        return None
    return tuple(sorted({name.split(".")[0] for name in node.channels() if name.endswith(".alpha")}))


# -------------------------------------------------------------------------------------------------- plate files


def plate_files(node: Optional[Any]) -> Optional[plan.PlateFiles]:
    """Return the files of a Read that nothing has altered on the way; None for anything else, which is rendered."""
    read = _untouched_read(node)
    if read is None:
        return None
    file = read["file"].getEvaluatedValue() or ""
    colorspace = _declared(read, file)
    if not file or colorspace is None or frame_file(file, 1) == file:
        return None  # no sequence: a movie, or a still that Nuke holds
    return plan.PlateFiles(file.replace("\\", "/"), int(read["first"].value()), int(read["last"].value()), colorspace)


def _untouched_read(node: Optional[Any]) -> Optional[Any]:
    for _ in range(_MOST_NODES):
        if node is None:
            return None
        off = _switched_off(node)
        if off is None:
            return None
        if node.Class() == "Read" and not off:
            return node if _plain_times(node) else None
        if not off and node.Class() not in PASSES_ON:
            return None
        node = node.input(0)
    return None


def _switched_off(node: Any) -> Optional[bool]:
    """Return whether the node is disabled; None where that changes over time."""
    knob = node.knobs().get("disable")
    if knob is None:
        return False
    return None if knob.hasExpression() or knob.isAnimated() else bool(knob.value())


def _plain_times(read: Any) -> bool:
    """Return whether script frame N is file N."""
    return not read["frame"].value() and read["frame_mode"].value() == "expression"


def _declared(read: Any, file: str) -> Optional[str]:
    """Return the colour space the Read takes its files for; None where only Nuke knows, so that the plate is
    rendered.
    """
    root = nuke.root()
    if read["raw"].value():
        return str(root["workingSpaceLUT"].value())
    said = plan.space_name(read["colorspace"].value())
    if said == "default" and os.path.splitext(file)[1].lower() in _FLOAT_FILES:
        said = plan.space_name(root["floatLut"].value())
    return None if said == "default" else said


# ---------------------------------------------------------------------------------------------------- mask keys


def animated_frames(node: Any) -> Tuple[int, ...]:
    """Return the frames on which the mask was drawn: keys of roto shapes; without any, keys of any knob upstream.

    Raises PlanError for more than a person draws: a track or a bake.
    """
    upstream = list(_upstream(node))
    drawn: Set[int] = set()
    for each in upstream:
        if each.Class() in SHAPES:
            drawn.update(_shape_keys(each["curves"].rootLayer))
    if not drawn:
        for each in upstream:
            drawn.update(_knob_keys(each))
    if len(drawn) > _MOST_KEYS:
        raise plan.PlanError(
            "at most %d key frames" % _MOST_KEYS,
            "%d upstream of the mask, as of a track" % len(drawn),
            "List the frames you drew: key frames 'list'.",
        )
    return tuple(sorted(drawn))


def _upstream(node: Optional[Any]) -> Iterator[Any]:
    """Yield the node and what feeds it, each once, nearest first."""
    waiting = [node]
    seen: Set[str] = set()
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.pop(0)
        if node is None or node.fullName() in seen:
            continue
        seen.add(node.fullName())
        yield node
        waiting += [node.input(number) for number in range(node.inputs())]


def _shape_keys(element: Any) -> Iterator[int]:
    """Yield the frames on which a layer's shapes and their points have keys."""
    if hasattr(element, "center"):
        for time in element.center.getControlPointKeyTimes():
            yield int(round(time))
    elif hasattr(element, "__iter__"):
        for part in element:
            for frame in _shape_keys(part):
                yield frame


def _knob_keys(node: Any) -> Iterator[int]:
    for knob in node.knobs().values():
        if knob.isAnimated():
            for frame in knob.getKeyList():
                yield int(round(frame))
