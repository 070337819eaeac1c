# SPDX-License-Identifier: Apache-2.0
"""Holds layers that several parts of the network share.

Axes: B batch, C channels, H W full size, h w stride 16, P = h * w tokens, the pixels of a stride-16 map in row order.
Attribute names are the checkpoint's key names: if one is renamed, published files no longer load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def area_resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, H, W) to (B, C, *size) by area averaging."""
    return F.adaptive_avg_pool2d(x, (size[0], size[1]))


def tokens(x: Tensor) -> Tensor:
    """Turn a map (B, C, h, w) into tokens (B, P, C), row by row: one token per stride-16 pixel."""
    return x.flatten(2).transpose(1, 2)


def token_map(x: Tensor, size: Sequence[int]) -> Tensor:
    """Turn tokens (B, P, C) back into a map (B, C, h, w)."""
    return x.transpose(1, 2).unflatten(2, list(size))


class Conv2d(nn.Conv2d):
    """Convolves in the precision of its weights: the input is cast to it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if torch.is_autocast_enabled(x.device.type) else x.to(self.weight.dtype))


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution with bias that keeps the size."""
    return Conv2d(inputs, outputs, kernel_size=3, padding=1)


def conv1(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 1x1 convolution with bias."""
    return Conv2d(inputs, outputs, kernel_size=1)


class OneChannelConv3(Conv2d):
    """Convolves by 3x3 to a single channel, with bias, and keeps the size.

    On a CPU, inference computes one matrix product, which gives nine maps, one for each tap of the kernel, and adds
    the nine maps, each shifted by its tap's offset. torch's own kernel always computes a whole block of output
    channels, and takes three times as long.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 1, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 1, H, W)."""
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(x)
        size = x.shape[:1] + x.shape[2:]
        pixels = x.to(self.weight.dtype).permute(0, 2, 3, 1).flatten(0, 2)
        taps = (self.weight[0].flatten(1).t().contiguous() @ pixels.t()).unflatten(1, size)
        return self._shifted_sum(taps).unsqueeze(1)

    def _shifted_sum(self, taps: Tensor) -> Tensor:
        """Add the maps of the taps, (9, B, H, W), each shifted by its tap's offset, and the bias: (B, H, W)."""
        assert self.bias is not None
        height, width = taps.shape[2:]
        total = self.bias.expand(taps.shape[1:]).clone()
        for number, tap in enumerate(taps):
            down, right = number // 3 - 1, number % 3 - 1
            target = (..., _kept_by_shift(height, -down), _kept_by_shift(width, -right))
            total[target] += tap[..., _kept_by_shift(height, down), _kept_by_shift(width, right)]
        return total


def _kept_by_shift(length: int, shift: int) -> slice:
    """Return the part of a row of `length` pixels that stays inside of the row when it is moved by -shift."""
    return slice(max(0, shift), length + min(0, shift))


def attention_taps(channels: int) -> int:
    """Return the kernel size of the channel attention's convolution: odd, and growing with log2 of the width."""
    taps = int((math.log2(channels) + 1) / 2)
    return taps if taps % 2 else taps + 1


class ChannelAttentionBlock(nn.Module):
    """Computes a residual block with channel attention: each channel of the branch is scaled by a factor 0..1 that is
    computed from the channels' means.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = conv3(dim, dim)
        self.conv2 = conv3(dim, dim)
        taps = attention_taps(dim)
        self.conv = nn.Conv1d(1, 1, kernel_size=taps, padding=taps // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        y = self.conv2(self.conv1(F.relu(x)).relu_())
        attention = torch.sigmoid(self.conv(y.mean(dim=(2, 3)).to(self.conv.weight.dtype).unsqueeze(1)))
        return torch.addcmul(x, attention.squeeze(1)[..., None, None], y)


class Distributor(nn.Module):
    """Brings two maps to the same number of channels and adds them."""

    def __init__(self, x_dim: int, g_dim: int, out_dim: int) -> None:
        super().__init__()
        self.x_transform = conv1(x_dim, out_dim)
        self.g_transform = conv1(g_dim, out_dim)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Map (B, x_dim, h, w) and (B, g_dim, h, w) to (B, out_dim, h, w)."""
        return self.g_transform(g).add_(self.x_transform(x))


class FusionBlock(nn.Module):
    """Combines a map of image features and a map of object features."""

    def __init__(self, x_dim: int, g_dim: int, out_dim: int) -> None:
        super().__init__()
        self.distributor = Distributor(x_dim, g_dim, out_dim)
        self.block1 = ChannelAttentionBlock(out_dim)
        self.block2 = ChannelAttentionBlock(out_dim)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Map (B, x_dim, h, w) and (B, g_dim, h, w) to (B, out_dim, h, w)."""
        return self.block2(self.block1(self.distributor(x, g)))


def gated_update(gates: Tensor, sensory: Tensor) -> Tensor:
    """Update the sensory map by its gates, as a gated recurrent unit does. Returns (B, S, h, w).

    gates (B, 3 S, h, w): forget gate, update gate and new value, before their activations; sensory (B, S, h, w).
    """
    forget, update, new = gates.to(sensory.dtype).chunk(3, dim=1)
    update = torch.sigmoid(update)
    return torch.sigmoid(forget) * sensory * (1 - update) + update * torch.tanh(new)


class PositionCode(nn.Module):
    """Computes sine and cosine position codes of a grid. Positions are scaled to 0..`scale`, whatever the grid's
    size.
    """

    inv_freq: Tensor

    def __init__(self, dim: int, scale: float, temperature: float) -> None:
        super().__init__()
        self.scale = scale
        half = dim // 2
        exponents = torch.arange(0, half, 2, dtype=torch.float32) / half
        # It is persistent because published files contain it; computed anew, its last bit differs between machines.
        self.register_buffer("inv_freq", 1.0 / (temperature**exponents))

    def forward(self, size: Sequence[int]) -> Tensor:
        """Return the codes (1, P, dim) of a grid (h, w): of x in the first half of the channels, of y in the second."""
        h, w = size
        y = self._wave(h)[:, None].expand(h, w, -1)
        x = self._wave(w)[None].expand(h, w, -1)
        return torch.cat([x, y], dim=-1).flatten(0, 1).unsqueeze(0)

    def _wave(self, length: int) -> Tensor:
        """Return the codes of one axis, (length, dim / 2), in which sine and cosine alternate."""
        position = torch.arange(length, dtype=self.inv_freq.dtype, device=self.inv_freq.device)
        angle = (position / (length - 1 + 1e-6) * self.scale)[:, None] * self.inv_freq
        return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
