# SPDX-License-Identifier: Apache-2.0
"""Reads the arguments of `matanyone-engine matte`, runs the job (jobs/job.py) and shows its progress.

matanyone-engine matte PLATE --mask FILE[@FRAME] --out PATTERN [options]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.device_options import add_computing
from matanyone_engine.cli.edge_options import add_edges, edges_of
from matanyone_engine.cli.engine_job import add_endpoint, run_on_engine
from matanyone_engine.cli.local_job import RunSettings, add_cache, run_locally
from matanyone_engine.cli.mask_options import add_masks, masks_of
from matanyone_engine.cli.new_file import new_file
from matanyone_engine.cli.plate_options import stops_or_auto
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import add_reporting, reporting
from matanyone_engine.cli.result_options import add_result_options
from matanyone_engine.cli.track_options import add_track, guided_by_track
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

DRAFT_SIZE = 288
"""Pixels on the shortest side for a draft. mini then refines the alpha at half of the plate's size (refined_size())."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'matte' to the program's parser."""
    parser = subparsers.add_parser(
        "matte",
        usage="matanyone-engine matte PLATE --mask FILE[@FRAME] --out PATTERN [options]",
        description="Makes an alpha for every frame of a shot, from a mask on one frame or several. Plate frame N "
        "becomes alpha frame N.",
        epilog="docs/cli.md is a guide by task: several keys, several objects, colour, delivery, speed.",
    )
    parser.add_argument(
        "plate", metavar="PLATE", help="The plate: plate.####.exr, plate.%%04d.exr, a folder, a movie or one file."
    )
    add_masks(parser)
    add_track(parser)
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATTERN",
        help="Where the alphas go: out/alpha.####.exr, or .png or .tif. The group 'output' below says more.",
    )
    _add_frames(parser)
    _add_picture(parser)
    _add_economy(parser)
    _add_delivery(parser)
    add_edges(parser)
    _add_running(parser)
    parser.set_defaults(run=run)


def _add_frames(parser: argparse.ArgumentParser) -> None:
    """Add the options about frames, and --mask-grow and --preview."""
    parser.add_argument(
        "--frames", metavar="RANGE", help="The frames that get an alpha, such as 1001-1045,1050. Default: all."
    )
    parser.add_argument("--first", metavar="RANGE", help="Frames that are made before all others.")
    parser.add_argument(
        "--missing",
        choices=("error", "skip"),
        default="error",
        help="What to do when plate frames are missing: refuse the shot, or matte the frames that are there. Default: "
        "error.",
    )
    parser.add_argument(
        "--mask-grow",
        type=int,
        default=0,
        metavar="PIXELS",
        help="Grow the masks by so many pixels first; a negative number shrinks them. Default: 0.",
    )
    parser.add_argument(
        "--preview", type=new_file, metavar="FILE", help="Also write a contact sheet of the result (PNG)."
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options about the model, the device and the run. Most of them do not change the alphas."""
    group = parser.add_argument_group("model and run")
    group.add_argument("--model", default="mini", metavar="NAME|PATH", help="Which weights to use. Default: mini.")
    group.add_argument(
        "--warm-up",
        type=int,
        metavar="N",
        help="How often the prediction of a key frame is repeated before the next frame, so that the network "
        "remembers its own view of it. Default: what suits the model.",
    )
    group.add_argument("--settle", dest="warm_up", type=int, help=argparse.SUPPRESS)  # the name of version 0.1.0
    group.add_argument(
        "--licence",
        choices=LICENCES,
        default="any",
        help="commercial refuses weights that paid work may not use. Default: any.",
    )
    add_computing(group)
    add_cache(group)
    group.add_argument(
        "--resume", action="store_true", help="Go on with a run of this very job that was stopped before its end."
    )
    add_result_options(group)
    add_endpoint(group)
    add_reporting(group)
    group.add_argument(
        "--save-job",
        type=new_file,
        metavar="FILE",
        help="Compute nothing, and write the job to a file for 'matanyone-engine run'. %%V in its name stands for the "
        "view.",
    )


def _add_picture(parser: argparse.ArgumentParser) -> None:
    """Add the options about the plate's colour and exposure, and about views, parts and layers."""
    group = parser.add_argument_group("colour")
    group.add_argument(
        "--colorspace",
        metavar="NAME",
        help="The plate's colour space: ACEScg, LogC4, S-Log3, sRGB ... 'matanyone-engine inspect --colorspaces' "
        "lists all. Default: what the file says of itself; the choice is printed.",
    )
    group.add_argument(
        "--exposure",
        type=stops_or_auto,
        metavar="STOPS",
        help="Show the network a brighter plate, or with a negative number a darker one. Default: auto, which is 0 for "
        "all but very dark and far too bright plates. It is found on the frame of the first mask, and printed.",
    )
    group = parser.add_argument_group(
        "views, parts and layers",
        "In PLATE, --mask and --out, %V stands for the name of the view and %v for its first letter.",
    )
    group.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="NAME",
        help="The view of a stereo plate to matte. Give it again for more, or say 'all'. Default: the file's first.",
    )
    group.add_argument(
        "--part", metavar="NAME", help="The part of a multi-part EXR to matte. Default: the only one with R, G and B."
    )
    group.add_argument(
        "--layer", metavar="NAME", help="The layer to matte: NAME.R, NAME.G, NAME.B. Default: R, G and B."
    )


def _add_economy(parser: argparse.ArgumentParser) -> None:
    """Add the options that save time: working size, region, held frames."""
    group = parser.add_argument_group("speed")
    group.add_argument(
        "--working-size",
        type=parse_working_size,
        metavar="PIXELS",
        help="Compute with at most so many pixels on the shortest side; draft is 288, for a first look. The alpha "
        "always has the plate's size. Default: 432 for mini, the plate's own size for the published models. With less "
        "than 432, mini refines edges at half of the plate's size only.",
    )
    group.add_argument(
        "--refine",
        choices=("on", "off"),
        default="on",
        help="How an alpha that was computed at another size is brought to the plate's size: on refines its "
        "edges from the plate's own pixels, off only enlarges it. Default: on.",
    )
    group.add_argument(
        "--region",
        action="append",
        metavar="off|follow|BOX",
        help="Compute only a part of the frame; the alpha is 0 outside. follow keeps a window around the subject. BOX "
        "is x0,y0,x1,y1 in plate pixels from the top left, or FRAME:x0,y0,x1,y1 several times for a box that moves. "
        "Default: off.",
    )
    group.add_argument(
        "--holds",
        type=parse_holds,
        default=0.0,
        metavar="exact|off|T",
        help="Which frames count as repeats of the frame before, and get its alpha. exact: those with the very "
        "same pixels. off: none. A number T: those in which no block of 8x8 pixels differs by more than T in its mean, "
        "where white is 1. Default: exact.",
    )


def parse_working_size(text: str) -> int:
    """Parse --working-size: 'draft' or a number of pixels. Raises SettingError."""
    try:
        return DRAFT_SIZE if text == "draft" else int(text)
    except ValueError as error:
        raise SettingError(
            expected="--working-size draft, or a number of pixels such as --working-size 720",
            came=repr(text),
            action="Leave --working-size out for the size that the model was made for.",
        ) from error


def parse_holds(text: str) -> float | None:
    """Parse --holds: return a session's hold_tolerance for 'exact', 'off' or a number. Raises SettingError."""
    if text == "off":
        return None
    try:
        return 0.0 if text == "exact" else float(text)
    except ValueError as error:
        raise SettingError(
            expected="--holds exact, --holds off, or a number such as --holds 0.01",
            came=repr(text),
            action="Leave --holds out to take frames with the very same pixels as repeats.",
        ) from error


def _add_delivery(parser: argparse.ArgumentParser) -> None:
    """Add the options about the files that are written (docs/outputs.md)."""
    group = parser.add_argument_group(
        "output",
        "In --out, {shot}, {object} and {version:03d} are replaced: out/{shot}_{object}_v{version:03d}.####.exr",
    )
    layouts = "; ".join(f"{name}: {layout.about}" for name, layout in LAYOUTS.items())
    group.add_argument(
        "--layout", choices=LAYOUTS, default="matte", help=f"What a file holds. {layouts}. Default: matte."
    )
    group.add_argument("--compression", choices=COMPRESSIONS, help="The compression of .exr files. Default: zips.")
    group.add_argument(
        "--depth",
        choices=DEPTHS,
        help="Half or float values. Default: half, or float where half cannot hold the plate's values; .png and .tif "
        "have 16 bits.",
    )
    group.add_argument(
        "--foreground",
        action="store_true",
        help="Add the subject's own colour, unmixed from the background, as the layer fg. It is not premultiplied.",
    )
    group.add_argument(
        "--split",
        type=int,
        nargs="?",
        const=CORE_CHOKE,
        metavar="PIXELS",
        help="Add the layers core and edge, whose sum is the alpha. The core is shrunk by so many pixels. "
        f"Default: {CORE_CHOKE}.",
    )
    group.add_argument(
        "--crop",
        action="store_true",
        help="Shrink the data window of .exr files to what is not 0, so that a compositor computes less.",
    )
    group.add_argument("--shot", metavar="NAME", help="What {shot} stands for. Default: taken from the plate's name.")
    group.add_argument(
        "--version", type=int, metavar="N", help="What {version} stands for. Default: the next number that is free."
    )


def run(args: argparse.Namespace) -> None:
    """Run the job in this process or on an engine, or write it to a job file."""
    console = plain_console()
    guided_by_track(args, console)
    if args.save_job is not None:
        jobs = [_message_of(job, args) for job in jobs_of_views(_job(args), args.view)]
        for path, frames in save_jobs(args.save_job, jobs):
            console.print(f"job     {path}  ({frames} frames)")
        return
    with reporting(args) as reporter:
        if args.endpoint is not None:
            for job in jobs_of_views(_job(args), args.view):
                run_on_engine(args, _message_of(job, args), console, reporter, resume=args.resume)
        else:
            how = RunSettings(args.model, args.licence, args.device, args.precision, args.cache, args.preview)
            run_locally(how, lambda: jobs_of_views(_job(args), args.view), console, reporter, resume=args.resume)


def _message_of(job: MatteJob, args: argparse.Namespace) -> say.Job:
    """Return the job's message with absolute paths, since another process or machine may run it."""
    return absolute(job_message(job, args.model, licence=args.licence, label=Path(job.out).name))


def _job(args: argparse.Namespace) -> MatteJob:
    frames = parse_frames(args.frames) if args.frames else None
    return MatteJob(
        plate=args.plate,
        out=args.out,
        **masks_of(args, frames),
        frames=frames,
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
        overwrite=args.overwrite,
        accept_doubt=args.accept_doubt,
        edges=edges_of(args),
        delivery=Delivery(
            args.layout, args.compression, args.depth, args.shot, args.version, args.foreground, args.split, args.crop
        ),
    )
