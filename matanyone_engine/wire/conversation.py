# SPDX-License-Identifier: Apache-2.0
"""Defines which requests may come when and on which socket, and which replies answer them: one table for both sides.

a socket      stranger -- Hello/Welcome --> known
a session     (none) -- Open/Opened --> waiting -- Key/Result --> following -- Frame/Result --> following ...
              waiting, following -- Cancel --> cancelling -- Cancelled --> as before
              any -- lease expires --> parked -- Reopen/Opened --> as before
a job         (none) -- Job/Accepted --> running -- Progress ... JobEnded --> (none)
              running -- Show/Shown --> running
              running -- Cancel --> cancelling -- JobEnded, Cancelled --> (none)
a first mask  Prompt/Masked, of no session
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from . import messages as say
from .errors import Code, WireError
from .messages import Message, type_name


class Channel(Enum):
    """Names the engine's two sockets, so that control messages never wait behind pixels."""

    CONTROL = "control"
    DATA = "data"


class ConversationPhase(Enum):
    """Names the states of a session or job."""

    WAITING = "waiting"
    """For its first key."""
    FOLLOWING = "following"
    RUNNING = "running"
    """A job."""
    CANCELLING = "cancelling"
    PARKED = "parked"
    """On disk only."""


@dataclass(frozen=True)
class Exchange:
    """Describes a request and its answer; a Fault may always come instead."""

    channels: frozenset[Channel]
    reply: type[Message]
    phases: frozenset[ConversationPhase] = frozenset()
    """Phases of the session it names in which it makes sense; empty: it needs none."""
    payloads: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Payloads that may follow those, all of them or none."""


_CONTROL, _DATA = frozenset({Channel.CONTROL}), frozenset({Channel.DATA})
_ALIVE = frozenset({ConversationPhase.WAITING, ConversationPhase.FOLLOWING})

EXCHANGES: dict[type[Message], Exchange] = {
    say.Hello: Exchange(_CONTROL | _DATA, say.Welcome),
    say.Ping: Exchange(_CONTROL, say.Pong),
    say.Status: Exchange(_CONTROL, say.StatusReport),
    say.ListSessions: Exchange(_CONTROL, say.Sessions),
    say.Cancel: Exchange(_CONTROL, say.Cancelled, frozenset(ConversationPhase)),
    say.Snapshot: Exchange(_CONTROL, say.Snapshotted, _ALIVE),
    say.Job: Exchange(_CONTROL, say.Accepted),
    say.Show: Exchange(_CONTROL, say.Shown, frozenset({ConversationPhase.RUNNING})),
    say.Prompt: Exchange(_CONTROL, say.Masked),
    say.Shutdown: Exchange(_CONTROL, say.Goodbye),
    say.Open: Exchange(_DATA, say.Opened),
    say.Reopen: Exchange(_DATA, say.Opened, _ALIVE | {ConversationPhase.PARKED, ConversationPhase.CANCELLING}),
    say.Key: Exchange(_DATA, say.Result, _ALIVE, ("plate", "mask")),
    say.Frame: Exchange(_DATA, say.Result, _ALIVE, ("plate",), ("guide",)),
    say.Fetch: Exchange(_DATA, say.Result, _ALIVE | {ConversationPhase.PARKED, ConversationPhase.CANCELLING}),
    say.Close: Exchange(_DATA, say.Closed),
}
"""Every request."""

EVENTS: frozenset[type[Message]] = frozenset({say.Progress, say.JobEnded})
"""What the engine says unasked, on the control socket, with id 0."""

REPLY_PAYLOADS: dict[type[Message], tuple[str, ...]] = {say.Result: ("alpha",)}


def check_request(message: Message, channel: Channel, payloads: tuple[str, ...], known: bool) -> Exchange:
    """Check, for the engine, that this client may send this request on this socket. Raises WireError."""
    exchange = EXCHANGES.get(type(message))
    name = type_name(type(message))
    if exchange is None:
        raise WireError(Code.OUT_OF_TURN, f"{name} is no request", "Send one of the requests of docs/protocol.md.")
    if channel not in exchange.channels:
        right = " or ".join(sorted(place.value for place in exchange.channels))
        raise WireError(Code.OUT_OF_TURN, f"{name} belongs on the {right} socket", "Send it there.")
    if not known and not isinstance(message, say.Hello):
        raise WireError(Code.UNAUTHORISED, f"expected hello before {name}", "Say hello, with the engine's token.")
    if payloads not in (exchange.payloads, exchange.payloads + exchange.optional):
        expected = ", ".join(exchange.payloads) or "none"
        expected += "".join(f", and {each} or none" for each in exchange.optional)
        came = ", ".join(payloads)[:80] or "none"
        raise WireError(
            Code.MALFORMED, f"{name} takes payloads: {expected}; got {came}", "Send exactly these, in order."
        )
    return exchange


def check_phase(message: Message, phase: ConversationPhase) -> None:
    """Check, for the engine, that a request is allowed in the session's state. Raises WireError."""
    exchange = EXCHANGES[type(message)]
    if exchange.phases and phase not in exchange.phases:
        what = f"{type_name(type(message))} to a session that is {phase.value}"
        if phase is ConversationPhase.PARKED:
            raise WireError(Code.SESSION_EXPIRED, what, "Reopen the session; nothing is lost.")
        raise WireError(Code.OUT_OF_TURN, what, "Wait for the answer that ends this phase.")


def check_reply(request: Message, reply: Message, payloads: tuple[str, ...]) -> None:
    """Check, for the client, that a reply answers the request. Raises WireError."""
    allowed = (EXCHANGES[type(request)].reply, say.Fault)
    if not isinstance(reply, allowed) or payloads != REPLY_PAYLOADS.get(type(reply), ()):
        came = type_name(type(reply))
        raise WireError(
            Code.OUT_OF_TURN,
            f"{came} with payloads {payloads} answers {type_name(type(request))}",
            "Update the engine.",
        )
