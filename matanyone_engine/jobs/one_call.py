# SPDX-License-Identifier: Apache-2.0
"""Mattes a shot in one call from Python: matte(plate, mask, out) loads the model, checks the job, runs it, and lists
the files.

It does the same as the command `matanyone-engine matte`. To see each frame as it is finished, or to stop a run, use
plan_matte() of job.py and run_matte() of run.py (docs/python.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from matanyone_engine.jobs.guide_keys import with_keys_of_guides
from matanyone_engine.jobs.job import MatteJob, MattePlan, plan_matte
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone, StepDone, Unchanged
from matanyone_engine.jobs.run_identity import is_of, may_resume
from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.media.edges import EdgeControls
from matanyone_engine.media.layouts import SUBJECT, Delivery
from matanyone_engine.media.output_names import tokens_of
from matanyone_engine.media.sequence import parse_frames
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights, load_vetted, require_licence_class
from matanyone_engine.wire.reasons import reason

MaskPath = str | Path
MasksOfObject = MaskPath | Mapping[int, MaskPath]
"""One file, such as 'mask.1001.exr' or 'mask.1001.exr@1001', or a file for each plate frame."""
MasksOfShot = MasksOfObject | Mapping[str, MasksOfObject]
"""The masks of one object, or the masks of each object under its name."""
LoadedModel = tuple[MatAnyone, VettedWeights]
"""The result of load_vetted()."""

_DELIVERY = frozenset(each.name for each in fields(Delivery))
_EDGES = frozenset(each.name for each in fields(EdgeControls))
_GIVEN = frozenset({"plate", "mask", "out", "keys", "delivery", "edges", "memory", "objects"})
_JOB = frozenset(each.name for each in fields(MatteJob)) - _GIVEN | {"objects"}
_OPTIONS = _JOB | _DELIVERY | _EDGES


@dataclass
class MattedShot:
    """Lists the files that matte() wrote, by plate frame."""

    record: Path
    """The JSON file that says how the alphas were made; `matanyone-engine review` reads it."""
    alphas: dict[int, list[Path]] = field(default_factory=dict)
    """The files of each frame: one, or one for each object."""
    confidences: dict[int, float] = field(default_factory=dict)
    """The confidence of each frame, 0 to 1: that of its least certain object."""
    reasons: dict[int, str] = field(default_factory=dict)
    """The reason to look at that object on a frame, as a sentence; frames without one have no entry."""
    warnings: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The warnings of each frame; frames without a warning have no entry."""


def matte(
    plate: str | Path,
    mask: MasksOfShot | None,
    out: str | Path,
    *,
    model: str | Path | LoadedModel = "mini",
    device: str = "auto",
    precision: str = "auto",
    licence: str = "any",
    guide: MaskPath | Mapping[str, MaskPath] | None = None,
    guide_band: int | None = None,
    refine_area: MaskPath | Mapping[str, MaskPath] | None = None,
    resume: bool = True,
    progress: Callable[[StepDone], None] = lambda _event: None,
    **options: Any,
) -> MattedShot:
    """Matte a shot from files to files, and return what was written.

    plate, out: patterns such as 'plate.####.exr'. mask: 'mask.1001.exr@1001', {1001: file, 1047: file} for several key
    frames, or {'hero': ..., 'dog': ...} for several objects; None where a guide makes the key.
    guide: rough masks by plate frame, 'rough.####.exr' or {'hero': ...}; guide_band: pixels around their edges that are
    left to the network, None is a sixteenth of the plate's shorter side.
    refine_area: masks by plate frame of where alphas are solved along the plate, 'area.####.exr' or {'hero': ...}; it
    needs the extra `refine`.
    model: a name, a weights file, or what load_vetted() returned, so that several shots load it once.
    resume: go on with an unfinished run of this very job, if there is one. progress: hears each event of run_matte().
    options: the other fields of MatteJob, of its Delivery and of its EdgeControls, such as frames='1001-1045' or
    range(1001, 1046), colorspace='ACEScg', working_size=1080, layout='layers', foreground=True, edge_grow=-0.5.
    Raises the errors of matanyone_engine.errors, and TypeError for an option that does not exist.
    """
    job = job_of_call(plate, mask, out, options, guide, guide_band, refine_area)
    network, weights = model if isinstance(model, tuple) else load_vetted(model, device, precision)
    require_licence_class(weights, licence)
    plan = plan_or_go_on(job, network, resume=None if resume else False)
    going_on = resume and may_resume(plan, network)
    shot = MattedShot(plan.sidecars.record)
    with closing(run_matte(plan, network, weights, resume=going_on)) as events:
        for event in events:
            _note(shot, plan, event)
            progress(event)
    shot.alphas = dict(sorted(shot.alphas.items()))
    return shot


def plan_or_go_on(
    job: MatteJob,
    network: MatAnyone,
    checked: Callable[[int, int], None] = lambda _done, _of: None,
    *,
    resume: bool | None,
) -> MattePlan:
    """Plan a job. If an unfinished run is continued, plan it in the last version of the output.

    resume: True continues in the last version; None does so if that version belongs to this job; False takes a new one.
    checked: as in plan_matte(), whose errors this raises.
    """
    plan = plan_matte(job, checked, resume=resume is not False)
    if resume is None and "version" in tokens_of(job.out) and not is_of(plan, network):
        return plan_matte(job, checked)
    return plan


def job_of_call(
    plate: str | Path,
    mask: MasksOfShot | None,
    out: str | Path,
    options: Mapping[str, Any],
    guide: MaskPath | Mapping[str, MaskPath] | None = None,
    guide_band: int | None = None,
    refine_area: MaskPath | Mapping[str, MaskPath] | None = None,
) -> MatteJob:
    """Make a job from the arguments of matte(). Raises TypeError for an option that does not exist."""
    unknown = next((name for name in options if name not in _OPTIONS), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, sorted(_OPTIONS), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(_OPTIONS))}"
        raise TypeError(f"matte() has no option {unknown!r}: {hint}")
    own = {name: value for name, value in options.items() if name in _JOB}
    for name in ("frames", "first"):
        if name in own:
            own[name] = _frames(own[name])
    delivery = Delivery(**{name: value for name, value in options.items() if name in _DELIVERY})
    edges = EdgeControls(**{name: value for name, value in options.items() if name in _EDGES})
    named, areas = _by_object(guide), _by_object(refine_area)
    drawn = [] if mask is None else list(_keys(mask))
    keys = with_keys_of_guides(drawn, named, own.get("frames"))
    own["objects"] = _guided(own.get("objects", ()), named, guide_band, areas)
    return MatteJob(str(plate), "", str(out), keys=keys, delivery=delivery, edges=edges, **own)


def _by_object(given: MaskPath | Mapping[str, MaskPath] | None) -> dict[str, str]:
    """Return the pattern for each object."""
    patterns = {SUBJECT: given} if isinstance(given, str | Path) else dict(given or {})
    return {name: str(pattern) for name, pattern in patterns.items()}


def _guided(
    objects: Iterable[ObjectOptions], guides: Mapping[str, str], band: int | None, areas: Mapping[str, str]
) -> tuple[ObjectOptions, ...]:
    """Return the options of objects with their guides and areas added."""
    options = {each.name: each for each in objects}
    options |= {
        name: replace(options.get(name, ObjectOptions(name)), guide=pattern, guide_band=band)
        for name, pattern in guides.items()
    }
    options |= {
        name: replace(options.get(name, ObjectOptions(name)), refine_area=pattern) for name, pattern in areas.items()
    }
    return tuple(options.values())


def _frames(given: str | Iterable[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    return parse_frames(given) if isinstance(given, str) else tuple(given)


def _keys(mask: MasksOfShot) -> Iterable[KeyMask]:
    """Yield the masks of the call, object by object."""
    if not isinstance(mask, Mapping):
        yield _key(str(mask), SUBJECT)
        return
    for name, given in mask.items():
        if isinstance(name, int):
            yield KeyMask(str(given), (name,))
        elif isinstance(given, Mapping):
            yield from (KeyMask(str(file), (frame,), name) for frame, file in given.items())
        else:
            yield _key(str(given), name)


def _key(text: str, name: str) -> KeyMask:
    """Parse 'mask.exr' or 'mask.exr@1001'. If a file has exactly this name, the @ is part of it."""
    file, _, frames = text.rpartition("@")
    if not file or Path(text).is_file():
        return KeyMask(text, (), name)
    return KeyMask(file, parse_frames(frames), name)


def _note(shot: MattedShot, plan: MattePlan, event: StepDone) -> None:
    """Add an event's files to the result."""
    if isinstance(event, FrameDone):
        shot.alphas[event.frame] = event.paths
        _note_confidence(shot, event.frame, event.confidences)
        if event.warnings:
            shot.warnings[event.frame] = event.warnings
    elif isinstance(event, Unchanged):
        shot.alphas |= {frame: plan.paths(frame) for frame in event.frames}
        for frame, entry in event.lines.items():
            _note_confidence(shot, frame, entry.confidence)
            if entry.warnings:
                shot.warnings[frame] = entry.warnings


def _note_confidence(shot: MattedShot, frame: int, told: Mapping[str, Confidence]) -> None:
    """Add a frame's confidence and its reason to the result."""
    if not told:
        return
    least = min(told.values(), key=lambda each: each.value)
    shot.confidences[frame] = least.value
    sentence = reason(least.why, least.value)
    if sentence:
        shot.reasons[frame] = sentence
