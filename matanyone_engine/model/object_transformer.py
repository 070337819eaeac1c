# SPDX-License-Identifier: Apache-2.0
"""Computes attention between object queries and pixels.

Axes: B batch, Q object queries, P pixels at stride 16 (row order), D embed_dim.
Some residual paths are unusual, and published weights need them as they are: each class says what its residual is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import ChannelAttentionBlock, PositionCode, conv1, token_map, tokens
from matanyone_engine.model.dims import Dims


class TransformerReadout(NamedTuple):
    """Holds the results of the object transformer."""

    readout: Tensor
    """(B, D, h, w)."""
    logits: list[Tensor]
    """(B, 1, h, w) each: before the first block and after each block. The last is used in training only."""


class Attention(nn.Module):
    """Computes multi-head scaled dot product attention with the parameter names of torch's own."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return (B, L, D) from query (B, L, D), key and value (B, M, D).

        allowed (B, L, M) bool: which keys each query attends to; None for all.
        """
        weights = self.in_proj_weight.chunk(3)
        biases = self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        mask = None if allowed is None else allowed.unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _projections(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights (heads, D / heads, D) and biases (heads, D / heads) of query, key and value."""
        return (
            [each.unflatten(0, (self.heads, -1)) for each in self.in_proj_weight.chunk(3)],
            [each.unflatten(0, (self.heads, -1)) for each in self.in_proj_bias.chunk(3)],
        )


class FewQueries(Attention):
    """Computes the same attention, to within rounding, with half the operations where queries are few and keys many.

    The many keys and values are not projected. Instead, each query is multiplied by the transposed projection of the
    keys, which gives the same scores, and the values are projected after their weighted sum.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return (B, L, D) from query (B, L, D), key and value (B, M, D), and allowed (B, L, M) bool or None."""
        (to_query, to_key, to_value), (query_bias, _, value_bias) = self._projections()
        # The bias of the keys adds the same number to all scores of a query, and a softmax ignores that.
        q = (query.unsqueeze(1) @ to_query.transpose(1, 2) + query_bias.unsqueeze(1)) @ to_key
        scores = (q.flatten(1, 2) @ key.transpose(1, 2)).unflatten(1, (self.heads, -1)) / math.sqrt(to_key.shape[1])
        if allowed is not None:
            scores = scores.masked_fill(~allowed.unsqueeze(1), float("-inf"))
        sums = (scores.softmax(dim=-1).flatten(1, 2) @ value).unflatten(1, (self.heads, -1))
        out = sums @ to_value.transpose(1, 2) + value_bias.unsqueeze(1)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class FewKeys(Attention):
    """Computes the same attention, to within rounding, with fewer operations where queries are many and keys few.

    The many queries are not projected, and neither is the output: both projections are applied to the few keys and
    values.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return (B, L, D) from query (B, L, D), key and value (B, M, D). Every query attends to every key."""
        assert allowed is None, "no mask is implemented"
        (to_query, to_key, to_value), (query_bias, key_bias, value_bias) = self._projections()
        k = key.unsqueeze(1) @ to_key.transpose(1, 2) + key_bias.unsqueeze(1)
        v = value.unsqueeze(1) @ to_value.transpose(1, 2) + value_bias.unsqueeze(1)
        # The queries' projection, applied to the keys; and what the queries' bias adds to all scores of a key.
        k_of_query, offset = (k @ to_query).flatten(1, 2), (k @ query_bias.unsqueeze(2)).flatten(1)
        scores = torch.baddbmm(offset.unsqueeze(1), query, k_of_query.transpose(1, 2)) / math.sqrt(to_key.shape[1])
        weights = scores.unflatten(-1, (self.heads, -1)).softmax(dim=-1).flatten(-2)
        v_out = v @ self.out_proj.weight.unflatten(1, (self.heads, -1)).permute(1, 2, 0)
        return torch.baddbmm(self.out_proj.bias, weights, v_out.flatten(1, 2))


class ReadFromPixel(nn.Module):
    """Computes attention from queries to pixels. The residual is the *normalised* query."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.cross_attn = FewQueries(dims.embed_dim, dims.transformer_heads)
        self.norm = nn.LayerNorm(dims.embed_dim)

    def forward(self, query: Tensor, query_pos: Tensor, pixel: Tensor, pixel_pos: Tensor, allowed: Tensor) -> Tensor:
        x = self.norm(query)
        return x + self.cross_attn(x + query_pos, pixel + pixel_pos, pixel, allowed)


class SelfAttention(nn.Module):
    """Computes attention among queries. The residual is the *normalised* query."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.self_attn = Attention(dims.embed_dim, dims.transformer_heads)
        self.norm = nn.LayerNorm(dims.embed_dim)

    def forward(self, query: Tensor, query_pos: Tensor) -> Tensor:
        x = self.norm(query)
        with_pos = x + query_pos
        return x + self.self_attn(with_pos, with_pos, x)


class FeedForward(nn.Module):
    """Applies two linear layers to each query. The residual is the query *before* it is normalised."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dims.embed_dim, dims.transformer_ff_dim)
        self.linear2 = nn.Linear(dims.transformer_ff_dim, dims.embed_dim)
        self.norm = nn.LayerNorm(dims.embed_dim)

    def forward(self, query: Tensor) -> Tensor:
        return query + self.linear2(F.relu(self.linear1(self.norm(query))))


class ReadFromQuery(nn.Module):
    """Computes attention from pixels to queries. Nothing is normalised."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.cross_attn = FewKeys(dims.embed_dim, dims.transformer_heads)

    def forward(self, pixel: Tensor, pixel_pos: Tensor, query: Tensor, query_pos: Tensor) -> Tensor:
        return pixel + self.cross_attn(pixel + pixel_pos, query + query_pos, query)


class PixelFeedForward(nn.Module):
    """Turns the pixels back into a map, and applies a convolutional block with channel attention to it."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.conv = ChannelAttentionBlock(dims.embed_dim)

    def forward(self, pixel: Tensor, size: torch.Size) -> Tensor:
        return tokens(self.conv(token_map(pixel, size)))


class QueryBlock(nn.Module):
    """Computes one round of attention: from pixels to queries, among queries, and from queries to pixels."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.read_from_pixel = ReadFromPixel(dims)
        self.self_attn = SelfAttention(dims)
        self.ffn = FeedForward(dims)
        self.read_from_query = ReadFromQuery(dims)
        self.pixel_ffn = PixelFeedForward(dims)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        pixel: Tensor,
        pixel_pos: Tensor,
        allowed: Tensor,
        size: torch.Size,
    ) -> tuple[Tensor, Tensor]:
        """Update queries (B, Q, D) and pixels (B, P, D), given their positions, and return both."""
        query = self.read_from_pixel(query, query_pos, pixel, pixel_pos, allowed)
        query = self.ffn(self.self_attn(query, query_pos))
        pixel = self.read_from_query(pixel, pixel_pos, query, query_pos)
        return query, self.pixel_ffn(pixel, size)


def visible_pixels(logits: Tensor, num_queries: int) -> Tensor:
    """Return which pixels each query attends to: (B, 1, h, w) logits -> (B, Q, P) bool.

    Queries of the foreground attend where the logit is at least 0, those of the background elsewhere. A query for
    which there are no such pixels attends to all, so that no softmax runs over an empty set.
    """
    foreground = logits.flatten(2) >= 0
    half = num_queries // 2
    allowed = torch.cat([foreground.expand(-1, half, -1), ~foreground.expand(-1, half, -1)], dim=1)
    return allowed | ~allowed.any(dim=-1, keepdim=True)


class ObjectTransformer(nn.Module):
    """Improves the pixel read-out of a frame by the object summary, which describes the object as a whole."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        embed = dims.embed_dim
        self.num_queries = dims.num_queries
        self.query_init = nn.Embedding(dims.num_queries, embed)
        self.query_emb = nn.Embedding(dims.num_queries, embed)
        self.summary_to_query_init = nn.Linear(embed, embed)
        self.summary_to_query_emb = nn.Linear(embed, embed)
        self.pixel_init_proj = conv1(embed, embed)
        self.pixel_emb_proj = conv1(embed, embed)
        self.spatial_pe = PositionCode(embed, dims.position_scale, dims.position_temperature)
        self.blocks = nn.ModuleList(QueryBlock(dims) for _ in range(dims.transformer_blocks))
        self.mask_pred = nn.ModuleList(
            nn.Sequential(nn.ReLU(), conv1(embed, 1)) for _ in range(dims.transformer_blocks + 1)
        )

    def forward(self, pixel_readout: Tensor, summary: Tensor) -> TransformerReadout:
        """Map (B, D, h, w) and the normalised object summary (B, Q, D) to TransformerReadout."""
        size = pixel_readout.shape[-2:]
        query = self.query_init.weight + self.summary_to_query_init(summary)
        query_pos = self.query_emb.weight + self.summary_to_query_emb(summary)
        pixel = tokens(self.pixel_init_proj(pixel_readout))
        pixel_pos = self.spatial_pe(size) + tokens(self.pixel_emb_proj(pixel_readout))
        logits = [self.mask_pred[0](token_map(pixel, size))]
        for block, predict in zip(self.blocks, self.mask_pred[1:], strict=True):
            allowed = visible_pixels(logits[-1], self.num_queries)
            query, pixel = block(query, query_pos, pixel, pixel_pos, allowed, size)
            logits.append(predict(token_map(pixel, size)))
        return TransformerReadout(token_map(pixel, size), logits)
