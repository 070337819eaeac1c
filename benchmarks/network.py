#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the cost of a frame inside the network: seconds of each stage, peak memory, and the share of the machine's
limits that is reached.

    python benchmarks/network.py --model mini --size 1280x720
    python benchmarks/network.py --model matanyone --size 1920x1080 --turns 5 --json figures.json
    python benchmarks/network.py --model mini --ways exact fast --sizes 640x360 1280x720 1920x1080 --plot sizes.png

Ways: plain torch (dense.py), this engine in float32 (exact) and with half precision (fast); the weights are the same.
Each way is a process of its own with a full memory bank, whose peak memory the kernel counts. They take turns frame by
frame, so that other load on the machine slows all of them alike. 'matanyone' has the published network's dims and
random weights: its alphas mean nothing, but its cost is the same.

Operations are counted by torch; bytes are what all operators read and write. Their limits are a large
matrix product's and a large copy's, measured in the same run. Operators come one after another, and most either compute
or move: where both shares add up to 100 %, nothing but fewer operations or bytes would make a stage faster; more finds
its bytes in the cores' caches, less waits for something else. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from dense import DenseSession
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from matanyone_engine.jobs.allocator import keep_freed_memory
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import MATANYONE, MatAnyone, for_inference
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.dims import STRIDE
from matanyone_engine.model.precision import Precision, half_type, prepared
from matanyone_engine.model.registry import load_trainable

WAYS = ("dense", "exact", "fast")
STAGES = (
    "encode_image", "change_logits", "fuse", "transform", "decode", "decode_in_strips", "update_sensory_from_decoder",
    "encode_mask", "update_sensory_from_value", "summarize",
)  # fmt: skip
FILLED = 5
"""Number of frames in a full memory bank."""
REST = "memory read, checks"
"""The name for the time outside of all stages."""


class Clock:
    """Counts the seconds spent in each stage of a network."""

    def __init__(self, network: MatAnyone) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.on_gpu = network.device.type == "cuda"
        for stage in STAGES:
            setattr(network, stage, self._timed(stage, getattr(network, stage)))

    def _timed(self, stage: str, compute: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begun = self.now()
            answer = compute(*arguments)
            self.seconds[stage] += self.now() - begun
            return answer

        return timed

    def now(self) -> float:
        """Return the time once the device has done what it was told."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()


class Counter(TorchDispatchMode):
    """Counts operations and bytes of each stage of a network, for as long as it is entered."""

    def __init__(self, network: MatAnyone) -> None:
        super().__init__()
        self.operations: dict[str, float] = defaultdict(float)
        self.bytes: dict[str, float] = defaultdict(float)
        self._stage, self._network = REST, network
        self._operations = FlopCounterMode(display=False)
        self._plain = {stage: getattr(network, stage) for stage in STAGES}

    def __enter__(self) -> Counter:
        self._operations.__enter__()
        for stage, compute in self._plain.items():
            setattr(self._network, stage, self._counted(stage, compute))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for stage, compute in self._plain.items():
            setattr(self._network, stage, compute)
        self._enter(REST)
        self._operations.__exit__(*error)

    def _counted(self, stage: str, compute: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self._enter(stage)
            answer = compute(*arguments)
            self._enter(REST)
            return answer

        return counted

    def _enter(self, stage: str) -> None:
        self.operations[self._stage] += self._operations.get_total_flops() - sum(self.operations.values())
        self._stage = stage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        self.bytes[self._stage] += _moved(func, (args, kwargs), answer)
        return answer


def _moved(func: Any, arguments: Any, answer: Any) -> int:
    """Return the bytes of what an operator reads and writes."""
    given, made = ([x for x in tree_leaves(each) if isinstance(x, Tensor)] for each in (arguments, answer))
    blocks = {x.untyped_storage().data_ptr() for x in given}
    is_view = not func._schema.is_mutable and any(x.untyped_storage().data_ptr() in blocks for x in made)
    name = func._schema.name.removeprefix("aten::")
    if is_view or name.startswith(("empty", "new_empty")):
        return 0
    # Who picks entries reads as much as it writes.
    read = made if name in PICKING else given
    return sum(x.numel() * x.element_size() for x in (*read, *made))


PICKING = ("index", "index_select", "gather", "embedding", "_embedding_bag", "_embedding_bag_forward_only")
"""Operators that read only some of what they are given."""


def stored_network(model: str) -> MatAnyone:
    """Return the bundled model, or the published dims with random weights."""
    if model != "matanyone":
        return load_trainable(model)
    torch.manual_seed(0)
    return for_inference(MatAnyone(MATANYONE))


def shot(width: int, height: int) -> tuple[Tensor, Tensor]:
    """Return a plate of noise (3, H, W), and a box for its mask (H, W)."""
    plate = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(height, width)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return plate, mask


def dense_way(network: MatAnyone, plate: Tensor, mask: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a frame, and a warm-up pass. Sides are whole tokens, so nothing is padded."""
    session = DenseSession(network, warm_up_passes=0)
    padded = plate[None]
    session.seed(padded, mask[None, None])
    session.stored *= FILLED
    warming_up = DenseSession(network, warm_up_passes=0)
    warming_up.seed(padded, mask[None, None])
    return lambda: session.advance(padded), lambda: warming_up.warm_up(padded)


def engine_way(network: MatAnyone, plate: Tensor, mask: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the same, through the session that users get; frames that repeat are computed all the same."""
    filling = MattingSession(network, MemoryPolicy(memory_every=1), warm_up_passes=0, hold_tolerance=None)
    filling.seed(plate, mask)
    seeded = filling.state
    for _ in range(FILLED - 1):
        filling.advance(plate)
    session = MattingSession(network, warm_up_passes=0, hold_tolerance=None)
    session.rewind(filling.state)
    warming_up = MattingSession(network, warm_up_passes=0, hold_tolerance=None)
    warming_up.rewind(seeded)
    return lambda: session.advance(plate), lambda: warming_up.warm_up(plate)


def prepared_way(
    way: str, args: argparse.Namespace, size: tuple[int, int]
) -> tuple[MatAnyone, Callable[[], object], Callable[[], object]]:
    """Return the network of a way, a frame with a full bank, and a warm-up pass."""
    keep_freed_memory()
    network = stored_network(args.model).to(choose_device(args.device))
    if way != "dense":
        network = prepared(network, Precision(way))
    return network, *(dense_way if way == "dense" else engine_way)(network, *shot(*size))


def count(way: str, args: argparse.Namespace, size: tuple[int, int], pipe: Connection) -> None:
    """Sends the operations and bytes of a frame and of a warm-up pass. Whoever counts holds more than who computes."""
    network, *both = prepared_way(way, args, size)
    counts = []
    for compute in both:
        with Counter(network) as counter:
            compute()
        counts.append({"operations": dict(counter.operations), "bytes": dict(counter.bytes)})
    pipe.send(counts)


def serve(way: str, args: argparse.Namespace, size: tuple[int, int], pipe: Connection) -> None:
    """Computes a frame or a warm-up pass when it is told to."""
    network, frame, warm_up = prepared_way(way, args, size)
    clock = Clock(network)
    frame()
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        clock.seconds.clear()
        begun = clock.now()
        (frame if asked == "frame" else warm_up)()
        pipe.send({"seconds": clock.now() - begun, "stages": dict(clock.seconds), "peak": peak_bytes()})


def peak_bytes() -> int:
    """Return most memory this process has held: on the CUDA device if there is one in use, else resident."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(args: argparse.Namespace, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Return the figures of each way at one size; each way is a process of its own."""
    context = multiprocessing.get_context("spawn")

    def begun(task: Callable[..., None], way: str) -> tuple[BaseProcess, Connection, Any]:
        ours, theirs = context.Pipe()
        process = context.Process(target=task, args=(way, args, size, theirs), daemon=True)
        process.start()
        return process, ours, ours.recv()  # one after the other: filling a bank is work, too

    counts, working, taken = {}, {}, defaultdict(list)
    for way in args.ways:
        counter, _, counts[way] = begun(count, way)
        counter.join()
    for way in args.ways:
        process, pipe, _ = begun(serve, way)
        working[way] = process, pipe
    for _ in range(args.turns):
        for kind in ("frame", "warm-up"):
            for way, (_, pipe) in working.items():
                pipe.send(kind)
                taken[way, kind].append(pipe.recv())
    for process, pipe in working.values():
        pipe.send(None)
        process.join()
    return {way: _figures(way, counts[way], taken[way, "frame"], taken[way, "warm-up"]) for way in args.ways}


def _figures(
    way: str, counts: list[dict[str, Any]], frames: list[dict[str, Any]], warm_ups: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return medians. seed() encodes the plate once for all its passes, where the dense reading does it for each."""
    shared = 0.0 if way == "dense" else statistics.median(each["stages"]["encode_image"] for each in warm_ups)
    seconds = statistics.median(each["seconds"] for each in frames)
    stages = {stage: statistics.median(each["stages"].get(stage, 0.0) for each in frames) for stage in STAGES}
    stages = {stage: spent for stage, spent in stages.items() if spent}
    stages[REST] = max(0.0, seconds - sum(stages.values()))
    return {
        "seconds": seconds,
        "frames_per_s": 1 / seconds,
        "warm_up_seconds": statistics.median(each["seconds"] for each in warm_ups) - shared,
        "warm_up_operations": sum(
            done for stage, done in counts[1]["operations"].items() if way == "dense" or stage != "encode_image"
        ),
        "peak_GB": frames[-1]["peak"] / 1e9,
        "stages": stages,
        **counts[0],
    }


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product, the best of several."""
    side = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        product = a @ b
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def bandwidth(device: torch.device) -> float:
    """Return the bytes a second of a large copy, read and written, the best of several."""
    source = torch.rand(1 << 26, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        target.copy_(source)
        float(target[0])  # waits for the device
        best = min(best, time.perf_counter() - begun)
    return 2 * source.numel() * source.element_size() / best


def report(size: str, figures: dict[str, dict[str, Any]], limits: dict[str, float]) -> None:
    """Print a table to read."""
    base = figures.get("dense") or next(iter(figures.values()))
    print(f"\n{size}")
    for way, each in figures.items():
        speed, memory = base["seconds"] / each["seconds"], each["peak_GB"] / base["peak_GB"]
        passes = 10 * each["warm_up_seconds"] / each["seconds"]
        counted = 10 * each["warm_up_operations"] / sum(each["operations"].values())
        print(
            f"{way:>6}  {each['seconds']:8.3f} s a frame  {each['frames_per_s']:6.2f} frames/s  x{speed:5.2f}  "
            f"peak {each['peak_GB']:5.2f} GB  x{memory:4.2f}  ten warm-up passes = {passes:.1f} frames "
            f"({counted:.1f} by operations)"
        )
    for way, each in figures.items():
        limit = limits["half" if way == "fast" and "half" in limits else "float32"]
        print(f"{way}: seconds, G operations, share of {limit / 1e9:.0f} a second, ", end="")
        print(f"GB, share of {limits['copied'] / 1e9:.0f} a second, both shares")
        for stage, spent in each["stages"].items():
            done, moved = (each[kind].get(stage, 0.0) for kind in ("operations", "bytes"))
            computing, moving = done / spent / limit, moved / spent / limits["copied"]
            print(f"    {stage:28} {spent:8.3f}  {done / 1e9:7.1f} {computing:6.1%}", end="")
            print(f"  {moved / 1e9:7.2f} {moving:6.1%}  {computing + moving:7.1%}")


def draw(path: Path, rows: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Draw seconds and memory against megapixels, a line for each way."""
    canvas = np.full((360, 1000, 3), 24, np.uint8)
    sizes = {size: float(np.prod([int(side) for side in size.split("x")])) / 1e6 for size in rows}
    ways = list(next(iter(rows.values())))
    for panel, (figure, label) in enumerate((("seconds", "seconds a frame"), ("peak_GB", "peak memory, GB"))):
        most = max(each[figure] for row in rows.values() for each in row.values())
        left = 60 + 500 * panel
        cv2.putText(canvas, f"{label}, 0 to {most:.2f}", (left, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230,) * 3, 1, 16)
        cv2.line(canvas, (left, 310), (left + 400, 310), (110,) * 3, 1)
        for number, way in enumerate(ways):
            colour = ((120, 120, 255), (255, 200, 120), (120, 255, 160))[number % 3]
            points = [
                (int(left + 400 * sizes[size] / max(sizes.values())), int(310 - 250 * row[way][figure] / most))
                for size, row in rows.items()
            ]
            cv2.polylines(canvas, [np.array(points)], isClosed=False, color=colour, thickness=2, lineType=cv2.LINE_AA)
            for point in points:
                cv2.circle(canvas, point, 4, colour, -1, cv2.LINE_AA)
            cv2.putText(canvas, way, (left + 90 * number, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        for size, pixels in sizes.items():
            at = (int(left + 400 * pixels / max(sizes.values())) - 40, 335)
            cv2.putText(canvas, size, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230,) * 3, 1, cv2.LINE_AA)
    cv2.imwrite(str(path), canvas)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="mini, matanyone (random weights), or a weights file")
    parser.add_argument("--sizes", "--size", nargs="+", default=["1280x720"], help="WIDTHxHEIGHT, made whole tokens")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=None, help="default: all that this device has")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    device = choose_device(args.device)
    half = half_type(device)
    args.ways = args.ways or [way for way in WAYS if way != "fast" or half]
    rows = {}
    for text in args.sizes:
        width, height = (-(-int(side) // STRIDE) * STRIDE for side in text.split("x"))
        rows[text] = measure(args, (width, height))
    # Last: what this process has held would count as held by those that it starts.
    limits = {"float32": ceiling(device, torch.float32), "copied": bandwidth(device)}
    limits |= {"half": ceiling(device, half)} if half else {}
    for text, figures in rows.items():
        report(text, figures, limits)
    if args.plot:
        draw(args.plot, rows)
    result = json.dumps({"model": args.model, "device": str(device), "limits_per_s": limits, "sizes": rows})
    if args.json:
        args.json.write_text(result)
    print(result)


if __name__ == "__main__":
    main()
