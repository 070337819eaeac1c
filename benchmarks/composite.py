#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how much the foreground estimate improves a comp: the example's subject over another background, compared
with the truth.

    python benchmarks/composite.py --alphas "out/alpha.####.exr" --picture docs/images/composite.png

The truth, examples/truth/composite.*.exr, was rendered: the subject under its own light over a dusk sky that only the
camera sees. Against it: alpha * colour + (1 - alpha) * sky in linear light. The colour is the plate as it is, what
media/foreground.py estimates, or, where pymatting is installed, its estimate from the plate divided by its brightest
value (it clips to 0..1). The alpha is the true one, and one that the engine made (--alphas). Errors are scene-linear,
over the soft edge of the true alpha and 3 pixels around it; once more where the alpha is within 0.1 of the true one.
Flicker is the mean change of the error from a frame to the next.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.foreground import estimate_foreground
from matanyone_engine.media.images import read_plate
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.sequence import FrameSequence, find_sequence

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DUSK = ((0.004, 0.006, 0.012), (0.015, 0.03, 0.07))
"""examples/render_plate.py: scene-linear colours of the sky at the bottom and the top edge of the frame."""
MARGIN = 3
CROP = (slice(24, 216), slice(296, 472))
"""Rows and columns of the picture: the head."""
ZOOM = 2

Image = NDArray[np.float32]
Method = Callable[[Image, Image], Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alphas", help="the engine's alphas of examples/plate, as a pattern")
    parser.add_argument("--picture", type=Path, help="write a picture of one frame")
    parser.add_argument("--frame", type=int, default=1013, help="the frame of the picture")
    args = parser.parse_args()
    sources = {"true": str(EXAMPLES / "truth" / "alpha.####.exr"), **({"engine": args.alphas} if args.alphas else {})}
    results = {}
    for name, pattern in sources.items():
        for method, estimate in methods().items():
            results[f"{name} alpha, {method}"] = measured(pattern, estimate)
    print_table(results)
    if args.picture:
        show(args.picture, args.frame, sources)
    print(json.dumps(results))


def methods() -> dict[str, Method]:
    """Return the methods by name, each of which makes straight colour of plate and alpha."""
    known: dict[str, Method] = {"plate as it is": lambda plate, _: plate, "foreground estimated": estimate_foreground}
    if importlib.util.find_spec("pymatting"):
        known["pymatting"] = pymatting
    return known


def pymatting(plate: Image, alpha: Image) -> Image:
    """Estimate by PyMatting's multi-level method, which clips to 0..1: it gets the plate divided by its brightest
    value.
    """
    from pymatting import estimate_foreground_ml

    brightest = plate.max()
    return np.asarray(estimate_foreground_ml(plate / brightest, alpha) * brightest, dtype=np.float32)


def measured(pattern: str, estimate: Method) -> dict[str, float]:
    """Measure the errors of the composites, as means over the frames that there is a truth of."""
    alphas, errors, bands, close, seconds = find_sequence(pattern), [], [], [], []
    for frame in truth().frames:
        alpha = read_alpha(alphas.path(frame))
        begun = time.perf_counter()
        colour = estimate(plate_of(frame), alpha)
        seconds.append(time.perf_counter() - begun)
        errors.append(composite(alpha, colour) - read_plate(truth().path(frame)).rgb)
        bands.append(soft_edge(frame))
        close.append(bands[-1] & (np.abs(alpha - true_alpha(frame)) < 0.1))
    steps = [
        np.abs(after - before)[one | other].mean()
        for before, after, one, other in zip(errors, errors[1:], bands, bands[1:], strict=False)
    ]
    return {
        "mean": float(np.mean([np.abs(error[band]).mean() for error, band in zip(errors, bands, strict=True)])),
        "close": float(np.mean([np.abs(error[there]).mean() for error, there in zip(errors, close, strict=True)])),
        "rms": float(np.mean([np.sqrt((error[band] ** 2).mean()) for error, band in zip(errors, bands, strict=True)])),
        "flicker": float(np.mean(steps)),
        "seconds": float(np.median(seconds)),
    }


def truth() -> FrameSequence:
    return find_sequence(EXAMPLES / "truth" / "composite.####.exr")


def plate_of(frame: int) -> Image:
    return read_plate(EXAMPLES / "plate" / f"plate.{frame}.exr").rgb


def true_alpha(frame: int) -> Image:
    return read_alpha(EXAMPLES / "truth" / f"alpha.{frame}.exr")


def soft_edge(frame: int) -> NDArray[np.bool_]:
    """Return (H, W): where the true alpha is neither 0 nor 1, and MARGIN pixels around."""
    alpha = true_alpha(frame)
    soft = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
    return np.asarray(cv2.dilate(soft, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)) > 0)


def composite(alpha: Image, colour: Image) -> Image:
    """Return the colour, (H, W, 3) straight, over the sky."""
    height = len(alpha)
    up = 1.0 - (np.arange(height, dtype=np.float32)[:, None, None] + 0.5) / height
    bottom, top = (np.array(end, np.float32) for end in DUSK)
    a = alpha[..., None]
    return np.asarray(a * colour + (1.0 - a) * (bottom + (top - bottom) * up), dtype=np.float32)


def print_table(results: dict[str, dict[str, float]]) -> None:
    columns = ("alpha, colour", "mean error", "where the alpha is right", "rms error", "flicker", "s a frame")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name, figures in results.items():
        print(
            f"| {name} | {figures['mean']:.4f} | {figures['close']:.4f} | {figures['rms']:.4f} "
            f"| {figures['flicker']:.4f} | {figures['seconds']:.2f} |"
        )


def show(path: Path, frame: int, sources: dict[str, str]) -> None:
    """Draw plate and truth, then for each alpha the comp without and with the estimate, in sRGB."""
    plate = plate_of(frame)
    panels = [("plate", plate), ("true composite", read_plate(truth().path(frame)).rgb)]
    for name, pattern in sources.items():
        alpha = read_alpha(find_sequence(pattern).path(frame))
        panels.append((f"{name} alpha, plate colour", composite(alpha, plate)))
        panels.append((f"{name} alpha, foreground", composite(alpha, estimate_foreground(plate, alpha))))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [labelled(name, image[CROP]) for name, image in panels]
    rows = [np.concatenate(pictures[first : first + 2], axis=1) for first in range(0, len(pictures), 2)]
    sheet = np.concatenate(rows)
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(path)


def labelled(name: str, linear: Image) -> NDArray[np.uint8]:
    """Return (H, W, 3) scene-linear Rec.709 as an 8-bit sRGB panel with a caption."""
    shown = NetworkView("lin_rec709_scene")(np.ascontiguousarray(linear))
    panel = np.rint(255 * shown).astype(np.uint8).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    caption = np.full((24, panel.shape[1], 3), 32, np.uint8)
    cv2.putText(caption, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return np.concatenate([caption, panel])


if __name__ == "__main__":
    main()
