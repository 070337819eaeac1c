# SPDX-License-Identifier: Apache-2.0
"""Joins finished segments into one output with one record: `matanyone-engine merge PLAN` (docs/farm.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import add_reporting, reporting
from matanyone_engine.cli.result_options import add_accept_doubt, with_result_options
from matanyone_engine.jobs.job_files import load_job, read_plan
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.merge import merge
from matanyone_engine.media.sequence import describe_frames


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'merge' to the program's parser."""
    parser = subparsers.add_parser(
        "merge",
        description="Checks that every segment is whole and joins them into one output with one record. It names the "
        "frames that are missing.",
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="The .plan.json that matanyone-engine plan wrote.")
    parser.add_argument("--path-rules", type=Path, metavar="FILE", help="The farm's path rules, as for run.")
    add_accept_doubt(parser)
    add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Join the segments and report."""
    console = plain_console()
    with reporting(args):
        files = read_plan(args.plan).segments
        jobs = [matte_job(with_result_options(load_job(file, args.path_rules), args)) for file in files]
        merged = merge(jobs)
        console.print(f"merged  {len(merged.frames)} alphas of {len(jobs)} segments: {merged.folder}")
        if merged.suspicious:
            console.print(f"check   Look at frames {describe_frames(merged.suspicious)}; the record says why.")
        merged.check_trust()
