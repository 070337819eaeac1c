# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine train --stage NAME --data ROOT --out FOLDER [--init WEIGHTS]

Runs one stage of the recipe (training/recipe.py) and shows how it goes. On several GPUs, one process each:
torchrun --nproc-per-node 8 -m matanyone_engine.cli.main train ...
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

from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.errors import Interrupted, SettingError
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.dims import MINI
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_trainable
from matanyone_engine.training.loop import WEIGHTS, RunOptions, Share, Step, share_of_processes, train
from matanyone_engine.training.recipe import MATANYONE_STAGES, STAGES, Stage

_HEARTBEAT = 15.0
"""Seconds between lines of progress."""
_RECENT = 50
"""Iterations whose mean is shown."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'train' to the program's parser."""
    parser = subparsers.add_parser(
        "train", help="train a network", description="Run one stage of the recipe; docs/training.md shows how."
    )
    parser.add_argument("--stage", choices=sorted(STAGES), required=True, help="its settings: training/recipe.py")
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="folder of the training data")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="checkpoints and logs; resumed if there"
    )
    parser.add_argument("--init", metavar="NAME|PATH", help="weights to start from (default: none)")
    parser.add_argument("--iterations", type=int, metavar="N", help="another length than the stage's own")
    parser.add_argument("--rate", type=float, metavar="RATE", help="another learning rate than the stage's own")
    parser.add_argument("--batch", type=int, metavar="CLIPS", help="another batch than the stage's own")
    parser.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="another crop, multiples of 16")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of this process (default: torch's choice)"
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare clips (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check, train, report."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    stage = chosen_stage(args)
    check_writable(args.out)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    share = share_of_processes()
    options = RunOptions(args.out, own_device(args.device, share), args.workers)
    network = starting_network(args.init, stage)
    report = _Report(console, quiet=share.rank > 0)
    with (
        graceful_stop(console, "this step") as stop,
        closing(train(network, stage, args.data, options, stop.asked)) as steps,
    ):
        for step in steps:
            report.show(step)
    if 0 < report.done < stage.iterations:
        raise Interrupted(
            expected=f"{stage.iterations} iterations of {stage.name}",
            came=f"a stop by the user after {report.done}",
            action="They are kept. The same command goes on exactly from there.",
        )
    report.conclude(args.out)


def own_device(asked: str, share: Share) -> torch.device:
    """The device of this process: under torchrun 'auto' and 'cuda' give each process a GPU of its own."""
    device = choose_device(asked)
    if share.processes > 1 and device.type == "cuda" and device.index is None:
        return choose_device(f"cuda:{share.local}")
    return device


def chosen_stage(args: argparse.Namespace) -> Stage:
    """The stage, with what the command line changes."""
    stage = STAGES[args.stage]
    if (args.threads is not None and args.threads < 1) or args.workers < 0:
        raise SettingError(
            expected="at least one thread, and no fewer than no workers",
            came=f"--threads {args.threads} --workers {args.workers}",
            action="Leave them out: both have values of their own.",
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
            expected="at least one iteration and clip, a rate between 0 and 1, a crop in multiples of 16 from 64 on",
            came=f"iterations {stage.iterations}, batch {stage.batch}, rate {stage.rate}, crop {stage.crop}",
            action="Correct the option, or leave it out: the stage has a value of its own.",
        )
    return stage


def starting_network(init: str | None, stage: Stage) -> MatAnyone:
    """The network to train: from weights with their dims, or new ones drawn from the stage's seed."""
    if init is not None:
        return load_trainable(init)
    if stage.name in {published.name for published in MATANYONE_STAGES}:
        raise SettingError(
            expected=f"weights to start {stage.name} from: it freezes batch norm and hardly moves the image trunk",
            came="none",
            action="Name a whole network's weights with --init, or begin with --stage mini-1.",
        )
    torch.manual_seed(stage.seed)
    return MatAnyone(MINI)


class _Report:
    """A line now and then: iteration, error, seconds a step, ETA."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._recent: deque[Step] = deque(maxlen=_RECENT)
        self._spoken = time.monotonic()
        self.done = 0

    def show(self, step: Step) -> None:
        """One more iteration is done."""
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
        self._console.print(f"{done}  alpha error {error:.4f}  {seconds:.2f} s a step  ETA {left:.0f} min")

    def conclude(self, folder: Path) -> None:
        """Where the weights are."""
        if not self._quiet:
            self._console.print(f"done    {folder / WEIGHTS}")
