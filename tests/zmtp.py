# SPDX-License-Identifier: Apache-2.0
"""Speaks ZeroMQ's protocol (ZMTP 3.0) without its library, so that a message may be left unfinished."""

from __future__ import annotations

import socket
import struct

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"


def connect(port: int) -> socket.socket:
    """Return a connection that has greeted and may send parts."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(_GREETING)
    received = b""
    while len(received) < 64:
        received += made.recv(1024)
    made.sendall(bytes([4, len(_READY)]) + _READY)
    return made


def part(data: bytes, *, more: bool = True) -> bytes:
    """Return one part as it travels."""
    return bytes([2 | more]) + struct.pack(">Q", len(data)) + data


def send_without_end(port: int, data: bytes, times: int) -> bool:
    """Send that many parts of a message that never ends; whether the other side took them all."""
    with connect(port) as sender:
        sender.settimeout(60)  # of a machine that does other things as well; an end of the connection is seen at once
        try:
            for _ in range(times):
                sender.sendall(part(data))
            return sender.recv(1024 * 64) != b"" and sender.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False
