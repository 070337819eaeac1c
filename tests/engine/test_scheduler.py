# SPDX-License-Identifier: Apache-2.0
"""The engine's mind under any order of events: every request gets one answer, no frame is stepped twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from matanyone_engine.engine import events as on
from matanyone_engine.engine.engine import Engine
from matanyone_engine.engine.scheduler import Scheduler
from matanyone_engine.engine.workloads import EngineLimits
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import EXCHANGES
from matanyone_engine.wire.errors import Code, WireError

LIMITS = EngineLimits(memory_bytes=100, window_frames=3, window_bytes=40, lease_s=10.0, snapshot_every=3)
BROKEN = WireError(Code.BAD_INPUT, "broken", "mend it")
FULL = WireError(Code.OUTPUT, "full", "free some room")


def opened(scheduler: Scheduler, name: str, peer: str, priority: str = "interactive", need: int = 10) -> None:
    opening = say.Open(name * 32, (64, 48), priority=priority)
    scheduler.handle(on.Requested(on.Requester(peer, 1), opening, 0.0, need=need, fresh=name))
    scheduler.handle(on.Loaded(name))


def asked(scheduler: Scheduler, name: str, seq: int, peer: str = "p", digest: str = "") -> list[on.Instruction]:
    message = say.Key(name, seq, seq) if seq == 0 else say.Frame(name, seq, seq)
    event = on.Requested(on.Requester(peer, 100 + seq), message, 0.0, digest=digest or f"d{seq}", bytes=10)
    return scheduler.handle(event)


def kinds(instructions: list[on.Instruction]) -> list[str]:
    return [type(each).__name__ for each in instructions]


def code(instructions: list[on.Instruction]) -> str:
    (reply,) = (each for each in instructions if isinstance(each, on.Reply))
    assert isinstance(reply.message, say.Fault)
    return reply.message.code


def ready(scheduler: Scheduler, name: str, seq: int, peer: str = "p") -> list[on.Instruction]:
    """Asked and decoded; what the decoding led to."""
    (decode,) = (each for each in asked(scheduler, name, seq, peer) if isinstance(each, on.Decode))
    return scheduler.handle(on.Decoded(decode.ticket))


def test_a_frame_is_decoded_computed_stored_and_sent() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    (step,) = ready(scheduler, "a", 0)
    assert isinstance(step, on.ComputeFrame)
    assert step.key
    (store,) = scheduler.handle(on.FrameComputed(step.ticket, 1.0))
    assert isinstance(store, on.StoreResult)
    assert store.snapshot, "a key is worth a snapshot"
    assert kinds(scheduler.handle(on.ResultStored(store.ticket, snapshotted=True))) == ["SendResult"]
    assert kinds(asked(scheduler, "a", 0)) == ["SendResult"], "said again: never stepped again"
    assert code(asked(scheduler, "a", 0, digest="other")) == "conflict"
    assert code(asked(scheduler, "a", 5)) == "out-of-order"


def test_a_first_mask_is_made_once_and_told_to_all_who_ask() -> None:
    scheduler = Scheduler(EngineLimits(memory_bytes=100, prompts=2))

    def ask(nonce: str, number: int) -> list[on.Instruction]:
        return scheduler.handle(on.Requested(on.Requester("p", number), say.Prompt(nonce, "plate", "out"), 0.0))

    assert kinds(ask("a", 1)) == ["MakeMask"]
    assert not ask("a", 1), "said again while it is made"
    assert not scheduler.idle
    assert kinds(ask("b", 2)) == ["MakeMask"]
    assert code(ask("c", 3)) == "busy"
    masked = say.Masked("out", 1001, "sRGB", "GrabCut", 0.3)
    assert kinds(scheduler.handle(on.MaskMade("a", masked))) == ["Reply", "Reply"]
    assert kinds(ask("a", 4)) == ["Reply"], "said again once it is made"
    assert code(scheduler.handle(on.MaskMade("b", fault=BROKEN))) == "bad-input"
    assert scheduler.idle
    assert kinds(ask("b", 5)) == ["MakeMask"], "what failed may be tried again"
    assert code(scheduler.handle(on.Closing())) == "shutting-down"
    assert scheduler.idle
    assert not scheduler.handle(on.MaskMade("b", masked)), "nobody waits for it any more"


def test_interactive_goes_before_batch_and_equals_take_turns_by_time() -> None:
    scheduler = Scheduler(EngineLimits(memory_bytes=100))
    for name, priority in (("a", "interactive"), ("b", "interactive"), ("c", "batch")):
        opened(scheduler, name, "p", priority)
    (running,) = ready(scheduler, "c", 0)
    for name in "ab":
        for seq in range(3):
            assert not ready(scheduler, name, seq)
    order = []
    cost = {"a": 3.0, "b": 1.0, "c": 1.0}
    while isinstance(running, on.ComputeFrame):
        order.append(running.session)
        followed = scheduler.handle(on.FrameComputed(running.ticket, cost[running.session]))
        stores = [each for each in followed if isinstance(each, on.StoreResult)]
        running = next((each for each in followed if isinstance(each, on.ComputeFrame)), None)
        for store in stores:
            more = [
                each for each in scheduler.handle(on.ResultStored(store.ticket)) if isinstance(each, on.ComputeFrame)
            ]
            running = running or (more[0] if more else None)
    assert order == ["c", "a", "b", "b", "b", "a", "a"]


def test_what_does_not_fit_is_refused_with_figures() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p", need=60)
    event = on.Requested(on.Requester("p", 9), say.Open("f" * 32, (1, 1)), 0.0, need=50, fresh="b")
    assert code(scheduler.handle(event)) == "no-room"


def kinds_of(base: type) -> set[type]:
    """Every class that is one of these, however far down."""
    return {each for kind in base.__subclasses__() for each in (kind, *kinds_of(kind))}


def test_every_event_request_and_instruction_has_a_handler() -> None:
    scheduler = Scheduler(LIMITS)
    assert set(scheduler.handlers) == kinds_of(on.EngineEvent)
    assert set(Engine.CARRIED_OUT) == kinds_of(on.Instruction)
    at_once = {say.Hello, say.Ping, say.Status, say.ListSessions, say.Shutdown}  # the server answers these itself
    assert set(scheduler.answers) == set(EXCHANGES) - at_once


def test_a_job_takes_no_frames_and_a_session_shows_none() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    job = say.Job("b" * 32, "plate", "mask", "out")
    assert kinds(scheduler.handle(on.Requested(on.Requester("p", 1), job, 0.0, fresh="b"))) == ["PlanJob"]
    for number, message in enumerate(
        (say.Frame("b", 0, 0), say.Fetch("b", 0), say.Snapshot("b"), say.Close("b"), say.Show("a", 1001))
    ):
        assert code(scheduler.handle(on.Requested(on.Requester("p", 10 + number), message, 0.0))) == "out-of-turn"
    assert code(scheduler.handle(on.Requested(on.Requester("p", 20), say.Reopen("b"), 0.0))) == "unknown-session"
    assert code(scheduler.handle(on.Requested(on.Requester("q", 21), say.Cancel("b"), 0.0))) == "not-allowed"


def test_a_job_and_a_session_take_turns_on_the_device() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p", "batch")
    job = say.Job("b" * 32, "plate", "mask", "out", priority="batch")
    scheduler.handle(on.Requested(on.Requester("p", 1), job, 0.0, fresh="b"))
    accepted = say.Accepted("b", 2, "sRGB", "mini", "out")
    answered = scheduler.handle(on.Planned("b", accepted, 10, (64, 48), (1001, 1002)))
    assert kinds(answered) == ["Reply", "JobStep"]
    assert not ready(scheduler, "a", 0)
    assert kinds(scheduler.handle(on.JobStepped("b", 1.0))) == ["ComputeFrame"], "the session has used the device less"
    (task,) = scheduler.sessions.by_id["a"].tasks
    assert kinds(scheduler.handle(on.FrameComputed(task.ticket, 2.0))) == ["StoreResult", "JobStep"]
    scheduler.handle(on.Requested(on.Requester("p", 2), say.Cancel("b"), 0.0))
    ended = scheduler.handle(on.JobStepped("b", 1.0, ended=say.JobEnded("b", "cancelled", 0)))
    assert kinds(ended) == ["Notify", "Drop", "Reply"]
    assert not scheduler.jobs.by_id
    assert kinds(scheduler.handle(on.Requested(on.Requester("p", 3), job, 0.0, fresh="c"))) == ["Reply", "Notify"]


def test_over_the_disk_limit_only_parked_sessions_are_deleted() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    scheduler.sessions.adopt("b", say.Open("b" * 32, (64, 48)), 3, 10, 0.0)
    (drop,) = scheduler.handle(on.DiskOverLimit(("a", "b", "c")))
    assert isinstance(drop, on.Drop)
    assert (drop.session, list(scheduler.sessions.by_id)) == ("b", ["a"])


def test_a_result_that_cannot_be_stored_takes_the_memory_back() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    (step,) = ready(scheduler, "a", 0)
    assert isinstance(step, on.ComputeFrame)
    scheduler.handle(on.FrameComputed(step.ticket, 1.0))
    assert not ready(scheduler, "a", 1)[1:]
    followed = scheduler.handle(on.ResultStored(step.ticket, FULL))
    if "Rewind" not in kinds(followed):  # the next frame was on the device: once it is done
        second = next(task for task in scheduler.sessions.by_id["a"].tasks if task.seq == 1)
        (again,) = scheduler.handle(on.FrameComputed(second.ticket, 1.0))
        assert isinstance(again, on.StoreResult)
        followed = scheduler.handle(on.ResultStored(again.ticket, FULL))
    assert "Rewind" in kinds(followed)
    codes = [
        each.message.code for each in followed if isinstance(each, on.Reply) and isinstance(each.message, say.Fault)
    ]
    assert codes == ["output", "out-of-order"]
    assert scheduler.sessions.by_id["a"].next_seq == 0


class AnyOrder(RuleBasedStateMachine):
    """Two clients, two sessions, and every event whenever it can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(LIMITS)
        self.now = 0.0
        self.number = 0
        self.open_requests: set[int] = set()
        self.answers: Counter[int] = Counter()
        self.under_way: list[on.Instruction] = []
        self.stepped: dict[str, list[int]] = {"a": [], "b": []}
        self.stored: dict[str, list[int]] = {"a": [], "b": []}
        for name, peer in (("a", "p"), ("b", "q")):
            self.ask(say.Open(name * 32, (64, 48)), peer, fresh=name, need=10)

    def ask(self, message: say.Message, peer: str, **more: object) -> None:
        self.number += 1
        self.open_requests.add(self.number)
        self.follow(self.scheduler.handle(on.Requested(on.Requester(peer, self.number), message, self.now, **more)))  # type: ignore[arg-type]

    def follow(self, instructions: list[on.Instruction]) -> None:
        for each in instructions:
            if isinstance(each, (on.Reply, on.SendResult)):
                self.answers[each.who.id] += 1
                if isinstance(each, on.SendResult):
                    assert each.seq in self.stored[each.session]
            elif isinstance(each, (on.Decode, on.ComputeFrame, on.StoreResult, on.Load, on.Park)):
                self.under_way.append(each)
            elif isinstance(each, on.Rewind):
                assert not any(
                    isinstance(other, on.ComputeFrame) and other.session == each.session for other in self.under_way
                )
                (seq,) = self.stepped[each.session][-1:]
                self.stepped[each.session] = [
                    n for n in self.stepped[each.session] if n < self.next_stored(each.session)
                ]
                assert seq >= self.next_stored(each.session)
            if isinstance(each, on.ComputeFrame):
                assert each.seq == len(self.stepped[each.session]), "in order, none twice"

    def next_stored(self, session: str) -> int:
        return len(self.stored[session])

    @rule(session=st.sampled_from("ab"), back=st.integers(-1, 2), alien=st.booleans())
    def frame(self, session: str, back: int, alien: bool) -> None:
        shot = self.scheduler.sessions.by_id.get(session)
        seq = max(0, (shot.next_seq if shot else 0) - back)
        message = say.Key(session, seq, seq) if seq == 0 else say.Frame(session, seq, seq)
        peer = {"a": "p", "b": "q"}[session] if not alien else "stranger"
        self.ask(message, peer, digest=f"d{seq}", bytes=10)

    @rule(
        session=st.sampled_from("ab"),
        what=st.sampled_from([say.Cancel, say.Snapshot, say.Reopen, say.Fetch, say.Close]),
    )
    def word(self, session: str, what: type[say.Message]) -> None:
        message = say.Fetch(session, 0) if what is say.Fetch else what(session)  # type: ignore[call-arg]
        self.ask(message, {"a": "p", "b": "q"}[session])

    @rule(seconds=st.floats(0, 12))
    def time(self, seconds: float) -> None:
        self.now += seconds
        self.follow(self.scheduler.handle(on.Tick(self.now)))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """Any thread finishes what it was told, well or not."""
        on_device = [each for each in self.under_way if isinstance(each, (on.ComputeFrame, on.Load))]
        others = [each for each in self.under_way if each not in on_device]
        order = data.draw(st.sampled_from(others + on_device[:1]))
        fails = data.draw(st.integers(0, 4)) == 0
        self.under_way.remove(order)
        self.follow(self.scheduler.handle(self.reported(order, fails)))

    def reported(self, order: on.Instruction, fails: bool) -> on.EngineEvent:
        fault = BROKEN if fails else None
        if isinstance(order, on.Decode):
            return on.Decoded(order.ticket, fault)
        if isinstance(order, on.ComputeFrame):
            if not fails:
                self.stepped[order.session].append(order.seq)
            return on.FrameComputed(order.ticket, 1.0, fault)
        if isinstance(order, on.StoreResult):
            assert order.seq == self.next_stored(order.session), "the journal is in order"
            if not fails:
                self.stored[order.session].append(order.seq)
            return on.ResultStored(order.ticket, FULL if fails else None)
        if isinstance(order, on.Load):
            done = self.next_stored(order.session)
            return on.Loaded(order.session, 1.0, done, tuple((n, f"d{n}") for n in range(done)), done > 0)
        assert isinstance(order, on.Park)
        assert order.next_seq == self.next_stored(order.session)
        return on.Parked(order.session, order.next_seq, order.leave and not fails, FULL if fails else None)

    @invariant()
    def nobody_hears_twice(self) -> None:
        assert all(count == 1 for count in self.answers.values())

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.scheduler.workloads.memory_bytes <= LIMITS.memory_bytes
        assert all(len(shot.tasks) <= LIMITS.window_frames for shot in self.scheduler.sessions.by_id.values())

    def teardown(self) -> None:
        """Once everything under way has ended, everybody has an answer."""
        while self.under_way:
            order = self.under_way.pop(0)
            self.follow(self.scheduler.handle(self.reported(order, fails=False)))
        assert self.open_requests == set(self.answers)


AnyOrder.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder = AnyOrder.TestCase


def test_a_session_whose_client_is_gone_stops_and_is_parked() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    (step,) = ready(scheduler, "a", 0)
    assert isinstance(step, on.ComputeFrame)
    asked(scheduler, "a", 1)
    over = scheduler.handle(on.Tick(11.0))
    assert kinds(over) == ["StopWork", "Reply", "Discard"], "the device stops, and what it had not begun is answered"
    assert not scheduler.handle(on.Tick(11.3)), "once is enough"
    cancelled = WireError(Code.CANCELLED, "stopped", "")
    assert kinds(scheduler.handle(on.FrameComputed(step.ticket, 1.0, cancelled))) == ["Reply", "Discard", "AllowWork"]
    (park,) = scheduler.handle(on.Tick(11.6))
    assert isinstance(park, on.Park)
    assert park.leave
    scheduler.handle(on.Parked("a", 0, True))
    assert scheduler.idle


def test_a_client_that_comes_back_while_its_session_stops_goes_on() -> None:
    scheduler = Scheduler(LIMITS)
    opened(scheduler, "a", "p")
    (step,) = ready(scheduler, "a", 0)
    assert isinstance(step, on.ComputeFrame)
    scheduler.handle(on.Tick(11.0))
    scheduler.handle(on.ClientHeard("p", 11.1))
    scheduler.handle(on.FrameComputed(step.ticket, 1.0, WireError(Code.CANCELLED, "stopped", "")))
    assert not scheduler.handle(on.Tick(11.6))
    assert kinds(asked(scheduler, "a", 0)) == ["Decode"]


def test_one_client_has_so_many_sessions_and_others_have_theirs() -> None:
    scheduler = Scheduler(EngineLimits(memory_bytes=1000, sessions_of_a_client=2))
    for name in "ab":
        opened(scheduler, name, "p")
    more = say.Open("c" * 32, (64, 48))
    refused = scheduler.handle(on.Requested(on.Requester("p", 2), more, 0.0, need=1, fresh="c"))
    assert code(refused) == "busy"
    job = say.Job("d" * 32, "plate", "mask", "out")
    assert code(scheduler.handle(on.Requested(on.Requester("p", 3), job, 0.0, fresh="d"))) == "busy"
    assert kinds(scheduler.handle(on.Requested(on.Requester("q", 1), more, 0.0, need=1, fresh="c"))) == ["Load"]


def test_sessions_that_were_opened_and_left_do_not_pile_up() -> None:
    scheduler = Scheduler(EngineLimits(memory_bytes=10**6, lease_s=1.0, empty_sessions=3))
    scheduler.sessions.adopt("kept", say.Open("f" * 32, (64, 48)), 5, 10, 0.0)
    for number in range(10):
        name = f"{number}"
        opening = say.Open(f"{number:032x}", (64, 48))
        scheduler.handle(on.Requested(on.Requester(f"p{number}", 1), opening, float(number), need=1, fresh=name))
        scheduler.handle(on.Loaded(name))
        scheduler.handle(on.Tick(number + 2.0))
        scheduler.handle(on.Parked(name, 0, True))
        scheduler.handle(on.Tick(number + 2.1))
    assert list(scheduler.sessions.by_id) == ["kept", "7", "8", "9"]
