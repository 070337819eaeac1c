# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from matanyone_engine.errors import IllegalMove, SettingError
from matanyone_engine.matting.memory_policy import LongTermPolicy, MemoryPolicy
from matanyone_engine.matting.schedule import (
    MOVES,
    Cursor,
    FrameKind,
    FramePlan,
    SessionPhase,
    ValueSource,
    plan_frame,
    sensory_steps,
)

LETTERS = {"m": FrameKind.SEED, "w": FrameKind.WARM_UP, "a": FrameKind.ADVANCE}


def plan(moves: str, policy: MemoryPolicy | None = None) -> list[FramePlan]:
    """Return the plans of a shot whose moves are written as letters."""
    cursor, plans = Cursor(), []
    for letter in moves:
        plans.append(plan_frame(LETTERS[letter], cursor, policy or MemoryPolicy()))
        cursor = plans[-1].cursor
    return plans


def memorised(plans: list[FramePlan]) -> str:
    return "".join("x" if p.memorises else "." for p in plans)


def sensory(plans: list[FramePlan]) -> str:
    return "".join("x" if p.updates_sensory else "." for p in plans)


def test_a_shot_is_remembered_every_fifth_frame() -> None:
    plans = plan("mww" + "a" * 11)
    assert memorised(plans) == "xxx" + "....x....x."
    assert sensory(plans) == ".xx" + "xxxxxxxxxxx"
    assert [p.source for p in plans[:4]] == [ValueSource.MASK, ValueSource.LAST, ValueSource.LAST, ValueSource.MEMORY]
    assert [p.forgets_first for p in plans[:4]] == [False, True, True, False]


def test_a_warm_up_starts_the_count_again() -> None:
    assert memorised(plan("mwaaaw" + "aaaaa")) == "xx...x" + "....x"


def test_a_mask_in_mid_shot_is_an_ordinary_memory_frame() -> None:
    plans = plan("mwaam" + "aaaaa")
    assert memorised(plans) == "xx..x" + "....x"
    assert (plans[4].source, plans[4].forgets_first) == (ValueSource.MASK, False)


@pytest.mark.parametrize(
    ("every", "updates", "expected"),
    [(5, 5, {1, 2, 3, 4, 5}), (3, 5, {1, 2, 3}), (8, 5, {1, 3, 4, 6, 8}), (10, 1, {1}), (4, 2, {1, 4})],
)
def test_sensory_steps_are_spread_evenly(every: int, updates: int, expected: set[int]) -> None:
    assert sensory_steps(MemoryPolicy(memory_every=every, sensory_updates=updates)) == expected


@pytest.mark.parametrize("kind", [k for k in FrameKind if (SessionPhase.EMPTY, k) not in MOVES])
def test_nothing_but_a_mask_opens_a_shot(kind: FrameKind) -> None:
    with pytest.raises(IllegalMove, match=r"expected a mask before anything else.*Call seed"):
        plan_frame(kind, Cursor(), MemoryPolicy())


def test_every_move_is_legal_once_keyed() -> None:
    assert all((SessionPhase.KEYED, kind) in MOVES for kind in FrameKind)


@pytest.mark.parametrize(
    "wrong",
    [{"memory_every": 0}, {"bank_frames": 0}, {"top_k": 0}, {"sensory_updates": 0}],
    ids=lambda w: next(iter(w)),
)
def test_impossible_policies_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        MemoryPolicy(**wrong)


def test_policies_are_restored_from_plain_values() -> None:
    policy = MemoryPolicy(top_k=None, long_term=LongTermPolicy(max_frames=4, min_frames=2))
    assert MemoryPolicy.from_dict(policy.to_dict()) == policy
    with pytest.raises(SettingError, match="min_frames"):
        LongTermPolicy(max_frames=3, min_frames=3)
