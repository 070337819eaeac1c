# SPDX-License-Identifier: Apache-2.0
"""Makes editable shapes of alphas: `matanyone-engine shapes "out/alpha.####.exr" --out shot.nk --out shot.json`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.progress import track

from matanyone_engine.cli.progress import plain_console
from matanyone_engine.jobs.shape_files import WRITERS, MadeShapes, make_shapes, plan_shapes, write_shapes
from matanyone_engine.media.sequence import describe_frames, parse_frames
from matanyone_engine.shapes.build import ERROR, SMALLEST, ShapeRules


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'shapes' to the program's parser."""
    parser = subparsers.add_parser(
        "shapes",
        description="Makes closed splines of alphas, with the same points on all frames and few keys, for an artist to "
        "edit: a Roto node for Nuke (.nk), shapes for Silhouette (.fxs), and JSON (.json), which the Blender "
        "extension imports as a mask. An alpha's outline is where it is one half.",
    )
    parser.add_argument(
        "alphas",
        metavar="ALPHAS",
        help="The alphas: out/alpha.####.exr, a folder or one file; one object of several: out/alpha.####.exr:hero.",
    )
    parser.add_argument(
        "--out",
        action="append",
        required=True,
        metavar="FILE",
        help=f"The file to write. Its ending ({', '.join(WRITERS)}) says for which program. Give it again for more.",
    )
    parser.add_argument("--frames", type=parse_frames, metavar="RANGE", help="The frames: 1001-1100. Default: all.")
    _add_rules(parser)
    parser.set_defaults(run=run)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how closely the shapes follow the alphas."""
    parser.add_argument(
        "--error",
        type=float,
        default=ERROR,
        metavar="PIXELS",
        help="How far a shape may lie from the alpha's outline: the root mean square along each piece. "
        "More gives fewer points and keys. Default: %(default)s.",
    )
    parser.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="Blur the alphas by so much first. This removes strands of hair, and many points with them; 2 to 4 is "
        "usual for hair. Default: %(default)s.",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=SMALLEST,
        metavar="PART",
        help="Leave out islands and holes that are smaller than this part of the picture. Default: %(default)s.",
    )
    parser.add_argument(
        "--no-feather", action="store_true", help="Make hard edges. Default: about as soft as the alpha."
    )


def run(args: argparse.Namespace) -> None:
    """Check the arguments, make the shapes and write them."""
    console = plain_console()
    rules = ShapeRules(args.error, args.smallest, args.smooth, not args.no_feather)
    plan = plan_shapes(args.alphas, args.out, args.frames, rules)
    layers = plan.layers()
    if len(layers) > 1:
        console.print(f"objects {_together(layers, args.alphas)}", soft_wrap=True)

    def watched(items: Sequence[Any], words: str) -> Iterable[Any]:
        return track(items, words, console=console, disable=not console.is_terminal)

    made = make_shapes(plan, watched)
    write_shapes(plan, made.shapes)
    for line in _summary(made):
        console.print(line, soft_wrap=True)
    console.print(f"done    {', '.join(map(str, plan.targets))}", soft_wrap=True)


def _together(layers: Mapping[str, str], alphas: str) -> str:
    """Say that the shapes are those of several objects, and how to get those of one."""
    own = next((name for name, channel in layers.items() if channel == f"{name}.A"), None)
    how = "matte with --layout layers" if own is None else f"write {alphas}:{own}"
    return f"{', '.join(layers)} together, as in the A of the file. For the shapes of one object, {how}."


def _summary(made: MadeShapes) -> list[str]:
    shapes = made.shapes.shapes
    lines = [f"frames  {describe_frames(made.shapes.frames)}"]
    lines += [
        f"{shape.name:8}{len(shape.keys[0].points)} points, {len(shape.keys)} keys, frames {shape.first}-{shape.last}"
        for shape in shapes
    ]
    if made.left_out:
        frames = describe_frames(sorted({frame for each in made.left_out for frame in each}))
        lines.append(f"left    {len(made.left_out)} small outlines that exist for one or two frames, on {frames}")
    return lines
