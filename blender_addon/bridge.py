# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to the engine on one network thread, with a queue each way between it and Blender.

    bridge.matte(order)          a shot; Told, Taken, Landed ... and at last Over
    bridge.call(work)            anything short: Answered or Failed
    bridge.events(0.005)         what has come, for at most so many seconds; never waits

Rules of this file:
1. The thread sees values only: no bpy, nothing that belongs to Blender.
2. Every order ends in exactly one Over, every call in exactly one Answered or Failed.
3. A frame has landed when all its files are whole, here, on this machine's disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ondisk
from .engine.wire import messages as say
from .engine.wire.errors import Code, WireError
from .engine.wire.reasons import reason
from .exr import is_whole, layout_of, objects_of
from .ondisk import Alphas
from .plan import HOLDS_ALL, file_of
from .target import Target

if TYPE_CHECKING:
    from .engine.client.client import EngineClient

_POLL_S = 0.2
_APPEARS_S = 5.0
"""How long a file may take to show on a network drive after the engine has written it."""
_JOIN_S = 2.0


@dataclass(frozen=True)
class Told:
    """Says in words what is being done."""

    text: str


@dataclass(frozen=True)
class Taken:
    """Says that the engine has accepted the job."""

    accepted: say.Accepted
    patterns: dict[str, str]
    """The files of each object, with #### for the frame."""
    alphas: dict[str, Alphas] = field(default_factory=dict)
    """The files of each object that are there before the run."""


@dataclass(frozen=True)
class Landed:
    """Says that a step is done; `frame` is None where it wrote nothing."""

    frame: int | None
    done: int
    of: int
    eta_s: float | None
    warnings: tuple[str, ...] = ()
    confidence: float | None = None
    """How far the frame's alphas can be trusted, 0 (look here first) to 1: the least of its objects; None is not
    known.
    """
    reason: str = ""
    """Why to look at that object, in one sentence; '' where there is nothing to say."""


@dataclass(frozen=True)
class Over:
    """Says how an order has ended: 'finished', 'cancelled' or 'failed'."""

    outcome: str
    written: int = 0
    unchanged: int = 0
    message: str = ""
    action: str = ""
    frames: tuple[int, ...] = ()
    """Frames that are whole on disk in the layout that was ordered, ascending; empty for an order that the engine
    refused.
    """
    other_layout: int = 0
    """Frames that are whole on disk, but of an earlier order's layout: what they hold means something else."""
    alphas: dict[str, Alphas] = field(default_factory=dict)
    """All that is on disk of each object in the layout that was ordered, of earlier orders too."""
    missing: tuple[int, ...] = ()
    """Frames without an alpha, from the first to the last that there is or that was ordered."""
    older: int = 0
    """Frames that are there from earlier orders, beside those that were ordered now."""
    result: str = ""
    """Digest of what is on disk now (ondisk.result_of)."""
    ends: tuple[int, int] | None = None
    """The first and the last frame of the plate."""


@dataclass(frozen=True)
class Answered:
    """Brings the answer to a call."""

    call: int
    value: Any


@dataclass(frozen=True)
class Failed:
    """Says why a call could not be done."""

    call: int
    code: str
    message: str
    action: str


@dataclass(frozen=True)
class Needed:
    """Asks for something that only Blender's main thread may do; the network thread waits until do() was called."""

    do: Callable[[], None]


Event = Told | Taken | Landed | Over | Answered | Failed | Needed


class GivenUp(Exception):
    """Ends the work on the network thread: the artist has cancelled, or Blender leaves."""


@dataclass(frozen=True)
class Order:
    """Holds a shot that is to be matted."""

    job: say.Job
    patterns: Callable[[say.Accepted], dict[str, str]]
    """Tells from what the engine accepted the pattern of each object's files, as this machine calls them."""
    frames: Callable[[], tuple[int, ...]]
    """Returns the plate frames that are to have an alpha; it asks the disk."""
    prepare: Callable[[Control], say.Job | None] = lambda control: None
    """Runs first, on the network thread: it writes the masks. It returns the job to send where only the masks tell what
    that is, else None.
    """

    ends: Callable[[], tuple[int, int] | None] = lambda: None
    """Returns the first and the last frame of the plate, None where there is none; it asks the disk."""

    def prepared(self, control: Control) -> say.Job:
        """Prepare the order, and return the job to send."""
        return self.prepare(control) or self.job


@dataclass
class Control:
    """Holds what the preparation of an order may say and must ask."""

    tell: Callable[[str], None]
    check: Callable[[], None]
    """Raises GivenUp when the artist has cancelled; the preparation calls it several times a second."""
    on_main: Callable[[Callable[[], Any]], Any]
    """Has something done on Blender's main thread, one a tick, and returns what it gives. Raises what it raises, and
    GivenUp.
    """


@dataclass
class _Call:
    number: int
    work: Callable[[Any], Any]
    connected: bool


@dataclass
class _Pace:
    """Estimates from the last steps how long the rest takes."""

    times: list[tuple[float, int]] = field(default_factory=list)

    def eta_s(self, done: int, of: int) -> float | None:
        self.times = [*self.times[-19:], (time.monotonic(), done)]
        (begun, before), (now, _) = self.times[0], self.times[-1]
        return (of - done) * (now - begun) / (done - before) if done > before else None


class Bridge:
    """Leads to one engine. It is made, asked and closed on Blender's main thread."""

    def __init__(self, target: Target) -> None:
        """Make the bridge; its thread starts with the first order."""
        self.target = target
        self._inbox: queue.SimpleQueue[Order | _Call | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cancel, self._ending, self._leave = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._calls = 0
        self._asked = False
        """Whether the engine may have the order's job."""
        self.busy = False
        """Whether an order is under way; False once its Over was fetched."""
        self.models: tuple[str, ...] = ()
        """Names of the models that the engine has, once it has said so; the default first."""
        self.waiting = 0
        """Calls without an answer yet."""

    def matte(self, order: Order) -> None:
        """Begin. One order at a time: not while `busy`."""
        assert not self.busy
        self._cancel.clear()
        self.busy = True
        self._send(order)

    def call(self, work: Callable[[Any], Any], connected: bool = True) -> int:
        """Have work(client) done on the network thread; the number that its answer has.

        connected: False gives it None for a client, and needs no engine.
        """
        self._calls += 1
        self.waiting += 1
        self._send(_Call(self._calls, work, connected))
        return self._calls

    def cancel(self) -> None:
        """Stop the order within one frame; its Over says how far it came."""
        self._cancel.set()

    def events(self, budget_s: float = 0.005) -> Iterator[Event]:
        """Yield what has come, until there is no more or the time is over."""
        deadline = time.monotonic() + budget_s
        while time.monotonic() < deadline:
            try:
                event = self._outbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Over):
                self.busy = False
            if isinstance(event, (Answered, Failed)):
                self.waiting -= 1
            yield event

    def close(self) -> None:
        """End the thread. A job is cancelled on the engine first, which may take two seconds; then all is given up."""
        self._ending.set()
        self._cancel.set()
        self._inbox.put(None)
        if self._thread is not None and self.busy:
            self._thread.join(_JOIN_S)
        self._leave.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    # ------------------------------------------------------------------------------------------------ the thread

    def _send(self, what: Order | _Call) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="matanyone", daemon=True)
            self._thread.start()
        self._inbox.put(what)

    def _run(self) -> None:
        while (what := self._inbox.get()) is not None and not self._ending.is_set():
            if isinstance(what, Order):
                self._outbox.put(self._ended(what))
            else:
                self._answer(what, None)

    def _answer(self, call: _Call, client: EngineClient | None) -> None:
        try:
            if client is None and call.connected:
                with self.target.connect(self.check_leave) as own:
                    value = call.work(own)
                    self._note_models(own)
            else:
                value = call.work(client)
        except Exception as error:
            self._outbox.put(Failed(call.number, *_as_told(error)))
        else:
            self._outbox.put(Answered(call.number, value))

    def _ended(self, order: Order) -> Over:
        try:
            return self._matte(order)
        except GivenUp:
            return Over("cancelled", message="cancelled before the engine had begun")
        except Exception as error:
            _, message, action = _as_told(error)
            return Over("failed", message=message, action=action)

    def _matte(self, order: Order) -> Over:
        job = order.prepared(self._control(lambda text: self._outbox.put(Told(text)), self._check_cancel))
        self._outbox.put(Told("looking for the engine"))
        self._asked = False
        with self.target.connect(self._check_away) as client:
            self._client = client
            run = self._taken(client, job)
            self._note_models(client)
            patterns = order.patterns(run.accepted)
            layout = order.job.delivery.layout
            self._outbox.put(Taken(run.accepted, patterns, _of_layout(patterns, layout)))
            try:
                ended = self._followed(run, patterns)
            except GivenUp:
                ended = say.JobEnded("", "cancelled", 0, message="the engine was away and could not be told")
        return _over(ended, order, patterns)

    def _note_models(self, client: EngineClient) -> None:
        """Note the names of the engine's models, assigned in one go so that the main thread may read them at any
        time.
        """
        if client.pump.welcome is not None:
            self.models = client.pump.welcome.models

    def _taken(self, client: EngineClient, job: say.Job) -> Any:
        from .engine.client.job import JobRun

        self._check_cancel()
        self._asked = True
        self._outbox.put(Told("the engine checks the shot"))
        return JobRun(client, job)

    def _followed(self, run: Any, patterns: dict[str, str]) -> say.JobEnded:
        pace = _Pace()
        for event in run.events(_POLL_S):
            if isinstance(event, say.JobEnded):
                return event
            if isinstance(event, say.Progress) and event.looking:
                self._outbox.put(Told(f"looks what has changed: {event.done} of {event.of} files"))
            elif isinstance(event, say.Progress) and event.preparing:
                self._outbox.put(Told(event.preparing))
            elif isinstance(event, say.Progress):
                self._outbox.put(self._landed(run, event, patterns, pace))
            if self._cancel.is_set():
                run.cancel()
            if self._ending.is_set():  # Blender does not wait for the frame at hand
                raise GivenUp
            self._answer_calls()
        raise AssertionError("a job's events end with JobEnded")

    def _landed(self, run: Any, event: say.Progress, patterns: dict[str, str], pace: _Pace) -> Landed:
        """Tell of a step that is done, once its frame, if it has one, is whole on this machine. Cancels the job and
        raises WireError if the frame does not appear.
        """
        frame = event.frame if event.path else None
        if frame is not None and not _appeared(patterns, frame):
            run.cancel()
            raise _damaged(patterns, frame)
        least = min(event.confidences, key=lambda each: each.value, default=None)
        said = (None, "") if least is None else (least.value, reason(least.why, least.value))
        return Landed(frame, event.done, event.of, pace.eta_s(event.done, event.of), event.warnings, *said)

    def _answer_calls(self) -> None:
        """Calls that came while a shot is run; orders cannot come."""
        while not self._inbox.empty():
            what = self._inbox.get()
            if isinstance(what, _Call):
                self._answer(what, self._client)

    def control_of_a_call(self) -> Control:
        """Return the Control for a preparation that is no part of an order."""
        return self._control(lambda text: None, self.check_leave)

    def check_leave(self) -> None:
        """Raises GivenUp once Blender leaves: for what takes long on the network thread."""
        if self._ending.is_set():
            raise GivenUp

    def _control(self, tell: Callable[[str], None], check: Callable[[], None]) -> Control:
        return Control(tell, check, lambda work: self._on_main(work, check))

    def _on_main(self, work: Callable[[], Any], check: Callable[[], None]) -> Any:
        done, answer = threading.Event(), []

        def do() -> None:
            try:
                answer.append((work(), None))
            except Exception as error:
                answer.append((None, error))
            done.set()

        self._outbox.put(Needed(do))
        while not done.wait(_POLL_S):
            check()
        value, error = answer[0]
        if error is not None:
            raise error
        return value

    def _check_cancel(self) -> None:
        if self._cancel.is_set():
            raise GivenUp

    def _check_away(self) -> None:
        """Stop waiting for an engine that does not answer once the artist has cancelled.

        A job that was sent is waited for while the engine may have it: given up, it would go on by itself, and keep the
        next one off its frames. For a second after the connection is made, its state is still CONNECTING.
        """
        from .engine.client.pump import State

        silent = {State.UNREACHABLE, State.REFUSED} | (set() if self._asked else {State.CONNECTING})
        gone = self._client.pump.state in silent
        if self._leave.is_set() or (self._cancel.is_set() and gone):
            raise GivenUp


def _as_told(error: Exception) -> tuple[str, str, str]:
    """Return code, message and action of an error."""
    if isinstance(error, WireError):
        return error.code.value, error.message, error.action
    if isinstance(error, GivenUp):
        return Code.CANCELLED.value, "cancelled", ""
    if isinstance(error, OSError):
        return Code.OUTPUT.value, str(error), "Choose a folder that you may write to."
    return Code.INTERNAL.value, f"{type(error).__name__}: {error}", "Please report this with Blender's console output."


def _all_whole(patterns: dict[str, str], frame: int) -> bool:
    return all(is_whole(Path(file_of(pattern, frame))) for pattern in set(patterns.values()))


def _over(ended: say.JobEnded, order: Order, patterns: dict[str, str]) -> Over:
    """Return the end of an order, with what is on disk then."""
    ordered = order.frames()
    alphas = _of_layout(patterns, order.job.delivery.layout)
    there = set.intersection(*(set(each.whole) for each in alphas.values()))
    whole = [frame for frame in ordered if _all_whole(patterns, frame)]
    ours = tuple(frame for frame in whole if frame in there)
    return Over(
        *(ended.outcome, ended.written, ended.unchanged, ended.message, ended.action),
        frames=ours,
        other_layout=len(whole) - len(ours),
        alphas=alphas,
        missing=ondisk.gaps(there, ordered),
        older=len(there - set(ordered)),
        result=ondisk.result_of(patterns, {frame for each in alphas.values() for frame in each.whole}),
        ends=order.ends(),
    )


def _of_layout(patterns: dict[str, str], layout: str) -> dict[str, Alphas]:
    """Return what is on disk of each object in this layout: in another one, a file means something else."""
    looked = {pattern: _kept(ondisk.alphas_of(pattern), pattern, layout) for pattern in set(patterns.values())}
    if layout not in HOLDS_ALL:
        return {name: looked[pattern] for name, pattern in patterns.items()}
    return {name: _with(name, looked[pattern], pattern) for name, pattern in patterns.items()}


def _kept(found: Alphas, pattern: str, layout: str) -> Alphas:
    return _only(found, lambda frame: layout_of(Path(file_of(pattern, frame))) == layout)


def _with(name: str, found: Alphas, pattern: str) -> Alphas:
    """Return the files that hold an object: it may have been added after some of them were made."""
    return _only(found, lambda frame: name in objects_of(Path(file_of(pattern, frame))))


def _only(found: Alphas, fits: Callable[[int], bool]) -> Alphas:
    """Return the same files, of which only some fit."""
    fitting = tuple(frame for frame in found.whole if fits(frame))
    return Alphas(fitting, found.damaged, (*found.other, *(set(found.whole) - set(fitting))))


def _appeared(patterns: dict[str, str], frame: int) -> bool:
    """Return whether a frame that was written is whole on this machine; it may take a moment to appear."""
    deadline = time.monotonic() + _APPEARS_S
    while not _all_whole(patterns, frame):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _damaged(patterns: dict[str, str], frame: int) -> WireError:
    files = ", ".join(file_of(pattern, frame) for pattern in sorted(set(patterns.values())))
    return WireError(
        Code.BAD_RESULT,
        f"expected whole alphas of frame {frame}, got missing or damaged ones: {files}",
        "Look whether the disk is full, and whether the engine and Blender see the same folder; then matte again.",
    )
