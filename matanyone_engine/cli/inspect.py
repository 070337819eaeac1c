# SPDX-License-Identifier: Apache-2.0
"""Shows what the network will see of a plate and a mask, before anything is computed.

matanyone-engine inspect PLATE [--mask FILE[@FRAME]] [--out seen.png]
matanyone-engine inspect --colorspaces      lists the names that --colorspace takes
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.cli.mask_options import mask_of
from matanyone_engine.cli.matte import parse_working_size
from matanyone_engine.cli.new_file import new_file
from matanyone_engine.cli.plate_options import add_plate_options
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.inspection import Inspection, inspect_plate
from matanyone_engine.jobs.job import MatteJob
from matanyone_engine.media.color import KNEE
from matanyone_engine.media.color_spaces import config_name, config_spaces, plain_spaces
from matanyone_engine.media.preview import percent, write_preview
from matanyone_engine.media.sequence import describe_frames

_NEGATIVE = 0.1
"""Share of negative pixels above which a note is printed."""
_DARK, _BRIGHT = 0.15, 0.85
"""Range of the median brightness of the pictures that the network was trained on; a note is printed outside of it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'inspect' to the program's parser."""
    parser = subparsers.add_parser(
        "inspect",
        description="Shows what the network will see of one frame, before anything is computed: the colour space, how "
        "bright the picture is, the size that is computed, and the mask over it.",
    )
    parser.add_argument("plate", metavar="PLATE", nargs="?", help="The plate, as for matte.")
    parser.add_argument(
        "--mask", default="", metavar="FILE[@FRAME]", help="A mask and its plate frame. Default: the first frame."
    )
    parser.add_argument("--frame", type=int, metavar="N", help="The plate frame to look at. Default: the mask's.")
    parser.add_argument("--out", type=new_file, metavar="FILE", help="Write what the network sees as a picture (PNG).")
    add_plate_options(parser)
    parser.add_argument("--mask-grow", type=int, default=0, metavar="PIXELS", help="Grow the mask first, as for matte.")
    parser.add_argument(
        "--working-size", type=parse_working_size, metavar="PIXELS", help="Compute at a smaller size, as for matte."
    )
    parser.add_argument("--colorspaces", action="store_true", help="List the names that --colorspace takes, and end.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Inspect the frame, print what was found, and write the picture if --out asks for one."""
    if args.colorspaces:
        print("\n".join(_colorspaces()))
        return
    if args.plate is None:
        raise SettingError(
            expected="a plate to look at, or --colorspaces",
            came="neither of them",
            action="Name the plate: matanyone-engine inspect plate.####.exr.",
        )
    mask, mask_frame = mask_of(args.mask)
    if args.out:
        _check_out(args.out, [Path(mask)] if mask else [])
    job = MatteJob(
        plate=args.plate,
        mask=mask,
        out="",
        view=args.view,
        part=args.part,
        layer=args.layer,
        mask_frame=mask_frame,
        colorspace=args.colorspace,
        exposure=args.exposure,
        mask_grow=args.mask_grow,
        working_size=args.working_size,
    )
    found = inspect_plate(job, args.frame)
    facts = _facts(found, job)
    print("\n".join(f"{name:8}{value}" for name, value in facts))
    if args.out:
        _check_out(args.out, found.source.paths(found.source.frames))
        write_preview(args.out, found.seen, found.mask, [f"{name}: {value}" for name, value in facts])
        print(f"{'picture':8}{args.out}")


def _facts(found: Inspection, job: MatteJob) -> list[tuple[str, str]]:
    """Return the lines of the report, each as a name and a sentence."""
    facts = [
        ("plate", f"{found.source.name}  frame {found.frame} of {describe_frames(found.source.frames)}"),
        ("file", _file(found)),
        ("colour", f"{found.colour.space}  ({found.colour.reason})"),
        ("network", found.network_view.name),
        ("levels", _levels(found)),
        ("size", _size(found)),
    ]
    if found.mask is not None:
        facts.append(("mask", _mask(found, job)))
    return [*facts, *(("note", note) for note in _notes(found, by_itself=job.exposure is None))]


def _file(found: Inspection) -> str:
    header = found.header
    parts = [header.file_format, header.pixel_format, f"channels {','.join(header.channels)}"]
    if header.data_window != header.display_window:
        parts.append(f"data window {_window(header.data_window)} of display window {_window(header.display_window)}")
    if header.pixel_aspect != 1.0:
        parts.append(f"pixel aspect {header.pixel_aspect:g}")
    if header.fps is not None:
        parts.append(f"{float(header.fps):.6g} fps")
    if header.timecode:
        parts.append(f"timecode {header.timecode}")
    return "  ".join(parts)


def _window(window: tuple[int, int, int, int]) -> str:
    x, y, width, height = window
    return f"{width}x{height}{x:+d}{y:+d}"


def _levels(found: Inspection) -> str:
    above_knee, above_white, below = (percent(share, 2) for share in found.levels)
    dark, middle, light = found.brightness
    return (
        f"{above_knee} in compressed highlights (above {KNEE}), {above_white} above white, {below} negative; "
        f"seen as {dark:.2f} to {light:.2f}, median {middle:.2f}"
    )


def _size(found: Inspection) -> str:
    plate = found.header.resolution
    scaled = "" if found.working == plate.size else f", computed at {found.working}"
    return f"{plate}{scaled}"


def _mask(found: Inspection, job: MatteJob) -> str:
    assert found.mask is not None
    soft = float(((found.mask > 0.0) & (found.mask < 1.0)).mean())
    way = "grown" if job.mask_grow > 0 else "shrunk"
    grown = f", {way} by {abs(job.mask_grow)} pixels" if job.mask_grow else ""
    return f"{job.mask}  covers {percent(float(found.mask.mean()))} of the frame, {percent(soft, 2)} are soft{grown}"


def _notes(found: Inspection, *, by_itself: bool) -> list[str]:
    """Return notes on what may be wrong. by_itself: whether the exposure was found by the engine."""
    middle, stops = found.brightness[1], found.network_view.exposure
    notes = []
    if stops and by_itself:
        light, way = ("dark", "brighter") if stops > 0 else ("bright", "darker")
        notes.append(
            f"The plate is so {light} that the network sees it {abs(stops):g} stops {way}. The colour space may be "
            "wrong; --exposure 0 shows the plate as it is."
        )
    if found.levels.below_black > _NEGATIVE:
        notes.append("Much of the plate is negative in linear light. Is this its colour space?")
    if middle < _DARK and not stops:
        notes.append("The network sees a dark picture. The colour space may be wrong; otherwise try --exposure 2.")
    if middle > _BRIGHT and not stops:
        notes.append("The network sees a bright picture. The colour space may be wrong; otherwise try --exposure -2.")
    return notes


def _colorspaces() -> list[str]:
    """List the plain names with the spaces that they stand for, then every name of the OpenColorIO config."""
    plain = plain_spaces()
    width = max(len(name.name) for name, _ in plain)
    lines = [f"names in {config_name()}", ""]
    lines += [f"  {name.name:{width}}  {space}{f'  ({name.note})' if name.note else ''}" for name, space in plain]
    others = [space for space in config_spaces() if space not in {space for _, space in plain}]
    return [
        *lines,
        "",
        "and by the config's own names, its aliases and interop ids",
        "",
        *(f"  {name}" for name in others),
    ]


def _check_out(out: Path, inputs: list[Path]) -> None:
    """Raise SettingError if the picture is not a PNG or would overwrite an input."""
    if out.suffix.lower() != ".png":
        raise SettingError(
            expected="a picture whose name ends in .png", came=str(out), action="Rename it, for example --out seen.png."
        )
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise SettingError(
            expected="a name for the picture that no input has",
            came=f"{out}, which is the plate or the mask",
            action="Choose another name with --out.",
        )
