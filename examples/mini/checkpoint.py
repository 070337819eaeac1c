#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Take weights out of the checkpoint of a training run that was stopped before its end.

    python examples/mini/checkpoint.py /runs/2 --out stopped.safetensors
    python examples/mini/checkpoint.py /runs/2 --out stopped.safetensors --average

The next stage starts from a run's last weights; what is judged and shipped is their average.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from matanyone_engine.model import Dims, MatAnyone, save_checkpoint
from matanyone_engine.training.loop import CHECKPOINT


def main() -> None:
    """Write the weights, and say which iteration they are of."""
    parser = argparse.ArgumentParser(description="Take weights out of a training run's checkpoint.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--average", action="store_true", help="the average of the weights, not the last ones")
    args = parser.parse_args()
    saved = torch.load(args.run / CHECKPOINT, map_location="cpu", weights_only=True)
    network = MatAnyone(Dims.from_json(saved["dims"]))
    network.load_state_dict(averaged(saved["average"]) if args.average else saved["network"])
    stage, iteration = saved["stage"]["name"], saved["iteration"]
    save_checkpoint(network, args.out, {"stage": stage, "iteration": str(iteration)})
    print(f"{args.out}: {stage} after {iteration} iterations")


def averaged(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of torch's AveragedModel under the network's own names, without its counter."""
    prefix = "module."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


if __name__ == "__main__":
    main()
