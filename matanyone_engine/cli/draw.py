# SPDX-License-Identifier: Apache-2.0
"""Draws clips with true alphas to train on (training/series.py): `matanyone-engine draw --data ROOT --clips N`."""

from __future__ import annotations

import argparse

from rich.progress import track

from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.errors import SettingError
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.training.data import BACKGROUNDS, pictures_in
from matanyone_engine.training.series import LENGTHS, is_written, write_clip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'draw' to the program's parser."""
    parser = subparsers.add_parser(
        "draw",
        description="Draws people, textiles, plants, animals and things with true alpha into ROOT/mat_vid/Drawn2. "
        "Clip N is always the same for the same photographs in ROOT/mat_vid/BG20k/train, which some clothes are cut "
        "from; clips that are there are left alone.",
    )
    parser.add_argument(
        "--data", type=new_folder, required=True, metavar="ROOT", help="The folder of the training data."
    )
    parser.add_argument("--clips", type=int, required=True, metavar="N", help="How many clips to draw.")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="The number of the first clip. Default: 0.")
    parser.add_argument(
        "--length",
        type=int,
        metavar="FRAMES",
        help=f"Frames in a clip. Default: {LENGTHS[0]} to {LENGTHS[-1]}.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw the clips that do not exist yet."""
    if args.clips < 1 or args.first < 0 or (args.length is not None and args.length < 1):
        raise SettingError(
            expected="at least one clip of at least one frame, numbered from 0 on",
            came=f"--clips {args.clips} --first {args.first} --length {args.length}",
            action="Correct the option.",
        )
    root = args.data / "mat_vid/Drawn2"
    check_writable(args.data)
    backgrounds = args.data / BACKGROUNDS
    textures = pictures_in(backgrounds) if backgrounds.is_dir() else []
    console = PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    numbers = [n for n in range(args.first, args.first + args.clips) if not is_written(root, n, args.length)]
    for number in track(numbers, "draw", console=console, disable=not console.is_terminal):
        write_clip(root, number, args.length, textures)
    console.print(f"done    {len(numbers)} clips drawn, {args.clips - len(numbers)} were there: {root}")
