# SPDX-License-Identifier: Apache-2.0
"""Keeps the latest answers in main memory, so that most of them are sent without reading the disk."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload

StoredAnswer = tuple[say.Result, Payload, bytes]
"""A result, the declaration of its alpha, and the alpha's bytes."""


class RecentResults:
    """Holds the latest answers up to a total size; the oldest are dropped first. Any thread may use it."""

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: limit for all alphas together."""
        self._most_bytes, self._bytes = most_bytes, 0
        self._lock = Lock()
        self._answers: OrderedDict[tuple[str, int], StoredAnswer] = OrderedDict()

    def put(self, session: str, seq: int, answer: StoredAnswer) -> None:
        """Keep an answer, replacing an earlier one of the same session and seq."""
        with self._lock:
            self._take((session, seq))
            self._answers[session, seq] = answer
            self._bytes += answer[1].bytes
            while self._bytes > self._most_bytes:
                self._take(next(iter(self._answers)))

    def get(self, session: str, seq: int) -> StoredAnswer | None:
        """Return an answer; None where it is no longer kept."""
        with self._lock:
            return self._answers.get((session, seq))

    def forget(self, session: str) -> None:
        """Drop all answers of a session."""
        with self._lock:
            for key in [key for key in self._answers if key[0] == session]:
                self._take(key)

    def _take(self, key: tuple[str, int]) -> None:
        found = self._answers.pop(key, None)
        if found is not None:
            self._bytes -= found[1].bytes
