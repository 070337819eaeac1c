# SPDX-License-Identifier: Apache-2.0
"""Encodes plates into features and keys, and alphas into values.

Axes: B batch, H W padded frame, h w stride 16, K key, V value, S sensory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from matanyone_engine.model.backbone import stem, stem_pool, trunk_stages
from matanyone_engine.model.blocks import FusionBlock, conv1, conv3, gated_update
from matanyone_engine.model.dims import Dims


class ImageFeatures(NamedTuple):
    """Holds what the network computes from one frame of the plate; all objects share it."""

    skip8: Tensor
    """The decoder's skips at strides 8, 4 and 2."""
    skip4: Tensor
    skip2: Tensor
    image: Tensor
    """(B, 3, H, W): the plate, normalised."""
    pix: Tensor
    """(B, pixel_dim, h, w): features of the pixels."""
    key: Tensor
    """(B, K, h, w): what tokens are compared by when memory is searched."""
    shrinkage: Tensor
    """(B, 1, h, w), at least 1: how sharply a stored token is matched."""
    selection: Tensor
    """(B, K, h, w), 0..1: how much each channel of the key counts when this frame searches memory."""


class PixelEncoder(nn.Module):
    """Encodes a plate into feature maps at four strides."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.conv1, self.bn1 = stem(3, dims.trunk_width)
        self.res2, self.layer2, self.layer3 = trunk_stages(dims.trunk, dims.trunk_width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map a normalised plate (B, 3, H, W) to features at strides 16, 8, 4, 2."""
        f2 = self.bn1(self.conv1(image)).relu_()
        f4 = self.res2(stem_pool(f2))
        f8 = self.layer2(f4)
        return self.layer3(f8), f8, f4, f2


class KeyProjection(nn.Module):
    """Makes the keys by which memory is searched, and how they are weighed."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.pix_feat_proj = conv1(dims.feature_dims[0], dims.pixel_dim)
        self.key_proj = conv3(dims.pixel_dim, dims.key_dim)
        self.d_proj = conv3(dims.pixel_dim, 1)
        self.e_proj = conv3(dims.pixel_dim, dims.key_dim)

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (B, C, h, w) to key (B, K, h, w), shrinkage (B, 1, h, w) and selection (B, K, h, w)."""
        y = self.pix_feat_proj(f16)
        return self.key_proj(y), self.d_proj(y) ** 2 + 1, torch.sigmoid(self.e_proj(y))


class DeepSensoryUpdate(nn.Module):
    """Updates the sensory map from a value that goes into memory."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.transform = conv3(dims.value_dim + dims.sensory_dim, 3 * dims.sensory_dim)

    def forward(self, value: Tensor, sensory: Tensor) -> Tensor:
        """Map (B, V, h, w) and (B, S, h, w) to (B, S, h, w)."""
        return gated_update(self.transform(torch.cat([value, sensory], dim=1)), sensory)


class MaskEncoder(nn.Module):
    """Encodes plate and alpha of one frame into the value that memory stores."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.conv1, self.bn1 = stem(4, dims.mask_trunk_width)
        self.layer1, self.layer2, self.layer3 = trunk_stages(dims.mask_trunk, dims.mask_trunk_width)
        self.fuser = FusionBlock(dims.pixel_dim, dims.mask_final_dim, dims.value_dim)
        self.sensory_update = DeepSensoryUpdate(dims)

    def forward(self, features: ImageFeatures, alpha: Tensor) -> Tensor:
        """Map the image features of a frame and its alpha (B, 1, H, W) 0..1 to a value (B, V, h, w)."""
        x = self.bn1(self.conv1(torch.cat([features.image, alpha], dim=1)))
        x = stem_pool(x).relu_()
        return self.fuser(features.pix, self.layer3(self.layer2(self.layer1(x))))
