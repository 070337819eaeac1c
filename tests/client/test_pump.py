# SPDX-License-Identifier: Apache-2.0
"""The client against an engine that plays a part: silence, repetition, lateness, nonsense."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from matanyone_engine.client import pump as pump_module
from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.pump import EnginePump, State
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw
from matanyone_engine.wire.codec import Packet, decode, encode
from matanyone_engine.wire.connection import Connection
from matanyone_engine.wire.conversation import Channel
from matanyone_engine.wire.errors import Code, WireError

WELCOME = say.Welcome("epoch", "0", ("toy",), "cpu", 1 << 20, 30.0)
ALPHA = describe_raw("alpha", b"\x01", "u1", (1, 1, 1))


class ScriptedEngine:
    """Answers a hello and a ping; `play` decides about everything else: request -> answers."""

    def __init__(self, play: Callable[[Packet], list[Packet]], pong: say.Pong | None = None) -> None:
        self.play = play
        self.pong = pong or say.Pong("epoch", "idle", 0.0)
        self.heard: list[Packet] = []
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets = [self._context.socket(zmq.ROUTER) for _ in range(2)]
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in self._sockets]
        data, control = (f"tcp://127.0.0.1:{port}" for port in ports)
        self.connection = Connection(data, control, "t", "epoch", 1, "0")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            for socket in self._sockets:
                if socket.poll(10):
                    identity, _, *parts = socket.recv_multipart()
                    for answer in self._answers(decode(parts)):
                        socket.send_multipart([identity, b"", *encode(answer)])

    def _answers(self, packet: Packet) -> list[Packet]:
        if isinstance(packet.message, say.Hello):
            return [Packet(0, WELCOME)]
        if isinstance(packet.message, say.Ping):
            return [Packet(0, self.pong)]
        self.heard.append(packet)
        return self.play(packet)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.fixture
def engine() -> Iterator[Callable[..., ScriptedEngine]]:
    made: list[ScriptedEngine] = []

    def make(*arguments: Any) -> ScriptedEngine:
        made.append(ScriptedEngine(*arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def closed(packet: Packet) -> list[Packet]:
    return [Packet(packet.id, say.Closed("s"))]


def test_a_lost_reply_is_asked_for_again(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "RESEND_S", 0.2)
    answers = iter([[], [], [Packet(1, say.Closed("s"))]])
    scripted = engine(lambda _packet: next(answers))
    with EngineClient(lambda: scripted.connection) as client:
        assert client.call(say.Close("s")) == say.Closed("s")
    assert [packet.id for packet in scripted.heard] == [1, 1, 1]


class DeafOnce(ScriptedEngine):
    """Loses the first hello of one channel, and answers everything on the other."""

    def __init__(self, deaf: int) -> None:
        self.deaf = deaf
        super().__init__(closed)

    def _run(self) -> None:
        while not self._over.is_set():
            for number, socket in enumerate(self._sockets):
                if socket.poll(10):
                    identity, _, *parts = socket.recv_multipart()
                    if number == self.deaf:
                        self.deaf = -1
                        continue
                    for answer in self._answers(decode(parts)):
                        socket.send_multipart([identity, b"", *encode(answer)])


@pytest.mark.parametrize("deaf", [0, 1])
def test_a_hello_that_one_channel_lost_is_sent_again(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pings of the other channel are answered, so the engine never falls silent: the client waited for ever."""
    monkeypatch.setattr(pump_module, "PING_S", 0.1)
    engine = DeafOnce(deaf)
    try:
        with EngineClient(lambda: engine.connection, timeout_s=10.0) as client:
            assert client.call(say.Close("s")) == say.Closed("s")
    finally:
        engine.close()


class NewRun(ScriptedEngine):
    """Refuses every token but its own, as an engine does that was started anew behind the port of the last one."""

    def _answers(self, packet: Packet) -> list[Packet]:
        if isinstance(packet.message, say.Hello) and packet.message.token != self.connection.token:
            return [Packet(0, say.Fault(Code.UNAUTHORISED.value, "another token", "Read the file again.", False))]
        return super()._answers(packet)


def test_a_token_of_the_last_run_is_looked_up_again() -> None:
    scripted = NewRun(closed)
    stale = dataclasses.replace(scripted.connection, token="of the last run")
    found = iter([stale])
    try:
        with EngineClient(lambda: next(found, scripted.connection)) as client:
            assert client.call(say.Close("s")) == say.Closed("s")
        with EngineClient(lambda: stale) as client, pytest.raises(WireError, match="another token"):
            client.call(say.Close("s"))
    finally:
        scripted.close()


def test_a_second_or_late_answer_is_dropped(engine: Any) -> None:
    scripted = engine(lambda packet: closed(packet) * 3)
    with EngineClient(lambda: scripted.connection) as client:
        for _ in range(3):
            assert client.call(say.Close("s")) == say.Closed("s")
        assert not client.events


def test_a_late_fault_fails_nothing_while_the_two_meet_again(engine: Any) -> None:
    scripted = engine(lambda _packet: [])
    pump = EnginePump(lambda: scripted.connection, "test")
    try:
        wanted, gone = pump.ask(say.Close("s")), pump.ask(say.Close("t"))
        pump.give_up(gone)
        refusal = say.Fault(Code.OUT_OF_ORDER.value, "late", "", True)
        assert pump._received(Channel.DATA, Packet(gone, refusal)) == []
        assert [each.request for each in pump._received(Channel.DATA, Packet(0, refusal))] == [wanted]
    finally:
        pump.close()


def test_an_answer_that_does_not_fit_its_request_is_a_fault(engine: Any) -> None:
    scripted = engine(lambda packet: [Packet(packet.id, say.Goodbye())])
    with EngineClient(lambda: scripted.connection) as client, pytest.raises(WireError, match="goodbye"):
        client.call(say.Close("s"))


def test_a_damaged_alpha_is_asked_for_again(engine: Any) -> None:
    def play(packet: Packet) -> list[Packet]:
        data = b"\x02" if len(scripted.heard) == 1 else b"\x01"
        return [Packet(packet.id, say.Result("s", 0, 1), (ALPHA,), (data,))]

    scripted = engine(play)
    with EngineClient(lambda: scripted.connection) as client:
        arrived = client.wait(client.pump.ask(say.Fetch("s", 0)))
        assert bytes(arrived.data[0]) == b"\x01"


@pytest.mark.parametrize(
    ("activity", "age", "state"),
    [
        ("idle", 1000.0, State.READY),
        ("stepping", 1.0, State.BUSY),
        ("loading", 200.0, State.BUSY),
        ("seeding", 100.0, State.BUSY),
        ("stepping", 61.0, State.STALLED),
        ("loading", 301.0, State.STALLED),
    ],
)
def test_a_busy_engine_is_distinguished_from_a_stalled_one(
    engine: Any, activity: str, age: float, state: State
) -> None:
    scripted = engine(lambda _packet: [], say.Pong("epoch", activity, age))
    pump = EnginePump(lambda: scripted.connection)
    for _ in range(100):
        pump.poll(20)
        if pump.pong is not None:
            break
    assert pump.state is state
    pump.close()


def test_a_stalled_engine_is_reported_as_stalled(engine: Any) -> None:
    scripted = engine(lambda _packet: [], say.Pong("epoch", "stepping", 100.0))
    with EngineClient(lambda: scripted.connection) as client, pytest.raises(WireError) as caught:
        client.call(say.Close("s"))
    assert caught.value.code is Code.STALLED


def test_a_fault_keeps_its_three_parts_and_a_newer_code_is_survived(engine: Any) -> None:
    scripted = engine(
        lambda packet: [Packet(packet.id, say.Fault("moonlight", "too bright", "Close the curtains.", False))]
    )
    with EngineClient(lambda: scripted.connection) as client, pytest.raises(WireError) as caught:
        client.call(say.Close("s"))
    assert (caught.value.code, caught.value.message, caught.value.action) == (
        Code.INTERNAL, "too bright", "Close the curtains.",
    )  # fmt: skip


def test_polling_never_waits(engine: Any) -> None:
    """A UI timer calls it; nobody is there to answer."""
    nobody = Connection("tcp://127.0.0.1:9", "tcp://127.0.0.1:9", "t", "epoch", 1, "0")
    now = [0.0]
    pump = EnginePump(lambda: nobody, clock=lambda: now[0])
    pump.ask(say.Close("s"))
    assert pump.state is State.CONNECTING
    for _ in range(20):
        now[0] += 1.0
        assert pump.poll() == []
    assert pump.state is State.UNREACHABLE
    pump.close()


def test_an_engine_of_another_version_is_reported_as_such(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, scripted = encode, engine(closed)
    monkeypatch.setattr(sys.modules[__name__], "encode", lambda packet: [b"MAE1\x09\x00", *ours(packet)[1:]])
    with EngineClient(lambda: scripted.connection, timeout_s=20) as client, pytest.raises(WireError) as caught:
        client.call(say.Close("s"))
    assert caught.value.code is Code.VERSION
    assert "9.0" in caught.value.message


def test_a_waiting_client_may_give_up(engine: Any) -> None:
    """A host that is left, an artist who cancels: nobody waits for an engine that does not answer."""

    def leave() -> None:
        raise KeyboardInterrupt

    scripted = engine(lambda _packet: [])
    with (
        EngineClient(lambda: scripted.connection, while_waiting=leave) as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.call(say.Close("s"))
