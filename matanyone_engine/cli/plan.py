# SPDX-License-Identifier: Apache-2.0
"""Splits a job file into segments for several workers: `matanyone-engine plan JOB --segments N` (docs/farm.md).

It writes a job file for each worker, and a plan that 'run' and 'merge' read:

sh010.json  ->  sh010.segment1.json  sh010.segment2.json ...  sh010.plan.json
"""

from __future__ import annotations

import argparse
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.progress import plain_console
from matanyone_engine.jobs.job import exposure_of, resolve
from matanyone_engine.jobs.job_files import load_job, plan_path, read_file, write_plan, write_text
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.segments import (
    KeyedJob,
    Segment,
    cost,
    cut,
    first_pass_job,
    output_with_version,
    segment_job,
    split,
)
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.wire.jobfile import JobFile, write_job_file


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'plan' to the program's parser."""
    parser = subparsers.add_parser(
        "plan",
        description="Splits a job into segments that several workers run, in any order. The alphas are those of one "
        "run, unless --split is given.",
    )
    parser.add_argument("job", type=Path, metavar="JOB", help="A job file, as matte --save-job writes it.")
    parser.add_argument(
        "--segments",
        type=int,
        required=True,
        metavar="N",
        help="How many segments to make. If the key frames allow fewer, there will be fewer.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--at-keys",
        action="store_false",
        dest="split",
        default=False,
        help="Cut the shot at key frames only. This is the default.",
    )
    where.add_argument(
        "--split",
        action="store_true",
        help="Cut the shot between key frames, too. A fast first pass then makes the masks for these cuts. The "
        "alphas differ from those of one run.",
    )
    parser.add_argument("--path-rules", type=Path, metavar="FILE", help="The farm's path rules, as for run.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Find the job's files, split the shot, and write the segments' job files and the plan."""
    console = plain_console()
    file = read_file(args.job)
    here = matte_job(load_job(args.job, args.path_rules))
    resolved = resolve(here)
    about = resolved.outline
    out = output_with_version(file.job.out, resolved)
    # Each segment has other key frames, so each would find another exposure if the job did not hold one.
    file = replace(file, job=replace(file.job, options=replace(file.job.options, exposure=exposure_of(resolved))))
    whole = KeyedJob(replace(file.job, out=out), about.shot, about.keys)
    frames = split(about.shot, about.frames, args.segments) if args.split else ()
    if frames:
        first_pass = f"{posixpath.dirname(out.replace(chr(92), '/')) or '.'}/scout_{args.job.stem}/{{object}}.####.exr"
        name = args.job.with_name(f"{args.job.stem}.scout.json")
        write_text(name, write_job_file(replace(file, job=first_pass_job(file.job, about.shot, frames, first_pass))))
        console.print(f"first   {name}  makes the masks of frames {describe_frames(frames)}; run it first")
        whole = whole.with_first_pass(frames, first_pass)
    segments = cut(whole.shot, about.frames, args.segments)
    _write_segments(args.job, file, whole, segments, has_first_pass=bool(frames), console=console)
    steps, once = sum(each.moves for each in segments), cost(about.shot, about.frames)
    console.print(f"plan    {plan_path(args.job)}  {steps} steps in all; a single run takes {once}")
    if len(segments) < args.segments:
        more = "the shot is too short for more" if args.split else "more keys allow more segments, and so does --split"
        console.print(f"check   There are {len(segments)} segments, not {args.segments}: {more}.")


def _write_segments(
    job: Path, file: JobFile, whole: KeyedJob, segments: Sequence[Segment], *, has_first_pass: bool, console: Console
) -> None:
    """Write a job file for each segment, and the plan."""
    names = [job.with_name(f"{job.stem}.segment{number}.json") for number in range(1, len(segments) + 1)]
    for name, segment in zip(names, segments, strict=True):
        own = segment_job(whole.job, segment, whole.shot, whole.keys)
        write_text(name, write_job_file(replace(file, job=own)))
        console.print(f"segment {name}  {describe_frames(segment.frames)}  {segment.moves} steps")
    write_plan(job, list(zip(names, segments, strict=True)), has_first_pass=has_first_pass)
