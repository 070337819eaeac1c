# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine run JOB: what a host or 'matte --save-job' wrote down, here or on an engine (docs/job_file.md).

It goes on with an unfinished run of the same job, and begins anew where there is none: a queue that runs it again need
not know how far it came.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.computing import add_computing
from matanyone_engine.cli.engine_job import add_endpoint, run_on_engine
from matanyone_engine.cli.job_files import load_job
from matanyone_engine.cli.local_job import Running, add_cache, run_here
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.service.job_message import matte_job


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'run' to the program's parser."""
    parser = subparsers.add_parser(
        "run", help="run a job file", description="Run a job file; again after an interruption, it goes on."
    )
    parser.add_argument("job", type=Path, metavar="JOB", help="the file, as matte --save-job writes it")
    add_computing(parser)
    add_cache(parser)
    add_endpoint(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, run, report."""
    console = plain_console()
    job = load_job(args.job)
    if args.endpoint is not None:
        run_on_engine(args, job, console, resume=None)
    else:
        how = Running(job.model, job.licence, args.device, args.precision, args.cache)
        run_here(how, lambda: [matte_job(job)], console, resume=None)
