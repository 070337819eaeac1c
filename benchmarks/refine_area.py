#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what --refine-area does to hair of which the true alpha is known.

    python benchmarks/refine_area.py --set /tmp/held_out --work /tmp/refined --sheet docs/images/refine_area.png

The model mattes each clip once (its alphas are kept in --work); areas are then solved on all frames. An area here is
the part of the picture where the true alpha lies between 0.02 and 0.98, and a fiftieth of the picture's height around
it: a band that an artist would paint over the hair. All figures are of pixels inside the area.

--weights tries other weights of the priors; DEPTHS says on how many frames before a solution may depend. --knn solves
with the equations of KNN matting in place of closed-form ones, times each of the factors given: they are of another
size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from weights_used import kept_for, weights_line

from matanyone_engine.jobs.one_call import matte
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.solve_area import MATCH, WEIGHTS, Inside, PriorWeights, SolutionBefore, solutions
from matanyone_engine.media.steady_edges import Grey, NeighbourFrame, grey_of, moved_here
from matanyone_engine.training.metrics import dtssd, gradient_field

CLIPS = ("hair", "hair-camera", "fur", "rendered")
SOFT = (0.02, 0.98)
REACH = 50
"""The area reaches around what is soft by the picture's height divided by this."""
DEPTHS = (0, 1, 2, 4)
FIRST = 1001
SHEET_FRAME = 12


class Scores(NamedTuple):
    """Holds the means over the frames of a clip, of pixels inside the area."""

    mad: float
    """Mean absolute difference x 1000."""
    grad: float
    """Squared difference of gradient magnitudes, summed / 1000."""
    dtssd: float
    """Root mean square x 100 of the difference of what changed since the frame before."""


class Clip:
    """Holds plates, true alphas, the model's alphas and areas of one clip."""

    def __init__(self, folder: Path, work: Path, model: str, frames: int | None) -> None:
        self.name = folder.name
        plates = open_plate(str(folder / "plate.####.png"))
        numbers = plates.frames[:frames]
        made = matte(
            folder / "plate.####.png",
            f"{folder}/mask.{FIRST}.png@{FIRST}",
            work / self.name / "alpha.####.exr",
            model=model,
            accept_doubt=True,
        )
        shown = NetworkView("sRGB")
        self.views: list[FloatImage] = [shown(plates.read(frame).rgb) for frame in numbers]
        self.greys: list[Grey] = [grey_of(view) for view in self.views]
        self.truths = [read_alpha(folder / f"alpha.{frame}.png") for frame in numbers]
        self.alphas = [read_alpha(made.alphas[frame][0]) for frame in numbers]
        self.areas = [area_around(truth) for truth in self.truths]

    def solved(self, weights: PriorWeights, depth: int, numbers: range | None = None) -> list[FloatImage]:
        """Return the alphas of some frames, or of all, whose areas are solved.

        depth: frames before that each solution may depend on; the first of `numbers` depends on none.
        """
        found: list[FloatImage] = []
        levels: list[FloatImage] = []
        for number in numbers or range(len(self.alphas)):
            befores = [self._before(number, level) for level in levels[:depth]]
            levels = solutions(self.views[number], self.alphas[number], self.areas[number], [None, *befores], weights)
            found.append(levels[-1])
        return found

    def _before(self, number: int, level: FloatImage) -> SolutionBefore:
        return SolutionBefore(*moved_here(NeighbourFrame(level, self.greys[number - 1]), self.greys[number], MATCH))

    def scores(self, alphas: list[FloatImage]) -> Scores:
        """Score alphas inside the areas; the first frame has no change, and is left out of all."""
        rows = []
        for number in range(1, len(alphas)):
            inside = self.areas[number] > 0
            alpha, truth = alphas[number], self.truths[number]
            steeper = np.square(gradient_field(alpha) - gradient_field(truth))[inside].sum() / 1000
            before = alphas[number - 1][inside], self.truths[number - 1][inside]
            change = dtssd(alpha[inside], truth[inside], *before)
            rows.append((1000 * np.abs(alpha - truth)[inside].mean(), steeper, change))
        return Scores(*(float(each) for each in np.mean(rows, axis=0)))


@contextmanager
def knn_equations(factor: float) -> Iterator[None]:
    """Have areas solved by the equations of KNN matting (Chen, Li and Tang, 2013), times a factor."""
    import pymatting

    closed_form = pymatting.cf_laplacian

    def equations(view: FloatImage, epsilon: float, is_known: Inside) -> Any:
        rows = pymatting.knn_laplacian(view)
        return (factor / 2 * (rows + rows.T)).tocsr()  # conjugate gradients need equations that are symmetric

    pymatting.cf_laplacian = equations
    try:
        yield
    finally:
        pymatting.cf_laplacian = closed_form


def area_around(truth: FloatImage) -> FloatImage:
    """Return the area (H, W), 0 or 1, that an artist would paint over the soft parts of a true alpha."""
    soft = ((truth > SOFT[0]) & (truth < SOFT[1])).astype(np.uint8)
    side = 2 * max(1, truth.shape[0] // REACH) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(soft, disc), np.float32)


def print_row(name: str, rows: list[Scores], seconds: float = 0.0) -> None:
    cells = [f"{row.mad:6.1f} {row.grad:6.2f} {row.dtssd:6.2f}" for row in (*rows, Scores(*np.mean(rows, axis=0)))]
    print(f"{name:34} | {' | '.join(cells)} | {seconds:5.2f} s", flush=True)


def write_sheet(path: Path, clips: list[Clip], weights: PriorWeights) -> None:
    """Draw, of one frame of each clip, a part of the plate, and there the network's, the solved and the true alpha."""
    rows = []
    for clip in clips:
        number = min(SHEET_FRAME, len(clip.alphas) - 1)
        solved = clip.solved(weights, 1, range(number - 1, number + 1))[-1]
        window = _window(clip.areas[number], clip.truths[number])
        cells = [clip.views[number], clip.areas[number], clip.alphas[number], solved, clip.truths[number]]
        titles = [f"{clip.name}: plate", "area", "network", "solved", "truth"]
        rows.append(np.concatenate([_cell(*each, window) for each in zip(titles, cells, strict=True)], axis=1))
    sheet = np.round(255 * np.concatenate(rows)[..., ::-1]).astype(np.uint8)
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _window(area: FloatImage, truth: FloatImage) -> tuple[slice, slice]:
    """Return the place, a third of the picture's height on each side, in which most is soft."""
    side = area.shape[0] // 3
    soft = ((truth > 0.1) & (truth < 0.9)).astype(np.float32)
    most = cv2.blur(soft, (side, side), borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(most.argmax()), most.shape)
    top, left = (int(np.clip(at - side // 2, 0, full - side)) for at, full in zip((y, x), area.shape, strict=True))
    return slice(top, top + side), slice(left, left + side)


def _cell(title: str, picture: FloatImage, window: tuple[slice, slice]) -> FloatImage:
    part = picture[window]
    body = np.asarray(part if part.ndim == 3 else np.repeat(part[..., None], 3, axis=2), np.float32)
    strip = np.zeros((16, body.shape[1], 3), np.uint8)
    cv2.putText(strip, title, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([strip.astype(np.float32) / 255, np.clip(body, 0, 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Areas solved along the plate, against true hair.")
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where the model's alphas are kept")
    parser.add_argument("--clips", nargs="+", default=CLIPS)
    parser.add_argument("--frames", type=int, help="only the first so many frames of each clip")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--depths", nargs="*", type=int, default=DEPTHS)
    parser.add_argument("--weights", nargs="*", default=[], help="such as network=0.03,before=0.1")
    parser.add_argument("--knn", nargs="*", type=float, default=[], help="factors such as 0.01")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    work = kept_for(args.work, args.model)
    clips = [Clip(args.set / name, work, args.model, args.frames) for name in args.clips]
    print(weights_line(args.model))
    print(f"{'MAD Grad dtSSD inside the area':34} | {' | '.join(f'{clip.name:20}' for clip in clips)} | mean")
    print_row("network", [clip.scores(clip.alphas) for clip in clips])
    tried = [(weights, 1) for weights in map(_weights, args.weights)] + [(WEIGHTS, depth) for depth in args.depths]
    for number, (weights, depth) in enumerate(tried):
        begun = time.process_time()
        rows = [clip.scores(clip.solved(weights, depth)) for clip in clips]
        seconds = (time.process_time() - begun) / sum(len(clip.alphas) for clip in clips)
        name = args.weights[number] if number < len(args.weights) else f"solved, {depth} frames before"
        print_row(name, rows, seconds)
    for factor in args.knn:
        with knn_equations(factor):
            rows = [clip.scores(clip.solved(WEIGHTS, 1)) for clip in clips]
        print_row(f"KNN x {factor:g}, 1 frame before", rows)
    if args.sheet:
        write_sheet(args.sheet, clips, WEIGHTS)


def _weights(text: str) -> PriorWeights:
    return replace(
        WEIGHTS, **{name: float(value) for name, _, value in (each.partition("=") for each in text.split(","))}
    )


if __name__ == "__main__":
    main()
