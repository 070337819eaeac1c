# SPDX-License-Identifier: Apache-2.0
"""Prints what an image file says about itself, and how the engine made it if it did: `matanyone-engine info FILE`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from matanyone_engine.media.file_info import PartFacts, read_facts
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.wire.reasons import REASONS


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'info' to the program's parser."""
    parser = subparsers.add_parser(
        "info",
        description="Prints what an image file says about itself: windows, channels, codec, timecode, colour, and how "
        "it was made if the engine made it.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="An image file: an alpha, a plate or a mask.")
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read the file and print its facts."""
    facts = read_facts(args.file)
    if args.json:
        values = {**asdict(facts), "path": str(facts.path), "ours": bool(facts.provenance)}
        print(json.dumps(values, ensure_ascii=False))
        return
    print(f"{facts.path}  {facts.file_format}" + (f", {len(facts.parts)} parts" if facts.parts[1:] else ""))
    for part in facts.parts:
        _show(_header(part))
    if facts.provenance:
        print(f"\nmade by {SOFTWARE}")
        _show({name: _in_words(name, value) for name, value in facts.provenance.items()})
    else:
        print(f"\nThis file was not made by {SOFTWARE}, or its header was lost on the way.")


def _header(part: PartFacts) -> dict[str, str]:
    """Return the lines about one part of the file, without those that have no value."""
    display, data = part.display_window, part.data_window
    kinds = sorted(set(part.channels.values()))
    shown = {
        "part": " ".join(filter(None, (part.name, part.view and f"(view {part.view})"))),
        "size": f"{display.width}x{display.height} at {display.x},{display.y}",
        "data window": "" if data == display else f"{data.width}x{data.height} at {data.x},{data.y}",
        "channels": ", ".join(part.channels if len(kinds) == 1 else [f"{c} ({k})" for c, k in part.channels.items()]),
        "pixels": f"{', '.join(kinds)}  {part.compression}",
        "aspect": f"{part.pixel_aspect:g}",
        "fps": part.fps,
        "timecode": part.timecode,
        **part.colour,
        **part.attributes,
    }
    return {name: value for name, value in shown.items() if value}


def _in_words(name: str, value: str) -> str:
    """Return an attribute's value as it is printed: the code of a reason is followed by its sentence."""
    return f"{value}: {REASONS[value]}" if name == "confidenceWhy" and value in REASONS else value


def _show(values: dict[str, str]) -> None:
    """Print a line for each name and value. Values are never shortened, so that a hash can be copied."""
    width = max(map(len, values))
    for name, value in values.items():
        print(f"  {name:<{width}}  {value}")
