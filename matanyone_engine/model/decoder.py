# SPDX-License-Identifier: Apache-2.0
"""Decodes the read-out at stride 16 into an alpha at full size."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import OneChannelConv3, area_resize, conv1, conv3, gated_update
from matanyone_engine.model.dims import STRIDE, Dims
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.upsampling import doubled, doubled_rows

STRIP_BYTES = 64 << 20
"""Bytes of one full-size strip of the decoder's widest map: large enough for fast convolutions."""

_REACH = 2
"""Rows above and below an output row of two 3x3 convolutions that it depends on."""


class DecoderMaps(NamedTuple):
    """Holds the decoder's maps at strides 16, 8, 4, 2, 1 and its raw alpha, all before any clamp."""

    p16: Tensor
    p8: Tensor
    p4: Tensor
    p2: Tensor
    p1: Tensor | None
    """At stride 1; averaged to stride 16 where the decoder ran in strips. None where the decoder ends at stride 2."""
    raw_alpha: Tensor
    """(B, 1, H, W); clamped to 0..1 it is the alpha."""


AddSkip = Callable[[Tensor, int, int], Tensor]
"""Called with rows (B, C, rows, W) float32 of an enlarged map, the number of the first row and that after the last.
Returns the rows with the skip added, and may write into them."""


class ResidualUp(nn.Module):
    """Computes two 3x3 convolutions and a shortcut that may change the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample = conv1(inputs, outputs) if inputs != outputs else nn.Identity()
        self.conv1 = conv3(inputs, outputs)
        self.conv2 = conv3(outputs, outputs)

    def forward(self, g: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        g = g.to(self.conv1.weight.dtype)
        return self.refined(g, F.relu(g))

    def refined(self, g: Tensor, activated: Tensor) -> Tensor:
        """Compute forward() from g and `activated`, which is relu(g)."""
        return self.conv2(self.conv1(activated).relu_()).add_(self.downsample(g))


class UpsampleBlock(nn.Module):
    """Doubles the size of a map, adds the skip, and applies a residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.out_conv = ResidualUp(inputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, inputs, h, w) and its skip (B, inputs, 2 h, 2 w) to (B, outputs, 2 h, 2 w)."""
        return self.out_conv(doubled(x) + skip)

    def rows(self, x: Tensor, add_skip: AddSkip, first: int, last: int) -> Tensor:
        """Return rows `first` to `last` (exclusive) of forward(), computed from the rows that they depend on alone."""
        top, bottom = max(0, first - _REACH), min(2 * x.shape[2], last + _REACH)
        return self.out_conv.refined(*self._inputs(x, add_skip, top, bottom))[:, :, first - top : last - top]

    def _inputs(self, x: Tensor, add_skip: AddSkip, top: int, bottom: int) -> tuple[Tensor, Tensor]:
        """Return rows `top` to `bottom` of the residual block's input, and their ReLU.

        A few rows go through all steps at a time, so that each step finds them in the cache.
        """
        size = (1, x.shape[1], bottom - top, 2 * x.shape[3])
        inputs = torch.empty(
            size, dtype=self.out_conv.conv1.weight.dtype, device=x.device, memory_format=torch.channels_last
        )
        activated = torch.empty_like(inputs)
        for first, rows in doubled_rows(x, top, bottom):
            last = first + rows.shape[2]
            here = (..., slice(first - top, last - top), slice(None))
            added = add_skip(rows, first, last)
            inputs[here] = added
            activated[here] = added.relu_()
        return inputs, activated

    def by_strips(self, x: Tensor, skip: Tensor, strip_bytes: int) -> Tensor:
        """Compute forward() strip by strip, so that intermediate maps are never whole in memory."""
        strips = _strips(x, strip_bytes)
        return torch.cat([self.rows(x, lambda up, a, b: up.add_(skip[:, :, a:b]), *strip) for strip in strips], dim=2)


def _strips(x: Tensor, strip_bytes: int) -> list[tuple[int, int]]:
    """Return the first row of each strip of doubled(x), and the row after its last.

    A strip has whole tokens, 16 rows at least, and no more than strip_bytes of float32 where that is possible.
    """
    _, channels, height, width = x.shape
    height, row_bytes = 2 * height, 4 * 2 * width * channels
    rows = max(1, strip_bytes // (row_bytes * STRIDE)) * STRIDE
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


class SkipProjection(nn.Module):
    """Brings image features to the decoder's widths."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(
            conv1(feature, width) for feature, width in zip(dims.feature_dims[1:], dims.decoder_dims[:-1], strict=True)
        )

    def forward(self, f8: Tensor, f4: Tensor, f2: Tensor) -> list[Tensor]:
        """Map trunk features at strides 8, 4, 2 to the skips there. full_size() makes the skip at stride 1."""
        return [transform(x) for transform, x in zip(self.transforms[:3], (f8, f4, f2), strict=True)]

    def full_size(self, image: Tensor) -> Tensor:
        """Map a normalised plate (B, 3, H, W) to the skip at stride 1."""
        return self.transforms[3](image)

    def add_full_size(self, x: Tensor, image: Tensor) -> Tensor:
        """Add full_size(image) to x (1, C, H, W) float32, in place where x lies channels-last."""
        transform = self.transforms[3]
        assert isinstance(transform, nn.Conv2d)
        assert transform.bias is not None
        assert len(x) == 1, "strips are made for one plate"
        rows, pixels = (each.permute(0, 2, 3, 1).flatten(0, 2) for each in (x, image))
        # The bias becomes the weight of a fourth channel that is always 1: this saves a pass over x.
        weight = torch.cat([transform.weight.flatten(1), transform.bias[:, None]], dim=1)
        rows.addmm_(F.pad(pixels, (0, 1), value=1.0), weight.t())
        return rows.view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)


class DecoderSensoryUpdate(nn.Module):
    """Updates the sensory map from what the decoder saw at every stride."""

    def __init__(self, dims: Dims, finest: int) -> None:
        """finest: channels of the decoder's map at stride 1, 0 where it has none."""
        super().__init__()
        d16, d8, d4, d2, _ = dims.decoder_dims
        self.g16_conv = conv1(d16, dims.sensory_dim)
        self.g8_conv = conv1(d8, dims.sensory_dim)
        self.g4_conv = conv1(d4, dims.sensory_dim)
        self.g2_conv = conv1(d2, dims.sensory_dim)
        self.g1_conv = conv1(finest + 1, dims.sensory_dim)
        self.transform = conv3(2 * dims.sensory_dim, 3 * dims.sensory_dim)

    def forward(self, maps: DecoderMaps, sensory: Tensor) -> Tensor:
        """Map the maps of one frame and (B, S, h, w) to (B, S, h, w)."""
        size = sensory.shape[-2:]
        p1 = area_resize(maps.raw_alpha, size)
        if maps.p1 is not None:
            p1 = torch.cat([area_resize(maps.p1, size), p1], dim=1)
        g = (
            self.g16_conv(maps.p16)
            + self.g8_conv(area_resize(maps.p8, size))
            + self.g4_conv(area_resize(maps.p4, size))
            + self.g2_conv(area_resize(maps.p2, size))
            + self.g1_conv(p1)
        )
        return gated_update(self.transform(torch.cat([g, sensory], dim=1)), sensory)


class MaskDecoder(nn.Module):
    """Decodes read-out and image features into a raw alpha. The segmentation head serves training only."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        d16, d8, d4, d2, d1 = dims.decoder_dims
        self.sensory_update = DecoderSensoryUpdate(dims, d1)
        self.decoder_feat_proc = SkipProjection(dims)
        self.up_16_8 = UpsampleBlock(d16, d8)
        self.up_8_4 = UpsampleBlock(d8, d4)
        self.up_4_2 = UpsampleBlock(d4, d2)
        self.up_2_1 = UpsampleBlock(d2, d1)
        self.pred_seg = conv3(d1, 1)
        self.pred_mat = OneChannelConv3(d1)

    def forward(self, features: ImageFeatures, readout: Tensor) -> DecoderMaps:
        """Map image features and (B, D, h, w) to DecoderMaps."""
        p8 = self.up_16_8(readout, features.skip8)
        p4 = self.up_8_4(p8, features.skip4)
        p2 = self.up_4_2(p4, features.skip2)
        p1 = self.up_2_1(p2, self.decoder_feat_proc.full_size(features.image))
        return DecoderMaps(readout, p8, p4, p2, p1, self.pred_mat(F.relu(p1)))

    def in_strips(self, features: ImageFeatures, readout: Tensor, strip_bytes: int = STRIP_BYTES) -> DecoderMaps:
        """Compute forward() strip by strip, so that full-size maps are never whole in memory; p1 is then averaged to
        stride 16.
        """
        p8 = self.up_16_8.by_strips(readout, features.skip8, strip_bytes)
        p4 = self.up_8_4.by_strips(p8, features.skip4, strip_bytes)
        p2 = self.up_4_2.by_strips(p4, features.skip2, strip_bytes)
        parts = [self._strip(features, p2, *strip) for strip in _strips(p2, strip_bytes)]
        pooled, raw = (torch.cat(maps, dim=2) for maps in zip(*parts, strict=True))
        return DecoderMaps(readout, p8, p4, p2, pooled, raw)

    def _strip(self, features: ImageFeatures, p2: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Decode rows `first` to `last` (exclusive). Returns p1, averaged to stride 16, and the raw alpha."""

        def add_skip(up: Tensor, top: int, bottom: int) -> Tensor:
            return self.decoder_feat_proc.add_full_size(up, features.image[:, :, top:bottom])

        top, bottom = max(0, first - 1), min(2 * p2.shape[2], last + 1)
        p1 = self.up_2_1.rows(p2, add_skip, top, bottom)
        inner = slice(first - top, last - top)
        pooled = F.avg_pool2d(p1[:, :, inner], STRIDE)
        return pooled, self.pred_mat(F.relu(p1))[:, :, inner]

    def segmentation_logits(self, maps: DecoderMaps) -> Tensor:
        """Return the log-odds (B, 1, H, W) of the segmentation head, which is used in training only."""
        assert maps.p1 is not None
        return self.pred_seg(F.relu(maps.p1))
