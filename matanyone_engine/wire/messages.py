# SPDX-License-Identifier: Apache-2.0
"""Defines every message between a client and an engine (docs/protocol.md).

Rules of this file:
1. Each message is a frozen dataclass, whose fields are the fields of the header: so their types are those of JSON.
2. The sender may leave out a field that has a default, and no other field.
3. There is no behaviour here: engine/scheduler.py decides what a message does.

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


# ------------------------------------------------------------------------------------------------ client and engine


@dataclass(frozen=True)
class Hello(Message):
    """Introduces the client. It is the first message on either socket, and is sent again when the epoch changes: a
    restarted engine does not know its clients."""

    token: str
    """The engine's secret, from its connection file."""
    peer: str
    """32 hexadecimal digits that the client draws once. They are the same on its two sockets."""
    client: str = ""
    """The client's name for people: 'Blender 4.5, shot_010.blend'."""


@dataclass(frozen=True)
class Welcome(Message):
    """Answers Hello, and describes the engine."""

    epoch: str
    """Identifies this run of the engine: after a restart it has another value."""
    engine: str
    """The engine's version."""
    models: tuple[str, ...]
    """The names of models for Open, the default first."""
    device: str
    most_message_bytes: int
    """The largest message in bytes. A larger one is lost without an error, since ZeroMQ drops the connection."""
    lease_s: float
    """Seconds of silence after which a client's sessions leave the device's memory. They are kept on disk."""
    roots: tuple[str, ...] = ()
    """The folders under which a Job may read and write."""
    backends: tuple[str, ...] = ()
    """The names of backends for Prompt, the default first."""


@dataclass(frozen=True)
class Ping(Message):
    """Asks whether the engine is alive, and renews the leases of all sessions of this client."""


@dataclass(frozen=True)
class Pong(Message):
    """Says that the engine is alive, and what its device does. It is sent even while the device hangs."""

    epoch: str
    activity: str
    """'idle', 'loading', 'seeding' or 'stepping'."""
    progress_age_s: float
    """Seconds since the device last began or finished a piece of work."""
    session: str = ""
    """The short name of the session that is being computed."""


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
    """Frames that have arrived and are not answered yet."""
    memory_bytes: int
    """Device memory that sessions take: an estimate."""
    memory_limit_bytes: int
    resident_bytes: int
    """Main memory of the process, according to the system; 0 where the system does not tell."""
    models_loaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListSessions(Message):
    """Asks which sessions there are."""


@dataclass(frozen=True)
class SessionInfo:
    """Describes one session for any client, without its secret."""

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
    """Holds the settings with which a shot is computed. Results depend on these, the plates, the mask and the
    weights.
    """

    warm_up_passes: Optional[int] = None
    """How often a key's frame is predicted again; null is the model's own number."""
    working_size: Optional[int] = None
    """Limit of the shortest side that is computed, in pixels; None is the model's own: 432 for mini, no limit for the
    published ones. Alphas come back at the plate's size."""
    colorspace: Optional[str] = None
    """The OpenColorIO name of the plates' colour space; None is the space that an EXR states. It is required for raw
    planes."""
    mask_grow: int = 0
    reply: str = "exr"
    """'exr' (the plate's header carried over), 'f2' or 'f4' (a raw plane)."""
    exposure: Optional[float] = None
    """Stops by which the network sees the plates brighter, at most 16 up or down; nothing else changes. With null, a
    job finds it from the plate on the first mask's frame: it is 0 for all but very dark and overbright plates. In a
    session, whose plates come one by one, null is 0."""
    refine: bool = True
    """Whether alphas of a smaller working size are refined along the plate's detail; else enlarged bilinearly."""
    region: Optional[str] = None
    """What is computed: 'off', 'follow', 'x0,y0,x1,y1' (plate pixels from the top left), or 'FRAME:x0,y0,x1,y1 ...'."""
    hold_tolerance: Optional[float] = 0.0
    """A frame that is this close to the last computed one gets its alpha. With 0, all bits must be equal; with null,
    every frame is computed."""


@dataclass(frozen=True)
class Open(Message):
    """Opens a session for one object in one shot."""

    nonce: str
    """32 hexadecimal digits, drawn by the client. If the same Open is sent twice, it opens one session."""
    size: tuple[int, int]
    """Width and height of the plates; plates of another size are refused."""
    model: str = "mini"
    options: Options = field(default_factory=Options)
    priority: str = "interactive"
    """'interactive' goes before 'batch'."""
    label: str = ""


@dataclass(frozen=True)
class Reopen(Message):
    """Asks to continue a session after a crash of either side. If another client asks, it then owns the session."""

    session: str


@dataclass(frozen=True)
class Opened(Message):
    """Says that the session is open, and with which frame it continues."""

    session: str
    """The session's secret: a client that sends it owns the session."""
    next_seq: int
    """The number that the next Key or Frame must have; after a crash it is lower than before."""
    window_frames: int
    """The most Keys and Frames that may be unanswered at a time."""
    window_bytes: int
    """The most bytes that these may have together."""


@dataclass(frozen=True)
class Key(Message):
    """Sends a plate and its mask. They seed the session, or replace its memory. Payloads: plate, mask."""

    session: str
    seq: int
    frame: int
    """The plate's frame number, which is returned with the alpha."""


@dataclass(frozen=True)
class Frame(Message):
    """Sends the next plate, and perhaps a rough guide of where the subject is. Payloads: plate, and guide or none."""

    session: str
    seq: int
    frame: int
    guide_band: Optional[int] = None
    """Pixels on either side of the guide's edge that are left to the network; null is a sixteenth of the plate's
    shorter side. It is ignored without a guide."""


@dataclass(frozen=True)
class Fetch(Message):
    """Asks for the stored result of an earlier frame again."""

    session: str
    seq: int


@dataclass(frozen=True)
class Result(Message):
    """Returns an alpha, which was stored before it was sent. Payload: alpha."""

    session: str
    seq: int
    frame: int
    warnings: tuple[str, ...] = ()
    """What to look at: 'the plate is black', 'the alpha is empty'."""
    held: bool = False
    """Whether the frame repeats the one before it, and was answered with that one's alpha."""
    region: Optional[tuple[int, int, int, int]] = None
    """x0, y0, x1, y1 in plate pixels of the part that was computed; the alpha is 0 elsewhere. null without a region."""
    confidence: Optional[float] = None
    """How far the alpha can be trusted, 0 (look here first) to 1; null from an engine that does not estimate it."""
    why: str = ""
    """The reason to look at the alpha, as in confidences of progress."""


@dataclass(frozen=True)
class Snapshot(Message):
    """Asks the engine to put the session's state on disk now."""

    session: str


@dataclass(frozen=True)
class Snapshotted(Message):
    """Says that the state is on disk, so that a restarted engine continues with this seq."""

    session: str
    next_seq: int


@dataclass(frozen=True)
class Cancel(Message):
    """Stops the work within one frame. Finished frames stay, and the session or job can continue later."""

    session: str


@dataclass(frozen=True)
class Cancelled(Message):
    """Says that the work has stopped. Unanswered Keys and Frames were answered with a Fault 'cancelled'."""

    session: str
    next_seq: int


@dataclass(frozen=True)
class Close(Message):
    """Ends the session, and deletes its memory, snapshots and stored results."""

    session: str


@dataclass(frozen=True)
class Closed(Message):
    """Says that the session has ended. To close one that has ended already is no error."""

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
    """The text for {shot} in `out`; None takes it from the plate's name."""
    version: Optional[int] = None
    """The number for {version} in `out`; None is the next free one."""
    foreground: bool = False
    """Whether the subject's unmixed colour is added to an .exr, straight, as fg.R, fg.G, fg.B."""
    split: Optional[int] = None
    """Pixels by which the core is shrunk where core.A and edge.A are added to an .exr; None adds neither."""
    crop: bool = False
    """Whether an .exr's data window is the smallest that holds all that is not 0."""


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
    """The plate frames of the masks; an empty list stands for the first frame that is run."""
    object: str = "subject"


@dataclass(frozen=True)
class ObjectOptions:
    """Holds the settings of one object, besides its masks."""

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
    edges: Optional[EdgeControls] = None
    """The object's own edge controls; None takes those of the job."""


@dataclass(frozen=True)
class Job(Message):
    """Asks for the alphas of a whole shot. The engine reads and writes the files, which must be under its roots."""

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
    """Whether to continue an unfinished run of exactly this job."""
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
    """Which weights may be used: 'any', or 'commercial' for only those whose licence allows paid work."""
    overwrite: bool = False
    """Whether to replace alphas that somebody has changed (which are kept otherwise) and other programs' files (for
    which the job is refused otherwise)."""
    accept_doubt: bool = False
    """Whether to accept a result whose confidence is near zero on most frames. If not, JobEnded has the code
    'doubtful'."""
    edges: EdgeControls = field(default_factory=EdgeControls)


@dataclass(frozen=True)
class Accepted(Message):
    """Says that the job was checked and waits for its turn."""

    session: str
    frames: int
    """The number of alphas that the job will write."""
    colour: str
    """The plate's colour space, and why it was chosen."""
    model: str
    """Label and licence of the weights."""
    out: str = ""
    """The first file that the job will write, with all tokens of its name replaced."""


@dataclass(frozen=True)
class ObjectConfidence:
    """Says how far the alpha of one object can be trusted on one frame."""

    object: str
    value: float
    """0 (look here first) to 1."""
    why: str = ""
    """The reason to look at the alpha: 'edge', 'grey', 'jump', 'change', 'guide', 'outvoted', 'disagreement' or 'empty'
    (docs/confidence.md explains each); '' where nothing lowers the value by much."""


@dataclass(frozen=True)
class Progress(Message):
    """Says that a step of a job is done. If the client is slow, some are not sent; JobEnded is always sent."""

    session: str
    frame: int
    path: str
    """The frame's alpha, which is on disk; '' where the frame's alpha is written later, or not at all."""
    done: int
    """Number of finished steps."""
    of: int
    """Number of all steps."""
    warnings: tuple[str, ...] = ()
    """What to look at, as in Result."""
    held: bool = False
    region: Optional[tuple[int, int, int, int]] = None
    confidences: tuple[ObjectConfidence, ...] = ()
    """The confidence of each object that is written, where this step wrote a frame's alpha."""
    looking: bool = False
    """Whether this comes before the first step. `done` and `of` then count the files that are read to find changes."""
    preparing: str = ""
    """What is made ready before the first step, in words for the artist; '' otherwise. `done` and `of` are then 0."""


@dataclass(frozen=True)
class Show(Message):
    """Asks a running job to make this frame before all others, as for a viewer. The latest request goes first."""

    session: str
    frame: int


@dataclass(frozen=True)
class Shown(Message):
    """Says that the frame's alpha is on disk. It does not depend on the order of the frames."""

    session: str
    frame: int
    path: str


@dataclass(frozen=True)
class JobEnded(Message):
    """Says that the job has ended: 'finished', 'cancelled', or 'failed' with the fields of a Fault.

    If 'finished' has the code 'doubtful', all alphas are written, but most of one object cannot be trusted.
    """

    session: str
    outcome: str
    written: int
    """Number of alphas that this run has written."""
    code: str = ""
    message: str = ""
    action: str = ""
    unchanged: int = 0
    """Number of alphas that were there already with the same content, and were not written again."""


# ------------------------------------------------------------------------------------------------ a first mask


@dataclass(frozen=True)
class Stroke:
    """Holds a click or a line of an artist's on a plate."""

    points: tuple[tuple[float, float], ...]
    """x, y in plate pixels from the top left of the display window: one point is a click, several are a line."""
    subject: bool = True
    """Whether the stroke is on the subject; if not, it marks what is not the subject."""


@dataclass(frozen=True)
class Prompt(Message):
    """Asks for a first mask from a box and strokes on one frame. It is answered when the mask is on disk; sessions
    continue meanwhile."""

    nonce: str
    """32 hexadecimal digits, drawn by the client. If the same Prompt is sent twice, it makes one mask."""
    plate: str
    out: str
    """An .exr file under the engine's roots. A file that somebody has changed is never overwritten."""
    frame: Optional[int] = None
    """The plate frame; None is the plate's first."""
    box: Optional[tuple[int, int, int, int]] = None
    """x0, y0, x1, y1 around the subject in plate pixels from the top left; x1 and y1 are exclusive."""
    strokes: tuple[Stroke, ...] = ()
    """Strokes, at least one of them on the subject where there is no box. Later ones cover earlier ones."""
    brush: Optional[float] = None
    """Width of strokes in plate pixels; None is a hundredth of the plate's shorter side."""
    backend: str = "grabcut"
    """One of the backends that Welcome names."""
    colorspace: Optional[str] = None
    exposure: Optional[float] = None
    """Stops, as in a Job; null is found from this frame."""
    view: Optional[str] = None
    part: Optional[str] = None
    layer: Optional[str] = None
    """The layer to take, as in a Job."""
    start: Optional[str] = None
    """A mask or an alpha of that frame to correct. It changes near the strokes alone."""


@dataclass(frozen=True)
class Masked(Message):
    """Says that the mask is on disk. It is soft and of the plate's size."""

    path: str
    frame: int
    """The mask's plate frame."""
    colour: str
    """The plate's colour space, and why it was chosen."""
    backend: str
    """The full name of the backend that made the mask."""
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
    """Says that a request was refused or has failed, and has changed nothing."""

    code: str
    """One of the codes in the table below."""
    message: str
    action: str
    retryable: bool
    expected_seq: Optional[int] = None
    """The number that was expected, where the code is 'out-of-order'."""


def _all(kind: type[Message]) -> list[type[Message]]:
    return [sub for direct in kind.__subclasses__() for sub in (direct, *_all(direct))]


def type_name(kind: type[Message]) -> str:
    """Return the name on the wire: ListSessions becomes 'list-sessions'."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("-")


MESSAGES = {type_name(kind): kind for kind in _all(Message)}
"""The messages by their names on the wire."""
