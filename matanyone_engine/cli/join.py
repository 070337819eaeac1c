# SPDX-License-Identifier: Apache-2.0
"""Joins the views of a stereo shot in one multi-part EXR for each frame.

matanyone-engine join "out/a.%V.####.exr" --out "out/a.####.exr"
"""

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
        description="Joins the files of several views, as matte writes them, in one multi-part EXR for each frame. "
        "Each view becomes a part with its channels and header. The files of the views stay.",
    )
    parser.add_argument(
        "files", metavar="FILES", help="The files to join: 'out/alpha.%%V.####.exr'. %%V stands for the view."
    )
    parser.add_argument(
        "--out", required=True, metavar="PATTERN", help="Where the joined files go: 'out/alpha.####.exr'."
    )
    parser.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="NAME",
        help="A view to take; give it again for more, in order. Default: all, left first.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check all files, then join them frame by frame. Raises Interrupted, OutputError."""
    console = plain_console()
    plan = plan_joining(args.files, args.out, args.view)
    with graceful_stop(console, "this frame") as stop:
        for frame in track(plan.frames, "join", console=console, disable=not console.is_terminal):
            if stop.requested():
                raise Interrupted(
                    expected=f"all {len(plan.frames)} frames joined",
                    came=f"a stop by you before frame {frame}",
                    action="Run the same command again.",
                )
            join_views(plan.sources[frame], plan.targets[frame])
    console.print(f"done    Each frame of {describe_frames(plan.frames)} has {', '.join(plan.views)} in one file.")
