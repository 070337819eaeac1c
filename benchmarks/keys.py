#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a second key in the middle of a shot does to the frames before it, to its own and to those after it.

    python benchmarks/keys.py --set /tmp/held_out --clips occlusion distractor hair-camera --key 1012

Each clip of the held-out set (held_out.py) is matted twice: with the true mask of the first frame, and with that of
--key as well. Masks are hard, as an artist draws them, or as soft as the truth with --soft. It prints the mean MAD of
the frames before the key, of its own and of those after it, and dtSSD at the two steps beside the key.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from held_out import FIRST, SIZE
from weights_used import weights_line

from matanyone_engine import matte
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.training.metrics import FrameScores, score


def matted(clip: Path, keys: list[int], folder: Path, *, soft: bool) -> list[FrameScores]:
    """Return the scores of each frame of a clip that is matted from these keys."""
    truth = find_sequence(clip / "alpha.####.png")
    masks = {FIRST: str(clip / f"mask.{FIRST}.png")}
    for key in keys:
        alpha = read_alpha(truth.path(key))
        drawn = alpha if soft else (alpha > 0.5).astype(np.float32)
        masks[key] = str(folder / f"key.{key}.png")
        cv2.imwrite(masks[key], np.round(drawn * 65535).astype(np.uint16))
    name = "_".join(map(str, masks))
    shot = matte(str(clip / "plate.####.png"), masks, str(folder / name / "a.####.exr"), accept_doubt=True)
    pairs = ((read_alpha(shot.alphas[frame][0]), read_alpha(truth.path(frame))) for frame in truth.frames)
    return list(score(pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description="What one more key does.")
    parser.add_argument("--set", type=Path, required=True, help="the held-out set")
    parser.add_argument("--clips", nargs="*", required=True)
    parser.add_argument("--key", type=int, default=1012)
    parser.add_argument("--soft", action="store_true", help="let the second mask be as soft as the truth")
    args = parser.parse_args()
    print(weights_line("mini"))
    print(f"clips of {SIZE}; mean MAD x 1000 before the key, on it and after it; dtSSD into the key and out of it")
    for name in args.clips:
        for keys in ([], [args.key]):
            with tempfile.TemporaryDirectory() as folder:
                rows = matted(args.set / name, keys, Path(folder), soft=args.soft)
            at = args.key - FIRST
            before, key, after = ([row.mad for row in part] for part in (rows[1:at], rows[at : at + 1], rows[at + 1 :]))
            print(
                f"{name:13} {1 + len(keys)} key(s)  {np.mean(before):6.2f} {np.mean(key):6.2f} {np.mean(after):6.2f}"
                f"  dtssd {rows[at].dtssd:5.2f} {rows[at + 1].dtssd:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
