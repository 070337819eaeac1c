# SPDX-License-Identifier: Apache-2.0
"""Simulates a bad network between a client and a real engine: messages are lost, doubled, late, and so out of order."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from matanyone_engine.wire.codec import Packet, decode
from matanyone_engine.wire.connection import Connection

Fate = Callable[[Packet], list[float]]
"""What becomes of a message: after how many seconds each copy of it arrives. []: lost. [0.0]: nothing happens to it."""


class LossyWire:
    """Stands between; `connection` is what the client is to be given."""

    def __init__(self, real: Connection, fate: Fate) -> None:
        self._fate = fate
        self._context: zmq.Context[Any] = zmq.Context()
        self._late: list[tuple[float, int, zmq.Socket[bytes], list[bytes]]] = []
        self._count = itertools.count()
        self._clients: dict[zmq.Socket[bytes], bytes] = {}
        self._other: dict[zmq.Socket[bytes], zmq.Socket[bytes]] = {}
        ends = [self._pair(endpoint) for endpoint in (real.data, real.control)]
        self.connection = dataclasses.replace(real, data=ends[0], control=ends[1])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _pair(self, endpoint: str) -> str:
        front, back = self._context.socket(zmq.ROUTER), self._context.socket(zmq.DEALER)
        port = front.bind_to_random_port("tcp://127.0.0.1")
        back.connect(endpoint)
        self._other.update({front: back, back: front})
        return f"tcp://127.0.0.1:{port}"

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in self._other:
            poller.register(socket, zmq.POLLIN)
        while not self._over.is_set():
            for socket, _ in poller.poll(10):
                parts = socket.recv_multipart()
                if socket.type == zmq.ROUTER:
                    self._clients[socket], *parts = parts
                for delay in self._fate(decode(parts[1:])):
                    item = (time.monotonic() + delay, next(self._count), self._other[socket], parts)
                    heapq.heappush(self._late, item)
            while self._late and self._late[0][0] <= time.monotonic():
                *_, socket, parts = heapq.heappop(self._late)
                head = [self._clients[socket]] if socket.type == zmq.ROUTER else []
                socket.send_multipart([*head, *parts])

    def __enter__(self) -> LossyWire:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._context.destroy(linger=0)
