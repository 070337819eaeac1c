# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from matanyone_engine.memory.bank import FRESH_LIFE, MemoryBank, Tokens, potentiated
from matanyone_engine.memory.long_term import LongTermPolicy
from matanyone_engine.memory.read import similarity
from matanyone_engine.memory.summary import accumulated, normalised

FRAME = 4
"""Tokens of a frame in these tests."""


def frame(number: int) -> Tokens:
    """Tokens whose value is the frame's number."""
    generator = torch.Generator().manual_seed(number)
    key = torch.randn(1, FRAME, 3, generator=generator)
    return Tokens(key, torch.ones(1, FRAME), torch.full((1, FRAME, 2), float(number)), torch.full_like(key, 0.5))


def filled(bank: MemoryBank, count: int, *, read_between: bool = False) -> MemoryBank:
    for number in range(count):
        bank = bank.added(frame(number))
        if read_between:
            _, bank = bank.read(frame(number).key, frame(number).selection, top_k=2)
    return bank


def frames_in(bank: MemoryBank) -> list[int]:
    return [int(v) for v in bank.tokens.value[0, ::FRAME, 0]]


@pytest.mark.parametrize(("limit", "expected"), [(5, [0, 5, 6, 7, 8]), (2, [0, 8]), (1, [0])])
def test_the_first_frame_is_permanent_and_the_newest_stay(limit: int, expected: list[int]) -> None:
    assert frames_in(filled(MemoryBank(limit), 9)) == expected


def test_frames_of_several_sizes_are_evicted_and_consolidated_whole() -> None:
    def sized(number: int) -> Tokens:
        return frame(number).part(0, 1 + number % FRAME)

    bank, condensed = MemoryBank(3), MemoryBank(5, LongTermPolicy(4, 2, prototypes=3, max_tokens=7, buffer_tokens=2))
    for number in range(9):
        bank, condensed = bank.added(sized(number)), condensed.added(sized(number))
        _, condensed = condensed.read(frame(number).key, frame(number).selection, top_k=2)
        assert len(condensed.tokens) == condensed.prototypes + sum(condensed.stored)
    assert bank.tokens.value[0, :, 0].tolist() == [0.0] + [7.0] * 4 + [8.0]
    assert bank.stored == (1, 4, 1)
    assert condensed.tokens.value[0, condensed.prototypes, 0] == 0.0
    assert condensed.tokens.value[0, -1, 0] == 8.0


def test_forgetting_makes_the_next_frame_permanent() -> None:
    bank = filled(MemoryBank(3), 4).forgotten()
    assert bank.tokens is None
    assert frames_in(bank.added(frame(7)).added(frame(8)).added(frame(9)).added(frame(10))) == [7, 9, 10]


def test_what_is_pinned_stays_and_may_be_made_to_match_less_readily() -> None:
    one, other = filled(MemoryBank(3), 1), MemoryBank(3).added(frame(5))
    bank = one.pinned([other], farther=2.0)
    for number in range(6, 10):
        bank = bank.added(frame(number))
    assert frames_in(bank) == [0, 5, 8, 9]
    near, far = (bank.tokens.part(start, start + FRAME) for start in (0, FRAME))
    query = frame(7).key, frame(7).selection
    alike = [similarity(each.key, each.shrinkage, *query) for each in (frame(0), frame(5))]
    assert torch.equal(similarity(near.key, near.shrinkage, *query), alike[0])
    assert torch.allclose(similarity(far.key, far.shrinkage, *query), 2 * alike[1])
    with pytest.raises(LookupError, match="one frame each"):
        filled(MemoryBank(3), 2).pinned([other])


def test_frames_that_are_taken_over_are_the_oldest_temporary_ones() -> None:
    own, other = MemoryBank(3).added(frame(9)), filled(MemoryBank(3), 4)  # the other keeps 0, 2 and 3
    bank = own.following(other)
    assert frames_in(bank) == [9, 2, 3]
    assert frames_in(bank.added(frame(10))) == [9, 3, 10]
    assert frames_in(own.following(MemoryBank(3).added(frame(5)))) == [9], "a permanent frame is not taken over"
    with pytest.raises(LookupError, match="right after a seed"):
        other.following(own)


def test_a_bank_is_a_value() -> None:
    old = filled(MemoryBank(3), 2)
    before = old.tokens.value.clone()
    old.added(frame(9)).forgotten()
    assert torch.equal(old.tokens.value, before)


def test_without_long_term_memory_no_counters_are_kept() -> None:
    tokens = filled(MemoryBank(3), 2).tokens
    assert set(tokens.tensors()) == {"key", "shrinkage", "value"}


def test_an_empty_bank_says_that_it_is_empty() -> None:
    with pytest.raises(LookupError, match="empty"):
        MemoryBank(3).read(frame(0).key, frame(0).selection, top_k=2)


LIMITS = LongTermPolicy(max_frames=4, min_frames=2, prototypes=3, max_tokens=7, buffer_tokens=2)


def test_consolidation_leaves_permanent_prototypes_and_the_newest() -> None:
    bank = filled(MemoryBank(5, LIMITS), 3, read_between=True)
    assert bank.prototypes == 0
    bank = bank.added(frame(3))  # the third temporary frame reaches (4 - 1) frames
    assert bank.prototypes == 3
    assert bank.tokens.value[0, 3:, 0].tolist() == [0.0] * FRAME + [3.0] * FRAME
    assert bank.tokens.life[0, :3].tolist() == pytest.approx([FRESH_LIFE] * 3)


def test_long_term_memory_is_bounded() -> None:
    bank = filled(MemoryBank(5, LIMITS), 60, read_between=True)
    assert 0 < bank.prototypes <= LIMITS.max_tokens
    assert len(bank.tokens) <= LIMITS.max_tokens + LIMITS.max_frames * FRAME


def test_forgetting_keeps_long_term_memory() -> None:
    bank = filled(MemoryBank(5, LIMITS), 6, read_between=True)
    forgotten = bank.forgotten()
    assert len(forgotten.tokens) == forgotten.prototypes == bank.prototypes > 0
    assert forgotten.temporary == 0
    again = forgotten.added(frame(20)).added(frame(21))
    assert again.tokens.value[0, bank.prototypes :: FRAME, 0].tolist() == [20.0, 21.0]


def test_reads_are_counted_for_every_token() -> None:
    bank = filled(MemoryBank(5, LIMITS), 2)
    _, once = bank.read(frame(1).key, frame(1).selection, top_k=2)
    assert (once.tokens.life - bank.tokens.life).tolist() == [pytest.approx([1.0] * len(bank.tokens))]
    assert float(once.tokens.use.sum()) == pytest.approx(FRAME, abs=1e-5)


def test_prototypes_are_the_most_used_and_gather_their_like() -> None:
    key = torch.tensor([[[0.0], [0.1], [50.0]]])
    candidates = Tokens(
        key=key,
        shrinkage=torch.tensor([[1.0, 3.0, 9.0]]),
        value=torch.tensor([[[1.0], [3.0], [100.0]]]),
        selection=torch.ones_like(key),
        use=torch.tensor([[5.0, 1.0, 0.0]]),
        life=torch.tensor([[1.0, 1.0, 1.0]]),
    )
    prototype = potentiated(candidates, 1)
    near = torch.softmax(torch.tensor([0.0, -3.0 * 0.01]), dim=0)
    assert prototype.key.tolist() == [[[0.0]]]
    assert float(prototype.value) == pytest.approx(float(near @ torch.tensor([1.0, 3.0])), abs=1e-5)
    assert float(prototype.shrinkage) == pytest.approx(float(near @ torch.tensor([1.0, 3.0])), abs=1e-5)


def test_summary_adds_up_and_divides_by_area() -> None:
    first = torch.tensor([[[2.0, 4.0, 2.0]]])
    total = accumulated(accumulated(None, first), torch.tensor([[[4.0, 2.0, 1.0]]]))
    assert normalised(total)[0, 0].tolist() == pytest.approx([6 / 3.0001, 6 / 3.0001])
    assert torch.isfinite(normalised(torch.zeros(1, 1, 3))).all()
