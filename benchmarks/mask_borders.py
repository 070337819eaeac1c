#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a key's mask costs that ends a few pixels before the picture's lower border, although the subject goes
on there.

    python benchmarks/mask_borders.py --set /tmp/held_out --clips rendered hair occlusion

The key is the true mask whose last rows were erased. Errors are MAD x 1000 against the truth in the lowest rows of the
picture (ROWS), and elsewhere: means over the frames, and those of the key's frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from held_out import FIRST, SIZE, matted, shown
from weights_used import weights_line

from matanyone_engine.media.mask_borders import shortfalls
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.model.registry import load_network

ROWS = 40
GAPS = (0, 1, 2, 3, 6, 12)
"""Rows of the mask that are erased."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Key masks that end just before the border.")
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--clips", nargs="+", default=["rendered", "hair", "occlusion"])
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--gaps", type=int, nargs="+", default=GAPS)
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    network = load_network(args.model)
    print(weights_line(args.model))
    for name in args.clips:
        folder = args.set / name
        plates = shown(folder / "plate.####.png", "sRGB")[: args.frames]
        truth = [read_alpha(folder / f"alpha.{FIRST + number}.png") for number in range(len(plates))]
        for gap in args.gaps:
            mask = read_mask(folder / f"mask.{FIRST}.png", SIZE[::-1])
            mask[len(mask) - gap :] = 0
            alphas = list(matted(network)(plates, mask))
            off = [1000 * np.abs(alpha - true) for alpha, true in zip(alphas, truth, strict=True)]
            low, rest = ([float(each[part].mean()) for each in off] for part in (np.s_[-ROWS:], np.s_[:-ROWS]))
            warned = ", ".join(f"{each.gap}, {each.side}" for each in shortfalls(mask)) or "none"
            print(
                f"{name:12} {gap:2} rows erased: lowest {ROWS} rows {np.mean(low):6.2f}, "
                f"on the key's frame {low[0]:6.2f}; elsewhere {np.mean(rest):6.2f}; warning: {warned}",
                flush=True,
            )


if __name__ == "__main__":
    main()
