#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the speed and the errors of regions, working sizes and held frames, in one run.

    python benchmarks/regions.py
    python benchmarks/regions.py --plate CLIP/frame.#####.jpg --mask CLIP/mask.png --space sRGB --truth none

Ways to matte the same plates: the whole frame, a window that follows, half the size brought back bilinearly and along
the plate's detail (refine.py), both together, and the plates on twos. The network alone is timed, without the mask's
frame; the ways take turns frame by frame, so that whatever else the machine does falls on all of them. Errors are
those of training/metrics.py, against the whole frame and, where there is one, against the truth. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import Alpha, mean_scores, score

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WHOLE = "whole frame"


@dataclass
class Run:
    """Holds one way through the shot."""

    name: str
    session: MattingSession
    repeats: int = 1
    """How often each plate is shown."""
    alphas: list[Alpha] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """A frame; the mask's left out."""
    parts: list[float] = field(default_factory=list)
    """Of the frame that was computed."""
    windows: list[str] = field(default_factory=list)
    tries: int = 0

    def show(self, planes: torch.Tensor, mask: NDArray[np.float32] | None) -> None:
        """Matte one plate; the mask comes with the first."""
        for _ in range(self.repeats):
            begun = time.perf_counter()
            alpha = self.session.advance(planes) if mask is None else self.session.seed(planes, mask)
            if mask is None:
                self.seconds.append(time.perf_counter() - begun)
            self._note(planes.shape[1] * planes.shape[2])
            mask = None
        self.alphas.append(alpha.cpu().numpy())

    def _note(self, pixels: int) -> None:
        report = self.session.report
        box = report.region
        self.parts.append(1.0 if box is None else (box.x1 - box.x0) * (box.y1 - box.y0) / pixels)
        self.windows.append(str(box))
        self.tries += report.tries - 1


def ways(model: str, warm_up: int, working_size: int) -> list[Run]:
    """Return the ways, whose sessions share one network. Holds are off but where they are what is measured."""
    network = load_network(model, "auto")

    def session(**options: Any) -> MattingSession:
        return MattingSession(network, warm_up_passes=warm_up, **{"hold_tolerance": None, **options})

    small = {"working_size": working_size}
    return [
        Run(WHOLE, session()),
        Run("follow", session(region="follow")),
        Run(f"{working_size} bilinear", session(**small, refine=False)),
        Run(f"{working_size} refined", session(**small)),
        Run(f"{working_size} refined, follow", session(**small, region="follow")),
        Run("on twos, held", session(hold_tolerance=0.0), repeats=2),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Regions, working sizes, held frames: speed and error.")
    parser.add_argument("--plate", default=str(EXAMPLES / "plate"))
    parser.add_argument("--mask", type=Path, default=EXAMPLES / "mask.1001.exr")
    parser.add_argument("--truth", default=str(EXAMPLES / "truth/alpha.####.exr"), help="pattern, or 'none'")
    parser.add_argument("--space", default="lin_rec709_scene", help="the plate's colour space")
    parser.add_argument("--wide", action="store_true", help="a wider shot: twice the size, the plate's border repeated")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--working-size", type=int, help="default: half of the plate's shortest side")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    source, view = open_plate(args.plate), NetworkView(args.space)
    frames = source.frames[: args.frames]
    shown = source.header(frames[0]).resolution
    grow = widened if args.wide else kept
    size = grow(np.zeros(shown[::-1], np.float32)).shape[::-1]
    runs = ways(args.model, args.warm_up, args.working_size or min(size) // 2)
    for number, frame in enumerate(frames):
        planes = torch.from_numpy(grow(view(source.read(frame).rgb))).permute(2, 0, 1).contiguous()
        for run in runs:
            run.show(planes, grow(read_mask(args.mask, shown), "constant") if number == 0 else None)
    truth = None
    if args.truth != "none":
        files = find_sequence(args.truth)
        truth = [grow(read_alpha(files.path(frame)), "constant") for frame in frames]
    print(f"{size[0]}x{size[1]}, {len(frames)} frames, {args.model}, {torch.get_num_threads()} threads")
    report = [figures(run, runs[0], truth) for run in runs]
    print_table(report)
    told = {"size": size, "frames": len(frames), "threads": torch.get_num_threads(), "ways": report}
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told))


def kept(picture: NDArray[np.float32], _mode: str = "edge") -> NDArray[np.float32]:
    """Return the picture as it is."""
    return picture


def widened(picture: NDArray[np.float32], mode: str = "edge") -> NDArray[np.float32]:
    """Turn (H, W, ...) into (2 H, 2 W, ...): what was the frame stands in the middle of its bottom."""
    height, width = picture.shape[:2]
    beside = [(height, 0), (width // 2, width - width // 2)] + [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, beside, mode=mode)


def figures(run: Run, whole: Run, truth: Sequence[Alpha] | None) -> dict[str, Any]:
    """Return one row. frames/s: of the median frame, or of the mean where frames are held."""
    middle = statistics.mean if run.repeats > 1 else statistics.median
    found: dict[str, Any] = {
        "way": run.name,
        "frames_per_s": 1 / middle(run.seconds),
        "ratio": middle(whole.seconds) / middle(run.seconds),
        "part": statistics.mean(run.parts),
        "windows": len(set(run.windows)),
        "computed_again": run.tries,
        "held": run.session.state.held,
        "against_whole": asdict(mean_scores(score(zip(run.alphas, whole.alphas, strict=True)))),
        "worst_pixel": float(max(np.abs(a - b).max() for a, b in zip(run.alphas, whole.alphas, strict=True))),
    }
    if truth is not None:
        found["against_truth"] = asdict(mean_scores(score(zip(run.alphas, truth, strict=True))))
    return found


def print_table(report: list[dict[str, Any]]) -> None:
    errors = "MAD    Grad   dtSSD"
    print(f"{'':24}frames/s  ratio   part  windows again  | against whole: {errors} | truth: {errors}")
    for row in report:
        whole, truth = row["against_whole"], row.get("against_truth")
        line = f"{row['way']:24}{row['frames_per_s']:8.2f}{row['ratio']:7.2f}{row['part']:7.2f}{row['windows']:9}"
        line += f"{row['computed_again']:6}  | {whole['mad']:18.2f}{whole['grad']:8.2f}{whole['dtssd']:8.2f}"
        if truth:
            line += f" |{truth['mad']:11.2f}{truth['grad']:8.2f}{truth['dtssd']:8.2f}"
        print(line)


if __name__ == "__main__":
    main()
