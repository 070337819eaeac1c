# SPDX-License-Identifier: Apache-2.0
"""Makes a first mask from a box and a few clicks: `matanyone-engine mask PLATE@FRAME --box ... --out mask.exr`.

--box 121,3,505,360                     encloses the subject
--point 640,300,+                       lies on the subject; (with - instead of + it lies on the background)
--stroke "600,500 640,700 660,900,+"    says the same along a line
"""

from __future__ import annotations

import argparse
import re
import secrets
import shlex
from dataclasses import replace
from pathlib import Path

from matanyone_engine.cli.engine_job import add_endpoint
from matanyone_engine.cli.engines import connected
from matanyone_engine.cli.new_file import new_file
from matanyone_engine.cli.plate_options import add_plate_options
from matanyone_engine.errors import FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.first_mask import BACKENDS, GRABCUT, SAM2, FirstMask, MaskJob, Weights, make_mask, plan_mask
from matanyone_engine.jobs.first_mask_message import prompt_message
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.preview import percent, write_preview
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.media.sequence import parse_frames
from matanyone_engine.model.device import FORMS

_NUMBER = r"-?\d{1,6}(?:\.\d{1,6})?"
_STROKE = re.compile(rf"(?P<points>{_NUMBER},{_NUMBER}(?: +{_NUMBER},{_NUMBER})*) *,(?P<sign>[+-])")
_BOX = re.compile(r"-?\d{1,6}(?:,-?\d{1,6}){3}")


class AddStroke(argparse.Action):
    """Collects --point and --stroke in the order in which they stand on the command line."""

    def __call__(self, parser: object, namespace: argparse.Namespace, text: object, option: str | None = None) -> None:
        namespace.strokes = [*namespace.strokes, parse_stroke(str(text))]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'mask' to the program's parser."""
    parser = subparsers.add_parser(
        "mask",
        description="Makes a first mask from a box and a few clicks on one frame. Give it to matte --mask as it is, "
        "or mend it first.",
        epilog="Coordinates are plate pixels, counted from the top left of the picture.",
    )
    parser.add_argument(
        "plate", metavar="PLATE[@FRAME]", help="The plate, as for matte, and the frame. Default: its first."
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="Where the mask goes (.exr).")
    parser.add_argument(
        "--box", metavar="X0,Y0,X1,Y1", help="A box around the subject. Nothing outside it belongs to the subject."
    )
    parser.add_argument(
        "--point", action=AddStroke, metavar="X,Y,+|-", help="A point on the subject (+) or beside it (-)."
    )
    parser.add_argument(
        "--stroke", action=AddStroke, metavar='"X,Y X,Y ...,+|-"', help="A line on the subject (+) or beside it (-)."
    )
    parser.add_argument(
        "--brush",
        type=float,
        metavar="PIXELS",
        help="How wide strokes are. Default: 1/100 of the plate's shorter side.",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, help="What makes the mask. Default: grabcut, or sam2 if --sam2 is given."
    )
    parser.add_argument(
        "--sam2", type=Path, metavar="FOLDER", help="The folder of your own weights of SAM 2 (docs/masks.md)."
    )
    parser.add_argument("--device", default="auto", help=f"Where SAM 2 computes: {FORMS}.")
    add_plate_options(parser)
    parser.add_argument(
        "--picture", type=new_file, metavar="FILE", help="Also write a picture of the mask over the plate (PNG)."
    )
    parser.add_argument("--look", dest="picture", type=Path, help=argparse.SUPPRESS)  # the name of version 0.1.0
    add_endpoint(parser)
    parser.set_defaults(run=run, strokes=[])


def run(args: argparse.Namespace) -> None:
    """Make the mask in this process or on a running engine, and print the next step."""
    job = _job(args)
    _check(args)
    lines = _by_engine(args, job) if args.endpoint is not None else _here(args, job)
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:{width}}  {value}" for name, value in lines))


def _job(args: argparse.Namespace) -> MaskJob:
    plate, frame = plate_frame(args.plate)
    return MaskJob(
        plate=plate,
        out=args.out,
        prompts=Prompts(parse_box(args.box), tuple(args.strokes), args.brush),
        frame=frame,
        backend=args.backend or (SAM2 if args.sam2 else GRABCUT),
        colorspace=args.colorspace,
        exposure=args.exposure,
        view=args.view,
        part=args.part,
        layer=args.layer,
    )


def _here(args: argparse.Namespace, job: MaskJob) -> list[tuple[str, str]]:
    plan = plan_mask(job, Weights(args.sam2, args.device) if args.sam2 else None)
    made = make_mask(plan)
    colour = f"{made.colour.space}  ({made.colour.reason})"
    lines = _result_lines(job, str(made.path), made.frame, colour, made.backend, made.covers)
    if args.picture:
        write_preview(args.picture, made.seen, made.mask, _lines(made, job))
        lines.append(("picture", str(args.picture)))
    return lines


def _lines(made: FirstMask, job: MaskJob) -> list[str]:
    """Return the lines of text above the picture."""
    return [f"{made.path.name}  of frame {made.frame} of {job.plate}", f"prompts: {job.prompts}", made.backend]


def _by_engine(args: argparse.Namespace, job: MaskJob) -> list[tuple[str, str]]:
    args.connection = args.endpoint
    with connected(args, timeout_s=60.0) as client:
        masked = client.make_mask(prompt_message(_absolute(job), secrets.token_hex(16)))
    return _result_lines(job, masked.path, masked.frame, masked.colour, masked.backend, masked.covers)


def _absolute(job: MaskJob) -> MaskJob:
    """Return the job with absolute paths, since the engine's current folder is another one."""
    return replace(job, plate=str(Path(job.plate).absolute()), out=str(Path(job.out).absolute()))


def _result_lines(
    job: MaskJob, path: str, frame: int, colour: str, backend: str, covers: float
) -> list[tuple[str, str]]:
    """Return the lines that say what was made and which command comes next."""
    return [
        ("mask", f"{path}  covers {percent(covers)} of frame {frame}"),
        ("colour", colour),
        ("made by", backend),
        (
            "next",
            f"matanyone-engine matte {shlex.quote(job.plate)} --mask {shlex.quote(f'{job.out}@{frame}')} --out ...",
        ),
    ]


def _check(args: argparse.Namespace) -> None:
    """Raise an error, before any work, for options that a running engine cannot follow and for a picture that cannot be
    written."""
    for option, given in (("--picture", args.picture), ("--sam2", args.sam2)):
        if args.endpoint is not None and given is not None:
            raise SettingError(
                expected=f"--endpoint or {option}, not both: a running engine cannot do that",
                came=f"--endpoint and {option} {given}",
                action="Leave one of them out.",
            )
    if args.picture is None:
        return
    if args.picture.suffix.lower() != ".png":
        raise SettingError(
            expected="a picture whose name ends in .png",
            came=str(args.picture),
            action="Rename it, for example --picture mask.png.",
        )
    check_writable(args.picture.parent)


# ------------------------------------------------------------------------------------------------ reading arguments


def plate_frame(text: str) -> tuple[str, int | None]:
    """Split 'plate.####.exr@1001' into plate and frame. If a file has exactly this name, the @ is part of it. Raises
    FrameRangeError.
    """
    plate, at, frame = text.rpartition("@")
    if not at or Path(text).exists():
        return text, None
    frames = parse_frames(frame)
    if len(frames) != 1:
        raise FrameRangeError(
            expected="one frame of the plate, as PLATE@FRAME",
            came=repr(text),
            action="Make a mask of its own for each frame.",
        )
    return plate, frames[0]


def parse_box(text: str | None) -> tuple[int, int, int, int] | None:
    """Parse a box such as '121,3,505,360'. Raises MaskError."""
    if text is None:
        return None
    if not _BOX.fullmatch(text):
        raise MaskError(
            expected="--box with four whole numbers of pixels: x0,y0,x1,y1",
            came=repr(text),
            action="Write for example --box 121,3,505,360, from the top left to the bottom right.",
        )
    x0, y0, x1, y1 = map(int, text.split(","))
    return x0, y0, x1, y1


def parse_stroke(text: str) -> Stroke:
    """Parse a point or a line such as 'x,y,+' or 'x,y x,y ...,-'. Raises MaskError."""
    found = _STROKE.fullmatch(text.strip())
    if found is None:
        raise MaskError(
            expected="a point as x,y,+ on the subject or x,y,- beside it, or a line as x,y x,y ...,+",
            came=repr(text),
            action='Write --point 640,300,+ or --stroke "600,500 640,700,+".',
        )
    points = tuple((float(x), float(y)) for x, y in (point.split(",") for point in found["points"].split()))
    return Stroke(points, found["sign"] == "+")
