# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine matte PLATE --mask FILE[@FRAME] --out PATTERN [options]

Reads the arguments, runs the job (service/job.py), and shows what happens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from matanyone_engine.cli.computing import add_computing
from matanyone_engine.cli.engine_job import run_on_engine
from matanyone_engine.cli.masks import add_masks, masks_of
from matanyone_engine.cli.progress import MatteProgress
from matanyone_engine.cli.stopping import graceful_stop
from matanyone_engine.errors import EngineError, Interrupted, SettingError
from matanyone_engine.matting.options import describe_density
from matanyone_engine.matting.session import SETTLE_PASSES
from matanyone_engine.media.contact_sheet import ContactSheet, choose_preview_frames
from matanyone_engine.media.foreground import CORE_CHOKE
from matanyone_engine.media.layouts import COMPRESSIONS, DEPTHS, LAYOUTS, Delivery
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import PLAIN_PICTURE, describe_picture
from matanyone_engine.media.sequence import describe_frames, parse_frames
from matanyone_engine.media.views import has_view, with_view
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights, load_vetted
from matanyone_engine.service.allocator import keep_freed_memory
from matanyone_engine.service.cache import DEFAULT_LIMIT, DiskCache, default_folder
from matanyone_engine.service.job import MatteJob, MattePlan, plan_matte
from matanyone_engine.service.resume import resume_path
from matanyone_engine.service.run import FrameDone, run_matte
from matanyone_engine.service.stereo import jobs_of_views
from matanyone_engine.wire.connection import default_path

_GIB = 1 << 30


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'matte' to the program's parser."""
    parser = subparsers.add_parser(
        "matte", help="matte a shot", description="Matte a shot from masks on any of its frames."
    )
    parser.add_argument("plate", metavar="PLATE", help="plate.####.exr, plate.%%04d.exr, a folder, a movie or one file")
    add_masks(parser)
    parser.add_argument("--out", required=True, metavar="PATTERN", help="alpha.####.exr, .png or .tif; see below")
    parser.add_argument("--frames", metavar="RANGE", help="frames to matte, as 1001-1045,1050 (default: all)")
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
        "--settle", type=int, default=SETTLE_PASSES, metavar="N", help="refinements of the mask's frame (default: 10)"
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
    parser.add_argument(
        "--cache",
        type=float,
        default=DEFAULT_LIMIT / _GIB,
        metavar="GIB",
        help="room for results that a later run of this shot may use again; 0 keeps none (default: 20)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run of this very job that was interrupted")
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
    group.add_argument("--shot", metavar="NAME", help="what {shot} stands for (default: the plate's name)")
    group.add_argument(
        "--version", type=int, metavar="N", help="what {version} stands for (default: the next that is free)"
    )


def run(args: argparse.Namespace) -> None:
    """Plan, load, matte, report."""
    # Paths are printed as they are: brackets in a name are no markup, and no line is broken.
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if args.endpoint is not None:
        for job in jobs_of_views(_job(args), args.view):
            run_on_engine(args, job, console)
        return
    keep_freed_memory()
    if args.preview:
        _check_preview(args.preview)
    network, weights = load_vetted(args.model, args.device, args.precision)
    with _checking(console) as checked:
        plans = [plan_matte(job, checked, resume=args.resume) for job in jobs_of_views(_job(args), args.view)]
    previews = [_preview(args.preview, plan, len(plans)) for plan in plans]
    for plan, preview in zip(plans, previews, strict=True):
        # A view that was finished, or not begun, when the others were stopped has no resume point: it runs anew.
        resume = args.resume and (len(plans) == 1 or resume_path(plan.outputs.main).is_file())
        _run(console, plan, network, weights, preview, resume=resume, cache_limit=_cache_limit(args.cache))


def _run(
    console: Console,
    plan: MattePlan,
    network: MatAnyone,
    weights: VettedWeights,
    preview: Path | None,
    *,
    resume: bool,
    cache_limit: int,
) -> None:
    """One shot, or one view of a shot."""
    _describe(console, plan, f"{weights.label} ({weights.licence}) on {network.device}")
    sheet = ContactSheet(choose_preview_frames(plan.frames)) if preview else None
    begun = time.monotonic()
    with (
        graceful_stop(console, "this frame") as stop,
        MatteProgress(console) as progress,
        _finished_frames_are_kept(console, progress),
        closing(DiskCache(default_folder(), cache_limit)) as cache,
        closing(run_matte(plan, network, weights, resume=resume, stopping=stop.asked, cache=cache)) as events,
    ):
        for event in events:
            progress.show(event)
            if sheet and isinstance(event, FrameDone):
                sheet.add(event.frame, event.view, event.alpha)
    progress.tell()
    if not progress.complete:
        raise _interrupted(plan, progress.alphas)
    if preview and sheet and sheet.filled:
        sheet.write(preview)
    if progress.unchanged:
        frames = describe_frames(progress.unchanged)
        console.print(f"kept    {len(progress.unchanged)} alphas that nothing has changed: {frames}")
    _conclude(console, plan, progress.alphas, time.monotonic() - begun, preview)


def _job(args: argparse.Namespace) -> MatteJob:
    return MatteJob(
        plate=args.plate,
        out=args.out,
        **masks_of(args),
        frames=parse_frames(args.frames) if args.frames else None,
        missing=args.missing,
        part=args.part,
        layer=args.layer,
        colorspace=args.colorspace,
        exposure=args.exposure,
        mask_grow=args.mask_grow,
        settle_passes=args.settle,
        working_size=args.working_size,
        refine=args.refine == "on",
        region=" ".join(args.region) if args.region else None,
        hold_tolerance=args.holds,
        delivery=Delivery(
            args.layout, args.compression, args.depth, args.shot, args.version, args.foreground, args.split
        ),
    )


def _describe(console: Console, plan: MattePlan, model: str) -> None:
    """What is about to happen, in five lines; nothing is assumed in silence."""
    frames = describe_frames(plan.frames)
    width, height = plan.size
    console.print(f"plate   {plan.source.name}  {frames}  ({len(plan.frames)} frames, {width}x{height})")
    picture = describe_picture(plan.source.header(plan.frames[0]))
    if picture != PLAIN_PICTURE:
        console.print(f"picture {picture}")
    console.print(f"size    {describe_density(plan.job, width, height)}")
    if plan.job.region:
        console.print(f"region  {plan.job.region}")
    console.print(f"colour  {plan.colour.space}  ({plan.colour.reason}){_exposed(plan)}")
    for seed, file in plan.masks.keys.items():
        name = f"{seed.subject}  " if len(plan.shot.subjects) > 1 else ""
        console.print(f"mask    {name}{file.path}  on frame {seed.frame}")
    console.print(f"model   {model}")
    for path in plan.paths(plan.frames[0]):
        console.print(f"out     {path}")


def _exposed(plan: MattePlan) -> str:
    return f"  exposure {plan.job.exposure:+g} stops" if plan.job.exposure else ""


def _cache_limit(gib: float) -> int:
    if gib < 0:
        raise SettingError(expected="--cache of at least 0 GiB", came=f"{gib:g}", action="Give the room it may take.")
    return int(gib * _GIB)


def _check_preview(path: Path) -> None:
    """Before hours of work: the contact sheet is a PNG in a folder that can be written."""
    if path.suffix.lower() != ".png":
        raise SettingError(expected="a .png file for the preview", came=str(path), action="Write --preview look.png.")
    check_writable(path.parent)


def _preview(asked: Path | None, plan: MattePlan, views: int) -> Path | None:
    """Where this plan's contact sheet goes."""
    if asked is None:
        return None
    if views > 1 and not has_view(str(asked)):
        raise SettingError(
            expected=f"%V in the preview's name, for {views} views", came=str(asked), action="Write look.%V.png."
        )
    preview = Path(with_view(str(asked), plan.job.view))
    _check_not_an_input(preview, plan)
    return preview


def _check_not_an_input(preview: Path, plan: MattePlan) -> None:
    """The contact sheet never goes over the mask or a plate."""
    inputs = [*(file.path for file in plan.masks.files()), *plan.source.paths(plan.shot.frames)]
    if preview.exists() and any(preview.samefile(path) for path in inputs):
        raise SettingError(
            expected="a preview of its own name", came=f"{preview}, which is an input", action="Choose another name."
        )


@contextmanager
def _finished_frames_are_kept(console: Console, progress: MatteProgress) -> Iterator[None]:
    """Say so when a run fails half-way; the error itself follows."""
    try:
        yield
    except (EngineError, KeyboardInterrupt):
        if progress.alphas:
            console.print(
                f"kept    {progress.alphas} finished alphas; once mended, --resume goes on exactly from there"
            )
        raise


def _interrupted(plan: MattePlan, finished: int) -> Interrupted:
    return Interrupted(
        expected=f"{len(plan.frames)} alphas",
        came=f"a stop by the user after {finished} of them in this run",
        action="They are kept. The same command with --resume goes on exactly from there.",
    )


def _conclude(console: Console, plan: MattePlan, finished: int, seconds: float, preview: Path | None) -> None:
    rate = finished / seconds if seconds else 0.0
    console.print(f"done    {finished} alphas in {seconds:.1f} s ({rate:.2f} frames/s): {plan.outputs.main.folder}")
    if preview:
        console.print(f"look    {preview}")


@contextmanager
def _checking(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar while the plates are looked through."""
    bar = Progress(TextColumn("check "), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task("check", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
