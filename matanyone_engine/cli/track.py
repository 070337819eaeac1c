# SPDX-License-Identifier: Apache-2.0
"""Makes a guide by a tracker: `matanyone-engine track PLATE@FRAME --box ... --out "guide.####.exr"`."""

from __future__ import annotations

import argparse
import shlex
import time
from contextlib import closing
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.mask import AddStroke, parse_box, plate_frame
from matanyone_engine.cli.mask_options import mask_of
from matanyone_engine.cli.plate_options import add_plate_options
from matanyone_engine.cli.progress import FrameProgress, plain_console
from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.errors import Interrupted, SettingError
from matanyone_engine.jobs.track import (
    FLOW,
    TRACKERS,
    GuideDone,
    TrackJob,
    TrackPlan,
    check_tracker,
    open_tracker,
    plan_track,
    run_track,
)
from matanyone_engine.media.preview import percent
from matanyone_engine.media.prompts import Prompts
from matanyone_engine.media.sequence import describe_frames, parse_frames
from matanyone_engine.model.device import FORMS


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'track' to the program's parser."""
    parser = subparsers.add_parser(
        "track",
        description="Follows a subject through a shot and writes a rough mask for each frame, a guide for matte "
        "--guide. The tracker flow needs nothing but this engine. sam2 and edgetam run with weights that you have "
        "or fetch (weights fetch); the makers of this engine have never run their real weights.",
        epilog="Run the same command again to go on with a stopped track. docs/track.md says how good trackers are.",
    )
    parser.add_argument(
        "plate", metavar="PLATE[@FRAME]", help="The plate, as for matte, and the frame of the box or the points."
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATTERN",
        help="Where the guide goes: guide/guide.####.exr. It has the plate's frame numbers.",
    )
    parser.add_argument("--mask", metavar="FILE[@FRAME]", help="A mask of the subject on one frame.")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", help="Or a box around it, in plate pixels from the top left.")
    parser.add_argument(
        "--point", action=AddStroke, metavar="X,Y,+|-", help="Or points on the subject (+) and beside it (-)."
    )
    parser.add_argument(
        "--stroke", action=AddStroke, metavar='"X,Y X,Y ...,+|-"', help="Or lines on it (+) and beside it (-)."
    )
    parser.add_argument("--frames", type=parse_frames, metavar="RANGE", help="The frames to track. Default: all.")
    parser.add_argument("--tracker", choices=TRACKERS, default=FLOW, help="Which tracker to use. Default: %(default)s.")
    add_weights(parser, "--weights")
    parser.add_argument("--device", default="auto", help=f"Where sam2 and edgetam compute: {FORMS}.")
    add_plate_options(parser)
    parser.set_defaults(run=run, strokes=[])


def add_weights(parser: argparse._ActionsContainer, option: str) -> None:
    """Add the option that names the weights of a tracker."""
    parser.add_argument(
        option,
        type=Path,
        metavar="FOLDER",
        help="The folder of your own weights of SAM 2 or EdgeTAM, as transformers writes them. Default: those that "
        "'weights fetch' has put into your data folder. This command downloads nothing.",
    )


def run(args: argparse.Namespace) -> None:
    """Check the arguments, track the subject, and print the next command."""
    console = plain_console()
    check_tracker(args.tracker, args.weights)
    job = _job(args)
    plan = track_locally(job, args.weights, args.device, console)
    guide = shlex.quote(job.out) + ("" if plan.band is None else f" --guide-band {plan.band}")
    console.print(
        f"next    matanyone-engine matte {shlex.quote(job.plate)} {_key(args, plan)}--guide {guide} --out ..."
    )


def _key(args: argparse.Namespace, plan: TrackPlan) -> str:
    """Return the --mask option of the next command: the artist's mask, or the guide of the frame with the prompts."""
    mask = plan.path(plan.key) if args.mask is None else mask_of(args.mask)[0]
    return f"--mask {shlex.quote(f'{mask}@{plan.key}')} "


def _job(args: argparse.Namespace) -> TrackJob:
    plate, frame = plate_frame(args.plate)
    prompted = args.box is not None or args.strokes
    mask, of_mask = (None, None) if args.mask is None else mask_of(args.mask)
    if of_mask is not None and frame not in (None, of_mask):
        raise SettingError(
            expected="one key frame",
            came=f"{args.plate} and {args.mask}",
            action="Leave the @FRAME of one of them out.",
        )
    return TrackJob(
        plate=plate,
        out=args.out,
        mask=mask,
        prompts=Prompts(parse_box(args.box), tuple(args.strokes)) if prompted else None,
        frame=frame if of_mask is None else of_mask,
        frames=args.frames,
        tracker=args.tracker,
        colorspace=args.colorspace,
        exposure=args.exposure,
        view=args.view,
        part=args.part,
        layer=args.layer,
    )


def track_locally(job: TrackJob, weights: Path | None, device: str, console: Console) -> TrackPlan:
    """Plan and run a track in this process, and show its progress. Raises EngineError, Interrupted."""
    plan = plan_track(job)
    tracker = open_tracker(job.tracker, weights, device)
    console.print(f"track   {plan.source.name}  {describe_frames(plan.frames)}  from frame {plan.key}")
    console.print(f"colour  {plan.colour.space}  ({plan.colour.reason})")
    console.print(f"tracker {tracker.name}")
    if tracker.notice:
        console.print(f"note    {tracker.notice}")
    begun = time.monotonic()
    with (
        graceful_stop(console, "this frame") as stop,
        _TrackProgress(console) as progress,
        closing(run_track(plan, tracker, stop.requested)) as events,
    ):
        for event in events:
            made = event if isinstance(event, GuideDone) else None
            if made is not None and made.frame == plan.key and plan.prompts is not None:
                console.print(_first_mask_line(made))
            progress.show(event.frame, event.done, event.of, made=made)
    written = len(progress.made)
    if written < len(plan.frames):
        raise Interrupted(
            expected=f"guides for {len(plan.frames)} frames",
            came=f"a stop after {written}",
            action="Run the same command again: it goes on from there.",
        )
    progress.print_summary()
    console.print(f"guide   {written} frames in {time.monotonic() - begun:.1f} s: {plan.out.folder / plan.out.name}")
    return plan


def _first_mask_line(made: GuideDone) -> str:
    """Return the line about the mask that was made from a box and points."""
    share = f"covers {percent(made.covers)} of frame {made.frame}"
    return f"mask    {made.path}  {share}: look at it, since all other guides follow it"


class _TrackProgress(FrameProgress):
    """Shows the progress of a track, and remembers which guides existed already and which are empty."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "track")
        self.made: list[int] = []
        self._kept: list[int] = []
        self._empty: list[int] = []

    def show(self, frame: int, done: int, of: int, *, made: GuideDone | None) -> None:
        """Show the progress; made: the guide that was written, or None while files are read."""
        if made is not None:
            self.made.append(frame)
            self._kept += [frame] if made.kept else []
            self._empty += [frame] if made.empty else []
        self._bar.update(self._task, completed=done, total=of, frame=frame if made else "- (reading)")
        now = time.monotonic()
        if self._due(now):
            left = (of - done) * (now - self._begun) / max(done, 1)
            what = f"frame {frame}" if made else "reading files"
            self._console.print(f"{what}  {done} of {of}  {left:.0f} s left")

    def print_summary(self) -> None:
        """Print which guides existed already, and on which frames the tracker found nothing."""
        if self._kept:
            self._console.print(f"kept    {len(self._kept)} guides were there: {describe_frames(sorted(self._kept))}")
        if self._empty:
            frames = describe_frames(sorted(self._empty))
            self._console.print(
                f"look    {frames}: the tracker found nothing, so these frames are matted without the guide"
            )
