# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM as a wish that long work asks for between its steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console


@dataclass
class Stop:
    """A wish of the user that the run asks for between frames."""

    wished: bool = False

    def asked(self) -> bool:
        """Whether it is time to stop."""
        return self.wished


@contextmanager
def graceful_stop(console: Console, step: str) -> Iterator[Stop]:
    """Ctrl-C and SIGTERM end the run after the step at hand ('this frame'); a second one of a kind ends it at once.

    Launchers such as torchrun pass a SIGTERM on after the terminal's Ctrl-C: that is the same wish.
    """
    stop, heard = Stop(), set[int]()

    def wish(number: int, _frame: FrameType | None) -> None:
        if number in heard:
            raise KeyboardInterrupt
        heard.add(number)
        if stop.wished:
            return
        stop.wished = True
        console.print(f"stop    after {step}; Ctrl-C once more stops at once")

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
