# SPDX-License-Identifier: Apache-2.0
"""Reads which clients may come to an engine with keys, from the folder of their public keys, whenever it changes.

A client that is added needs no restart of the engine; one whose key is removed is cut off within a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

EVERY_S = 0.25


class ListedClients:
    """Reads the folder on a thread of its own: it may lie on a share that is away for a while."""

    def __init__(
        self, folder: Path, authenticator: ThreadAuthenticator, changed: Callable[[frozenset[str]], None]
    ) -> None:
        """changed: hears the listed keys (Z85) whenever they are others; on the thread of this class."""
        self._folder, self._authenticator, self._changed = folder, authenticator, changed
        self._listed: frozenset[str] | None = None
        self._seen: tuple[object, ...] = ()
        self._over = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._run, name="client keys", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Read the folder if it has changed. A folder that is away for a moment changes nothing."""
        try:
            seen = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self._folder.iterdir()))
            if seen == self._seen:
                return
            listed = frozenset(key.decode() for key in zmq.auth.load_certificates(str(self._folder)))
            self._authenticator.configure_curve(domain="*", location=str(self._folder))
        except (OSError, ValueError):  # a key may be written this very moment
            return
        self._seen, before = seen, self._listed
        self._listed = listed
        if before is not None and listed != before:
            self._changed(listed)

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look()
