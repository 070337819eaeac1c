# SPDX-License-Identifier: Apache-2.0
"""The engine's threads: each touches what is its own, and none can end in silence."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engines import FIRST, RAW, SIZE, mask, plate, toy_weights

from matanyone_engine.engine import events as on
from matanyone_engine.engine import worker as worker_module
from matanyone_engine.engine.engine import Engine, EngineReport, EngineSettings
from matanyone_engine.engine.recent_results import RecentResults
from matanyone_engine.engine.server import Server
from matanyone_engine.engine.store import SessionFolder
from matanyone_engine.engine.watchdog import Watchdog, WatchedThread, processor_s
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw
from matanyone_engine.wire.codec import Packet
from matanyone_engine.wire.conversation import Channel


class OnOneThread:
    """An engine without sockets, whose I/O thread is the test's."""

    def __init__(self, folder: Path) -> None:
        self.reports: queue.SimpleQueue[EngineReport] = queue.SimpleQueue()
        self.answers: list[say.Message] = []
        settings = EngineSettings(folder / "state", (str(toy_weights(folder)),), "cpu")
        self.engine = Engine(settings, self.reports.put, self._answer, self._notify)
        self._number = 0

    def _answer(self, _who: on.Requester, packet: Packet) -> None:
        self.answers.append(packet.message)

    def _notify(self, _peer: str, packet: Packet) -> None:
        self.answers.append(packet.message)

    def ask(self, message: say.Message, payloads: Any = (), data: Any = ()) -> say.Message:
        """The answer, once it has come."""
        self._number += 1
        known = len(self.answers)
        self.engine.ask(on.Requester("p", self._number), Packet(self._number, message, payloads, data), "test")
        self.until(lambda: len(self.answers) > known)
        return self.answers[known]

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not true():
            assert time.monotonic() < deadline
            try:
                self.engine.handle(self.reports.get(timeout=0.05))
            except queue.Empty:
                continue

    def open(self) -> str:
        opened = self.ask(say.Open("a" * 32, SIZE, "toy", RAW))
        assert isinstance(opened, say.Opened)
        return opened.session

    def key(self, session: str) -> say.Message:
        (first, pixels), (second, drawn) = plate(FIRST), mask()
        return self.ask(say.Key(session, 0, FIRST), (first, second), (pixels, drawn))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[OnOneThread]:
    made = OnOneThread(tmp_path)
    yield made
    made.engine.close()


def test_an_exception_on_the_device_thread_fails_one_request_only(
    served: OnOneThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a defect")

    session = served.open()
    monkeypatch.setattr(served.engine.worker, "unload", broken)
    served.engine._on_device(served.engine.worker.unload, lambda *_: None)
    served.engine._do_job_step(on.JobStep("none"))  # a job without a plan
    found: list[EngineReport] = []
    while not any(isinstance(each, on.JobStepped) for each in found):
        found.append(served.reports.get(timeout=20))
    (stepped,) = (each for each in found if isinstance(each, on.JobStepped))
    assert stepped.ended is not None
    assert (stepped.ended.outcome, stepped.ended.code) == ("failed", "internal")
    assert served.engine.device_thread.is_alive()
    assert isinstance(served.key(session), say.Result)


def test_only_the_io_thread_touches_the_scheduler_and_it_touches_no_disk(
    served: OnOneThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = threading.get_ident()
    unauthenticated: list[str] = []
    on_io: list[str] = []

    class Guarded:
        def __init__(self, scheduler: Any) -> None:
            self._scheduler = scheduler

        def __getattr__(self, name: str) -> Any:
            if threading.get_ident() != ours:
                unauthenticated.append(f"{name} on {threading.current_thread().name}")
            return getattr(self._scheduler, name)

    def watched(real: Callable[..., Any], thread: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if not threading.current_thread().name.startswith(thread):
                on_io.append(f"{real.__name__} on {threading.current_thread().name}")
            return real(*arguments, **named)

        return wrapped

    monkeypatch.setattr(served.engine, "scheduler", Guarded(served.engine.scheduler))
    monkeypatch.setattr(SessionFolder, "remove", watched(SessionFolder.remove, "pool"))
    monkeypatch.setattr(SessionFolder, "get_result", watched(SessionFolder.get_result, "pool"))
    monkeypatch.setattr(worker_module, "give_back", watched(worker_module.give_back, "device"))
    session = served.open()
    assert isinstance(served.key(session), say.Result)
    served.engine._recent.forget(session)  # so that it is read from the disk
    assert isinstance(served.ask(say.Fetch(session, 0)), say.Result)
    folder = served.engine._store.folder(session).folder
    assert isinstance(served.ask(say.Close(session)), say.Closed)
    served.until(lambda: not folder.exists())
    done = threading.Event()
    served.engine._on_device(done.set, lambda *_: None)
    assert done.wait(20)
    assert not unauthenticated
    assert not on_io


def test_a_session_that_was_closed_is_gone_from_disk_when_the_engine_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = OnOneThread(tmp_path)
    session = made.open()
    folder = made.engine._store.folder(session).folder
    monkeypatch.setattr(made.engine, "_in_pool", lambda *_: None)  # the pool does not come to it
    assert isinstance(made.ask(say.Close(session)), say.Closed)
    made.engine.close()
    assert not folder.exists()


def test_recent_results_may_be_put_while_others_are_forgotten() -> None:
    recent = RecentResults(2000)
    data = bytes(10)
    payload = describe_raw("alpha", data, "u1", (2, 5, 1))
    problems: list[BaseException] = []
    over = threading.Event()

    def put(name: str) -> None:
        try:
            for seq in range(20_000):
                recent.put(name, seq, (say.Result(name, seq, seq), payload, data))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=put, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for name in "abc":
            recent.forget(name)
    over.set()
    assert not problems
    assert recent._bytes == sum(each[1].bytes for each in recent._answers.values()) <= 2000
    recent.put("d", 1, (say.Result("d", 1, 1), payload, data))
    assert recent.get("d", 1) is not None
    assert recent.get("d", 2) is None


def watch(name: str, one: WatchedThread) -> tuple[Watchdog, queue.SimpleQueue[str]]:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    watchdog = Watchdog({name: one}, told.put, every_s=0.01)
    watchdog.start()
    return watchdog, told


def test_the_watchdog_says_that_a_thread_has_died() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    _, told = watch("device", WatchedThread(lambda: None, 5, thread))
    assert told.get(timeout=10) == "the device thread has died"


def test_the_watchdog_says_that_a_thread_hangs() -> None:
    _, told = watch("I/O", WatchedThread(lambda: 7, 5))
    assert "the I/O thread has not moved" in told.get(timeout=10)


def test_the_watchdog_is_quiet_while_a_thread_moves_or_has_nothing_to_do() -> None:
    signs = iter(range(10**9))
    for sign in (lambda: next(signs), lambda: None):
        watchdog, told = watch("here", WatchedThread(sign, 3, threading.current_thread()))
        time.sleep(0.2)
        watchdog.close()
        assert told.empty()


def test_processor_time_tells_who_works_from_who_waits() -> None:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            pass

    worker, waiter = threading.Thread(target=work), threading.Thread(target=over.wait)
    for thread in (worker, waiter):
        thread.start()
    try:
        begun = processor_s(worker), processor_s(waiter)
        assert None not in begun
        deadline = time.monotonic() + 60
        while processor_s(worker) == begun[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert processor_s(waiter) == begun[1]
    finally:
        over.set()
    worker.join()
    waiter.join()


def test_an_engine_without_work_gives_memory_back_now_and_then(
    served: OnOneThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    clock = time.monotonic()
    monkeypatch.setattr(served.engine.worker, "tidy", lambda: given.append(clock))
    begun = clock

    def until(seconds: float) -> int:
        nonlocal clock
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda: clock)
            while clock < begun + seconds:
                clock += 1.0
                served.engine.tick()
        done = threading.Event()
        served.engine._device_queue.put((done.set, lambda *_: None))
        assert done.wait(60)
        return len(given)

    assert until(50) == 0, "nothing was computed since it started"
    assert until(70) == 1, "messages that were refused may have left something"
    served.engine._busy_at = clock
    assert until(78) == 1, "the next shot may come at once"
    assert until(84) == 2
    assert until(140) == 2
    assert until(160) == 3


def test_one_socket_is_not_read_while_the_other_waits() -> None:
    """A flood on one socket would else keep a question on the other, such as that for the status, waiting for ever."""
    heard: list[Channel] = []

    class Flood:
        def __init__(self, channel: Channel) -> None:
            self.channel, self.left = channel, 10_000

        def recv_multipart(self, *_: object, **__: object) -> list[bytes]:
            self.left -= 1
            assert self.left, "it is read for ever"
            return [b""]

    server: Any = object.__new__(Server)
    server._turns, server._calls, server._events = 0, queue.SimpleQueue(), queue.SimpleQueue()
    server._wake_up, server._connections = SimpleNamespace(clear=lambda: None), SimpleNamespace(look=lambda: None)
    server.engine = SimpleNamespace(handle=None)
    server._sockets = {channel: Flood(channel) for channel in Channel}
    server._receive = lambda channel, _parts: heard.append(channel) or 0  # type: ignore[func-returns-value]
    server._turn()
    server._turn()
    changes = [a for a, b in itertools.pairwise(heard) if a is not b]
    assert len(changes) == 2 * len(Channel) - 1
    assert set(heard) == set(Channel)
    assert len(heard) < 1000
