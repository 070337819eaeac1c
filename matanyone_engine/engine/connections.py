# SPDX-License-Identifier: Apache-2.0
"""Watches the TCP connections of the engine's sockets, and shuts those that send more than a message may have.

ZeroMQ holds every part of a message against MAXMSGSIZE, but never all parts together, and it keeps the parts until the
last one has come. So whoever sends parts without end fills this process's memory, even a stranger without the token.
Here bytes are counted by the system (TCP_INFO, Linux), and what has arrived is compared with what has been read.

Rules of this file:
1. It runs on the I/O thread and never waits.
2. A connection is known by the number of its file (ZMQ_SRCFD). Numbers are used again: nothing is done to a file that
   is no TCP connection to one of our own ports.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from matanyone_engine.wire.conversation import Channel

_log = logging.getLogger("matanyone_engine")

BUFFERS = 16 << 20
"""Bytes that the system and ZeroMQ may hold besides a message: receive buffers, messages that were just read."""
_DRIFT_PER_PART, _DRIFT_PER_S = 64, 100
"""Bytes that are received and are no message: headers of parts, encryption, heartbeats."""
MOST_STRANGERS = 256
"""Connections on one socket from which no hello has come; more are shut, the oldest first."""
_INFO_BYTES, _RECEIVED_AT = 256, 128
"""Of Linux's struct tcp_info: its size at most, and where tcpi_bytes_received stands."""

ConnectionId = tuple[Channel, int]
"""The socket, and the number of the connection's file; -1 where ZeroMQ does not say."""


@dataclass
class TcpConnection:
    """Holds what is known of one connection."""

    port: int
    """Our own, in which it ends."""
    since: float = field(default_factory=time.monotonic)
    known: bool = False
    """A hello with the engine's token has come through it."""
    read: int = 0
    """Bytes of messages that were read, with what travels beside them."""

    def unread(self, received: int, now: float) -> int:
        """Returns the bytes that have arrived and are no message yet."""
        return received - self.read - int((now - self.since) * _DRIFT_PER_S)


class Connections:
    """Watches all connections of the engine's sockets."""

    def __init__(self, most_bytes: dict[Channel, int], known_bytes: int, gone: Callable[[ConnectionId], None]) -> None:
        """most_bytes: of one message, by socket. known_bytes: what a known client may have sent ahead besides.

        gone: hears of each connection that has ended.
        """
        self._most, self._known_bytes, self._gone = most_bytes, known_bytes, gone
        self._together = 2 * max(most_bytes.values()) + known_bytes + BUFFERS
        """Unread bytes of all connections."""
        self._monitors: dict[Channel, zmq.Socket[bytes]] = {}
        self._open: dict[ConnectionId, TcpConnection] = {}
        self._known_early: set[ConnectionId] = set()
        """Whose hello was read since the last look, before their connection was heard of."""

    def watch(self, channel: Channel, of: zmq.Socket[bytes]) -> None:
        """Hear of a socket's connections from now on; to be called before the socket is bound."""
        self._monitors[channel] = of.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def look(self) -> None:
        """Learn who has come and gone, and shut connections that send too much."""
        for channel, monitor in self._monitors.items():
            with suppress(zmq.Again):
                while True:
                    self._hear(channel, parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK)))
        self._known_early.clear()  # numbers are used again
        self._shut_strangers()
        self._shut_greedy()

    def read(self, connection: ConnectionId, parts: list[Any]) -> None:
        """Note that a message has come out of a connection."""
        found = self._open.get(connection)
        if found is not None:
            found.read += sum(len(part.buffer) + _DRIFT_PER_PART for part in parts)

    def introduce(self, connection: ConnectionId) -> None:
        """Note that the connection's client has said the engine's token."""
        found = self._open.get(connection)
        if found is not None:
            found.known = True
        else:
            self._known_early.add(connection)

    def shut(self, connection: ConnectionId) -> None:
        """End a connection; the client may come again."""
        found = self._open.pop(connection, None)
        if found is not None:
            with _tcp(connection[1], found.port) as file, suppress(OSError):
                if file is not None:
                    file.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop hearing of connections."""
        for monitor in self._monitors.values():
            monitor.close()

    # --------------------------------------------------------------------------------------------- internals

    def _hear(self, channel: Channel, told: Any) -> None:
        number = int(told["value"])
        if told["event"] == zmq.EVENT_ACCEPTED:
            port = int(told["endpoint"].rpartition(b":")[2] or 0) if told["endpoint"].startswith(b"tcp") else 0
            self._open[channel, number] = TcpConnection(port, known=(channel, number) in self._known_early)
        else:
            self._open.pop((channel, number), None)
            self._gone((channel, number))

    def _shut_strangers(self) -> None:
        for channel in self._monitors:
            strangers = [each for each, found in self._open.items() if each[0] is channel and not found.known]
            for each in strangers[:-MOST_STRANGERS]:  # in the order in which they came
                self.shut(each)

    def _shut_greedy(self) -> None:
        """Shut who has sent more than a message; if all together hold too much, the one that holds most."""
        now = time.monotonic()
        held = {each: found.unread(_received(each[1], found.port), now) for each, found in self._open.items()}
        for each, unread in list(held.items()):
            if unread > self._limit(each):
                self._shut_loudly(each, held.pop(each))
        while sum(max(0, unread) for unread in held.values()) > self._together:
            each = max(held, key=lambda one: (not self._open[one].known, held[one]))
            self._shut_loudly(each, held.pop(each))

    def _limit(self, each: ConnectionId) -> int:
        ahead = self._known_bytes if self._open[each].known and each[0] is Channel.DATA else 0
        return self._most[each[0]] + BUFFERS + ahead

    def _shut_loudly(self, each: ConnectionId, unread: int) -> None:
        _log.warning("A client sent %d bytes on %s that are no message; it was cut off.", unread, each[0].value)
        self.shut(each)


def _received(number: int, port: int) -> int:
    """Return the bytes that have arrived through a connection; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    with _tcp(number, port) as file:
        if file is None:
            return 0
        info = file.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return struct.unpack_from("=Q", info, _RECEIVED_AT)[0] if len(info) >= _RECEIVED_AT + 8 else 0


@contextmanager
def _tcp(number: int, port: int) -> Iterator[socket.socket | None]:
    """Yield the connection of this number, if it is still one to our port."""
    try:
        file = socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, ValueError):
        yield None
        return
    with file:
        try:
            ours = file.getsockname()[1] == port
        except (OSError, IndexError):
            ours = False
        yield file if ours else None
