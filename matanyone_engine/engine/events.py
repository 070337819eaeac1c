# SPDX-License-Identifier: Apache-2.0
"""What happens to the engine (events) and what it does about it (instructions): the scheduler's two languages.

Rule of this file: values only.
"""

from __future__ import annotations

from dataclasses import dataclass

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import WireError

# ----------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class Asker:
    """Who waits for an answer, and to which request."""

    peer: str
    id: int
    route: object = None
    """The socket, for whoever sends the answer."""


@dataclass(frozen=True)
class Asked(Event):
    """A checked request about sessions."""

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
class Decoded(Event):
    """A plate is ready for the device, or cannot be read."""

    ticket: int
    fault: WireError | None = None


@dataclass(frozen=True)
class Stepped(Event):
    """The device has computed a frame, or could not."""

    ticket: int
    seconds: float
    fault: WireError | None = None


@dataclass(frozen=True)
class Stored(Event):
    """A result is on disk, or could not be put there."""

    ticket: int
    fault: WireError | None = None
    snapshotted: bool = False


@dataclass(frozen=True)
class Loaded(Event):
    """A session is on the device (again), standing before next_seq; digests are of frames done before."""

    session: str
    seconds: float = 0.0
    next_seq: int = 0
    digests: tuple[tuple[int, str], ...] = ()
    seeded: bool = False
    fault: WireError | None = None


@dataclass(frozen=True)
class Parked(Event):
    """A session's state is on disk, and if so asked, it is off the device; with a fault, neither."""

    session: str
    next_seq: int
    left: bool
    fault: WireError | None = None


@dataclass(frozen=True)
class Planned(Event):
    """A job was checked against its files."""

    session: str
    accepted: say.Accepted | None = None
    need: int = 0
    size: tuple[int, int] = (0, 0)
    frames: tuple[int, ...] = ()
    """That it will make."""
    fault: WireError | None = None


@dataclass(frozen=True)
class JobStepped(Event):
    """A job has written an alpha (progress), or ended."""

    session: str
    seconds: float
    progress: say.Progress | None = None
    standing: tuple[tuple[int, str], ...] = ()
    """(frame, file) of alphas that were there already."""
    ended: say.JobEnded | None = None


@dataclass(frozen=True)
class MaskMade(Event):
    """A first mask is on disk, or could not be made."""

    nonce: str
    masked: say.Masked | None = None
    fault: WireError | None = None


@dataclass(frozen=True)
class Heard(Event):
    """Any word of a client renews the leases of its sessions."""

    peer: str
    now: float


@dataclass(frozen=True)
class Tick(Event):
    """Time passes."""

    now: float


@dataclass(frozen=True)
class Crowded(Event):
    """The disk holds more than it may: these sessions were left alone longest."""

    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Closing(Event):
    """The engine is to end: no new work, every session to disk."""


# ----------------------------------------------------------------------------------------------- instructions


@dataclass(frozen=True)
class Instruction:
    """Something to do."""


@dataclass(frozen=True)
class Reply(Instruction):
    """Answer a request."""

    who: Asker
    message: say.Message


@dataclass(frozen=True)
class Tell(Instruction):
    """Say something unasked to a client."""

    peer: str
    message: say.Message


@dataclass(frozen=True)
class SendResult(Instruction):
    """Answer with a stored result."""

    who: Asker
    session: str
    seq: int


@dataclass(frozen=True)
class Decode(Instruction):
    """Pool: payloads -> planes."""

    session: str
    ticket: int
    cargo: object


@dataclass(frozen=True)
class Step(Instruction):
    """Device: compute a decoded frame."""

    session: str
    ticket: int
    seq: int
    frame: int
    key: bool


@dataclass(frozen=True)
class Store(Instruction):
    """Pool: put a result into the store, with the state behind it if asked."""

    session: str
    ticket: int
    seq: int
    frame: int
    digest: str
    snapshot: bool


@dataclass(frozen=True)
class Rewind(Instruction):
    """At once: the session stands before this frame again. Nothing else of it is under way."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Discard(Instruction):
    """Forget what was decoded for this ticket."""

    session: str
    ticket: int


@dataclass(frozen=True)
class Load(Instruction):
    """Device: make a session from what the store knows of it, the network first if need be."""

    session: str
    opening: say.Open | None


@dataclass(frozen=True)
class Park(Instruction):
    """Pool: state to disk; and then off the device, if `leave`."""

    session: str
    next_seq: int
    leave: bool


@dataclass(frozen=True)
class Drop(Instruction):
    """Forget a session everywhere; its folder too."""

    session: str


@dataclass(frozen=True)
class Plan(Instruction):
    """Pool: check a job against its files."""

    session: str
    job: say.Job


@dataclass(frozen=True)
class MakeMask(Instruction):
    """Beside everything else: a first mask from an artist's prompts."""

    prompt: say.Prompt


@dataclass(frozen=True)
class JobStep(Instruction):
    """Device: the next frame of a job."""

    session: str


@dataclass(frozen=True)
class Want(Instruction):
    """At once: this frame of a job goes before all others."""

    session: str
    frame: int


@dataclass(frozen=True)
class Halt(Instruction):
    """At once: what the device does for this session ends at its next chance."""

    session: str


@dataclass(frozen=True)
class Allow(Instruction):
    """At once: the halt is over."""

    session: str
