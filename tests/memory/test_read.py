# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from matanyone_engine.memory.read import Weights, largest, read, readout, similarity, softmax_weights, token_use


def memory(tokens: int, queries: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    key, value = torch.randn(batch, tokens, 8, generator=generator), torch.randn(batch, tokens, 5, generator=generator)
    shrinkage = 1 + torch.rand(batch, tokens, generator=generator)
    query = torch.randn(batch, queries, 8, generator=generator)
    return key, shrinkage, value, query, torch.rand(batch, queries, 8, generator=generator)


def test_similarity_is_the_weighted_squared_distance() -> None:
    key, shrinkage, _, query, selection = memory(7, 4)
    difference = (key[:, None] - query[:, :, None]).square() * selection[:, :, None]
    expected = -shrinkage[:, None] / 8**0.5 * difference.sum(-1)
    assert torch.allclose(similarity(key, shrinkage, query, selection), expected, atol=1e-5)


def dense(similar: Tensor, value: Tensor, top_k: int) -> Tensor:
    """The same reading by the book: mask all but the largest, full softmax, full product."""
    threshold = similar.topk(top_k, dim=-1).values[..., -1:]
    return torch.softmax(similar.masked_fill(similar < threshold, float("-inf")), dim=-1) @ value


@pytest.mark.parametrize("top_k", [1, 3, 7])
def test_sparse_readout_equals_the_dense_one(top_k: int) -> None:
    key, shrinkage, value, query, selection = memory(7, 4)
    similar = similarity(key, shrinkage, query, selection)
    assert torch.allclose(readout(softmax_weights(similar, top_k), value), dense(similar, value, top_k), atol=1e-6)


def test_all_tokens_and_top_k_of_all_agree() -> None:
    arguments = memory(6, 5)
    assert torch.allclose(read(*arguments, top_k=None).value, read(*arguments, top_k=6).value, atol=1e-6)


@pytest.mark.parametrize("top_k", [4, None])
@pytest.mark.parametrize("block_bytes", [1, 700, 5000])
def test_blocked_equals_unblocked(top_k: int | None, block_bytes: int) -> None:
    arguments = memory(33, 50)
    whole = read(*arguments, top_k=top_k, count_use=True, block_bytes=1 << 30)
    blocked = read(*arguments, top_k=top_k, count_use=True, block_bytes=block_bytes)
    assert torch.allclose(blocked.value, whole.value, atol=2e-6)
    assert torch.allclose(blocked.use, whole.use, atol=1e-5)


def test_fewer_tokens_than_top_k_are_all_read() -> None:
    arguments = memory(3, 4)
    assert torch.equal(read(*arguments, top_k=30).value, read(*arguments, top_k=3).value)


def test_far_tokens_do_not_vanish_into_nan() -> None:
    key, shrinkage, value, query, selection = memory(5, 4)
    reading = read(key + 1000, shrinkage, value, query, selection, top_k=2)
    assert torch.isfinite(reading.value).all()


def test_use_is_the_weight_given_by_all_queries() -> None:
    key, shrinkage, _, query, selection = memory(6, 4)
    weights = softmax_weights(similarity(key, shrinkage, query, selection), 2)
    use = token_use(weights, 6)
    assert use.sum(dim=1).tolist() == pytest.approx([4.0, 4.0], abs=1e-5)
    by_hand = sum(
        float(w) for w, t in zip(weights.weight[0].flatten(), weights.token[0].flatten(), strict=True) if t == 2
    )
    assert float(use[0, 2]) == pytest.approx(by_hand, abs=1e-6)


def test_gradients_reach_keys_values_and_queries_through_the_sparse_read() -> None:
    key, shrinkage, value, query, selection = (x.requires_grad_() for x in memory(9, 4))
    read(key, shrinkage, value, query, selection, top_k=3).value.square().sum().backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in (key, shrinkage, value, query, selection))


def test_peak_memory_is_bounded_by_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    real = softmax_weights

    def watched(similar: Tensor, top_k: int | None) -> Weights:
        nonlocal most
        most = max(most, similar.numel() * similar.element_size())
        return real(similar, top_k)

    monkeypatch.setattr("matanyone_engine.memory.read.softmax_weights", watched)
    read(*memory(500, 400, batch=1), top_k=5, block_bytes=100_000)
    assert 0 < most <= 100_000


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_largest_in_two_rounds_are_those_of_one(tokens: int, count: int, seed: int) -> None:
    count = min(count, tokens)
    similar = torch.randn(2, 3, tokens, generator=torch.Generator().manual_seed(seed))
    values, token = largest(similar, count)
    assert torch.equal(values.sort(dim=-1).values, similar.topk(count, dim=-1).values.flip(-1))
    assert torch.equal(similar.gather(-1, token), values)
