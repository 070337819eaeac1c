#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402
"""Measures how much longer a job takes than its network alone: the cost of reading, converting and writing.

    python benchmarks/overlap.py --size 3840x2160 --working-size 1080 --frames 8 --turns 3

Half-float EXR plates (ZIP, grain) go through the same session in two ways, in turns: as pictures that are in memory
already (the network alone), and as a job from files to files. The parts of the job are also timed alone. If other
programs run meanwhile, CPU time is more reliable than the clock. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from matanyone_engine.jobs.threads import sleep_while_waiting

sleep_while_waiting()  # as the command does, before torch is imported

import cv2
import numpy as np
import OpenImageIO as oiio
import torch
from numpy.typing import NDArray

from matanyone_engine.jobs.allocator import keep_freed_memory
from matanyone_engine.jobs.job import MatteJob, MattePlan, plan_matte, provenance, seeds_used
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.matting.options import keywords
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_vetted

Picture = NDArray[np.float32]


def plate(width: int, height: int, frame: int) -> Picture:
    """Return (H, W, 3) scene-linear: a bright disc over soft noise, with grain, as a camera would give it."""
    generator = np.random.default_rng(frame)
    noise = cv2.resize(np.random.default_rng(1).random((9, 16, 3), dtype=np.float32) * 0.4, (width, height))
    cv2.circle(noise, (width // 2 + 6 * frame, height // 2), height // 5, (0.8, 0.5, 0.3), -1, cv2.LINE_AA)
    return noise + generator.normal(0, 0.01, noise.shape).astype(np.float32)


def write_exr(path: Path, pixels: Picture, channels: tuple[str, ...]) -> None:
    """Write half floats, ZIP."""
    height, width, count = pixels.shape
    spec = oiio.ImageSpec(width, height, count, oiio.HALF)
    spec.channelnames = channels
    spec.attribute("compression", "zip")
    output = oiio.ImageOutput.create("openexr")
    if not (output.open(str(path), spec) and output.write_image(pixels) and output.close()):
        raise SystemExit(output.geterror())


def make_shot(folder: Path, width: int, height: int, frames: int, working_size: int) -> MatteJob:
    """Put plates and a mask on disk."""
    for frame in range(frames):
        write_exr(folder / f"plate.{frame + 1:04d}.exr", plate(width, height, frame), ("R", "G", "B"))
    mask = np.zeros((height, width), np.float32)
    cv2.circle(mask, (width // 2, height // 2), height // 5, 1.0, -1, cv2.LINE_AA)
    write_exr(folder / "mask.exr", mask[..., None], ("Y",))
    return MatteJob(
        plate=str(folder / "plate.####.exr"),
        mask=str(folder / "mask.exr"),
        out=str(folder / "out" / "alpha.####.exr"),
        colorspace="ACEScg",
        warm_up_passes=0,
        working_size=working_size,
    )


Cost = tuple[float, float]
"""Seconds a frame: on the clock, and of all cores together."""


def network_alone(session: MattingSession, pictures: list[Picture]) -> Cost:
    """Time the session on pictures that are in memory."""
    begun, spent = time.perf_counter(), time.process_time()
    for picture in pictures:
        session.advance(torch.from_numpy(picture).permute(2, 0, 1)).cpu().numpy()
    return (time.perf_counter() - begun) / len(pictures), (time.process_time() - spent) / len(pictures)


def whole_job(plan: MattePlan, network: MatAnyone, weights: object) -> Cost:
    """Time the job from the first alpha on disk to the last: start and seed are not counted."""
    for path in (path for folder in plan.outputs.folders for path in folder.glob(".*.made")):
        path.unlink()  # else the alphas of the turn before would stand
    events = run_matte(plan, network, weights, cache={})  # type: ignore[arg-type]
    stamps = [(time.perf_counter(), time.process_time()) for _ in events]
    clock, spent = ((last - first) / (len(stamps) - 1) for first, last in zip(stamps[0], stamps[-1], strict=True))
    return clock, spent


def alone(work: Callable[[], object], times: int = 3) -> float:
    """Return the seconds of one part of the job when nothing else runs; the best of a few."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> None:
    """Make the shot, measure turn about, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--working-size", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    keep_freed_memory()
    width, height = map(int, args.size.split("x"))
    network, weights = load_vetted(args.model, args.device)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_matte(make_shot(Path(folder), width, height, args.frames, args.working_size))
        pictures = [plan.network_view(plan.source.read(frame).rgb) for frame in plan.frames]
        session = MattingSession(network, plan.job.memory, **keywords(plan.job))
        mask = plan.masks.mask(seeds_used(plan.shot, plan.frames[0])[0])
        session.seed(torch.from_numpy(pictures[0]).permute(2, 0, 1), mask)
        turns = [(network_alone(session, pictures[1:]), whole_job(plan, network, weights)) for _ in range(args.turns)]
        for ledger in plan.outputs.main.folder.glob(".*.made"):
            ledger.unlink()
        first = next(event for event in run_matte(plan, network, weights, cache={}) if isinstance(event, FrameDone))
        parts = _parts(plan, first.alpha, weights)
    (bare, bare_cpu), (job, job_cpu) = (
        map(statistics.median, zip(*each, strict=True)) for each in zip(*turns, strict=True)
    )
    for name, seconds in {"network alone": bare, "whole job": job, **parts}.items():
        print(f"{name:>14} {seconds * 1e3:8.0f} ms a frame")
    print(f"what files cost: {(job - bare) / job:.1%} of a frame's time")
    print(
        f"CPU time: network {bare_cpu * 1e3:.0f} ms, job {job_cpu * 1e3:.0f} ms: {(job_cpu - bare_cpu) / job_cpu:.1%}"
    )
    print(json.dumps({"network_s": bare, "job_s": job, "share": (job - bare) / job, "parts_s": parts, "turns": turns}))


def _parts(plan: MattePlan, alpha: Picture, weights: object) -> dict[str, float]:
    from matanyone_engine.media.layouts import SUBJECT, FrameContent

    frame = plan.frames[0]
    read = plan.source.read(frame)
    about = provenance(plan, weights, seeds_used(plan.shot, frame))  # type: ignore[arg-type]
    content = FrameContent(read.header, {SUBJECT: alpha}, read.canvas)
    return {
        "read": alone(lambda: plan.source.read(frame)),
        "view": alone(lambda: plan.network_view(read.rgb)),
        "write": alone(lambda: plan.outputs.write(frame, content, about, {})),
    }


if __name__ == "__main__":
    main()
