# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine join "out/a.%V.####.exr" --out "out/a.####.exr": the views of a stereo shot in one file a frame."""

from __future__ import annotations

import argparse

from rich.progress import track

from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.errors import Interrupted
from matanyone_engine.jobs.stereo import plan_joining
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.media.stereo_files import join_views


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'join' to the program's parser."""
    parser = subparsers.add_parser(
        "join",
        help="views of a stereo shot into one file a frame",
        description="Put the files of several views, as matte writes them, into one multi-part EXR a frame: a part for "
        "each view, with its channels and header. The files of the views stay.",
    )
    parser.add_argument("files", metavar="FILES", help="'out/alpha.%%V.####.exr': %%V stands for the view")
    parser.add_argument("--out", required=True, metavar="PATTERN", help="'out/alpha.####.exr'")
    parser.add_argument(
        "--view", action="append", default=[], metavar="NAME", help="a view, in order; default: all, left first"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check, then join frame by frame."""
    console = plain_console()
    plan = plan_joining(args.files, args.out, args.view)
    with graceful_stop(console, "this frame") as stop:
        for frame in track(plan.frames, "join", console=console, disable=not console.is_terminal):
            if stop.asked():
                raise Interrupted(
                    expected=f"{len(plan.frames)} frames", came=f"a stop before frame {frame}", action="Run it again."
                )
            join_views(plan.sources[frame], plan.targets[frame])
    console.print(f"done    {', '.join(plan.views)} in one file each: frames {describe_frames(plan.frames)}")
