# SPDX-License-Identifier: Apache-2.0
"""Holds a conversation with an engine and never blocks: call ask(), and let a timer call poll().

Rules of this file:
1. Every request gets exactly one answer: the engine's, or a Fault that this client makes itself.
2. A request may be sent more than once: the engine answers a repeated one from its store.
3. Three reasons for a missing answer are distinguished (State): unreachable (nothing answers), stalled (the engine
   answers, but its device makes no progress), and busy (it loads weights or computes a large frame).
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
STALLED_AFTER_S = {"loading": 300.0, "seeding": 120.0, "stepping": 60.0}
"""Seconds without progress after which the device counts as stalled, by activity."""


class State(Enum):
    """Names the states of the engine that are shown to an artist."""

    CONNECTING = "connecting"
    READY = "ready"
    BUSY = "busy"
    """At work: loading, seeding, stepping."""
    STALLED = "stalled"
    """The engine answers, but its device makes no progress: wait, or restart it."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """The keys do not match, or the versions."""


@dataclass(frozen=True)
class Arrived:
    """Holds the answer to a request, or a message that answers none (request 0)."""

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
    """Number of reconnections since the engine's last message."""
    next_try: float = 0.0
    welcomes: dict[Channel, Welcome] = field(default_factory=dict)


class EnginePump:
    """Sends requests and returns their answers, and reconnects when the connection is lost."""

    def __init__(
        self,
        find: Callable[[], Connection],
        client: str = "",
        keys: Optional[ClientKeys] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """find: returns the engine's connection; it is called again whenever the engine is lost.

        Raises WireError if there is no engine.
        """
        self._find, self._client, self._clock = find, client, clock
        self.peer = secrets.token_hex(16)
        self._transport = Transport(find(), keys)
        self._number = 0
        self._pending: dict[int, _Pending] = {}
        self._health = _Health(heard=clock())
        self._faults: list[Arrived] = []
        self._foreign: Optional[WireError] = None
        """Whether the program that answers speaks another version of the protocol."""
        self._greet()

    # --------------------------------------------------------------------------------------------------- asking

    def ask(self, message: Message, payloads: tuple[Payload, ...] = (), data: tuple[Any, ...] = ()) -> int:
        """Send a request as soon as possible; return its number.

        The pixels must not be changed before the answer has come.
        """
        self._number += 1
        packet = Packet(self._number, message, payloads, data)
        channels = EXCHANGES[type(message)].channels
        channel = Channel.CONTROL if Channel.CONTROL in channels else Channel.DATA
        self._pending[packet.id] = _Pending(packet, channel, self._clock())
        self._send_what_waits()
        return packet.id

    def give_up(self, request: int) -> None:
        """Ignore the answer to a request if it comes later."""
        self._pending.pop(request, None)

    def poll(self, timeout_ms: int = 0) -> list[Arrived]:
        """Return all messages that have come. A user interface's timer calls it with 0, so that it never waits."""
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
                break  # a message led to a new run of the engine; the messages after it are of the last run
            self._health.heard, self._health.lost, self._foreign = self._clock(), 0, None
            arrived.extend(self._received(channel, packet))
        self._keep_alive()
        self._send_what_waits()
        return arrived

    def close(self) -> None:
        """Close the connection. Sessions stay open; the engine parks them when their lease ends."""
        self._transport.close()

    # --------------------------------------------------------------------------------------------------- health

    @property
    def state(self) -> State:
        """Return the engine's state, as far as the client can tell."""
        now, health = self._clock(), self._health
        if self.refusal is not None:
            return State.REFUSED
        if now - health.heard > PING_S * SILENT_PINGS:
            return State.UNREACHABLE
        if len(health.welcomes) < len(Channel) or health.pong is None:
            return State.CONNECTING
        limit = STALLED_AFTER_S.get(health.pong.activity)
        if limit is None:
            return State.READY
        return State.STALLED if health.pong.progress_age_s > limit else State.BUSY

    @property
    def refusal(self) -> Optional[WireError]:
        """Return the reason if the state is REFUSED."""
        return self._transport.refusal or self._foreign

    @property
    def connection(self) -> Connection:
        """Return the connection in use."""
        return self._transport.connection

    @property
    def welcome(self) -> Optional[Welcome]:
        """Return the engine's Welcome; None until it was received."""
        return self._health.welcomes.get(Channel.DATA)

    @property
    def pong(self) -> Optional[Pong]:
        """Return the engine's last Pong."""
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
            # otherwise it is the late answer to a request that was given up
            return self._about_hello(message) if packet.id == 0 else []
        if isinstance(message, Fault) and message.code == Code.UNAUTHORISED.value:
            self._greet()  # another run of the engine at the same port
            return []
        return self._answered(pending, packet)

    def _about_hello(self, message: Message) -> list[Arrived]:
        """Handle an answer to hello or ping. A Fault before the first Welcome means that the engine refuses this
        client.

        If a restarted engine refuses the old token and the connection file already names the new run, that is no
        refusal.
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
                pending.sent = None  # send the request again: the answer is stored
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
        """Ping the engine; reconnect if no message has come for long."""
        now, health = self._clock(), self._health
        if now - health.pinged >= PING_S:
            health.pinged = now
            if Channel.CONTROL in health.welcomes:
                self._transport.send(Channel.CONTROL, Packet(0, Ping()))
            if len(health.welcomes) == 1:
                # The hello on one channel was lost. Since the other channel is answered, the client would not
                # reconnect.
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
            return  # the engine is gone for now; a new one writes the file again
        if self._transport.refusal is not None and connection == self._transport.connection:
            return  # the connection is the same, so the engine would refuse again
        self._turn_to(connection)

    def _follows_another_run(self) -> bool:
        """Connect to the run of the engine that the connection file names now; return whether it is another one than
        before."""
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
