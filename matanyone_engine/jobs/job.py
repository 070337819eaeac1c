# SPDX-License-Identifier: Apache-2.0
"""Checks a job against its files and plans it; run.py runs the plan.

Rule of this file: plan_matte() finds every error that can be found without the network; nothing is computed or written
before. This module prints nothing; the caller shows the events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.delivery import Outputs, plan_outputs
from matanyone_engine.jobs.guides import check_guide
from matanyone_engine.jobs.masks import (
    KeyFrame,
    KeyMask,
    MaskReading,
    MaskSet,
    ObjectOptions,
    check_constraint_masks,
    expanded,
    read_masks,
    subjects_of,
)
from matanyone_engine.jobs.provenance import describe_making
from matanyone_engine.jobs.refine_areas import AreaFiles, AreaSet, area_files, check_areas, read_areas
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.options import check_options, check_region, keywords
from matanyone_engine.matting.region import Region
from matanyone_engine.matting.shot import Seed, Shot
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color import LinearLight, NetworkView, exposure_or_found
from matanyone_engine.media.color_spaces import ColourChoice, choose_space, is_linear
from matanyone_engine.media.edges import EdgeControls, check_edges, describe_edges
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import Delivery
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import PlateSource, check_plates, describe_picture, open_plate
from matanyone_engine.media.sequence import describe_frames, select_between, select_frames
from matanyone_engine.media.views import with_view
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.runs.ledger import Ledger
from matanyone_engine.runs.sidecars import Sidecars
from matanyone_engine.sizes import Resolution


@dataclass(frozen=True)
class MatteJob:
    """Holds all settings of a job, with the paths as typed. No file was opened yet."""

    plate: str
    mask: str
    """The mask of a shot with one object and one key; '' if all masks are in `keys`."""
    out: str
    mask_frame: int | None = None
    """The plate frame the mask belongs to; None is the first frame that is run."""
    keys: tuple[KeyMask, ...] = ()
    """Further masks: on other frames, of other objects."""
    objects: tuple[ObjectOptions, ...] = ()
    """Options of single objects; an object without an entry has the defaults."""
    pin_keys: bool = False
    """Whether every pass remembers all keys of its object. A changed key then changes all frames of the object."""
    separate: bool = False
    """Whether the mattes of different objects add up to at most 1. With distractors they always do."""
    frames: tuple[int, ...] | None = None
    """None is every frame of the plate."""
    first: tuple[int, ...] = ()
    """Frames that are computed before all others, in this order."""
    missing: Literal["error", "skip"] = "error"
    colorspace: str | None = None
    exposure: float | None = None
    """Stops by which the network sees the plate brighter; nothing else changes.

    None takes the result of find_exposure() for the plate on the frame of the first mask.
    """
    mask_grow: int = 0
    """Pixels by which masks are grown before they are used; a negative number shrinks them."""
    warm_up_passes: int | None = None
    """Number of warm-up passes over a key frame; None is the model's default."""
    working_size: int | None = None
    refine: bool = True
    """Whether alphas of a smaller working size are refined from the plate; otherwise they are enlarged bilinearly."""
    region: str | None = None
    """Which part of the plate is computed (matting/region.py)."""
    hold_tolerance: float | None = 0.0
    """A plate that differs from the last computed one by no more than this gets its alpha (matting/held_frames.py);
    None computes every frame."""
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    delivery: Delivery = field(default_factory=Delivery)
    """How the alphas are written."""
    edges: EdgeControls = field(default_factory=EdgeControls)
    """The edge controls of all objects that have none of their own. They are applied before the alphas are written, and
    need no new computation."""
    view: str | None = None
    """The view of a stereo plate, for which %V and %v in plate, mask and out stand. None is the file's default view."""
    part: str | None = None
    layer: str | None = None
    """The part to matte, of an EXR with several."""
    overwrite: bool = False
    """Whether to replace alphas that were changed by hand, and files that this engine did not write."""
    accept_doubt: bool = False
    """Whether a run that lost its subject on most frames ends without an error (runs/doubt.py)."""

    @property
    def wanted(self) -> Selection:
        """Returns the picture that is chosen where the plate's files have several."""
        return Selection.of(self.plate, self.view, self.part, self.layer)

    @property
    def steadies(self) -> bool:
        """Returns whether the edges of any object may be steadied (deflicker), which needs the frames beside each."""
        own = (each.edges for each in self.objects if each.edges is not None)
        return any(controls.deflicker > 0 for controls in (self.edges, *own))

    def edges_of(self, name: str) -> EdgeControls:
        """Return the edge controls of an object: its own, or those of the job."""
        own = next((each.edges for each in self.objects if each.name == name), None)
        return self.edges if own is None else own

    def named(self) -> MatteJob:
        """Return the job with %V and %v replaced. Raises SettingError where no view is named."""
        plate, mask, out = (with_view(name, self.view) for name in (self.plate, self.mask, self.out))
        keys = tuple(replace(key, file=with_view(key.file, self.view)) for key in self.keys)
        objects = tuple(each.of_view(self.view) for each in self.objects)
        return replace(self, plate=plate, mask=mask, out=out, keys=keys, objects=objects)


@dataclass(frozen=True)
class MattePlan:
    """Holds a checked job: all files that it needs exist and fit together."""

    job: MatteJob
    source: PlateSource
    frames: tuple[int, ...]
    """Frames that get an alpha, ascending."""
    shot: Shot
    """All frames that may have to be computed, and the objects with their keys."""
    masks: MaskSet
    areas: AreaSet
    """The areas in which alphas are solved along the plate."""
    resolution: Resolution
    region: Region
    """Which part of the plate is computed."""
    colour: ColourChoice
    network_view: NetworkView
    """Converts a plate to what the network sees."""
    outputs: Outputs
    light: LinearLight | None = None
    """Converts the plate's values to linear light, for estimating a foreground; None if they are linear or no
    foreground is estimated."""

    def paths(self, frame: int) -> list[Path]:
        """Return the files that the alphas of a frame go to."""
        return self.outputs.paths(frame)

    @property
    def sidecars(self) -> Sidecars:
        """Returns the sidecars of the job's run."""
        return Sidecars.of(self.outputs.main, self.job.frames)

    def ledger(self) -> Ledger:
        """Read the ledgers of the output. Raises OSError."""
        return ledger_of(self.outputs, self.job.frames)


@dataclass(frozen=True)
class Outline:
    """Holds the frames, objects and files of a job, as they are found without reading pixels."""

    frames: tuple[int, ...]
    """Frames that get an alpha, ascending."""
    keys: tuple[KeyFrame, ...]
    shot: Shot
    masks: frozenset[MaskSource]
    constraints: frozenset[MaskSource]
    areas: AreaFiles
    """Guides; they are in `constraints` as well."""
    region: Region
    """What of the plate is computed."""

    @property
    def mask_files(self) -> list[Path]:
        """Returns all files that are read as masks, constraint masks or areas."""
        return [each.path for each in (*self.masks, *self.constraints)]


@dataclass(frozen=True)
class ResolvedJob:
    """Holds a job with its plate, frames, objects and colour space found, before any pixel is read."""

    job: MatteJob
    """With %V and %v replaced."""
    source: PlateSource
    outline: Outline
    header: PlateHeader
    """The header of the first frame that gets an alpha."""
    colour: ColourChoice


def outline_matte(job: MatteJob, source: PlateSource) -> Outline:
    """Find the frames, objects and files of a job. Raises PlateError, MaskError, FrameRangeError, SettingError."""
    region = check_options(**keywords(job))
    for controls in (job.edges, *(each.edges for each in job.objects if each.edges is not None)):
        check_edges(controls)
    job = job.named()
    frames = select_frames(source, job.frames, job.missing)
    _check_first(job.first, frames)
    keys = keys_of(job, source, frames)
    seen = frames
    if job.steadies:
        seen = _with_neighbours(source, frames, over_gaps=job.missing == "skip")
    check_areas(job.objects, source.frames)
    seen = (*_before_areas(job.objects, source, frames), *seen)
    run = _frames_between(source, (*(key.seed.frame for key in keys), *seen), job.missing)
    shot = Shot(run, subjects_of(keys, job.objects, pinned=job.pin_keys))
    for options in job.objects:
        check_constraint_masks(options, source.frames)
        if options.guide:
            check_guide(options.guide, source.frames)
    areas = area_files(job.objects, sorted({*frames, *(frame - 1 for frame in frames)} & set(run)))
    constraints = (source for options in job.objects for source in options.constraints(run).values())
    held = frozenset((*constraints, *areas.values()))
    return Outline(frames, keys, shot, frozenset(key.source for key in keys), held, areas, region)


def _before_areas(objects: Sequence[ObjectOptions], source: PlateSource, frames: tuple[int, ...]) -> tuple[int, ...]:
    """List the plate's frames right before frames with an area, since a solution uses the frame before."""
    solved = {frame for _, frame in area_files(objects, source.frames)}
    there = set(source.frames)
    return tuple(frame - 1 for frame in frames if frame in solved and frame - 1 in solved & there)


def _with_neighbours(source: PlateSource, frames: tuple[int, ...], *, over_gaps: bool) -> tuple[int, ...]:
    """Add the plate's frames before the first and after the last one, so that edges are steadied there as in a run of
    the whole shot. over_gaps: whether missing frames may lie between.
    """
    before = [frame for frame in source.frames if frame < frames[0] and (over_gaps or frame == frames[0] - 1)]
    after = [frame for frame in source.frames if frame > frames[-1] and (over_gaps or frame == frames[-1] + 1)]
    return (*before[-1:], *frames, *after[:1])


def _check_first(first: Sequence[int], frames: Sequence[int]) -> None:
    others = sorted(set(first) - set(frames))
    if others:
        raise SettingError(
            expected="frames in --first that are also matted",
            came=describe_frames(others),
            action="Take these frames out of --first, or add them to --frames.",
        )


def plan_matte(
    job: MatteJob,
    checked: Callable[[int, int], None] = lambda _done, _of: None,
    *,
    resume: bool = False,
    looked_through: bool = False,
    allowed: Callable[[Sequence[Path]], None] = lambda _paths: None,
) -> MattePlan:
    """Check a job against its files, and return its plan.

    checked: called with how many plates of how many were read. resume: whether the job continues an unfinished run, in
    that run's version. looked_through: whether the input files were read before, in the sandbox (engine/sandbox.py).
    allowed: called before anything is written; raises if the job may not write there.

    Raises PlateError, MaskError, FrameRangeError, ColourError, SettingError, OutputError.
    """
    resolved = resolve(job)
    job, source, about = resolved.job, resolved.source, resolved.outline
    first, plate, colour = resolved.header, resolved.header.resolution, resolved.colour
    outputs = plan_outputs_of(resolved, resume=resume)
    outputs.check(about.frames, [*source.paths(about.shot.frames), *about.mask_files])
    exposure = exposure_of(resolved)
    job, network_view = replace(job, exposure=exposure), NetworkView(colour.space, exposure)
    unmixing = job.delivery.unmixes and not is_linear(colour.space)
    light = LinearLight(colour.space) if unmixing else None
    check_region(about.region, plate, job.working_size)
    if not job.overwrite:
        _refuse_unknown(outputs, job, about.frames)
    reading = MaskReading(plate, job.mask_grow, job.view)
    masks = read_masks(about.keys, job.objects, about.shot.frames, reading)
    areas = read_areas(about.areas, about.shot, reading)
    allowed(outputs.paths(about.frames[0]))
    for folder, least in outputs.least_bytes(about.frames, first).items():
        check_writable(folder, least)
    if not looked_through:
        check_plates(source, about.shot.frames, checked, job.colorspace)
    outputs.reserve()
    return MattePlan(
        job, source, about.frames, about.shot, masks, areas, plate, about.region, colour, network_view, outputs, light
    )


def ledger_of(outputs: Outputs, asked: Sequence[int] | None) -> Ledger:
    """Read the ledgers of an output. asked: the frames that a job names; None is all. Raises OSError."""
    sidecars = Sidecars.of(outputs.main, asked)
    return Ledger(sidecars.ledger, sidecars.ledgers(), sidecars.foreign_ledgers())


def _refuse_unknown(outputs: Outputs, job: MatteJob, frames: Sequence[int]) -> None:
    """Raise SettingError if the job would replace files that this engine did not write."""
    ledger = ledger_of(outputs, job.frames)
    found = {frame: files for frame in frames if (files := ledger.unlisted(frame, outputs.paths(frame)))}
    if found:
        first = next(iter(found.values()))[0]
        raise SettingError(
            expected="output names that are free, or that belong to files of this engine",
            came=f"files of another program: {first} and others, on frames {describe_frames(found)}"
            if len(found) > 1
            else f"a file of another program: {first}",
            action="Choose another output name, move these files away, or replace them with --overwrite.",
        )


def resolve(job: MatteJob) -> ResolvedJob:
    """Open the plate of a job, find its frames, objects and files, and choose its colour space. It reads one header.

    Raises PlateError, MaskError, FrameRangeError, ColourError, SettingError.
    """
    source = open_source(job)
    job = job.named()
    outline = outline_matte(job, source)
    header = source.header(outline.frames[0])
    return ResolvedJob(job, source, outline, header, choose_space(header, job.colorspace, source.suffix))


def exposure_of(resolved: ResolvedJob) -> float:
    """Return the exposure of a job in stops. If the job sets none, it is found from the plate on the first mask's
    frame.

    The first mask is the job's mask or the first of its keys, so keys that are added later do not change the exposure.
    Raises PlateError, ColourError.
    """
    frame = resolved.outline.keys[0].seed.frame
    return exposure_or_found(resolved.job.exposure, resolved.colour.space, lambda: resolved.source.read(frame).rgb)


def plan_outputs_of(resolved: ResolvedJob, *, resume: bool = False) -> Outputs:
    """Return the files that a job's alphas go to. Raises SettingError."""
    job, subjects = resolved.job, resolved.outline.shot.subjects
    written = tuple(subject.name for subject in subjects if not subject.distractor)
    linear = is_linear(resolved.colour.space)
    return plan_outputs(job.out, job.delivery, written, resolved.source, resolved.header, linear=linear, resume=resume)


def open_source(job: MatteJob) -> PlateSource:
    """Open a job's plate with the view, part and layer that the job chooses. Raises PlateError, FrameRangeError."""
    return open_plate(job.named().plate, wanted=job.wanted)


def keys_of(job: MatteJob, source: PlateSource, frames: tuple[int, ...]) -> tuple[KeyFrame, ...]:
    """Return all masks of a job, the plain one first. Raises MaskError, PlateError, FrameRangeError."""
    frame = () if job.mask_frame is None else (job.mask_frame,)
    plain = (KeyMask(job.mask, frame),) if job.mask else ()
    return expanded((*plain, *job.keys), source, frames[0])


def _frames_between(source: PlateSource, ends: tuple[int, ...], missing: Literal["error", "skip"]) -> tuple[int, ...]:
    """Return every plate frame from the lowest to the highest of `ends`: a session must see every frame, also those
    that were not asked for.
    """
    return select_between(source, min(ends), max(ends), missing)


def provenance(plan: MattePlan, weights: VettedWeights, seeds: Sequence[Seed]) -> dict[str, str]:
    """Return how alphas that depend on these key frames were made, for the header of their files."""
    job, files = plan.job, [plan.masks.keys[seed] for seed in seeds]
    several = len(plan.shot.subjects) > 1
    names = [
        f"{seed.subject}={file.source.name}" if several else file.source.name
        for seed, file in zip(seeds, files, strict=True)
    ]
    made = describe_making(
        weights,
        plan.colour,
        plan.network_view,
        mask=", ".join(names),
        mask_frame=", ".join(str(seed.frame) for seed in seeds),
        mask_sha256=", ".join(file.sha256 for file in files),
        mask_grow=job.mask_grow,
        options=job,
        plate=plan.resolution,
        memory=job.memory,
    )
    edges = {"edges": described} if (described := describe_all_edges(plan)) else {}
    guides = {"guides": described} if (described := _describe_guides(plan)) else {}
    return {**made, "picture": describe_picture(plan.source.header(plan.frames[0])), **edges, **guides}


def describe_all_edges(plan: MattePlan) -> str:
    """Return the changed edge controls of a plan as a text: once if all objects have the same, else object by object;
    '' where none is changed.
    """
    names = [subject.name for subject in plan.shot.subjects if not subject.distractor]
    said = {name: describe_edges(plan.job.edges_of(name)) for name in names}
    if len(set(said.values())) == 1:
        return said[names[0]]
    return "; ".join(f"{name}: {text}" for name, text in said.items() if text)


def _describe_guides(plan: MattePlan) -> str:
    """Return each object's guide and its band, for a file's header."""
    guided = [each for each in plan.job.objects if each.guide]
    return ", ".join(
        f"{each.name}={Path(str(each.guide)).name} band {plan.masks.guides[each.name].band}" for each in guided
    )


def describe_shot(plan: MattePlan) -> dict[str, object]:
    """Return what `review` needs: the plate's absolute path, its colour space, and each object's key frames."""
    objects = {
        subject.name: {
            "keys": list(subject.keys),
            "first": subject.first,
            "last": subject.last,
            "distractor": subject.distractor,
        }
        for subject in plan.shot.subjects
    }
    return {
        "plate": str(Path(plan.job.plate).absolute()),
        "size": list(plan.resolution),
        "colorspace": plan.colour.space,
        "exposure": plan.job.exposure,
        "objects": objects,
    }


def edge_neighbours(plan: MattePlan, subject: str, frame: int) -> tuple[int, ...]:
    """Return the neighbouring frames with which a subject's edges are steadied on a frame; empty without deflicker."""
    return (plan.shot.edge_neighbours(subject, frame) or ()) if plan.job.edges_of(subject).deflicker else ()


def seeds_used(shot: Shot, frame: int) -> list[Seed]:
    """Return the key frames on which the alphas of a frame depend, object by object, ascending."""
    return list(dict.fromkeys(seed for subject in shot.subjects for seed in shot.seeds_for(subject.name, frame)))
