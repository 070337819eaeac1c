# SPDX-License-Identifier: Apache-2.0
"""Makes the digests of a planned job: its identity, and the content keys of its results.

Version 0.1.0 had other names for some options. Digests are made with those names, so that its caches and outputs stay
valid.
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
"""Steps of each channel, in the set of colours whose conversion identifies a network view."""

_OF_A_RUN = ("overwrite", "accept_doubt")
"""Fields of a job that do not change its results."""

_PATHS = ("plate", "mask", "mask_frame", "out", "keys", "objects")
"""Fields of a job that are paths, or that its identity holds in another form."""

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
"""Fields of a job on which no alpha depends, or whose files are part of content keys: masks, plates, delivery."""


def identity(plan: MattePlan, network: MatAnyone) -> str:
    """Return the digest of a job's options, masks, model and frames. It does not include paths, which differ between
    machines, nor plates, since results have the plates' digests in their content keys.
    """
    job = suited_to(plan, network).job
    # Version 0.1.0 had no edge controls: a job that uses none has the same digest as then.
    edges = () if job.edges.changed else ("edges",)
    options = _named_options(job, but=(*_PATHS, *_OF_A_RUN, *edges, "first"))
    masks = sorted((seed.frame, seed.subject, file.sha256) for seed, file in plan.masks.keys.items())
    held = sorted([*place, sha] for place, sha in plan.masks.constraint_digests().items())
    subjects = [(each.name, each.first, each.last, each.distractor) for each in plan.shot.subjects]
    # a job without areas has the same digest as in earlier versions
    areas = [plan.areas.digest()] if plan.areas.files else []
    # likewise a job in which no object has edge controls of its own
    own_edges = [(each.name, each.edges.changed) for each in job.objects if each.edges is not None]
    name = plan.outputs.main.name
    also = [*areas, own_edges] if own_edges else areas
    return digest(options, plan.frames, masks, held, subjects, name, network_digest(network), *also)


def suited_to(plan: MattePlan, network: MatAnyone) -> MattePlan:
    """Return the plan with the network's warm-up passes and working size, if the job sets none."""
    job = plan.job
    passes = network.warm_up_passes if job.warm_up_passes is None else job.warm_up_passes
    size = network.core_size if job.working_size is None else job.working_size
    return replace(plan, job=replace(job, warm_up_passes=passes, working_size=size))


def content_keys(plan: MattePlan, network: MatAnyone, plates: PlateDigests) -> Names:
    """Return the content keys of all results of a plan. Its warm-up passes must be set (suited_to())."""
    options = _named_options(plan.job, but=_NOT_IN_CONTENT_KEYS)
    reader = decoder() if plan.source.suffix.lower() in MOVIE_SUFFIXES else f"OpenImageIO {version('OpenImageIO')}"
    code = (__version__, torch.__version__, reader)
    about = digest(code, _arithmetic(network), options, plan.network_view.name, network_view_digest(plan.network_view))
    masks = {seed: file.sha256 for seed, file in plan.masks.keys.items()}
    return Names(plan.shot, Inputs(about, plates.digests, masks, plan.masks.constraint_digests()))


def network_view_digest(network_view: NetworkView) -> str:
    """Return a digest of a network view's output for colours over its whole range, since an OCIO config of the same
    name may hold another conversion.
    """
    steps = np.linspace(0.0, 1.0, _VIEW_STEPS, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_VIEW_STEPS, -1, 3)
    return hashlib.sha256(np.ascontiguousarray(network_view(colours)).tobytes()).hexdigest()


def may_resume(plan: MattePlan, network: MatAnyone) -> bool:
    """Return whether an unfinished run of this job has left a resume point that can be read."""
    try:
        return read_resume_point(plan.sidecars.resume).identity == identity(plan, network)
    except SettingError as error:
        if plan.sidecars.resume.is_file():
            _log.warning("This run does not continue from %s: %s", plan.sidecars.resume, error.came)
        return False


def is_of(plan: MattePlan, network: MatAnyone) -> bool:
    """Return whether the files at the plan's output were made, or begun, by this job."""
    record = read_record(plan.sidecars.record)
    return record is not None and record.identity == identity(plan, network)


def in_names_of_0_1_0(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a mapping with the key names of version 0.1.0. names: old name -> new name."""
    old = {now: before for before, now in names.items()}
    return {old.get(name, name): value for name, value in values.items()}


def _named_options(job: MatteJob, but: Collection[str]) -> dict[str, Any]:
    """Return the options of a job under the names that digests use."""
    return in_names_of_0_1_0({name: value for name, value in asdict(job).items() if name not in but}, NAMES_OF_0_1_0)


def _arithmetic(network: MatAnyone) -> list[str]:
    """Return what decides the arithmetic: weights, precision, kind of device.

    The machine is not part of it, since a farm may continue a shot on another one.
    """
    half = half_type(network.device) if network.precision == Precision.FAST.value else None
    return [network_digest(network), network.precision, str(half), network.device.type]
