# SPDX-License-Identifier: Apache-2.0
"""Converts a job for a first mask between its message (wire.messages.Prompt) and first_mask.MaskJob."""

from __future__ import annotations

from matanyone_engine.jobs.first_mask import MaskJob
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.wire import messages as say


def mask_job(prompt: say.Prompt) -> MaskJob:
    """Return the job of a message."""
    strokes = tuple(Stroke(stroke.points, stroke.subject) for stroke in prompt.strokes)
    return MaskJob(
        plate=prompt.plate,
        out=prompt.out,
        prompts=Prompts(prompt.box, strokes, prompt.brush),
        frame=prompt.frame,
        backend=prompt.backend,
        colorspace=prompt.colorspace,
        exposure=prompt.exposure,
        view=prompt.view,
        part=prompt.part,
        layer=prompt.layer,
        start=prompt.start,
    )


def prompt_message(job: MaskJob, nonce: str) -> say.Prompt:
    """Return the message of a job."""
    return say.Prompt(
        nonce=nonce,
        plate=job.plate,
        out=job.out,
        frame=job.frame,
        box=job.prompts.box,
        strokes=tuple(say.Stroke(stroke.points, stroke.subject) for stroke in job.prompts.strokes),
        brush=job.prompts.brush,
        backend=job.backend,
        colorspace=job.colorspace,
        exposure=job.exposure,
        view=job.view,
        part=job.part,
        layer=job.layer,
        start=job.start,
    )
