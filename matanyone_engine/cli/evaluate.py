# SPDX-License-Identifier: Apache-2.0
"""Compares alphas on disk with true ones, frame number by frame number: `matanyone-engine evaluate PRED TRUTH`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator

from rich.table import Table

from matanyone_engine.atomic import whole_file
from matanyone_engine.cli.new_file import new_file
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.errors import FrameRangeError, MaskError
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.sequence import FrameSequence, describe_frames, find_sequence
from matanyone_engine.training.metrics import LOST, Alpha, FrameScores, mean_scores, score_frame
from matanyone_engine.training.score_plot import write_score_plot

COLUMNS = {
    "mad": "MAD x1000",
    "mse": "MSE x1000",
    "grad": "Grad /1000",
    "conn": "Conn /1000",
    "dtssd": "dtSSD x100",
    "core": "core x1000",
    "edge": "edge x1000",
    "overlap": "overlap",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'evaluate' to the program's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        description="Compares alphas with true ones, frame number by frame number. The errors have the scale factors "
        "of published tables; core is the error away from edges, edge the error near them.",
    )
    parser.add_argument("pred", metavar="PRED", help="The alphas: alpha.####.exr, a folder or one file.")
    parser.add_argument("truth", metavar="TRUTH", help="The true alphas, with the same frame numbers.")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="Write the scores of every frame to this file.")
    parser.add_argument("--plot", type=new_file, metavar="FILE", help="Draw the scores over the frames (PNG).")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read both sequences, compare them and report."""
    for report in (args.json, args.plot):
        if report:
            check_writable(report.parent)
    pred, truth = find_sequence(args.pred), find_sequence(args.truth)
    frames = _common_frames(pred, truth)
    scores = dict(_scored(pred, truth, frames))
    mean = mean_scores(scores.values())
    _print(scores, mean, [frame for frame in truth.frames if frame not in scores])
    if args.json:
        with whole_file(args.json) as temporary:
            temporary.write_text(json.dumps(as_json(scores, mean), indent=1) + "\n")
    if args.plot:
        write_score_plot(args.plot, scores)


def _common_frames(pred: FrameSequence, truth: FrameSequence) -> tuple[int, ...]:
    """Return the frames that both sequences have.

    Raises FrameRangeError if an alpha has no true alpha; the truth may have more frames.
    """
    if not pred.numbered and not truth.numbered:
        return pred.frames
    strangers = sorted(set(pred.frames) - set(truth.frames))
    if strangers:
        raise FrameRangeError(
            expected=f"a true alpha for every frame of {pred.name}",
            came=f"none for {describe_frames(strangers)} in {truth.name} ({describe_frames(truth.frames)})",
            action="Give both sequences the frame numbers of the plate.",
        )
    return pred.frames


def _scored(pred: FrameSequence, truth: FrameSequence, frames: tuple[int, ...]) -> Iterator[tuple[int, FrameScores]]:
    """Yield the scores of every frame. After a gap in the frame numbers, dtSSD has no frame before to compare with."""
    last: tuple[int, tuple[Alpha, Alpha]] | None = None
    for frame, pair in _pairs(pred, truth, frames):
        before = last[1] if last is not None and last[0] == frame - 1 else None
        yield frame, score_frame(*pair, before)
        last = frame, pair


def _pairs(
    pred: FrameSequence, truth: FrameSequence, frames: tuple[int, ...]
) -> Iterator[tuple[int, tuple[Alpha, Alpha]]]:
    for frame in frames:
        pair = read_alpha(pred.path(frame)), read_alpha(truth.path(frame))
        if pair[0].shape != pair[1].shape:
            sizes = [f"{alpha.shape[1]}x{alpha.shape[0]}" for alpha in pair]
            raise MaskError(
                expected=f"an alpha of the truth's size, {sizes[1]}",
                came=f"{sizes[0]} in frame {frame}",
                action="Compare at one size; alphas are never stretched.",
            )
        yield frame, pair


def _print(scores: dict[int, FrameScores], mean: FrameScores, left: list[int]) -> None:
    table = Table(title=f"{describe_frames(sorted(scores))} ({len(scores)} frames) against the truth")
    table.add_column("")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    worst = max(scores, key=lambda frame: scores[frame].mad)
    for name, row in (("mean", mean), (f"worst: {worst}", scores[worst])):
        table.add_row(name, *(f"{getattr(row, column):.3f}" for column in COLUMNS))
    console = PlainConsole(width=120)
    console.print(table)
    if left:
        console.print(f"These frames of the truth have no alpha and were not compared: {describe_frames(left)}.")
    lost = [frame for frame, row in scores.items() if row.overlap < LOST]
    if lost:
        console.print(f"The subject was lost on {describe_frames(lost)}: alpha and truth overlap by less than {LOST}.")


def as_json(scores: dict[int, FrameScores], mean: FrameScores) -> dict[str, object]:
    """Return what --json writes: the mean, then every frame under its number."""
    return {
        "mean": dataclasses.asdict(mean),
        "frames": {str(frame): dataclasses.asdict(row) for frame, row in scores.items()},
    }
