# SPDX-License-Identifier: Apache-2.0
"""Defines what happens to the engine (events) and what it does about it (instructions), for the scheduler.

Rule of this file: values only.
"""

from __future__ import annotations

from dataclasses import dataclass

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import WireError

# ----------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True)
class EngineEvent:
    """Tells the scheduler of something that happened."""


@dataclass(frozen=True)
class Asker:
    """Says who waits for an answer, and to which request."""

    peer: str
    id: int
    route: object = None
    """The socket, for whoever sends the answer."""


@dataclass(frozen=True)
class Requested(EngineEvent):
    """Reports that a checked request about sessions or jobs has come."""

    who: Asker
    message: say.Message
    now: float
    digest: str = ""
    """Of the pixels and what goes with them: Key and Frame."""
    bytes: int = 0
    client: str = ""
    need: int = 0
    """Estimated device memory of the session: Open, Job."""
    fresh: str = ""
    """What a new session is to be called: Open, Job."""
    cargo: object = None
    """The packet, for whoever decodes it."""


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
    """Reports that a session is on the device (again) and goes on from next_seq; digests are of earlier frames."""

    session: str
    seconds: float = 0.0
    next_seq: int = 0
    digests: tuple[tuple[int, str], ...] = ()
    seeded: bool = False
    fault: WireError | None = None


@dataclass(frozen=True)
class Parked(EngineEvent):
    """Reports that a session's state is on disk and, if so asked, off the device; with a fault, neither."""

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
    """That it will make."""
    fault: WireError | None = None


@dataclass(frozen=True)
class JobStepped(EngineEvent):
    """Reports that a job has written an alpha (progress), or ended."""

    session: str
    seconds: float
    progress: say.Progress | None = None
    standing: tuple[tuple[int, str], ...] = ()
    """(frame, file) of alphas that were there already."""
    ended: say.JobEnded | None = None


@dataclass(frozen=True)
class MaskMade(EngineEvent):
    """Reports that a first mask is on disk, or could not be made."""

    nonce: str
    masked: say.Masked | None = None
    fault: WireError | None = None


@dataclass(frozen=True)
class Heard(EngineEvent):
    """Reports that a client was heard, which renews the leases of its sessions."""

    peer: str
    now: float


@dataclass(frozen=True)
class Tick(EngineEvent):
    """Reports that time has passed."""

    now: float


@dataclass(frozen=True)
class Crowded(EngineEvent):
    """Reports that the disk holds more than it may; these sessions were left alone longest."""

    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Closing(EngineEvent):
    """Reports that the engine is to end: no new work begins, and every session goes to disk."""


# ----------------------------------------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Instruction:
    """Tells the engine what to do."""


@dataclass(frozen=True)
class Reply(Instruction):
    """Asks the I/O thread to answer a request."""

    who: Asker
    message: say.Message


@dataclass(frozen=True)
class Tell(Instruction):
    """Asks the I/O thread to say something unasked to a client."""

    peer: str
    message: say.Message


@dataclass(frozen=True)
class SendResult(Instruction):
    """Asks for a stored result to be sent."""

    who: Asker
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
    """Asks the pool to store a result, with the state behind it if so said."""

    session: str
    ticket: int
    seq: int
    frame: int
    digest: str
    snapshot: bool


@dataclass(frozen=True)
class Rewind(Instruction):
    """Puts the session back to before this frame, at once. Nothing else of it is under way."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Discard(Instruction):
    """Forgets what was decoded for this ticket, at once."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Load(Instruction):
    """Asks the device to make a session from what the store knows of it, and to load the network first if need be."""

    session: str
    opening: say.Open | None


@dataclass(frozen=True)
class Park(Instruction):
    """Asks the pool to put the state on disk, and to take the session off the device if `leave`."""

    session: str
    next_seq: int
    leave: bool


@dataclass(frozen=True)
class Drop(Instruction):
    """Forgets a session everywhere, with its folder."""

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
class Want(Instruction):
    """Puts this frame of a job before all others, at once."""

    session: str
    frame: int


@dataclass(frozen=True)
class Halt(Instruction):
    """Makes what the device does for this session end at its next chance."""

    session: str


@dataclass(frozen=True)
class Allow(Instruction):
    """Takes a Halt back, at once."""

    session: str
