#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how much slower the engine is than the library, and whether it stays stable under load.

    python benchmarks/engine.py throughput --size 1920x1080 --frames 12
    python benchmarks/engine.py soak --clients 8 --minutes 10 --plot soak.png

throughput: the same raw half planes go through MattingSession in this process and through an engine on loopback, in
alternating blocks, so that other load on the machine slows both alike. soak: clients with shots of their own; all
alphas are compared with the library's, and memory over time is printed, and how evenly the engine served the clients.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.client.client import ClientSession, EngineClient, SentPlate
from matanyone_engine.client.launcher import ensure_engine, find_engine
from matanyone_engine.jobs.allocator import keep_freed_memory
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.registry import load_network
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw

Picture = NDArray[np.float16]


def picture(width: int, height: int, frame: int) -> Picture:
    """Return (H, W, 3) half, sRGB 0..1: a bright disc that wanders over soft noise."""
    generator = np.random.default_rng(frame % 7)
    noise = cv2.resize(generator.random((9, 16, 3), dtype=np.float32) * 0.6, (width, height))
    cv2.circle(noise, disc(width, height, frame), height // 5, (0.9, 0.7, 0.5), -1, cv2.LINE_AA)
    return noise.astype(np.float16)


def disc(width: int, height: int, frame: int) -> tuple[int, int]:
    """Return where the disc is."""
    return int(width * (0.5 + 0.15 * np.sin(frame / 9))), height // 2


def roto(width: int, height: int) -> NDArray[np.float32]:
    """Return (H, W): the disc of frame 0."""
    mask = np.zeros((height, width), np.float32)
    cv2.circle(mask, disc(width, height, 0), height // 5, 1.0, -1, cv2.LINE_AA)
    return mask


def raw(name: str, pixels: NDArray[np.floating]) -> SentPlate:
    """Return a payload of half floats."""
    data = pixels.astype("<f2").tobytes()
    height, width, channels = pixels.shape
    return describe_raw(name, data, "f2", (height, width, channels)), data


def engine(folder: Path, *options: str) -> Path:
    """Start one; its connection file."""
    file = folder / "run" / "engine.json"
    ensure_engine(file, [sys.executable, "-m", "matanyone_engine", "serve", "--state", str(folder / "state"), *options])
    return file


def end(client: EngineClient, file: Path) -> None:
    """Shut the engine down and wait until it is gone."""
    client.call(say.Shutdown())
    while file.exists():
        time.sleep(0.1)
    time.sleep(1)


# --------------------------------------------------------------------------------------------------- throughput


def throughput(args: argparse.Namespace) -> dict[str, float]:
    """Measure the seconds of a frame both ways, in alternating blocks, so that other load slows both alike."""
    width, height = map(int, args.size.split("x"))
    library = MattingSession(load_network("mini", args.device, args.precision), warm_up_passes=1)
    pixels = [picture(width, height, frame) for frame in range(args.frames)]
    mask = roto(width, height)
    with tempfile.TemporaryDirectory() as folder:
        file = engine(Path(folder), "--device", args.device, "--precision", args.precision)
        with EngineClient(lambda: find_engine(file), "benchmark") as client:
            options = say.Options(1, colorspace="sRGB", reply="f2")
            shot = client.open_shot((width, height), options)
            warm = list(shot.matte([0], lambda _: raw("plate", pixels[0]), raw("mask", mask[..., None])))
            library.seed(pixels[0].astype(np.float32).transpose(2, 0, 1), mask)
            assert len(warm) == 1
            blocks = [_blocks(library, shot, pixels, 1 + turn * args.frames) for turn in range(args.turns)]
            end(client, file)
    alone, through = (statistics.median(each) / args.frames for each in zip(*blocks, strict=True))
    return {"library_s": alone, "engine_s": through, "ratio": alone / through, "overhead_ms": (through - alone) * 1e3}


def _blocks(library: MattingSession, shot: ClientSession, pixels: list[Picture], seq: int) -> tuple[float, float]:
    """Return the seconds for the same frames here, then through the engine with its window full; the alphas must be
    equal.
    """
    begun = time.perf_counter()
    kept = [_half(library.advance(each.astype(np.float32).transpose(2, 0, 1))) for each in pixels]
    here = time.perf_counter() - begun
    frames = range(seq, seq + len(pixels))
    begun = time.perf_counter()
    came = [bytes(each.data) for each in shot.matte(frames, lambda n: raw("plate", pixels[n - seq]), first_seq=seq)]
    there = time.perf_counter() - begun
    assert came == kept, "the engine's alphas are not the library's"
    return here, there


def _half(alpha: torch.Tensor) -> bytes:
    return alpha.cpu().half().numpy().tobytes()


# --------------------------------------------------------------------------------------------------------- soak


def soak(args: argparse.Namespace) -> dict[str, object]:
    """Let clients open, follow and close shots until the time is over."""
    width, height = map(int, args.size.split("x"))
    network = load_network("mini", args.device)
    truth = _truth(network, width, height, args.length)
    deadline = time.monotonic() + args.minutes * 60
    served: Counter[int] = Counter()
    wrong: list[str] = []
    memory: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = engine(Path(folder), "--device", args.device)

        def plate(frame: int) -> SentPlate:
            return raw("plate", picture(width, height, frame))

        def follow(number: int) -> None:
            with EngineClient(lambda: find_engine(file), f"client {number}") as client:
                while time.monotonic() < deadline:
                    shot = client.open_shot((width, height), say.Options(1, colorspace="sRGB", reply="f2"))
                    mask = raw("mask", roto(width, height)[..., None])
                    for alpha in shot.matte(range(args.length), plate, mask):
                        served[number] += 1
                        if bytes(alpha.data) != truth[alpha.frame]:
                            wrong.append(f"client {number} frame {alpha.frame}")
                        if time.monotonic() > deadline:
                            break
                    shot.close()

        threads = [threading.Thread(target=follow, args=(number,)) for number in range(args.clients)]
        for thread in threads:
            thread.start()
        with EngineClient(lambda: find_engine(file), "watcher") as watcher:
            begun = time.monotonic()
            while any(thread.is_alive() for thread in threads):
                report = watcher.call(say.Status())
                assert isinstance(report, say.StatusReport)
                memory.append((time.monotonic() - begun, report.resident_bytes / 1e6))
                time.sleep(2)
            end(watcher, file)
    return _verdict(args, served, wrong, memory)


def _truth(network: object, width: int, height: int, length: int) -> list[bytes]:
    session = MattingSession(network, warm_up_passes=1)  # type: ignore[arg-type]
    alphas = []
    for frame in range(length):
        planes = picture(width, height, frame).astype(np.float32).transpose(2, 0, 1)
        alpha = session.advance(planes) if frame else session.seed(planes, roto(width, height))
        alphas.append(alpha.cpu().numpy().astype(np.float16).tobytes())
    return alphas


def _verdict(
    args: argparse.Namespace, served: Counter[int], wrong: list[str], memory: list[tuple[float, float]]
) -> dict[str, object]:
    counts = [served[number] for number in range(args.clients)]
    settled = [megabytes for seconds, megabytes in memory if seconds > memory[-1][0] / 4]
    half = len(settled) // 2
    if args.plot:
        draw(args.plot, memory)
    return {
        "frames": sum(counts),
        "wrong": wrong,
        "fewest_of_a_client": min(counts),
        "most_of_a_client": max(counts),
        "memory_MB_first_half": statistics.mean(settled[:half]),
        "memory_MB_second_half": statistics.mean(settled[half:]),
        "memory_MB_peak": max(megabytes for _, megabytes in memory),
    }


def draw(path: Path, memory: list[tuple[float, float]]) -> None:
    """Draw resident memory over time, as a picture."""
    width, height, edge = 900, 320, 50
    canvas = np.full((height, width, 3), 24, np.uint8)
    longest, most = memory[-1][0], max(megabytes for _, megabytes in memory) * 1.1
    points = [
        (
            int(edge + (width - 2 * edge) * seconds / longest),
            int(height - edge - (height - 2 * edge) * megabytes / most),
        )
        for seconds, megabytes in memory
    ]
    for one, other in itertools.pairwise(points):
        cv2.line(canvas, one, other, (120, 200, 255), 2, cv2.LINE_AA)
    label = f"engine's resident memory, 0 to {most:.0f} MB, over {longest:.0f} s"
    cv2.putText(canvas, label, (edge, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (230, 230, 230), 1, cv2.LINE_AA)
    cv2.line(canvas, (edge, height - edge), (width - edge, height - edge), (110, 110, 110), 1)
    cv2.imwrite(str(path), canvas)


def main() -> None:
    """Run one of the two, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("throughput", "soak"))
    parser.add_argument("--size", default="", help="default: 1920x1080, for the soak 192x108")
    parser.add_argument("--frames", type=int, default=6, help="of a block")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--length", type=int, default=60, help="frames of a shot of the soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", help="of the throughput's network")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    args.size = args.size or ("1920x1080" if args.what == "throughput" else "192x108")
    keep_freed_memory()  # as the engine does
    if args.device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    print(json.dumps(throughput(args) if args.what == "throughput" else soak(args), indent=1))


if __name__ == "__main__":
    main()
