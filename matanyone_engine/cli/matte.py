# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine matte PLATE --mask FILE[@FRAME] --out PATTERN [options]

Reads the arguments, runs the job (jobs/job.py), and shows what happens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.device_options import add_computing
from matanyone_engine.cli.engine_job import add_endpoint, run_on_engine
from matanyone_engine.cli.local_job import Running, add_cache, run_here
from matanyone_engine.cli.mask_options import add_masks, masks_of
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import add_reporting, reporting
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.job import MatteJob
from matanyone_engine.jobs.job_files import absolute, save_jobs
from matanyone_engine.jobs.job_message import job_message
from matanyone_engine.jobs.stereo import jobs_of_views
from matanyone_engine.media.foreground import CORE_CHOKE
from matanyone_engine.media.layouts import COMPRESSIONS, DEPTHS, LAYOUTS, Delivery
from matanyone_engine.media.sequence import parse_frames
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.jobfile import LICENCES


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'matte' to the program's parser."""
    parser = subparsers.add_parser(
        "matte", help="matte a shot", description="Matte a shot from masks on any of its frames."
    )
    parser.add_argument("plate", metavar="PLATE", help="plate.####.exr, plate.%%04d.exr, a folder, a movie or one file")
    add_masks(parser)
    parser.add_argument("--out", required=True, metavar="PATTERN", help="alpha.####.exr, .png or .tif; see below")
    parser.add_argument("--frames", metavar="RANGE", help="frames to matte, as 1001-1045,1050 (default: all)")
    parser.add_argument("--first", metavar="RANGE", help="of these frames, those to make before all others")
    parser.add_argument(
        "--missing", choices=("error", "skip"), default="error", help="what to do about missing plate frames"
    )
    parser.add_argument("--model", default="mini", metavar="NAME|PATH", help="default: mini")
    add_computing(parser)
    parser.add_argument(
        "--colorspace", metavar="NAME", help="the plate's colour space: ACEScg, LogC4, S-Log3, sRGB ..."
    )
    parser.add_argument(
        "--exposure", type=float, default=0.0, metavar="STOPS", help="show the network a brighter plate (default: 0)"
    )
    parser.add_argument(
        "--warm-up",
        "--settle",  # the name of version 0.1.0
        type=int,
        metavar="N",
        help="how often a key frame is predicted again before the next frame (default: what suits the model)",
    )
    parser.add_argument(
        "--mask-grow", type=int, default=0, metavar="PIXELS", help="grow the mask first; negative shrinks (default: 0)"
    )
    _add_economy(parser)
    parser.add_argument("--preview", type=Path, metavar="FILE", help="write a contact sheet (PNG)")
    _add_running(parser)
    _add_picture(parser)
    _add_delivery(parser)
    parser.set_defaults(run=run)


def _add_running(parser: argparse.ArgumentParser) -> None:
    """Where and how the work is done; the alphas do not depend on it."""
    add_cache(parser)
    parser.add_argument("--resume", action="store_true", help="go on with a run of this very job that was interrupted")
    add_endpoint(parser)
    add_reporting(parser)
    parser.add_argument(
        "--licence",
        choices=LICENCES,
        default="any",
        help="commercial: only weights that paid work may use (default: any)",
    )
    parser.add_argument(
        "--save-job",
        type=Path,
        metavar="FILE",
        help="run nothing: write the job for matanyone-engine run (%%V: its view)",
    )


def _add_picture(parser: argparse.ArgumentParser) -> None:
    """Which picture of a file with several (docs/cli.md)."""
    group = parser.add_argument_group(
        "views, parts and layers",
        "%V in PLATE, --mask and --out stands for the view's name, %v for its first letter.",
    )
    group.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="NAME",
        help="view of a stereo plate; again for more, 'all' for all (default: the file's)",
    )
    group.add_argument("--part", metavar="NAME", help="part of a multi-part EXR (default: the only one with RGB)")
    group.add_argument("--layer", metavar="NAME", help="layer, for NAME.R, NAME.G, NAME.B (default: R, G, B)")


def _add_economy(parser: argparse.ArgumentParser) -> None:
    """What need not be computed (docs/cli.md)."""
    parser.add_argument(
        "--working-size", type=int, metavar="PIXELS", help="limit of the shortest side that is computed (default: none)"
    )
    parser.add_argument(
        "--refine",
        choices=("on", "off"),
        default="on",
        help="bring alphas of a working size back along the plate's detail, not bilinearly (default: on)",
    )
    parser.add_argument(
        "--region",
        action="append",
        metavar="off|follow|BOX",
        help="what is computed, 0 elsewhere: BOX is x0,y0,x1,y1 in plate pixels from the top left, or "
        "FRAME:x0,y0,x1,y1, given several times (default: off)",
    )
    parser.add_argument(
        "--holds",
        type=parse_holds,
        default=0.0,
        metavar="exact|off|T",
        help="answer frames that repeat the last one with its alpha: the same bits, never, or 8x8 block means that "
        "differ by no more than T of 0..1 (default: exact)",
    )


def parse_holds(text: str) -> float | None:
    """'exact', 'off' or a number -> a session's hold_tolerance."""
    if text == "off":
        return None
    try:
        return 0.0 if text == "exact" else float(text)
    except ValueError as error:
        raise SettingError(
            expected="--holds exact, off, or a tolerance such as 0.01",
            came=repr(text),
            action="Leave it out for exact repeats.",
        ) from error


def _add_delivery(parser: argparse.ArgumentParser) -> None:
    """How the alphas are written (docs/outputs.md)."""
    group = parser.add_argument_group(
        "output",
        "In --out, {shot}, {object} and {version:03d} are replaced: out/{shot}_{object}_v{version:03d}.####.exr",
    )
    layouts = "; ".join(f"{name}: {layout.about}" for name, layout in LAYOUTS.items())
    group.add_argument("--layout", choices=LAYOUTS, default="matte", help=f"{layouts} (default: matte)")
    group.add_argument("--compression", choices=COMPRESSIONS, help="of .exr files (default: zips)")
    group.add_argument(
        "--depth",
        choices=DEPTHS,
        help="default: half, or float where half does not hold the plate's values; 16 bit else",
    )
    group.add_argument(
        "--foreground", action="store_true", help="add the subject's own colour, unmixed, as layer fg (straight)"
    )
    group.add_argument(
        "--split",
        type=int,
        nargs="?",
        const=CORE_CHOKE,
        metavar="PIXELS",
        help=f"add layers core and edge, whose sum is the alpha; the core is drawn in (default: {CORE_CHOKE})",
    )
    group.add_argument(
        "--crop",
        action="store_true",
        help="draw the data window of .exr files around what is not 0 (with --region: the region), for compositors",
    )
    group.add_argument("--shot", metavar="NAME", help="what {shot} stands for (default: the plate's name)")
    group.add_argument(
        "--version", type=int, metavar="N", help="what {version} stands for (default: the next that is free)"
    )


def run(args: argparse.Namespace) -> None:
    """Run it here, on an engine, or write it down."""
    console = plain_console()
    if args.save_job is not None:
        jobs = [_said(job, args) for job in jobs_of_views(_job(args), args.view)]
        for path, frames in save_jobs(args.save_job, jobs):
            console.print(f"job     {path}  {frames} frames")
        return
    with reporting(args) as reporter:
        if args.endpoint is not None:
            for job in jobs_of_views(_job(args), args.view):
                run_on_engine(args, _said(job, args), console, reporter, resume=args.resume)
        else:
            how = Running(args.model, args.licence, args.device, args.precision, args.cache, args.preview)
            run_here(how, lambda: jobs_of_views(_job(args), args.view), console, reporter, resume=args.resume)


def _said(job: MatteJob, args: argparse.Namespace) -> say.Job:
    """As it is sent or written down: for another machine, so with whole paths."""
    return absolute(job_message(job, args.model, licence=args.licence, label=Path(job.out).name))


def _job(args: argparse.Namespace) -> MatteJob:
    return MatteJob(
        plate=args.plate,
        out=args.out,
        **masks_of(args),
        frames=parse_frames(args.frames) if args.frames else None,
        first=parse_frames(args.first) if args.first else (),
        missing=args.missing,
        part=args.part,
        layer=args.layer,
        colorspace=args.colorspace,
        exposure=args.exposure,
        mask_grow=args.mask_grow,
        warm_up_passes=args.warm_up,
        working_size=args.working_size,
        refine=args.refine == "on",
        region=" ".join(args.region) if args.region else None,
        hold_tolerance=args.holds,
        delivery=Delivery(
            args.layout, args.compression, args.depth, args.shot, args.version, args.foreground, args.split, args.crop
        ),
    )
