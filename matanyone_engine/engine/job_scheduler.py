# SPDX-License-Identifier: Apache-2.0
"""Schedules jobs. A job mattes one shot from files to files, one step on the device at a time.

Requested -> [PlanJob] -> Planned -> [JobStep] -> JobStepped -> [JobStep] -> ... -> JobStepped with the end
         pool                 device
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from matanyone_engine.engine.events import (
    Drop,
    Instruction,
    JobStep,
    JobStepped,
    Notify,
    PlanJob,
    Planned,
    PutFirst,
    Reply,
    Requested,
    StopWork,
)
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.engine.workloads import Workload, Workloads
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import ConversationPhase, check_phase
from matanyone_engine.wire.errors import Code, WireError


@dataclass(kw_only=True)
class ServedJob(Workload):
    """Holds a job and the state of its frames."""

    opening: say.Job
    planned: bool = False
    """Whether its files were checked."""
    accepted: say.Accepted | None = None
    frames: frozenset[int] = frozenset()
    """The frames that it will write; empty until it is planned."""
    landed: dict[int, str] = field(default_factory=dict)
    """For each finished frame, the file of its alpha."""

    @property
    def ready(self) -> bool:
        """Return whether the job was planned. From then on it always has a next step, until it ends."""
        return self.planned

    def begin(self) -> Instruction:
        """Return the instruction for the job's next step."""
        return JobStep(self.id)


class JobScheduler:
    """Holds all jobs. Methods named ask_... handle clients' requests, those named on_... handle events."""

    def __init__(self, workloads: Workloads) -> None:
        self.by_id: dict[str, ServedJob] = {}
        self.ended: dict[str, tuple[say.Accepted, say.JobEnded]] = {}
        """The last message of ended jobs, by nonce: a client may have missed it."""
        self._workloads = workloads
        self._ids: dict[str, str] = {}
        """By nonce."""

    def _job(self, name: str, peer: str) -> ServedJob:
        """Return the job of this name if this peer owns it. Raises WireError, also if a session has this name."""
        self._workloads.owned(name, peer)
        if name not in self.by_id:
            raise WireError(Code.OUT_OF_TURN, "expected a job, got a session", "Ask a session for a frame by its seq.")
        return self.by_id[name]

    # ------------------------------------------------------------------------------------------------ requests

    def ask_job(self, event: Requested, message: say.Job) -> Iterator[Instruction]:
        """Accept a job. If its nonce is known already, answer with the state of that job."""
        if message.nonce in self.ended:
            accepted, ended = self.ended[message.nonce]
            yield Reply(event.who, accepted)
            yield Notify(event.who.peer, ended)
            return
        known = self.by_id.get(self._ids.get(message.nonce, ""))
        if known is not None:
            known.owner = event.who.peer
            if known.accepted:
                yield Reply(event.who, known.accepted)
            else:
                known.waiting.append((event.who, message))
            return
        self._workloads.admit(0, event.who.peer)
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
        self._workloads.add(job)
        yield PlanJob(job.id, message)

    def ask_show(self, event: Requested, message: say.Show) -> Iterator[Instruction]:
        """Answer with the file of a frame's alpha; if the alpha does not exist yet, compute that frame before all
        others."""
        job = self._job(message.session, event.who.peer)
        check_phase(message, job.phase)
        job.waiting.append((event.who, message))
        yield from self._shown(job)
        if (event.who, message) in job.waiting:
            yield PutFirst(job.id, message.frame)

    def ask_cancel(self, event: Requested, message: say.Cancel) -> Iterator[Instruction]:
        """Stop the job at the next frame; the request is answered when the job has ended."""
        job = self._job(message.session, event.who.peer)
        job.waiting.append((event.who, message))
        job.phase = ConversationPhase.CANCELLING
        yield StopWork(job.id)

    # ------------------------------------------------------------------------------------------------- reports

    def on_planned(self, event: Planned) -> Iterator[Instruction]:
        """Start a job whose files were checked, if there is enough memory for it."""
        job = self.by_id[event.session]
        job.moving = False
        error = event.fault
        if error is None:
            try:
                self._workloads.admit(event.need)
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
        job.used_s = self._workloads.least_used()
        job.on_device = True
        if event.accepted is not None:
            for who, _ in waiting:
                yield Reply(who, event.accepted)
        yield from self._shown(job)

    def on_job_stepped(self, event: JobStepped) -> Iterator[Instruction]:
        """Handle the event that a job has written an alpha, or has ended."""
        job = self.by_id[event.session]
        job.used_s += event.seconds
        job.landed.update(event.standing)
        if event.progress is not None:
            job.next_seq = event.progress.done
            if event.progress.path:
                job.landed[event.progress.frame] = event.progress.path
            yield Notify(job.owner, event.progress)
        yield from self._shown(job)
        if event.ended is not None and job.accepted is not None:
            ended = self._outcome_for_client(event.ended)
            self.ended[job.opening.nonce] = (job.accepted, ended)
            while len(self.ended) > self._workloads.limits.sessions:
                self.ended.pop(next(iter(self.ended)))
            yield Notify(job.owner, ended)
            yield from self._forget(job)

    def on_closing(self) -> Iterator[Instruction]:
        """Stop every job at its next frame: the engine is about to end."""
        yield from (StopWork(job.id) for job in self.by_id.values())

    def _shown(self, job: ServedJob) -> Iterator[Instruction]:
        """Answer the requests for frames that are finished, or that the job does not write."""
        for who, message in job.taken(say.Show):
            assert isinstance(message, say.Show)
            if message.frame in job.landed:
                yield Reply(who, say.Shown(job.id, message.frame, job.landed[message.frame]))
            elif job.planned and message.frame not in job.frames:
                problem = f"expected a frame that the job makes, got {message.frame}"
                yield Reply(who, as_fault(WireError(Code.BAD_INPUT, problem, "Ask for one of its frames.")))
            else:
                job.waiting.append((who, message))

    def _outcome_for_client(self, ended: say.JobEnded) -> say.JobEnded:
        """Return the last message of a job.

        A job that was stopped because the engine ends is not reported as cancelled.
        """
        if ended.outcome != "cancelled" or not self._workloads.closing:
            return ended
        why = shutting_down()
        return replace(
            ended, outcome="failed", code=why.code.value, message=why.message, action="Start it again and resume."
        )

    def _forget(self, job: ServedJob) -> Iterator[Instruction]:
        del self.by_id[job.id]
        self._ids.pop(job.opening.nonce, None)
        self._workloads.remove(job)
        yield Drop(job.id)
        for who, message in job.waiting:
            if isinstance(message, say.Cancel):
                yield Reply(who, say.Cancelled(job.id, job.next_seq))
            else:
                ended = WireError(Code.CANCELLED, "the job ended before this frame", "Start it again.")
                yield Reply(who, as_fault(ended))
