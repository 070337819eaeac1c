# SPDX-License-Identifier: Apache-2.0
"""Draws the line between threads: this is the only module that other threads may call to reach Nuke.

Nodes, knobs, nuke.execute and Qt belong to the main thread. executeInMainThread hangs if it is called from there,
never runs under nuke -t, and swallows what goes wrong; so it is called in one place, here.

Rules of this file:
1. post() does at once what it is asked on the main thread, else queues it; an error comes back to whoever waits.
2. Nothing waits for the main thread without a way out: the caller says when to give up.
3. No GUI call under nuke -t.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Callable, Optional

import nuke


class Lost(Exception):
    """Says that what was asked of the main thread is no longer wanted."""


class Posted:
    """Holds something that the main thread was asked to do."""

    def __init__(self, work: Callable[[], Any], unwanted: Callable[[], bool]) -> None:
        self._work, self._unwanted = work, unwanted
        self._done = threading.Event()
        self._result: Any = None
        self._error: Optional[BaseException] = None

    def do(self) -> None:
        """Do it here, and keep what comes of it; nothing is raised."""
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, poll_s: float = 0.1) -> Any:
        """Wait and return what came of it. Raises what it raised, and Lost when it is no longer wanted."""
        while not self._done.wait(poll_s):
            if self._unwanted():
                raise Lost
        if self._error is not None:
            raise self._error
        return self._result


def is_main() -> bool:
    """Tell whether this is the thread that Nuke's nodes belong to."""
    return threading.current_thread() is threading.main_thread()


def post(work: Callable[..., Any], *arguments: Any, unwanted: Callable[[], bool] = lambda: False) -> Posted:
    """Have something done on the main thread: at once if this is that thread, else when Nuke gets to it."""
    posted = Posted(lambda: work(*arguments), unwanted)
    if is_main():
        posted.do()
    else:
        nuke.executeInMainThread(posted.do)
    return posted


def say(text: str) -> None:
    """Say a sentence to the artist, or to the log under nuke -t. Main thread."""
    if nuke.GUI:
        nuke.message(text)
    else:
        log(text)


def log(text: str) -> None:
    """Write a line of the log; any thread. A test holds its words against farms' error patterns."""
    for line in text.splitlines():
        sys.stderr.write("matanyone: %s\n" % line)
    sys.stderr.flush()


class Bar:
    """Shows progress that can be cancelled: Nuke's own bar, or lines of the log under nuke -t. Any one thread."""

    def __init__(self, title: str) -> None:
        self._task = nuke.ProgressTask(title) if nuke.GUI else None

    def show(self, done: int, of: int, text: str) -> None:
        """Show how far it is."""
        if self._task is None:
            log(text)
            return
        self._task.setProgress(int(100 * done / max(of, 1)))
        self._task.setMessage(text)

    def cancelled(self) -> bool:
        """Tell whether the artist pressed its cancel."""
        return self._task is not None and bool(self._task.isCancelled())

    def close(self) -> None:
        """Let go of it: Nuke takes it away when nobody holds it."""
        self._task = None
