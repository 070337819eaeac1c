#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make training patches for the refiner of a Lite network, and train it behind a finished core.

    python examples/mini/refiner.py patches --weights core.safetensors --data /data/mini --out /data/patches --clips 500
    python examples/mini/refiner.py train --patches /data/patches --weights core.safetensors --out whole.safetensors

The second command writes the core's weights and the refiner's into one file. Both take one CPU core: about a second a
clip, and about a tenth of a second an iteration.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from matanyone_engine.model import MatAnyone, read_checkpoint, save_checkpoint
from matanyone_engine.model.dims import LITE
from matanyone_engine.model.refiner import Refiner
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.data import MattingSamples
from matanyone_engine.training.recipe import MattingData
from matanyone_engine.training.refiner_pairs import patches_of_clip
from matanyone_engine.training.refiner_training import train_refiner, write_patches

SEED = 31415926


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description="Train the refiner of a Lite network.")
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser("patches", help="matte composed clips and keep patches of their edges")
    make.add_argument("--weights", required=True, help="the core: a model's name or a weights file")
    make.add_argument("--data", type=Path, required=True, help="training data, as for matanyone-engine train")
    make.add_argument("--out", type=Path, required=True, help="folder for the patches; clips that are there stay")
    make.add_argument("--clips", type=int, default=500)
    make.set_defaults(run=make_patches)
    train = commands.add_parser("train", help="train on the patches and write core and refiner into one file")
    train.add_argument("--patches", type=Path, required=True)
    train.add_argument("--weights", type=Path, required=True, help="the core's weights file (.safetensors)")
    train.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    train.add_argument("--iterations", type=int, default=12_000)
    train.add_argument("--start", type=Path, help="weights file whose refiner the training goes on from")
    train.set_defaults(run=train_on)
    args = parser.parse_args()
    args.run(args)


def make_patches(args: argparse.Namespace) -> None:
    """Write one file of patches a clip."""
    args.out.mkdir(parents=True, exist_ok=True)
    network, samples = load_network(args.weights, "cpu"), MattingSamples(args.data, MattingData.VIDEO)
    for number in track(range(args.clips), "patches"):
        path = args.out / f"{number:06d}.npz"
        if not path.exists():
            write_patches(path, patches_of_clip(network, samples, np.random.default_rng([SEED, number])))


def train_on(args: argparse.Namespace) -> None:
    """Train, and write the whole network."""
    trained = Refiner(LITE.refiner_width)
    start = load_network(args.start, "cpu").refiner if args.start else None
    steps = train_refiner(args.patches, LITE.refiner_width, args.iterations, start=start)
    for step, trained in track(steps, "training", args.iterations):  # noqa: B007  # the last one is kept
        if (step.iteration + 1) % 500 == 0:
            print(f"iteration {step.iteration + 1}  alpha error {step.error:.4f}")
    save_checkpoint(joined(args.weights, trained), args.out, {"stage": "refiner"})


def joined(core: Path, refiner: Refiner) -> MatAnyone:
    """Return the network of a core's weights file with this refiner behind it."""
    checkpoint = read_checkpoint(core)
    network = MatAnyone(replace(checkpoint.dims, refiner_width=refiner.enter.out_channels))
    own = {f"refiner.{name}": tensor for name, tensor in refiner.state_dict().items()}
    kept = {name: tensor for name, tensor in checkpoint.state.items() if not name.startswith("refiner.")}
    network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in {**kept, **own}.items()})
    return network


if __name__ == "__main__":
    main()
