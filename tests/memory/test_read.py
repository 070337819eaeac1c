# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toy import disc, plates

from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.memory.read import (
    ExactSearch,
    HalfSearch,
    extreme,
    read,
    readout,
    similarity,
    softmax_weights,
    token_use,
)
from matanyone_engine.model.blocks import tokens as flat
from matanyone_engine.model.registry import load_network


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


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that is made while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        made = [each.untyped_storage().nbytes() for each in tree_leaves(answer) if isinstance(each, Tensor)]
        self.bytes = max(self.bytes, *made, 0)
        return answer


@pytest.mark.parametrize("half_search", [False, True])
@pytest.mark.parametrize("tokens", [200, 2000])
def test_peak_memory_is_bounded_by_the_block(tokens: int, half_search: bool) -> None:
    arguments = memory(tokens, 1500, batch=1)
    sides = 4 * (2 * 8 + 1) * max(tokens, 1500)  # what a search makes of all tokens and queries, once
    with Largest() as largest:
        read(*arguments, top_k=5, block_bytes=300_000, half_search=half_search)
    assert 100_000 < largest.bytes <= max(300_000, sides)


MANY_SMALL_BLOCKS = """
import torch
from matanyone_engine.memory.read import read

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

sides = [(163_200, 64), (163_200,), (163_200, 256), (1500, 64), (1500, 64)]
with torch.inference_mode():
    arguments = [1 + torch.rand(1, *side) for side in sides]
    before = resident()
    answer = read(*arguments, top_k=30, block_bytes=4 << 20)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process holds")
def test_many_small_blocks_leave_nothing_behind() -> None:
    """As a read does that is tried again with less memory: half a gigabyte stayed when parts were kept one by one."""
    told = subprocess.run([sys.executable, "-c", MANY_SMALL_BLOCKS], check=True, capture_output=True, text=True)
    assert int(told.stdout) < 150


@given(st.integers(1, 3000), st.integers(1, 40), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_extreme_in_two_rounds_are_those_of_one(tokens: int, count: int, largest: bool, seed: int) -> None:
    count = min(count, tokens)
    x = torch.randn(2, 3, tokens, generator=torch.Generator().manual_seed(seed))
    found = x.gather(-1, extreme(x, count, largest=largest))
    assert torch.equal(found.sort(dim=-1).values, x.topk(count, dim=-1, largest=largest).values.sort(dim=-1).values)


# -- looking for tokens in half precision -----------------------------------------------------------------------------


def test_what_half_precision_finds_is_weighed_exactly() -> None:
    """With no more tokens than it brings to the comparison, nothing can be missed."""
    arguments = memory(13, 20)
    exact, half = (read(*arguments, top_k=10, half_search=each, count_use=True) for each in (False, True))
    assert torch.allclose(half.value, exact.value, atol=1e-5)
    assert torch.allclose(half.use, exact.use, atol=1e-4)


def test_a_search_in_half_precision_is_the_same_in_blocks_and_for_every_object() -> None:
    arguments = memory(3000, 50)
    whole = read(*arguments, top_k=9, half_search=True)
    assert torch.allclose(
        read(*arguments, top_k=9, half_search=True, block_bytes=200_000).value, whole.value, atol=1e-5
    )
    one = read(*(each[1:] for each in arguments), top_k=9, half_search=True)
    assert torch.allclose(one.value, whole.value[1:], atol=1e-5)


def test_half_precision_finds_nearly_all_tokens_and_loses_next_to_nothing() -> None:
    """On keys that a network made, most of them far from 0 and near each other."""
    key, shrinkage, value, query, selection = remembered_by_mini()
    everything = slice(0, query.shape[1])
    exact = ExactSearch(key, shrinkage, query, selection, 30).weights(everything)
    half = HalfSearch(key, shrinkage, query, selection, 30).weights(everything)
    assert exact.token is not None
    assert half.token is not None
    found = (exact.token.unsqueeze(-1) == half.token.unsqueeze(-2)).any(dim=-1)
    assert 0.93 < float(found.float().mean()) < 1
    lost = (readout(half, value) - readout(exact, value)).abs().mean() / readout(exact, value).abs().mean()
    assert float(lost) < 2e-3


def test_keys_far_from_the_origin_are_found() -> None:
    """Distances do not change when everything moves; what half precision rounds off would."""
    key, shrinkage, value, query, selection = remembered_by_mini()
    there = read(key, shrinkage, value, query, selection, top_k=30, half_search=True).value
    moved = read(key + 50, shrinkage, value, query + 50, selection, top_k=30, half_search=True).value
    assert float((moved - there).abs().mean() / there.abs().mean()) < 2e-3


@pytest.mark.parametrize("where", ["key", "query", "selection"])
def test_nan_in_memory_is_never_ignored(where: str) -> None:
    """Integers would order them like any other; a stored one reaches every token through the middle of all keys."""
    key, shrinkage, value, query, selection = memory(3000, 5, batch=1)
    {"key": key, "query": query, "selection": selection}[where][0, 3, 0] = float("nan")
    read_value = read(key, shrinkage, value, query, selection, top_k=9, half_search=True).value
    assert read_value[0, 3].isnan().all()
    assert read_value.isnan().all() == (where == "key")


def remembered_by_mini() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Keys, shrinkage and values of five frames, and the queries of the next."""
    network = load_network("mini", "cpu", "exact")
    shot = plates(7, 320, 480)
    session = MattingSession(network, MemoryPolicy(memory_every=1), warm_up_passes=0)
    session.seed(shot[0], disc(320, 480, 90))
    for plate in shot[1:6]:
        session.advance(plate)
    with torch.inference_mode():
        features = network.encode_image(shot[6][None])
    stored = session.state.bank.tokens
    assert stored is not None
    return stored.key, stored.shrinkage, stored.value, flat(features.key), flat(features.selection)
