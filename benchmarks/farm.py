#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a shot's cost on a farm: seconds for a frame from files to files, bytes on disk, and totals for many shots.

    python benchmarks/farm.py --size 3840x2160 --working-size 1080 --frames 6

Plates are the example's, enlarged, with grain, as half-float ZIPS EXR. The job is saved and run with `run --json`, as
on a worker, in a process of its own; seconds come from its events. The table assumes that workers do not slow each
other down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio

from matanyone_engine.cli.main import main as engine
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.plates import open_plate

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def write(path: Path, pixels: np.ndarray, channels: tuple[str, ...]) -> None:
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(channels), oiio.HALF)
    spec.channelnames = channels
    spec.attribute("compression", "zips")
    image = oiio.ImageBuf(spec)
    image.set_pixels(oiio.ROI.All, np.ascontiguousarray(pixels, np.float32))
    if not image.write(str(path)):
        raise OSError(image.geterror())


def make_plates(folder: Path, size: tuple[int, int], frames: int) -> None:
    plate, dice = open_plate(EXAMPLES / "plate" / "plate.####.exr"), np.random.default_rng(1)
    for frame in plate.frames[:frames]:
        rgb = cv2.resize(plate.read(frame).rgb, size, interpolation=cv2.INTER_CUBIC)
        grain = dice.normal(0, 0.01, rgb.shape).astype(np.float32)
        write(folder / f"plate.{frame}.exr", rgb + grain * np.sqrt(np.abs(rgb)), ("R", "G", "B"))
    mask = cv2.resize(read_alpha(EXAMPLES / "mask.1001.exr"), size, interpolation=cv2.INTER_LINEAR)
    write(folder / "mask.1001.exr", mask[..., None].clip(0, 1), ("Y",))


def run(job: Path, cache: Path) -> list[dict[str, Any]]:
    """Return the events of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "matanyone_engine", "run", str(job), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "MATANYONE_ENGINE_CACHE": str(cache)},
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def seconds(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the seconds from the start to the first alpha, and those of a frame after it."""
    at = [datetime.fromisoformat(each["at"]).timestamp() for each in events if each["event"] == "frame"]
    whole = events[-1]["seconds"]
    later = (at[-1] - at[0]) / (len(at) - 1)
    return whole - later * (len(at) - 1), later


def measured(args: argparse.Namespace) -> dict[str, Any]:
    size = tuple(int(n) for n in args.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_plates(folder, (size[0], size[1]), args.frames)
        working = ["--working-size", args.working_size] if args.working_size else []
        command = [
            "matte",
            folder / "plate.####.exr",
            "--mask",
            f"{folder / 'mask.1001.exr'}@1001",
            "--model",
            args.model,
        ]
        command += [*working, "--out", folder / "out" / "a.####.exr", "--save-job", folder / "job.json"]
        engine([str(word) for word in command])
        events = run(folder / "job.json", folder / "cache")
        first, later = seconds(events)
        sizes = {
            "plate_mb": _mean_mb(folder.glob("plate.*.exr")),
            "alpha_mb": _mean_mb((folder / "out").glob("a.*.exr")),
            "cache_mb": sum(path.stat().st_size for path in (folder / "cache").glob("??/*")) / 1e6 / args.frames,
        }
    about = {"size": args.size, "working_size": args.working_size, "model": args.model, "device": events[0]["device"]}
    return {
        **about,
        "first_s": round(first, 2),
        "frame_s": round(later, 3),
        **{k: round(v, 2) for k, v in sizes.items()},
    }


def _mean_mb(paths: Any) -> float:
    return float(np.mean([path.stat().st_size for path in paths])) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--working-size", type=int)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--shots", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=120)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 500])
    args = parser.parse_args()
    row = measured(args)
    hours = args.shots * (row["first_s"] + (args.length - 1) * row["frame_s"]) / 3600
    print(f"{args.shots} shots of {args.length} frames: {hours:,.0f} worker hours")
    for workers in args.workers:
        print(f"  {workers:5d} workers  {hours / workers:10,.1f} h")
    frames = args.shots * args.length
    print(
        f"  plates {frames * row['plate_mb'] / 1e6:,.1f} TB read twice, alphas {frames * row['alpha_mb'] / 1e6:,.2f} TB"
    )
    print(json.dumps(row))


if __name__ == "__main__":
    main()
