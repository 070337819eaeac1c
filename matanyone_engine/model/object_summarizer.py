# SPDX-License-Identifier: Apache-2.0
"""Describes the object on one frame by a few vectors. memory/summary.py adds them up over frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from matanyone_engine.model.blocks import PositionCode, area_resize, tokens
from matanyone_engine.model.dims import Dims


def _pointwise(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class ObjectSummarizer(nn.Module):
    """Computes weighted sums of a frame's features, one for each object query."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        embed = dims.embed_dim
        self.num_queries = dims.num_queries
        self.pos_enc = PositionCode(embed, dims.position_scale, dims.position_temperature)
        self.input_proj = nn.Linear(dims.value_dim, embed)
        self.feature_pred = _pointwise(embed, embed, embed)
        self.weights_pred = _pointwise(embed, embed, dims.num_queries)

    def forward(self, value: Tensor, alpha: Tensor) -> Tensor:
        """Map (B, V, h, w) and (B, 1, H, W) 0..1 to (B, Q, embed_dim + 1); the last column is the sum of the weights.

        The first half of the queries sums inside the object, the second half outside.
        """
        size = value.shape[-2:]
        x = self.input_proj(tokens(value)) + self.pos_enc(size)
        inside = tokens(area_resize(alpha, size))
        half = self.num_queries // 2
        gate = torch.cat([inside.expand(-1, -1, half), (1 - inside).expand(-1, -1, half)], dim=-1)
        weight = torch.sigmoid(self.weights_pred(x)) * gate
        sums = weight.transpose(1, 2) @ self.feature_pred(x)
        return torch.cat([sums, weight.sum(dim=1).unsqueeze(-1)], dim=-1)
