# SPDX-License-Identifier: Apache-2.0
"""Ends the engine when a thread that it cannot do without has died or hangs, so that a supervisor restarts it.

Sessions lose nothing: they go on from what is on disk, as after a crash (DR003).

What hangs is told from what takes long by signs of life. The I/O thread never waits, so it must take a turn in every
minute. The device thread may compute for long: it hangs if for ten minutes it had one piece of work, ended no pass of
the network and took no processor time. Computing takes processor time, and so does waiting for a GPU.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

_log = logging.getLogger("matanyone_engine")

ENDED_ITSELF = 14
"""The exit code."""
EVERY_S = 1.0
IO_PATIENCE = 60
DEVICE_PATIENCE = 600
"""Looks without a sign of life. They are counted, not timed: while a process is stopped it does not look."""


@dataclass(frozen=True)
class WatchedThread:
    """Says how to tell that a thread is well."""

    sign: Callable[[], object]
    """What changes while the thread moves; None while it has nothing to do."""
    patience: int
    """Looks at the same sign after which it hangs."""
    thread: threading.Thread | None = None
    """None for the thread whose end is the engine's end anyway."""

    def is_dead(self) -> bool:
        """Return whether it has ended, although it must not."""
        return self.thread is not None and not self.thread.is_alive()


class Watchdog:
    """Runs a thread that looks after others."""

    def __init__(
        self,
        watched: Mapping[str, WatchedThread],
        end: Callable[[str], None] | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        """watched: threads by name. end: what is done; by default the process ends with ENDED_ITSELF."""
        self._watched, self._end, self._every_s = watched, end or end_engine, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def _run(self) -> None:
        last: dict[str, object] = {}
        still = dict.fromkeys(self._watched, 0)
        while not self._over.wait(self._every_s):
            for name, one in self._watched.items():
                sign = one.sign()
                still[name] = still[name] + 1 if sign is not None and sign == last.get(name) else 0
                last[name] = sign
                if one.is_dead():
                    self._end(f"the {name} thread has died")
                    return
                if still[name] >= one.patience:
                    self._end(f"the {name} thread has not moved for {still[name] * self._every_s:.0f} seconds")
                    return


def processor_s(thread: threading.Thread) -> float | None:
    """Return the seconds of processor time that a thread of this process has taken; None where nobody can tell."""
    try:
        for each in psutil.Process().threads():
            if each.id == thread.native_id:
                return float(each.user_time + each.system_time)
    except (psutil.Error, OSError):
        return None
    return None


def end_engine(why: str) -> None:
    """Say why in the log, and end the process at once: threads that hang are not waited for."""
    _log.critical("The engine ends itself: %s. Sessions go on from what is on disk.", why)
    logging.shutdown()
    os._exit(ENDED_ITSELF)
