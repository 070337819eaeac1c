# SPDX-License-Identifier: Apache-2.0
"""Decodes up to stride 2: four pixels of alpha come from each pixel of the last map.

The published decoder spends the most time on convolutions at full size, which use the most memory. Here there are none:
the refiner adds the detail of edges.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import conv1, conv3
from matanyone_engine.model.decoder import DecoderMaps, DecoderSensoryUpdate, UpsampleBlock
from matanyone_engine.model.dims import Dims
from matanyone_engine.model.encoders import ImageFeatures

_FOLD = 2


class LiteSkipProjection(nn.Module):
    """Brings image features at strides 8, 4 and 2 to the decoder's numbers of channels."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(
            conv1(feature, width) for feature, width in zip(dims.feature_dims[1:4], dims.decoder_dims[:3], strict=True)
        )

    def forward(self, f8: Tensor, f4: Tensor, f2: Tensor) -> list[Tensor]:
        """Map image features at strides 8, 4, 2 to the decoder's skips there."""
        return [transform(x) for transform, x in zip(self.transforms, (f8, f4, f2), strict=True)]


class LiteDecoder(nn.Module):
    """Decodes read-out and image features into a raw alpha. The segmentation head is used in training only."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        d16, d8, d4, d2, _ = dims.decoder_dims
        self.sensory_update = DecoderSensoryUpdate(dims, finest=0)
        self.decoder_feat_proc = LiteSkipProjection(dims)
        self.up_16_8 = UpsampleBlock(d16, d8)
        self.up_8_4 = UpsampleBlock(d8, d4)
        self.up_4_2 = UpsampleBlock(d4, d2)
        self.pred_seg = conv3(d2, _FOLD**2)
        self.pred_mat = conv3(d2, _FOLD**2)

    def forward(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Map image features and (B, D, h, w) to DecoderMaps without a map at stride 1."""
        p8 = self.up_16_8(readout, features.skip8)
        p4 = self.up_8_4(p8, features.skip4)
        p2 = self.up_4_2(p4, features.skip2)
        return DecoderMaps(readout, p8, p4, p2, None, _unfolded(self.pred_mat, p2))

    def in_strips(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Compute forward(): at the limited working size of a Lite network, every map is small enough to be whole."""
        return self(features, readout)

    def segmentation_logits(self, maps: DecoderMaps) -> Tensor:
        """Return the log-odds (B, 1, H, W) of the segmentation head, which is used in training only."""
        return _unfolded(self.pred_seg, maps.p2)


def _unfolded(head: nn.Module, p2: Tensor) -> Tensor:
    """Apply a head to the map (B, d2, H / 2, W / 2), and turn its four channels into pixels: (B, 1, H, W)."""
    return F.pixel_shuffle(head(F.relu(p2)), _FOLD)
