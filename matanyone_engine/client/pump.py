# SPDX-License-Identifier: Apache-2.0
"""Holds a conversation with an engine and never blocks: call ask(), and let a timer call poll().

Rules of this file:
1. Every request ends in exactly one answer: the engine's, or a Fault that this side found out.
2. Requests may be sent more than once: the engine answers a repeated one from what it has stored.
3. Three kinds of silence are told apart: unreachable (no answer at all), stalled (it answers, its device does not
   move), and busy (loading weights, seeding a large frame): State.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from ..wire.arrays import Payload
from ..wire.codec import Packet, verify
from ..wire.connection import Connection
from ..wire.conversation import EVENTS, EXCHANGES, Channel, check_reply
from ..wire.errors import Code, WireError
from ..wire.messages import Fault, Hello, Message, Ping, Pong, Welcome
from .transport import ClientKeys, Transport

PING_S = 1.0
SILENT_PINGS = 3
RESEND_S = 30.0
BACK_OFF_S = (0.25, 8.0)
PATIENCE_S = {"loading": 300.0, "seeding": 120.0, "stepping": 60.0}
"""How long the device may go without progress before it counts as stalled."""


class State(Enum):
    """Names the states of the engine that an artist is told."""

    CONNECTING = "connecting"
    READY = "ready"
    BUSY = "busy"
    """At work: loading, seeding, stepping."""
    STALLED = "stalled"
    """The engine answers and its device does not move: wait, or restart it."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """The keys do not match, or the versions."""


@dataclass(frozen=True)
class Arrived:
    """Holds the answer to a request, or something the engine says unasked (request 0)."""

    request: int
    message: Message
    payloads: tuple[Payload, ...] = ()
    data: tuple[Any, ...] = ()


@dataclass
class _Pending:
    packet: Packet
    channel: Channel
    asked: float
    sent: Optional[float] = None
    resend_s: float = field(default_factory=lambda: RESEND_S)


@dataclass
class _Health:
    pinged: float = 0.0
    heard: float = 0.0
    pong: Optional[Pong] = None
    lost: int = 0
    """Reconnections since the engine was last heard."""
    next_try: float = 0.0
    welcomes: dict[Channel, Welcome] = field(default_factory=dict)


class EnginePump:
    """Takes requests and gives their answers, whatever happens to the connection."""

    def __init__(
        self,
        find: Callable[[], Connection],
        client: str = "",
        keys: Optional[ClientKeys] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """find: where the engine is now; asked again whenever it is lost. Raises WireError where there is none."""
        self._find, self._client, self._clock = find, client, clock
        self.peer = secrets.token_hex(16)
        self._transport = Transport(find(), keys)
        self._number = 0
        self._pending: dict[int, _Pending] = {}
        self._health = _Health(heard=clock())
        self._faults: list[Arrived] = []
        self._foreign: Optional[WireError] = None
        """What answers speaks another version of the protocol."""
        self._greet()

    # --------------------------------------------------------------------------------------------------- asking

    def ask(self, message: Message, payloads: tuple[Payload, ...] = (), data: tuple[Any, ...] = ()) -> int:
        """Send a request as soon as possible; return its number. Pixels must not be altered before the answer."""
        self._number += 1
        packet = Packet(self._number, message, payloads, data)
        channels = EXCHANGES[type(message)].channels
        channel = Channel.CONTROL if Channel.CONTROL in channels else Channel.DATA
        self._pending[packet.id] = _Pending(packet, channel, self._clock())
        self._send_what_waits()
        return packet.id

    def give_up(self, request: int) -> None:
        """Drop the answer to a request, if it comes."""
        self._pending.pop(request, None)

    def poll(self, timeout_ms: int = 0) -> list[Arrived]:
        """Return everything that has come; a timer of a user interface calls it with 0, so that it never waits."""
        arrived, self._faults = self._faults, []
        try:
            packets = self._transport.poll(timeout_ms)
        except WireError as error:
            packets = []
            self._reconnect()
            self._foreign = error if error.code is Code.VERSION else None
        run = self._transport.connection
        for channel, packet in packets:
            if self._transport.connection != run:
                break  # one of them led to a new run; the others still came from the last
            self._health.heard, self._health.lost, self._foreign = self._clock(), 0, None
            arrived.extend(self._received(channel, packet))
        self._keep_alive()
        self._send_what_waits()
        return arrived

    def close(self) -> None:
        """Leave. Sessions stay: the engine parks them when their lease is over."""
        self._transport.close()

    # --------------------------------------------------------------------------------------------------- health

    @property
    def state(self) -> State:
        """Return how the engine is, as far as can be told."""
        now, health = self._clock(), self._health
        if self.refusal is not None:
            return State.REFUSED
        if now - health.heard > PING_S * SILENT_PINGS:
            return State.UNREACHABLE
        if len(health.welcomes) < len(Channel) or health.pong is None:
            return State.CONNECTING
        patience = PATIENCE_S.get(health.pong.activity)
        if patience is None:
            return State.READY
        return State.STALLED if health.pong.progress_age_s > patience else State.BUSY

    @property
    def refusal(self) -> Optional[WireError]:
        """Return why the state is REFUSED, where it is."""
        return self._transport.refusal or self._foreign

    @property
    def connection(self) -> Connection:
        """Return the run of the engine that is talked to."""
        return self._transport.connection

    @property
    def welcome(self) -> Optional[Welcome]:
        """Return what the engine said of itself; None while it is not reached."""
        return self._health.welcomes.get(Channel.DATA)

    @property
    def pong(self) -> Optional[Pong]:
        """Return what its device did a moment ago."""
        return self._health.pong

    # ------------------------------------------------------------------------------------------------ internals

    def _greet(self) -> None:
        self._health.welcomes.clear()
        for channel in Channel:
            self._say_hello(channel)
        for pending in self._pending.values():
            pending.sent = None

    def _say_hello(self, channel: Channel) -> None:
        hello = Hello(self._transport.connection.token, self.peer, self._client)
        self._transport.send(channel, Packet(0, hello))

    def _received(self, channel: Channel, packet: Packet) -> list[Arrived]:
        message = packet.message
        if isinstance(message, Welcome):
            self._health.welcomes[channel] = message
            return []
        if isinstance(message, Pong):
            self._health.pong = message
            return []
        if type(message) in EVENTS:
            return [Arrived(0, message)]
        pending = self._pending.get(packet.id)
        if pending is None:
            return self._about_hello(message) if packet.id == 0 else []  # else late, for what was given up
        if isinstance(message, Fault) and message.code == Code.UNAUTHORISED.value:
            self._greet()  # another run of the engine behind the same port
            return []
        return self._answered(pending, packet)

    def _about_hello(self, message: Message) -> list[Arrived]:
        """Take an answer to hello or ping. A Fault before both sides have met says that the engine refuses us.

        A token that another run of the engine refuses is no refusal where its file names that run by now.
        """
        if not isinstance(message, Fault) or len(self._health.welcomes) == len(Channel):
            return []
        if message.code == Code.UNAUTHORISED.value and self._follows_another_run():
            return []
        gone, self._pending = self._pending, {}
        return [Arrived(number, message) for number in gone]

    def _answered(self, pending: _Pending, packet: Packet) -> list[Arrived]:
        try:
            check_reply(pending.packet.message, packet.message, tuple(payload.name for payload in packet.payloads))
            verify(packet)
        except WireError as error:
            if error.code is Code.CHECKSUM:
                pending.sent = None  # ask again: it is stored
                return []
            packet = Packet(packet.id, Fault(error.code.value, error.message, error.action, error.retryable))
        del self._pending[packet.id]
        return [Arrived(packet.id, packet.message, packet.payloads, packet.data)]

    def _send_what_waits(self) -> None:
        now = self._clock()
        for number, pending in list(self._pending.items()):
            due = pending.sent is None or now - pending.sent > pending.resend_s
            welcome = self._health.welcomes.get(pending.channel)
            if not due or welcome is None:
                continue
            if sum(payload.bytes for payload in pending.packet.payloads) + (1 << 17) > welcome.most_message_bytes:
                del self._pending[number]
                self._faults.append(Arrived(number, _too_large(pending.packet, welcome)))
            elif self._transport.send(pending.channel, pending.packet):
                pending.resend_s *= 1 if pending.sent is None else 2
                pending.sent = now

    def _keep_alive(self) -> None:
        """Ping the engine; when nothing is heard for long, look for it anew."""
        now, health = self._clock(), self._health
        if now - health.pinged >= PING_S:
            health.pinged = now
            if Channel.CONTROL in health.welcomes:
                self._transport.send(Channel.CONTROL, Packet(0, Ping()))
            if len(health.welcomes) == 1:
                # One channel's hello was lost. The other is answered, so there is no silence that would end this.
                for channel in set(Channel) - set(health.welcomes):
                    self._say_hello(channel)
        silent = now - health.heard > PING_S * SILENT_PINGS
        if silent and now >= health.next_try:
            self._reconnect()

    def _reconnect(self) -> None:
        health = self._health
        first, most = BACK_OFF_S
        delay = min(first * 2**health.lost, most)
        health.lost += 1
        health.next_try = self._clock() + PING_S * SILENT_PINGS + delay * (1 + random.random() / 4)
        try:
            connection = self._find()
        except WireError:
            return  # gone for now; its file will be back with it
        if self._transport.refusal is not None and connection == self._transport.connection:
            return  # nothing has changed: it would refuse again
        self._turn_to(connection)

    def _follows_another_run(self) -> bool:
        """Turn to the run of the engine that can be found now; return whether it is another than before."""
        try:
            connection = self._find()
        except WireError:
            return False
        if connection == self._transport.connection:
            return False
        self._turn_to(connection)
        return True

    def _turn_to(self, connection: Connection) -> None:
        self._transport.reset(connection)
        self._greet()


def _too_large(packet: Packet, welcome: Welcome) -> Fault:
    came = sum(payload.bytes for payload in packet.payloads)
    return Fault(
        Code.TOO_LARGE.value,
        f"expected messages of at most {welcome.most_message_bytes} bytes, got {came}",
        "Send half instead of float, or start the engine with a larger --message-limit.",
        False,
    )
