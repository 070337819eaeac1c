# SPDX-License-Identifier: Apache-2.0
"""Trains a network by one stage of the recipe (training/recipe.py) and shows how it goes.

matanyone-engine train --stage NAME --data ROOT --out FOLDER [--init WEIGHTS]
On several GPUs, one process each: torchrun --nproc-per-node 8 -m matanyone_engine.cli.main train ...
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import torch
from rich.console import Console

from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.errors import Interrupted, SettingError
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.model.device import FORMS, choose_device
from matanyone_engine.model.dims import MINI
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.precision import gains_by
from matanyone_engine.model.registry import load_trainable
from matanyone_engine.training.loop import (
    WEIGHTS,
    RunOptions,
    Share,
    TrainingStep,
    begun_stage,
    share_of_processes,
    train,
)
from matanyone_engine.training.recipe import LITE_STAGES, MATANYONE_STAGES, STAGES, TrainingStage

_HEARTBEAT = 15.0
"""Seconds between lines of progress."""
_RECENT = 50
"""Iterations whose mean is shown."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'train' to the program's parser."""
    parser = subparsers.add_parser(
        "train",
        description="Trains a network by one stage of the recipe. Run again, it goes on from the last checkpoint. "
        "docs/training.md is the guide.",
    )
    parser.add_argument(
        "--stage", choices=sorted(STAGES), required=True, help="Which stage of the recipe (training/recipe.py)."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="The folder of the training data.")
    parser.add_argument(
        "--out",
        type=new_folder,
        required=True,
        metavar="FOLDER",
        help="Where checkpoints and logs go; training goes on from what is there.",
    )
    parser.add_argument("--init", metavar="NAME|PATH", help="Which weights to start from. Default: none.")
    parser.add_argument(
        "--iterations", type=int, metavar="N", help="How many iterations, instead of the stage's own number."
    )
    parser.add_argument("--rate", type=float, metavar="RATE", help="The learning rate, instead of the stage's own.")
    parser.add_argument(
        "--batch", type=int, metavar="CLIPS", help="How many clips a batch has, instead of the stage's own number."
    )
    parser.add_argument(
        "--crop",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="The size of crops, in multiples of 16, instead of the stage's own.",
    )
    parser.add_argument("--device", default="auto", help=f"Where to train: {FORMS}. Default: auto.")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="How many CPU threads to use. Default: torch's choice."
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="How many processes prepare clips. Default: 0."
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check the options, train and report."""
    console = PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    stage = chosen_stage(args)
    check_writable(args.out)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    share = share_of_processes()
    device = own_device(args.device, share)
    options = RunOptions(args.out, device, args.workers)
    stage = in_measured_precision(stage, device, args.out)
    network = starting_network(args.init, stage)
    report = _Report(console, quiet=share.rank > 0)
    with (
        graceful_stop(console, "this step") as stop,
        closing(train(network, stage, args.data, options, stop.requested)) as steps,
    ):
        for step in steps:
            report.show(step)
    if 0 < report.done < stage.iterations:
        raise Interrupted(
            expected=f"{stage.iterations} iterations of {stage.name}",
            came=f"a stop by you after {report.done}",
            action="They are kept. Run the same command again to go on from there.",
        )
    report.conclude(args.out)


def own_device(asked: str, share: Share) -> torch.device:
    """Return the device of this process: under torchrun 'auto' and 'cuda' give each process a GPU of its own."""
    device = choose_device(asked)
    if share.processes > 1 and device.type == "cuda" and device.index is None:
        return choose_device(f"cuda:{share.local}")
    return device


def in_measured_precision(stage: TrainingStage, device: torch.device, folder: Path) -> TrainingStage:
    """Return the stage in float32 if it may use bfloat16, and the device was measured not to gain by that.

    A run that goes on keeps the precision that it began with, also on another machine.
    """
    if not stage.bf16:
        return stage
    begun = begun_stage(folder)
    bf16 = gains_by(device, torch.bfloat16) if begun is None else bool(begun["bf16"])
    return dataclasses.replace(stage, bf16=bf16)


def chosen_stage(args: argparse.Namespace) -> TrainingStage:
    """Return the stage, with what the command line changes. Raises SettingError."""
    stage = STAGES[args.stage]
    if (args.threads is not None and args.threads < 1) or args.workers < 0:
        raise SettingError(
            expected="--threads of 1 or more, and --workers of 0 or more",
            came=f"--threads {args.threads} --workers {args.workers}",
            action="Correct them, or leave them out: both have defaults.",
        )
    given = {name: getattr(args, name) for name in ("iterations", "rate", "batch") if getattr(args, name) is not None}
    if args.crop:
        given["crop"] = tuple(args.crop)
    stage = dataclasses.replace(stage, **given)
    if (
        min(stage.iterations, stage.batch) < 1
        or not 0 < stage.rate < 1
        or any(side % 16 or side < 64 for side in stage.crop)
    ):
        raise SettingError(
            expected="at least one iteration and one clip, a rate between 0 and 1, and a crop in multiples of 16, 64 "
            "or more",
            came=f"iterations {stage.iterations}, batch {stage.batch}, rate {stage.rate}, crop {stage.crop}",
            action="Correct the option, or leave it out: the stage has its own value.",
        )
    return stage


def starting_network(init: str | None, stage: TrainingStage) -> MatAnyone:
    """Return the network to train: from weights, or with new random ones from the stage's seed. Raises SettingError."""
    if init is not None:
        return load_trainable(init)
    if stage.name in {each.name for each in (*MATANYONE_STAGES, *LITE_STAGES)}:
        raise SettingError(
            expected=f"weights to start {stage.name} from: its image trunk was trained before",
            came="none",
            action="Name a whole network's weights with --init (examples/mini/start.py makes those of lite-1), "
            "or begin with --stage mini-1.",
        )
    torch.manual_seed(stage.seed)
    return MatAnyone(MINI)


class _Report:
    """Prints a line now and then: iteration, error, seconds a step, remaining time."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._recent: deque[TrainingStep] = deque(maxlen=_RECENT)
        self._spoken = time.monotonic()
        self.done = 0

    def show(self, step: TrainingStep) -> None:
        """Show that one more iteration is done."""
        self._recent.append(step)
        self.done = step.iteration + 1
        last = step.iteration + 1 == step.iterations
        if self._quiet or not (last or time.monotonic() - self._spoken >= _HEARTBEAT):
            return
        self._spoken = time.monotonic()
        seconds = sum(each.seconds for each in self._recent) / len(self._recent)
        error = sum(each.values["alpha_l1"] for each in self._recent) / len(self._recent)
        left = (step.iterations - step.iteration - 1) * seconds / 60
        done = f"step {step.iteration + 1}/{step.iterations}"
        self._console.print(f"{done}  alpha error {error:.4f}  {seconds:.2f} s a step  {left:.0f} min left")

    def conclude(self, folder: Path) -> None:
        """Say where the weights are."""
        if not self._quiet:
            self._console.print(f"done    {folder / WEIGHTS}")
