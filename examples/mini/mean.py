#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the mean of several weights files of one network, trained from one start.

    python examples/mini/mean.py lite-3.safetensors lite-4.safetensors --out core.safetensors

Runs that began with the same weights and stayed near to each other have a mean that is better than each of them: the
bundled model is such a mean (docs/training.md, runs 14 and 19).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matanyone_engine.model import MatAnyone, read_checkpoint, save_checkpoint


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the mean of several weights files.")
    parser.add_argument("weights", type=Path, nargs="+", help="weights files (.safetensors) of the same dims")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    args = parser.parse_args()
    save_checkpoint(mean(args.weights), args.out, {"stage": "mean"})
    print(f"{args.out}: the mean of {len(args.weights)} files")


def mean(files: list[Path]) -> MatAnyone:
    """Return a network with the mean of all weights. Files of other dims than the first one's end the program."""
    checkpoints = [read_checkpoint(file) for file in files]
    if len({checkpoint.dims for checkpoint in checkpoints}) != 1:
        raise SystemExit("expected weights files of the same dims, got different ones")
    network = MatAnyone(checkpoints[0].dims)
    states = [checkpoint.state for checkpoint in checkpoints]
    network.load_state_dict(
        {
            name: sum(state[name].float() for state in states) / len(states) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    return network


if __name__ == "__main__":
    main()
