# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine matte --endpoint: the same job, run by an engine that is already there."""

from __future__ import annotations

import argparse
import secrets
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.engines import as_engine_error, connected
from matanyone_engine.cli.progress import MatteProgress
from matanyone_engine.cli.stopping import graceful_stop
from matanyone_engine.client.job import JobRun
from matanyone_engine.errors import Interrupted, SettingError
from matanyone_engine.matting.options import keywords
from matanyone_engine.service.job import MatteJob
from matanyone_engine.service.keys import ObjectOptions
from matanyone_engine.wire import messages as say

_POLL_S = 0.5


def run_on_engine(args: argparse.Namespace, job: MatteJob, console: Console) -> None:
    """Send the job, show its progress; a stop by the user stops it on the engine too."""
    _check(args)
    args.connection = args.endpoint
    begun = time.monotonic()
    with connected(args, patience_s=60.0) as client:
        job_run = JobRun(client, _as_message(job, args))
        accepted = job_run.accepted
        console.print(f"colour  {accepted.colour}")
        console.print(f"engine  {client.pump.connection.epoch}, model {accepted.model}: {accepted.frames} frames")
        console.print(f"out     {accepted.out}")
        ended = _followed(job_run, console)
    _conclude(ended, Path(accepted.out).parent, console, time.monotonic() - begun)


def _check(args: argparse.Namespace) -> None:
    """Options of this process mean nothing to an engine that runs already."""
    for option, given in (("--preview", args.preview), ("--device", args.device), ("--precision", args.precision)):
        if given not in (None, "auto"):
            raise SettingError(
                expected=f"--endpoint without {option}",
                came=f"{option} {given}",
                action="Leave it out, or run the job without --endpoint.",
            )


def _as_message(job: MatteJob, args: argparse.Namespace) -> say.Job:
    return say.Job(
        nonce=secrets.token_hex(16),
        plate=str(Path(job.plate).absolute()),
        mask=_absolute(job.mask) if job.mask else "",
        out=str(Path(job.out).absolute()),
        mask_frame=job.mask_frame,
        frames=job.frames,
        missing=job.missing,
        model=args.model,
        options=say.Options(colorspace=job.colorspace, mask_grow=job.mask_grow, exposure=job.exposure, **keywords(job)),
        delivery=say.Delivery(**asdict(job.delivery)),
        view=job.view,
        part=job.part,
        layer=job.layer,
        resume=args.resume,
        label=Path(job.out).name,
        keys=tuple(say.KeyMask(_absolute(key.file), key.frames, key.object) for key in job.keys),
        objects=tuple(_object_options(each) for each in job.objects),
        pin_keys=job.pin_keys,
        separate=job.separate,
    )


def _object_options(each: ObjectOptions) -> say.ObjectOptions:
    inside, outside = (pattern and _absolute(pattern) for pattern in (each.inside, each.outside))
    return say.ObjectOptions(each.name, each.first, each.last, each.rival, inside, outside)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _followed(job_run: JobRun, console: Console) -> say.JobEnded:
    """Show the job's events until it ends."""
    with (
        graceful_stop(console, "this frame") as stop,
        MatteProgress(console) as progress,
    ):
        for event in job_run.events(_POLL_S):
            if isinstance(event, say.JobEnded):
                progress.tell()
                return event
            if isinstance(event, say.Progress):
                progress.show(event)
            if stop.asked():
                job_run.cancel()
    raise AssertionError("a job's events end with JobEnded")


def _conclude(ended: say.JobEnded, folder: Path, console: Console, seconds: float) -> None:
    if ended.outcome == "cancelled":
        raise Interrupted(
            expected="all alphas",
            came=f"a stop by the user after {ended.written} of them in this run",
            action="They are kept. The same command with --resume goes on exactly from there.",
        )
    if ended.outcome != "finished":
        came = f"{ended.message}, after {ended.written} alphas in this run, which are kept"
        raise as_engine_error(ended.code, came, ended.action)
    if ended.unchanged:
        console.print(f"kept    {ended.unchanged} alphas that nothing has changed")
    rate = ended.written / seconds if seconds else 0.0
    console.print(f"done    {ended.written} alphas in {seconds:.1f} s ({rate:.2f} frames/s): {folder}")
