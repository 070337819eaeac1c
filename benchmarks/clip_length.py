#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does memory grow with the length of a clip? Mattes the same plates at several lengths; prints peak memory and speed.

    python benchmarks/clip_length.py "examples/plate/plate.####.exr" examples/mask.1001.exr --lengths 30 300

A longer clip is made of links to the given frames, played forwards and backwards, so motion never jumps. Each length is
a process of its own; its peak resident memory is what the kernel counted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from matanyone_engine.media.sequence import FrameSequence, find_sequence


@dataclass(frozen=True)
class Figure:
    """One run."""

    frames: int
    peak_mib: float
    seconds: float
    frames_per_second: float


def linked_clip(plates: FrameSequence, length: int, folder: Path) -> str:
    """A ping-pong clip of links, numbered from 1; its pattern."""
    there = [plates.path(frame) for frame in plates.frames]
    period = there + there[-2:0:-1]
    for number in range(length):
        source = period[number % len(period)].resolve()
        (folder / f"plate.{number + 1:05d}{source.suffix}").symlink_to(source)
    return str(folder / f"plate.#####{there[0].suffix}")


def measure(plates: FrameSequence, mask: Path, length: int, options: list[str]) -> Figure:
    """Matte a clip of this length in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        clip, out = Path(place) / "clip", Path(place) / "out"
        clip.mkdir()
        pattern = linked_clip(plates, length, clip)
        command = [sys.executable, "-m", "matanyone_engine", "matte", pattern, "--mask", str(mask)]
        begun = time.monotonic()
        process = subprocess.Popen([*command, "--out", str(out / "alpha.#####.exr"), *options])
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        if status or len(list(out.glob("alpha.*.exr"))) != length:
            raise SystemExit(f"the run of {length} frames failed (status {status})")
    return Figure(length, usage.ru_maxrss / 1024, round(seconds, 1), round(length / seconds, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory against clip length.")
    parser.add_argument("plate", help="pattern of the plates")
    parser.add_argument("mask", type=Path, help="mask of the first frame")
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 300])
    args, options = parser.parse_known_args()
    plates = find_sequence(args.plate)
    figures = [measure(plates, args.mask, length, options) for length in args.lengths]
    for figure in figures:
        ratio = figure.peak_mib / figures[0].peak_mib
        speed = f"{figure.frames_per_second} frames/s"
        print(f"{figure.frames:>6} frames  peak {figure.peak_mib:8.1f} MiB  x{ratio:.3f}  {speed}")
    print(json.dumps([asdict(figure) for figure in figures]))


if __name__ == "__main__":
    main()
