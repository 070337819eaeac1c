#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how good a first mask from prompts is, and how much worse mattes from it are than from an artist's mask.

    python benchmarks/prompt.py [--clips ../shared/clips] [--picture docs/images/prompt.png] [--json prompt.json]

Three ways to prompt, all compared with the mask that is given with the clip:

  clicks, box     the robot user of interactive segmentation: the mask's box and a click in its middle, then each click
                  in the middle of the largest error
  clicks          the same without the box
  strokes         what a person draws on the example (written down below)

Then each clip is matted from the given mask and from the prompted ones, with `mini`: against the true alpha where there
is one, else against what the given mask leads to.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from matanyone_engine.errors import MaskError
from matanyone_engine.jobs.first_mask import softened
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.contact_sheet import Sheet, write_png
from matanyone_engine.media.grabcut import grabcut
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.model.registry import load_network
from matanyone_engine.sizes import Size
from matanyone_engine.training.metrics import mean_scores, score

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLICKS = (1, 2, 4, 8, 12)
SETTLE = 10

DRAWN = Prompts(
    (184, 50, 542, 360),
    tuple(
        Stroke(points, subject)
        for subject, points in (
            (
                True,
                (
                    (256.0, 127.0),
                    (240.0, 135.0),
                    (228.0, 165.0),
                    (205.0, 230.0),
                    (200.0, 270.0),
                    (270.0, 235.0),
                    (350.0, 215.0),
                ),
            ),
            (True, ((390.0, 200.0), (390.0, 350.0))),
            (
                True,
                (
                    (338.0, 145.0),
                    (334.0, 105.0),
                    (348.0, 74.0),
                    (370.0, 65.0),
                    (394.0, 75.0),
                    (404.0, 105.0),
                    (400.0, 145.0),
                    (370.0, 190.0),
                ),
            ),
            (True, ((460.0, 195.0), (490.0, 270.0), (525.0, 350.0))),
            (False, ((280.0, 143.0), (290.0, 168.0), (318.0, 179.0), (262.0, 200.0), (246.0, 215.0))),
            (False, ((466.0, 300.0), (480.0, 350.0))),
            (False, ((200.0, 300.0), (250.0, 280.0), (283.0, 264.0), (314.0, 280.0), (321.0, 350.0))),
            (False, ((190.0, 215.0), (205.0, 170.0), (216.0, 116.0), (250.0, 103.0), (288.0, 126.0))),
            (False, ((318.0, 80.0), (316.0, 140.0))),
            (False, ((430.0, 90.0), (422.0, 155.0), (480.0, 175.0), (520.0, 280.0))),
        )
    ),
)
"""On frame 1001 of the example: four strokes on the person, four beside."""


@dataclass(frozen=True)
class Clip:
    """Holds a few frames with the mask that is given for the first, and the true alphas where they are known."""

    name: str
    seen: list[FloatImage]
    mask: FloatImage
    truth: list[FloatImage] | None
    working_size: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description="First masks by prompt.")
    parser.add_argument("--clips", type=Path, help="folder of hair_720p (not part of the project)")
    parser.add_argument("--frames", type=int, default=24, help="of each clip at most (default: 24)")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {}
    for clip in clips(args.clips, args.frames):
        report[clip.name] = measure(clip)
    if args.picture:
        write_png(args.picture, picture(example(1)))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def clips(shared: Path | None, frames: int) -> Iterator[Clip]:
    yield example(frames)
    if shared is not None:
        yield hair(shared, frames)


def example(frames: int) -> Clip:
    """Return the example in this repository, 640x360."""
    seen = shown(EXAMPLES / "plate", "lin_rec709_scene", frames)
    truth = find_sequence(EXAMPLES / "truth/alpha.####.exr")
    alphas = [read_alpha(truth.path(number)) for number in truth.frames[:frames]]
    return Clip("example", seen, read_mask(EXAMPLES / "mask.1001.exr", (640, 360)), alphas)


def hair(shared: Path, frames: int) -> Clip:
    """Return real footage at 1280x720: its mask is a hard one, its true alpha is not known."""
    seen = shown(shared / "hair_720p", "sRGB", frames)
    return Clip("hair", seen, read_mask(shared / "hair_720p.mask.00000.png", (1280, 720)), None, 360)


def shown(plate: Path, space: str, frames: int) -> list[FloatImage]:
    source, view = open_plate(plate), NetworkView(space)
    return [view(source.read(frame).rgb) for frame in source.frames[:frames]]


# ------------------------------------------------------------------------------------------------- the robot user


def made(seen: FloatImage, prompts: Prompts) -> FloatImage:
    """Return the mask, (H, W) 0..1, as matanyone-engine mask makes it; black where it finds nothing."""
    plate = Size(*seen.shape[:2])
    try:
        return softened(grabcut(seen, prompts.on(plate.resolution)), seen)
    except MaskError:
        return np.zeros(plate, np.float32)


def clicked(clip: Clip, box: tuple[int, int, int, int] | None, most: int) -> Iterator[tuple[Prompts, FloatImage]]:
    """Return prompts and mask after each click."""
    mask = np.zeros_like(clip.mask)
    strokes: tuple[Stroke, ...] = ()
    for _ in range(most):
        strokes = (*strokes, next_click(mask, clip.mask))
        prompts = Prompts(box, strokes)
        mask = made(clip.seen[0], prompts)
        yield prompts, mask


def next_click(mask: FloatImage, wanted: FloatImage) -> Stroke:
    """Click in the middle of the largest error, as far from right pixels as can be."""
    depth = [
        cv2.distanceTransform(np.pad(wrong.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        for wrong in ((wanted > 0.5) & (mask <= 0.5), (wanted <= 0.5) & (mask > 0.5))
    ]
    subject = bool(depth[0].max() >= depth[1].max())
    at = depth[0] if subject else depth[1]
    y, x = np.unravel_index(int(at.argmax()), at.shape)
    return Stroke(((float(x) + 0.5, float(y) + 0.5),), subject)


def box_of(mask: FloatImage) -> tuple[int, int, int, int]:
    """Return a box around the mask, with a little room."""
    rows, columns = np.nonzero(mask > 0.5)
    height, width = mask.shape
    room = height // 50
    return (
        max(0, int(columns.min()) - room),
        max(0, int(rows.min()) - room),
        min(width, int(columns.max()) + 1 + room),
        min(height, int(rows.max()) + 1 + room),
    )


def overlap(mask: FloatImage, wanted: FloatImage) -> float:
    """Return the intersection over the union of what is above 0.5."""
    ours, theirs = mask > 0.5, wanted > 0.5
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


# ------------------------------------------------------------------------------------------------------ measuring


def measure(clip: Clip) -> dict[str, object]:
    """Print and return the clip's tables."""
    box = box_of(clip.mask)
    masks = {"given mask": clip.mask}
    found: dict[str, object] = {}
    begun = time.monotonic()
    box_only = made(clip.seen[0], Prompts(box))
    seconds = time.monotonic() - begun
    print(f"\n{clip.name}  {clip.mask.shape[1]}x{clip.mask.shape[0]}, box alone {seconds:.1f} s a mask")
    print(f"{'IoU with the given mask':28}{'no click':>9}" + "".join(f"{count:>8}" for count in CLICKS))
    for name, around in (("box and clicks", box), ("clicks", None)):
        walk = list(clicked(clip, around, max(CLICKS)))
        ious = {count: overlap(walk[count - 1][1], clip.mask) for count in CLICKS}
        none = f"{overlap(box_only, clip.mask):9.3f}" if around else f"{'-':>9}"
        print(f"{name:28}{none}" + "".join(f"{iou:8.3f}" for iou in ious.values()), flush=True)
        found[name] = ious
        for count in (CLICKS[2], CLICKS[3]):
            masks[f"{name}, {count}"] = walk[count - 1][1]
    if clip.name == "example":
        masks["strokes"] = made(clip.seen[0], DRAWN)
        print(f"{'strokes':28}{overlap(masks['strokes'], clip.mask):9.3f}")
    return {**found, "matted": matted_from(clip, masks)}


def matted_from(clip: Clip, masks: dict[str, FloatImage]) -> dict[str, tuple[float, float, float]]:
    """Return MAD and dtSSD of matting from each mask; without true alphas, against what the first mask leads to."""
    network = load_network("mini")
    truth: Sequence[FloatImage] | None = clip.truth
    against = "the true alpha" if truth else "what the given mask leads to"
    print(f"{'matted from (against ' + against + ')':48}   IoU     MAD   dtSSD   last MAD")
    rows = {}
    for name, mask in masks.items():
        alphas = matted(network, clip, mask)
        if truth is None:
            truth = alphas
        scores = list(score(zip(alphas, truth, strict=True)))
        mean = mean_scores(scores)
        rows[name] = (overlap(mask, clip.mask), mean.mad, mean.dtssd)
        print(f"{name:48}{rows[name][0]:6.3f}{mean.mad:8.2f}{mean.dtssd:8.2f}{scores[-1].mad:11.2f}", flush=True)
    return rows


def matted(network: object, clip: Clip, mask: FloatImage) -> list[FloatImage]:
    session = MattingSession(network, warm_up_passes=SETTLE, working_size=clip.working_size)  # type: ignore[arg-type]
    alphas = []
    for number, seen in enumerate(clip.seen):
        planes = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))
        alpha = session.seed(planes, torch.from_numpy(mask)) if number == 0 else session.advance(planes)
        alphas.append(alpha.numpy())
    return alphas


# ---------------------------------------------------------------------------------------------------- the picture


def picture(clip: Clip) -> Sheet:
    """Draw side by side what is drawn, what comes of it, and what an artist drew."""
    plate = bytes_of(clip.seen[0])
    mask = made(clip.seen[0], DRAWN)
    cells = [drawn(plate.copy(), DRAWN), *(bytes_of(np.repeat(m[..., None], 3, 2)) for m in (mask, clip.mask))]
    gap = np.full((plate.shape[0], 8, 3), 28, np.uint8)
    return np.concatenate([cells[0], gap, cells[1], gap, cells[2]], axis=1)


def drawn(plate: Sheet, prompts: Prompts) -> Sheet:
    """Return the plate with box and strokes on it."""
    assert prompts.box is not None
    cv2.rectangle(plate, prompts.box[:2], (prompts.box[2] - 1, prompts.box[3] - 1), (255, 235, 60), 2)
    for stroke in prompts.strokes:
        colour = (60, 230, 90) if stroke.subject else (255, 70, 50)
        cv2.polylines(plate, [np.array(stroke.points, np.int32)], False, colour, 4, cv2.LINE_AA)
    return plate


def bytes_of(image: FloatImage) -> Sheet:
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, dtype=np.uint8)


if __name__ == "__main__":
    main()
