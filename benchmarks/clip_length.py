#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures whether memory grows with the length of a clip: mattes the same plates at several lengths, and prints peak
memory and speed.

    python benchmarks/clip_length.py "examples/plate/plate.####.exr" examples/mask.1001.exr --lengths 50 1000 \\
        --plot length.png

A longer clip is made of links to the given frames, played forwards and backwards, so motion never jumps. Each length is
a process of its own; its peak resident memory is what the kernel counted. --plot draws what was resident twice a second
(Linux). Other options go to 'matte'. The last line is JSON.
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

import cv2
import numpy as np

from matanyone_engine.media.sequence import FrameSequence, find_sequence


@dataclass(frozen=True)
class Figure:
    """Holds the figures of one run."""

    frames: int
    peak_mib: float
    seconds: float
    frames_per_second: float
    resident_mib: list[float]
    """Twice a second."""


def linked_clip(plates: FrameSequence, length: int, folder: Path) -> str:
    """Make a ping-pong clip of links, numbered from 1, and return its pattern."""
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
        resident: list[float] = []
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            resident.append(resident_mib(process.pid))
            time.sleep(0.5)
        _, status, usage = ended
        seconds = time.monotonic() - begun
        if status or len(list(out.glob("alpha.*.exr"))) != length:
            raise SystemExit(f"the run of {length} frames failed (status {status})")
    return Figure(length, usage.ru_maxrss / 1024, round(seconds, 1), round(length / seconds, 3), resident)


def resident_mib(pid: int) -> float:
    """Return what a process holds at this moment; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def draw(path: Path, figures: list[Figure]) -> None:
    """Draw resident memory against the share of the clip that is done, a line for each length."""
    canvas = np.full((360, 720, 3), 24, np.uint8)
    most = max(max(figure.resident_mib) for figure in figures)
    cv2.putText(canvas, f"resident MiB, 0 to {most:.0f}", (60, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230,) * 3, 1, 16)
    cv2.line(canvas, (60, 310), (660, 310), (110,) * 3, 1)
    cv2.putText(canvas, "start to end of the run", (60, 335), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230,) * 3, 1, 16)
    for number, figure in enumerate(figures):
        colour = ((120, 120, 255), (255, 200, 120), (120, 255, 160), (200, 160, 255))[number % 4]
        across = np.linspace(60, 660, len(figure.resident_mib))
        points = np.stack([across, 310 - 250 * np.array(figure.resident_mib) / most], axis=1)
        cv2.polylines(canvas, [points.astype(np.int32)], isClosed=False, color=colour, thickness=2, lineType=16)
        name, at = f"{figure.frames} frames", (330 + 110 * number, 30)
        cv2.putText(canvas, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, 16)
    cv2.imwrite(str(path), canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory against clip length.")
    parser.add_argument("plate", help="pattern of the plates")
    parser.add_argument("mask", type=Path, help="mask of the first frame")
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw resident memory over each run")
    args, options = parser.parse_known_args()
    plates = find_sequence(args.plate)
    figures = [measure(plates, args.mask, length, options) for length in args.lengths]
    for figure in figures:
        ratio = figure.peak_mib / figures[0].peak_mib
        speed = f"{figure.frames_per_second} frames/s"
        print(f"{figure.frames:>6} frames  peak {figure.peak_mib:8.1f} MiB  x{ratio:.3f}  {speed}")
    if args.plot:
        draw(args.plot, figures)
    print(json.dumps([{**asdict(figure), "resident_mib": None} for figure in figures]))


if __name__ == "__main__":
    main()
