# SPDX-License-Identifier: Apache-2.0
"""Puts a plan into the engine's words: the job of a chunk, and the request for a first mask.

Rules of this file:
1. It imports no nuke and touches no disk. It is the only file that knows the fields of the engine's messages.
2. Nuke counts rows from the bottom, the engine from the top: they are turned over here and nowhere else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Optional, Tuple

from .edges import EDGES
from .engine.wire import messages as say
from .frames import PlanError, frame_file
from .plan import (
    QUALITIES,
    Chunk,
    Export,
    Plan,
    Scene,
    Settings,
    check_matte,
    chosen_views,
    export_of,
    first_mask_file,
    followed,
    names_in,
    plate_on_disk,
    plate_space,
    prompted_object,
)

_BESIDE_MASKS = ("inside", "outside", "guide", "area")
"""Inputs that say something of an object beside its masks."""


def job_of(plan: Plan, chunk: Chunk, view: Optional[str]) -> say.Job:
    """Return what the engine is asked once this chunk is exported. Raises PlanError."""
    settings, scene = plan.settings, plan.scene
    exports = plan.chunks[0].exports
    return say.Job(
        nonce=secrets.token_hex(16),
        plate=plan.plate,
        mask="",
        out=scene.matte,
        frames=chunk.frames,
        model=settings.model,
        options=_options(plan),
        delivery=_delivery(settings),
        view=view,
        label=scene.node,
        priority="interactive",
        keys=tuple(say.KeyMask(mask.file, mask.frames, mask.object) for mask in plan.masks),
        objects=tuple(each for name in followed(settings) for each in _object(name, settings, exports)),
        pin_keys=settings.pin_keys,
        edges=say.EdgeControls(**{edge.field: getattr(settings, edge.knob) for edge in EDGES}),
    )


def _object(name: str, settings: Settings, exports: Tuple[Export, ...]) -> Tuple[say.ObjectOptions, ...]:
    """Return what is said of an object beside its masks; nothing where there is nothing to say."""
    files = {each.what: each.file for each in exports if each.object == name and each.what in _BESIDE_MASKS}
    distractor = name in names_in(settings.distractors)
    if not files and not distractor:
        return ()
    band = settings.guide_band if settings.guide_band >= 0 and "guide" in files else None
    inside, outside, guide, area = (files.get(what) for what in _BESIDE_MASKS)
    said = say.ObjectOptions(
        name, distractor=distractor, inside=inside, outside=outside, guide=guide, guide_band=band, refine_area=area
    )  # fmt: skip
    return (said,)


def _delivery(settings: Settings) -> say.Delivery:
    return say.Delivery(
        layout="layers" if settings.objects else "matte",
        foreground=settings.own_colour,
        split=settings.core_inset if settings.core_edge else None,
    )


def _options(plan: Plan) -> say.Options:
    settings = plan.settings
    return say.Options(
        warm_up_passes=settings.warm_up if settings.warm_up >= 0 else None,
        working_size=QUALITIES[settings.quality],
        colorspace=plan.colorspace,
        mask_grow=settings.mask_grow,
        exposure=_exposure(settings),
        region=_region(settings, plan.scene),
    )


def _exposure(settings: Settings) -> Optional[float]:
    """Return the stops that an artist asks for; None leaves them to the engine."""
    return None if settings.auto_exposure and not settings.exposure else settings.exposure


def _region(settings: Settings, scene: Scene) -> Optional[str]:
    if settings.region != "box":
        return None if settings.region == "off" else settings.region
    box = _box(settings.region_box, scene.size)
    if box is None:
        raise PlanError("a box with an inside, for 'region'", "an empty one", "Draw it, or choose off or follow.")
    return "%d,%d,%d,%d" % box


def _box(box: Tuple[float, float, float, float], size: Tuple[int, int]) -> Optional[Tuple[int, int, int, int]]:
    """Turn x, y, r, t from the bottom left into x0, y0, x1, y1 from the top left; None where it is empty."""
    left, bottom, right, top = (int(round(value)) for value in box)
    if right <= left or top <= bottom:
        return None
    return left, size[1] - top, right, size[1] - bottom


def layers_made(plan: Plan) -> Tuple[str, ...]:
    """Return the channels that the mattes have beside their alpha, as Nuke calls them."""
    settings = plan.settings
    channels = tuple("%s.alpha" % name for name in plan.objects) if settings.objects else ()
    channels += ("fg.red", "fg.green", "fg.blue") if settings.own_colour else ()
    return channels + (("core.alpha", "edge.alpha") if settings.core_edge else ())


# --------------------------------------------------------------------------------------------------- first masks


@dataclass(frozen=True)
class Marks:
    """Holds what the artist has drawn on one frame for a first mask, in Nuke's pixels from the bottom left."""

    box: Tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    points: Tuple[Tuple[float, float, bool], ...] = ()
    """x, y, whether it lies on the subject."""
    object: str = ""
    by: str = "grabcut"


@dataclass(frozen=True)
class MaskPlan:
    """Says how a first mask is made."""

    exports: Tuple[Export, ...]
    """The plate's frame, where it has to be rendered."""
    view: Optional[str]
    ask: say.Prompt


def plan_mask(settings: Settings, scene: Scene, marks: Marks) -> MaskPlan:
    """Decide how the first mask on the current frame is made. Raises PlanError."""
    check_matte(scene)
    views = chosen_views(settings, scene)
    if len(views) > 1:
        raise PlanError("one view for a first mask", ", ".join(map(str, views)), "Name one in 'views'.")
    box = _box(marks.box, scene.size)
    if box is None and not any(subject for _, _, subject in marks.points):
        raise PlanError("a box or a point on the subject", "neither", "Drag the box around it, or set a point.")
    name = prompted_object(settings, marks.object)
    span = (scene.frame,)
    plate = plate_on_disk(settings, scene, span, views)
    exports: Tuple[Export, ...] = () if plate is not None else (export_of("plate", "rgb", "", span, scene, views),)
    ask = say.Prompt(
        nonce=secrets.token_hex(16),
        plate=plate.file if plate is not None else exports[0].file,
        out=frame_file(first_mask_file(scene.matte, name), scene.frame),
        frame=scene.frame,
        box=box,
        strokes=tuple(say.Stroke(((x, scene.size[1] - y),), subject) for x, y, subject in marks.points),
        backend=marks.by,
        colorspace=plate_space(settings, scene, plate),
        exposure=_exposure(settings),
        view=views[0],
    )
    return MaskPlan(exports, views[0], ask)
