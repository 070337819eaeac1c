# SPDX-License-Identifier: Apache-2.0
"""Sends a job to a running engine and shows its progress: what `matte --endpoint` and `run --endpoint` do."""

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
from matanyone_engine.jobs.cache import DEFAULT_LIMIT
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.connection import default_path
from matanyone_engine.wire.errors import Code
from matanyone_engine.wire.jobfile import is_file_name

_POLL_S = 0.5
_OF_THIS_PROCESS = {"preview": None, "device": "auto", "precision": "auto", "cache": DEFAULT_LIMIT / (1 << 30)}
"""Options that only work in this process, with their defaults. A running engine cannot follow them."""


def add_endpoint(parser: argparse._ActionsContainer) -> None:
    """Add --endpoint and --client-key to a parser."""
    parser.add_argument(
        "--endpoint",
        type=Path,
        nargs="?",
        const=default_path(),
        metavar="FILE",
        help="Let a running engine do the work. FILE is its connection file; without it, this user's engine is taken.",
    )
    parser.add_argument(
        "--client-key",
        type=Path,
        metavar="FILE",
        help="The secret key of this client, for an engine on another machine (docs/engine.md).",
    )


def run_on_engine(
    args: argparse.Namespace, job: say.Job, console: Console, reporter: Reporter, *, resume: bool | None
) -> None:
    """Send the job and show its progress; Ctrl-C stops it on the engine too.

    resume: True continues an unfinished run, and raises an error if there is none; None continues one if there is one.
    """
    _check(args)
    args.connection = args.endpoint
    begun = time.monotonic()
    with connected(args, timeout_s=60.0) as client:
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
    """Raise SettingError for options that only work in this process: the engine is running already."""
    for name, unasked in _OF_THIS_PROCESS.items():
        option, given = f"--{name}", getattr(args, name, unasked)
        if given != unasked:
            raise SettingError(
                expected=f"no {option} together with --endpoint: it does not reach a running engine",
                came=f"{option} {given}",
                action=f"Leave out {option}, or run the job here, without --endpoint.",
            )


def _followed(job_run: JobRun, console: Console, reporter: Reporter) -> say.JobEnded:
    """Show the job's events until it ends; return its last message."""
    with (
        graceful_stop(console, "this frame") as stop,
        MatteProgress(console) as progress,
    ):
        for event in job_run.events(_POLL_S):
            if isinstance(event, say.JobEnded):
                progress.print_summary()
                if event.unchanged:
                    reporter.unchanged(event.unchanged)
                return event
            if isinstance(event, say.Progress):
                progress.show(event)
                reporter.show(event)
            if stop.requested():
                job_run.cancel()
    raise AssertionError("a job's events end with JobEnded")


def _conclude(ended: say.JobEnded, folder: Path, console: Console, seconds: float) -> None:
    if ended.outcome == "cancelled":
        raise Interrupted(
            expected="the whole shot",
            came=f"a stop by you after {ended.written} alphas of this run",
            action="They are kept. Run the same command with --resume to go on from there.",
        )
    if ended.outcome != "finished":
        came = f"{ended.message}, after {ended.written} alphas in this run, which are kept"
        raise as_engine_error(ended.code, came, ended.action)
    if ended.unchanged:
        console.print(f"kept    {ended.unchanged} alphas are up to date and were left as they are.")
    rate = ended.written / seconds if seconds else 0.0
    console.print(f"done    {ended.written} alphas in {seconds:.1f} s ({rate:.2f} frames/s): {folder}")
    if ended.code == Code.DOUBTFUL.value:
        raise as_engine_error(ended.code, ended.message, ended.action)
