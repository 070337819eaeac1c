# SPDX-License-Identifier: Apache-2.0
"""Adds --track, --track-weights and --track-out, by which `matte` makes a guide with a tracker first."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.mask_options import mask_of
from matanyone_engine.cli.track import add_weights, track_locally
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.track import TRACKERS, TrackJob, check_tracker
from matanyone_engine.media.output_names import tokens_of
from matanyone_engine.media.sequence import parse_frames

_DEFAULT = Path("guide") / "guide.####.exr"


def add_track(parser: argparse.ArgumentParser) -> None:
    """Add --track, --track-weights and --track-out."""
    group = parser.add_argument_group("tracker", "docs/track.md says how good each tracker is, and when you need one.")
    group.add_argument(
        "--track",
        choices=TRACKERS,
        help="Follow the mask through the shot with this tracker first, and use what it finds as the guide.",
    )
    add_weights(group, "--track-weights")
    group.add_argument(
        "--track-out",
        metavar="PATTERN",
        help="Where that guide goes. Default: guide/guide.####.exr beside the alphas.",
    )


def guided_by_track(args: argparse.Namespace, console: Console) -> None:
    """If --track is given, track the subject and set the guide as --guide would. Raises EngineError."""
    if args.track is None:
        _refuse_without_track(args)
        return
    check_tracker(args.track, args.track_weights)
    job = _job(args)
    plan = track_locally(job, args.track_weights, args.device, console)
    args.guide = [job.out]
    if args.guide_band is None:
        args.guide_band = plan.band


def _refuse_without_track(args: argparse.Namespace) -> None:
    for option, given in (("--track-weights", args.track_weights), ("--track-out", args.track_out)):
        if given is not None:
            raise SettingError(
                expected=f"--track with {option}", came=f"{option} alone", action="Say which tracker: --track flow."
            )


def _job(args: argparse.Namespace) -> TrackJob:
    if args.guide:
        raise SettingError(expected="--track or --guide", came="both", action="Leave one of them out.")
    several = len(args.mask) != 1 or args.distractor
    if several or "%V" in args.plate or "%v" in args.plate:
        raise SettingError(
            expected="one mask of one object in one view with --track",
            came=f"{len(args.mask)} masks and {len(args.distractor)} distractors of {args.plate}",
            action="Track each object or view by itself with matanyone-engine track, and give the guides with --guide.",
        )
    file, frame = mask_of(args.mask[0])
    return TrackJob(
        plate=args.plate,
        out=args.track_out or _default_out(args.out),
        mask=file,
        frame=frame,
        frames=parse_frames(args.frames) if args.frames else None,
        tracker=args.track,
        colorspace=args.colorspace,
        exposure=args.exposure,
        view=args.view[0] if args.view else None,
        part=args.part,
        layer=args.layer,
    )


def _default_out(out: str) -> str:
    folder = Path(out).parent
    if tokens_of(str(folder)):
        raise SettingError(
            expected="a name for the guide where the folder of the alphas has tokens",
            came=str(folder),
            action="Say where the guide goes: --track-out guide/guide.####.exr.",
        )
    return str(folder / _DEFAULT)
