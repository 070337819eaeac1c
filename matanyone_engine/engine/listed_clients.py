# SPDX-License-Identifier: Apache-2.0
"""Reads which clients may connect to an engine with keys, from the folder of their public keys, whenever it changes.

A new client can connect without a restart of the engine; a client whose key is removed is disconnected within a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

EVERY_S = 0.25


class ListedClients:
    """Reads the folder on a separate thread, since it may lie on network storage that does not answer for a while."""

    def __init__(
        self, folder: Path, authenticator: ThreadAuthenticator, changed: Callable[[frozenset[str]], None]
    ) -> None:
        """changed: called with the listed keys (Z85) whenever they have changed, on the thread of this class."""
        self._folder, self._authenticator, self._changed = folder, authenticator, changed
        self._listed: frozenset[str] | None = None
        self._seen: tuple[object, ...] = ()
        self._over = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._run, name="client keys", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Read the folder if it has changed. If it cannot be read for a moment, the list stays as it is."""
        try:
            seen = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self._folder.iterdir()))
            if seen == self._seen:
                return
            listed = frozenset(key.decode() for key in zmq.auth.load_certificates(str(self._folder)))
            self._authenticator.configure_curve(domain="*", location=str(self._folder))
        except (OSError, ValueError):  # a key may be being written at this moment
            return
        self._seen, before = seen, self._listed
        self._listed = listed
        if before is not None and listed != before:
            self._changed(listed)

    def close(self) -> None:
        """Stop the thread."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look()
