#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the mean of the weights of networks of one kind. Runs that began with the same weights may be averaged so.

    python examples/mini/mean.py first.safetensors second.safetensors --out mean.safetensors

Where the files differ in their refiners only, the core stays as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from matanyone_engine.model import MatAnyone, read_checkpoint, save_checkpoint


def main() -> None:
    """Read the files, and write their mean."""
    parser = argparse.ArgumentParser(description="Write the mean of weights files.")
    parser.add_argument("weights", type=Path, nargs="+", help="weights files (.safetensors) of the same dims")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    args = parser.parse_args()
    save_checkpoint(mean(args.weights), args.out, {"stage": "mean"})


def mean(files: list[Path]) -> MatAnyone:
    """Return a network with the mean of the files' weights. Raises SystemExit where their dims differ."""
    found = [read_checkpoint(file) for file in files]
    if any(each.dims != found[0].dims for each in found):
        raise SystemExit(f"The mean needs weights of one kind; the dims of {', '.join(map(str, files))} differ.")
    network = MatAnyone(found[0].dims)
    network.load_state_dict({name: _mean([each.state[name] for each in found]) for name in found[0].state})
    return network


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean of tensors in float32; of whole numbers, which only count, the first."""
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack([tensor.float() for tensor in tensors]).mean(dim=0)


if __name__ == "__main__":
    main()
