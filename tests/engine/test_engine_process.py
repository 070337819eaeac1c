# SPDX-License-Identifier: Apache-2.0
"""A real engine process, real sockets, real kills: whatever happens, the alphas are the library's, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from engines import FIRST, FRAMES, RAW, SIZE, Engine, expected, mask, numbers, pixels, plate, raw, running, shown
from shots import make_shot, read_image

from matanyone_engine.client.client import ClientSession, EngineClient
from matanyone_engine.client.launcher import ensure_engine, find_engine
from matanyone_engine.client.pump import State
from matanyone_engine.engine.store import public_name
from matanyone_engine.media.mask_borders import Shortfall
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.codec import Packet, decode, encode
from matanyone_engine.wire.connection import write_connection
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.version import preamble


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with running(tmp_path, "--snapshot-every", "3", "--root", str(tmp_path)) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """For tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("engine")
    with running(folder, "--root", str(folder), "--message-limit", "2", "--lease", "2") as started:
        yield started


def follow(client: EngineClient, count: int = FRAMES) -> tuple[ClientSession, dict[int, bytes]]:
    shot = client.open_shot(SIZE, RAW)
    return shot, pixels(shot.matte(numbers(0, count), plate, mask()))


def first(count: int) -> dict[int, bytes]:
    return {frame: expected()[frame] for frame in numbers(0, count)}


def ask_frame(client: EngineClient, session: str, seq: int, frame: int | None = None) -> say.Message:
    declared, data = plate(FIRST + seq if frame is None else frame)
    return client.call(say.Frame(session, seq, FIRST + seq), (declared,), (data,))


def end_of_job(client: EngineClient) -> say.JobEnded:
    """Its progress is passed over."""
    while not isinstance(event := client.next_event(30), say.JobEnded):
        assert event is not None
    return event


def refusal(code: Code) -> pytest.RaisesExc[WireError]:
    return pytest.raises(WireError, check=lambda error: error.code is code)


# ------------------------------------------------------------------------------------------------- the same pixels


def test_library_engine_and_two_interleaved_clients_agree(shared: Engine) -> None:
    with shared.client() as one, shared.client() as two:
        shots = [one.open_shot(SIZE, RAW), two.open_shot(SIZE, RAW, priority="batch")]
        walks = [shot.matte(numbers(), plate, mask()) for shot in shots]
        alphas = [list(pair) for pair in zip(*walks, strict=True)]
        for each in zip(*alphas, strict=True):
            assert pixels(each) == expected()


def test_exr_in_exr_out_equals_a_job_on_the_same_files(shared: Engine) -> None:
    files = make_shot(shared.folder / "files", FIRST)
    plates = {frame: Path(files.plate.replace("####", str(frame))).read_bytes() for frame in numbers(0, 6)}

    from matanyone_engine.wire.arrays import describe_file

    options = say.Options(warm_up_passes=1)
    with shared.client() as client:
        shot = client.open_shot(SIZE, options)
        key = (describe_file("mask", files.mask.read_bytes()), files.mask.read_bytes())
        walk = shot.matte(numbers(0, 6), lambda frame: (describe_file("plate", plates[frame]), plates[frame]), key)
        for alpha in walk:
            (files.folder / f"engine.{alpha.frame}.exr").write_bytes(alpha.data)
        job = say.Job(
            "a" * 32, files.plate, str(files.mask), str(files.out / "alpha.####.exr"), model="toy", options=options
        )
        accepted = client.call(job)
        assert isinstance(accepted, say.Accepted)
        assert accepted.frames == 6
        ended = end_of_job(client)
        assert (ended.outcome, ended.written) == ("finished", 6)
    for frame in numbers(0, 6):
        of_engine = files.folder / f"engine.{frame}.exr"
        assert np.array_equal(read_image(of_engine), read_image(files.alpha(frame)))


# ---------------------------------------------------------------------------------------------- said again, wrongly


def test_a_repeated_request_is_answered_from_the_store(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 4)
        declared, data = plate(FIRST + 2)
        for _ in range(3):
            arrived = client.wait(client.pump.ask(say.Frame(shot.session, 2, FIRST + 2), (declared,), (data,)))
            assert bytes(arrived.data[0]) == expected()[FIRST + 2]
        assert bytes(shot.fetch(1).data) == expected()[FIRST + 1]
        assert pixels(shot.matte(numbers(4), plate, first_seq=4)) == {n: expected()[n] for n in numbers(4)}


def test_other_pixels_under_the_same_number_are_a_conflict(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 3)
        with refusal(Code.CONFLICT):
            ask_frame(client, shot.session, 2, frame=FIRST + 5)
        assert pixels(shot.matte(numbers(3), plate, first_seq=3)) == {n: expected()[n] for n in numbers(3)}


def test_a_skipped_frame_number_is_refused_and_the_expected_one_is_named(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 3)
        with refusal(Code.OUT_OF_ORDER) as caught:
            ask_frame(client, shot.session, 5)
        assert caught.value.expected_seq == 3
        with refusal(Code.OUT_OF_ORDER):
            shot.fetch(3)


def test_a_frame_before_the_first_key_is_refused(shared: Engine) -> None:
    with shared.client() as client:
        shot = client.open_shot(SIZE, RAW)
        with refusal(Code.OUT_OF_TURN):
            ask_frame(client, shot.session, 0)


def test_a_bad_frame_changes_nothing(shared: Engine) -> None:
    broken = shown()[3].copy()
    broken[5, 7] = np.nan
    with shared.client() as client:
        shot, _ = follow(client, 3)
        for wrong in (raw("plate", broken), raw("plate", shown()[3][:-1]), raw("plate", shown()[3][..., :2])):
            with refusal(Code.BAD_INPUT):
                client.wait(client.pump.ask(say.Frame(shot.session, 3, FIRST + 3), (wrong[0],), (wrong[1],)))
        assert pixels(shot.matte(numbers(3), plate, first_seq=3)) == {n: expected()[n] for n in numbers(3)}


def test_a_bad_mask_or_option_is_refused(shared: Engine) -> None:
    declared, data = plate(FIRST)
    with shared.client() as client:
        shot = client.open_shot(SIZE, RAW)
        for wrong in (np.zeros((*SIZE[::-1], 1)), np.ones((4, 4, 1)), np.full((*SIZE[::-1], 1), np.nan)):
            given = raw("mask", wrong)
            with refusal(Code.BAD_INPUT):
                client.wait(client.pump.ask(say.Key(shot.session, 0, FIRST), (declared, given[0]), (data, given[1])))
        for options in (
            say.Options(warm_up_passes=-1),
            say.Options(working_size=2),
            say.Options(reply="jpg"),
            say.Options(exposure=99.0),
        ):
            with refusal(Code.BAD_INPUT):
                client.open_shot(SIZE, options)
        with refusal(Code.BAD_INPUT):
            client.open_shot(SIZE, RAW, model="huge")
        with refusal(Code.NO_ROOM) as caught:
            client.open_shot((32768, 32768), RAW)
        assert "GB are free" in caught.value.message
        with refusal(Code.UNKNOWN_SESSION):
            client.reopen_shot("0" * 32)


def test_a_damaged_exr_is_refused_and_the_engine_goes_on(shared: Engine) -> None:
    from matanyone_engine.wire.arrays import describe_file

    with shared.client() as client:
        shot = client.open_shot(SIZE, RAW)
        given = mask()
        for data in (b"", b"v/1\x01" * 100, random.Random(3).randbytes(5000)):
            with refusal(Code.BAD_INPUT):
                client.wait(
                    client.pump.ask(
                        say.Key(shot.session, 0, FIRST), (describe_file("plate", data), given[0]), (data, given[1])
                    )
                )
        assert pixels(shot.matte(numbers(0, 2), plate, mask())) == first(2)


def test_black_plates_and_lost_subjects_are_pointed_out(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 1)
        declared, data = raw("plate", np.zeros((*SIZE[::-1], 3)))
        result = client.call(say.Frame(shot.session, 1, FIRST + 1), (declared,), (data,))
        assert isinstance(result, say.Result)
        assert "the plate is black" in result.warnings


def test_a_key_mask_that_ends_just_before_the_border_is_pointed_out(shared: Engine) -> None:
    short = np.zeros((*SIZE[::-1], 1), np.float32)
    short[20:-1, 20:44] = 1
    with shared.client() as client:
        shot = client.open_shot(SIZE, RAW)
        alphas = list(shot.matte(numbers(0, 2), plate, raw("mask", short)))
    assert alphas[0].warnings == (Shortfall("lower", 1).words,)
    assert not alphas[1].warnings


# ----------------------------------------------------------------------------------------------------- lost engines


@pytest.mark.parametrize("answered", [1, 2, 5, 8])
def test_kill_9_and_go_on(engine: Engine, answered: int) -> None:
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        walk = shot.matte(numbers(), plate, mask())
        alphas = [next(walk) for _ in range(answered)]
        engine.kill()
        engine.start()
        assert pixels([*alphas, *walk]) == expected()


def test_kill_9_again_and_again_at_any_moment(engine: Engine) -> None:
    """Also in the middle of writing a result or a snapshot."""
    chance = random.Random(7)
    done = threading.Event()

    def murder() -> None:
        for _ in range(5):
            time.sleep(chance.uniform(0.1, 0.6))
            if done.is_set():
                return
            engine.kill()
            engine.start()

    thread = threading.Thread(target=murder)
    with engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        thread.start()
        slow = (alpha for alpha in shot.matte(numbers(), plate, mask()) if time.sleep(0.2) is None)
        assert pixels(slow) == expected()
        done.set()
        thread.join()


def test_a_truncated_snapshot_is_passed_over(engine: Engine) -> None:
    with engine.client() as client:
        shot, before = follow(client, 8)
        folder = engine.state / public_name(shot.session)
        states = sorted(folder.glob("state-*"), key=lambda path: int(path.name[6:]))
        assert [path.name for path in states] == ["state-4", "state-7"]
        engine.kill()
        states[-1].write_bytes(states[-1].read_bytes()[:-7])
        engine.start()
        assert client.reopen_shot(shot.session).next_seq == 4
        engine.kill()
        states[0].write_bytes(b"")
        with (folder / "journal").open("ab") as journal:
            journal.write(b'[8,1009,"cut sho')
        engine.start()
        again = client.reopen_shot(shot.session)
        assert again.next_seq == 0
        alphas = list(again.matte(numbers(), plate, mask()))
        assert pixels(alphas) == expected()
        assert not any(alpha.warnings for alpha in alphas)
        assert before == first(8)


def test_an_orderly_end_keeps_every_frame(engine: Engine) -> None:
    with engine.client() as client:
        shot, _ = follow(client, 5)
        assert engine.stop() == 0
        assert not engine.file.exists()
        engine.start()
        again = client.reopen_shot(shot.session)
        assert again.next_seq == 5
        assert bytes(again.fetch(4).data) == expected()[FIRST + 4]
        assert pixels(again.matte(numbers(5), plate, first_seq=5)) == {n: expected()[n] for n in numbers(5)}


def test_a_disk_that_fails_costs_no_frame(engine: Engine) -> None:
    """The folder is gone where a full disk would refuse: the frame has not happened, and goes through later."""
    with engine.client() as client:
        shot, _ = follow(client, 4)
        folder = engine.state / public_name(shot.session)
        hidden = folder.rename(engine.folder / "elsewhere")
        with refusal(Code.OUTPUT):
            ask_frame(client, shot.session, 4)
        hidden.rename(folder)
        assert pixels(shot.matte(numbers(4), plate, first_seq=4)) == {n: expected()[n] for n in numbers(4)}


def test_a_disk_with_room_for_results_but_not_for_snapshots_is_gone_on_with(tmp_path: Path) -> None:
    result = SIZE[0] * SIZE[1] * 4
    with running(tmp_path, "--snapshot-every", "2", largest_file=result + 500) as engine, engine.client() as client:
        assert follow(client)[1] == expected()
        assert "No snapshot after seq" in engine.said()


def test_a_disk_without_room_for_a_result_answers_so(tmp_path: Path) -> None:
    with running(tmp_path, largest_file=SIZE[0] * SIZE[1] * 2) as engine, engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        for _ in range(2):
            with refusal(Code.OUTPUT):
                next(shot.matte(numbers(), plate, mask()))
        report = client.call(say.Status())
        assert isinstance(report, say.StatusReport)
        assert report.queued == 0


# ----------------------------------------------------------------------------------------------------- lost clients


def test_a_client_that_vanishes_frees_the_device_and_can_come_back(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 5)
    with shared.client() as watcher:
        deadline = time.monotonic() + 20
        while phase_of(watcher, shot.session) != "parked":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        with refusal(Code.SESSION_EXPIRED):
            Frames(watcher, shot.session).ask(5)
        again = watcher.reopen_shot(shot.session)
        assert again.next_seq == 5
        assert pixels(again.matte(numbers(5), plate, first_seq=5)) == {n: expected()[n] for n in numbers(5)}


class Frames:
    """Asks without owning."""

    def __init__(self, client: EngineClient, session: str) -> None:
        self.client, self.session = client, session

    def ask(self, seq: int) -> say.Message:
        return ask_frame(self.client, self.session, seq)


def phase_of(client: EngineClient, session: str) -> str:
    sessions = client.call(say.ListSessions())
    assert isinstance(sessions, say.Sessions)
    return next(one.phase for one in sessions.sessions if one.name == public_name(session))


def test_a_second_client_takes_the_session_over(shared: Engine) -> None:
    with shared.client() as one, shared.client() as two:
        shot, _ = follow(one, 3)
        with refusal(Code.NOT_ALLOWED):
            ask_frame(two, shot.session, 3)
        taken = two.reopen_shot(shot.session)
        with refusal(Code.NOT_ALLOWED):
            ask_frame(one, shot.session, 3)
        assert pixels(taken.matte(numbers(3), plate, first_seq=3)) == {n: expected()[n] for n in numbers(3)}


def test_a_client_that_does_not_read_delays_no_other_client(shared: Engine) -> None:
    deaf = Strangers(shared)
    deaf.hello()
    for number in range(200):
        deaf.say(say.Status(), number + 1)
    with shared.client() as client:
        assert follow(client)[1] == expected()
    deaf.close()


def test_a_closed_session_is_gone(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 2)
        folder = shared.state / public_name(shot.session)
        assert folder.is_dir()
        shot.close()
        shot.close()
        deadline = time.monotonic() + 20  # the pool removes it, beside everything else
        while folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with refusal(Code.UNKNOWN_SESSION):
            shot.fetch(0)


# ---------------------------------------------------------------------------------------------------------- cancel


def test_cancel_stops_within_a_pass_and_the_session_goes_on(shared: Engine) -> None:
    patient = say.Options(warm_up_passes=100, colorspace="sRGB", reply="f4")
    shared.accident("predict", "sleep", **{"for": 0.2})  # 20 s
    with shared.client() as client:
        shot = client.open_shot(SIZE, patient)
        declared, data = plate(FIRST)
        given = mask()
        request = client.pump.ask(say.Key(shot.session, 0, FIRST), (declared, given[0]), (data, given[1]))
        while not (client.pump.pong and client.pump.pong.activity == "seeding"):
            client.pump.poll(50)
        begun = time.monotonic()
        assert shot.cancel() == 0
        assert time.monotonic() - begun < 10
        with refusal(Code.CANCELLED):
            client.wait(request)
        report = client.call(say.Status())
        assert isinstance(report, say.StatusReport)
        assert report.activity == "idle"
        assert phase_of(client, shot.session) == "waiting"
        shot.close()
    shared.accident()


def test_cancel_keeps_what_is_finished(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 3)
        for seq in (3, 4, 5):
            declared, data = plate(FIRST + seq)
            client.pump.ask(say.Frame(shot.session, seq, FIRST + seq), (declared,), (data,))
        reached = shot.cancel()
        assert 3 <= reached <= 6
        rest = pixels(shot.matte(numbers(reached), plate, first_seq=reached))
        assert rest == {n: expected()[n] for n in numbers(reached)}


def test_a_job_is_cancelled_and_resumed(shared: Engine) -> None:
    files = make_shot(shared.folder / "cancelled", FIRST, 9)
    job = say.Job("b" * 32, files.plate, str(files.mask), str(files.out / "alpha.####.exr"), model="toy")
    with shared.client() as client:
        accepted = client.call(job)
        assert isinstance(accepted, say.Accepted)
        assert isinstance(client.next_event(30), say.Progress)
        client.call(say.Cancel(accepted.session))
        ended = end_of_job(client)
        assert ended.outcome in ("cancelled", "finished")
        assert len([name for name in files.written() if name.endswith(".exr")]) == ended.written
        assert client.call(job) == accepted  # the same nonce: not begun again, its end is told again
        assert client.next_event(5) == ended
        if ended.outcome == "cancelled":
            again = client.call(say.Job("c" * 32, job.plate, job.mask, job.out, model="toy", resume=True))
            assert isinstance(again, say.Accepted)
            finished = end_of_job(client)
            assert finished.written == 9 - ended.written


@pytest.mark.parametrize("field", ["plate", "mask", "out"])
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{root}/../secret.####.exr", "relative.####.exr", "{root}/link/x.####.exr"]
)
def test_a_job_sees_nothing_outside_the_roots(shared: Engine, field: str, path: str) -> None:
    files = make_shot(shared.folder / "inside", FIRST, 1)
    link = shared.folder / "link"
    if not link.exists():
        link.symlink_to("/etc")
    fields = {"plate": files.plate, "mask": str(files.mask), "out": str(files.out / "a.####.exr")}
    fields[field] = path.format(root=shared.folder)
    with shared.client() as client, refusal(Code.BAD_INPUT) as caught:
        client.call(say.Job(f"{abs(hash((field, path))):032x}"[-32:], model="toy", **fields))
    assert "roots" in caught.value.message


def test_a_plate_that_is_a_link_to_elsewhere_is_not_read(shared: Engine, tmp_path: Path) -> None:
    files = make_shot(shared.folder / "linked", FIRST, 2)
    inside = files.folder / f"plate.{FIRST + 1}.exr"
    inside.rename(tmp_path / "outside.exr")
    inside.symlink_to(tmp_path / "outside.exr")
    with shared.client() as client, refusal(Code.BAD_INPUT) as caught:
        client.call(say.Job("d" * 32, files.plate, str(files.mask), str(files.out / "a.####.exr"), model="toy"))
    assert "outside.exr" in caught.value.message


# ------------------------------------------------------------------------------------------------- the wire itself


class Strangers:
    """A socket without our client around it."""

    def __init__(self, engine: Engine, control: bool = True) -> None:
        connection = find_engine(engine.file)
        self.token = connection.token
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(connection.control if control else connection.data)

    def hello(self) -> None:
        self.say(say.Hello(self.token, "f" * 32), 0)

    def say(self, message: say.Message, number: int) -> None:
        self.socket.send_multipart([b"", *encode(Packet(number, message))])

    def send(self, *parts: bytes) -> None:
        self.socket.send_multipart(parts)

    def answer(self) -> say.Message:
        assert self.socket.poll(5000), "no answer"
        return decode(self.socket.recv_multipart()[1:]).message

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def stranger(shared: Engine) -> Iterator[Strangers]:
    someone = Strangers(shared)
    yield someone
    someone.close()


def fault_of(stranger: Strangers) -> str:
    answer = stranger.answer()
    assert isinstance(answer, say.Fault)
    return answer.code


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((b"", b"GET / HTTP/1.1"), Code.NOT_OURS),
        ((b"", b"MAE1\x09\x00", b"{}"), Code.VERSION),
        ((b"", preamble(), b"{"), Code.MALFORMED),
        ((b"", preamble(), b"{}", *[b""] * 7), Code.MALFORMED),
        ((b"", preamble(), b" " * 70_000), Code.TOO_LARGE),
        ((b"",), Code.MALFORMED),
        ((preamble(), b'{"type":"ping","id":3}'), Code.UNAUTHORISED),
        ((b"", preamble(), b'{"type":"ping","id":3}'), Code.UNAUTHORISED),
        ((b"", preamble(), b'{"type":"hello","id":3,"token":"guess","peer":"%s"}' % (b"e" * 32)), Code.UNAUTHORISED),
        ((b"", preamble(), b'{"type":"hello","id":3,"token":"\\ud800","peer":"%s"}' % (b"e" * 32)), Code.UNAUTHORISED),
    ],
)
def test_unknown_clients_and_malformed_messages_are_answered_and_change_nothing(
    stranger: Strangers, parts: tuple[bytes, ...], code: Code
) -> None:
    stranger.send(*parts)
    assert fault_of(stranger) == code.value
    stranger.hello()
    assert isinstance(stranger.answer(), say.Welcome)


def test_a_message_that_is_too_large_is_dropped_and_the_next_one_arrives(shared: Engine, stranger: Strangers) -> None:
    """The behaviour of ZeroMQ that makes the client check sizes itself."""
    stranger.hello()
    assert isinstance(stranger.answer(), say.Welcome)
    stranger.send(b"", preamble(), bytes(4 << 20))
    assert not stranger.socket.poll(500)
    stranger.hello()
    assert isinstance(stranger.answer(), say.Welcome)
    big = np.zeros((512, 512, 3), np.float32)
    with shared.client() as client:
        shot = client.open_shot((512, 512), RAW)
        declared, data = raw("plate", big)
        with refusal(Code.TOO_LARGE):
            client.wait(client.pump.ask(say.Frame(shot.session, 0, 1), (declared,), (data,)))


def test_a_wrong_checksum_is_refused(shared: Engine) -> None:
    with shared.client() as client:
        shot, _ = follow(client, 1)
        declared, data = plate(FIRST + 1)
        with refusal(Code.CHECKSUM):
            client.wait(client.pump.ask(say.Frame(shot.session, 1, FIRST + 1), (declared,), (data[::-1],)))
        assert pixels(shot.matte(numbers(1, 3), plate, first_seq=1)) == {n: expected()[n] for n in numbers(1, 3)}


# ------------------------------------------------------------------------------------------------ finding an engine


def test_an_unreachable_engine_is_distinguished_from_a_busy_one(engine: Engine) -> None:
    with engine.client(timeout_s=1.0) as client:
        client.call(say.Status())
        assert engine.process is not None
        engine.process.send_signal(signal.SIGSTOP)
        with refusal(Code.UNREACHABLE):
            client.call(say.Status())
        assert client.pump.state is State.UNREACHABLE
        engine.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while client.pump.state is not State.READY:
            assert time.monotonic() < deadline
            client.pump.poll(50)


def test_a_stale_connection_file_is_ignored(engine: Engine) -> None:
    real = find_engine(engine.file)
    command = ["false"]
    assert ensure_engine(engine.file, command).epoch == real.epoch  # it lives: nothing is started
    engine.kill()
    assert engine.file.exists()
    with pytest.raises(WireError, match="exit code 1"):
        ensure_engine(engine.file, command)


def test_an_engine_that_a_host_starts_has_a_lower_priority(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "matanyone_engine", "serve", "--device", "cpu", "--state", str(tmp_path / "state")]
    started = ensure_engine(tmp_path / "engine.json", command)
    try:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in threads(started.pid)} == {min(19, ours + 5)}
    finally:
        os.kill(started.pid, signal.SIGTERM)


def threads(pid: int) -> list[int]:
    """Where each can be told (Linux), else the process."""
    tasks = Path(f"/proc/{pid}/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.exists() else [pid]


def test_a_connection_file_that_leads_to_another_engine_is_ignored(engine: Engine) -> None:
    import dataclasses

    real = find_engine(engine.file)
    stale = engine.folder / "stale" / "engine.json"
    write_connection(stale, dataclasses.replace(real, epoch="another"))
    with pytest.raises(WireError, match="exit code 1"):
        ensure_engine(stale, ["false"])


def test_a_port_in_use_is_said(engine: Engine, tmp_path: Path) -> None:
    taken = find_engine(engine.file).data
    other = Engine(tmp_path / "other", ("--data", taken))
    other.folder.mkdir()
    with pytest.raises(AssertionError, match="uses this port"):
        other.start()
