# SPDX-License-Identifier: Apache-2.0
"""Decides what happens to jobs: one shot each, from files to files, one step on the device at a time.

Requested -> [PlanJob] -> Planned -> [JobStep] -> JobStepped -> [JobStep] -> ... -> JobStepped with the end
         pool                 device
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from matanyone_engine.engine.customers import Customer, Customers
from matanyone_engine.engine.events import (
    Drop,
    Halt,
    Instruction,
    JobStep,
    JobStepped,
    PlanJob,
    Planned,
    Reply,
    Requested,
    Tell,
    Want,
)
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase, check_phase
from matanyone_engine.wire.errors import Code, WireError


@dataclass(kw_only=True)
class ServedJob(Customer):
    """Holds a job, with what is known of its frames."""

    opening: say.Job
    planned: bool = False
    """Its files were checked."""
    accepted: say.Accepted | None = None
    frames: frozenset[int] = frozenset()
    """Frames that it makes; known once it is planned."""
    landed: dict[int, str] = field(default_factory=dict)
    """For each frame that is done the file of its alpha."""

    @property
    def ready(self) -> bool:
        """Return whether the job was planned; until it ends there is always a next step."""
        return self.planned

    def begin(self) -> Instruction:
        """Return the instruction for the job's next step."""
        return JobStep(self.id)


class JobScheduler:
    """Holds all jobs. What begins with ask_ is a client's request, what begins with on_ is a report."""

    def __init__(self, customers: Customers) -> None:
        self.by_id: dict[str, ServedJob] = {}
        self.ended: dict[str, tuple[say.Accepted, say.JobEnded]] = {}
        """By nonce; a client may have missed the end."""
        self._customers = customers
        self._ids: dict[str, str] = {}
        """By nonce."""

    def _job(self, name: str, peer: str) -> ServedJob:
        """Return the job, for its owner. Raises WireError, also where a session has this name."""
        self._customers.owned(name, peer)
        if name not in self.by_id:
            raise WireError(Code.OUT_OF_TURN, "expected a job, got a session", "Ask a session for a frame by its seq.")
        return self.by_id[name]

    # ------------------------------------------------------------------------------------------------ requests

    def ask_job(self, event: Requested, message: say.Job) -> Iterator[Instruction]:
        """Take a job on; where its nonce was seen before, say how that job stands."""
        if message.nonce in self.ended:
            accepted, ended = self.ended[message.nonce]
            yield Reply(event.who, accepted)
            yield Tell(event.who.peer, ended)
            return
        known = self.by_id.get(self._ids.get(message.nonce, ""))
        if known is not None:
            known.owner = event.who.peer
            if known.accepted:
                yield Reply(event.who, known.accepted)
            else:
                known.waiting.append((event.who, message))
            return
        self._customers.admit(0, event.who.peer)
        job = ServedJob(
            id=event.fresh,
            owner=event.who.peer,
            client=event.client,
            opening=message,
            phase=ConversationPhase.RUNNING,
            need=0,
            heard=event.now,
            moving=True,
        )
        job.waiting.append((event.who, message))
        self.by_id[job.id] = job
        self._ids[message.nonce] = job.id
        self._customers.add(job)
        yield PlanJob(job.id, message)

    def ask_show(self, event: Requested, message: say.Show) -> Iterator[Instruction]:
        """Say where a frame's alpha is; compute that frame before others where it is not there yet."""
        job = self._job(message.session, event.who.peer)
        check_phase(message, job.phase)
        job.waiting.append((event.who, message))
        yield from self._shown(job)
        if (event.who, message) in job.waiting:
            yield Want(job.id, message.frame)

    def ask_cancel(self, event: Requested, message: say.Cancel) -> Iterator[Instruction]:
        """Stop at the next frame; the answer comes with the job's end."""
        job = self._job(message.session, event.who.peer)
        job.waiting.append((event.who, message))
        job.phase = ConversationPhase.CANCELLING
        yield Halt(job.id)

    # ------------------------------------------------------------------------------------------------- reports

    def on_planned(self, event: Planned) -> Iterator[Instruction]:
        """Run a job that was checked against its files, from now on where there is room for it."""
        job = self.by_id[event.session]
        job.moving = False
        error = event.fault
        if error is None:
            try:
                self._customers.admit(event.need)
            except WireError as no_room:
                error = no_room
        waiting = job.taken(say.Job)
        if error is not None:
            for who, _ in waiting:
                yield Reply(who, as_fault(error))
            yield from self._forget(job)
            return
        job.planned, job.accepted, job.need, job.size = True, event.accepted, event.need, event.size
        job.frames = frozenset(event.frames)
        job.used_s = self._customers.least_used()
        job.on_device = True
        if event.accepted is not None:
            for who, _ in waiting:
                yield Reply(who, event.accepted)
        yield from self._shown(job)

    def on_job_stepped(self, event: JobStepped) -> Iterator[Instruction]:
        """Take the news that a job has written an alpha, or ended."""
        job = self.by_id[event.session]
        job.used_s += event.seconds
        job.landed.update(event.standing)
        if event.progress is not None:
            job.next_seq = event.progress.done
            if event.progress.path:
                job.landed[event.progress.frame] = event.progress.path
            yield Tell(job.owner, event.progress)
        yield from self._shown(job)
        if event.ended is not None and job.accepted is not None:
            ended = self._as_told(event.ended)
            self.ended[job.opening.nonce] = (job.accepted, ended)
            while len(self.ended) > self._customers.limits.sessions:
                self.ended.pop(next(iter(self.ended)))
            yield Tell(job.owner, ended)
            yield from self._forget(job)

    def on_closing(self) -> Iterator[Instruction]:
        """Stop every job at its next frame: the engine is about to end."""
        yield from (Halt(job.id) for job in self.by_id.values())

    def _shown(self, job: ServedJob) -> Iterator[Instruction]:
        """Answer who waits for frames that have landed, or that the job does not make."""
        for who, message in job.taken(say.Show):
            assert isinstance(message, say.Show)
            if message.frame in job.landed:
                yield Reply(who, say.Shown(job.id, message.frame, job.landed[message.frame]))
            elif job.planned and message.frame not in job.frames:
                problem = f"expected a frame that the job makes, got {message.frame}"
                yield Reply(who, as_fault(WireError(Code.BAD_INPUT, problem, "Ask for one of its frames.")))
            else:
                job.waiting.append((who, message))

    def _as_told(self, ended: say.JobEnded) -> say.JobEnded:
        """Return how a job has ended; one that the engine's own end has stopped was cancelled by nobody."""
        if ended.outcome != "cancelled" or not self._customers.closing:
            return ended
        why = shutting_down()
        return replace(
            ended, outcome="failed", code=why.code.value, message=why.message, action="Start it again and resume."
        )

    def _forget(self, job: ServedJob) -> Iterator[Instruction]:
        del self.by_id[job.id]
        self._ids.pop(job.opening.nonce, None)
        self._customers.remove(job)
        yield Drop(job.id)
        for who, message in job.waiting:
            if isinstance(message, say.Cancel):
                yield Reply(who, say.Cancelled(job.id, job.next_seq))
            else:
                ended = WireError(Code.CANCELLED, "the job ended before this frame", "Start it again.")
                yield Reply(who, as_fault(ended))
