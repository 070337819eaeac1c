#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a split between keys costs: errors at the seams and elsewhere, and steps, beside one run of the same
job.

    python benchmarks/segments.py
    python benchmarks/segments.py --plate CLIP/frame.#####.jpg --mask CLIP/mask.png@1 --truth none --scout-size 144

The job is planned with `plan --split`, run segment by segment as a farm would, and merged. Errors x 1000 (MAD) are
against one run and, where there is one, against the truth: on all frames, within two frames of a seam, and on the
others. `jump` is how much more an alpha changes across a seam than it does there in one run, x 1000. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from weights_used import weights_line

from matanyone_engine.cli.main import main as engine
from matanyone_engine.jobs import segments
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.sequence import find_sequence, parse_frames

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NEAR = 2
"""Frames on either side of a seam."""

Alphas = dict[int, NDArray[np.float32]]


def alphas(pattern: Path) -> Alphas:
    found = find_sequence(pattern)
    return {frame: read_alpha(found.path(frame)) for frame in found.frames}


def command(*words: object) -> None:
    if engine([str(word) for word in words]):
        raise SystemExit(f"failed: {words}")


def split_run(job: Path, count: int) -> tuple[list[int], int]:
    """Plan, scout, segments, merge; the first frames of all segments but one, and the steps."""
    command("plan", job, "--segments", count, "--split")
    plan = job.with_name(f"{job.stem}.plan.json")
    command("run", plan, "--scout", "--cache", 0)
    said = json.loads(plan.read_text())["segments"]
    for number in range(len(said)):
        command("run", plan, "--segment", number + 1, "--cache", 0)
    command("merge", plan)
    return [parse_frames(each["frames"])[0] for each in said[1:]], sum(each["steps"] for each in said)


def mad(ours: Alphas, theirs: Alphas, frames: list[int]) -> float:
    return 1000 * float(np.mean([np.abs(ours[n] - theirs[n]).mean() for n in frames])) if frames else float("nan")


def jump(split: Alphas, whole: Alphas, seams: list[int]) -> float:
    """Change across each seam, over that of one run."""
    changes = [[np.abs(found[n] - found[n - 1]).mean() for n in seams] for found in (split, whole)]
    return 1000 * float(np.mean(changes[0]) - np.mean(changes[1]))


def measured(
    name: str, split: Alphas, whole: Alphas, truth: Alphas | None, seams: list[int], steps: float
) -> dict[str, object]:
    frames = sorted(whole)
    near = [n for n in frames if any(abs(n - seam) <= NEAR for seam in seams)]
    far = [n for n in frames if n not in near]
    row: dict[str, object] = {"segments": name, "seams": seams, "steps": steps}
    row |= {"all": mad(split, whole, frames), "near": mad(split, whole, near), "far": mad(split, whole, far)}
    row["jump"] = jump(split, whole, seams)
    if truth:
        row |= {"truth": mad(split, truth, frames), "truth_whole": mad(whole, truth, frames)}
        row |= {"truth_near": mad(split, truth, near), "truth_whole_near": mad(whole, truth, near)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plate", default=str(EXAMPLES / "plate" / "plate.####.exr"))
    parser.add_argument("--mask", default=f"{EXAMPLES / 'mask.1001.exr'}@1001")
    parser.add_argument("--truth", default=str(EXAMPLES / "truth" / "alpha.####.exr"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 3])
    parser.add_argument(
        "--scout-size", type=int, default=96, help="of the shortest side; the example has 360 (default: 96)"
    )
    args = parser.parse_args()
    segments.FIRST_PASS_SIZE = args.scout_size
    truth = None if args.truth == "none" else alphas(Path(args.truth))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "whole" / "a.####.exr"
        asked = ["matte", args.plate, "--mask", args.mask, "--model", args.model, "--colorspace", "lin_rec709_scene"]
        command(*asked, "--out", out, "--cache", 0)
        whole = alphas(out)
        for count in args.counts:
            job, out = Path(folder) / f"split{count}.json", Path(folder) / str(count) / "a.####.exr"
            command(*asked, "--out", out, "--save-job", job)
            seams, steps = split_run(job, count)
            rows.append(measured(str(count), alphas(out), whole, truth, seams, steps / len(whole)))
    print(weights_line(args.model))
    for row in rows:
        print(
            "  ".join(
                f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
