# SPDX-License-Identifier: Apache-2.0
"""Holds what a session and a job have in common: both wait for the device, and both take up device memory.

session_scheduler.py and job_scheduler.py say what differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

from matanyone_engine.engine.events import Instruction, Requester
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase
from matanyone_engine.wire.errors import Code, WireError


@dataclass(frozen=True)
class EngineLimits:
    """Holds the engine's limits: how many sessions, jobs and frames it accepts at a time."""

    memory_bytes: int
    window_frames: int = 3
    window_bytes: int = 256 << 20
    lease_s: float = 30.0
    snapshot_every: int = 25
    """Frames."""
    sessions: int = 256
    """Most sessions and jobs at a time; parked sessions do not count."""
    sessions_of_a_client: int = 64
    """Most sessions and jobs of one client at a time."""
    empty_sessions: int = 64
    """Most parked sessions that have no frame yet. The oldest are deleted first; nothing is lost with them."""
    parked_s: float = 7 * 86400.0
    """Seconds after which a session that no client has asked for is deleted."""
    digests: int = 100_000
    """Most frames of a session whose digests are kept, to recognise a frame that is sent again."""
    prompts: int = 16
    """Most first masks that may be waiting to be made."""


@dataclass(kw_only=True)
class Workload(ABC):
    """Holds a session or a job, which has an owner, takes device memory and waits for device time."""

    id: str
    owner: str
    """The peer that owns it; empty if no client has reopened it since the engine started."""
    client: str
    """The client's name for itself, for people to read."""
    opening: say.Open | say.Job
    """The message that opened it."""
    phase: ConversationPhase
    need: int
    """Bytes of device memory, estimated."""
    heard: float
    """Time of the owner's last message, in seconds of the engine's clock."""
    size: tuple[int, int] = (0, 0)
    """Width and height of its plates; (0, 0) until they are known."""
    next_seq: int = 0
    """Of a session: the seq of the next Key or Frame that may arrive. Of a job: how many frames are done."""
    on_device: bool = False
    moving: bool = False
    """Whether it is being moved to or from the device, or is being planned."""
    used_s: float = 0.0
    """Seconds of device time."""
    waiting: list[tuple[Requester, say.Message]] = field(default_factory=list)
    """Requests that are answered once a move, a cancel, a plan or a frame is finished."""

    @property
    def queued(self) -> int:
        """Return the number of frames between arrival and answer."""
        return 0

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Return whether it has work that the device could do now."""

    @abstractmethod
    def begin(self) -> Instruction:
        """Return the next instruction to the device for it. Call it only when it is ready."""

    def taken(self, kind: type[say.Message]) -> list[tuple[Requester, say.Message]]:
        """Remove and return the waiting requests of this kind."""
        taken = [item for item in self.waiting if isinstance(item[1], kind)]
        self.waiting = [item for item in self.waiting if not isinstance(item[1], kind)]
        return taken


class Workloads:
    """Holds all admitted sessions and jobs, and what they share: memory, device time, and whether the engine is
    ending."""

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self.closing = False
        self.now = 0.0
        """The time of the last tick."""
        self._by_id: dict[str, Workload] = {}

    def __iter__(self) -> Iterator[Workload]:
        """Iterate over a copy of all of them in order of arrival, so that they may be added and removed meanwhile."""
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, workload: Workload) -> None:
        """Add a session or a job that was admitted."""
        self._by_id[workload.id] = workload

    def remove(self, workload: Workload) -> None:
        """Remove a session or a job."""
        del self._by_id[workload.id]

    def owned(self, name: str, peer: str) -> Workload:
        """Return the session or job of this name. Raises WireError if there is none, or if another peer owns it."""
        workload = self._by_id.get(name)
        if workload is None:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if workload.owner not in ("", peer):
            raise WireError(
                Code.NOT_ALLOWED,
                f"the session was taken over by another client ({workload.client or 'unnamed'})",
                "Reopen it to take it back.",
            )
        return workload

    @property
    def memory_bytes(self) -> int:
        """Return the estimated device memory, in bytes, of all sessions and jobs that are on the device."""
        return sum(each.need for each in self if each.on_device or each.moving)

    def least_used(self) -> float:
        """Return the device seconds that a new session or job starts with: the least of the others', so that it neither
        waits for all of them nor goes before all of them."""
        return min((each.used_s for each in self if each.on_device), default=0.0)

    def admit(self, need: int, peer: str = "") -> None:
        """Raise WireError if the engine cannot accept one more session or job of this client that needs so many
        bytes."""
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
