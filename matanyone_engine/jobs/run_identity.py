# SPDX-License-Identifier: Apache-2.0
"""Makes the digests of a planned job: which job it is, and what each result of it is made from.

Version 0.1.0 called some options otherwise. Digests are made with its names, so that its caches and outputs serve.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.job import MatteJob, MattePlan
from matanyone_engine.jobs.plate_digests import PlateDigests
from matanyone_engine.matting.content_keys import Inputs, Names, digest
from matanyone_engine.matting.options import NAMES_OF_0_1_0
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.movies import decoder
from matanyone_engine.media.sequence import MOVIE_SUFFIXES
from matanyone_engine.model.checkpoint import network_digest
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.precision import Precision, half_type
from matanyone_engine.runs.record import read_record
from matanyone_engine.runs.resume import read_resume_point
from matanyone_engine.version import __version__

_log = logging.getLogger("matanyone_engine")

_VIEW_STEPS = 17
"""Steps of each channel, of the colours by which network views are told apart."""

_OF_A_RUN = ("overwrite", "accept_doubt")
"""Fields of a job that say how it is run, not what it makes."""

_PATHS = ("plate", "mask", "mask_frame", "out", "keys", "objects")
"""Fields of a job that name files, or that its identity has otherwise."""

_NOT_IN_CONTENT_KEYS = (
    *_OF_A_RUN,
    *_PATHS,
    "frames",
    "missing",
    "pin_keys",
    "separate",
    "first",
    "delivery",
    "edges",
)
"""Fields of a job that no alpha depends on, or that content keys have by value: masks, plates, delivery."""


def identity(plan: MattePlan, network: MatAnyone) -> str:
    """Return the digest of a job: options, masks, model, frames. Paths do not count, since machines differ in them.

    Plates do not count either: what was computed of them is named by their bytes.
    """
    job = suited_to(plan, network).job
    # Version 0.1.0 had no edge controls: where none is used, its jobs are still the same.
    edges = () if job.edges.changed else ("edges",)
    options = _named_options(job, but=(*_PATHS, *_OF_A_RUN, *edges, "first"))
    masks = sorted((seed.frame, seed.subject, file.sha256) for seed, file in plan.masks.keys.items())
    held = sorted([*place, sha] for place, sha in plan.masks.constraint_digests().items())
    subjects = [(each.name, each.first, each.last, each.distractor) for each in plan.shot.subjects]
    areas = [plan.areas.digest()] if plan.areas.files else []  # jobs without areas are those of earlier versions
    name = plan.outputs.main.name
    return digest(options, plan.frames, masks, held, subjects, name, network_digest(network), *areas)


def suited_to(plan: MattePlan, network: MatAnyone) -> MattePlan:
    """Return a plan with the warm-up passes and the working size of a network, where its job leaves them open."""
    job = plan.job
    passes = network.warm_up_passes if job.warm_up_passes is None else job.warm_up_passes
    size = network.core_size if job.working_size is None else job.working_size
    return replace(plan, job=replace(job, warm_up_passes=passes, working_size=size))


def content_keys(plan: MattePlan, network: MatAnyone, plates: PlateDigests) -> Names:
    """Return the content keys of all results of a plan, with its warm-up passes known."""
    options = _named_options(plan.job, but=_NOT_IN_CONTENT_KEYS)
    reader = decoder() if plan.source.suffix.lower() in MOVIE_SUFFIXES else f"OpenImageIO {version('OpenImageIO')}"
    code = (__version__, torch.__version__, reader)
    about = digest(code, _arithmetic(network), options, plan.network_view.name, network_view_digest(plan.network_view))
    masks = {seed: file.sha256 for seed, file in plan.masks.keys.items()}
    return Names(plan.shot, Inputs(about, plates.digests, masks, plan.masks.constraint_digests()))


def network_view_digest(network_view: NetworkView) -> str:
    """Return a digest of what a network view makes of colours all over its range.

    An OCIO configuration of the same name may hold another conversion.
    """
    steps = np.linspace(0.0, 1.0, _VIEW_STEPS, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_VIEW_STEPS, -1, 3)
    return hashlib.sha256(np.ascontiguousarray(network_view(colours)).tobytes()).hexdigest()


def may_resume(plan: MattePlan, network: MatAnyone) -> bool:
    """Return whether an unfinished run of this very job left a resume point that can be read."""
    try:
        return read_resume_point(plan.sidecars.resume).identity == identity(plan, network)
    except SettingError as error:
        if plan.sidecars.resume.is_file():
            _log.warning("This run does not go on from %s: %s", plan.sidecars.resume, error.came)
        return False


def is_of(plan: MattePlan, network: MatAnyone) -> bool:
    """Return whether the files at the plan's output were made, or begun, by this very job."""
    record = read_record(plan.sidecars.record)
    return record is not None and record.identity == identity(plan, network)


def in_names_of_0_1_0(said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a mapping with keys as version 0.1.0 called them. names: old name -> new name."""
    old = {now: before for before, now in names.items()}
    return {old.get(name, name): value for name, value in said.items()}


def _named_options(job: MatteJob, but: Collection[str]) -> dict[str, Any]:
    """Return the options of a job as digests name them."""
    return in_names_of_0_1_0({name: value for name, value in asdict(job).items() if name not in but}, NAMES_OF_0_1_0)


def _arithmetic(network: MatAnyone) -> list[str]:
    """Return what numbers are computed with, but not on which machine: a farm may go on with a shot on another one."""
    half = half_type(network.device) if network.precision == Precision.FAST.value else None
    return [network_digest(network), network.precision, str(half), network.device.type]
