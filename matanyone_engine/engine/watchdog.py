# SPDX-License-Identifier: Apache-2.0
"""Ends the engine if one of its necessary threads has died or hangs, so that a supervisor can restart it.

No session is lost: they continue from what is on disk, as after a crash (DR003). A value that changes while a thread
works tells a hanging thread from a busy one. The I/O thread never waits, so its value must change every minute. The
device thread may compute for long. It hangs if within ten minutes it has finished no pass of the network and used no
processor time; computing and waiting for a GPU both use processor time.
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
IO_CHECKS = 60
DEVICE_CHECKS = 600
"""Checks without a change after which a thread counts as hanging.

They are counted, not timed, because a process that is stopped makes no checks.
"""


@dataclass(frozen=True)
class WatchedThread:
    """Describes how to check that a thread is alive."""

    sign: Callable[[], object]
    """Returns a value that changes while the thread works; None while it has nothing to do."""
    limit: int
    """Checks in a row with the same value after which the thread counts as hanging."""
    thread: threading.Thread | None = None
    """None for a thread whose end ends the engine anyway."""

    def is_dead(self) -> bool:
        """Return whether the thread has ended, which must not happen while the engine runs."""
        return self.thread is not None and not self.thread.is_alive()


class Watchdog:
    """Runs a thread that checks other threads at intervals."""

    def __init__(
        self,
        watched: Mapping[str, WatchedThread],
        end: Callable[[str], None] | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        """watched: threads by name. end: called if one has died or hangs; by default the process ends with
        ENDED_ITSELF."""
        self._watched, self._end, self._every_s = watched, end or end_engine, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the checks."""
        self._thread.start()

    def close(self) -> None:
        """Stop the checks."""
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
                if still[name] >= one.limit:
                    self._end(f"the {name} thread has not moved for {still[name] * self._every_s:.0f} seconds")
                    return


def processor_s(thread: threading.Thread) -> float | None:
    """Return the processor time, in seconds, that a thread of this process has used; None if the system does not
    tell."""
    try:
        for each in psutil.Process().threads():
            if each.id == thread.native_id:
                return float(each.user_time + each.system_time)
    except (psutil.Error, OSError):
        return None
    return None


def end_engine(why: str) -> None:
    """Log the reason and end the process at once, without waiting for threads that hang."""
    _log.critical("The engine ends itself: %s. Sessions go on from what is on disk.", why)
    logging.shutdown()
    os._exit(ENDED_ITSELF)
