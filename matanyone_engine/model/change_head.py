# SPDX-License-Identifier: Apache-2.0
"""Estimates where the object changed since the last frame. The paper calls this the uncertainty of a region."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import area_resize
from matanyone_engine.model.dims import Dims


class ChangeHead(nn.Module):
    """Estimates for each token whether the object changed there: where it did, the value read from memory is used, and
    elsewhere the value of the last frame.
    """

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        inputs = 2 * dims.pixel_dim + 1 + dims.value_dim
        self.conv1x1_v2 = nn.Conv2d(inputs, 64, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv3x3 = nn.Conv2d(64, 32, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.conv3x3_out = nn.Conv2d(32, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, last_pix: Tensor, pix: Tensor, last_alpha: Tensor, difference: Tensor) -> Tensor:
        """Return the log-odds (B, 1, h, w) that the object changed.

        last_pix, pix (B, pixel_dim, h, w): features of both frames; last_alpha (B, 1, H, W) 0..1; difference
        (B, V, h, w): the value read from memory minus the last frame's.
        """
        alpha16 = area_resize(last_alpha, pix.shape[-2:])
        x = torch.cat([last_pix, pix, alpha16, difference], dim=1)
        x = F.relu(self.bn1(self.conv1x1_v2(x)))
        x = F.relu(self.bn2(self.conv3x3(x)))
        return self.conv3x3_out(x)
