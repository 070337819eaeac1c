# SPDX-License-Identifier: Apache-2.0
"""Reads from memory: similarity, top-k softmax, read-out.

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
"""Tokens whose best similarity stands for them in the first round of a search."""

_SPARE = 0.3
"""More tokens than top_k that a search in half precision brings to the exact comparison, as a part of top_k."""


class SoftmaxWeights(NamedTuple):
    """Holds the weights of tokens for each query; every row sums to 1."""

    weight: Tensor
    """(B, P, k)."""
    token: Tensor | None
    """(B, P, k) token numbers, or None where all N tokens take part in order."""


class Reading(NamedTuple):
    """Holds the result of a read."""

    value: Tensor
    """(B, P, V)."""
    use: Tensor | None
    """(B, N): how much weight each token was given by all queries together; None unless asked for."""


def similarity(key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor) -> Tensor:
    """Return the negative squared distance, weighted per query channel by its selection and per token by its
    shrinkage.

    key (B, N, K), shrinkage (B, N), query (B, P, K), selection (B, P, K) in 0..1 -> (B, P, N), about 0 at most.
    """
    return query_side(query, selection) @ token_side(key, shrinkage).transpose(1, 2)


def token_side(key: Tensor, shrinkage: Tensor) -> Tensor:
    """Return a token's half of the product that is the similarity: (B, N, K), (B, N) -> (B, N, 2 K + 1).

    s (-e (k - q)^2) = (-e) (s k^2) + (2 q e) (s k) + (-e q^2) s: one matrix product, and no pass over its result.
    """
    scale = (shrinkage / math.sqrt(key.shape[-1])).unsqueeze(-1)
    return torch.cat([key.square() * scale, key * scale, scale], dim=-1)


def query_side(query: Tensor, selection: Tensor) -> Tensor:
    """Return the query's half of that product: (B, P, K) twice -> (B, P, 2 K + 1)."""
    constant = (selection * query.square()).sum(dim=-1, keepdim=True)
    return torch.cat([-selection, 2 * query * selection, -constant], dim=-1)


def softmax_weights(similar: Tensor, top_k: int | None) -> SoftmaxWeights:
    """Return softmax weights of (B, P, N) over the top_k largest of each row, or over all tokens with None.

    Fewer stored tokens than top_k are all kept. The maximum is subtracted first, so no row can vanish.
    """
    if top_k is None:
        return SoftmaxWeights(torch.softmax(similar, dim=-1), None)
    token = extreme(similar, min(top_k, similar.shape[-1]))
    return SoftmaxWeights(torch.softmax(similar.gather(-1, token), dim=-1), token)


def extreme(x: Tensor, count: int, *, largest: bool = True) -> Tensor:
    """Find the positions of the `count` largest, or smallest, values of each row, in any order: (B, P, N) -> (B, P,
    count).

    Exact in two rounds, which long rows gain by: the best of a row lie in the `count` groups with the best of their
    own, so that only those groups are searched.
    """
    groups = x.shape[-1] // _GROUP
    if groups < 4 * count:
        return _topk(x, count, largest)
    # A group is every groups-th token: its best is then taken over whole rows at once.
    whole = groups * _GROUP
    grouped = x[..., :whole].unflatten(-1, (_GROUP, groups))
    chosen = _topk(grouped.amax(dim=-2) if largest else grouped.amin(dim=-2), count, largest)
    first = torch.arange(0, whole, groups, device=x.device).view(-1, 1)
    candidates = (first + chosen.unsqueeze(-2)).flatten(-2)
    rest = torch.arange(whole, x.shape[-1], device=x.device)
    candidates = torch.cat([candidates, rest.expand(*candidates.shape[:-1], -1)], dim=-1)
    return candidates.gather(-1, _topk(x.gather(-1, candidates), count, largest))


def _topk(x: Tensor, count: int, largest: bool) -> Tensor:
    return torch.topk(x, count, dim=-1, largest=largest, sorted=False).indices


class ExactSearch:
    """Compares every query with every token in their own precision."""

    def __init__(self, key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor, top_k: int | None) -> None:
        """key (B, N, K), shrinkage (B, N): the stored tokens; query, selection (B, P, K)."""
        self._stored = token_side(key, shrinkage).transpose(1, 2).contiguous()
        self._asked = query_side(query, selection)
        self._top_k = top_k
        self.query_bytes = key.shape[1] * key.element_size()

    def weights(self, queries: slice) -> SoftmaxWeights:
        """Return the softmax weights of these queries."""
        return softmax_weights(self._asked[:, queries] @ self._stored, self._top_k)


class HalfSearch:
    """Searches for tokens with a product in bfloat16, and compares those that it finds in their own precision.

    Half the time of an exact search. It finds most of the tokens that one finds, and others as near to within what
    half precision tells apart (DR010; benchmarks/README.md).
    """

    def __init__(self, key: Tensor, shrinkage: Tensor, query: Tensor, selection: Tensor, top_k: int) -> None:
        """key (B, N, K), shrinkage (B, N): the stored tokens; query, selection (B, P, K)."""
        # Distances are the same from anywhere; near their middle keys are small, and so is what rounding takes.
        middle = key.mean(dim=1, keepdim=True)
        self._key, self._shrinkage, self._query, self._selection = key - middle, shrinkage, query - middle, selection
        self._stored = token_side(self._key, shrinkage).bfloat16().transpose(1, 2).contiguous()
        self._asked = -query_side(self._query, selection).bfloat16()
        self._top_k, self._found = top_k, min(math.ceil(top_k * (1 + _SPARE)), key.shape[1])
        candidates = torch.int64.itemsize * _GROUP * self._found
        compared = 2 * key.element_size() * key.shape[2] * self._found
        self.query_bytes = torch.int16.itemsize * key.shape[1] + max(candidates, compared)

    def weights(self, queries: slice) -> SoftmaxWeights:
        """Return the softmax weights of these queries."""
        # The order of bfloat16 numbers of at least 0 is that of their bits as integers, which compare faster. What
        # rounding brought below 0 comes first, too, in no order: it is nearer than half precision can tell.
        distance = (self._asked[:, queries] @ self._stored).view(torch.int16)
        token = extreme(distance, self._found, largest=False)
        similar = self._similarity(queries, token)
        best = torch.topk(similar, min(self._top_k, token.shape[-1]), dim=-1, sorted=False)
        return SoftmaxWeights(torch.softmax(best.values, dim=-1), token.gather(-1, best.indices))

    def _similarity(self, queries: slice, token: Tensor) -> Tensor:
        """Return the similarity (B, P, n) of each query and the tokens that were found for it."""
        bags = _end_to_end(token, self._key.shape[1])
        apart = F.embedding(bags, self._key.flatten(0, 1)) - self._query[:, queries].unsqueeze(-2)
        distance = (apart.square() @ self._selection[:, queries].unsqueeze(-1)).squeeze(-1)
        return distance * (self._shrinkage.flatten()[bags] / -math.sqrt(apart.shape[-1]))


def readout(weights: SoftmaxWeights, value: Tensor) -> Tensor:
    """Return weighted sums of token values: value (B, N, V) -> (B, P, V). Sparse weights touch only the tokens they
    keep.
    """
    if weights.token is None:
        return weights.weight @ value
    bags = _end_to_end(weights.token, value.shape[1]).flatten(0, 1)
    summed = F.embedding_bag(
        bags, value.flatten(0, 1), per_sample_weights=weights.weight.flatten(0, 1).to(value.dtype), mode="sum"
    )
    return summed.unflatten(0, (len(value), -1))


def _end_to_end(token: Tensor, tokens: int) -> Tensor:
    """Count token numbers (B, P, k) over the tokens of all batch entries laid end to end."""
    return token + torch.arange(len(token), device=token.device).view(-1, 1, 1) * tokens


def token_use(weights: SoftmaxWeights, tokens: int) -> Tensor:
    """Return how much weight each token got from all queries: (B, tokens)."""
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
    half_search: bool = False,
) -> Reading:
    """Read memory for every query pixel.

    key (B, N, K), shrinkage (B, N), value (B, N, V): the stored tokens; query, selection (B, P, K).
    At most block_bytes are spent on similarities at a time (at least one query's worth). half_search looks for
    the top_k by HalfSearch.
    """
    batch, count, _ = key.shape
    search = (
        HalfSearch(key, shrinkage, query, selection, top_k)
        if half_search and top_k is not None
        else ExactSearch(key, shrinkage, query, selection, top_k)
    )
    block = max(1, block_bytes // (batch * search.query_bytes))
    answer, use = None, (value.new_zeros(batch, count) if count_use else None)
    for start in range(0, query.shape[1], block):
        queries = slice(start, start + block)
        weights = search.weights(queries)
        part = readout(weights, value)
        if answer is None:
            # At once: small parts kept one by one would lie between blocks' large ones and keep them from being joined.
            answer = part.new_empty(batch, query.shape[1], part.shape[-1])
        answer[:, queries] = part
        if use is not None:
            use = use + token_use(weights, count)
    assert answer is not None, "there is a query"
    return Reading(answer, use)
