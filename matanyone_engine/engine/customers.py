# SPDX-License-Identifier: Apache-2.0
"""Holds what a session and a job have in common: both wait for the device, and both take room on it.

session_scheduler.py and job_scheduler.py say what differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

from matanyone_engine.engine.events import Asker, Instruction
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase
from matanyone_engine.wire.errors import Code, WireError


@dataclass(frozen=True)
class EngineLimits:
    """Says how much the engine takes on."""

    memory_bytes: int
    window_frames: int = 3
    window_bytes: int = 256 << 20
    lease_s: float = 30.0
    snapshot_every: int = 25
    """Frames."""
    sessions: int = 256
    """Sessions and jobs at once; parked sessions do not count."""
    sessions_of_a_client: int = 64
    """Sessions and jobs of one client at once."""
    empty_sessions: int = 64
    """Parked sessions without a frame; the oldest go first, since nothing is lost with them."""
    parked_s: float = 7 * 86400.0
    """A session that nobody asked for in so long is forgotten."""
    digests: int = 100_000
    """Frames of a session whose pixels are remembered for comparison."""
    prompts: int = 16
    """First masks that may wait to be made."""


@dataclass(kw_only=True)
class Customer(ABC):
    """Holds what a session and a job have in common."""

    id: str
    owner: str
    """The peer that may ask for it; empty where nobody has claimed it since the engine started."""
    client: str
    """What the owner calls itself."""
    opening: say.Open | say.Job
    """The message that began it."""
    phase: ConversationPhase
    need: int
    """Bytes of device memory, estimated."""
    heard: float
    """When its owner was heard last, in seconds of the engine's clock."""
    size: tuple[int, int] = (0, 0)
    """Width and height of its plates; (0, 0) until they are known."""
    next_seq: int = 0
    """Of a session: the seq of the next Key or Frame that may arrive. Of a job: how many frames are done."""
    on_device: bool = False
    moving: bool = False
    """It is on its way to or from the device, or is being planned."""
    used_s: float = 0.0
    """Seconds of device time."""
    waiting: list[tuple[Asker, say.Message]] = field(default_factory=list)
    """Who waits for a move, a cancel, a plan or a frame to be through."""

    @property
    def queued(self) -> int:
        """Return the number of frames between arrival and answer."""
        return 0

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Return whether the device could do something for it now."""

    @abstractmethod
    def begin(self) -> Instruction:
        """Return the device's next instruction for it; only where it is ready."""

    def taken(self, kind: type[say.Message]) -> list[tuple[Asker, say.Message]]:
        """Remove and return everyone who waits with this kind of request."""
        taken = [item for item in self.waiting if isinstance(item[1], kind)]
        self.waiting = [item for item in self.waiting if not isinstance(item[1], kind)]
        return taken


class Customers:
    """Holds everyone who was let in, and what they share: memory, device time, whether the engine is ending."""

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self.closing = False
        self.now = 0.0
        """The time of the last tick."""
        self._by_id: dict[str, Customer] = {}

    def __iter__(self) -> Iterator[Customer]:
        """Return all of them, in the order in which they came; they may come and go meanwhile."""
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, customer: Customer) -> None:
        """Let a customer in."""
        self._by_id[customer.id] = customer

    def remove(self, customer: Customer) -> None:
        """Let a customer go."""
        del self._by_id[customer.id]

    def owned(self, name: str, peer: str) -> Customer:
        """Return the customer of this name to its owner. Raises WireError for others and for unknown names."""
        customer = self._by_id.get(name)
        if customer is None:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if customer.owner not in ("", peer):
            raise WireError(
                Code.NOT_ALLOWED,
                f"the session was taken over by another client ({customer.client or 'unnamed'})",
                "Reopen it to take it back.",
            )
        return customer

    @property
    def memory_bytes(self) -> int:
        """Return the estimated bytes of all that is on the device."""
        return sum(each.need for each in self if each.on_device or each.moving)

    def least_used(self) -> float:
        """Return the device time a newcomer starts with: level with the others, neither starved nor starving them."""
        return min((each.used_s for each in self if each.on_device), default=0.0)

    def admit(self, need: int, peer: str = "") -> None:
        """Raise WireError where there is no room for one more of this client that needs so many bytes."""
        live = sum(each.phase is not ConversationPhase.PARKED for each in self)
        if peer and sum(each.owner == peer for each in self) >= self.limits.sessions_of_a_client:
            raise WireError(
                Code.BUSY,
                f"this client has {self.limits.sessions_of_a_client} sessions, which is the most for one client",
                "Close sessions that are done.",
            )
        if live >= self.limits.sessions:
            raise WireError(
                Code.BUSY,
                f"the engine already has {self.limits.sessions} sessions, which is the most that it takes",
                "Close sessions, or try again later.",
            )
        free = self.limits.memory_bytes - self.memory_bytes
        if need > free:
            raise WireError(
                Code.NO_ROOM,
                f"the session needs {need / 1e9:.1f} GB, and {max(free, 0) / 1e9:.1f} GB are free",
                "Close another session, set a smaller working size, or try again later.",
            )
