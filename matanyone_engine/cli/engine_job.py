# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine matte --endpoint: the same job, run by an engine that is already there."""

from __future__ import annotations

import argparse
import secrets
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.engines import as_engine_error, connected
from matanyone_engine.cli.progress import MatteProgress
from matanyone_engine.cli.reporting import Reporter
from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.client.job import JobRun
from matanyone_engine.errors import Interrupted, SettingError
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.connection import default_path
from matanyone_engine.wire.jobfile import is_file_name

_POLL_S = 0.5


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """--endpoint and --client-key."""
    parser.add_argument(
        "--endpoint",
        type=Path,
        nargs="?",
        const=default_path(),
        metavar="FILE",
        help="let a running engine do it: its connection file (default: this user's); see matanyone-engine serve",
    )
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="this client's secret key, for encrypted engines"
    )


def run_on_engine(
    args: argparse.Namespace, job: say.Job, console: Console, reporter: Reporter, *, resume: bool | None
) -> None:
    """Send the job, show its progress; a stop by the user stops it on the engine too.

    resume: True goes on with an unfinished run and refuses without one; None goes on where there is one of this job.
    """
    _check(args)
    args.connection = args.endpoint
    begun = time.monotonic()
    with connected(args, patience_s=60.0) as client:
        # An engine knows the weights that it was started with by their bare names.
        model = Path(job.model).stem if is_file_name(job.model) else job.model
        asked = replace(job, nonce=secrets.token_hex(16), resume=bool(resume), model=model)
        job_run = JobRun(client, asked, go_on=resume is None)
        accepted = job_run.accepted
        console.print(f"colour  {accepted.colour}")
        console.print(f"engine  {client.pump.connection.epoch}, model {accepted.model}: {accepted.frames} frames")
        console.print(f"out     {accepted.out}")
        reporter.planned(frames=accepted.frames, colour=accepted.colour, model=accepted.model, out=accepted.out)
        ended = _followed(job_run, console, reporter)
    _conclude(ended, Path(accepted.out).parent, console, time.monotonic() - begun)


def _check(args: argparse.Namespace) -> None:
    """Options of this process mean nothing to an engine that runs already."""
    for name in ("preview", "device", "precision"):
        option, given = f"--{name}", getattr(args, name, None)
        if given not in (None, "auto"):
            raise SettingError(
                expected=f"--endpoint without {option}",
                came=f"{option} {given}",
                action="Leave it out, or run the job without --endpoint.",
            )


def _followed(job_run: JobRun, console: Console, reporter: Reporter) -> say.JobEnded:
    """Show the job's events until it ends."""
    with (
        graceful_stop(console, "this frame") as stop,
        MatteProgress(console) as progress,
    ):
        for event in job_run.events(_POLL_S):
            if isinstance(event, say.JobEnded):
                progress.tell()
                if event.unchanged:
                    reporter.unchanged(event.unchanged)
                return event
            if isinstance(event, say.Progress):
                progress.show(event)
                reporter.show(event)
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
