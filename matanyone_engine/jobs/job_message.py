# SPDX-License-Identifier: Apache-2.0
"""Converts between the message of a job (wire.messages.Job) and a job.MatteJob."""

from __future__ import annotations

from dataclasses import asdict

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.job import MatteJob
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.matting.options import keywords
from matanyone_engine.media.edges import EdgeControls
from matanyone_engine.media.layouts import Delivery
from matanyone_engine.wire import messages as say


def matte_job(job: say.Job) -> MatteJob:
    """Convert a message to a job.

    The message's model, licence and resume are left to the caller. Raises SettingError.
    """
    if job.missing not in ("error", "skip"):
        raise SettingError(
            expected="missing: 'error' or 'skip'",
            came=repr(job.missing),
            action="Write one of the two in the job, or leave it out.",
        )
    return MatteJob(
        plate=job.plate,
        mask=job.mask,
        out=job.out,
        mask_frame=job.mask_frame,
        keys=tuple(KeyMask(key.file, key.frames, key.object) for key in job.keys),
        objects=tuple(_object_options(each) for each in job.objects),
        pin_keys=job.pin_keys,
        first=job.first,
        separate=job.separate,
        frames=job.frames,
        missing="skip" if job.missing == "skip" else "error",
        colorspace=job.options.colorspace,
        exposure=job.options.exposure,
        mask_grow=job.options.mask_grow,
        **keywords(job.options),
        delivery=Delivery(**asdict(job.delivery)),
        edges=EdgeControls(**asdict(job.edges)),
        view=job.view,
        part=job.part,
        layer=job.layer,
        overwrite=job.overwrite,
        accept_doubt=job.accept_doubt,
    )


def _object_options(each: say.ObjectOptions) -> ObjectOptions:
    edges = None if each.edges is None else EdgeControls(**asdict(each.edges))
    return ObjectOptions(**{**asdict(each), "edges": edges})


def _object_message(each: ObjectOptions) -> say.ObjectOptions:
    edges = None if each.edges is None else say.EdgeControls(**asdict(each.edges))
    return say.ObjectOptions(**{**asdict(each), "edges": edges})


def job_message(job: MatteJob, model: str, *, licence: str = "any", label: str = "") -> say.Job:
    """Convert a job to a message without a nonce; the sender draws one."""
    return say.Job(
        nonce="",
        plate=job.plate,
        mask=job.mask,
        out=job.out,
        mask_frame=job.mask_frame,
        frames=job.frames,
        missing=job.missing,
        model=model,
        options=say.Options(colorspace=job.colorspace, mask_grow=job.mask_grow, exposure=job.exposure, **keywords(job)),
        delivery=say.Delivery(**asdict(job.delivery)),
        edges=say.EdgeControls(**asdict(job.edges)),
        view=job.view,
        part=job.part,
        layer=job.layer,
        label=label,
        keys=tuple(say.KeyMask(key.file, key.frames, key.object) for key in job.keys),
        objects=tuple(_object_message(each) for each in job.objects),
        pin_keys=job.pin_keys,
        first=job.first,
        separate=job.separate,
        licence=licence,
        overwrite=job.overwrite,
        accept_doubt=job.accept_doubt,
    )
