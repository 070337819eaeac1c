# SPDX-License-Identifier: Apache-2.0
"""Carries out the scheduler's instructions on the threads that it owns, and reports the results. It has no sockets.

    I/O thread      handle(): scheduler.py decides, and instructions go out to the threads below
    device thread   runs worker.py
    pool            decodes, stores and plans, and does everything else that reads or writes the disk
    prompt thread   makes first masks one after the other, so that they never occupy the whole pool

Rules of this file:
1. handle() and everything marked 'at once' run on the I/O thread. They never wait, touch no disk and free no device.
2. Work on another thread ends in exactly one event, also if it fails (_report). An error never ends the thread.
3. Only the I/O thread uses the scheduler. What another thread needs to know about a session is passed to it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import re
import secrets
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from matanyone_engine.engine import events as on
from matanyone_engine.engine.access import Access
from matanyone_engine.engine.admission import ahead_bytes, promised_bytes, resident_bytes, session_bytes, shot_bytes
from matanyone_engine.engine.faults import as_fault, as_wire_error, logged_wire_error
from matanyone_engine.engine.pixels import Decoder, PlateFormat, encode_alpha, exposure_of_session
from matanyone_engine.engine.recent_results import RecentResults, StoredAnswer
from matanyone_engine.engine.sandbox import Sandbox
from matanyone_engine.engine.scheduler import Scheduler
from matanyone_engine.engine.store import JournalLine, SessionFolder, SessionStore, public_name
from matanyone_engine.engine.watchdog import DEVICE_CHECKS, WatchedThread, processor_s
from matanyone_engine.engine.worker import Worker
from matanyone_engine.engine.workloads import EngineLimits
from matanyone_engine.errors import Doubtful, SettingError
from matanyone_engine.jobs.cache import default_folder
from matanyone_engine.jobs.first_mask import GRABCUT, SAM2, Weights, make_mask, plan_mask
from matanyone_engine.jobs.first_mask_message import mask_job
from matanyone_engine.jobs.inputs import check_inputs
from matanyone_engine.jobs.job import MatteJob, MattePlan, open_source, outline_matte, plan_matte
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.mask_memory import MaskMemory
from matanyone_engine.jobs.run import most_waiting, waiting_bytes
from matanyone_engine.jobs.run_events import BeforeSteps, CheckingFiles, FrameDone, Preparing, RunEvent, Unchanged
from matanyone_engine.matting.options import check_options, check_region, keywords
from matanyone_engine.matting.region import Region
from matanyone_engine.matting.session import FrameReport
from matanyone_engine.media.color import check_exposure
from matanyone_engine.media.images import FloatImage
from matanyone_engine.model.checkpoint import read_checkpoint
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.dims import Dims
from matanyone_engine.model.registry import locate, require_licence_class, vet, weights_folders
from matanyone_engine.sizes import Resolution
from matanyone_engine.version import __version__
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import EXR, Payload
from matanyone_engine.wire.codec import Packet, verify
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.jobfile import with_paths

_log = logging.getLogger("matanyone_engine")

_HEX = re.compile(r"[0-9a-f]{32}")
_RECENT_BYTES = 256 << 20
"""Bytes of answers that are kept in main memory as well as on disk."""


_LOOKING_S = 6 * 3600.0
"""Seconds that the sandbox may take to read all files of a job."""
_PROMPT_S = 120.0
"""Seconds that the sandbox may take to read the frame of a first mask."""
_MEASURED_EVERY_S = 600.0
"""Seconds between two checks of the disk space that sessions take."""
_TIDY_AFTER_S = 10.0
"""Seconds without work after which freed memory is given back to the system. The pause between two shots is shorter."""
_FORGET_AFTER_S = 120.0
"""Seconds after which an artist is taken to have ended clicking a mask."""
_TIDY_EVERY_S = 60.0
"""Seconds between two times that an idle engine gives memory back: messages that are refused take memory, too."""
_NICENESS = 5
"""Niceness of the pool's threads."""


@dataclass(frozen=True)
class EngineSettings:
    """Holds the settings of an engine."""

    state: Path
    """The folder for sessions; only this engine uses it."""
    models: tuple[str, ...] = ("mini",)
    """Names or paths of weights. Clients choose them by name or by file name; the first is the default."""
    device: str = "auto"
    precision: str = "auto"
    """Precision of every network: 'auto', 'exact' or 'fast' (registry.load_network)."""
    access: Access = field(default_factory=Access)
    memory_bytes: int | None = None
    """Most memory, in bytes, of all sessions together; at most four fifths of what is free at the start, which None
    stands for."""
    window_frames: int = 3
    window_bytes: int = 256 << 20
    most_message_bytes: int = 512 << 20
    lease_s: float = 30.0
    snapshot_every: int = 25
    idle_unload_s: float | None = 900.0
    """Seconds without a session after which weights are unloaded; None means never."""
    sam2: Path | None = None
    """Folder of SAM 2's weights for first masks.

    They are loaded for each mask and freed afterwards. None offers GrabCut only.
    """
    idle_exit_s: float | None = None
    """Seconds without work and without a client's message after which the process ends; None means never."""
    most_age_s: float = 7 * 86400.0
    most_state_bytes: int = 50 << 30


@dataclass(frozen=True)
class Figures:
    """Holds the figures of the metrics page."""

    report: say.StatusReport
    sessions: tuple[say.SessionInfo, ...]
    device_s: float
    """Seconds that the device has worked."""
    progress_age_s: float
    faults: Mapping[str, int]
    """Number of requests that were answered with a fault, by code."""


@dataclass(frozen=True)
class ReadyAnswer:
    """Holds an answer that another thread has prepared for the I/O thread to send."""

    who: on.Requester
    packet: Packet


EngineReport = on.EngineEvent | ReadyAnswer
"""The report of another thread."""
Failed = Callable[[WireError, float], EngineReport | None]
"""Makes the report of work that failed, from the error and the seconds that the work took."""
Send = Callable[[on.Requester, Packet], None]
"""Sends an answer on the socket of its request."""
NotifyPeer = Callable[[str, Packet], None]
"""Sends a client a message that answers no request, on the control socket."""


@dataclass
class _JobCounter:
    """Counts the alphas of a job."""

    written: int = 0
    """Alphas that this run has written."""
    unchanged: int = 0
    complete: bool = False

    def count(self, event: RunEvent | None) -> None:
        """Count a step of the job; None is its end."""
        if event is None or isinstance(event, BeforeSteps):
            return
        self.complete = event.done == event.of
        self.written += isinstance(event, FrameDone)
        if isinstance(event, Unchanged):
            self.unchanged = len(event.frames)


class Engine:
    """Connects the scheduler with the device and the store."""

    def __init__(
        self, settings: EngineSettings, post: Callable[[EngineReport], None], send: Send, notify: NotifyPeer
    ) -> None:
        """post: passes a report from any thread to the I/O thread, for handle(). Raises EngineError, OSError."""
        self.settings = settings
        self.epoch = secrets.token_hex(8)
        self._post, self._send, self._notify = post, send, notify
        self._models = {Path(model).stem if "/" in model else model: model for model in settings.models}
        self._dims = {name: _dims(model) for name, model in self._models.items()}
        self.device = choose_device(settings.device)
        self.worker = Worker(self._models, settings.device, settings.precision)
        self._store = SessionStore(settings.state)
        self._store.prune(settings.most_age_s, settings.most_state_bytes)
        self._memory = promised_bytes(self.device, settings.memory_bytes)
        self.scheduler = Scheduler(self._limits())
        self._decoder = Decoder()
        self._sandbox = Sandbox(_LOOKING_S)
        self._mask_sandbox = Sandbox(_PROMPT_S)
        self._mask_memory = MaskMemory()
        # at normal priority, since an artist waits for it
        self._prompts = ThreadPoolExecutor(1, thread_name_prefix="prompt")
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="pool", initializer=_lower_priority)
        self._device_queue: queue.SimpleQueue[tuple[Callable[[], EngineReport | None], Failed] | None] = (
            queue.SimpleQueue()
        )
        self.device_thread = threading.Thread(target=self._run_device, name="device", daemon=True)
        self._device_works = False
        self._recent = RecentResults(_RECENT_BYTES)
        self._dropping: dict[str, SessionFolder] = {}
        """Ended sessions whose folders are being removed."""
        self._journals: dict[str, dict[int, JournalLine]] = {}
        self._plans: dict[str, tuple[MattePlan, say.Job]] = {}
        self._job_counters: dict[str, _JobCounter] = {}
        """The counters of running jobs."""
        self._started = self._busy_at = self._heard_at = self._measured_at = self._tidied_at = time.monotonic()
        self._stepped_at: deque[float] = deque(maxlen=100_000)
        self._frames = 0
        self._device_s = 0.0
        self._faults: Counter[str] = Counter()
        self._adopt()
        self.device_thread.start()

    def _limits(self) -> EngineLimits:
        chosen = self.settings
        return EngineLimits(
            memory_bytes=self._memory,
            window_frames=chosen.window_frames,
            window_bytes=chosen.window_bytes,
            lease_s=chosen.lease_s,
            snapshot_every=chosen.snapshot_every,
            parked_s=chosen.most_age_s,
        )

    def _adopt(self) -> None:
        """Register the sessions that an earlier engine left on disk, so that clients can reopen them."""
        for folder in self._store.sessions():
            session, opening, need = folder.about()
            if opening.model in self._models:
                next_seq = next(iter(folder.snapshots()), 0)
                self.scheduler.sessions.adopt(session, opening, next_seq, need, time.monotonic())

    def close(self) -> None:
        """End the threads. Call it after Closing was handled and the scheduler is idle, or after a time limit."""
        self._device_queue.put(None)
        self.device_thread.join(timeout=10)
        for pool in (self._pool, self._prompts):
            pool.shutdown(wait=False, cancel_futures=True)
        for folder in list(self._dropping.values()):
            folder.remove()
        for job in list(self.scheduler.jobs.by_id):
            self.worker.end_job(job)
        self._decoder.close()
        self._sandbox.close()
        self._mask_sandbox.close()
        self._store.close()

    # ------------------------------------------------------------------------------------------------ requests

    def ask(self, who: on.Requester, packet: Packet, client: str) -> None:
        """Accept a checked request about a session or a job; its answer is sent now or later. Raises WireError."""
        message = packet.message
        now = time.monotonic()
        need = 0
        if isinstance(message, (say.Open, say.Job)):
            region = self._check_opening(message)
        if isinstance(message, say.Prompt) and not _HEX.fullmatch(message.nonce):
            raise WireError(Code.BAD_INPUT, "nonce: expected 32 hexadecimal digits", "Correct the request.")
        if isinstance(message, say.Open):
            need = session_bytes(self._dims[message.model], Resolution(*message.size), message.options, region)
        self.handle(
            on.Requested(
                who,
                message,
                now,
                digest=_digest(packet),
                bytes=sum(payload.bytes for payload in packet.payloads),
                client=client,
                need=need,
                fresh=secrets.token_hex(16),
                cargo=packet,
            )
        )

    def _check_opening(self, message: say.Open | say.Job) -> Region:
        """Raise WireError for options that no session or job can have; return the region that is computed."""
        options = message.options
        problem = None
        if not _HEX.fullmatch(message.nonce):
            problem = "nonce: expected 32 hexadecimal digits"
        elif message.model not in self._models:
            raise WireError(
                Code.BAD_INPUT,
                f"expected a model that this engine has ({', '.join(self._models)}), got {message.model!r:.60}",
                "Choose one of these, or install that model's weights where the engine runs (matanyone-engine weights) "
                "and start the engine again.",
            )
        elif message.priority not in ("interactive", "batch"):
            problem = f"priority {message.priority!r:.40}: expected 'interactive' or 'batch'"
        elif options.reply not in ("exr", "f2", "f4"):
            problem = f"reply {options.reply!r:.40}: expected 'exr', 'f2' or 'f4'"
        elif isinstance(message, say.Open) and not all(1 <= side <= 32768 for side in message.size):
            problem = f"size {message.size}: expected 1 to 32768 pixels a side"
        if problem:
            raise WireError(Code.BAD_INPUT, problem, "Correct the request.")
        try:
            region = check_options(**keywords(options))
            if isinstance(message, say.Open):
                check_region(region, Resolution(*message.size), options.working_size)
            check_exposure(exposure_of_session(options))
        except SettingError as error:
            raise as_wire_error(error) from error
        return region

    def pong(self) -> say.Pong:
        """Return what the device is doing now."""
        worker = self.worker
        name = public_name(worker.activity_of) if worker.activity_of else ""
        return say.Pong(self.epoch, worker.activity, round(time.monotonic() - worker.progress_at, 3), name)

    def report(self) -> say.StatusReport:
        """Return the figures of the whole engine."""
        now = time.monotonic()
        while self._stepped_at and now - self._stepped_at[0] > 60:
            self._stepped_at.popleft()
        lately = len(self._stepped_at)
        return say.StatusReport(
            epoch=self.epoch,
            engine=__version__,
            pid=os.getpid(),
            device=str(self.device),
            activity=self.worker.activity,
            uptime_s=round(now - self._started, 3),
            frames=self._frames,
            frames_per_s=round(lately / max(min(60.0, now - self._started), 1e-3), 3),
            sessions=len(self.scheduler.workloads),
            queued=self.scheduler.sessions.queued,
            memory_bytes=self.scheduler.workloads.memory_bytes,
            memory_limit_bytes=self._memory,
            resident_bytes=resident_bytes(),
            models_loaded=self.worker.loaded,
        )

    def sessions(self) -> say.Sessions:
        """Return all sessions without their secrets, at most as many as a message header can hold."""
        now = time.monotonic()
        return say.Sessions(
            tuple(
                say.SessionInfo(
                    name=public_name(each.id),
                    client=each.client[:40],
                    phase=each.phase.value,
                    priority=each.opening.priority,
                    model=each.opening.model,
                    size=each.size,
                    next_seq=each.next_seq,
                    queued=each.queued,
                    memory_bytes=each.need if each.on_device else 0,
                    idle_s=round(now - each.heard, 3),
                )
                for each in list(self.scheduler.workloads)[:100]
            )
        )

    def welcome(self) -> say.Welcome:
        """Return the engine's Welcome: its version, models and limits."""
        return say.Welcome(
            epoch=self.epoch,
            engine=__version__,
            models=tuple(self._models),
            device=str(self.device),
            most_message_bytes=self.settings.most_message_bytes,
            lease_s=self.settings.lease_s,
            roots=tuple(str(root) for root in self.settings.access.roots),
            backends=(GRABCUT, SAM2) if self.settings.sam2 else (GRABCUT,),
        )

    def writes_in(self) -> list[Path]:
        """Return the folders in which this process may write: the roots of jobs, and the engine's own folders."""
        own = [self.settings.state, default_folder(), *weights_folders()]
        given = [Path(model).parent for model in self._models.values() if "/" in model]
        return [*self.settings.access.roots, *own, *given]

    def tick(self) -> bool:
        """Handle the passing of time; return False if the engine has been idle for so long that it should end."""
        now = time.monotonic()
        self.handle(on.Tick(now))
        if not self.scheduler.idle:
            self._busy_at = now
        if now - self._measured_at > _MEASURED_EVERY_S:
            self._measured_at = now
            self._in_pool(self._measure, lambda told, _: _log.info("The state folder could not be measured: %s", told))
        idle = now - self._busy_at
        if idle > _FORGET_AFTER_S:
            self._mask_memory.forget()
        unload, leave = self.settings.idle_unload_s, self.settings.idle_exit_s
        if unload is not None and idle > unload and self.worker.loaded:
            self._on_device(self.worker.unload, _log_only)
            self._in_pool(self._rest, _log_only)
        elif idle > _TIDY_AFTER_S and (self._tidied_at < self._busy_at or now - self._tidied_at > _TIDY_EVERY_S):
            self._tidied_at = now
            self._on_device(self.worker.tidy, _log_only)
        return leave is None or min(idle, now - self._heard_at) <= leave

    def _rest(self) -> None:
        """End idle child processes; they are started again for the next file."""
        for sandbox in (self._sandbox, self._mask_sandbox, self._decoder):
            sandbox.rest()
        self._mask_memory.forget()

    def _measure(self) -> on.EngineEvent | None:
        """Measure the sessions on disk. If files disappear meanwhile, the next measurement counts."""
        over = self._store.excess(self.settings.most_state_bytes)
        return on.DiskOverLimit(tuple(over)) if over else None

    # -------------------------------------------------------------------------------------------- instructions

    def handle(self, event: EngineReport) -> None:
        """Pass an event to the scheduler and carry out its instructions."""
        if isinstance(event, ReadyAnswer):
            self._send(event.who, event.packet)
            return
        if isinstance(event, on.ClientHeard):
            self._heard_at = event.now
        for instruction in self.scheduler.handle(event):
            self.CARRIED_OUT[type(instruction)](self, instruction)

    def figures(self) -> Figures:
        """Return the figures of the metrics page."""
        age = time.monotonic() - self.worker.progress_at
        return Figures(self.report(), self.sessions().sessions, self._device_s, age, dict(self._faults))

    def refuse(self, who: on.Requester, error: WireError) -> None:
        """Answer a request with a fault."""
        self._do_reply(on.Reply(who, as_fault(error)))

    def _do_reply(self, order: on.Reply) -> None:
        if isinstance(order.message, say.Fault):
            self._faults[order.message.code] += 1
        self._send(order.who, Packet(order.who.id, order.message))

    def _do_notify(self, order: on.Notify) -> None:
        self._notify(order.peer, Packet(0, order.message))

    def _do_send_result(self, order: on.SendResult) -> None:
        found = self._recent.get(order.session, order.seq)
        if found is not None:
            self._send(order.who, _as_packet(order.who, found))
            return
        folder, who = self._store.folder(order.session), order.who
        self._in_pool(
            lambda: ReadyAnswer(who, _as_packet(who, folder.get_result(order.session, order.seq))),
            lambda told, _: ReadyAnswer(who, Packet(who.id, as_fault(told))),
        )

    def _do_rewind(self, order: on.Rewind) -> None:
        self.worker.rewind(order.session, order.ticket)

    def _do_discard(self, order: on.Discard) -> None:
        self.worker.decoded.pop(order.ticket, None)
        self.worker.done.pop(order.ticket, None)

    def _do_stop_work(self, order: on.StopWork) -> None:
        self.worker.halted.add(order.session)

    def _do_put_first(self, order: on.PutFirst) -> None:
        others = (frame for frame in self.worker.wanted.get(order.session, ()) if frame != order.frame)
        self.worker.wanted[order.session] = (order.frame, *others)

    def _do_allow_work(self, order: on.AllowWork) -> None:
        self.worker.halted.discard(order.session)

    def _do_drop(self, order: on.Drop) -> None:
        self._forget_on_device(order.session)
        self._plans.pop(order.session, None)
        self._journals.pop(order.session, None)
        self._recent.forget(order.session)
        folder = self._dropping[order.session] = self._store.folder(order.session)
        self._in_pool(lambda: self._remove(order.session, folder), _log_only)

    def _remove(self, session: str, folder: SessionFolder) -> None:
        folder.remove()
        self._dropping.pop(session, None)

    def _forget_on_device(self, session: str) -> None:
        """Forget a session at once; its memory is given back to the system when the device has time."""
        self.worker.forget(session)
        self._on_device(self.worker.give_room_back, _log_only)

    # ------------------------------------------------------------------------------------------ other threads

    def _report(self, work: Callable[[], EngineReport | None], failed: Failed) -> None:
        """Do the work and report its result. If it raises any error, report the failure; nothing is raised."""
        begun = time.monotonic()
        try:
            report = work()
        except Exception as error:
            report = failed(logged_wire_error(error), time.monotonic() - begun)
        if report is not None:
            self._post(report)

    def _in_pool(self, work: Callable[[], EngineReport | None], failed: Failed) -> None:
        self._pool.submit(self._report, work, failed)

    def _on_device(self, work: Callable[[], EngineReport | None], failed: Failed) -> None:
        self._device_queue.put((work, failed))

    # -------------------------------------------------------------------------------------------------- pool

    def _do_decode(self, order: on.Decode) -> None:
        opening = self.scheduler.sessions.by_id[order.session].opening
        self._in_pool(partial(self._decode, order, opening), lambda told, _: on.Decoded(order.ticket, told))

    def _decode(self, order: on.Decode, opening: say.Open) -> on.EngineEvent:
        packet = order.cargo
        assert isinstance(packet, Packet)
        verify(packet)
        options = opening.options
        message, names = packet.message, {payload.name for payload in packet.payloads}
        band = message.guide_band if isinstance(message, say.Frame) else None
        size, exposure = Resolution(*opening.size), exposure_of_session(options)
        asked = PlateFormat(size, options.colorspace, options.mask_grow, exposure, band)
        mask, guide = (packet.payload(name) if name in names else None for name in ("mask", "guide"))
        self.worker.decoded[order.ticket] = self._decoder(asked, packet.payload("plate"), mask, guide)
        return on.Decoded(order.ticket)

    def _do_store(self, order: on.StoreResult) -> None:
        opening = self.scheduler.sessions.by_id[order.session].opening
        self._in_pool(partial(self._store_result, order, opening), lambda told, _: on.ResultStored(order.ticket, told))

    def _store_result(self, order: on.StoreResult, opening: say.Open) -> on.EngineEvent:
        snapshotted = self._put(order, opening)
        del self.worker.done[order.ticket]
        return on.ResultStored(order.ticket, snapshotted=snapshotted)

    def _put(self, order: on.StoreResult, opening: say.Open) -> bool:
        """Write the result, the journal line and the snapshot, in this order; return whether a snapshot was written."""
        done = self.worker.done[order.ticket]
        folder = self._store.folder(order.session)
        payload, data = encode_alpha(
            opening.options.reply, done.alpha, done.header, done.provenance, order.frame, folder.folder
        )
        checksum = _checksum(payload, done.alpha)
        earlier = self._journals.get(order.session, {}).pop(order.seq, None)
        warnings = done.warnings
        if earlier is not None and earlier.checksum != checksum:
            warnings = (*warnings, "it differs from the answer that was given before the engine restarted")
        line = JournalLine(order.seq, order.frame, order.digest, checksum, done.mask_sha256, done.place)
        said = (*_said(done.report), done.confidence.value, done.confidence.why)
        result = say.Result(order.session, order.seq, order.frame, warnings, *said)
        folder.put_result(line, payload, data, result)
        self._recent.put(order.session, order.seq, (result, payload, data))
        return order.snapshot and self._put_snapshot(folder, order, done.after)

    def _put_snapshot(self, folder: SessionFolder, order: on.StoreResult, state: Any) -> bool:
        try:
            folder.put_snapshot(order.seq + 1, self.worker.snapshot(order.session, state))
        except OSError as error:
            _log.warning("No snapshot after seq %d (%s); tried again with the next frame.", order.seq, error)
            return False
        return True

    def _do_park(self, order: on.Park) -> None:
        failed: Failed = lambda told, _: on.Parked(order.session, order.next_seq, False, told)  # noqa: E731
        self._in_pool(partial(self._park, order), failed)

    def _park(self, order: on.Park) -> on.EngineEvent:
        if order.next_seq:
            self._store.folder(order.session).put_snapshot(order.next_seq, self.worker.snapshot(order.session))
        if order.leave:
            self._forget_on_device(order.session)
        return on.Parked(order.session, order.next_seq, order.leave)

    def _do_plan(self, order: on.PlanJob) -> None:
        self._in_pool(partial(self._plan, order), lambda told, _: on.Planned(order.session, fault=told))

    def _plan(self, order: on.PlanJob) -> on.EngineEvent:
        job = _matte_job(order.job, self.settings.access)
        _check_licence(self._models[order.job.model], order.job.licence)
        plate = open_source(job)
        # checked before a pixel is read: links may lead outside of the roots
        self.settings.access.check(plate.paths(plate.frames))
        outline = outline_matte(job, plate)
        self.settings.access.check(outline.mask_files)
        named = job.named()
        self._sandbox.run(
            check_inputs,
            named.plate,
            job.wanted,
            outline.shot.frames,
            outline.masks,
            outline.constraints,
            named.colorspace,
        )
        plan = plan_matte(job, looked_through=True, resume=order.job.resume, allowed=self.settings.access.check)
        self._plans[order.session] = (plan, order.job)
        colour = f"{plan.colour.space} ({plan.colour.reason})"
        first = str(plan.paths(plan.frames[0])[0])
        accepted = say.Accepted(order.session, len(plan.frames), colour, order.job.model, first)
        return on.Planned(order.session, accepted, self._need_of(plan, order.job), plan.resolution, plan.frames)

    def _need_of(self, plan: MattePlan, job: say.Job) -> int:
        """Estimate the device memory, in bytes, that a job needs."""
        dims, options = self._dims[job.model], job.options
        need = shot_bytes(dims, plan.resolution, options, plan.region, plan.shot)
        if self.device.type == "cpu":
            need += waiting_bytes(plan) + ahead_bytes(
                dims, plan.resolution, options, plan.region, most_waiting(plan), self.device
            )
        return need

    # --------------------------------------------------------------------------------------------- first masks

    def _do_make_mask(self, order: on.MakeMask) -> None:
        prompt = order.prompt
        failed: Failed = lambda told, _: on.MaskMade(prompt.nonce, fault=told)  # noqa: E731
        self._prompts.submit(self._report, partial(self._make_mask, prompt), failed)

    def _make_mask(self, prompt: say.Prompt) -> on.EngineEvent:
        access = self.settings.access
        start = None if prompt.start is None else access.here(prompt.start)
        here = replace(prompt, plate=access.here(prompt.plate), out=access.here(prompt.out), start=start)
        sam2 = self.settings.sam2
        plan = plan_mask(mask_job(here), None if sam2 is None else Weights(sam2, str(self.device)))
        starts = [] if start is None else [Path(start)]
        access.check([*plan.source.paths([plan.frame]), plan.out, *starts])  # links may lead outside of the roots
        made = make_mask(plan, self._mask_sandbox.run, self._mask_memory)
        colour = f"{made.colour.space} ({made.colour.reason})"
        masked = say.Masked(str(made.path), made.frame, colour, made.backend, round(made.covers, 6))
        return on.MaskMade(prompt.nonce, masked)

    # ------------------------------------------------------------------------------------------------ device

    def _run_device(self) -> None:
        while (asked := self._device_queue.get()) is not None:
            begun = time.monotonic()
            self._device_works = True
            self._report(*asked)
            self._device_works = False
            self._device_s += time.monotonic() - begun

    def watched_device(self) -> WatchedThread:
        """Return what the watchdog checks about the device thread."""
        return WatchedThread(self._sign_of_device, DEVICE_CHECKS, self.device_thread)

    def _sign_of_device(self) -> object:
        """Return a value that changes while the device works; None while it is idle, or if the system does not tell."""
        taken = processor_s(self.device_thread) if self._device_works else None
        return None if taken is None else (self._device_s, self.worker.passes, taken)

    def _do_load(self, order: on.Load) -> None:
        session = self.scheduler.sessions.by_id[order.session]
        work = partial(self._load, order, session.opening, session.need)
        self._on_device(work, lambda told, seconds: on.Loaded(order.session, seconds, fault=told))

    def _load(self, order: on.Load, opening: say.Open, need: int) -> on.EngineEvent:
        begun = time.monotonic()
        if order.opening is not None:
            self._store.create(order.session, order.opening, need)
        standing = self.worker.load(order.session, opening, self._store.folder(order.session))
        self._journals[order.session] = {line.seq: line for line in standing.journal if line.seq >= standing.next_seq}
        digests = tuple((line.seq, line.digest) for line in standing.journal)
        return on.Loaded(order.session, time.monotonic() - begun, standing.next_seq, digests, standing.seeded)

    def _do_step(self, order: on.ComputeFrame) -> None:
        failed: Failed = lambda told, seconds: on.FrameComputed(order.ticket, seconds, told)  # noqa: E731
        self._on_device(partial(self._step, order), failed)

    def _step(self, order: on.ComputeFrame) -> on.EngineEvent:
        begun = time.monotonic()
        self.worker.step(order.session, order.ticket, order.frame, key=order.key)
        self._count()
        return on.FrameComputed(order.ticket, time.monotonic() - begun)

    def _do_job_step(self, order: on.JobStep) -> None:
        failed: Failed = lambda told, seconds: self._job_over(order.session, "failed", seconds, told)  # noqa: E731
        self._on_device(partial(self._job_step, order), failed)

    def _job_step(self, order: on.JobStep) -> on.EngineEvent:
        begun = time.monotonic()
        plan, job = self._plans[order.session]
        counter = self._job_counters.setdefault(order.session, _JobCounter())
        try:
            event = self.worker.job_step(order.session, plan, job.model, resume=job.resume)
        except Doubtful as error:  # every frame was written
            return self._job_over(order.session, "finished", time.monotonic() - begun, logged_wire_error(error))
        counter.count(event)
        if event is None:
            return self._job_over(
                order.session, "finished" if counter.complete else "cancelled", time.monotonic() - begun
            )
        if isinstance(event, Unchanged):
            standing = tuple((frame, str(plan.paths(frame)[0])) for frame in event.frames)
            return on.JobStepped(order.session, time.monotonic() - begun, None, standing)
        if not isinstance(event, BeforeSteps):
            self._count()
        return on.JobStepped(order.session, time.monotonic() - begun, _progress(order.session, event))

    def _job_over(self, session: str, outcome: str, seconds: float, told: WireError | None = None) -> on.EngineEvent:
        counter = self._job_counters.pop(session, _JobCounter())
        said = ("", "", "") if told is None else (told.code.value, told.message, told.action)
        ended = say.JobEnded(session, outcome, counter.written, *said, unchanged=counter.unchanged)
        return on.JobStepped(session, seconds, ended=ended)

    def _count(self) -> None:
        self._frames += 1
        self._stepped_at.append(time.monotonic())

    # A test checks that every instruction has an entry.
    CARRIED_OUT: ClassVar[Mapping[type[on.Instruction], Callable[[Engine, Any], None]]] = {
        on.Reply: _do_reply,
        on.Notify: _do_notify,
        on.SendResult: _do_send_result,
        on.Decode: _do_decode,
        on.ComputeFrame: _do_step,
        on.StoreResult: _do_store,
        on.Rewind: _do_rewind,
        on.Discard: _do_discard,
        on.Load: _do_load,
        on.Park: _do_park,
        on.Drop: _do_drop,
        on.PlanJob: _do_plan,
        on.MakeMask: _do_make_mask,
        on.JobStep: _do_job_step,
        on.PutFirst: _do_put_first,
        on.StopWork: _do_stop_work,
        on.AllowWork: _do_allow_work,
    }


def _log_only(told: WireError, _seconds: float) -> None:
    """Log the failure of work that no client waits for."""
    _log.warning("Housekeeping has failed: %s", told)


def _as_packet(who: on.Requester, answer: StoredAnswer) -> Packet:
    """Return a stored answer as the packet that is sent."""
    result, payload, data = answer
    return Packet(who.id, result, (payload,), (data,))


def _digest(packet: Packet) -> str:
    """Return a digest of what must be equal when a Key or Frame is sent again: its kind, frame number, pixels and guide
    band.
    """
    message = packet.message
    if not isinstance(message, (say.Key, say.Frame)):
        return ""
    declared = [
        (payload.name, payload.encoding, payload.dtype, payload.shape, payload.bytes, payload.checksum)
        for payload in packet.payloads
    ]
    band = message.guide_band if isinstance(message, say.Frame) else None
    # Without a guide band the digest is that of older versions, so that their journals still match.
    said = repr((type(message).__name__, message.frame, declared, *(() if band is None else (band,))))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _checksum(payload: Payload, alpha: FloatImage) -> str:
    """Return the checksum by which two answers are compared: the payload's for a raw plane.

    For an EXR file it is that of the alpha, since the file's header also holds the time.
    """
    if payload.encoding != EXR:
        return payload.checksum
    return hashlib.blake2b(np.ascontiguousarray(alpha), digest_size=8).hexdigest()


def _lower_priority() -> None:
    """Lower this thread's priority if the system is Linux: decoding and storing are ahead of the device, which must not
    wait.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _said(report: FrameReport) -> tuple[bool, tuple[int, int, int, int] | None]:
    """Return the fields of Result and Progress that describe how a frame was computed."""
    return report.held, report.region


def _matte_job(said: say.Job, access: Access) -> MatteJob:
    """Return the job with the paths of this machine. Raises SettingError for paths that it may not use."""
    here = matte_job(with_paths(said, access.here))
    named = here.named()
    access.check([Path(name) for name in (named.mask, named.out) if name])
    return here


def _progress(session: str, event: RunEvent) -> say.Progress:
    """Return the Progress message of a job's step."""
    if not isinstance(event, FrameDone):
        looking = isinstance(event, CheckingFiles)
        preparing = event.what if isinstance(event, Preparing) else ""
        return say.Progress(session, event.frame, "", event.done, event.of, looking=looking, preparing=preparing)
    path, said = str(event.paths[0]), _said(event.report)
    sure = tuple(say.ObjectConfidence(name, each.value, each.why) for name, each in event.confidences.items())
    return say.Progress(session, event.frame, path, event.done, event.of, event.warnings, *said, confidences=sure)


def _check_licence(model: str, wanted: str) -> None:
    """Raise LicenceRefused if a job may not use these weights. The file is read only if that is necessary."""
    if wanted != "any":
        require_licence_class(vet(locate(model)), wanted)


def _dims(model: str) -> Dims:
    return read_checkpoint(locate(model).path).dims
