# SPDX-License-Identifier: Apache-2.0
"""Work on files of others in a process of its own, which may die without taking the engine along.

Image libraries are large and written in C++; a file that kills one must be an answer, not the end of every session.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import TypeVar

from matanyone_engine.wire.errors import Code, WireError

T = TypeVar("T")


class Apart:
    """The process starts with the first work, and anew after it has died."""

    def __init__(self, patience_s: float) -> None:
        """patience_s: for one piece of work."""
        self._patience_s = patience_s
        self._pool: ProcessPoolExecutor | None = None
        self._lock = Lock()

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """What work(*arguments) returns or raises there; all of it is pickled. Raises WireError if that killed it."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_the_engine)
            pool = self._pool
        try:
            return pool.submit(work, *arguments).result(self._patience_s)
        except (BrokenProcessPool, TookTooLong) as error:
            self._replace(pool)
            raise WireError(
                Code.BAD_INPUT,
                "the image library died on this file, or did not end with it",
                "Write it again from your application; if that does not help, report it with the file.",
            ) from error

    def _replace(self, pool: ProcessPoolExecutor) -> None:
        """End a process that cannot be trusted any more."""
        with self._lock:
            if self._pool is pool:
                for process in (pool._processes or {}).values():
                    process.kill()
                self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)

    def processes(self) -> list[int]:
        """Ids of the processes."""
        return [] if self._pool is None else list(self._pool._processes or ())

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _end_with_the_engine() -> None:
    """In the new process: an engine that is killed cannot end it, and it would wait for work for ever."""
    engine = parent_process()
    assert engine is not None

    def watch() -> None:
        engine.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
