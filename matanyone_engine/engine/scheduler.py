# SPDX-License-Identifier: Apache-2.0
"""What the engine does next: an event in, instructions out. Pure: no clock, no thread, no socket, no tensor.

A frame's way, and who reports each step:

    Asked -> [Decode] -> Decoded -> [Step] -> Stepped -> [Store] -> Stored -> [SendResult]
             pool                   device               pool                 I/O thread

Rules of this file:
1. The device does one thing at a time. Interactive goes before batch; among equals, who has used the device least.
2. A frame counts once its result is stored. Whatever fails before leaves the session at the frame before it.
3. A request that was seen before is answered from what is stored, and never steps again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from matanyone_engine.engine.events import (
    Allow,
    Asked,
    Asker,
    Closing,
    Crowded,
    Decode,
    Decoded,
    Discard,
    Drop,
    Event,
    Halt,
    Heard,
    Instruction,
    JobStep,
    JobStepped,
    Load,
    Loaded,
    MakeMask,
    MaskMade,
    Park,
    Parked,
    Plan,
    Planned,
    Reply,
    Rewind,
    SendResult,
    Step,
    Stepped,
    Store,
    Stored,
    Tell,
    Tick,
    Want,
)  # fmt: skip
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import Phase, check_phase
from matanyone_engine.wire.errors import Code, WireError


class Stage(IntEnum):
    """Where a frame is on its way."""

    DECODING = 1
    READY = 2
    STEPPING = 3
    STEPPED = 4
    STORING = 5


@dataclass
class Task:
    """A frame between arrival and answer."""

    ticket: int
    seq: int
    frame: int
    key: bool
    digest: str
    bytes: int
    askers: list[Asker]
    stage: Stage = Stage.DECODING


@dataclass
class Shot:
    """A session or a job."""

    id: str
    owner: str
    client: str
    opening: say.Open | say.Job
    phase: Phase
    need: int
    heard: float
    next_seq: int = 0
    """Of the next Key or Frame that may arrive."""
    tasks: deque[Task] = field(default_factory=deque)
    digests: dict[int, str] = field(default_factory=dict)
    """Of frames that were answered, also before a crash."""
    before: Phase = Phase.WAITING
    """The phase to go back to once a cancel is through, or a parked session returns."""
    on_device: bool = False
    moving: bool = False
    """On its way to or from the device, or being planned."""
    used_s: float = 0.0
    stored_since_snapshot: int = 0
    waiting: list[tuple[Asker, say.Message]] = field(default_factory=list)
    """Who waits for the move, the cancel or the plan to be through."""
    known: bool = False
    """It is on disk, so that it outlives a failure to load it."""
    planned: bool = False
    stepping: bool = False
    accepted: say.Accepted | None = None
    size: tuple[int, int] = (0, 0)
    frames: frozenset[int] = frozenset()
    """Of a job that is planned."""
    landed: dict[int, str] = field(default_factory=dict)
    """Of a job: frame -> its alpha's file."""

    @property
    def is_job(self) -> bool:
        return isinstance(self.opening, say.Job)

    @property
    def answered(self) -> int:
        """The seq after the last answered frame."""
        return self.next_seq - len(self.tasks)


@dataclass(frozen=True)
class Limits:
    """What the engine takes on."""

    memory_bytes: int
    window_frames: int = 3
    window_bytes: int = 256 << 20
    lease_s: float = 30.0
    snapshot_every: int = 25
    """Frames."""
    sessions: int = 256
    """At once, parked ones not counted."""
    parked_s: float = 7 * 86400.0
    """A session that nobody asked for in so long is forgotten."""
    digests: int = 100_000
    """Frames of a session whose pixels are remembered for comparison."""
    prompts: int = 16
    """First masks that may wait to be made."""


class Scheduler:
    """The engine's mind."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.shots: dict[str, Shot] = {}
        self.ended: dict[str, tuple[say.Accepted, say.JobEnded]] = {}
        """Jobs by nonce; a client may have missed the end."""
        self.masks: dict[str, say.Masked] = {}
        """First masks by nonce, for who asks again."""
        self._prompts: dict[str, list[Asker]] = {}
        """Who waits for which first mask."""
        self._nonces: dict[str, str] = {}
        self.closing = False
        self._device_work = 0
        """Instructions the device has not reported on."""
        self._now = 0.0
        self._tickets = 0
        self._tasks: dict[int, tuple[Shot, Task]] = {}

    # -------------------------------------------------------------------------------------------- the one door

    def handle(self, event: Event) -> list[Instruction]:
        """Everything that follows from an event."""
        handler = getattr(self, f"_on_{type(event).__name__.lower()}")
        instructions = [*handler(event), *self._dispatch()]
        self._device_work += sum(isinstance(each, (Load, Step, JobStep)) for each in instructions)
        return instructions

    def adopt(self, session: str, opening: say.Open, next_seq: int, need: int, now: float) -> None:
        """Know of a session that an earlier engine left on disk."""
        shot = Shot(session, "", "", opening, Phase.PARKED, need, now, next_seq, size=opening.size, known=True)
        self.shots[session] = shot
        self._nonces[opening.nonce] = session

    @property
    def memory_bytes(self) -> int:
        """Estimated, of all that is on the device."""
        return sum(shot.need for shot in self.shots.values() if shot.on_device or shot.moving)

    @property
    def queued(self) -> int:
        """Frames between arrival and answer."""
        return len(self._tasks)

    @property
    def idle(self) -> bool:
        """Nothing to do, and nothing on the device."""
        busy = bool(self._tasks or self._prompts)
        return not busy and not any(shot.on_device or shot.moving or shot.is_job for shot in self.shots.values())

    # ------------------------------------------------------------------------------------------------ requests

    def _on_asked(self, event: Asked) -> Iterator[Instruction]:
        answer = getattr(self, f"_ask_{type(event.message).__name__.lower()}")
        try:
            if self.closing:
                raise _shutting_down()
            yield from list(answer(event, event.message))
        except WireError as error:
            yield Reply(event.who, fault(error))

    def _shot(self, session: str, peer: str) -> Shot:
        """The session, for its owner. Raises WireError."""
        shot = self.shots.get(session)
        if shot is None:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if shot.owner not in ("", peer):
            raise WireError(
                Code.NOT_ALLOWED,
                f"the session was taken over by another client ({shot.client or 'unnamed'})",
                "Reopen it to take it back.",
            )
        return shot

    def _ask_open(self, event: Asked, message: say.Open) -> Iterator[Instruction]:
        known = self._nonces.get(message.nonce)
        if known is not None and known in self.shots:
            yield from self._ask_reopen(event, say.Reopen(known))
            return
        self._admit(event.need)
        shot = Shot(
            event.fresh,
            event.who.peer,
            event.client,
            message,
            Phase.WAITING,
            event.need,
            event.now,
            size=message.size,
            used_s=self._least_used(),
        )
        self._add(shot, message.nonce)
        shot.moving = True
        shot.waiting.append((event.who, message))
        yield Load(shot.id, message)

    def _ask_reopen(self, event: Asked, message: say.Reopen) -> Iterator[Instruction]:
        shot = self.shots.get(message.session)
        if shot is None or shot.is_job:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if not shot.on_device and not shot.moving:
            self._admit(shot.need)
        if shot.owner != event.who.peer:  # else it may be an old word that comes late: what is under way goes on
            yield from self._flush(shot, _superseded())
        shot.owner, shot.client, shot.heard = event.who.peer, event.client, event.now
        shot.waiting.append((event.who, message))
        if not shot.on_device and not shot.moving:
            shot.moving = True
            yield Load(shot.id, None)
        yield from self._settle(shot)

    def _opened(self, shot: Shot) -> say.Opened:
        return say.Opened(shot.id, shot.next_seq, self.limits.window_frames, self.limits.window_bytes)

    def _admit(self, need: int) -> None:
        live = sum(shot.phase is not Phase.PARKED for shot in self.shots.values())
        if live >= self.limits.sessions:
            raise WireError(
                Code.BUSY, f"expected fewer than {self.limits.sessions} sessions", "Close sessions, or try again later."
            )
        free = self.limits.memory_bytes - self.memory_bytes
        if need > free:
            raise WireError(
                Code.NO_ROOM,
                f"the session needs {need / 1e9:.1f} GB, {max(free, 0) / 1e9:.1f} GB are free",
                "Close another session, set a smaller working size, or try again later.",
            )

    def _add(self, shot: Shot, nonce: str) -> None:
        self.shots[shot.id] = shot
        self._nonces[nonce] = shot.id

    def _least_used(self) -> float:
        """A newcomer starts level with the others: neither starved nor starving them."""
        return min((shot.used_s for shot in self.shots.values() if shot.on_device), default=0.0)

    def _ask_key(self, event: Asked, message: say.Key) -> Iterator[Instruction]:
        yield from self._pixels(event, message, key=True)

    def _ask_frame(self, event: Asked, message: say.Frame) -> Iterator[Instruction]:
        yield from self._pixels(event, message, key=False)

    def _pixels(self, event: Asked, message: say.Key | say.Frame, *, key: bool) -> Iterator[Instruction]:
        shot = self._shot(message.session, event.who.peer)
        shot.heard = event.now
        check_phase(message, shot.phase)
        if not shot.on_device:
            raise WireError(Code.OUT_OF_TURN, "the session is not open yet", "Wait for the answer to open.")
        pending = next((task for task in shot.tasks if task.seq == message.seq), None)
        known = pending.digest if pending else shot.digests.get(message.seq)
        if known is not None and known != event.digest:
            raise WireError(
                Code.CONFLICT,
                f"seq {message.seq} was asked for before with other pixels, another frame number or as another kind",
                "Give the same again; for other pixels open a new session.",
            )
        if pending is not None:
            pending.askers.append(event.who)
        elif message.seq < shot.next_seq:
            yield SendResult(event.who, shot.id, message.seq)
        else:
            yield self._accept(shot, event, message, key=key)

    def _accept(self, shot: Shot, event: Asked, message: say.Key | say.Frame, *, key: bool) -> Instruction:
        if message.seq > shot.next_seq:
            raise _out_of_order(message.seq, shot.next_seq)
        if not key and not shot.tasks and shot.phase is Phase.WAITING:
            raise WireError(Code.OUT_OF_TURN, "expected a key before the first frame", "Send a plate with its mask.")
        waiting = sum(task.bytes for task in shot.tasks)
        if len(shot.tasks) >= self.limits.window_frames or (
            shot.tasks and waiting + event.bytes > self.limits.window_bytes
        ):
            raise WireError(
                Code.BUSY,
                f"{len(shot.tasks)} frames of {waiting} bytes are unanswered; the window is "
                f"{self.limits.window_frames} frames and {self.limits.window_bytes} bytes",
                "Wait for an answer before sending more.",
            )
        self._tickets += 1
        task = Task(self._tickets, message.seq, message.frame, key, event.digest, event.bytes, [event.who])
        shot.tasks.append(task)
        shot.next_seq += 1
        self._tasks[task.ticket] = (shot, task)
        return Decode(shot.id, task.ticket, event.cargo)

    def _ask_fetch(self, event: Asked, message: say.Fetch) -> Iterator[Instruction]:
        shot = self._shot(message.session, event.who.peer)
        shot.heard = event.now
        if not 0 <= message.seq < shot.answered:
            raise _out_of_order(message.seq, shot.answered)
        yield SendResult(event.who, shot.id, message.seq)

    def _ask_cancel(self, event: Asked, message: say.Cancel) -> Iterator[Instruction]:
        shot = self.shots.get(message.session)
        if shot is None:  # a job that has ended meanwhile: nothing to stop
            yield Reply(event.who, say.Cancelled(message.session, 0))
            return
        shot = self._shot(message.session, event.who.peer)
        shot.waiting.append((event.who, message))
        self._begin_cancel(shot)
        yield Halt(shot.id)
        yield from self._flush(shot, WireError(Code.CANCELLED, "the work was cancelled", "Send it again to go on."))
        yield from self._settle(shot)

    def _begin_cancel(self, shot: Shot) -> None:
        if shot.phase is not Phase.CANCELLING:
            shot.before, shot.phase = shot.phase, Phase.CANCELLING

    def _ask_snapshot(self, event: Asked, message: say.Snapshot) -> Iterator[Instruction]:
        shot = self._shot(message.session, event.who.peer)
        check_phase(message, shot.phase)
        shot.waiting.append((event.who, message))
        yield from self._settle(shot)

    def _ask_close(self, event: Asked, message: say.Close) -> Iterator[Instruction]:
        if message.session in self.shots:
            shot = self._shot(message.session, event.who.peer)
            if shot.is_job:
                raise WireError(Code.OUT_OF_TURN, "a job is not closed", "Cancel it.")
            yield Halt(shot.id)
            yield from self._flush(shot, WireError(Code.CANCELLED, "the session was closed", "Open a new one."))
            shot.waiting.append((event.who, message))
            self._begin_cancel(shot)
            yield from self._settle(shot)
        else:
            yield Reply(event.who, say.Closed(message.session))

    def _ask_job(self, event: Asked, message: say.Job) -> Iterator[Instruction]:
        if message.nonce in self.ended:
            accepted, ended = self.ended[message.nonce]
            yield Reply(event.who, accepted)
            yield Tell(event.who.peer, ended)
            return
        known = self.shots.get(self._nonces.get(message.nonce, ""))
        if known is not None:
            known.owner = event.who.peer
            if known.accepted:
                yield Reply(event.who, known.accepted)
            else:
                known.waiting.append((event.who, message))
            return
        self._admit(0)
        shot = Shot(
            event.fresh,
            event.who.peer, event.client, message, Phase.RUNNING, 0, event.now, before=Phase.RUNNING, moving=True,
        )  # fmt: skip
        shot.waiting.append((event.who, message))
        self._add(shot, message.nonce)
        yield Plan(shot.id, message)

    def _ask_prompt(self, event: Asked, message: say.Prompt) -> Iterator[Instruction]:
        if message.nonce in self.masks:
            yield Reply(event.who, self.masks[message.nonce])
        elif message.nonce in self._prompts:
            self._prompts[message.nonce].append(event.who)
        elif len(self._prompts) >= self.limits.prompts:
            raise WireError(
                Code.BUSY, f"expected fewer than {self.limits.prompts} masks to be made", "Try again in a moment."
            )
        else:
            self._prompts[message.nonce] = [event.who]
            yield MakeMask(message)

    def _on_maskmade(self, event: MaskMade) -> Iterator[Instruction]:
        askers = self._prompts.pop(event.nonce, [])  # none where the engine was told to end meanwhile
        if event.masked is not None:
            self.masks[event.nonce] = event.masked
            while len(self.masks) > self.limits.sessions:
                self.masks.pop(next(iter(self.masks)))
            yield from (Reply(who, event.masked) for who in askers)
        elif event.fault is not None:
            yield from (Reply(who, fault(event.fault)) for who in askers)

    def _ask_show(self, event: Asked, message: say.Show) -> Iterator[Instruction]:
        shot = self._shot(message.session, event.who.peer)
        check_phase(message, shot.phase)
        shot.waiting.append((event.who, message))
        yield from self._shown(shot)
        if (event.who, message) in shot.waiting:
            yield Want(shot.id, message.frame)

    def _shown(self, shot: Shot) -> Iterator[Instruction]:
        """Answer who waits for frames that have landed, or that the job does not make."""
        for who, message in self._taken(shot, say.Show):
            assert isinstance(message, say.Show)
            if message.frame in shot.landed:
                yield Reply(who, say.Shown(shot.id, message.frame, shot.landed[message.frame]))
            elif shot.planned and message.frame not in shot.frames:
                problem = f"expected a frame that the job makes, got {message.frame}"
                yield Reply(who, fault(WireError(Code.BAD_INPUT, problem, "Ask for one of its frames.")))
            else:
                shot.waiting.append((who, message))

    # -------------------------------------------------------------------------------------------- a frame's way

    def _on_decoded(self, event: Decoded) -> Iterator[Instruction]:
        found = self._tasks.get(event.ticket)
        if found is None:  # flushed meanwhile
            yield Discard("", event.ticket)
            return
        shot, task = found
        if event.fault is not None:
            yield from self._fail(shot, task, event.fault)
            yield from self._settle(shot)
        else:
            task.stage = Stage.READY

    def _on_stepped(self, event: Stepped) -> Iterator[Instruction]:
        self._device_work -= 1
        shot, task = self._tasks[event.ticket]
        shot.used_s += event.seconds
        if event.fault is not None:
            yield from self._fail(shot, task, event.fault)
        else:
            task.stage = Stage.STEPPED
        yield from self._store_next(shot)
        yield from self._settle(shot)

    def _store_next(self, shot: Shot) -> Iterator[Instruction]:
        """One result of a session at a time is stored, so that the journal is in order."""
        if not shot.tasks or shot.tasks[0].stage is not Stage.STEPPED:
            return
        task = shot.tasks[0]
        task.stage = Stage.STORING
        due = task.key or shot.stored_since_snapshot + 1 >= self.limits.snapshot_every
        yield Store(shot.id, task.ticket, task.seq, task.frame, task.digest, due)

    def _on_stored(self, event: Stored) -> Iterator[Instruction]:
        shot, task = self._tasks[event.ticket]
        if event.fault is not None:
            # The memory has this frame already, and perhaps the next: back to before it, as if it never came.
            if self._stepping(shot):
                task.stage = Stage.STEPPED  # tried again once the device has let go
                return
            yield Rewind(shot.id, task.ticket)
            yield from self._fail(shot, task, event.fault)
        else:
            shot.tasks.popleft()
            del self._tasks[task.ticket]
            shot.digests[task.seq] = task.digest
            shot.digests.pop(task.seq - self.limits.digests, None)
            shot.stored_since_snapshot = 0 if event.snapshotted else shot.stored_since_snapshot + 1
            _stand(shot, Phase.FOLLOWING)
            for who in task.askers:
                yield SendResult(who, shot.id, task.seq)
            yield from self._store_next(shot)
        yield from self._settle(shot)

    def _stepping(self, shot: Shot) -> bool:
        return any(task.stage is Stage.STEPPING for task in shot.tasks)

    def _fail(self, shot: Shot, task: Task, error: WireError) -> Iterator[Instruction]:
        """A frame could not be done: it and all behind it are off the list, and the session waits for it again."""
        self._remove(shot, task)
        for who in task.askers:
            yield Reply(who, fault(error))
        yield Discard(shot.id, task.ticket)
        for later in [other for other in shot.tasks if other.seq > task.seq]:
            self._remove(shot, later)
            for who in later.askers:
                yield Reply(who, fault(_out_of_order(later.seq, task.seq)))
            yield Discard(shot.id, later.ticket)
        shot.next_seq = task.seq

    def _flush(self, shot: Shot, error: WireError) -> Iterator[Instruction]:
        """Take off the list what the device has not begun."""
        waiting = [task for task in shot.tasks if task.stage <= Stage.READY]
        for task in waiting:
            self._remove(shot, task)
            for who in task.askers:
                yield Reply(who, fault(error))
            yield Discard(shot.id, task.ticket)
        shot.next_seq -= len(waiting)

    def _remove(self, shot: Shot, task: Task) -> None:
        shot.tasks.remove(task)
        self._tasks.pop(task.ticket, None)

    # -------------------------------------------------------------------------------- coming, going, stopping

    def _settle(self, shot: Shot) -> Iterator[Instruction]:
        """Once nothing of a session is under way: end a cancel, answer who waited, take it off the device."""
        if shot.tasks or shot.moving or shot.stepping:
            return
        closing = any(isinstance(message, say.Close) for _, message in shot.waiting)
        if closing:
            yield from self._forget(shot)
        elif shot.phase is Phase.CANCELLING and not shot.is_job:
            shot.phase = shot.before
            yield Allow(shot.id)
            for who, _ in self._taken(shot, say.Cancel):
                yield Reply(who, say.Cancelled(shot.id, shot.next_seq))
        if shot.id not in self.shots:
            return
        if not shot.is_job:
            for who, _ in self._taken(shot, say.Reopen):
                yield Reply(who, self._opened(shot))
            wanted = any(isinstance(message, say.Snapshot) for _, message in shot.waiting)
            if shot.on_device and not shot.moving and (wanted or self.closing):
                shot.moving = True
                yield Park(shot.id, shot.next_seq, leave=self.closing)

    def _taken(self, shot: Shot, kind: type[say.Message]) -> list[tuple[Asker, say.Message]]:
        """Remove and return who waits with this kind of request."""
        taken = [item for item in shot.waiting if isinstance(item[1], kind)]
        shot.waiting = [item for item in shot.waiting if not isinstance(item[1], kind)]
        return taken

    def _forget(self, shot: Shot) -> Iterator[Instruction]:
        del self.shots[shot.id]
        self._nonces.pop(shot.opening.nonce, None)
        yield Drop(shot.id)
        for who, message in shot.waiting:
            if isinstance(message, say.Close):
                yield Reply(who, say.Closed(shot.id))
            elif isinstance(message, say.Cancel):
                yield Reply(who, say.Cancelled(shot.id, shot.next_seq))
            elif isinstance(message, say.Show):
                yield Reply(who, fault(WireError(Code.CANCELLED, "the job ended before this frame", "Start it again.")))
            else:
                yield Reply(who, fault(WireError(Code.UNKNOWN_SESSION, "the session was closed", "Open a new one.")))

    def _on_loaded(self, event: Loaded) -> Iterator[Instruction]:
        self._device_work -= 1
        shot = self.shots[event.session]
        shot.moving = False
        waiting = self._taken(shot, say.Open) + self._taken(shot, say.Reopen)
        if event.fault is not None:
            yield from (Reply(who, fault(event.fault)) for who, _ in waiting)
            if not shot.known:  # it was never more than a wish
                yield from self._forget(shot)
                return
        else:
            shot.on_device, shot.known, shot.next_seq = True, True, event.next_seq
            shot.digests.update(event.digests)
            shot.stored_since_snapshot = 0
            _stand(shot, Phase.FOLLOWING if event.seeded else Phase.WAITING)
            yield from (Reply(who, self._opened(shot)) for who, _ in waiting)
        yield from self._settle(shot)

    def _on_parked(self, event: Parked) -> Iterator[Instruction]:
        shot = self.shots[event.session]
        shot.moving = False
        for who, _ in self._taken(shot, say.Snapshot):
            done = say.Snapshotted(shot.id, event.next_seq)
            yield Reply(who, done if event.fault is None else fault(event.fault))
        if event.fault is not None and self.closing:
            shot.on_device = False  # its last frames will be computed again, from the snapshot before
        elif event.fault is not None:
            shot.heard = self._now  # a full disk: it stays on the device for another lease
        else:
            shot.stored_since_snapshot = 0
            if event.left:
                yield from self._flush(shot, _expired())
                shot.on_device, shot.owner = False, ""
                _stand(shot, Phase.PARKED)
        if not shot.on_device and any(isinstance(message, say.Reopen) for _, message in shot.waiting):
            shot.moving = True  # it came back while it was leaving
            yield Load(shot.id, None)
        yield from self._settle(shot)

    def _on_heard(self, event: Heard) -> Iterator[Instruction]:
        for shot in self.shots.values():
            if shot.owner == event.peer:
                shot.heard = event.now
        return iter(())

    def _on_tick(self, event: Tick) -> Iterator[Instruction]:
        """Sessions whose client is gone leave the device, their state on disk."""
        self._now = event.now
        for shot in list(self.shots.values()):
            silent = event.now - shot.heard
            if shot.phase is Phase.PARKED and silent > self.limits.parked_s and not shot.moving:
                yield from self._forget(shot)
            elif (
                silent > self.limits.lease_s
                and shot.on_device
                and not shot.moving
                and not shot.is_job
                and not shot.tasks
            ):
                shot.moving = True
                yield Park(shot.id, shot.next_seq, leave=True)

    def _on_crowded(self, event: Crowded) -> Iterator[Instruction]:
        """Of sessions that were left alone too much is on disk; those on the device stay whatever they take."""
        for session in event.sessions:
            shot = self.shots.get(session)
            if shot is not None and shot.phase is Phase.PARKED and not shot.moving:
                yield from self._forget(shot)

    def _on_closing(self, _event: Closing) -> Iterator[Instruction]:
        self.closing = True
        waiting, self._prompts = self._prompts, {}
        yield from (Reply(who, fault(_shutting_down())) for askers in waiting.values() for who in askers)
        for shot in list(self.shots.values()):
            yield Halt(shot.id)
            yield from self._flush(shot, _shutting_down())
            yield from self._settle(shot)

    # --------------------------------------------------------------------------------------------------- jobs

    def _on_planned(self, event: Planned) -> Iterator[Instruction]:
        shot = self.shots[event.session]
        shot.moving = False
        error = event.fault
        if error is None:
            try:
                self._admit(event.need)
            except WireError as no_room:
                error = no_room
        waiting = self._taken(shot, say.Job)
        if error is not None:
            for who, _ in waiting:
                yield Reply(who, fault(error))
            yield from self._forget(shot)
            return
        shot.planned, shot.accepted, shot.need, shot.size = True, event.accepted, event.need, event.size
        shot.frames = frozenset(event.frames)
        shot.on_device, shot.used_s = True, self._least_used()
        if event.accepted is not None:
            for who, _ in waiting:
                yield Reply(who, event.accepted)
        yield from self._shown(shot)

    def _on_jobstepped(self, event: JobStepped) -> Iterator[Instruction]:
        self._device_work -= 1
        shot = self.shots[event.session]
        shot.stepping = False
        shot.used_s += event.seconds
        shot.landed.update(event.standing)
        if event.progress is not None:
            shot.next_seq = event.progress.done
            if event.progress.path:
                shot.landed[event.progress.frame] = event.progress.path
            yield Tell(shot.owner, event.progress)
        yield from self._shown(shot)
        if event.ended is not None and shot.accepted is not None:
            ended = self._as_told(event.ended)
            self.ended[shot.opening.nonce] = (shot.accepted, ended)
            while len(self.ended) > self.limits.sessions:
                self.ended.pop(next(iter(self.ended)))
            yield Tell(shot.owner, ended)
            yield from self._forget(shot)

    def _as_told(self, ended: say.JobEnded) -> say.JobEnded:
        """Nobody cancelled what the engine's own end has stopped."""
        if ended.outcome != "cancelled" or not self.closing:
            return ended
        why = _shutting_down()
        return replace(
            ended, outcome="failed", code=why.code.value, message=why.message, action="Start it again and resume."
        )

    # -------------------------------------------------------------------------------------------- the device

    def _dispatch(self) -> Iterator[Instruction]:
        """If the device is free, the next thing for it."""
        if self._device_work:
            return
        ready = [shot for shot in self.shots.values() if self._has_work(shot)]
        if not ready:
            return
        shot = min(ready, key=lambda each: (each.opening.priority != "interactive", each.used_s))
        if shot.is_job:
            shot.stepping = True
            yield JobStep(shot.id)
        else:
            task = self._ready_task(shot)
            task.stage = Stage.STEPPING
            yield Step(shot.id, task.ticket, task.seq, task.frame, task.key)

    def _has_work(self, shot: Shot) -> bool:
        if shot.is_job:
            return shot.planned
        return shot.on_device and not shot.moving and self._next_undone(shot) is not None

    def _next_undone(self, shot: Shot) -> Task | None:
        """The first frame the device has not done, if it is decoded."""
        task = next((each for each in shot.tasks if each.stage < Stage.STEPPED), None)
        return task if task is not None and task.stage is Stage.READY else None

    def _ready_task(self, shot: Shot) -> Task:
        task = self._next_undone(shot)
        assert task is not None
        return task


def _stand(shot: Shot, phase: Phase) -> None:
    """The session's new phase; during a cancel, where it goes once that is through."""
    if shot.phase is Phase.CANCELLING:
        shot.before = phase
    else:
        shot.phase = phase


def fault(error: WireError) -> say.Fault:
    """An error as it travels."""
    return say.Fault(error.code.value, error.message, error.action, error.retryable, error.expected_seq)


def _out_of_order(came: int, expected: int) -> WireError:
    return WireError(
        Code.OUT_OF_ORDER, f"expected seq {expected}, got {came}", f"Go on from seq {expected}.", expected_seq=expected
    )


def _shutting_down() -> WireError:
    return WireError(Code.SHUTTING_DOWN, "the engine is about to end", "Start it again, and reopen the session.")


def _expired() -> WireError:
    return WireError(Code.SESSION_EXPIRED, "the session was put on disk meanwhile", "Reopen it; nothing is lost.")


def _superseded() -> WireError:
    return WireError(Code.CANCELLED, "the session was reopened", "Go on from the seq that Opened says.")
