# SPDX-License-Identifier: Apache-2.0
"""Holds what one run of the fake Nuke is: threads, callbacks, undo, and the rules that the real one breaks programs by.

Rules of this file:
1. What would hang, crash or lie in Nuke raises here: nodes off the main thread, executeInMainThread on it, evaluation
   inside a callback, a GUI call under -t.
2. A test drives the event loop itself: pump().
"""

from __future__ import annotations

import functools
import queue
import threading
from typing import Any, Callable, TypeVar

Call = TypeVar("Call", bound=Callable[..., Any])


class Refused(RuntimeError):
    """Says that the real Nuke would not have done this, or would have hung."""


class Session:
    """Holds everything that is global in Nuke."""

    def __init__(self, gui: bool) -> None:
        self.gui = gui
        self.main = threading.main_thread()
        self.posted: queue.Queue[Callable[[], Any]] = queue.Queue()
        self.callbacks: list[tuple[str, Callable[[], Any], str]] = []
        self.this: list[tuple[Any, Any]] = []
        """(node, knob) of the callbacks and buttons that run."""
        self.in_callback = 0
        self.loading = False
        self.undo_off = 0
        self.undo_open: list[str] = []
        self.undo_steps: list[str] = []
        self.messages: list[str] = []
        self.tasks: list[Any] = []
        self.frame = 1
        self.view = "main"
        self.context: list[Any] = []
        self.layers: dict[str, list[str]] = {
            "rgba": ["rgba.red", "rgba.green", "rgba.blue", "rgba.alpha"],
            "depth": ["depth.Z"],
        }
        self.gizmos: dict[str, str] = {}
        """For each class the file in the plug-in path that makes nodes of it."""
        self.executed: list[tuple[str, int, int, tuple[str, ...]]] = []
        """What nuke.execute rendered: node, first, last, views."""
        self.cancel_execute_after: int | None = None
        """Frames after which the artist cancels the render."""

    def pump(self) -> int:
        """Do what other threads posted, as Nuke's event loop does between two events; how much that was."""
        self.need_main("the event loop")
        done = 0
        while True:
            try:
                work = self.posted.get_nowait()
            except queue.Empty:
                return done
            work()
            done += 1

    def need_main(self, what: str) -> None:
        if threading.current_thread() is not self.main:
            raise Refused(f"{what} was used off the main thread")

    def need_evaluation(self, what: str) -> None:
        self.need_main(what)
        if self.in_callback:
            raise Refused(f"{what} evaluates, and was called inside a callback")

    def need_gui(self, what: str) -> None:
        if not self.gui:
            raise Refused(f"{what} needs a GUI, and this is nuke -t")

    def changed(self, what: str) -> None:
        """Note something that undo records."""
        if not self.undo_off and not self.undo_open and not self.loading:
            self.undo_steps.append(what)

    def call_back(self, event: str, node: Any, knob: Any = None) -> None:
        """Run the callbacks of an event; what they raise is printed by Nuke and lost, which a test must not miss."""
        kind = node.Class() if node is not None else ""
        for wanted, call, node_class in list(self.callbacks):
            if wanted == event and node_class in ("*", kind):
                self.this.append((node, knob))
                self.in_callback += 1
                try:
                    call()
                finally:
                    self.in_callback -= 1
                    self.this.pop()


session = Session(gui=True)


def main_only(method: Call) -> Call:
    """Refuse any other thread: nodes and knobs belong to the main thread."""

    @functools.wraps(method)
    def guarded(*arguments: Any, **named: Any) -> Any:
        session.need_main(method.__qualname__)
        return method(*arguments, **named)

    return guarded  # type: ignore[return-value]


def evaluates(method: Call) -> Call:
    """Makes Nuke compute: not in a callback."""

    @functools.wraps(method)
    def guarded(*arguments: Any, **named: Any) -> Any:
        session.need_evaluation(method.__qualname__)
        return method(*arguments, **named)

    return guarded  # type: ignore[return-value]
