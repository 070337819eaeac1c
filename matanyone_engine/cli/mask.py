# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine mask PLATE@FRAME --box x0,y0,x1,y1 --point x,y,+ --out mask.exr: a first mask by prompt.

--point 640,300,+                       on the subject; - beside it
--stroke "600,500 640,700 660,900,+"    the same along a line
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
from matanyone_engine.errors import FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.first_mask import BACKENDS, GRABCUT, SAM2, FirstMask, MaskJob, Weights, make_mask, plan_mask
from matanyone_engine.jobs.first_mask_message import prompt_message
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.preview import write_look
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.media.sequence import parse_frames

_NUMBER = r"-?\d{1,6}(?:\.\d{1,6})?"
_STROKE = re.compile(rf"(?P<points>{_NUMBER},{_NUMBER}(?: +{_NUMBER},{_NUMBER})*) *,(?P<sign>[+-])")
_BOX = re.compile(r"-?\d{1,6}(?:,-?\d{1,6}){3}")


class _AddStroke(argparse.Action):
    """--point and --stroke in the order in which they stand."""

    def __call__(self, parser: object, namespace: argparse.Namespace, text: object, option: str | None = None) -> None:
        namespace.strokes = [*namespace.strokes, parse_stroke(str(text))]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'mask' to the program's parser."""
    parser = subparsers.add_parser(
        "mask",
        help="make a first mask",
        description="Make a first mask for matte --mask, from a box and a few clicks on one frame.",
        epilog="Coordinates are plate pixels, counted from the top left of the picture.",
    )
    parser.add_argument("plate", metavar="PLATE[@FRAME]", help="as for matte, and the frame (default: the first)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the mask (.exr)")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", help="around the subject; nothing outside of it is the subject")
    parser.add_argument("--point", action=_AddStroke, metavar="X,Y,+|-", help="on the subject (+), or beside it (-)")
    parser.add_argument("--stroke", action=_AddStroke, metavar='"X,Y X,Y ...,+|-"', help="the same along a line")
    parser.add_argument("--brush", type=float, metavar="PIXELS", help="width of strokes (default: 1/100 of the plate)")
    parser.add_argument("--backend", choices=BACKENDS, help="default: grabcut, or sam2 where --sam2 is given")
    parser.add_argument("--sam2", type=Path, metavar="FOLDER", help="SAM 2's weights, your own (docs/masks.md)")
    parser.add_argument("--device", default="auto", help="of sam2: auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--colorspace", metavar="NAME", help="as for matte")
    for option in ("--view", "--part", "--layer"):
        parser.add_argument(option, metavar="NAME", help="as for matte; one view")
    parser.add_argument("--exposure", type=float, default=0.0, metavar="STOPS", help="as for matte")
    parser.add_argument("--look", type=Path, metavar="FILE", help="write a picture of the mask over the plate (PNG)")
    add_endpoint(parser)
    parser.set_defaults(run=run, strokes=[])


def run(args: argparse.Namespace) -> None:
    """Make it, here or by a running engine, and say what to do with it."""
    job = _job(args)
    _check(args)
    said = _by_engine(args, job) if args.endpoint is not None else _here(args, job)
    width = max(len(name) for name, _ in said)
    print("\n".join(f"{name:{width}}  {value}" for name, value in said))


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
    said = _said(job, str(made.path), made.frame, colour, made.backend, made.covers)
    if args.look:
        write_look(args.look, made.seen, made.mask, _lines(made, job))
        said.append(("look", str(args.look)))
    return said


def _lines(made: FirstMask, job: MaskJob) -> list[str]:
    """What stands above the picture."""
    return [f"{made.path.name}  of frame {made.frame} of {job.plate}", f"prompts: {job.prompts}", made.backend]


def _by_engine(args: argparse.Namespace, job: MaskJob) -> list[tuple[str, str]]:
    args.connection = args.endpoint
    with connected(args, patience_s=60.0) as client:
        masked = client.make_mask(prompt_message(_absolute(job), secrets.token_hex(16)))
    return _said(job, masked.path, masked.frame, masked.colour, masked.backend, masked.covers)


def _absolute(job: MaskJob) -> MaskJob:
    """As the engine, which works elsewhere, must be told."""
    return replace(job, plate=str(Path(job.plate).absolute()), out=str(Path(job.out).absolute()))


def _said(job: MaskJob, path: str, frame: int, colour: str, backend: str, covers: float) -> list[tuple[str, str]]:
    """What was done, and what comes next."""
    return [
        ("mask", f"{path}  covers {100 * covers:.3g} % of frame {frame}"),
        ("colour", colour),
        ("made by", backend),
        (
            "next",
            f"matanyone-engine matte {shlex.quote(job.plate)} --mask {shlex.quote(f'{job.out}@{frame}')} --out ...",
        ),
    ]


def _check(args: argparse.Namespace) -> None:
    """Before any work: what means nothing to an engine that runs already, and a picture that cannot be written."""
    for option, given in (("--look", args.look), ("--sam2", args.sam2)):
        if args.endpoint is not None and given is not None:
            raise SettingError(
                expected=f"--endpoint without {option}", came=f"{option} {given}", action="Leave one of them out."
            )
    if args.look is None:
        return
    if args.look.suffix.lower() != ".png":
        raise SettingError(expected="a .png file for the picture", came=str(args.look), action="Write --look look.png.")
    check_writable(args.look.parent)


# ------------------------------------------------------------------------------------------------ reading words


def plate_frame(text: str) -> tuple[str, int | None]:
    """'plate.####.exr@1001' -> both. A file whose own name has an @ is taken as it is. Raises FrameRangeError."""
    plate, at, frame = text.rpartition("@")
    if not at or Path(text).exists():
        return text, None
    frames = parse_frames(frame)
    if len(frames) != 1:
        raise FrameRangeError(
            expected="one frame of the plate: PLATE@FRAME", came=repr(text), action="Make a mask for each frame."
        )
    return plate, frames[0]


def parse_box(text: str | None) -> tuple[int, int, int, int] | None:
    """'x0,y0,x1,y1'. Raises MaskError."""
    if text is None:
        return None
    if not _BOX.fullmatch(text):
        raise MaskError(expected="--box x0,y0,x1,y1", came=repr(text), action="Give four whole numbers of pixels.")
    x0, y0, x1, y1 = map(int, text.split(","))
    return x0, y0, x1, y1


def parse_stroke(text: str) -> Stroke:
    """'x,y,+' or 'x,y x,y ...,-'. Raises MaskError."""
    found = _STROKE.fullmatch(text.strip())
    if found is None:
        raise MaskError(
            expected="x,y,+ on the subject or x,y,- beside it; for a line x,y x,y ...,+",
            came=repr(text),
            action='Write --point 640,300,+ or --stroke "600,500 640,700,+".',
        )
    points = tuple((float(x), float(y)) for x, y in (point.split(",") for point in found["points"].split()))
    return Stroke(points, found["sign"] == "+")
