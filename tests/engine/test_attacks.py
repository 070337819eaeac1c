# SPDX-License-Identifier: Apache-2.0
"""What a stranger, or a client that means harm, cannot do to an engine: real processes, real sockets."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from engines import FIRST, RAW, SIZE, Engine, mask, numbers, pixels, plate, running
from shots import make_shot
from zmtp import send_without_end

from matanyone_engine.client.launcher import find_engine
from matanyone_engine.engine.watchdog import ENDED_ITSELF
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload
from matanyone_engine.wire.codec import Packet, decode, encode
from matanyone_engine.wire.connection import Connection
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.version import preamble

MB = 1 << 20


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Without garbage collection, and with short leases."""
    os.environ["WITHOUT_GC"] = "1"
    try:
        folder = tmp_path_factory.mktemp("engine")
        with running(folder, "--lease", "2", "--root", str(folder), "--idle-unload", "0.5") as started:
            yield started
    finally:
        del os.environ["WITHOUT_GC"]


class Sender:
    """A bare client that sends what it likes."""

    def __init__(self, connection: Connection, context: zmq.Context[Any]) -> None:
        self.connection, self.sockets = connection, {}
        for name, endpoint in (("control", connection.control), ("data", connection.data)):
            self.sockets[name] = context.socket(zmq.DEALER)
            self.sockets[name].setsockopt(zmq.LINGER, 0)
            self.sockets[name].connect(endpoint)

    def hello(self) -> Sender:
        peer = secrets.token_hex(16)
        for name in self.sockets:
            assert isinstance(self.ask(name, say.Hello(self.connection.token, peer)), say.Welcome)
        return self

    def send(self, name: str, message: say.Message, payloads: Any = (), data: Any = ()) -> None:
        self.sockets[name].send_multipart([b"", *encode(Packet(7, message, payloads, data))])

    def ask(self, name: str, message: say.Message, payloads: Any = (), data: Any = ()) -> say.Message:
        self.send(name, message, payloads, data)
        return self.answer(name)

    def answer(self, name: str, within_s: float = 30.0) -> say.Message:
        assert self.sockets[name].poll(within_s * 1000), "no answer"
        return decode(self.sockets[name].recv_multipart()[1:]).message

    def close(self) -> None:
        for socket in self.sockets.values():
            socket.close(0)


@pytest.fixture
def sender(engine: Engine, context: zmq.Context[Any]) -> Sender:
    return Sender(find_engine(engine.file), context)


def resident(engine: Engine) -> int:
    assert engine.process is not None
    return int(psutil.Process(engine.process.pid).memory_info().rss)


def works(engine: Engine) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        assert len(pixels(shot.matte(numbers(0, 2), plate, mask()))) == 2
        shot.close()


def code(answer: say.Message) -> str:
    assert isinstance(answer, say.Fault), answer
    return answer.code


def until(true: Any, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------------- memory


def test_refused_messages_are_freed_at_once(engine: Engine, sender: Sender) -> None:
    works(engine)
    before = resident(engine)
    data = bytes(100 * MB)
    payload = Payload("plate", "exr", len(data), "0" * 16)
    for number in range(20):
        if number == 5:  # first as a stranger, then as a client that names no session
            sender.hello()
        refused = code(sender.ask("data", say.Frame("none", 0, 1), (payload,), (data,)))
        assert refused == ("unauthorised" if number < 5 else "unknown-session")
        assert resident(engine) - before < 200 * MB, number


def test_the_memory_of_a_large_refused_message_goes_back_to_the_system(engine: Engine, sender: Sender) -> None:
    before = resident(engine)
    data = bytes(400 * MB)
    payload = Payload("plate", "exr", len(data), "0" * 16)
    assert code(sender.ask("data", say.Frame("none", 0, 1), (payload,), (data,))) == "unauthorised"
    until(lambda: resident(engine) - before < 150 * MB)


@pytest.mark.parametrize(("channel", "size", "most"), [("control", MB, 150 * MB), ("data", 20 * MB, 900 * MB)])
def test_a_stranger_cannot_fill_the_memory_with_parts(engine: Engine, channel: str, size: int, most: int) -> None:
    """3 GB on either socket; each part alone is small enough, and the message is never ended."""
    works(engine)
    before = resident(engine)
    port = int(getattr(find_engine(engine.file), channel).rpartition(":")[2])
    assert not send_without_end(port, bytes(size), (3 << 30) // size)
    assert resident(engine) - before < most
    assert "it was cut off" in engine.said()
    works(engine)


def test_a_message_of_many_parts_is_refused(sender: Sender) -> None:
    sender.sockets["data"].send_multipart([b"", preamble(), b"{}", *[b"x"] * 20])
    assert code(sender.answer("data")) == "malformed"


# ------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("options", [{"mask_grow": 10_000}, {"warm_up_passes": 10**6}, {"exposure": 1e308}])
def test_numbers_beyond_all_measure_are_refused_at_once(engine: Engine, options: dict[str, Any]) -> None:
    with engine.client() as client, pytest.raises(WireError) as caught:
        client.open_shot(SIZE, say.Options(colorspace="sRGB", **options))
    assert caught.value.code is Code.BAD_INPUT


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "loop/x.exr", "/".join("d" * 3 for _ in range(1500)), "n" * 5000])
def test_paths_that_cannot_be_are_bad_input(engine: Engine, name: str) -> None:
    loop = engine.folder / "loop"
    if not loop.is_symlink():
        loop.symlink_to(loop)
    path = f"{engine.folder}/{name}"
    with engine.client() as client, pytest.raises(WireError) as caught:
        client.call(say.Job("a" * 32, path, path, f"{engine.folder}/out.####.exr", model="toy"))
    assert caught.value.code is Code.BAD_INPUT


# --------------------------------------------------------------------------------------------- leases, threads


def test_a_session_whose_client_is_gone_stops_and_is_parked(engine: Engine, sender: Sender) -> None:
    sender.hello()
    options = say.Options(warm_up_passes=100, colorspace="sRGB", reply="f4")
    opened = sender.ask("data", say.Open("c" * 32, SIZE, "toy", options))
    assert isinstance(opened, say.Opened)
    engine.accident("predict", "sleep", **{"for": 0.2})  # 20 s for the key
    (plate_payload, plate_data), (mask_payload, mask_data) = plate(FIRST), mask()
    sender.send("data", say.Key(opened.session, 0, FIRST), (plate_payload, mask_payload), (plate_data, mask_data))
    time.sleep(0.5)
    sender.close()
    begun = time.monotonic()
    with engine.client() as client:

        def parked() -> bool:
            told = client.call(say.ListSessions())
            assert isinstance(told, say.Sessions)
            return all(each.phase == "parked" for each in told.sessions)

        until(parked)
    assert time.monotonic() - begun < 8
    engine.accident()
    works(engine)


def test_the_device_outlives_defects(engine: Engine) -> None:
    """Of work that a client waits for, which fails, and of work that nobody asked for."""
    job = make_shot(engine.folder / "shot", count=2)
    wanted = say.Job("d" * 32, str(job.plate), str(job.mask), str(engine.folder / "made" / "a.####.exr"), model="toy")
    engine.accident("job", "defect")
    with engine.client() as client:
        client.call(wanted)
        while not isinstance(event := client.next_event(30), say.JobEnded):
            assert event is not None, "the job must not hang"
        assert (event.outcome, event.code) == ("failed", "internal")
    engine.accident("unload", "defect")
    works(engine)
    until(lambda: "Housekeeping has failed" in engine.said())
    engine.accident()
    works(engine)


def test_an_engine_whose_device_thread_has_died_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        engine.accident("step", "end-thread")
        with engine.client() as client:
            shot = client.open_shot(SIZE, RAW)
            client.pump.ask(say.Key(shot.session, 0, FIRST), (plate(FIRST)[0], mask()[0]), (plate(FIRST)[1], mask()[1]))
            client.pump.poll(100)
            assert engine.process is not None
            assert engine.process.wait(60) == ENDED_ITSELF
        assert "the device thread has died" in engine.said()


def test_an_engine_whose_device_hangs_ends_and_one_that_works_for_long_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE_CHECKS", "6")
    with running(tmp_path) as engine:
        assert engine.process is not None
        with engine.client(90) as client:
            shot = client.open_shot(SIZE, RAW)
            engine.accident("step", "work", **{"for": 8})
            assert len(pixels(shot.matte(numbers(0, 1), plate, mask()))) == 1
            engine.accident("step", "sleep", **{"for": 300})
            client.pump.ask(say.Frame(shot.session, 1, FIRST + 1), (plate(FIRST + 1)[0],), (plate(FIRST + 1)[1],))
            client.pump.poll(100)
            assert engine.process.wait(60) == ENDED_ITSELF
        assert "the device thread has not moved" in engine.said()
        engine.start()
        with engine.client() as client:
            assert client.reopen_shot(shot.session).next_seq in (0, 1)


# ------------------------------------------------------------------------------------------------------- clients


def test_clients_that_come_and_go_leave_nothing(engine: Engine, context: zmq.Context[Any]) -> None:
    """2,000 routes: 1,000 clients with two sockets each, one after another."""
    assert engine.process is not None
    process = psutil.Process(engine.process.pid)
    files = process.num_fds()
    for _ in range(1000):
        one = Sender(find_engine(engine.file), context)
        one.hello()
        one.close()
    works(engine)
    until(lambda: process.num_fds() < files + 50)
