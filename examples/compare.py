#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far are alphas from the true ones?

    python examples/compare.py "demo_out/alpha.####.exr" "examples/truth/alpha.####.exr"

Prints, over all frames that both sequences have: MAD (mean |difference|, x 1000), MSE (x 1000), dtSSD (difference of
change from frame to frame, x 100; spec section 8), and the worst frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from matanyone_engine.media.sequence import find_sequence


def read_alpha(path: Path) -> np.ndarray:
    """(H, W) float: channel A where there is one, else the first."""
    image = oiio.ImageBuf(str(path))
    pixels = image.get_pixels(oiio.FLOAT)
    if image.has_error:
        raise SystemExit(f"{path}: {image.geterror()}")
    names = image.spec().channelnames
    return pixels[..., names.index("A") if "A" in names else 0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare alphas with the truth.")
    parser.add_argument("alpha", help="pattern of the alphas")
    parser.add_argument("truth", help="pattern of the true alphas")
    args = parser.parse_args()
    alphas, truth = find_sequence(args.alpha), find_sequence(args.truth)
    frames = sorted(set(alphas.frames) & set(truth.frames))
    if not frames:
        raise SystemExit("the two sequences have no frame in common")
    given = np.stack([read_alpha(alphas.path(frame)) for frame in frames])
    true = np.stack([read_alpha(truth.path(frame)) for frame in frames])
    error = np.abs(given - true).mean(axis=(1, 2)) * 1000
    change = np.diff(given, axis=0) - np.diff(true, axis=0)
    # Frame 0 has no change and counts as 0, as the field's tables do.
    dtssd = np.sqrt(np.square(change).mean(axis=(1, 2))).sum() / len(frames) * 100
    print(f"frames {frames[0]}-{frames[-1]} ({len(frames)}) against the true alpha:")
    print(f"  MAD   {error.mean():7.2f}   (mean |difference| x 1000; 0 is perfect)")
    print(f"  MSE   {np.square(given - true).mean() * 1000:7.2f}   (x 1000)")
    print(f"  dtSSD {dtssd:7.2f}   (x 100)")
    print(f"  worst frame {frames[int(error.argmax())]}: MAD {error.max():.2f}")


if __name__ == "__main__":
    main()
