# SPDX-License-Identifier: Apache-2.0
"""Counts how long each session on disk has not been used, so that a wrong system clock does no harm.

The system's clock may jump by days: the battery is empty, a time server is wrong, a virtual machine is resumed. If ages
were computed from it, all sessions would be deleted as too old. So the time between two calls is added up: it counts
for a day at most, and for nothing if the clock went backwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from matanyone_engine.atomic import whole_file

MOST_STEP_S = 86400.0


class Ages:
    """Keeps the ages of sessions in a file. If the file is damaged, the ages start at 0; no session is lost."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """clock: returns the system's time in seconds."""
        self._path, self._clock = path, clock

    def count(self, touched: Mapping[str, float]) -> dict[str, float]:
        """Update and return the age of each session in seconds.

        touched: for each session's name, the clock's time of the last write. It is only compared with the time of the
        last call, to see whether the session was written to since.
        """
        before, now = self._read(), self._clock()
        step = min(max(0.0, now - before.get("looked", (now, 0.0))[0]), MOST_STEP_S)
        ages = {}
        for name, when in touched.items():
            was, age = before.get(f"session {name}", (None, 0.0))
            ages[name] = age + step if was == when else 0.0
        entries = {f"session {name}": (touched[name], age) for name, age in ages.items()}
        with suppress(OSError), whole_file(self._path) as temporary:
            temporary.write_text(json.dumps({"looked": (now, 0.0), **entries}))
        return ages

    def _read(self) -> dict[str, tuple[float, float]]:
        try:
            found = json.loads(self._path.read_text())
            return {str(name): (float(first), float(second)) for name, (first, second) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}
