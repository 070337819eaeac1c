# SPDX-License-Identifier: Apache-2.0
"""Counts for how long each session on disk was left alone, in a way that a clock cannot spoil.

The system's clock may leap by days: a battery is empty, a time server is wrong, a virtual machine is resumed. Ages that
were taken from it would then cost every session. So time is added up in small steps: what has passed between two looks
counts for a day at most, and a clock that goes backwards counts for nothing.
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
    """Remembers the ages of sessions in a file. A damaged file costs the ages, never a session."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """clock: the system's, in seconds."""
        self._path, self._clock = path, clock

    def count(self, touched: Mapping[str, float]) -> dict[str, float]:
        """Return the age of each session in seconds, and remember it.

        touched: by name, when the session was last written to, as the clock said then: it tells only whether it was
        written to again.
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
