# SPDX-License-Identifier: Apache-2.0
"""Measures what a frame of each layout takes on disk, and what CPU time it takes to write and check it.

python benchmarks/layouts.py [--size 1920x1080] [--repeats 3]

A frame of the example shot and its true alpha, resized once (not timed), with grain of 0.01 as a camera has.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from matanyone_engine.media.images import PlateHeader, read_plate
from matanyone_engine.media.layouts import COMPRESSIONS, LAYOUTS, LOSSY, Delivery, FrameContent, compose
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.mattes import write_picture

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def content(width: int, height: int) -> FrameContent:
    """Return the example's first frame at this size, as half floats would hold it."""
    plate = cv2.resize(read_plate(EXAMPLES / "plate" / "plate.1001.exr").rgb, (width, height))
    plate += np.random.default_rng(0).normal(0, 0.01, plate.shape).astype(np.float32)
    alpha = cv2.resize(read_alpha(EXAMPLES / "truth" / "alpha.1001.exr"), (width, height)).clip(0, 1)
    header = PlateHeader.plain(Path("plate.exr"), width, height)
    return FrameContent(header, {"subject": alpha}, plate.astype(np.float16).astype(np.float32))


def measured(delivery: Delivery, frame: FrameContent, path: Path, repeats: int) -> tuple[float, float]:
    """Return megabytes, and the least CPU seconds of some turns, from planes to a verified file."""
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        write_picture(path, compose(delivery, frame, ("subject",), {}, ".exr"))
        seconds.append(time.process_time() - begun)
    return path.stat().st_size / 1e6, min(seconds)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    frame = content(*map(int, args.size.split("x")))
    print(f"| {args.size} | " + " | ".join(COMPRESSIONS) + " |\n|---|" + "---|" * len(COMPRESSIONS))
    with tempfile.TemporaryDirectory() as folder:
        for layout in LAYOUTS:
            cells = []
            for compression in COMPRESSIONS:
                if layout == "cryptomatte" and compression in LOSSY:
                    cells.append("-")
                    continue
                delivery = Delivery(layout, compression, depth=None if layout == "cryptomatte" else "half")
                megabytes, seconds = measured(delivery, frame, Path(folder) / "f.exr", args.repeats)
                cells.append(f"{megabytes:.1f} MB, {seconds:.2f} s")
            print(f"| {layout} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
