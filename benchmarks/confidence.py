#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures whether a low confidence means a bad alpha, and how long it takes to compute a confidence.

    python benchmarks/confidence.py rank --clips 40 --json rank.json
    python benchmarks/confidence.py cost --size 1920x1080

rank: mattes drawn clips with true alphas, which neither training nor the mappings of matting/confidence.py have used,
and the rendered example, with `mini`: once from a key on the first frame, and once from keys on both ends. It prints
Spearman's rank correlation of doubt (1 - confidence, and each signal alone) with the error of the frame: MAD, and the
error as a part of the subject. Over all frames, it tells bad clips from good ones; within a clip, bad frames from good
ones.

cost: times the signals of a frame, and the frame itself, in one run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from held_out import CALM, SIZE, Alpha, Plates, cutout, rendered
from numpy.typing import NDArray

from matanyone_engine.matting.confidence import Confidence, measured
from matanyone_engine.matting.content_keys import Inputs, Names
from matanyone_engine.matting.runner import ShotRunner
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import Seed, Shot, Subject
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_network
from matanyone_engine.training import augment

FIRST_NUMBER = 3_000_000
KINDS = ("figure", "figure", "figure", "beast", "thing", "plant", "veil")
WHAT = (
    (),
    ("camera",),
    ("travel",),
    ("distractor",),
    ("distractor", "twin"),
    ("occluder",),
    ("light", "shadow"),
    ("camouflage",),
    ("occluder", "travel"),
    ("distractor", "camera", "light", "shadow", "compression"),
    ("distractor", "twin", "travel"),
)
"""Difficulties, as in held_out.py; their number has no common divisor with that of the kinds."""
SIGNALS = ("edge", "grey", "jump", "change", "disagreement")
WIDTHS = (8, 8, 22, 8)
BANDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.01)


@dataclass(frozen=True)
class Judged:
    """Holds the figures of a frame."""

    clip: str
    sure: Confidence
    mad: float
    """x 1000."""
    share: float
    """Sum of absolute differences as a part of the subject."""

    def signal(self, name: str) -> float | None:
        return self.sure.disagreement if name == "disagreement" else getattr(self.sure.signals, name)


def main() -> None:
    parser = argparse.ArgumentParser(description="What confidences are worth, and what they cost.")
    commands = parser.add_subparsers(required=True)
    ranking = commands.add_parser("rank")
    ranking.add_argument("--clips", type=int, default=40)
    ranking.add_argument("--from", dest="start", type=int, default=0, metavar="N", help="first clip of the run")
    ranking.add_argument("--frames", type=int, default=24, help="of a drawn clip")
    ranking.add_argument("--model", default="mini")
    ranking.add_argument("--json", type=Path)
    ranking.set_defaults(run=rank)
    cost = commands.add_parser("cost")
    cost.add_argument("--size", default="1920x1080")
    cost.add_argument("--frames", type=int, default=8)
    cost.add_argument("--model", default="mini")
    cost.set_defaults(run=costs)
    arguments = parser.parse_args()
    arguments.run(arguments)


# -- rank -------------------------------------------------------------------------------------------------------------


def rank(args: argparse.Namespace) -> None:
    """Print two tables: one key, and keys on both ends."""
    network = load_network(args.model, "cpu")
    clips = [("example", *rendered())] if args.start == 0 else []
    runs: dict[str, list[Judged]] = {"key on the first frame": [], "keys on both ends": []}
    for number in range(args.start, args.start + args.clips):
        clips.append((f"{number}", *drawn(number, args.frames)))
        while clips:
            name, plates, alphas = clips.pop(0)
            for which, keys in (("key on the first frame", (0,)), ("keys on both ends", (0, len(plates) - 1))):
                runs[which] += judged(network, name, plates, alphas, keys)
        print(f"\r{number - args.start + 1} clips", end="", flush=True)
    report = {which: table(which, rows) for which, rows in runs.items()}
    if args.json:
        rows = {
            which: [[each.clip, each.sure.value, each.mad, each.share] for each in found]
            for which, found in runs.items()
        }
        args.json.write_text(json.dumps({"correlations": report, "frames": rows}) + "\n")


def drawn(number: int, frames: int) -> tuple[Plates, list[Alpha]]:
    """Return plates and true alphas of a drawn clip before a drawn background."""
    rng = np.random.default_rng(FIRST_NUMBER + number)
    kind, what = KINDS[number % len(KINDS)], WHAT[number % len(WHAT)]
    subject, *others = (
        cutout(FIRST_NUMBER + 10 * number + k, kind if k < 2 else "thing", [], frames) for k in range(3)
    )
    chances = replace(CALM, **dict.fromkeys(what, 1.0))
    shot = augment.compose(rng, subject, others, [cloudy(rng)], SIZE, chances)
    return list(shot.plates), list(shot.alphas)


def cloudy(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture of colour at all scales, 8 bits."""
    picture = np.zeros((540, 960, 3), np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        coarse = rng.normal(0, 1, (cells * 9 // 16 + 2, cells + 2, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (960, 540), interpolation=cv2.INTER_CUBIC) * (6 / cells) ** 0.7
    low, high = picture.min(), picture.max()
    return np.round(255 * (picture - low) / (high - low)).astype(np.uint8)


def judged(
    network: MatAnyone, clip: str, plates: Plates, alphas: list[Alpha], keys: tuple[int, ...]
) -> Iterable[Judged]:
    """Yield all frames but the keys'."""
    shot = Shot(tuple(range(len(plates))), (Subject("it", keys),))
    inputs = Inputs("benchmark", {n: str(n) for n in shot.frames}, {Seed("it", key): str(key) for key in keys})
    runner = ShotRunner(
        shot,
        Names(shot, inputs),
        {},
        lambda _: MattingSession(network),
        lambda seed: torch.from_numpy((alphas[seed.frame] > 0.5).astype(np.float32)),
    )
    for step in runner.plan(shot.frames):
        runner.take(step, torch.from_numpy(np.ascontiguousarray(plates[step.frame])).permute(2, 0, 1))
        if step.delivers and step.frame not in keys:
            alpha, truth = runner.alphas(step.frame)["it"].numpy(), alphas[step.frame]
            apart = np.abs(alpha.astype(np.float64) - truth)
            subject = max(float(truth.sum()), float(alpha.sum()), 16.0)
            yield Judged(
                clip, runner.confidences(step.frame)["it"], 1000 * float(apart.mean()), float(apart.sum()) / subject
            )


def table(title: str, rows: list[Judged]) -> dict[str, dict[str, float]]:
    """Print and return the correlations of doubt, and of each signal, with the error."""
    print(f"\n\n{title}: {len(rows)} frames of {len({each.clip for each in rows})} clips, Spearman's rho")
    print(f"{'':14}{'MAD':>8}{'share':>8}{'within a clip: MAD':>22}{'share':>8}")
    found = {}
    ways: dict[str, Callable[[Judged], float | None]] = {"1 - confidence": lambda each: 1 - each.sure.value}
    ways |= {name: (lambda each, name=name: each.signal(name)) for name in SIGNALS}
    for name, way in ways.items():
        known = [each for each in rows if way(each) is not None]
        if known:
            found[name] = correlations(known, way)
            print(
                f"{name:14}" + "".join(f"{value:{w}.2f}" for value, w in zip(found[name].values(), WIDTHS, strict=True))
            )
    print("\nconfidence      frames   median MAD   median share of the subject that is wrong")
    for low, high in itertools.pairwise(BANDS):
        band = [each for each in rows if low <= each.sure.value < high]
        if band:
            middle = [statistics.median(values) for values in ([r.mad for r in band], [r.share for r in band])]
            print(f"{low:.1f} to {min(high, 1.0):.1f} {len(band):11} {middle[0]:12.1f} {middle[1]:12.3f}")
    print(f"\nthe three least sure frames of a clip are {lift(rows):.2f} times as wrong as its average", end=" ")
    print(f"(of whoever knew the truth: {best(rows):.2f})")
    return found


def correlations(rows: list[Judged], way: Callable[[Judged], float | None]) -> dict[str, float]:
    """Return the correlation over all frames, and the mean over clips."""
    clips = by_clip(rows)
    errors: dict[str, Callable[[Judged], float]] = {"mad": lambda each: each.mad, "share": lambda each: each.share}
    over = {name: spearman(rows, way, error) for name, error in errors.items()}
    within = {
        f"within {name}": statistics.mean(spearman(clip, way, error) for clip in clips)
        for name, error in errors.items()
    }
    return {**over, **within}


def by_clip(rows: list[Judged]) -> list[list[Judged]]:
    clips: dict[str, list[Judged]] = {}
    for each in rows:
        clips.setdefault(each.clip, []).append(each)
    return [clip for clip in clips.values() if len(clip) > 3]


def spearman(rows: list[Judged], left: Callable[[Judged], float | None], right: Callable[[Judged], float]) -> float:
    ranks = [_ranks(np.array([way(each) for each in rows], np.float64)) for way in (left, right)]
    return float(np.corrcoef(*ranks)[0, 1]) if all(each.std() > 0 for each in ranks) else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank values; ties share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def lift(rows: list[Judged]) -> float:
    """Return the error of the three least sure frames over the clip's mean, averaged over clips."""
    return statistics.mean(
        statistics.mean(each.share for each in sorted(clip, key=lambda each: each.sure.value)[:3])
        / statistics.mean(each.share for each in clip)
        for clip in by_clip(rows)
    )


def best(rows: list[Judged]) -> float:
    """Return the same for whoever knew the truth."""
    return statistics.mean(
        statistics.mean(sorted((each.share for each in clip), reverse=True)[:3])
        / statistics.mean(each.share for each in clip)
        for clip in by_clip(rows)
    )


# -- cost -------------------------------------------------------------------------------------------------------------


def costs(args: argparse.Namespace) -> None:
    """Print the median seconds of a frame and of its signals."""
    network = load_network(args.model)
    width, height = map(int, args.size.split("x"))
    plates, alphas = rendered()
    shown = [torch.from_numpy(cv2.resize(plate, (width, height))).permute(2, 0, 1) for plate in plates[: args.frames]]
    session = MattingSession(network, warm_up_passes=0)
    session.seed(shown[0], torch.from_numpy(cv2.resize(alphas[0], (width, height))))
    frames, signals = [], []
    for plate in shown[1:]:
        frames.append(timed(lambda plate=plate: session.advance(plate)))
        alpha = session.state.known().alpha
        change = torch.rand(1, 1, alpha.shape[-2] // 16, alpha.shape[-1] // 16, device=alpha.device)
        signals.append(timed(lambda alpha=alpha, change=change: measured(alpha, change, 0.2, (height, width))))
    frame, part = statistics.median(frames), statistics.median(signals)
    print(f"{args.size} on {network.device}, {torch.get_num_threads()} threads, {network.precision}")
    print(f"frame {1000 * frame:.1f} ms, its signals {1000 * part:.2f} ms: {100 * part / frame:.2f} % of it")


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
