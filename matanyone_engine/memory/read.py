# SPDX-License-Identifier: Apache-2.0
"""Reading from memory: similarity, top-k softmax, read-out (spec section 3.1).

Rules of this file:
1. Pure functions of tensors, differentiable, shared by training and inference: there is no second copy.
2. Never a whole queries x tokens matrix at once: read() walks over blocks of queries whose size is bounded in bytes.

Axes: B batch, N stored tokens, P query pixels, K key channels, V value channels, k kept tokens.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DEFAULT_BLOCK_BYTES = 64 << 20
"""Room for one block's similarity matrix: large enough for fast products, small beside a frame's features."""

_GROUP = 16
"""Tokens whose largest similarity stands for them in the first round of the search for the top k."""


class Weights(NamedTuple):
    """How much each query takes from which tokens; every row sums to 1."""

    weight: Tensor
    """(B, P, k)."""
    token: Tensor | None
    """(B, P, k) token numbers, or None where all N tokens take part in order."""


class Reading(NamedTuple):
    """What a read brings back."""

    value: Tensor
    """(B, P, V)."""
    use: Tensor | None
    """(B, N): how much weight each token was given by all queries together; None unless asked for."""


def similarity(key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor) -> Tensor:
    """Negative squared distance, per query channel weighted by its selection, per token by its shrinkage.

    key (B, N, K), shrinkage (B, N), query (B, P, K), selection (B, P, K) in 0..1 -> (B, P, N), about 0 at most.
    """
    return query_side(query, selection) @ token_side(key, shrinkage).transpose(1, 2)


def token_side(key: Tensor, shrinkage: Tensor) -> Tensor:
    """(B, N, K), (B, N) -> (B, N, 2 K + 1): a token's half of the product that is the similarity.

    s (-e (k - q)^2) = (-e) (s k^2) + (2 q e) (s k) + (-e q^2) s: one matrix product, and no pass over its result.
    """
    scale = (shrinkage / math.sqrt(key.shape[-1])).unsqueeze(-1)
    return torch.cat([key.square() * scale, key * scale, scale], dim=-1)


def query_side(query: Tensor, selection: Tensor) -> Tensor:
    """(B, P, K) twice -> (B, P, 2 K + 1): the other half."""
    constant = (selection * query.square()).sum(dim=-1, keepdim=True)
    return torch.cat([-selection, 2 * query * selection, -constant], dim=-1)


def softmax_weights(similar: Tensor, top_k: int | None) -> Weights:
    """(B, P, N) -> Weights over the top_k largest of each row, or over all tokens with None.

    Fewer stored tokens than top_k are all kept. The maximum is subtracted first, so no row can vanish (spec 9.4).
    """
    if top_k is None:
        return Weights(torch.softmax(similar, dim=-1), None)
    values, token = largest(similar, min(top_k, similar.shape[-1]))
    return Weights(torch.softmax(values, dim=-1), token)


def largest(similar: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row and where they stand, in any order: (B, P, N) -> (B, P, count) twice.

    Exact in two rounds, which long rows gain by: the best of a row lie in the `count` groups with
    the largest maxima, so that only those groups are searched.
    """
    groups = similar.shape[-1] // _GROUP
    if groups < 4 * count:
        return torch.topk(similar, count, dim=-1, sorted=False)
    # A group is every groups-th token: its maximum is then taken over whole rows at once.
    whole = groups * _GROUP
    maxima = similar[..., :whole].unflatten(-1, (_GROUP, groups)).amax(dim=-2)
    chosen = torch.topk(maxima, count, dim=-1, sorted=False).indices
    first = torch.arange(0, whole, groups, device=similar.device).view(-1, 1)
    candidates = (first + chosen.unsqueeze(-2)).flatten(-2)
    rest = torch.arange(whole, similar.shape[-1], device=similar.device)
    candidates = torch.cat([candidates, rest.expand(*candidates.shape[:-1], -1)], dim=-1)
    best = torch.topk(similar.gather(-1, candidates), count, dim=-1, sorted=False)
    return best.values, candidates.gather(-1, best.indices)


def readout(weights: Weights, value: Tensor) -> Tensor:
    """Weighted sums of token values: value (B, N, V) -> (B, P, V). Sparse weights touch only the tokens they keep."""
    if weights.token is None:
        return weights.weight @ value
    batch, tokens, _ = value.shape
    # One bag per query over the tokens of all batch entries laid end to end.
    first = torch.arange(batch, device=value.device).view(-1, 1, 1) * tokens
    bags = (weights.token + first).flatten(0, 1)
    summed = F.embedding_bag(
        bags, value.flatten(0, 1), per_sample_weights=weights.weight.flatten(0, 1).to(value.dtype), mode="sum"
    )
    return summed.unflatten(0, (batch, -1))


def token_use(weights: Weights, tokens: int) -> Tensor:
    """How much weight each token got from all queries: -> (B, tokens)."""
    if weights.token is None:
        return weights.weight.sum(dim=1)
    use = weights.weight.new_zeros(weights.weight.shape[0], tokens)
    return use.scatter_add_(1, weights.token.flatten(1), weights.weight.flatten(1))


def read(
    key: Tensor,
    shrinkage: Tensor,
    value: Tensor,
    query: Tensor,
    selection: Tensor,
    *,
    top_k: int | None,
    count_use: bool = False,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Reading:
    """Read memory for every query pixel.

    key (B, N, K), shrinkage (B, N), value (B, N, V): the stored tokens; query, selection (B, P, K).
    At most block_bytes are spent on similarities at a time (at least one query's worth).
    """
    batch, count, _ = key.shape
    block = max(1, block_bytes // (batch * count * key.element_size()))
    values, use = [], (value.new_zeros(batch, count) if count_use else None)
    stored = token_side(key, shrinkage).transpose(1, 2)
    for queries in query_side(query, selection).split(block, dim=1):
        weights = softmax_weights(queries @ stored, top_k)
        values.append(readout(weights, value))
        if use is not None:
            use = use + token_use(weights, count)
    return Reading(torch.cat(values, dim=1), use)
