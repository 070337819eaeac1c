# SPDX-License-Identifier: Apache-2.0
"""Turns Ctrl-C and SIGTERM into a request to stop, which long work checks between its steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console


@dataclass
class StopRequest:
    """Holds whether the user has asked for a stop; a run checks it between frames."""

    made: bool = False

    def requested(self) -> bool:
        """Return whether the user has asked for a stop."""
        return self.made


@contextmanager
def graceful_stop(console: Console, step: str) -> Iterator[StopRequest]:
    """Let the first Ctrl-C or SIGTERM end the run after the current step ('this frame'), and a second one at once.

    Launchers such as torchrun send a SIGTERM after the terminal's Ctrl-C: that counts as the same request. So only a
    second signal of the same kind stops the run at once.
    """
    stop, heard = StopRequest(), set[int]()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number in heard:
            raise KeyboardInterrupt
        heard.add(number)
        if stop.made:
            return
        stop.made = True
        console.print(f"stop    The run ends after {step}. Press Ctrl-C again to stop at once.")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
