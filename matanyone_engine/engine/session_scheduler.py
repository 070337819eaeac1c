# SPDX-License-Identifier: Apache-2.0
"""Schedules sessions: a host sends plates frame by frame, and each plate is answered with an alpha.

The steps of a frame, and which thread reports each of them:

    Requested -> [Decode] -> Decoded -> [ComputeFrame] -> FrameComputed -> [StoreResult] -> ResultStored -> [SendResult]
             pool                   device               pool                 I/O thread

Rules of this file:
1. A frame counts once its result is stored. If anything fails before that, the session stays at the frame before it.
2. A request that is sent again is answered from the store; its frame is never computed twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from matanyone_engine.engine.events import (
    AllowWork,
    ComputeFrame,
    Decode,
    Decoded,
    Discard,
    DiskOverLimit,
    Drop,
    FrameComputed,
    Instruction,
    Load,
    Loaded,
    Park,
    Parked,
    Reply,
    Requested,
    Requester,
    ResultStored,
    Rewind,
    SendResult,
    StopWork,
    StoreResult,
)  # fmt: skip
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.engine.workloads import Workload, Workloads
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase, check_phase
from matanyone_engine.wire.errors import Code, WireError


class RequestStage(IntEnum):
    """Names the stages of a frame between its request and its answer."""

    DECODING = 1
    READY = 2
    STEPPING = 3
    STEPPED = 4
    STORING = 5


@dataclass
class Task:
    """Holds a frame that was received and is not answered yet."""

    ticket: int
    seq: int
    frame: int
    key: bool
    digest: str
    bytes: int
    askers: list[Requester]
    stage: RequestStage = RequestStage.DECODING


@dataclass(kw_only=True)
class ServedSession(Workload):
    """Holds a session and its unanswered frames."""

    opening: say.Open
    tasks: deque[Task] = field(default_factory=deque)
    digests: dict[int, str] = field(default_factory=dict)
    """The digests of frames that were answered, also before a crash."""
    before: ConversationPhase = ConversationPhase.WAITING
    """The phase after a cancel is finished, or after a parked session is loaded again."""
    stored_since_snapshot: int = 0
    known: bool = False
    """Whether it is on disk, so that it is not lost if loading it fails."""

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
        """Return whether the session is on the device and its next frame is decoded."""
        return self.on_device and not self.moving and self._next_undone is not None

    @property
    def _next_undone(self) -> Task | None:
        """Returns the first frame that the device has not computed, if it is decoded."""
        task = next((each for each in self.tasks if each.stage < RequestStage.STEPPED), None)
        return task if task is not None and task.stage is RequestStage.READY else None

    def begin(self) -> Instruction:
        """Return the instruction to compute the next frame."""
        task = self._next_undone
        assert task is not None
        task.stage = RequestStage.STEPPING
        return ComputeFrame(self.id, task.ticket, task.seq, task.frame, task.key)

    def stand(self, phase: ConversationPhase) -> None:
        """Set the phase; during a cancel, set the phase that follows the cancel."""
        if self.phase is ConversationPhase.CANCELLING:
            self.before = phase
        else:
            self.phase = phase

    def begin_cancel(self) -> None:
        """Remember the phase to go back to."""
        if self.phase is not ConversationPhase.CANCELLING:
            self.before, self.phase = self.phase, ConversationPhase.CANCELLING


class SessionScheduler:
    """Holds all sessions. Methods named ask_... handle clients' requests, those named on_... handle events."""

    def __init__(self, workloads: Workloads) -> None:
        self.by_id: dict[str, ServedSession] = {}
        self._workloads = workloads
        self._limits = workloads.limits
        self._ids: dict[str, str] = {}
        """By nonce."""
        self._tickets = 0
        self._tasks: dict[int, tuple[ServedSession, Task]] = {}

    def adopt(self, session: str, opening: say.Open, next_seq: int, need: int, now: float) -> None:
        """Register a session that an earlier engine left on disk."""
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
        """Returns the number of frames that were received and are not answered yet."""
        return len(self._tasks)

    @property
    def idle(self) -> bool:
        """Return whether no frame is unanswered and no session is on the device."""
        return not self._tasks and not any(each.on_device or each.moving for each in self.by_id.values())

    def _add(self, session: ServedSession) -> None:
        self.by_id[session.id] = session
        self._ids[session.opening.nonce] = session.id
        self._workloads.add(session)

    def _session(self, name: str, peer: str) -> ServedSession:
        """Return the session of this name if this peer owns it. Raises WireError, also if a job has this name."""
        self._workloads.owned(name, peer)
        if name not in self.by_id:
            raise WireError(
                Code.OUT_OF_TURN,
                "expected a session, got a job",
                "A job can be shown or cancelled. To send frames, open a session.",
            )
        return self.by_id[name]

    # ------------------------------------------------------------------------------------------------ requests

    def ask_open(self, event: Requested, message: say.Open) -> Iterator[Instruction]:
        """Open a session. If the nonce is known already, answer with the same session."""
        known = self._ids.get(message.nonce)
        if known is not None:
            yield from self.ask_reopen(event, say.Reopen(known))
            return
        self._workloads.admit(event.need, event.who.peer)
        session = ServedSession(
            id=event.fresh,
            owner=event.who.peer,
            client=event.client,
            opening=message,
            phase=ConversationPhase.WAITING,
            need=event.need,
            heard=event.now,
            size=message.size,
            used_s=self._workloads.least_used(),
            moving=True,
        )
        session.waiting.append((event.who, message))
        self._add(session)
        yield Load(session.id, message)

    def ask_reopen(self, event: Requested, message: say.Reopen) -> Iterator[Instruction]:
        """Make the client that asks the session's owner, since it knows the session's secret."""
        session = self.by_id.get(message.session)
        if session is None:
            raise WireError(Code.UNKNOWN_SESSION, "no session of this name", "Open a new one.")
        if not session.on_device and not session.moving:
            self._workloads.admit(session.need, event.who.peer)
        # otherwise this may be an old message that comes late, so the session's work goes on
        if session.owner != event.who.peer:
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
        """Write the session's state to disk once it has no work in progress."""
        session = self._session(message.session, event.who.peer)
        check_phase(message, session.phase)
        session.waiting.append((event.who, message))
        yield from self._when_quiet(session)

    def ask_cancel(self, event: Requested, message: say.Cancel) -> Iterator[Instruction]:
        """Stop the session's work; the session stays open."""
        session = self._session(message.session, event.who.peer)
        session.waiting.append((event.who, message))
        session.begin_cancel()
        yield StopWork(session.id)
        yield from self._flush(session, WireError(Code.CANCELLED, "the work was cancelled", "Send it again to go on."))
        yield from self._when_quiet(session)

    def ask_close(self, event: Requested, message: say.Close) -> Iterator[Instruction]:
        """Stop the session's work, and delete the session."""
        session = self._session(message.session, event.who.peer)
        yield StopWork(session.id)
        yield from self._flush(session, WireError(Code.CANCELLED, "the session was closed", "Open a new one."))
        session.waiting.append((event.who, message))
        session.begin_cancel()
        yield from self._when_quiet(session)

    # ------------------------------------------------------------------------------------------ the steps of a frame

    def on_decoded(self, event: Decoded) -> Iterator[Instruction]:
        """Handle the event that a plate was decoded, or could not be."""
        found = self._tasks.get(event.ticket)
        if found is None:  # the frame was dropped meanwhile
            yield Discard("", event.ticket)
            return
        session, task = found
        if event.fault is not None:
            yield from self._fail(session, task, event.fault)
            yield from self._when_quiet(session)
        else:
            task.stage = RequestStage.READY

    def on_stepped(self, event: FrameComputed) -> Iterator[Instruction]:
        """Handle the event that the device has computed a frame, or could not compute it."""
        session, task = self._tasks[event.ticket]
        session.used_s += event.seconds
        if event.fault is not None:
            yield from self._fail(session, task, event.fault)
        else:
            task.stage = RequestStage.STEPPED
        yield from self._store_next(session)
        yield from self._when_quiet(session)

    def _store_next(self, session: ServedSession) -> Iterator[Instruction]:
        """Store the session's next result. Results are stored one at a time, so that the journal is in order."""
        if not session.tasks or session.tasks[0].stage is not RequestStage.STEPPED:
            return
        task = session.tasks[0]
        task.stage = RequestStage.STORING
        due = task.key or session.stored_since_snapshot + 1 >= self._limits.snapshot_every
        yield StoreResult(session.id, task.ticket, task.seq, task.frame, task.digest, due)

    def on_stored(self, event: ResultStored) -> Iterator[Instruction]:
        """Handle the event that a result was stored, or could not be."""
        session, task = self._tasks[event.ticket]
        if event.fault is not None:
            # The session's memory has this frame already, and perhaps the next one: reset it to the state before this
            # frame.
            if any(each.stage is RequestStage.STEPPING for each in session.tasks):
                task.stage = RequestStage.STEPPED  # tried again when the device has finished
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
        """Drop a frame that failed, and all frames after it; the session then expects that frame again."""
        yield from self._remove(session, task, error)
        for later in [other for other in session.tasks if other.seq > task.seq]:
            yield from self._remove(session, later, _out_of_order(later.seq, task.seq))
        session.next_seq = task.seq

    def _flush(self, session: ServedSession, error: WireError) -> Iterator[Instruction]:
        """Drop the frames that the device has not begun."""
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

    # ----------------------------------------------------------------------------- loading, parking and stopping

    def on_loaded(self, event: Loaded) -> Iterator[Instruction]:
        """Handle the event that a session was loaded onto the device, or could not be."""
        session = self.by_id[event.session]
        session.moving = False
        waiting = session.taken(say.Open) + session.taken(say.Reopen)
        if event.fault is not None:
            yield from (Reply(who, as_fault(event.fault)) for who, _ in waiting)
            if not session.known:  # the session was never opened, so it is deleted
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
        """Handle the event that a session's state was written to disk, or could not be."""
        session = self.by_id[event.session]
        session.moving = False
        for who, _ in session.taken(say.Snapshot):
            done = say.Snapshotted(session.id, event.next_seq)
            yield Reply(who, done if event.fault is None else as_fault(event.fault))
        if event.fault is not None and self._workloads.closing:
            session.on_device = False  # its last frames will be computed again from the snapshot before them
        elif event.fault is not None:
            session.heard = self._workloads.now  # the disk is full: the session stays on the device for another lease
        else:
            session.stored_since_snapshot = 0
            if event.left:
                yield from self._flush(session, _expired())
                session.on_device, session.owner = False, ""
                session.stand(ConversationPhase.PARKED)
        if not session.on_device and any(isinstance(message, say.Reopen) for _, message in session.waiting):
            session.moving = True  # the client reopened the session while it was being parked
            yield Load(session.id, None)
        yield from self._when_quiet(session)

    def on_time(self, now: float) -> Iterator[Instruction]:
        """Park the sessions of silent clients, and delete sessions that were parked for too long."""
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
        """Stop a session's work within one pass of the network, then park the session, since its client is gone."""
        if not session.tasks:
            session.moving = True
            yield Park(session.id, session.next_seq, leave=True)
        elif session.phase is not ConversationPhase.CANCELLING:
            session.begin_cancel()
            yield StopWork(session.id)
            yield from self._flush(session, _expired())
            yield from self._when_quiet(session)

    def _forget_empty(self) -> Iterator[Instruction]:
        """Delete the oldest parked sessions that have no frame: nothing is lost, and a client cannot fill the disk by
        opening many.
        """
        parked = [each for each in self.by_id.values() if each.phase is ConversationPhase.PARKED and not each.moving]
        empty = sorted((each for each in parked if not each.next_seq), key=lambda each: each.heard)
        for session in empty[: max(0, len(empty) - self._limits.empty_sessions)]:
            yield from self._forget(session)

    def on_disk_over_limit(self, event: DiskOverLimit) -> Iterator[Instruction]:
        """Delete the sessions that the event names, except those on the device."""
        for name in event.sessions:
            session = self.by_id.get(name)
            if session is not None and session.phase is ConversationPhase.PARKED and not session.moving:
                yield from self._forget(session)

    def on_closing(self) -> Iterator[Instruction]:
        """Park every session: the engine is about to end."""
        for session in list(self.by_id.values()):
            yield StopWork(session.id)
            yield from self._flush(session, shutting_down())
            yield from self._when_quiet(session)

    def _when_quiet(self, session: ServedSession) -> Iterator[Instruction]:
        """If a session has no work in progress, finish its cancel, answer waiting requests, and park it if that was
        asked for.
        """
        if session.tasks or session.moving:
            return
        if any(isinstance(message, say.Close) for _, message in session.waiting):
            yield from self._forget(session)
            return
        if session.phase is ConversationPhase.CANCELLING:
            session.phase = session.before
            yield AllowWork(session.id)
            for who, _ in session.taken(say.Cancel):
                yield Reply(who, say.Cancelled(session.id, session.next_seq))
        for who, _ in session.taken(say.Reopen):
            yield Reply(who, self._opened(session))
        wanted = any(isinstance(message, say.Snapshot) for _, message in session.waiting)
        if session.on_device and (wanted or self._workloads.closing):
            session.moving = True
            yield Park(session.id, session.next_seq, leave=self._workloads.closing)

    def _opened(self, session: ServedSession) -> say.Opened:
        return say.Opened(session.id, session.next_seq, self._limits.window_frames, self._limits.window_bytes)

    def _forget(self, session: ServedSession) -> Iterator[Instruction]:
        del self.by_id[session.id]
        self._ids.pop(session.opening.nonce, None)
        self._workloads.remove(session)
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
