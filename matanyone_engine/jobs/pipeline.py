# SPDX-License-Identifier: Apache-2.0
"""Reads ahead and writes behind: in order, on one thread each, and a few items at most.

Rules of this file:
1. Order is kept. An error is raised at its own item, and nothing after that item counts.
2. It does not depend on what it runs: it knows nothing of frames, plates or alphas.
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
    """Yield the results of the reads in order; up to `depth` reads are started ahead.

    begin: called once on the reading thread before the first read. An error of a read is raised in its turn. Closing
    the generator early waits for the read in progress and starts no other.
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
    """Does writes in order on its own thread. After one has failed, no other is started."""

    def __init__(self, depth: int) -> None:
        """depth: the most writes that may be unfinished while the caller goes on."""
        self._depth = depth
        self._waiting: deque[Future[T]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._failed = False

    def put(self, write: Callable[[], T]) -> Iterator[T]:
        """Add a write; yield the results of earlier writes that are done.

        Raises the error of a write that has failed.
        """
        self._waiting.append(self._thread.submit(self._run, write))
        yield from self._finished(self._depth)

    def drain(self) -> Iterator[T]:
        """Wait for all writes and yield their results.

        Raises the error of a failed write after the results before it.
        """
        yield from self._finished(0)

    def _finished(self, left: int) -> Iterator[T]:
        """Yield finished results, waiting until no more than `left` writes are unfinished."""
        while self._waiting and (len(self._waiting) > left or self._waiting[0].done()):
            try:
                result = self._waiting.popleft().result()
            except BaseException:
                self._waiting.clear()  # nothing after the failed item counts
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
