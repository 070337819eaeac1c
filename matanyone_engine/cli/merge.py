# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine merge PLAN: after the segments, one output with one record; says which frames are not there."""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import add_reporting, reporting
from matanyone_engine.jobs.job_files import load_job, read_plan
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.merge import merge
from matanyone_engine.media.sequence import describe_frames


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'merge' to the program's parser."""
    parser = subparsers.add_parser(
        "merge", help="join segments", description="See that every segment is whole, and make one output of them."
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the .plan.json that matanyone-engine plan wrote")
    parser.add_argument("--path-rules", type=Path, metavar="FILE", help="as for matanyone-engine run")
    add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Join, report."""
    console = plain_console()
    with reporting(args):
        jobs = [matte_job(load_job(file, args.path_rules)) for file in read_plan(args.plan).segments]
        merged = merge(jobs)
        console.print(f"merged  {len(merged.frames)} alphas of {len(jobs)} segments: {merged.folder}")
        if merged.suspicious:
            console.print(f"check   {describe_frames(merged.suspicious)}: see the record")
