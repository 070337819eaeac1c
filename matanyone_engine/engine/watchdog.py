# SPDX-License-Identifier: Apache-2.0
"""Ends the engine when a thread that it cannot do without has died or stands still, so that a supervisor restarts it.

Sessions lose nothing: they go on from what is on disk, as after a crash (DR003).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping

_log = logging.getLogger("matanyone_engine")

ENDED_ITSELF = 14
"""The exit code."""
EVERY_S = 1.0
PATIENCE = 60
"""Looks without a turn of the I/O thread. They are counted, not timed: while a process is stopped it does not look."""


class Watchdog:
    """Runs a thread that looks after others."""

    def __init__(
        self,
        threads: Mapping[str, threading.Thread],
        turns: Callable[[], int],
        end: Callable[[str], None] | None = None,
        every_s: float = EVERY_S,
        patience: int = PATIENCE,
    ) -> None:
        """threads: those that must live, by name. turns: a number that grows while the I/O thread moves.

        end: what is done about it; by default the process ends with ENDED_ITSELF.
        """
        self._threads, self._turns, self._end = threads, turns, end or end_engine
        self._every_s, self._patience = every_s, patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def _run(self) -> None:
        last, still = self._turns(), 0
        while not self._over.wait(self._every_s):
            dead = [name for name, thread in self._threads.items() if not thread.is_alive()]
            turns = self._turns()
            still = still + 1 if turns == last else 0
            last = turns
            if dead:
                self._end(f"the {dead[0]} thread has died")
                return
            if still >= self._patience:
                self._end(f"the I/O thread has not moved for {still * self._every_s:.0f} seconds")
                return


def end_engine(why: str) -> None:
    """Say why in the log, and end the process at once: threads that hang are not waited for."""
    _log.critical("The engine ends itself: %s. Sessions go on from what is on disk.", why)
    logging.shutdown()
    os._exit(ENDED_ITSELF)
