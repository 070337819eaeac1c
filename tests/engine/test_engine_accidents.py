# SPDX-License-Identifier: Apache-2.0
"""A real engine behind a bad cable, killed at exact moments, slow, out of memory: no frame is lost, none is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from engines import FIRST, FRAMES, RAW, SIZE, Engine, expected, mask, numbers, pixels, plate, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossy import Fate, LossyWire

from matanyone_engine.client import pump as pump_module
from matanyone_engine.client.client import ClientSession, EngineClient
from matanyone_engine.client.launcher import ensure_engine, find_engine
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.codec import Packet, decode, encode
from matanyone_engine.wire.connection import write_connection
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.version import preamble


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One for all; tests that kill it start it again."""
    folder = tmp_path_factory.mktemp("engine")
    with running(folder, "--root", str(folder), "--snapshot-every", "3", "--lease", "2") as started:
        yield started


@pytest.fixture(autouse=True)
def _as_it_was(engine: Engine) -> Iterator[None]:
    yield
    engine.accident()


def refusal(code: Code) -> pytest.RaisesExc[WireError]:
    return pytest.raises(WireError, check=lambda error: error.code is code)


def report(client: EngineClient) -> say.StatusReport:
    told = client.call(say.Status())
    assert isinstance(told, say.StatusReport)
    return told


def send(client: EngineClient, session: str, seq: int) -> int:
    """Ask without waiting; the number of the request."""
    declared, data = plate(FIRST + seq)
    if seq:
        return client.pump.ask(say.Frame(session, seq, FIRST + seq), (declared,), (data,))
    given = mask()
    return client.pump.ask(say.Key(session, 0, FIRST), (declared, given[0]), (data, given[1]))


def wait_for(client: EngineClient, activity: str) -> None:
    deadline = time.monotonic() + 10
    while not (client.pump.pong and client.pump.pong.activity == activity):
        assert time.monotonic() < deadline
        client.next_event(0.02)


def rest(shot: ClientSession, seq: int) -> dict[int, bytes]:
    """Everything from here on."""
    return pixels(shot.matte(numbers(seq), plate, None if seq else mask(), first_seq=seq))


def right(seq: int = 0) -> dict[int, bytes]:
    return {frame: expected()[frame] for frame in numbers(seq)}


# ------------------------------------------------------------------------------------------------------- the cable


def first_time(kind: type[say.Message], delays: list[float], seq: int | None = None) -> Fate:
    """The first message of a kind fares so, everything else well."""
    met: list[Packet] = []

    def fate(packet: Packet) -> list[float]:
        if met or not isinstance(packet.message, kind) or getattr(packet.message, "seq", None) != seq:
            return [0.0]
        met.append(packet)
        return delays

    return fate


CABLES: dict[str, Fate] = {
    "lost open": first_time(say.Open, []),
    "lost opened": first_time(say.Opened, []),
    "lost key": first_time(say.Key, [], 0),
    "lost frame": first_time(say.Frame, [], 3),
    "lost result": first_time(say.Result, [], 3),
    "late result": first_time(say.Result, [0.9], 3),
    "reordered frames": first_time(say.Frame, [0.2], 3),
    "reordered results": first_time(say.Result, [0.2], 3),
    "everything twice": lambda packet: [0.0, 0.05],
}


@pytest.mark.parametrize("fate", CABLES.values(), ids=CABLES)
def test_results_are_the_same_with_every_fault_of_the_connection(
    engine: Engine, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "RESEND_S", 0.5)
    with engine.client() as watcher, LossyWire(find_engine(engine.file), fate) as wire:
        before = report(watcher).frames
        with EngineClient(lambda: wire.connection, "test") as client:
            shot = client.open_shot(SIZE, RAW)
            assert rest(shot, 0) == right()
            shot.close()
        assert report(watcher).frames == before + FRAMES, "a message more or less never steps a frame twice"


def test_results_are_the_same_with_all_faults_of_the_connection_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "RESEND_S", 0.3)
    chance = random.Random(5)

    def fate(packet: Packet) -> list[float]:
        return chance.choice([[], [0.0, 0.0], [0.3], [0.0], [0.0], [0.0], [0.0]])

    with LossyWire(find_engine(engine.file), fate) as wire, EngineClient(lambda: wire.connection, "test") as client:
        assert rest(client.open_shot(SIZE, RAW), 0) == right()


def test_repeated_requests_in_any_order(engine: Engine) -> None:
    chance = random.Random(11)
    with engine.client() as client:
        before = report(client).frames
        shot = client.open_shot(SIZE, RAW)
        for next_seq in range(FRAMES):
            for seq in [next_seq, *(chance.randrange(next_seq + 1) for _ in range(3))]:
                arrived = client.wait(send(client, shot.session, seq))
                assert bytes(arrived.data[0]) == expected()[FIRST + seq]
        assert report(client).frames == before + FRAMES


# --------------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize(
    ("moment", "seq", "resumes_at"),
    [("before-store", 4, 4), ("after-store", 4, 4), ("in-snapshot", 7, 4), ("in-snapshot", 1, 0)],
)
def test_killed_at_the_worst_moment(engine: Engine, moment: str, seq: int, resumes_at: int) -> None:
    assert engine.process is not None
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        engine.accident(moment, "die", seq=seq)
        again = threading.Thread(target=lambda: (engine.process.wait(20), engine.start()))  # type: ignore[union-attr]
        again.start()
        alphas = list(shot.matte(numbers(), plate, mask()))
        again.join()
        assert shot.next_seq == resumes_at
        assert pixels(alphas) == expected()
        assert not any("differs" in warning for alpha in alphas for warning in alpha.warnings)


def test_a_client_that_vanishes_with_frames_under_way(engine: Engine) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        engine.accident("step", "sleep", **{"for": 0.2})
        for seq in range(3):
            send(client, shot.session, seq)
        while not report(client).queued:
            time.sleep(0.01)
    engine.accident()
    with engine.client() as client:
        again = client.reopen_shot(shot.session)
        assert 0 <= again.next_seq <= 3
        assert rest(again, again.next_seq) == right(again.next_seq)


# --------------------------------------------------------------------------------------- slow, and out of memory


def test_out_of_memory_at_the_key_and_at_a_frame(engine: Engine) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        for seq in range(3):
            engine.accident("predict", "no-room")
            with refusal(Code.OUT_OF_MEMORY) as caught:
                client.wait(send(client, shot.session, seq))
            assert caught.value.retryable
            engine.accident()
            assert bytes(client.wait(send(client, shot.session, seq)).data[0]) == expected()[FIRST + seq]


@pytest.mark.parametrize("stage", ["decode", "predict", "step", "before-store", "after-store"])
@pytest.mark.parametrize("at", [0, 2], ids=["key", "frame"])
def test_cancel_at_each_stage(engine: Engine, stage: str, at: int) -> None:
    """The step counter stops within a frame, what is finished stays, and the session goes on."""
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        for seq in range(at):
            client.wait(send(client, shot.session, seq))
        engine.accident(stage, "sleep", **{"for": 0.25})
        asked = [send(client, shot.session, seq) for seq in range(at, at + 3)]
        time.sleep(0.1)
        before = report(client).frames
        begun = time.monotonic()
        reached = shot.cancel()
        assert time.monotonic() - begun < 10
        stopped = report(client).frames
        assert stopped - before <= 1
        time.sleep(0.4)
        assert report(client).frames == stopped
        assert report(client).queued == 0
        engine.accident()
        outcomes = [_outcome(client, request) for request in asked]
        assert outcomes == ["result"] * (reached - at) + ["cancelled"] * (at + 3 - reached)
        if reached:
            assert bytes(shot.fetch(reached - 1).data) == expected()[FIRST + reached - 1]
        assert rest(shot, reached) == right(reached)


def _outcome(client: EngineClient, request: int) -> str:
    try:
        client.wait(request)
    except WireError as error:
        return error.code.value
    return "result"


def test_cancel_while_the_weights_are_loaded(engine: Engine) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        client.wait(send(client, shot.session, 0))
        client.wait(send(client, shot.session, 1))
        engine.stop()
        engine.start()
        engine.accident("load", "sleep", **{"for": 1.5})  # longer than from ping to ping
        coming = client.pump.ask(say.Reopen(shot.session))
        wait_for(client, "loading")
        assert shot.cancel() == 2
        assert isinstance(client.wait(coming).message, say.Opened)
        assert rest(shot, 2) == right(2)


def test_an_end_while_the_weights_are_loaded_and_frames_come(engine: Engine) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        walk = shot.matte(numbers(), plate, mask())
        alphas = [next(walk)]
        engine.accident("step", "sleep", **{"for": 0.2})
        send(client, shot.session, 4)
        assert engine.stop() == 0, engine.said()
        engine.start()
        engine.accident("load", "sleep", **{"for": 1.5})  # longer than from ping to ping
        client.pump.ask(say.Reopen(shot.session))
        wait_for(client, "loading")
        assert engine.stop() == 0, engine.said()
        engine.start()
        assert pixels([*alphas, *walk]) == expected()
        assert "Traceback" not in engine.said()


# ------------------------------------------------------------------------------------------------------ identities


def test_two_clients_with_the_same_identity_disturb_no_other_client(engine: Engine) -> None:
    """ZeroMQ passes the second one over in silence; ours draw theirs anew, so only strangers meet this."""
    connection = find_engine(engine.file)
    with zmq.Context() as context:
        sockets = []
        for _ in range(2):
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.IDENTITY, b"twin")
            socket.connect(connection.control)
            sockets.append(socket)
            time.sleep(0.2)
        for socket in sockets:
            for message in (say.Hello(connection.token, "a" * 32), say.Ping()):
                socket.send_multipart([b"", *encode(Packet(1, message))])
        assert sockets[0].poll(3000)
        assert isinstance(decode(sockets[0].recv_multipart()[1:]).message, say.Welcome)
        assert not sockets[1].poll(300)
        with engine.client() as client:
            assert rest(client.open_shot(SIZE, RAW), 0) == right()
        for socket in sockets:
            socket.close()


def test_a_client_that_reads_pixels_slowly_delays_no_other_client(engine: Engine) -> None:
    with engine.client() as slow, engine.client() as quick:
        shot = slow.open_shot(SIZE, RAW)
        waiting = [send(slow, shot.session, seq) for seq in range(3)]
        for _ in range(200):
            waiting.append(slow.pump.ask(say.Fetch(shot.session, 0)))
        begun = time.monotonic()
        assert rest(quick.open_shot(SIZE, RAW), 0) == right()
        assert time.monotonic() - begun < 10
        assert bytes(slow.wait(waiting[2]).data[0]) == expected()[FIRST + 2]


def test_a_stale_file_whose_process_number_is_taken_again(engine: Engine, tmp_path: Path) -> None:
    """Nothing is believed but the engine's own answer."""
    stale = tmp_path / "run" / "engine.json"
    gone = "tcp://127.0.0.1:9"
    write_connection(stale, dataclasses.replace(find_engine(engine.file), pid=os.getpid(), data=gone, control=gone))
    with pytest.raises(WireError, match="exit code 1"):
        ensure_engine(stale, ["false"])


# ------------------------------------------------------------------------------------------------ numbers, nonsense


def test_negative_frames_backwards_keep_their_numbers(engine: Engine) -> None:
    frames = [2, 1, 0, -1, -2]
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        alphas = list(shot.matte(frames, lambda frame: plate(FIRST + 2 - frame), mask()))
        assert [alpha.frame for alpha in alphas] == frames
        assert [bytes(alpha.data) for alpha in alphas] == [expected()[FIRST + n] for n in range(5)]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((b"", b"MAE1\x00\x07", b"{}"), Code.VERSION),
        ((b"", b"MAE2\x01\x00", b"{}"), Code.NOT_OURS),
        ((b"", preamble(), b'{"type":"ping","id":1}', b"unasked"), Code.MALFORMED),
        ((b"", b"MAE1\x01\xff", b'{"type":"ping","id":1,"colour":"teal"}'), Code.UNAUTHORISED),
        ((b"", preamble(), b'{"type":"ping","id":1,"colour":"teal"}'), Code.MALFORMED),
    ],
)
def test_older_newer_and_unequal(engine: Engine, parts: tuple[bytes, ...], code: Code) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(find_engine(engine.file).control)
        socket.send_multipart(parts)
        assert socket.poll(5000)
        answer = decode(socket.recv_multipart()[1:]).message
        assert isinstance(answer, say.Fault)
        assert answer.code == code.value


class Listener:
    """Sends anything to both sockets of an engine; hears what comes back."""

    def __init__(self, engine: Engine) -> None:
        connection = find_engine(engine.file)
        self.context = zmq.Context()
        self.sockets = [self.context.socket(zmq.DEALER) for _ in range(2)]
        for socket, endpoint in zip(self.sockets, (connection.control, connection.data), strict=True):
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(endpoint)
            socket.send_multipart([b"", *encode(Packet(1, say.Hello(connection.token, "b" * 32)))])
            assert socket.poll(5000)
            socket.recv_multipart()

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture(scope="module")
def listener(engine: Engine) -> Iterator[Listener]:
    made = Listener(engine)
    yield made
    made.close()


FIELDS = sorted({item.name for kind in say.MESSAGES.values() for item in dataclasses.fields(kind)} | {"payloads"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("0" * 32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)
QUIET = sorted(set(say.MESSAGES) - {"shutdown"})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(QUIET), HEADERS, st.lists(st.binary(max_size=16), max_size=3), st.integers(0, 1))
def test_any_header_to_a_real_engine_is_answered(
    listener: Listener, name: str, fields: dict[str, object], payloads: list[bytes], which: int
) -> None:
    socket = listener.sockets[which]
    header = json.dumps({**fields, "type": name, "id": 7}).encode()
    socket.send_multipart([b"", preamble(), header, *payloads])
    assert socket.poll(5000), "no answer"
    answer = decode(socket.recv_multipart()[1:])
    assert isinstance(answer.message, (say.Fault, say.Welcome, say.Pong, say.StatusReport, say.Sessions, say.Opened,
                                       say.Closed, say.Cancelled, say.Accepted))  # fmt: skip
    if isinstance(answer.message, say.Fault):
        assert answer.message.code != Code.INTERNAL.value, answer.message


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=7))
def test_any_bytes_to_a_real_engine_are_answered(listener: Listener, parts: list[bytes]) -> None:
    listener.sockets[0].send_multipart([b"", *parts])
    assert listener.sockets[0].poll(5000), "no answer"
    answer = decode(listener.sockets[0].recv_multipart()[1:])
    assert isinstance(answer.message, say.Fault)
    assert answer.message.code != Code.INTERNAL.value


def test_none_of_these_tests_caused_an_exception_in_the_engine(engine: Engine) -> None:
    with engine.client() as client:
        assert rest(client.open_shot(SIZE, RAW), 0) == right()
    assert "A defect of the engine" not in engine.said()
    assert "Traceback" not in engine.said()
