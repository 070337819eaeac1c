# SPDX-License-Identifier: Apache-2.0
"""Replaces Flamenco's Manager in tests: an HTTP server that accepts jobs of one type, and keeps them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Manager:
    """Says where it is, and keeps the jobs that it was given."""

    address: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def manager_running() -> Iterator[Manager]:
    """Yield a Manager on this machine, which ends with the block."""
    manager = Manager()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/api/v3/jobs" and said["type"] == "matanyone-matte"
            if known:
                manager.taken.append(said)
            answer = {"id": "0815"} if known else {"code": 400, "message": "job type unknown"}
            self.send_response(200 if known else 400)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    manager.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield manager
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
