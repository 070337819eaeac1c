# SPDX-License-Identifier: Apache-2.0
"""Makes a tiny network of random weights, and moving plates, for tests that need a real network but no good alphas."""

from __future__ import annotations

import torch
from torch import Tensor

from matanyone_engine.model import Dims, MatAnyone, for_inference

TOY = Dims(
    trunk="resnet18",
    trunk_width=4,
    feature_dims=(16, 8, 4, 4, 3),
    pixel_dim=16,
    key_dim=8,
    value_dim=16,
    sensory_dim=16,
    embed_dim=16,
    mask_trunk="resnet18",
    mask_trunk_width=4,
    mask_final_dim=16,
    transformer_blocks=2,
    transformer_heads=2,
    transformer_ff_dim=32,
    num_queries=4,
    decoder_dims=(16, 8, 8, 4, 4),
)


def toy_network(seed: int = 4) -> MatAnyone:
    """Return a network with the same weights every time; alphas spread over 0..1 instead of sticking to an end."""
    generator = torch.Generator().manual_seed(seed)
    network = MatAnyone(TOY).requires_grad_(requires_grad=False)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.copy_(0.7 + 0.6 * torch.rand(tensor.shape, generator=generator))
        elif tensor.is_floating_point() and not name.endswith("inv_freq"):
            fan_in = max(1, tensor[0].numel()) if tensor.dim() > 1 else 25
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan_in**0.5)
    network.mask_decoder.pred_mat.bias.fill_(0.4)
    return for_inference(network)


def plates(frames: int, height: int = 48, width: int = 64, seed: int = 1) -> list[Tensor]:
    """Return plates (3, H, W) 0..1: smooth noise that drifts to the right."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 8 + 2, (width + 4 * frames) // 8 + 2), generator=generator)
    wide = torch.nn.functional.interpolate(coarse, size=(height, width + 4 * frames), mode="bicubic").clamp(0, 1)[0]
    return [wide[:, :, 4 * t : 4 * t + width].contiguous() for t in range(frames)]


def disc(height: int = 48, width: int = 64, radius: float = 14) -> Tensor:
    """Return (H, W) 0..1: a soft-edged disc."""
    y = torch.arange(height)[:, None] - height / 2
    x = torch.arange(width)[None] - width / 2
    return (radius + 0.5 - (x.square() + y.square()).sqrt()).clamp(0, 1)
