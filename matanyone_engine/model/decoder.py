# SPDX-License-Identifier: Apache-2.0
"""From the read-out at stride 16 to an alpha at full size (spec sections 2.4, 2.10)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import area_resize, conv1, conv3, gated_update
from matanyone_engine.model.dims import Dims
from matanyone_engine.model.encoders import ImageFeatures


class DecoderMaps(NamedTuple):
    """The decoder's maps at strides 16, 8, 4, 2, 1 and its answers, all before any clamp."""

    p16: Tensor
    p8: Tensor
    p4: Tensor
    p2: Tensor
    p1: Tensor
    raw_alpha: Tensor
    """(B, 1, H, W); clamped to 0..1 it is the alpha."""


class ResidualUp(nn.Module):
    """Two 3x3 convolutions and a shortcut that may change the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample = conv1(inputs, outputs) if inputs != outputs else nn.Identity()
        self.conv1 = conv3(inputs, outputs)
        self.conv2 = conv3(outputs, outputs)

    def forward(self, g: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(F.relu(g)))) + self.downsample(g)


class UpsampleBlock(nn.Module):
    """Doubles the size, adds the skip, refines."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.out_conv = ResidualUp(inputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, inputs, h, w), (B, inputs, 2 h, 2 w) -> (B, outputs, 2 h, 2 w)."""
        up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out_conv(up + skip)


class SkipProjection(nn.Module):
    """Brings image features to the decoder's widths."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(
            conv1(feature, width) for feature, width in zip(dims.feature_dims[1:], dims.decoder_dims[:-1], strict=True)
        )

    def forward(self, features: ImageFeatures) -> list[Tensor]:
        """Skips at strides 8, 4, 2, 1."""
        maps = (features.f8, features.f4, features.f2, features.image)
        return [transform(x) for transform, x in zip(self.transforms, maps, strict=True)]


class DecoderSensoryUpdate(nn.Module):
    """The sensory map learns from what the decoder saw at every stride."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        d16, d8, d4, d2, d1 = dims.decoder_dims
        self.g16_conv = conv1(d16, dims.sensory_dim)
        self.g8_conv = conv1(d8, dims.sensory_dim)
        self.g4_conv = conv1(d4, dims.sensory_dim)
        self.g2_conv = conv1(d2, dims.sensory_dim)
        self.g1_conv = conv1(d1 + 1, dims.sensory_dim)
        self.transform = conv3(2 * dims.sensory_dim, 3 * dims.sensory_dim)

    def forward(self, maps: DecoderMaps, sensory: Tensor) -> Tensor:
        """Maps of one frame and (B, S, h, w) -> (B, S, h, w)."""
        size = sensory.shape[-2:]
        p1 = torch.cat([maps.p1, maps.raw_alpha], dim=1)
        g = (
            self.g16_conv(maps.p16)
            + self.g8_conv(area_resize(maps.p8, size))
            + self.g4_conv(area_resize(maps.p4, size))
            + self.g2_conv(area_resize(maps.p2, size))
            + self.g1_conv(area_resize(p1, size))
        )
        return gated_update(self.transform(torch.cat([g, sensory], dim=1)), sensory)


class MaskDecoder(nn.Module):
    """Read-out and image features -> alpha. The segmentation head serves training only."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        d16, d8, d4, d2, d1 = dims.decoder_dims
        self.sensory_update = DecoderSensoryUpdate(dims)
        self.decoder_feat_proc = SkipProjection(dims)
        self.up_16_8 = UpsampleBlock(d16, d8)
        self.up_8_4 = UpsampleBlock(d8, d4)
        self.up_4_2 = UpsampleBlock(d4, d2)
        self.up_2_1 = UpsampleBlock(d2, d1)
        self.pred_seg = conv3(d1, 1)
        self.pred_mat = conv3(d1, 1)

    def forward(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Image features and (B, D, h, w) -> DecoderMaps."""
        skip8, skip4, skip2, skip1 = self.decoder_feat_proc(features)
        p8 = self.up_16_8(readout, skip8)
        p4 = self.up_8_4(p8, skip4)
        p2 = self.up_4_2(p4, skip2)
        p1 = self.up_2_1(p2, skip1)
        return DecoderMaps(readout, p8, p4, p2, p1, self.pred_mat(F.relu(p1)))

    def segmentation_logits(self, maps: DecoderMaps) -> Tensor:
        """(B, 1, H, W) log-odds of the training-only segmentation head."""
        return self.pred_seg(F.relu(maps.p1))
