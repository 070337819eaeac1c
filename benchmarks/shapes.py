#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many points and keys do shapes of alphas need, and how near are they to the alphas?

    python benchmarks/shapes.py /tmp/held_out/rendered/alpha.####.png /tmp/hair/alpha.####.exr --sheet shapes.png
    python benchmarks/shapes.py ... --setting 0.5:0 --setting 1:2
    python benchmarks/shapes.py ... --nuke --blender .venv-blender-4.5.15

A setting is --error:--smooth of `matanyone-engine shapes`. For each: the points of all shapes together; keys of a point
each second at 24 frames a second, for programs that key whole shapes and for Nuke, which keys points;
overlap (IoU) of alpha and shapes, both cut at one half; mean distance in pixels of the alphas' outlines from the
shapes' ones; MAD x 1000. The rasteriser is that of matanyone_engine/shapes/draw.py. Times are of the CPU.

--nuke adds a row for the .nk: it is read by the strict reader of Nuke's scripts that the tests have, and drawn from the
text alone. --blender adds a row for the .json: a real Blender imports it with the extension (Import as Mask), and its
own mask renderer draws it. The folder is one that tests/install_blender.py has made.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from matanyone_engine.jobs.shape_files import make_shapes, plan_shapes
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.shapes.build import ShapeRules
from matanyone_engine.shapes.draw import drawn
from matanyone_engine.shapes.nuke import point_key_counts, to_nk
from matanyone_engine.shapes.outline import outlines
from matanyone_engine.shapes.plain import to_json
from matanyone_engine.shapes.shape import CENTRE, ShapeSet, curve
from matanyone_engine.training.metrics import Alpha

TESTS = Path(__file__).resolve().parents[1] / "tests"
RATE = 24
SETTINGS = ((0.5, 0.0), (1.0, 0.0), (1.0, 2.0), (2.0, 2.0))


def edge_distance(alpha: Alpha, again: Alpha) -> float:
    """Return how far the outlines of either of two alphas lie from those of the other on average, in pixels."""
    lines = [[outline.line.astype(np.float32) for outline in outlines(each, 26)] for each in (alpha, again)]
    if not all(lines):
        return float("nan")
    means = []
    for one, other in (lines, lines[::-1]):
        places = np.concatenate(one)[::3]
        off = [min(abs(cv2.pointPolygonTest(line, (float(x), float(y)), True)) for line in other) for x, y in places]
        means.append(float(np.mean(off)))
    return max(means)


Drawn = Callable[[int], Alpha]
"""Draws the alpha of a frame from shapes."""


def measured(draw: Drawn, alphas: dict[int, Alpha]) -> tuple[float, float, float, float]:
    """Return the mean and the least overlap, the mean edge distance, and MAD x 1000."""
    overlaps, edges, errors = [], [], []
    for frame, alpha in alphas.items():
        again = draw(frame)
        both, either = (alpha > 0.5) & (again > 0.5), (alpha > 0.5) | (again > 0.5)
        overlaps.append(both.sum() / max(1, either.sum()))
        edges.append(edge_distance(alpha, again))
        errors.append(float(np.abs(alpha - again).mean()) * 1000)
    return float(np.mean(overlaps)), float(np.min(overlaps)), float(np.mean(edges)), float(np.mean(errors))


def from_nuke(shapes: ShapeSet) -> Drawn:
    """Write the .nk, and draw what the strict reader finds in it."""
    from nuke_roto import drawn_from

    text = to_nk(shapes)
    return lambda frame: drawn_from(text, frame, shapes.size.size).astype(np.float32)


@cache
def built() -> Path:
    """Build the extension once for all clips and settings, and return its zip."""
    from blender_extension import extension_zip

    return Path(extension_zip(Path(tempfile.mkdtemp())))


def from_blender(shapes: ShapeSet, frames: list[int], blender: Path, folder: Path) -> Drawn:
    """Write the .json, have a real Blender import it as a mask, and let its own renderer draw some frames."""
    from blender_extension import Blender
    from blender_host import Host, plain, told_of

    file = folder / "shapes.json"
    file.write_text(to_json(shapes), encoding="utf-8")
    host = Host(Blender(blender.resolve()), built())
    draw = {
        "name": "shapes",
        "frames": frames,
        "size": [shapes.size.width, shapes.size.height],
        "folder": str(folder),
    }
    imported = ("imported", ("import_shapes", {"file": str(file)}))
    told = told_of(host, folder / "blender", [*plain(("scene", {})), imported, *plain(("draw_mask", draw))])
    if told["imported"].get("ended") != ["FINISHED"]:
        raise SystemExit(f"Blender did not import the shapes: {told['imported']}")
    return lambda frame: np.fromfile(folder / f"{frame}.f4", "<f4").reshape(shapes.size.size)


def picture(shapes: ShapeSet, frame: int, alpha: Alpha) -> np.ndarray:
    """Return the alpha with splines and points over it, and the shapes drawn again, side by side (8 bits, BGR)."""
    left, right = (
        cv2.cvtColor((each * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR) for each in (alpha, drawn(shapes, frame))
    )
    left = left // 2
    for shape in shapes.shapes:
        key = shape.at(frame)
        if key is None:
            continue
        line = np.rint(curve(key.points, 12) * 16).astype(np.int32)
        cv2.polylines(left, [line], True, (0, 220, 255), 1, cv2.LINE_AA, 4)
        for x, y in np.rint(key.points[:, CENTRE]).astype(int).tolist():
            cv2.circle(left, (x, y), 2, (80, 255, 80), -1, cv2.LINE_AA)
    return np.hstack([left, right])


def print_again(name: str, draw: Drawn, alphas: dict[int, Alpha]) -> None:
    """Print how near the alphas are that another program draws of the shapes."""
    overlap, least, edge, mad = measured(draw, alphas)
    print(f"|  | {name} | | | | | | {overlap:.4f} ({least:.4f}) | {edge:.2f} | {mad:.2f} | |", flush=True)


def report(pattern: str, settings: list[tuple[float, float]], options: argparse.Namespace) -> None:
    """Print a row for each setting, and draw the middle frame of the first one."""
    sheet = options.sheet
    for error, smooth in settings:
        plan = plan_shapes(pattern, [], None, ShapeRules(error=error, smooth=smooth))
        alphas = {frame: read_alpha(plan.alphas.path(frame)) for frame in plan.frames[:: options.every]}
        began = time.process_time()
        made = make_shapes(plan)
        took = (time.process_time() - began) / len(plan.frames)
        seconds = len(plan.frames) / RATE
        points = sum(len(shape.keys[0].points) for shape in made.shapes.shapes)
        whole = sum(len(shape.keys[0].points) * len(shape.keys) for shape in made.shapes.shapes) / points / seconds
        own = sum(sum(point_key_counts(shape, made.shapes)) for shape in made.shapes.shapes) / points / seconds
        overlap, least, edge, mad = measured(lambda frame, shapes=made.shapes: drawn(shapes, frame), alphas)
        print(
            f"| {Path(pattern).parent.name} | {error:g} | {smooth:g} | {len(made.shapes.shapes)} | {points} | "
            f"{whole:.1f} | {own:.1f} | {overlap:.4f} ({least:.4f}) | {edge:.2f} | {mad:.2f} | "
            f"{took:.2f} |",
            flush=True,
        )
        if options.nuke:
            print_again("the .nk, read again", from_nuke(made.shapes), alphas)
        if options.blender:
            with tempfile.TemporaryDirectory() as folder:
                again = from_blender(made.shapes, list(alphas), options.blender, Path(folder))
                print_again("the .json, by Blender", again, alphas)
        if sheet:
            frame = list(alphas)[len(alphas) // 2]
            name = f"{sheet.stem}.{Path(pattern).parent.name}.{error:g}.{smooth:g}{sheet.suffix}"
            cv2.imwrite(str(sheet.with_name(name)), picture(made.shapes, frame, alphas[frame]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alphas", nargs="+", metavar="ALPHAS")
    parser.add_argument("--setting", action="append", metavar="ERROR:SMOOTH")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="Pictures, named after clip and setting.")
    parser.add_argument("--every", type=int, default=1, help="draw and compare only every so many frames")
    parser.add_argument("--nuke", action="store_true", help="draw the .nk again as well")
    parser.add_argument("--blender", type=Path, metavar="FOLDER", help="have this Blender draw the .json as well")
    options = parser.parse_args()
    sys.path.append(str(TESTS))
    if options.blender:
        os.environ["MATANYONE_BLENDERS"] = str(options.blender.resolve())
    settings = [tuple(map(float, each.split(":"))) for each in options.setting or ()] or list(SETTINGS)
    print(
        "| clip | error | smooth | shapes | points | keys a point and s | of Nuke | IoU (least) | edge px | MAD | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for pattern in options.alphas:
        report(pattern, settings, options)


if __name__ == "__main__":
    main()
