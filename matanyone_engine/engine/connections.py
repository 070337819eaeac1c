# SPDX-License-Identifier: Apache-2.0
"""Watches the TCP connections of the engine's sockets, and closes those that send more bytes than a message may have.

ZeroMQ compares each part of a message with MAXMSGSIZE, but never all parts together, and it keeps the parts until the
last one has come. So a client that sends parts without end fills this process's memory, even without the token. Here
the system's count of received bytes (TCP_INFO, Linux) is compared with the bytes of the messages that were read.

Rules of this file:
1. It runs on the I/O thread and never waits.
2. A connection is identified by its file descriptor (ZMQ_SRCFD). Descriptors are reused, so nothing is done to one that
   is not a TCP connection to one of the engine's ports.
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
"""Bytes that the system and ZeroMQ may hold in addition to one message: receive buffers, and messages that were just
read."""
_DRIFT_PER_PART, _DRIFT_PER_S = 64, 100
"""Received bytes that belong to no message, for each part and each second: headers of parts, encryption, heartbeats."""
MOST_UNAUTHENTICATED = 256
"""Most connections on one socket that have not said hello with the token; if there are more, the oldest are closed."""
_INFO_BYTES, _RECEIVED_AT = 256, 128
"""For Linux's struct tcp_info: its largest size, and the offset of tcpi_bytes_received."""

ConnectionId = tuple[Channel, int]
"""The socket, and the connection's file descriptor; -1 if ZeroMQ does not tell it."""


@dataclass
class TcpConnection:
    """Holds the state of one connection."""

    port: int
    """The engine's own port."""
    since: float = field(default_factory=time.monotonic)
    known: bool = False
    """Whether a hello with the engine's token has come on it."""
    read: int = 0
    """Bytes of the messages that were read, including the headers of their parts."""

    def unread(self, received: int, now: float) -> int:
        """Returns the number of bytes that have arrived and are not part of a message that was read."""
        return received - self.read - int((now - self.since) * _DRIFT_PER_S)


class Connections:
    """Watches all connections of the engine's sockets."""

    def __init__(self, most_bytes: dict[Channel, int], known_bytes: int, gone: Callable[[ConnectionId], None]) -> None:
        """most_bytes: largest message for each socket. known_bytes: bytes that an authenticated client may send ahead
        in addition.

        gone: called for each connection that has ended.
        """
        self._most, self._known_bytes, self._gone = most_bytes, known_bytes, gone
        self._together = 2 * max(most_bytes.values()) + known_bytes + BUFFERS
        """Most unread bytes of all connections together."""
        self._monitors: dict[Channel, zmq.Socket[bytes]] = {}
        self._open: dict[ConnectionId, TcpConnection] = {}
        self._known_early: set[ConnectionId] = set()
        """Connections whose hello was read before their monitor event, since the last call of look()."""

    def watch(self, channel: Channel, of: zmq.Socket[bytes]) -> None:
        """Watch a socket's connections from now on. It must be called before the socket is bound."""
        self._monitors[channel] = of.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def look(self) -> None:
        """Update the list of connections, and close those that have sent too much."""
        for channel, monitor in self._monitors.items():
            with suppress(zmq.Again):
                while True:
                    self._hear(channel, parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK)))
        self._known_early.clear()  # descriptors are reused
        self._shut_unauthenticated()
        self._shut_over_limit()

    def read(self, connection: ConnectionId, parts: list[Any]) -> None:
        """Count a message that was read from a connection."""
        found = self._open.get(connection)
        if found is not None:
            found.read += sum(len(part.buffer) + _DRIFT_PER_PART for part in parts)

    def introduce(self, connection: ConnectionId) -> None:
        """Mark a connection as authenticated: its client has sent the engine's token."""
        found = self._open.get(connection)
        if found is not None:
            found.known = True
        else:
            self._known_early.add(connection)

    def shut(self, connection: ConnectionId) -> None:
        """Close a connection; the client may connect again."""
        found = self._open.pop(connection, None)
        if found is not None:
            with _tcp(connection[1], found.port) as file, suppress(OSError):
                if file is not None:
                    file.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop watching connections."""
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

    def _shut_unauthenticated(self) -> None:
        for channel in self._monitors:
            unauthenticated = [each for each, found in self._open.items() if each[0] is channel and not found.known]
            for each in unauthenticated[:-MOST_UNAUTHENTICATED]:  # in order of arrival
                self.shut(each)

    def _shut_over_limit(self) -> None:
        """Close each connection that holds more than one message may have, and the largest ones while all together hold
        too much."""
        now = time.monotonic()
        held = {each: found.unread(_received(each[1], found.port), now) for each, found in self._open.items()}
        for each, unread in list(held.items()):
            if unread > self._limit(each):
                self._log_and_shut(each, held.pop(each))
        while sum(max(0, unread) for unread in held.values()) > self._together:
            each = max(held, key=lambda one: (not self._open[one].known, held[one]))
            self._log_and_shut(each, held.pop(each))

    def _limit(self, each: ConnectionId) -> int:
        ahead = self._known_bytes if self._open[each].known and each[0] is Channel.DATA else 0
        return self._most[each[0]] + BUFFERS + ahead

    def _log_and_shut(self, each: ConnectionId, unread: int) -> None:
        _log.warning("A client sent %d bytes on %s that do not form a message; it was cut off.", unread, each[0].value)
        self.shut(each)


def _received(number: int, port: int) -> int:
    """Return the bytes that have arrived on a connection; 0 if the system does not tell."""
    if sys.platform != "linux":
        return 0
    with _tcp(number, port) as file:
        if file is None:
            return 0
        info = file.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return struct.unpack_from("=Q", info, _RECEIVED_AT)[0] if len(info) >= _RECEIVED_AT + 8 else 0


@contextmanager
def _tcp(number: int, port: int) -> Iterator[socket.socket | None]:
    """Yield the socket of this file descriptor if it is still a TCP connection to this port."""
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
