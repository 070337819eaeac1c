# SPDX-License-Identifier: Apache-2.0
"""Adds the options about the plate's picture and colour for commands that read one frame."""

from __future__ import annotations

import argparse


def stops_or_auto(text: str) -> float | None:
    """Return the stops of --exposure; None for 'auto'. Raises ValueError, which argparse reports."""
    return None if text == "auto" else float(text)


def add_plate_options(parser: argparse.ArgumentParser) -> None:
    """Add --colorspace, --view, --part, --layer and --exposure, which mean what they mean for matte."""
    parser.add_argument("--colorspace", metavar="NAME", help="The plate's colour space, as for matte.")
    parser.add_argument("--view", metavar="NAME", help="The view of a stereo plate, as for matte.")
    parser.add_argument("--part", metavar="NAME", help="The part of a multi-part EXR, as for matte.")
    parser.add_argument("--layer", metavar="NAME", help="The layer of the plate, as for matte.")
    parser.add_argument(
        "--exposure",
        type=stops_or_auto,
        metavar="STOPS",
        help="Brighten or darken what the network sees, as for matte.",
    )
