# SPDX-License-Identifier: Apache-2.0
"""Defines the scheduler's input (events: what has happened) and its output (instructions: what to do).

Rule of this file: it holds values only, no code that acts.
"""

from __future__ import annotations

from dataclasses import dataclass

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import WireError

# ----------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True)
class EngineEvent:
    """Base of all events: each reports to the scheduler something that has happened."""


@dataclass(frozen=True)
class Requester:
    """Names the client that waits for an answer, and its request."""

    peer: str
    id: int
    route: object = None
    """The socket to send the answer on."""


@dataclass(frozen=True)
class Requested(EngineEvent):
    """Reports that a client has sent a request about a session or a job. Its message was checked."""

    who: Requester
    message: say.Message
    now: float
    digest: str = ""
    """Digest of the pixels and of what goes with them. Only Key and Frame have one."""
    bytes: int = 0
    client: str = ""
    need: int = 0
    """Estimated device memory of the session, in bytes. Only Open and Job have it."""
    fresh: str = ""
    """The name for a new session. Only Open and Job have it."""
    cargo: object = None
    """The packet with the payloads, which the pool decodes."""


@dataclass(frozen=True)
class Decoded(EngineEvent):
    """Reports that a plate is ready for the device, or cannot be read."""

    ticket: int
    fault: WireError | None = None


@dataclass(frozen=True)
class FrameComputed(EngineEvent):
    """Reports that the device has computed a frame, or could not."""

    ticket: int
    seconds: float
    fault: WireError | None = None


@dataclass(frozen=True)
class ResultStored(EngineEvent):
    """Reports that a result is on disk, or could not be put there."""

    ticket: int
    fault: WireError | None = None
    snapshotted: bool = False


@dataclass(frozen=True)
class Loaded(EngineEvent):
    """Reports that a session was loaded onto the device and goes on from next_seq. digests: those of earlier frames."""

    session: str
    seconds: float = 0.0
    next_seq: int = 0
    digests: tuple[tuple[int, str], ...] = ()
    seeded: bool = False
    fault: WireError | None = None


@dataclass(frozen=True)
class Parked(EngineEvent):
    """Reports that a session's state was written to disk and, if that was asked for, removed from the device.

    With a fault, neither was done.
    """

    session: str
    next_seq: int
    left: bool
    fault: WireError | None = None


@dataclass(frozen=True)
class Planned(EngineEvent):
    """Reports that a job was checked against its files."""

    session: str
    accepted: say.Accepted | None = None
    need: int = 0
    size: tuple[int, int] = (0, 0)
    frames: tuple[int, ...] = ()
    """How many frames it will make."""
    fault: WireError | None = None


@dataclass(frozen=True)
class JobStepped(EngineEvent):
    """Reports that a job has written an alpha (progress), or ended."""

    session: str
    seconds: float
    progress: say.Progress | None = None
    standing: tuple[tuple[int, str], ...] = ()
    """(frame, file) of alphas that existed already."""
    ended: say.JobEnded | None = None


@dataclass(frozen=True)
class MaskMade(EngineEvent):
    """Reports that a first mask is on disk, or could not be made."""

    nonce: str
    masked: say.Masked | None = None
    fault: WireError | None = None


@dataclass(frozen=True)
class ClientHeard(EngineEvent):
    """Reports that a client has sent a message, which renews the leases of its sessions."""

    peer: str
    now: float


@dataclass(frozen=True)
class Tick(EngineEvent):
    """Reports that time has passed."""

    now: float


@dataclass(frozen=True)
class DiskOverLimit(EngineEvent):
    """Reports that sessions on disk exceed their limit, and names those that were not used for the longest time."""

    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Closing(EngineEvent):
    """Reports that the engine is about to end: no new work may begin, and every session must be written to disk."""


# ----------------------------------------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Instruction:
    """Base of all instructions: each tells the engine what to do."""


@dataclass(frozen=True)
class Reply(Instruction):
    """Asks the I/O thread to answer a request."""

    who: Requester
    message: say.Message


@dataclass(frozen=True)
class Notify(Instruction):
    """Asks the I/O thread to send a client a message that answers no request."""

    peer: str
    message: say.Message


@dataclass(frozen=True)
class SendResult(Instruction):
    """Asks for a stored result to be sent."""

    who: Requester
    session: str
    seq: int


@dataclass(frozen=True)
class Decode(Instruction):
    """Asks the pool to decode payloads into planes."""

    session: str
    ticket: int
    cargo: object


@dataclass(frozen=True)
class ComputeFrame(Instruction):
    """Asks the device to compute a decoded frame."""

    session: str
    ticket: int
    seq: int
    frame: int
    key: bool


@dataclass(frozen=True)
class StoreResult(Instruction):
    """Asks the pool to store a result, and the state after it if `snapshot` says so."""

    session: str
    ticket: int
    seq: int
    frame: int
    digest: str
    snapshot: bool


@dataclass(frozen=True)
class Rewind(Instruction):
    """Resets the session to the state before this frame, at once. No other work of the session is in progress."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Discard(Instruction):
    """Discards what was decoded for this ticket, at once."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Load(Instruction):
    """Asks the device to restore a session from the store, and to load the network first if necessary."""

    session: str
    opening: say.Open | None


@dataclass(frozen=True)
class Park(Instruction):
    """Asks the pool to write the session's state to disk, and with `leave` to remove the session from the device."""

    session: str
    next_seq: int
    leave: bool


@dataclass(frozen=True)
class Drop(Instruction):
    """Deletes a session everywhere, including its folder on disk."""

    session: str


@dataclass(frozen=True)
class PlanJob(Instruction):
    """Asks the pool to check a job against its files."""

    session: str
    job: say.Job


@dataclass(frozen=True)
class MakeMask(Instruction):
    """Asks for a first mask from an artist's prompts, made beside everything else."""

    prompt: say.Prompt


@dataclass(frozen=True)
class JobStep(Instruction):
    """Asks the device for the next step of a job."""

    session: str


@dataclass(frozen=True)
class PutFirst(Instruction):
    """Makes this frame the next one that its job computes, at once."""

    session: str
    frame: int


@dataclass(frozen=True)
class StopWork(Instruction):
    """Stops the device's work for this session at the next point where it can stop."""

    session: str


@dataclass(frozen=True)
class AllowWork(Instruction):
    """Revokes StopWork, at once."""

    session: str
