# SPDX-License-Identifier: Apache-2.0
"""Turns Ctrl-C and SIGTERM into a wish to stop, which long work asks for between its steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console


@dataclass
class Stop:
    """Holds whether the user wishes to stop; the run asks between frames."""

    wished: bool = False

    def asked(self) -> bool:
        """Tell whether it is time to stop."""
        return self.wished


@contextmanager
def graceful_stop(console: Console, step: str) -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end the run after the step at hand ('this frame'), and a second one of a kind at once.

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
        console.print(f"stop    The run ends after {step}. Press Ctrl-C again to stop at once.")

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
