# SPDX-License-Identifier: Apache-2.0
"""Reads the edge controls from the command line: for 'matte', and for 'run', where they replace those of the job."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from matanyone_engine.media.edges import EdgeControls
from matanyone_engine.wire import messages as say

_ABOUT: Mapping[str, tuple[str, str]] = {
    "deflicker": ("0..1", "Take out of edges what comes and goes within one frame: by half with 0.5, wholly with 1."),
    "despeckle": ("PIXELS", "Remove islands of at most so many pixels."),
    "solidify": (
        "0..0.95",
        "Fill weak spots inside the core where the alpha nowhere falls below 1 minus this. Holes through which the "
        "background is seen stay.",
    ),
    "black_clip": ("0..1", "Set the alpha to 0 at this value and below."),
    "white_clip": ("0..1", "Set the alpha to 1 at this value and above."),
    "black_knee": ("0..1", "Round the corner of the black clip, over this part of the range between the clips."),
    "white_knee": ("0..1", "Round the corner of the white clip likewise."),
    "gamma": ("GAMMA", "Make greys lighter (above 1) or darker (below 1)."),
    "edge_grow": ("PIXELS", "Move edges outwards, or inwards with a negative number. Parts of a pixel count: -0.5."),
    "edge_blur": ("PIXELS", "Soften edges with a Gaussian of this standard deviation. Parts of a pixel count."),
}
"""For each control, the name of its value and what it does."""


def add_edges(parser: argparse.ArgumentParser) -> None:
    """Add the edge controls to a parser."""
    group = parser.add_argument_group(
        "edges",
        "They are applied in this order when the alphas are written. No frame is computed again for a changed control. "
        "Without them every alpha is as the network made it.",
    )
    for name, (value, about) in _ABOUT.items():
        kind = int if name == "despeckle" else float
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=value, help=about)


def edges_of(args: argparse.Namespace) -> EdgeControls:
    """Return the edge controls of a command line."""
    return EdgeControls(**_given(args))


def with_edge_options(job: say.Job, args: argparse.Namespace) -> say.Job:
    """Return the job with the edge controls that the command line sets for all its objects; its other controls stay."""
    given = _given(args)
    objects = tuple(
        each if each.edges is None else replace(each, edges=replace(each.edges, **given)) for each in job.objects
    )
    return replace(job, edges=replace(job.edges, **given), objects=objects)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    given = {each.name: getattr(args, each.name) for each in fields(EdgeControls)}
    return {name: value for name, value in given.items() if value is not None}
