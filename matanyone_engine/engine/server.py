# SPDX-License-Identifier: Apache-2.0
"""Owns the engine's two sockets and the thread that serves them. All decisions are made elsewhere.

Rules of this file:
1. Only one thread uses the sockets. Other threads put events into a queue and wake that thread.
2. The thread never waits: not for a slow client, whose answers are stored, and not for another thread.
3. Anything that is not exactly a message of the protocol is answered with one Fault and changes nothing. Its memory is
   freed at once: no exception keeps its bytes.
"""

from __future__ import annotations

import hmac
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from matanyone_engine.atomic import confine_writes
from matanyone_engine.engine import events as on
from matanyone_engine.engine.connections import ConnectionId, Connections
from matanyone_engine.engine.engine import Engine, EngineReport, EngineSettings, Figures
from matanyone_engine.engine.faults import logged_wire_error
from matanyone_engine.engine.listed_clients import ListedClients
from matanyone_engine.engine.watchdog import IO_CHECKS, Watchdog, WatchedThread, end_engine
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.allocator import give_freed_memory_back
from matanyone_engine.version import __version__
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.codec import MOST_HEADER_BYTES, MOST_PAYLOADS, Packet, decode, encode, malformed, too_large
from matanyone_engine.wire.connection import Connection, read_connection, write_connection
from matanyone_engine.wire.conversation import Channel, check_request
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.limits import check_values
from matanyone_engine.wire.text import printable_fields

_log = logging.getLogger("matanyone_engine")

_TICK_MS = 250
_LOOK_MS = 50
"""Most seconds between two checks of the connections, and so the longest time that a client can send too much."""
_MOST_CONTROL_BYTES = 1 << 20
_MOST_ROUTES = 1024
"""Most clients that have said hello, on both sockets together; the one that was silent longest is dropped for a new
one."""
_PEER_SILENT_S = 600.0
_CLOSING_S = 120.0
_ROUND = 64
"""Most messages that are read from one socket before the other one is read."""
_LARGE = 16 << 20
"""Size in bytes from which the memory of a refused message is given back to the system at once.

This process keeps freed memory (jobs/allocator.py), so bad messages to an idle engine would make it keep half a
gigabyte.
"""
_ADDRESS = re.compile(r"tcp://[^\s/]+:(\d+|\*)")
_LOOPBACK = re.compile(r"tcp://(127\.\d+\.\d+\.\d+|\[::1\]):(\d+|\*)")


@dataclass(frozen=True)
class Binding:
    """Says on which addresses the engine listens, and which clients may connect."""

    data: str = "tcp://127.0.0.1:*"
    control: str = "tcp://127.0.0.1:*"
    curve: Path | None = None
    """The folder that `matanyone-engine keys new` made: engine.key_secret, and clients/ with the clients' public
    keys."""

    def __post_init__(self) -> None:
        for endpoint in (self.data, self.control):
            if not _ADDRESS.fullmatch(endpoint):
                raise SettingError(
                    expected="an address of the network, such as tcp://*:5555",
                    came=endpoint,
                    action="Name an address of this machine and a port, or leave the option out.",
                )
            if self.curve is None and not _LOOPBACK.fullmatch(endpoint):
                raise SettingError(
                    expected="keys for an engine that others can reach over the network",
                    came=f"the address {endpoint}, and no keys",
                    action="Make keys with matanyone-engine keys new FOLDER, and serve with --keys FOLDER.",
                )


@dataclass
class _Peer:
    """Holds a client that has said hello on one socket."""

    name: str
    client: str
    heard: float
    connection: ConnectionId
    key: str
    """The client's public key (Z85); empty if the connection is not encrypted."""


Route = tuple[Channel, bytes]


class Server:
    """Serves an Engine on two sockets."""

    def __init__(
        self,
        settings: EngineSettings,
        binding: Binding,
        connection_file: Path | None,
        token: str,
        publish: Callable[[Figures], None] | None = None,
    ) -> None:
        """Bind, start the engine's threads, and write the connection file. Raises EngineError, OSError.

        publish: called with the engine's figures at intervals (metrics.py).
        """
        self._publish = publish
        self._events: queue.SimpleQueue[EngineReport] = queue.SimpleQueue()
        self._context = zmq.Context()
        self._wake_up = _WakeUp(self._context)
        self._token = token
        self._routes: dict[Route, _Peer] = {}
        self._control_of: dict[str, bytes] = {}
        self._ending = False
        self._authenticator: ThreadAuthenticator | None = None
        self._listed: ListedClients | None = None
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """Work that other threads want done on the I/O thread."""
        self._turns = 0
        self.engine = Engine(settings, self._post, self._answer, self._notify)
        secrets = self._secure(binding)
        self._most = {Channel.CONTROL: _MOST_CONTROL_BYTES, Channel.DATA: settings.most_message_bytes}
        self._connections = Connections(self._most, settings.window_bytes, self._left)
        self._sockets = {
            Channel.CONTROL: self._socket(Channel.CONTROL, binding.control, secrets),
            Channel.DATA: self._socket(Channel.DATA, binding.data, secrets),
        }
        self.connection = Connection(
            data=self._endpoint(Channel.DATA),
            control=self._endpoint(Channel.CONTROL),
            token=token,
            epoch=self.engine.epoch,
            pid=os.getpid(),
            engine=__version__,
            server_key=secrets[0].decode() if secrets else None,
        )
        self._connection_file = connection_file
        if connection_file is not None:
            write_connection(connection_file, self.connection)

    def _secure(self, binding: Binding) -> tuple[bytes, bytes] | None:
        """Require listed client keys, and return the engine's CURVE keys; None for an unencrypted loopback address."""
        if binding.curve is None:
            return None
        public, secret = zmq.auth.load_certificate(binding.curve / "engine.key_secret")
        if secret is None:
            raise SettingError(
                expected=f"a secret key in {binding.curve / 'engine.key_secret'}",
                came="a file without one",
                action="Make new keys: matanyone-engine keys new FOLDER.",
            )
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._listed = ListedClients(binding.curve / "clients", self._authenticator, self._listed_are)
        return public, secret

    def _listed_are(self, keys: frozenset[str]) -> None:
        """Have the clients disconnected whose keys are no longer listed; called from another thread."""
        self._calls.put(lambda: self._cut_unlisted(keys))
        self._wake_up.ring()

    def _cut_unlisted(self, keys: frozenset[str]) -> None:
        for route, peer in list(self._routes.items()):
            if peer.key and peer.key not in keys:
                _log.info("The key of client %r is no longer listed; its connection is cut.", peer.client)
                self._forget_route(route)
                self._connections.shut(peer.connection)

    def _socket(self, channel: Channel, endpoint: str, secrets: tuple[bytes, bytes] | None) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        self._connections.watch(channel, socket)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, self._most[channel])
        socket.setsockopt(zmq.SNDHWM, 16)
        socket.setsockopt(zmq.RCVHWM, 16)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        if secrets is not None:
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = secrets
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise SettingError(
                expected=f"to listen at {endpoint}",
                came=str(error),
                action="Another program uses this port: choose another port, or leave it out to get a free one.",
            ) from error
        return socket

    def _endpoint(self, channel: Channel) -> str:
        return str(self._sockets[channel].get_string(zmq.LAST_ENDPOINT))

    # --------------------------------------------------------------------------------------------------- loop

    def run(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Serve until the engine is told to end.

        An unexpected error on this thread ends the process with watchdog.ENDED_ITSELF.
        """
        io = WatchedThread(lambda: self._turns, IO_CHECKS)
        watchdog = Watchdog({"I/O": io, "device": self.engine.watched_device()})
        watchdog.start()
        confine_writes(self.engine.writes_in())
        try:
            self._serve(stopping, watchdog)
        except Exception:
            _log.exception("A defect of the engine's I/O thread")
            end_engine("the I/O thread has failed")
        finally:
            confine_writes(None)

    def _serve(self, stopping: Callable[[], bool], watchdog: Watchdog) -> None:
        poller = zmq.Poller()
        for socket in (*self._sockets.values(), self._wake_up.heard):
            poller.register(socket, zmq.POLLIN)
        next_tick = time.monotonic()
        while not (self._ending or stopping()):
            poller.poll(_LOOK_MS)
            self._turn()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + _TICK_MS / 1000
                self._forget_silent()
                self._ending = self._ending or not self.engine.tick()
                if self._publish is not None:
                    self._publish(self.engine.figures())
        self._end(poller, watchdog)

    def _turn(self) -> None:
        """Handle all messages and events that have come since the last call."""
        self._turns += 1
        self._wake_up.clear()
        self._connections.look()
        for channel, socket in self._sockets.items():
            for _ in range(_ROUND):
                try:
                    parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                refused = self._receive(channel, parts)
                del parts  # otherwise the last message would stay in memory until the next one comes
                if refused >= _LARGE:
                    give_freed_memory_back()  # no frame will use this memory
        with suppress(queue.Empty):
            while True:
                self._calls.get_nowait()()
        with suppress(queue.Empty):
            while True:
                self.engine.handle(self._events.get_nowait())

    def _end(self, poller: zmq.Poller, watchdog: Watchdog) -> None:
        """Put every session on disk, then close the sockets."""
        self.engine.handle(on.Closing())
        deadline = time.monotonic() + _CLOSING_S
        while not self.engine.scheduler.idle and time.monotonic() < deadline:
            poller.poll(50)
            self._turn()
        self._unlist()
        watchdog.close()
        self.engine.close()
        if self._listed is not None:
            self._listed.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._connections.close()
        for socket in self._sockets.values():
            socket.close()
        self._wake_up.heard.close()
        self._context.destroy(linger=1000)

    def _unlist(self) -> None:
        """Remove the connection file, unless a newer engine has written its own there."""
        if self._connection_file is None:
            return
        try:
            ours = read_connection(self._connection_file).epoch == self.engine.epoch
        except WireError:
            return
        if ours:
            self._connection_file.unlink(missing_ok=True)

    def _forget_silent(self) -> None:
        now = time.monotonic()
        for route in [route for route, peer in self._routes.items() if now - peer.heard > _PEER_SILENT_S]:
            self._forget_route(route)

    def _left(self, connection: ConnectionId) -> None:
        """Forget the client of a connection that has ended."""
        for route in [route for route, peer in self._routes.items() if peer.connection == connection]:
            self._forget_route(route)

    def _forget_route(self, route: Route) -> None:
        peer = self._routes.pop(route)
        if self._control_of.get(peer.name) == route[1]:
            del self._control_of[peer.name]

    # ------------------------------------------------------------------------------------------------ messages

    def _receive(self, channel: Channel, parts: list[Any]) -> int:
        """Handle one message; if it is wrong, answer its sender with a fault.

        Returns the size in bytes of a message that was refused, 0 for one that was accepted.
        """
        route = (channel, parts[0].bytes)
        connection = (channel, _file_of(parts[0]))
        self._connections.read(connection, parts)
        body = parts[2:] if len(parts) > 1 and not len(parts[1].buffer) else parts[1:]
        number = 0
        try:
            self._check_size(channel, body)
            packet = decode([part.buffer for part in body])
            number = packet.id
            names = tuple(payload.name for payload in packet.payloads)
            check_request(packet.message, channel, names, known=route in self._routes)
            self._handle(route, packet, connection, _key_of(parts[0]))
        except Exception as error:  # also an unexpected error: one message must not end the engine
            told = logged_wire_error(error)  # this frees the message
            number = told.about or number
            self.engine.refuse(on.Requester("", number, route), told)
            return sum(len(part.buffer) for part in body)
        return 0

    def _check_size(self, channel: Channel, body: list[Any]) -> None:
        """Compare the size of all parts of a message together with the limit. Raises WireError."""
        if len(body) > 2 + MOST_PAYLOADS:
            raise malformed(f"expected 2 to {2 + MOST_PAYLOADS} parts, got {len(body)}")
        most, came = self._most[channel] + MOST_HEADER_BYTES, sum(len(part.buffer) for part in body)
        if came > most:
            raise too_large(f"a message of at most {self._most[channel]} bytes", came)

    def _handle(self, route: Route, packet: Packet, connection: ConnectionId, key: str) -> None:
        message = packet.message
        if isinstance(message, say.Hello):
            self._greet(route, message, connection, key)
        else:
            check_values(message)
        peer = self._routes[route]
        peer.heard = time.monotonic()
        self.engine.handle(on.ClientHeard(peer.name, peer.heard))
        who = on.Requester(peer.name, packet.id, route)
        reply = self._at_once(message)
        if reply is not None:
            self._answer(who, Packet(packet.id, reply))
        else:
            self.engine.ask(who, packet, peer.client)

    def _at_once(self, message: say.Message) -> say.Message | None:
        """Answer a request that needs no scheduler."""
        if isinstance(message, say.Hello):
            return self.engine.welcome()
        if isinstance(message, say.Ping):
            return self.engine.pong()
        if isinstance(message, say.Status):
            return self.engine.report()
        if isinstance(message, say.ListSessions):
            return self.engine.sessions()
        if isinstance(message, say.Shutdown):
            self._ending = True
            return say.Goodbye()
        return None

    def _greet(self, route: Route, hello: say.Hello, connection: ConnectionId, key: str) -> None:
        if not hmac.compare_digest(hello.token.encode(errors="replace"), self._token.encode()):
            raise WireError(
                Code.UNAUTHORISED, "expected the engine's token, got another", "Read the connection file again."
            )
        check_values(hello)
        if not re.fullmatch(r"[0-9a-f]{32}", hello.peer):
            raise WireError(Code.MALFORMED, "peer: expected 32 hexadecimal digits", "This is a defect of the sender.")
        if route in self._routes:
            self._forget_route(route)
        elif len(self._routes) >= _MOST_ROUTES:
            self._forget_route(min(self._routes, key=lambda each: self._routes[each].heard))
        self._routes[route] = _Peer(hello.peer, hello.client, time.monotonic(), connection, key)
        self._connections.introduce(connection)
        if route[0] is Channel.CONTROL:
            self._control_of[hello.peer] = route[1]

    # ------------------------------------------------------------------------------------------------- sending

    def _post(self, event: EngineReport) -> None:
        """Pass a report from any thread to the I/O thread."""
        self._events.put(event)
        self._wake_up.ring()

    def _answer(self, who: on.Requester, packet: Packet) -> None:
        assert isinstance(who.route, tuple)
        self._send(who.route[0], who.route[1], packet)

    def _notify(self, peer: str, packet: Packet) -> None:
        identity = self._control_of.get(peer)
        if identity is not None:
            self._send(Channel.CONTROL, identity, packet)

    def _send(self, channel: Channel, identity: bytes, packet: Packet) -> None:
        """Send an answer if that is possible without waiting. A client that is gone or too slow asks again later, and
        gets the stored answer.
        """
        packet = replace(packet, message=printable_fields(packet.message))
        try:
            self._sockets[channel].send_multipart([identity, b"", *encode(packet)], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            _log.info("An answer was not sent (%s); it is stored.", error)


def _file_of(part: Any) -> int:
    """Return the connection's file descriptor; -1 if ZeroMQ does not tell it."""
    try:
        return int(part.get(zmq.SRCFD))
    except (zmq.ZMQError, ValueError):
        return -1


def _key_of(part: Any) -> str:
    """Return the sender's public key (Z85); empty if the connection is not encrypted."""
    try:
        return str(part.get("User-Id"))
    except (zmq.ZMQError, ValueError):
        return ""


class _WakeUp:
    """Wakes the poller from other threads; each thread uses its own socket."""

    _ADDRESS = "inproc://bell"

    def __init__(self, context: zmq.Context[Any]) -> None:
        self._context = context
        self.heard = context.socket(zmq.PULL)
        self.heard.bind(self._ADDRESS)
        self._local = threading.local()

    def ring(self) -> None:
        """Wake the poller from any thread. Several calls before the poller reacts count as one."""
        if not hasattr(self._local, "socket"):
            self._local.socket = self._context.socket(zmq.PUSH)
            self._local.socket.setsockopt(zmq.SNDHWM, 8)
            self._local.socket.setsockopt(zmq.LINGER, 0)
            self._local.socket.connect(self._ADDRESS)
        try:
            self._local.socket.send(b"", zmq.NOBLOCK)
        except zmq.Again:
            return

    def clear(self) -> None:
        """Remove all wake-ups so far."""
        while True:
            try:
                self.heard.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
