#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what each edge control does to the alphas of the held-out set.

    python benchmarks/edges.py --set /tmp/held_out --alphas /tmp/alphas --sheet docs/images/edges.png

The network runs once for each clip (its alphas are kept in --alphas); the controls are then applied to them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from held_out import FIRST, SIZE, matted, shown
from weights_used import kept_for, weights_line

from matanyone_engine.media.edges import EdgeControls, describe_edges, with_edges
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.media.steady_edges import NeighbourFrame, grey_of, steadied
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import Alpha, dtssd, edge_band, gradient_error

CONTROLS = (
    EdgeControls(),
    EdgeControls(deflicker=1.0),
    EdgeControls(deflicker=0.5),
    EdgeControls(despeckle=60),
    EdgeControls(solidify=0.7),
    EdgeControls(black_clip=0.05),
    EdgeControls(white_clip=0.95),
    EdgeControls(black_clip=0.1, white_clip=0.9),
    EdgeControls(black_clip=0.1, white_clip=0.9, black_knee=0.3, white_knee=0.3),
    EdgeControls(gamma=1.2),
    EdgeControls(gamma=0.8),
    EdgeControls(edge_grow=-0.5),
    EdgeControls(edge_grow=0.5),
    EdgeControls(edge_blur=0.7),
)
SHEET_CLIP, SHEET_FRAME = "hair", 12


class Clip:
    """Holds one clip of the set and the network's alphas."""

    def __init__(self, folder: Path, kept: Path, model: str) -> None:
        truth = find_sequence(folder / "alpha.####.png")
        self.name = folder.name
        self.truth = [read_alpha(truth.path(frame)) for frame in truth.frames]
        self.plates = shown(folder / "plate.####.png", "sRGB")
        self.greys = [grey_of(plate) for plate in self.plates]
        file = kept / f"{folder.name}.npy"
        if not file.is_file():
            mask = read_mask(folder / f"mask.{FIRST}.png", SIZE[::-1])
            np.save(file, np.stack(list(matted(load_network(model))(self.plates, mask))))
        self.raw: list[Alpha] = list(np.load(file))

    def edged(self, number: int, controls: EdgeControls) -> Alpha:
        """Return the alpha of one frame under some controls; the first frame is a key and the last has one
        neighbour.
        """
        alpha = self.raw[number]
        if controls.deflicker and 0 < number < len(self.raw) - 1:
            beside = (NeighbourFrame(self.raw[each], self.greys[each]) for each in (number - 1, number + 1))
            alpha = steadied(alpha, self.greys[number], *beside, controls.deflicker)
        return with_edges(alpha, controls)

    def scores(self, controls: EdgeControls) -> np.ndarray:
        """Return MAD, Grad, dtSSD, core and edge in the mean over the clip, as metrics.score() has them (it has
        more).
        """
        rows = []
        alphas = [self.edged(number, controls) for number in range(len(self.raw))]
        for number, (alpha, truth) in enumerate(zip(alphas, self.truth, strict=True)):
            error, near = 1000 * np.abs(alpha.astype(np.float64) - truth), edge_band(truth)
            change = dtssd(alpha, truth, alphas[number - 1], self.truth[number - 1]) if number else 0.0
            rows.append((error.mean(), gradient_error(alpha, truth), change, error[~near].mean(), error[near].mean()))
        return np.mean(rows, axis=0)


def print_table(clips: list[Clip]) -> None:
    print(f"{'control':62}     MAD    Grad   dtSSD    core    edge")
    for controls in CONTROLS:
        row = np.mean([clip.scores(controls) for clip in clips], axis=0)
        print(f"{describe_edges(controls) or 'none':62}" + "".join(f"{value:8.2f}" for value in row), flush=True)


def write_sheet(path: Path, clip: Clip) -> None:
    """Draw the head of one hair frame through each control, with what it changed beside it."""
    truth = clip.truth[SHEET_FRAME]
    rows = np.flatnonzero((truth > 0.1).any(axis=1))
    middle = int((truth[rows[0] + 20] * np.arange(truth.shape[1])).sum() / max(truth[rows[0] + 20].sum(), 1))
    top, left = max(0, rows[0] - 10), max(0, min(middle - 80, truth.shape[1] - 160))
    window = np.s_[top : top + 110, left : left + 160]
    cells = [_cell("plate", clip.plates[SHEET_FRAME][window]), _cell("true alpha", truth[window])]
    raw = clip.raw[SHEET_FRAME][window]
    for controls in CONTROLS:
        alpha = clip.edged(SHEET_FRAME, controls)[window]
        cells.append(_cell(describe_edges(controls) or "no control", alpha, alpha - raw))
    blank = np.zeros_like(cells[2])
    wide = [np.concatenate([cells[0], cells[1]], axis=1), *cells[2:]]
    rows_of = [wide[at : at + 3] for at in range(0, len(wide), 3)]
    sheet = np.concatenate([np.concatenate([*row, *[blank] * (3 - len(row))], axis=1) for row in rows_of])
    cv2.imwrite(str(path), np.round(255 * sheet[..., ::-1]).astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _cell(title: str, picture: np.ndarray, change: np.ndarray | None = None) -> np.ndarray:
    """Return a picture under its name; on its right what was added (green) and taken away (red), three times as
    strong.
    """
    shown_as = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    parts = [shown_as]
    if change is not None:
        parts.append(np.stack([-change, change, 0 * change], axis=-1).clip(0, 1 / 3) * 3)
    body = np.concatenate(parts, axis=1).astype(np.float32)
    strip = np.zeros((16, body.shape[1], 3), np.uint8)
    cv2.putText(strip, title, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([strip.astype(np.float32) / 255, body])


def main() -> None:
    parser = argparse.ArgumentParser(description="The edge controls on the held-out set.")
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--alphas", type=Path, required=True, help="where the network's alphas are kept")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    kept = kept_for(args.alphas, args.model)
    clips = [Clip(folder, kept, args.model) for folder in sorted(args.set.iterdir()) if folder.is_dir()]
    if args.sheet:
        write_sheet(args.sheet, next(clip for clip in clips if clip.name == SHEET_CLIP))
    print(weights_line(args.model))
    print_table(clips)


if __name__ == "__main__":
    main()
