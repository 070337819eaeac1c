#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks whether `--precision auto` takes the faster way here: the CPU seconds of a frame, exact and fast in turns.

    python benchmarks/precision.py --model mini --sizes 1280x720 1920x1080 --turns 5

CPU seconds of one thread are compared, since other load on the machine changes the clock's seconds but not these. The
exit code is 1 if the way that auto takes costs over 5 % more than the other one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads: what waits for other threads would count as work

import torch
from network import prepared_way

from matanyone_engine.model.precision import choose_precision

WAYS = ("exact", "fast")
MOST = 1.05


def main() -> int:
    """Measure every size, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a model of the registry, or 'matanyone' for its dims alone")
    parser.add_argument("--sizes", nargs="+", default=["1280x720"], metavar="WIDTHxHEIGHT")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    args.device = "cpu"
    torch.set_num_threads(1)
    chosen = choose_precision("auto", torch.device("cpu"), verified=True).value
    worst = 0.0
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        seconds = cpu_seconds(args, (width, height))
        ratio = seconds[chosen] / min(seconds.values())
        worst = max(worst, ratio)
        said = ", ".join(f"{way} {seconds[way]:.3f} CPU s" for way in WAYS)
        print(f"{args.model} {size}: {said}; auto is {chosen}, {ratio:.3f} times the faster", flush=True)
    return int(worst > MOST)


def cpu_seconds(args: argparse.Namespace, size: tuple[int, int]) -> dict[str, float]:
    """Return the median CPU seconds of a frame with a full memory bank, exact and fast."""
    frames = {way: prepared_way(way, args, size)[1] for way in WAYS}
    for frame in frames.values():
        frame()
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.turns):
        for way, frame in frames.items():
            begun = time.process_time()
            frame()
            taken[way].append(time.process_time() - begun)
    return {way: statistics.median(each) for way, each in taken.items()}


if __name__ == "__main__":
    sys.exit(main())
