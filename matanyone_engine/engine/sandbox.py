# SPDX-License-Identifier: Apache-2.0
"""Reads untrusted image files in a child process, so that a crash in a library cannot stop the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import TypeVar

from matanyone_engine.engine.faults import shutting_down
from matanyone_engine.wire.errors import Code, WireError

T = TypeVar("T")

_SAFE_PATH = "PYTHONSAFEPATH"


class Sandbox:
    """Owns a child process for one piece of work after another. It starts with the first, and anew after it has died.

    Whoever waits for his turn has not begun: if the process dies meanwhile, his work runs in the next one.
    """

    def __init__(self, patience_s: float) -> None:
        """patience_s: seconds for one piece of work, once it has begun."""
        self._patience_s = patience_s
        self._pool: ProcessPoolExecutor | None = None
        self._turn = Lock()
        """Held by whose work is in the process."""
        self._closed = False

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Return what work(*arguments) returns there, or raise what it raises; all of it is pickled.

        A process that dies is started again once, since it may have died of something else, between two pieces of
        work. Raises WireError (bad-input) if this work kills it again, or does not end in time.
        """
        with self._turn:
            try:
                return self._attempt(work, *arguments)
            except BrokenProcessPool:
                self._replace()
            try:
                return self._attempt(work, *arguments)
            except BrokenProcessPool as error:
                self._replace()
                raise _killed() from error

    def _attempt(self, work: Callable[..., T], *arguments: object) -> T:
        if self._closed:
            raise shutting_down()
        if self._pool is None:
            os.environ.setdefault(_SAFE_PATH, "1")  # the child imports nothing from the folder the engine stands in
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_the_engine)
        try:
            return self._pool.submit(work, *arguments).result(self._patience_s)
        except TookTooLong:
            self._replace()
            raise _killed() from None

    def _replace(self) -> None:
        """End a process that cannot be trusted any more."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in (pool._processes or {}).values():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def processes(self) -> list[int]:
        """Return the ids of the child processes."""
        pool = self._pool
        return [] if pool is None else list(pool._processes or ())

    def close(self) -> None:
        """End the process; also while it works."""
        self._closed = True
        self._replace()


def _killed() -> WireError:
    return WireError(
        Code.BAD_INPUT,
        "the image library crashed on this file, or did not finish reading it",
        "Write the file again from your application. If that does not help, report this with the file.",
    )


def _end_with_the_engine() -> None:
    """End the child when the engine is killed, which cannot do it itself; the child would wait for work for ever."""
    engine = parent_process()
    assert engine is not None

    def watch() -> None:
        engine.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
