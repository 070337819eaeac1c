# SPDX-License-Identifier: Apache-2.0
"""Reads ahead of the network and writes behind it: in order, on a thread each, a few frames at most.

Rules of this file:
1. Order is kept, and a failure shows at its own item: nothing behind it counts.
2. It knows no frames, plates or alphas, and nothing of what it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


def read_ahead(
    reads: Iterable[Callable[[], T]], depth: int, begin: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Yield what the reads return, in order; up to `depth` are begun before they are asked for.

    begin: done once on their thread, before the first.
    Raises what a read raises, in its turn. Close it to leave early: a read under way is waited for, no other is begun.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, "read-ahead", initializer=begin) as thread:
        try:
            for read in reads:
                waiting.append(thread.submit(read))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class WriteBehind(Generic[T]):
    """Does writes in order on a thread of its own; after one has failed, none is begun."""

    def __init__(self, depth: int) -> None:
        """depth: how many may be unfinished while the caller goes on."""
        self._depth = depth
        self._waiting: deque[Future[T]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._failed = False

    def put(self, write: Callable[[], T]) -> Iterator[T]:
        """Hand over a write; yield what earlier ones returned, as far as they are done. Raises what one has raised."""
        self._waiting.append(self._thread.submit(self._run, write))
        yield from self._finished(self._depth)

    def drain(self) -> Iterator[T]:
        """Wait for all writes and yield what they return. Raises what one has raised, after those before it."""
        yield from self._finished(0)

    def _finished(self, left: int) -> Iterator[T]:
        """Yield the results that are done, and wait for those that must be, so that no more than so many are left."""
        while self._waiting and (len(self._waiting) > left or self._waiting[0].done()):
            try:
                result = self._waiting.popleft().result()
            except BaseException:
                self._waiting.clear()  # nothing behind it counts
                raise
            yield result

    def _run(self, write: Callable[[], T]) -> T:
        if self._failed:
            raise RuntimeError("a write before this one has failed")
        try:
            return write()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> WriteBehind[T]:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._thread.shutdown()
