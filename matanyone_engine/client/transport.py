# SPDX-License-Identifier: Apache-2.0
"""Owns the two sockets to one run of an engine. It is the only file of this folder that uses ZeroMQ.

After an error the sockets are not used again: reset() opens new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..wire.codec import Packet, decode, encode
from ..wire.connection import Connection
from ..wire.conversation import Channel
from ..wire.errors import Code, WireError

_CUT_OFF, _AUTH = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_AUTH
_PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | _CUT_OFF | _AUTH | _PROTOCOL
_OTHER_MECHANISM = 0x11000002
"""ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH, for which pyzmq has no name: one side encrypts and the other does not."""
_CUTS_BELIEVED = 3
"""Number of failed handshakes in a row that mean a wrong key.

An engine that is just ending breaks off one handshake.
"""


@dataclass(frozen=True)
class ClientKeys:
    """Holds this client's CURVE key pair in Z85, which an engine on another machine requires."""

    public: str
    secret: str


class Transport:
    """Sends and receives packets. Only poll() waits."""

    def __init__(self, connection: Connection, keys: Optional[ClientKeys] = None) -> None:
        """Raises WireError if the engine requires keys and none are given."""
        if connection.server_key is not None and keys is None:
            raise WireError(
                Code.UNAUTHORISED,
                "expected this client's keys: the engine takes encrypted connections only",
                "Make keys with matanyone-engine keys add, and name the file.",
            )
        self.connection = connection
        self._keys = keys
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets: dict[Channel, Any] = {}
        self._monitors: dict[Channel, Any] = {}
        self._welcome: set[Channel] = set()
        self._cuts = 0
        self.refusal: Optional[WireError] = None
        """Why the handshake failed (keys); None if it did not."""
        self._open()

    def _open(self) -> None:
        for channel, endpoint in ((Channel.CONTROL, self.connection.control), (Channel.DATA, self.connection.data)):
            socket = self._context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 16)
            socket.setsockopt(zmq.RECONNECT_IVL, 250)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 8000)
            socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
            if self.connection.server_key is not None and self._keys is not None:
                socket.curve_serverkey = self.connection.server_key.encode()
                socket.curve_publickey = self._keys.public.encode()
                socket.curve_secretkey = self._keys.secret.encode()
            self._monitors[channel] = socket.get_monitor_socket(_WATCHED)
            socket.connect(endpoint)
            self._sockets[channel] = socket

    def send(self, channel: Channel, packet: Packet) -> bool:
        """Send a packet; return False if the socket's queue is full, so that it must be sent again later."""
        try:
            self._sockets[channel].send_multipart([b"", *encode(packet)], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def poll(self, timeout_ms: int) -> list[tuple[Channel, Packet]]:
        """Return the received packets, after waiting at most so long.

        Raises WireError for data that is not a message of the protocol.
        """
        poller = zmq.Poller()
        for socket in (*self._sockets.values(), *self._monitors.values()):
            poller.register(socket, zmq.POLLIN)
        poller.poll(timeout_ms)
        self._watch()
        came = []
        for channel, socket in self._sockets.items():
            while True:
                try:
                    parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                came.append((channel, decode([part.buffer for part in parts[1:]])))
        return came

    def _watch(self) -> None:
        """Watch the socket's monitor. It alone reports that a CURVE handshake failed."""
        for monitor in self._monitors.values():
            while monitor.poll(0):
                told = recv_monitor_message(monitor)
                self._hear(told["event"], told["value"])

    def _hear(self, event: int, value: int) -> None:
        encrypted = self.connection.server_key is not None
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._cuts, self.refusal = 0, None
        elif event == _AUTH:
            self.refusal = _refused("the engine does not know this client's key", _GET_LISTED)
        elif event == _PROTOCOL and value == _OTHER_MECHANISM:
            theirs = "plain" if encrypted else "encrypted"
            self.refusal = _refused(f"the engine takes {theirs} connections only", _GET_FILE)
        elif event == _CUT_OFF and encrypted:
            self._cuts += 1
            if self._cuts >= _CUTS_BELIEVED:
                self.refusal = _refused("the engine's key is not the one of the connection file", _GET_FILE)

    def reset(self, connection: Connection) -> None:
        """Open new sockets to this connection, which may be a new run of the engine."""
        self._close_sockets()
        self.connection, self._cuts, self.refusal = connection, 0, None
        self._open()

    def close(self) -> None:
        """Close the sockets without waiting for messages that were not sent yet."""
        self._close_sockets()
        self._context.destroy(linger=0)

    def _close_sockets(self) -> None:
        for socket in self._sockets.values():
            socket.disable_monitor()
        for socket in (*self._monitors.values(), *self._sockets.values()):
            socket.close(linger=0)


_GET_LISTED = "Have your public key put into the engine's clients folder (matanyone-engine keys add)."
_GET_FILE = "Get the engine's connection file anew, and compare its server key."


def _refused(why: str, action: str) -> WireError:
    return WireError(Code.UNAUTHORISED, f"authentication failed: {why}", action)
