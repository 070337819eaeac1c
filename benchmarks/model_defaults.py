#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures on what a model's defaults are based: half precision or not, and the number of warm-up passes.

    python benchmarks/model_defaults.py --backgrounds /data/photographs
    python benchmarks/model_defaults.py --backgrounds /data/photographs --only warm-up --frames 8
    python benchmarks/model_defaults.py --backgrounds /data/photographs --only precision --height 1080 --frames 12
    python benchmarks/model_defaults.py --backgrounds /data/photographs --only search --height 720 --frames 8

On the held-out set's clips, whose true alpha is known (held_out.py): exact against fast precision over whole clips;
and 0, 2, 5 and 10 warm-up passes for first masks as artists draw them: the true edge, 4 pixels too wide, 4 too narrow,
and rounded off; and memory searched in half precision or not, on plates that make that hard: dark ones with noise, and
a green screen, where thousands of tokens are alike. MAD is x 1000, dtSSD x 100, lower is better.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from held_out import CLIPS, SIZE, Plates, drawn, rendered

from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import MatAnyone
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import Alpha, FrameScores, mean_scores, score

PASSES = (0, 2, 5, 10)
Shot = tuple[str, Plates, list[Alpha]]
"""Name, plates, true alphas."""
_OFF_BY = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))


def masks(truth: Alpha) -> dict[str, Alpha]:
    """Return binary masks of a first frame's true alpha, by how each was drawn."""
    edge = (truth > 0.5).astype(np.float32)
    return {
        "exact": edge,
        "too wide": cv2.dilate(edge, _OFF_BY),
        "too narrow": cv2.erode(edge, _OFF_BY),
        "rounded": (cv2.GaussianBlur(edge, (0, 0), 5) > 0.5).astype(np.float32),
    }


def matted(network: MatAnyone, plates: Plates, mask: Alpha, passes: int | None = None) -> Iterator[Alpha]:
    """Yield an alpha a frame."""
    session = MattingSession(network, warm_up_passes=passes)
    for number, plate in enumerate(plates):
        planes = torch.from_numpy(np.ascontiguousarray(plate)).permute(2, 0, 1)
        alpha = session.seed(planes, torch.from_numpy(mask)) if number == 0 else session.advance(planes)
        yield alpha.numpy()


def held_out_clips(backgrounds: Path, height: int, frames: int | None) -> Iterator[Shot]:
    """Yield every clip of the set at this height, up to so many frames; one at a time, since large ones fill the
    memory.
    """
    pictures, size = sorted(backgrounds.glob("*.jpg")), (height, height * SIZE[1] // SIZE[0])
    for clip in CLIPS:
        plates, truth = drawn(clip, pictures, size)
        yield clip.name, plates[:frames], truth[:frames]
    plates, truth = rendered(size)
    yield "rendered", plates[:frames], truth[:frames]


def compare_precisions(model: str, clips: Iterable[Shot]) -> None:
    """Print a line for each clip, and the means."""
    networks = {precision: load_network(model, "cpu", precision) for precision in ("exact", "fast")}
    rows: dict[str, list[FrameScores]] = {precision: [] for precision in networks}
    for name, plates, truth in clips:
        answers = {each: list(matted(network, plates, masks(truth[0])["exact"])) for each, network in networks.items()}
        for precision, alphas in answers.items():
            rows[precision].append(mean_scores(score(zip(alphas, truth, strict=True))))
        apart = np.mean([np.abs(a - b).mean() for a, b in zip(answers["exact"], answers["fast"], strict=True)])
        shown = "  ".join(f"{each} {rows[each][-1].mad:7.2f} / {rows[each][-1].dtssd:6.3f}" for each in rows)
        print(f"{name:14} MAD / dtSSD  {shown}  apart {1e3 * apart:.2f}", flush=True)
    for precision, each in rows.items():
        mean = mean_scores(each)
        print(f"mean of {len(each)} clips, {precision}: MAD {mean.mad:.3f}, dtSSD {mean.dtssd:.4f}")


def looks(plates: Plates, truth: list[Alpha]) -> Iterator[tuple[str, Plates]]:
    """Yield the plates as they are, dark with noise (in 8 bits), and before a green screen with noise."""
    noise = np.random.default_rng(0)
    yield "as it is", plates
    for darker in (10, 33):
        dark = (np.round(255 * (plate / darker + noise.normal(0, 0.004, plate.shape))) / 255 for plate in plates)
        yield f"{darker} times darker", [np.clip(plate, 0, 1).astype(np.float32) for plate in dark]
    screens = (
        plate * alpha[..., None] + np.array([0.1, 0.6, 0.15]) * (1 - alpha[..., None])
        for plate, alpha in zip(plates, truth, strict=True)
    )
    noisy = (screen + noise.normal(0, 0.008, screen.shape) for screen in screens)
    yield "green screen", [np.clip(plate, 0, 1).astype(np.float32) for plate in noisy]


def compare_searches(model: str, clips: Iterable[Shot]) -> None:
    """Print a line for each clip and look, and the means of each look: all in half precision, but for the search."""
    network = load_network(model, "cpu", "fast")
    rows: dict[str, list[tuple[float, ...]]] = {}
    for name, plates, truth in clips:
        for look, seen in looks(plates, truth):
            answers = []
            for half in (False, True):
                network.half_search = half
                answers.append(list(matted(network, seen, masks(truth[0])["exact"])))
            scores = [mean_scores(score(zip(alphas, truth, strict=True))) for alphas in answers]
            apart = [np.abs(a - b) for a, b in zip(*answers, strict=True)]
            figures = (*(x for each in scores for x in (each.mad, each.dtssd)), 1e3 * float(np.mean(apart)))
            rows.setdefault(look, []).append(figures)
            print(f"{name:14} {look:15}", _searched(figures), f"at most {np.max(apart):.3f}", flush=True)
    for look, each in rows.items():
        print(f"mean of {len(each)} clips, {look:15}", _searched(tuple(np.mean(each, axis=0))))


def _searched(figures: tuple[float, ...]) -> str:
    return "exactly {:.3f} / {:.4f}  in half precision {:.3f} / {:.4f}  apart {:.2f}".format(*figures)


def compare_passes(model: str, clips: Iterable[Shot], frames: int) -> None:
    """Print for each way to draw the mask the MAD over the frames, by number of warm-up passes."""
    network = load_network(model, "cpu")
    table: dict[tuple[str, int], list[float]] = {}
    for _, plates, truth in clips:
        for drawn_how, mask in masks(truth[0]).items():
            for passes in PASSES:
                alphas = matted(network, plates[:frames], mask, passes)
                mad = mean_scores(score(zip(alphas, truth[:frames], strict=True))).mad
                table.setdefault((drawn_how, passes), []).append(mad)
    print(f"\nmean MAD of {frames} frames by warm-up passes (and clips where it is the best)")
    for drawn_how in dict.fromkeys(how for how, _ in table):
        count = len(table[drawn_how, PASSES[0]])
        best = [min(PASSES, key=lambda p: table[drawn_how, p][clip]) for clip in range(count)]
        cells = (f"{p}: {statistics.mean(table[drawn_how, p]):6.2f} ({best.count(p)})" for p in PASSES)
        print(f"{drawn_how:12}", "   ".join(cells), flush=True)


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--backgrounds", type=Path, required=True, help="a folder of photographs (.jpg)")
    parser.add_argument("--only", choices=("precision", "warm-up", "search"))
    parser.add_argument("--height", type=int, default=SIZE[0], help="of the plates (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="of each clip (default: all, and 8 for the warm-up passes)")
    args = parser.parse_args()
    clips: Iterable[Shot] = held_out_clips(args.backgrounds, args.height, args.frames)
    if args.only is None:
        clips = list(clips)  # drawn once for all
    if args.only in (None, "precision"):
        compare_precisions(args.model, clips)
    if args.only in (None, "search"):
        compare_searches(args.model, clips)
    if args.only in (None, "warm-up"):
        compare_passes(args.model, clips, args.frames or 8)


if __name__ == "__main__":
    main()
