# SPDX-License-Identifier: Apache-2.0
"""Fuses the value that was read from memory for a frame with the features of that frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from matanyone_engine.model.blocks import FusionBlock, area_resize, conv1
from matanyone_engine.model.dims import Dims


class PixelFuser(nn.Module):
    """Makes the pixel read-out of a frame from its features, the value read from memory, the sensory map and the last
    alpha.
    """

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.fuser = FusionBlock(dims.pixel_dim, dims.value_dim, dims.embed_dim)
        self.sensory_compress = conv1(dims.sensory_dim + 1, dims.value_dim)

    def forward(self, pix: Tensor, value: Tensor, sensory: Tensor, last_alpha: Tensor) -> Tensor:
        """Map (B, pixel_dim, h, w), (B, V, h, w), (B, S, h, w) and (B, 1, H, W) to (B, embed_dim, h, w)."""
        alpha16 = area_resize(last_alpha, pix.shape[-2:])
        return self.fuser(pix, value + self.sensory_compress(torch.cat([sensory, alpha16], dim=1)))
