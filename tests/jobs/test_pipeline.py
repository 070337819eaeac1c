# SPDX-License-Identifier: Apache-2.0
"""Reading ahead and writing behind: in order, bounded, side by side, and a failure shows at its own item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from matanyone_engine.jobs.pipeline import WriteBehind, read_ahead

PATIENCE_S = 5.0


def reads(count: int, begun: list[int]) -> list[Callable[[], int]]:
    def read(number: int) -> int:
        begun.append(number)
        return number

    return [partial(read, number) for number in range(count)]


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
def test_what_is_read_comes_in_order(depth: int) -> None:
    assert list(read_ahead(reads(6, []), depth)) == list(range(6))


def test_no_more_is_read_than_the_depth_allows() -> None:
    begun: list[int] = []
    with closing(read_ahead(reads(6, begun), 2)) as items:
        for item in items:
            assert max(begun) <= item + 2
    assert begun == list(range(6))


def test_the_next_is_read_while_the_caller_works() -> None:
    second = threading.Event()
    with closing(read_ahead([lambda: 1, lambda: second.set() or 2], 1)) as items:
        assert next(items) == 1
        assert second.wait(PATIENCE_S), "nobody has asked for the second yet"


def test_a_read_that_fails_does_so_in_its_turn_and_leaving_early_begins_no_other() -> None:
    def broken() -> int:
        raise ValueError("plate 2")

    items = read_ahead([lambda: 1, broken, lambda: 3], 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="plate 2"):
        next(items)
    begun: list[int] = []
    early = read_ahead(reads(9, begun), 1)
    next(early)
    early.close()
    assert len(begun) <= 2


def test_writes_are_done_in_order_behind_the_callers_back() -> None:
    allowed, done = threading.Event(), []

    def write(number: int) -> int:
        assert allowed.wait(PATIENCE_S)
        done.append(number)
        return number

    with WriteBehind[int](2) as writes:
        for number in range(2):
            assert list(writes.put(partial(write, number))) == [], "the caller goes on"
        allowed.set()
        assert [*writes.put(partial(write, 2)), *writes.drain()] == [0, 1, 2]
    assert done == [0, 1, 2]


def test_a_write_that_fails_shows_after_those_before_it_and_ends_all_behind_it() -> None:
    done = []

    def broken() -> int:
        raise OSError("disk full")

    with WriteBehind[int](5) as writes:
        results = list(writes.put(lambda: done.append(1) or 1))
        for write in (broken, lambda: done.append(3) or 3):
            try:
                results += writes.put(write)
            except OSError:
                break
        else:
            walk = writes.drain()
            if not results:
                results.append(next(walk))
            with pytest.raises(OSError, match="disk full"):
                next(walk)
        assert results == [1]
        assert list(writes.drain()) == []
    assert done == [1]
