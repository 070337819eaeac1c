#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how long a model takes for a frame of several plate sizes. The ways to compute it take turns in one run.

    python benchmarks/plate_sizes.py
    python benchmarks/plate_sizes.py --against mini-0.1.safetensors --sizes 720 1080

The plates are the example's, enlarged. A frame goes in and comes out at the plate's size, as tensors: no file is read
or written. The default is compared with a draft, and with another model where one is given. Printed are the median of
the frames after the first, the first frame with its warm-up passes, both in seconds by the clock, and the largest
memory of the process so far.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median

import cv2
import held_out
import torch
from torch import Tensor

from matanyone_engine.cli.matte import DRAFT_SIZE
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.model.registry import load_network


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description="Seconds a frame by the plate's size.")
    parser.add_argument("--model", default="mini", help="a model's name or a weights file")
    parser.add_argument("--against", help="another model's name or weights file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[720, 1080, 2160], help="lines of the plates, 16:9")
    parser.add_argument("--frames", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = load_network(args.model, "cpu", "auto")
    ways = {"default": (network, None), "draft": (network, DRAFT_SIZE)}
    if args.against:
        ways[args.against] = (load_network(args.against, "cpu", "auto"), None)
    for height in args.sizes:
        plates, mask = enlarged(height, args.frames)
        sessions = {name: MattingSession(net, working_size=size) for name, (net, size) in ways.items()}
        first = {name: timed(each.seed, plates[0], mask) for name, each in sessions.items()}
        rest: dict[str, list[float]] = {name: [] for name in ways}
        for plate in plates[1:]:
            for name, session in sessions.items():
                rest[name].append(timed(session.advance, plate))
        told = [f"{name} {median(rest[name]):.3f} s, first {first[name]:.2f} s" for name in ways]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{height} lines:", "; ".join([*told, f"peak {peak} MB"]), flush=True)


def enlarged(height: int, count: int) -> tuple[list[Tensor], Tensor]:
    """Return the example's first plates (3, H, W), 0..1, at this height, and the first mask (H, W)."""
    size = (height * 16 // 9, height)
    shown = held_out.shown(held_out.EXAMPLES / "plate", "lin_rec709_scene")[:count]
    larger = (cv2.resize(plate, size, interpolation=cv2.INTER_CUBIC).clip(0, 1) for plate in shown)
    mask = cv2.resize(read_alpha(held_out.EXAMPLES / f"truth/alpha.{held_out.FIRST}.exr"), size).clip(0, 1)
    return [torch.from_numpy(plate).permute(2, 0, 1).contiguous() for plate in larger], torch.from_numpy(mask)


def timed(work: Callable[..., object], *given: Tensor) -> float:
    """Return the seconds by the clock that a call with these arguments takes."""
    begun = time.perf_counter()
    work(*given)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
