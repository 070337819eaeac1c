# SPDX-License-Identifier: Apache-2.0
"""Decides what happens to sessions: hosts send them plates frame by frame, and each plate is answered with an alpha.

A frame's way, and who reports each step:

    Requested -> [Decode] -> Decoded -> [ComputeFrame] -> FrameComputed -> [StoreResult] -> ResultStored -> [SendResult]
             pool                   device               pool                 I/O thread

Rules of this file:
1. A frame counts once its result is stored. Whatever fails before leaves the session at the frame before it.
2. A request that was seen before is answered from what is stored, and never steps again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from matanyone_engine.engine.customers import Customer, Customers
from matanyone_engine.engine.events import (
    Allow,
    Asker,
    ComputeFrame,
    Crowded,
    Decode,
    Decoded,
    Discard,
    Drop,
    FrameComputed,
    Halt,
    Instruction,
    Load,
    Loaded,
    Park,
    Parked,
    Reply,
    Requested,
    ResultStored,
    Rewind,
    SendResult,
    StoreResult,
)  # fmt: skip
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase, check_phase
from matanyone_engine.wire.errors import Code, WireError


class RequestStage(IntEnum):
    """Names how far a frame has come."""

    DECODING = 1
    READY = 2
    STEPPING = 3
    STEPPED = 4
    STORING = 5


@dataclass
class Task:
    """Holds a frame between arrival and answer."""

    ticket: int
    seq: int
    frame: int
    key: bool
    digest: str
    bytes: int
    askers: list[Asker]
    stage: RequestStage = RequestStage.DECODING


@dataclass(kw_only=True)
class ServedSession(Customer):
    """Holds a session, with the frames of it that are under way."""

    opening: say.Open
    tasks: deque[Task] = field(default_factory=deque)
    digests: dict[int, str] = field(default_factory=dict)
    """Of frames that were answered, also before a crash."""
    before: ConversationPhase = ConversationPhase.WAITING
    """The phase to go back to once a cancel is through, or a parked session returns."""
    stored_since_snapshot: int = 0
    known: bool = False
    """It is on disk, so that it outlives a failure to load it."""

    @property
    def answered(self) -> int:
        """Return the seq after the last answered frame."""
        return self.next_seq - len(self.tasks)

    @property
    def queued(self) -> int:
        """Return the number of frames between arrival and answer."""
        return len(self.tasks)

    @property
    def ready(self) -> bool:
        """Return whether the next frame for the device is decoded, and the session is there."""
        return self.on_device and not self.moving and self._next_undone is not None

    @property
    def _next_undone(self) -> Task | None:
        """Returns the first frame that the device has not done, if it is decoded."""
        task = next((each for each in self.tasks if each.stage < RequestStage.STEPPED), None)
        return task if task is not None and task.stage is RequestStage.READY else None

    def begin(self) -> Instruction:
        """Return the instruction to compute the next frame."""
        task = self._next_undone
        assert task is not None
        task.stage = RequestStage.STEPPING
        return ComputeFrame(self.id, task.ticket, task.seq, task.frame, task.key)

    def stand(self, phase: ConversationPhase) -> None:
        """Take a new phase; during a cancel it is where the session goes once that is through."""
        if self.phase is ConversationPhase.CANCELLING:
            self.before = phase
        else:
            self.phase = phase

    def begin_cancel(self) -> None:
        """Remember the phase to go back to."""
        if self.phase is not ConversationPhase.CANCELLING:
            self.before, self.phase = self.phase, ConversationPhase.CANCELLING


class SessionScheduler:
    """Holds all sessions. What begins with ask_ is a client's request, what begins with on_ is a report."""

    def __init__(self, customers: Customers) -> None:
        self.by_id: dict[str, ServedSession] = {}
        self._customers = customers
        self._limits = customers.limits
        self._ids: dict[str, str] = {}
        """By nonce."""
        self._tickets = 0
        self._tasks: dict[int, tuple[ServedSession, Task]] = {}

    def adopt(self, session: str, opening: say.Open, next_seq: int, need: int, now: float) -> None:
        """Know of a session that an earlier engine left on disk."""
        self._add(
            ServedSession(
                id=session,
                owner="",
                client="",
                opening=opening,
                phase=ConversationPhase.PARKED,
                need=need,
                heard=now,
                next_seq=next_seq,
                size=opening.size,
                known=True,
            )
        )

    @property
    def queued(self) -> int:
        """Returns frames between arrival and answer."""
        return len(self._tasks)

    @property
    def idle(self) -> bool:
        """Return whether no frame is under way and no session is on the device."""
        return not self._tasks and not any(each.on_device or each.moving for each in self.by_id.values())

    def _add(self, session: ServedSession) -> None:
        self.by_id[session.id] = session
        self._ids[session.opening.nonce] = session.id
        self._customers.add(session)

    def _session(self, name: str, peer: str) -> ServedSession:
        """Return the session, for its owner. Raises WireError, also where a job has this name."""
        self._customers.owned(name, peer)
        if name not in self.by_id:
            raise WireError(
                Code.OUT_OF_TURN,
                "expected a session, got a job",
                "A job can be shown or cancelled. To send frames, open a session.",
            )
        return self.by_id[name]

    # ------------------------------------------------------------------------------------------------ requests

    def ask_open(self, event: Requested, message: say.Open) -> Iterator[Instruction]:
        """Open a session; the same one again where this nonce was seen before."""
        known = self._ids.get(message.nonce)
        if known is not None:
            yield from self.ask_reopen(event, say.Reopen(known))
            return
        self._customers.admit(event.need, event.who.peer)
        session = ServedSession(
            id=event.fresh,
            owner=event.who.peer,
            client=event.client,
            opening=message,
            phase=ConversationPhase.WAITING,
            need=event.need,
            heard=event.now,
            size=message.size,
            used_s=self._customers.least_used(),
            moving=True,
        )
        session.waiting.append((event.who, message))
        self._add(session)
        yield Load(session.id, message)

    def ask_reopen(self, event: Requested, message: say.Reopen) -> Iterator[Instruction]:
        """Give the session to whoever asks: they know its secret name."""
        session = self.by_id.get(message.session)
        if session is None:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if not session.on_device and not session.moving:
            self._customers.admit(session.need, event.who.peer)
        if session.owner != event.who.peer:  # else it may be an old word that comes late: what is under way goes on
            yield from self._flush(session, _superseded())
        session.owner, session.client, session.heard = event.who.peer, event.client, event.now
        session.waiting.append((event.who, message))
        if not session.on_device and not session.moving:
            session.moving = True
            yield Load(session.id, None)
        yield from self._when_quiet(session)

    def ask_key(self, event: Requested, message: say.Key) -> Iterator[Instruction]:
        """Compute a plate that comes with a mask."""
        yield from self._pixels(event, message, key=True)

    def ask_frame(self, event: Requested, message: say.Frame) -> Iterator[Instruction]:
        """Compute the next plate."""
        yield from self._pixels(event, message, key=False)

    def _pixels(self, event: Requested, message: say.Key | say.Frame, *, key: bool) -> Iterator[Instruction]:
        session = self._session(message.session, event.who.peer)
        session.heard = event.now
        check_phase(message, session.phase)
        if not session.on_device:
            raise WireError(Code.OUT_OF_TURN, "the session is not open yet", "Wait for the answer to open.")
        pending = next((task for task in session.tasks if task.seq == message.seq), None)
        known = pending.digest if pending else session.digests.get(message.seq)
        if known is not None and known != event.digest:
            raise WireError(
                Code.CONFLICT,
                f"seq {message.seq} was asked for before with other pixels, another frame number or as another kind",
                "Send the same again, or open a new session for other pixels.",
            )
        if pending is not None:
            pending.askers.append(event.who)
        elif message.seq < session.next_seq:
            yield SendResult(event.who, session.id, message.seq)
        else:
            yield self._accept(session, event, message, key=key)

    def _accept(
        self, session: ServedSession, event: Requested, message: say.Key | say.Frame, *, key: bool
    ) -> Instruction:
        if message.seq > session.next_seq:
            raise _out_of_order(message.seq, session.next_seq)
        if not key and not session.tasks and session.phase is ConversationPhase.WAITING:
            raise WireError(Code.OUT_OF_TURN, "expected a key before the first frame", "Send a plate with its mask.")
        waiting = sum(task.bytes for task in session.tasks)
        if len(session.tasks) >= self._limits.window_frames or (
            session.tasks and waiting + event.bytes > self._limits.window_bytes
        ):
            raise WireError(
                Code.BUSY,
                f"{len(session.tasks)} frames of {waiting} bytes are not answered yet, and the most at a time is "
                f"{self._limits.window_frames} frames and {self._limits.window_bytes} bytes",
                "Wait for an answer before sending more.",
            )
        self._tickets += 1
        task = Task(self._tickets, message.seq, message.frame, key, event.digest, event.bytes, [event.who])
        session.tasks.append(task)
        session.next_seq += 1
        self._tasks[task.ticket] = (session, task)
        return Decode(session.id, task.ticket, event.cargo)

    def ask_fetch(self, event: Requested, message: say.Fetch) -> Iterator[Instruction]:
        """Send a result again."""
        session = self._session(message.session, event.who.peer)
        session.heard = event.now
        if not 0 <= message.seq < session.answered:
            raise _out_of_order(message.seq, session.answered)
        yield SendResult(event.who, session.id, message.seq)

    def ask_snapshot(self, event: Requested, message: say.Snapshot) -> Iterator[Instruction]:
        """Put the session's state on disk once nothing of it is under way."""
        session = self._session(message.session, event.who.peer)
        check_phase(message, session.phase)
        session.waiting.append((event.who, message))
        yield from self._when_quiet(session)

    def ask_cancel(self, event: Requested, message: say.Cancel) -> Iterator[Instruction]:
        """Stop what is under way; the session stays open."""
        session = self._session(message.session, event.who.peer)
        session.waiting.append((event.who, message))
        session.begin_cancel()
        yield Halt(session.id)
        yield from self._flush(session, WireError(Code.CANCELLED, "the work was cancelled", "Send it again to go on."))
        yield from self._when_quiet(session)

    def ask_close(self, event: Requested, message: say.Close) -> Iterator[Instruction]:
        """Stop what is under way, and forget the session."""
        session = self._session(message.session, event.who.peer)
        yield Halt(session.id)
        yield from self._flush(session, WireError(Code.CANCELLED, "the session was closed", "Open a new one."))
        session.waiting.append((event.who, message))
        session.begin_cancel()
        yield from self._when_quiet(session)

    # -------------------------------------------------------------------------------------------- a frame's way

    def on_decoded(self, event: Decoded) -> Iterator[Instruction]:
        """Take a plate that is ready for the device, or cannot be read."""
        found = self._tasks.get(event.ticket)
        if found is None:  # flushed meanwhile
            yield Discard("", event.ticket)
            return
        session, task = found
        if event.fault is not None:
            yield from self._fail(session, task, event.fault)
            yield from self._when_quiet(session)
        else:
            task.stage = RequestStage.READY

    def on_stepped(self, event: FrameComputed) -> Iterator[Instruction]:
        """Take a frame that the device has computed, or could not compute."""
        session, task = self._tasks[event.ticket]
        session.used_s += event.seconds
        if event.fault is not None:
            yield from self._fail(session, task, event.fault)
        else:
            task.stage = RequestStage.STEPPED
        yield from self._store_next(session)
        yield from self._when_quiet(session)

    def _store_next(self, session: ServedSession) -> Iterator[Instruction]:
        """Store one result of a session at a time, so that the journal is in order."""
        if not session.tasks or session.tasks[0].stage is not RequestStage.STEPPED:
            return
        task = session.tasks[0]
        task.stage = RequestStage.STORING
        due = task.key or session.stored_since_snapshot + 1 >= self._limits.snapshot_every
        yield StoreResult(session.id, task.ticket, task.seq, task.frame, task.digest, due)

    def on_stored(self, event: ResultStored) -> Iterator[Instruction]:
        """Take the news that a result is on disk, or could not be put there."""
        session, task = self._tasks[event.ticket]
        if event.fault is not None:
            # The memory has this frame already, and perhaps the next: back to before it, as if it never came.
            if any(each.stage is RequestStage.STEPPING for each in session.tasks):
                task.stage = RequestStage.STEPPED  # tried again once the device has let go
                return
            yield Rewind(session.id, task.ticket)
            yield from self._fail(session, task, event.fault)
        else:
            session.tasks.popleft()
            del self._tasks[task.ticket]
            session.digests[task.seq] = task.digest
            session.digests.pop(task.seq - self._limits.digests, None)
            session.stored_since_snapshot = 0 if event.snapshotted else session.stored_since_snapshot + 1
            session.stand(ConversationPhase.FOLLOWING)
            for who in task.askers:
                yield SendResult(who, session.id, task.seq)
            yield from self._store_next(session)
        yield from self._when_quiet(session)

    def _fail(self, session: ServedSession, task: Task, error: WireError) -> Iterator[Instruction]:
        """Take a frame that could not be done, and all behind it, off the list; the session waits for it again."""
        yield from self._remove(session, task, error)
        for later in [other for other in session.tasks if other.seq > task.seq]:
            yield from self._remove(session, later, _out_of_order(later.seq, task.seq))
        session.next_seq = task.seq

    def _flush(self, session: ServedSession, error: WireError) -> Iterator[Instruction]:
        """Take off the list what the device has not begun."""
        waiting = [task for task in session.tasks if task.stage <= RequestStage.READY]
        for task in waiting:
            yield from self._remove(session, task, error)
        session.next_seq -= len(waiting)

    def _remove(self, session: ServedSession, task: Task, error: WireError) -> Iterator[Instruction]:
        session.tasks.remove(task)
        self._tasks.pop(task.ticket, None)
        for who in task.askers:
            yield Reply(who, as_fault(error))
        yield Discard(session.id, task.ticket)

    # -------------------------------------------------------------------------------- coming, going, stopping

    def on_loaded(self, event: Loaded) -> Iterator[Instruction]:
        """Take the news that a session is on the device, or could not be brought there."""
        session = self.by_id[event.session]
        session.moving = False
        waiting = session.taken(say.Open) + session.taken(say.Reopen)
        if event.fault is not None:
            yield from (Reply(who, as_fault(event.fault)) for who, _ in waiting)
            if not session.known:  # it was never more than a wish
                yield from self._forget(session)
                return
        else:
            session.on_device, session.known, session.next_seq = True, True, event.next_seq
            session.digests.update(event.digests)
            session.stored_since_snapshot = 0
            session.stand(ConversationPhase.FOLLOWING if event.seeded else ConversationPhase.WAITING)
            yield from (Reply(who, self._opened(session)) for who, _ in waiting)
        yield from self._when_quiet(session)

    def on_parked(self, event: Parked) -> Iterator[Instruction]:
        """Take the news that a session's state is on disk, or could not be put there."""
        session = self.by_id[event.session]
        session.moving = False
        for who, _ in session.taken(say.Snapshot):
            done = say.Snapshotted(session.id, event.next_seq)
            yield Reply(who, done if event.fault is None else as_fault(event.fault))
        if event.fault is not None and self._customers.closing:
            session.on_device = False  # its last frames will be computed again, from the snapshot before
        elif event.fault is not None:
            session.heard = self._customers.now  # a full disk: it stays on the device for another lease
        else:
            session.stored_since_snapshot = 0
            if event.left:
                yield from self._flush(session, _expired())
                session.on_device, session.owner = False, ""
                session.stand(ConversationPhase.PARKED)
        if not session.on_device and any(isinstance(message, say.Reopen) for _, message in session.waiting):
            session.moving = True  # it came back while it was leaving
            yield Load(session.id, None)
        yield from self._when_quiet(session)

    def on_time(self, now: float) -> Iterator[Instruction]:
        """Send sessions whose client is silent, and which are idle therefore, off the device, and later off the
        disk.
        """
        for session in list(self.by_id.values()):
            silent = now - session.heard
            if session.moving:
                continue
            if session.phase is ConversationPhase.PARKED and silent > self._limits.parked_s:
                yield from self._forget(session)
            elif silent > self._limits.lease_s and session.on_device:
                yield from self._leave(session)
        yield from self._forget_empty()

    def _leave(self, session: ServedSession) -> Iterator[Instruction]:
        """Stop within one pass what is under way, then put the session on disk: nobody is there any more."""
        if not session.tasks:
            session.moving = True
            yield Park(session.id, session.next_seq, leave=True)
        elif session.phase is not ConversationPhase.CANCELLING:
            session.begin_cancel()
            yield Halt(session.id)
            yield from self._flush(session, _expired())
            yield from self._when_quiet(session)

    def _forget_empty(self) -> Iterator[Instruction]:
        """Forget sessions that were left without a frame, which are worth nothing: whoever opens many must not fill the
        disk.
        """
        parked = [each for each in self.by_id.values() if each.phase is ConversationPhase.PARKED and not each.moving]
        empty = sorted((each for each in parked if not each.next_seq), key=lambda each: each.heard)
        for session in empty[: max(0, len(empty) - self._limits.empty_sessions)]:
            yield from self._forget(session)

    def on_crowded(self, event: Crowded) -> Iterator[Instruction]:
        """Give up sessions that were left alone where they fill the disk; those on the device stay, whatever they
        take.
        """
        for name in event.sessions:
            session = self.by_id.get(name)
            if session is not None and session.phase is ConversationPhase.PARKED and not session.moving:
                yield from self._forget(session)

    def on_closing(self) -> Iterator[Instruction]:
        """Put every session on disk: the engine is about to end."""
        for session in list(self.by_id.values()):
            yield Halt(session.id)
            yield from self._flush(session, shutting_down())
            yield from self._when_quiet(session)

    def _when_quiet(self, session: ServedSession) -> Iterator[Instruction]:
        """Once nothing of a session is under way, end a cancel, answer who waited, and take the session off the
        device.
        """
        if session.tasks or session.moving:
            return
        if any(isinstance(message, say.Close) for _, message in session.waiting):
            yield from self._forget(session)
            return
        if session.phase is ConversationPhase.CANCELLING:
            session.phase = session.before
            yield Allow(session.id)
            for who, _ in session.taken(say.Cancel):
                yield Reply(who, say.Cancelled(session.id, session.next_seq))
        for who, _ in session.taken(say.Reopen):
            yield Reply(who, self._opened(session))
        wanted = any(isinstance(message, say.Snapshot) for _, message in session.waiting)
        if session.on_device and (wanted or self._customers.closing):
            session.moving = True
            yield Park(session.id, session.next_seq, leave=self._customers.closing)

    def _opened(self, session: ServedSession) -> say.Opened:
        return say.Opened(session.id, session.next_seq, self._limits.window_frames, self._limits.window_bytes)

    def _forget(self, session: ServedSession) -> Iterator[Instruction]:
        del self.by_id[session.id]
        self._ids.pop(session.opening.nonce, None)
        self._customers.remove(session)
        yield Drop(session.id)
        for who, message in session.waiting:
            if isinstance(message, say.Close):
                yield Reply(who, say.Closed(session.id))
            elif isinstance(message, say.Cancel):
                yield Reply(who, say.Cancelled(session.id, session.next_seq))
            else:
                closed = WireError(Code.UNKNOWN_SESSION, "the session was closed", "Open a new one.")
                yield Reply(who, as_fault(closed))


def _out_of_order(came: int, expected: int) -> WireError:
    return WireError(
        Code.OUT_OF_ORDER, f"expected seq {expected}, got {came}", f"Go on from seq {expected}.", expected_seq=expected
    )


def _expired() -> WireError:
    return WireError(Code.SESSION_EXPIRED, "the session was put on disk meanwhile", "Reopen it; nothing is lost.")


def _superseded() -> WireError:
    return WireError(Code.CANCELLED, "the session was reopened", "Go on from the seq that Opened says.")
