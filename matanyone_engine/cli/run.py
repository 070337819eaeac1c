# SPDX-License-Identifier: Apache-2.0
"""Runs a job file, here or on an engine: `matanyone-engine run JOB` (docs/job_file.md).

It continues an unfinished run of the same job, and starts at the beginning if there is none. So a queue can run it
again without knowing how far it came.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from matanyone_engine.cli.device_options import add_computing
from matanyone_engine.cli.edge_options import add_edges, with_edge_options
from matanyone_engine.cli.engine_job import add_endpoint, run_on_engine
from matanyone_engine.cli.local_job import RunSettings, add_cache, run_locally
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import add_reporting, reporting
from matanyone_engine.cli.result_options import add_result_options, with_result_options
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.job_files import load_job, read_plan
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.run import RESUME_INTERVAL


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'run' to the program's parser."""
    parser = subparsers.add_parser(
        "run",
        description="Runs a job file, as matte --save-job and the add-ons write it. Run again after an interruption, "
        "it goes on where it stopped.",
    )
    parser.add_argument(
        "job", type=Path, metavar="JOB", help="A job file, or with --segment or --first-pass a .plan.json."
    )
    parser.add_argument(
        "--segment",
        type=int,
        metavar="N",
        help="Run this segment of a plan, counted from 1. A number above the last one does nothing.",
    )
    parser.add_argument(
        "--first-pass",
        "--scout",  # the name of version 0.1.0
        dest="first_pass",
        action="store_true",
        help="Run the fast first pass of a plan that was made with --split; for any other plan it does nothing.",
    )
    add_computing(parser)
    add_cache(parser)
    add_result_options(parser)
    add_edges(parser)
    add_endpoint(parser)
    add_reporting(parser)
    parser.add_argument(
        "--resume-interval",
        type=float,
        default=RESUME_INTERVAL,
        metavar="SECONDS",
        help="How often to save a point from which a later run goes on. A killed process loses at most so much "
        "work. Default: 60.",
    )
    parser.add_argument(
        "--path-rules",
        type=Path,
        metavar="FILE",
        help="The farm's rules for replacing the beginnings of paths (JSON of Open Job Description).",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read the job, run it and report."""
    console = plain_console()
    with reporting(args) as reporter:
        file = _chosen(args)
        if file is None:
            console.print(f"none    {args.job} has no such segment, so there is nothing to do.")
            return
        job = with_edge_options(with_result_options(load_job(file, args.path_rules), args), args)
        if args.first_pass or args.segment is not None:
            job = replace(job, accept_doubt=True)  # `merge` checks the confidence of the whole shot
        if args.endpoint is not None:
            run_on_engine(args, job, console, reporter, resume=None)
        else:
            every = args.resume_interval
            how = RunSettings(job.model, job.licence, args.device, args.precision, args.cache, resume_interval_s=every)
            run_locally(how, lambda: [matte_job(job)], console, reporter, resume=None)


def _chosen(args: argparse.Namespace) -> Path | None:
    """Return the job file to run; None if the plan has fewer segments than the queue has tasks. Raises SettingError."""
    if args.first_pass:
        return read_plan(args.job).first_pass
    if args.segment is None:
        path: Path = args.job
        return path
    segments, number = read_plan(args.job).segments, args.segment
    if number < 1:
        raise SettingError(expected="--segment 1 or more", came=str(number), action="Count the segments from 1.")
    return segments[number - 1] if number <= len(segments) else None
