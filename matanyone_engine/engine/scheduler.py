# SPDX-License-Identifier: Apache-2.0
"""Decides what the engine does next: each event that it gets results in instructions.

session_scheduler.py decides for sessions, job_scheduler.py for jobs and mask_scheduler.py for first masks. This file
hands each event to one of them, and gives the device its next work.

Rules of these four files:
1. They are pure: no clock, no thread, no socket, no tensor.
2. The device does one thing at a time. Interactive work goes before batch work; among equals, that which has used the
   device least goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from matanyone_engine.engine.events import (
    ClientHeard,
    Closing,
    ComputeFrame,
    Decoded,
    DiskOverLimit,
    EngineEvent,
    FrameComputed,
    Instruction,
    JobStep,
    JobStepped,
    Load,
    Loaded,
    MaskMade,
    Parked,
    Planned,
    Reply,
    Requested,
    ResultStored,
    Tick,
)
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.engine.job_scheduler import JobScheduler
from matanyone_engine.engine.mask_scheduler import MaskScheduler
from matanyone_engine.engine.session_scheduler import SessionScheduler
from matanyone_engine.engine.workloads import EngineLimits, Workloads
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError

DEVICE_WORK = (Load, ComputeFrame, JobStep)
"""Instructions to the device. The device reports on each of them before it gets the next."""
DEVICE_REPORTS = (Loaded, FrameComputed, JobStepped)


class Scheduler:
    """Schedules all work of the engine."""

    def __init__(self, limits: EngineLimits) -> None:
        self.workloads = Workloads(limits)
        self.sessions = SessionScheduler(self.workloads)
        self.jobs = JobScheduler(self.workloads)
        self.masks = MaskScheduler(limits)
        self._device_work = 0
        """Number of instructions that the device has not reported on yet."""
        # A test checks that both tables have an entry for every event and every request.
        self.handlers: Mapping[type[EngineEvent], Callable[[Any], Iterator[Instruction]]] = {
            Requested: self._on_asked,
            ClientHeard: self._on_client_heard,
            Tick: self._on_tick,
            Closing: self._on_closing,
            Decoded: self.sessions.on_decoded,
            FrameComputed: self.sessions.on_stepped,
            ResultStored: self.sessions.on_stored,
            Loaded: self.sessions.on_loaded,
            Parked: self.sessions.on_parked,
            DiskOverLimit: self.sessions.on_disk_over_limit,
            Planned: self.jobs.on_planned,
            JobStepped: self.jobs.on_job_stepped,
            MaskMade: self.masks.on_mask_made,
        }
        self.answers: Mapping[type[say.Message], Callable[[Requested, Any], Iterator[Instruction]]] = {
            say.Open: self.sessions.ask_open,
            say.Reopen: self.sessions.ask_reopen,
            say.Key: self.sessions.ask_key,
            say.Frame: self.sessions.ask_frame,
            say.Fetch: self.sessions.ask_fetch,
            say.Snapshot: self.sessions.ask_snapshot,
            say.Close: self._ask_close,
            say.Cancel: self._ask_cancel,
            say.Job: self.jobs.ask_job,
            say.Show: self.jobs.ask_show,
            say.Prompt: self.masks.ask_prompt,
        }

    def handle(self, event: EngineEvent) -> list[Instruction]:
        """Return the instructions that follow from an event."""
        self._device_work -= isinstance(event, DEVICE_REPORTS)
        instructions = [*self.handlers[type(event)](event)]
        if not self._device_work:
            instructions += self._next_work()
        self._device_work += sum(isinstance(each, DEVICE_WORK) for each in instructions)
        return instructions

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to do and no session or job on the device."""
        return self.sessions.idle and not self.jobs.by_id and self.masks.idle

    # ----------------------------------------------------------------------- events for sessions, jobs and masks

    def _on_asked(self, event: Requested) -> Iterator[Instruction]:
        try:
            if self.workloads.closing:
                raise shutting_down()
            yield from list(self.answers[type(event.message)](event, event.message))
        except WireError as error:
            yield Reply(event.who, as_fault(error))

    def _ask_cancel(self, event: Requested, message: say.Cancel) -> Iterator[Instruction]:
        if message.session in self.jobs.by_id:
            return self.jobs.ask_cancel(event, message)
        if message.session in self.sessions.by_id:
            return self.sessions.ask_cancel(event, message)
        # the job has ended meanwhile, so there is nothing to stop
        return iter([Reply(event.who, say.Cancelled(message.session, 0))])

    def _ask_close(self, event: Requested, message: say.Close) -> Iterator[Instruction]:
        if message.session in self.jobs.by_id:
            self.workloads.owned(message.session, event.who.peer)
            raise WireError(Code.OUT_OF_TURN, "a job cannot be closed", "Cancel the job instead.")
        if message.session in self.sessions.by_id:
            return self.sessions.ask_close(event, message)
        return iter([Reply(event.who, say.Closed(message.session))])

    def _on_client_heard(self, event: ClientHeard) -> Iterator[Instruction]:
        """Renew the leases of all sessions and jobs of a client, whatever message it has sent."""
        for workload in self.workloads:
            if workload.owner == event.peer:
                workload.heard = event.now
        return iter(())

    def _on_tick(self, event: Tick) -> Iterator[Instruction]:
        self.workloads.now = event.now
        return self.sessions.on_time(event.now)

    def _on_closing(self, _event: Closing) -> Iterator[Instruction]:
        self.workloads.closing = True
        yield from self.masks.on_closing()
        yield from self.sessions.on_closing()
        yield from self.jobs.on_closing()

    # ---------------------------------------------------------------------------------------------- the device

    def _next_work(self) -> Iterator[Instruction]:
        """Return the next instruction for the device, if the device is free and there is work. Among equals, the first
        to arrive goes first.
        """
        ready = [workload for workload in self.workloads if workload.ready]
        if ready:
            yield min(ready, key=lambda each: (each.opening.priority != "interactive", each.used_s)).begin()
