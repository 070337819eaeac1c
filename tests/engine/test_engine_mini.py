# SPDX-License-Identifier: Apache-2.0
"""The bundled model on a real engine: every way to an alpha gives the same bits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from engines import FIRST, SIZE, Engine, running
from lossy import LossyWire
from shots import Shot, make_shot, read_image

from matanyone_engine.cli.main import main
from matanyone_engine.client.client import ClientSession, EngineClient, ReceivedAlpha
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload, describe_file
from matanyone_engine.wire.codec import Packet

FRAMES = tuple(range(FIRST, FIRST + 6))
OPTIONS = say.Options(warm_up_passes=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("mini")
    with running(folder, "--root", str(folder), "--snapshot-every", "2", model="mini") as started:
        yield started


@pytest.fixture(scope="module")
def shot(engine: Engine) -> Shot:
    return make_shot(engine.folder / "shot", FIRST)


@pytest.fixture(scope="module")
def truth(shot: Shot) -> dict[int, np.ndarray]:
    """What the library answers, (H, W) as half floats."""
    job = MatteJob(
        shot.plate, str(shot.mask), str(shot.folder / "library" / "alpha.####.exr"), warm_up_passes=1, accept_doubt=True
    )
    done = run_matte(plan_matte(job), *load_vetted("mini", "cpu"))
    return {event.frame: event.alpha.astype(np.float16) for event in done if isinstance(event, FrameDone)}


@pytest.fixture
def same(truth: dict[int, np.ndarray], tmp_path: Path) -> Callable[[dict[int, Path | bytes]], bool]:
    """Whether EXR files, or their bytes, hold exactly the true alphas."""

    def compare(found: dict[int, Path | bytes]) -> bool:
        for frame, file in found.items():
            path = file if isinstance(file, Path) else tmp_path / "came.exr"
            if isinstance(file, bytes):
                path.write_bytes(file)
            if not np.array_equal(read_image(path)[..., 0].astype(np.float16), truth[frame]):
                return False
        return sorted(found) == list(truth)

    return compare


Same = Callable[[dict[int, "Path | bytes"]], bool]


def sent(path: Path, name: str) -> tuple[Payload, bytes]:
    data = path.read_bytes()
    return describe_file(name, data), data


def walk(shot: Shot, session: ClientSession) -> Iterator[ReceivedAlpha]:
    """The shot's own EXR files through the engine."""
    plates = Path(shot.plate)
    return session.matte(
        FRAMES, lambda frame: sent(plates.with_name(f"plate.{frame}.exr"), "plate"), sent(shot.mask, "mask")
    )


def files(alphas: list[ReceivedAlpha]) -> dict[int, Path | bytes]:
    assert len({alpha.frame for alpha in alphas}) == len(alphas)
    return {alpha.frame: bytes(alpha.data) for alpha in alphas}


def test_library_and_command_line_and_command_line_through_the_engine(engine: Engine, shot: Shot, same: Same) -> None:
    for folder, options in (("cli", ("--device", "cpu")), ("remote", ("--endpoint", str(engine.file)))):
        out = shot.folder / folder
        assert main(shot.arguments("--model", "mini", "--out", str(out / "alpha.####.exr"), *options)) == 0
        assert same({frame: out / f"alpha.{frame}.exr" for frame in FRAMES})


def test_two_clients_interleaved(engine: Engine, shot: Shot, same: Same) -> None:
    with engine.client() as one, engine.client() as two:
        walks = [walk(shot, client.open_shot(SIZE, OPTIONS)) for client in (one, two)]
        for alphas in zip(*zip(*walks, strict=True), strict=True):
            assert same(files(list(alphas)))


def test_kill_9_and_resume(engine: Engine, shot: Shot, same: Same) -> None:
    with engine.client() as client:
        frames = walk(shot, client.open_shot(SIZE, OPTIONS))
        alphas = [next(frames) for _ in range(4)]
        engine.kill()
        engine.start()
        assert same(files([*alphas, *frames]))


def test_a_cancel_of_the_warm_up_and_repeated_requests_in_any_order(engine: Engine, shot: Shot, same: Same) -> None:
    chance = random.Random(3)
    plates = Path(shot.plate)

    def ask(client: EngineClient, session: str, seq: int) -> int:
        plate = sent(plates.with_name(f"plate.{FIRST + seq}.exr"), "plate")
        if seq:
            return client.pump.ask(say.Frame(session, seq, FIRST + seq), plate[:1], plate[1:])
        mask = sent(shot.mask, "mask")
        return client.pump.ask(say.Key(session, 0, FIRST), (plate[0], mask[0]), (plate[1], mask[1]))

    with engine.client() as client:
        session = client.open_shot(SIZE, OPTIONS)
        engine.accident("predict", "sleep", **{"for": 0.2})
        ask(client, session.session, 0)
        client.next_event(0.2)
        reached = session.cancel()
        engine.accident()
        assert reached in (0, 1)
        found: dict[int, Path | bytes] = {}
        for next_seq in range(len(FRAMES)):
            for seq in [next_seq, *(chance.randrange(next_seq + 1) for _ in range(2))]:
                data = bytes(client.wait(ask(client, session.session, seq)).data[0])
                assert found.setdefault(FIRST + seq, data) == data
        assert same(found)


def test_lost_and_doubled_messages(engine: Engine, shot: Shot, same: Same, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.client.pump.RESEND_S", 0.5)
    chance = random.Random(2)

    def fate(_packet: Packet) -> list[float]:
        return chance.choice([[], [0.0, 0.0], [0.2], [0.0], [0.0], [0.0]])

    with LossyWire(find_engine(engine.file), fate) as wire, EngineClient(lambda: wire.connection) as client:
        assert same(files(list(walk(shot, client.open_shot(SIZE, OPTIONS)))))
