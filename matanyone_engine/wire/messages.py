# SPDX-License-Identifier: Apache-2.0
"""Defines every message between a client and an engine (docs/protocol.md).

Rules of this file:
1. One frozen dataclass per message; its fields are the fields of the header, so types are what JSON has.
2. A field with a default may be left out by the sender; one without may not.
3. No behaviour: what a message does to an engine is decided in engine/scheduler.py.

    client -> engine, control   Hello Ping Status ListSessions Cancel Snapshot Job Show Prompt Shutdown
    client -> engine, data      Hello Open Reopen Key Frame Fetch Close
    engine -> client            Welcome Pong StatusReport Sessions Cancelled Snapshotted Accepted Shown Masked
                                Goodbye Opened Result Closed Fault, and unasked: Progress JobEnded
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Message:
    """Is the base of every message."""


# ------------------------------------------------------------------------------------------------ who is there


@dataclass(frozen=True)
class Hello(Message):
    """Introduces the client, first on either socket. A restarted engine knows nobody: send it again on a new epoch."""

    token: str
    """The engine's secret, from its connection file."""
    peer: str
    """32 hexadecimal digits that the client draws once: they tie its two sockets together."""
    client: str = ""
    """Tells people who speaks: 'Blender 4.5, shot_010.blend'."""


@dataclass(frozen=True)
class Welcome(Message):
    """Answers Hello: it says what this engine is and what it takes."""

    epoch: str
    """Another value is another run of the engine."""
    engine: str
    """Its version."""
    models: tuple[str, ...]
    """Names that Open takes, the default first."""
    device: str
    most_message_bytes: int
    """Larger messages vanish without an error (ZeroMQ drops the connection): never send one."""
    lease_s: float
    """A client that is silent for so many seconds loses its device memory, but not its sessions."""
    roots: tuple[str, ...] = ()
    """Folders a Job may read and write under."""
    backends: tuple[str, ...] = ()
    """Names that Prompt takes, the default first."""


@dataclass(frozen=True)
class Ping(Message):
    """Asks whether the engine is alive, and renews the leases of all sessions of this client."""


@dataclass(frozen=True)
class Pong(Message):
    """Says that the engine is alive and what its device does; it comes also while a frozen device answers no frame."""

    epoch: str
    activity: str
    """'idle', 'loading', 'seeding' or 'stepping'."""
    progress_age_s: float
    """Seconds since the device last began or finished something."""
    session: str = ""
    """Short name of the session that is computed."""


@dataclass(frozen=True)
class Status(Message):
    """Asks for the figures of the whole engine."""


@dataclass(frozen=True)
class StatusReport(Message):
    """Gives the figures of the whole engine."""

    epoch: str
    engine: str
    pid: int
    device: str
    activity: str
    uptime_s: float
    frames: int
    """Frames computed since it started."""
    frames_per_s: float
    """Frames computed per second over the last minute."""
    sessions: int
    queued: int
    """Frames waiting anywhere between arrival and answer."""
    memory_bytes: int
    """Device memory that sessions take, as estimated."""
    memory_limit_bytes: int
    resident_bytes: int
    """Main memory of the process, as the system counts it; 0 where it does not say."""
    models_loaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListSessions(Message):
    """Asks which sessions there are."""


@dataclass(frozen=True)
class SessionInfo:
    """Describes one session as others may see it, without its secret."""

    name: str
    client: str
    phase: str
    priority: str
    model: str
    size: tuple[int, int]
    """Width, height; 0, 0 for a job that is still planned."""
    next_seq: int
    queued: int
    memory_bytes: int
    idle_s: float


@dataclass(frozen=True)
class Sessions(Message):
    """Lists all sessions, also parked ones."""

    sessions: tuple[SessionInfo, ...]


# ------------------------------------------------------------------------------------------------ one shot


@dataclass(frozen=True)
class Options:
    """Says how a shot is computed. Results depend on nothing else but plates, mask and weights."""

    warm_up_passes: Optional[int] = None
    """How often a key's frame is predicted again; null is what suits the model."""
    working_size: Optional[int] = None
    """Limit of the shortest side that is computed, in pixels; None is the model's own: 432 for mini, no limit for the
    published ones. Alphas come back at the plate's size."""
    colorspace: Optional[str] = None
    """OpenColorIO name; None takes what an EXR says about itself. Raw planes must be named."""
    mask_grow: int = 0
    reply: str = "exr"
    """'exr' (the plate's header carried over), 'f2' or 'f4' (a raw plane)."""
    exposure: Optional[float] = None
    """Stops by which the network sees the plates brighter, at most 16 up or down; nothing else changes. null: a job
    finds it from the plate on the first mask's frame, 0 for all but very dark and overbright plates; in a session,
    whose plates come one by one, it is 0."""
    refine: bool = True
    """Whether alphas of a smaller working size are refined along the plate's detail; else enlarged bilinearly."""
    region: Optional[str] = None
    """What is computed: 'off', 'follow', 'x0,y0,x1,y1' (plate pixels from the top left), or 'FRAME:x0,y0,x1,y1 ...'."""
    hold_tolerance: Optional[float] = 0.0
    """A frame that is this close to the last computed one gets its alpha. 0 takes the same bits only, null no frame."""


@dataclass(frozen=True)
class Open(Message):
    """Opens a session for one object in one shot."""

    nonce: str
    """32 hexadecimal digits, drawn by the client: the same Open twice opens one session."""
    size: tuple[int, int]
    """Width and height of the plates; others are refused."""
    model: str = "mini"
    options: Options = field(default_factory=Options)
    priority: str = "interactive"
    """'interactive' goes before 'batch'."""
    label: str = ""


@dataclass(frozen=True)
class Reopen(Message):
    """Comes back to a session after a crash of either side, or from another client, which then owns it."""

    session: str


@dataclass(frozen=True)
class Opened(Message):
    """Says that the session is open, and how to go on."""

    session: str
    """The session's secret: whoever says it owns the session."""
    next_seq: int
    """The number that the next Key or Frame must have; after a crash it is lower than before."""
    window_frames: int
    """At most so many Keys and Frames may be unanswered."""
    window_bytes: int
    """They may have at most so many bytes together."""


@dataclass(frozen=True)
class Key(Message):
    """Sends a plate and its mask: they seed the session, or start its memory anew. Payloads: plate, mask."""

    session: str
    seq: int
    frame: int
    """The plate's own number; it comes back with the alpha."""


@dataclass(frozen=True)
class Frame(Message):
    """Sends the next plate, and perhaps a rough guide of where the subject is. Payloads: plate, and guide or none."""

    session: str
    seq: int
    frame: int
    guide_band: Optional[int] = None
    """Pixels on either side of the guide's edge that are left to the network; null is a sixteenth of the plate's
    shorter side. It means nothing without a guide."""


@dataclass(frozen=True)
class Fetch(Message):
    """Asks for the stored result of an earlier frame once more."""

    session: str
    seq: int


@dataclass(frozen=True)
class Result(Message):
    """Brings an alpha, which was stored before it was sent. Payload: alpha."""

    session: str
    seq: int
    frame: int
    warnings: tuple[str, ...] = ()
    """What to look at: 'the plate is black', 'the alpha is empty'."""
    held: bool = False
    """Whether the frame repeats the one before it, and was answered with that one's alpha."""
    region: Optional[tuple[int, int, int, int]] = None
    """x0, y0, x1, y1 in plate pixels: what was computed; outside of it the alpha is 0. null without a region."""
    confidence: Optional[float] = None
    """How far the alpha can be trusted, 0 (look here first) to 1; null from an engine that does not say."""
    why: str = ""
    """The reason to look at it, as in confidences of progress."""


@dataclass(frozen=True)
class Snapshot(Message):
    """Asks the engine to put the session's state on disk now."""

    session: str


@dataclass(frozen=True)
class Snapshotted(Message):
    """Says that the state is on disk: a restarted engine goes on from this seq."""

    session: str
    next_seq: int


@dataclass(frozen=True)
class Cancel(Message):
    """Stops the work within one frame. Frames that are finished stay; the session or job can go on."""

    session: str


@dataclass(frozen=True)
class Cancelled(Message):
    """Says that the work has stopped; unanswered Keys and Frames were answered with a Fault 'cancelled'."""

    session: str
    next_seq: int


@dataclass(frozen=True)
class Close(Message):
    """Ends the session: memory, snapshots and stored results go."""

    session: str


@dataclass(frozen=True)
class Closed(Message):
    """Says that the session is gone. Closing one that is gone already is no error."""

    session: str


# ------------------------------------------------------------------------------------------------ jobs


@dataclass(frozen=True)
class Delivery:
    """Says how a job's alphas are written; the engine checks every value when it plans the job."""

    layout: str = "matte"
    """'matte', 'alpha', 'straight', 'premult', 'foreground', 'layers' or 'cryptomatte'."""
    compression: Optional[str] = None
    """The compression of .exr files: 'none', 'zips', 'zip', 'piz', 'dwaa' or 'dwab'; None is 'zips'."""
    depth: Optional[str] = None
    """'half' or 'float'; None is half, or what holds the plate's values exactly."""
    shot: Optional[str] = None
    """What {shot} in `out` stands for; None takes it from the plate's name."""
    version: Optional[int] = None
    """What {version} in `out` stands for; None is the next free one."""
    foreground: bool = False
    """Whether the subject's unmixed colour is added to an .exr, straight, as fg.R, fg.G, fg.B."""
    split: Optional[int] = None
    """Adds core.A and edge.A to an .exr: pixels by which the core is drawn in; None adds neither."""
    crop: bool = False
    """Whether an .exr's data window holds only what is not 0."""


@dataclass(frozen=True)
class EdgeControls:
    """Says how the edges of a job's alphas are altered before they are written, in the order of the fields; the network
    computes nothing again for it. The defaults change nothing."""

    deflicker: float = 0.0
    """0..1: how much of what comes and goes within one frame is taken out of edges."""
    despeckle: int = 0
    """Islands of at most so many pixels are removed."""
    solidify: float = 0.0
    """0..0.95: spots that the core encloses are filled where the alpha nowhere falls below 1 - solidify."""
    black_clip: float = 0.0
    """Alpha at and below which it becomes 0."""
    white_clip: float = 1.0
    """Alpha at and above which it becomes 1."""
    black_knee: float = 0.0
    """0..1: part of the range between the clips over which the black corner is rounded."""
    white_knee: float = 0.0
    """0..1: the same for the white corner; both knees together are at most 1."""
    gamma: float = 1.0
    """Above 1 greys get lighter, below 1 darker."""
    edge_grow: float = 0.0
    """Pixels, also parts of one, by which edges move outwards; negative moves them inwards."""
    edge_blur: float = 0.0
    """Pixels, also parts of one: the standard deviation of the Gaussian that softens edges."""


@dataclass(frozen=True)
class KeyMask:
    """Names the masks of one object."""

    file: str
    """A file for one frame, or a pattern with #### for several."""
    frames: tuple[int, ...] = ()
    """Plate frames the masks belong to; none is the first frame that is run."""
    object: str = "subject"


@dataclass(frozen=True)
class ObjectOptions:
    """Holds what else is to be known of one object."""

    name: str = "subject"
    first: Optional[int] = None
    """The first plate frame on which the object is seen; before it the alpha is 0."""
    last: Optional[int] = None
    """The last such frame; after it the alpha is 0."""
    distractor: bool = False
    """Whether the object is followed only to keep the others off it; its alpha is not written."""
    inside: Optional[str] = None
    """Masks of where the object surely is: a pattern by plate frame, or one file for all frames."""
    outside: Optional[str] = None
    """Masks of where the object surely is not."""
    guide: Optional[str] = None
    """Rough masks of the object, a pattern by plate frame; frames may be missing. See guide_band."""
    guide_band: Optional[int] = None
    """Pixels on either side of the guide's edge that are left to the network; None is a sixteenth of the plate's
    shorter side. Further in the object surely is, further out it surely is not."""
    refine_area: Optional[str] = None
    """Masks of where the object's alpha is solved along the plate, white where it is; a pattern by plate frame, frames
    may be missing. The machine that runs the job needs the extra `refine`."""


@dataclass(frozen=True)
class Job(Message):
    """Asks for a whole shot, from files to files, which the engine reads and writes under its roots."""

    nonce: str
    plate: str
    mask: str
    """The mask of a job with one object and one key; '' where all masks are among keys."""
    out: str
    """A name with #### for the frame, and {shot}, {object}, {version:03d}."""
    mask_frame: Optional[int] = None
    frames: Optional[tuple[int, ...]] = None
    missing: str = "error"
    model: str = "mini"
    options: Options = field(default_factory=Options)
    delivery: Delivery = field(default_factory=Delivery)
    view: Optional[str] = None
    """The view of a stereo plate; `plate`, `mask` and `out` may have %V (its name) or %v (its first letter)."""
    part: Optional[str] = None
    layer: Optional[str] = None
    """The layer to matte, of an EXR with several parts or layers."""
    resume: bool = False
    """Whether to go on with an unfinished run of exactly this job."""
    priority: str = "batch"
    label: str = ""
    keys: tuple[KeyMask, ...] = ()
    """Further masks: on other frames, of other objects. Frames between two keys are blended from both."""
    objects: tuple[ObjectOptions, ...] = ()
    pin_keys: bool = False
    """Whether every pass keeps all keys of its object in memory."""
    separate: bool = False
    """Whether mattes of different objects add up to at most 1; they always do where one is a distractor."""
    first: tuple[int, ...] = ()
    """Frames that are made before all others, in this order."""
    licence: str = "any"
    """Which weights may be used: 'any', or 'commercial' for those alone whose licence allows paid work."""
    overwrite: bool = False
    """Whether to replace alphas that somebody has changed (else they are kept) and files of others (else refused)."""
    accept_doubt: bool = False
    """Whether to take a result whose confidence is near zero on most frames; else JobEnded has the code 'doubtful'."""
    edges: EdgeControls = field(default_factory=EdgeControls)


@dataclass(frozen=True)
class Accepted(Message):
    """Says that the job is checked and waits for its turn."""

    session: str
    frames: int
    """How many alphas it will write."""
    colour: str
    """The plate's colour space and why."""
    model: str
    """Label and licence of the weights."""
    out: str = ""
    """The first file it will write, every token of its name replaced."""


@dataclass(frozen=True)
class ObjectConfidence:
    """Says how far the alpha of one object can be trusted on one frame."""

    object: str
    value: float
    """0 (look here first) to 1."""
    why: str = ""
    """The reason to look at it: 'edge', 'grey', 'jump', 'change', 'guide', 'outvoted', 'disagreement' or 'empty'
    (docs/confidence.md has a sentence for each); '' where nothing lowers the value by much."""


@dataclass(frozen=True)
class Progress(Message):
    """Says that a step of a job is done. It may be left out when the client is slow; JobEnded is not."""

    session: str
    frame: int
    path: str
    """The frame's alpha, which is on disk; '' where the step led to a frame that is written later, or not at all."""
    done: int
    """Steps that are done."""
    of: int
    """Steps in all."""
    warnings: tuple[str, ...] = ()
    """What to look at, as in Result."""
    held: bool = False
    region: Optional[tuple[int, int, int, int]] = None
    confidences: tuple[ObjectConfidence, ...] = ()
    """The confidence of each object that is written, where this step wrote a frame's alpha."""
    looking: bool = False
    """True before the first step: `done` and `of` then count files that are read to know what has changed."""


@dataclass(frozen=True)
class Show(Message):
    """Asks a running job to make this frame before all others, for a viewer; the last one asked for goes first."""

    session: str
    frame: int


@dataclass(frozen=True)
class Shown(Message):
    """Says that the frame's alpha is on disk. It is the same as in any other order."""

    session: str
    frame: int
    path: str


@dataclass(frozen=True)
class JobEnded(Message):
    """Says that the job is over: 'finished', 'cancelled', or 'failed' with what a Fault would say.

    'finished' with the code 'doubtful': all is written, but most alphas of an object are not to be trusted.
    """

    session: str
    outcome: str
    written: int
    """Alphas written in this run."""
    code: str = ""
    message: str = ""
    action: str = ""
    unchanged: int = 0
    """Alphas that would have been written again the same, and were left alone."""


# ------------------------------------------------------------------------------------------------ a first mask


@dataclass(frozen=True)
class Stroke:
    """Holds what an artist has clicked or drawn on a plate."""

    points: tuple[tuple[float, float], ...]
    """x, y in plate pixels from the top left of the display window: one is a click, several are a line."""
    subject: bool = True
    """Whether it lies on the subject; else on what is not the subject."""


@dataclass(frozen=True)
class Prompt(Message):
    """Asks for a first mask from a box and strokes on one frame; answered when it is on disk. Sessions go on."""

    nonce: str
    """32 hexadecimal digits, drawn by the client: the same Prompt twice makes one mask."""
    plate: str
    out: str
    """An .exr file under the engine's roots. One that is no longer as the engine wrote it is never written over."""
    frame: Optional[int] = None
    """The plate frame; None is the plate's first."""
    box: Optional[tuple[int, int, int, int]] = None
    """x0, y0, x1, y1 around the subject in plate pixels from the top left, the last two outside."""
    strokes: tuple[Stroke, ...] = ()
    """Strokes, at least one of them on the subject where there is no box. Later ones go over earlier ones."""
    brush: Optional[float] = None
    """Width of strokes in plate pixels; None is a hundredth of the plate's shorter side."""
    backend: str = "grabcut"
    """One of the backends that Welcome names."""
    colorspace: Optional[str] = None
    exposure: Optional[float] = None
    """As in a Job; null is found from this frame."""
    view: Optional[str] = None
    part: Optional[str] = None
    layer: Optional[str] = None
    """The layer to take, as in a Job."""
    start: Optional[str] = None
    """A mask or an alpha of that frame to correct: it stays as it is but near the strokes."""


@dataclass(frozen=True)
class Masked(Message):
    """Says that the mask is on disk: soft, of the plate's size, for a Job or for an artist to mend."""

    path: str
    frame: int
    """The plate frame it belongs to."""
    colour: str
    """The plate's colour space and why."""
    backend: str
    """What made the mask, in full."""
    covers: float
    """The part of the picture that the mask covers, 0..1."""


# ------------------------------------------------------------------------------------------------ the end


@dataclass(frozen=True)
class Shutdown(Message):
    """Tells the engine to put every session on disk and to end."""


@dataclass(frozen=True)
class Goodbye(Message):
    """Says that the engine is about to end."""


@dataclass(frozen=True)
class Fault(Message):
    """Says that a request was not done and changed nothing."""

    code: str
    """One of the codes in the table below."""
    message: str
    action: str
    retryable: bool
    expected_seq: Optional[int] = None
    """The number that would be right, where the code is 'out-of-order'."""


def _all(kind: type[Message]) -> list[type[Message]]:
    return [sub for direct in kind.__subclasses__() for sub in (direct, *_all(direct))]


def type_name(kind: type[Message]) -> str:
    """Return the name on the wire: ListSessions becomes 'list-sessions'."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("-")


MESSAGES = {type_name(kind): kind for kind in _all(Message)}
"""The messages by their names on the wire."""
