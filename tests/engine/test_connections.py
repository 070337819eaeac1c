# SPDX-License-Identifier: Apache-2.0
"""Connections are watched by what has really arrived, and shut by what they are, not by a number."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from zmtp import send_without_end

from matanyone_engine.engine import connections as module
from matanyone_engine.engine.connections import ConnectionId, Connections
from matanyone_engine.wire.conversation import Channel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO counts bytes on Linux only")
MB = 1 << 20


class Listener:
    """A ROUTER that is watched."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.gone: list[ConnectionId] = []
        most = {Channel.DATA: 2 * MB, Channel.CONTROL: MB}
        self.connections = Connections(most, MB, self.gone.append)
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.MAXMSGSIZE, 2 * MB)
        self.connections.watch(Channel.DATA, self.socket)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def look(self, seconds: float = 0.5) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.connections.look()
            time.sleep(0.01)

    def until(self, true: Callable[[], bool], within_s: float = 20.0) -> None:
        """ZeroMQ tells of connections from a thread of its own, which a busy machine may let wait."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            self.look(0.02)


@pytest.fixture
def listener(context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setattr(module, "BUFFERS", 8 * MB)
    return Listener(context)


def client(context: zmq.Context[Any], listener: Listener) -> zmq.Socket[bytes]:
    made = context.socket(zmq.DEALER)
    made.setsockopt(zmq.LINGER, 0)
    made.connect(f"tcp://127.0.0.1:{listener.port}")
    return made


def test_a_message_with_endless_parts_closes_the_connection(context: zmq.Context[Any], listener: Listener) -> None:
    del context
    taken: list[bool] = []
    sender = threading.Thread(target=lambda: taken.append(send_without_end(listener.port, bytes(MB), 200)))
    sender.start()
    while sender.is_alive():
        listener.look(0.05)
    assert taken == [False]
    listener.until(lambda: len(listener.gone) == 1)


def test_a_client_may_send_any_number_of_messages_that_are_read(context: zmq.Context[Any], listener: Listener) -> None:
    sender = client(context, listener)
    for _ in range(60):
        sender.send_multipart([b"", bytes(MB)])
        parts = listener.socket.recv_multipart(copy=False)
        listener.connections.read((Channel.DATA, int(parts[0].get(zmq.SRCFD))), parts)
        listener.connections.look()
    assert not listener.gone


def test_a_connection_that_ends_is_told(context: zmq.Context[Any], listener: Listener) -> None:
    sender = client(context, listener)
    sender.send(b"x")
    number = int(listener.socket.recv_multipart(copy=False)[0].get(zmq.SRCFD))
    listener.look(0.1)
    assert not listener.gone
    sender.close(0)
    listener.until(lambda: listener.gone == [(Channel.DATA, number)])


def test_only_connections_to_the_engines_own_port_are_closed(context: zmq.Context[Any], listener: Listener) -> None:
    """ZeroMQ closes a file, and its number is given to another."""
    sender = client(context, listener)
    sender.send(b"x")
    listener.until(lambda: len(listener.connections._open) == 1)
    ((channel, number),) = listener.connections._open
    with socket.socket() as other, socket.create_server(("127.0.0.1", 0)) as server:
        other.connect(server.getsockname())
        listener.connections._open[channel, other.fileno()] = listener.connections._open[channel, number]
        listener.connections.shut((channel, other.fileno()))
        accepted, _ = server.accept()
        accepted.settimeout(0.2)
        with accepted, pytest.raises(TimeoutError):
            accepted.recv(1)


def test_a_client_counts_as_known_even_if_its_hello_comes_before_its_connection_event(
    context: zmq.Context[Any], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNAUTHENTICATED", 1)
    sender = client(context, listener)
    sender.send(b"hello")
    assert listener.socket.poll(20_000)
    known = (Channel.DATA, int(listener.socket.recv_multipart(copy=False)[0].get(zmq.SRCFD)))
    listener.connections.introduce(known)
    unauthenticated = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(4)]
    listener.until(lambda: len(listener.gone) == 3)
    assert known in listener.connections._open
    for stranger in unauthenticated:
        stranger.close()


def test_the_number_of_unauthenticated_connections_is_limited(
    context: zmq.Context[Any], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNAUTHENTICATED", 5)
    senders = []
    for _ in range(8):
        senders.append(socket.create_connection(("127.0.0.1", listener.port)))
        listener.until(lambda: len(listener.connections._open) + len(listener.gone) == len(senders))
    assert len(listener.connections._open) == 5
    for sender in senders:
        sender.close()
