# SPDX-License-Identifier: Apache-2.0
"""Regions, refinement and held frames through a real engine: what the library answers, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engines import FIRST, RAW, SIZE, Engine, mask, raw, running, shown, toy_weights
from shots import make_shot, read_image
from toy import TOY, disc, toy_network

from matanyone_engine.cli.main import main
from matanyone_engine.engine.admission import ahead_bytes, session_bytes, shot_bytes
from matanyone_engine.matting.confidence import confidence
from matanyone_engine.matting.options import keywords
from matanyone_engine.matting.region import Region
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import Shot, Subject
from matanyone_engine.model.dims import MINI
from matanyone_engine.model.registry import load_network
from matanyone_engine.sizes import Resolution
from matanyone_engine.wire.errors import WireError
from matanyone_engine.wire.messages import Options

SHOT = (0, 1, 1, 2, 2, 2, 3)
"""Which of the toy plates each frame shows."""
CHOICES = [
    replace(RAW, working_size=32),
    replace(RAW, region="1001:16,0,32,48 1002:16,0,32,48 1005:48,0,64,48"),
    replace(RAW, region="follow", hold_tolerance=0.02),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder, "--root", str(folder), "--snapshot-every", "2") as started:
        yield started


def answers(engine: Engine, options: Options) -> tuple[list[np.ndarray], list[bool], list[object], list[float]]:
    """What the library says: alphas, whether held, regions, confidences."""
    session = MattingSession(load_network(toy_weights(engine.folder), "cpu"), **keywords(options))
    alphas, held, regions, sure = [], [], [], []
    for number, which in enumerate(SHOT):
        planes, frame = torch.from_numpy(shown()[which].transpose(2, 0, 1)), FIRST + number
        seeds = number == 0
        alpha = session.seed(planes, disc(*planes.shape[1:]), frame=frame) if seeds else None
        alphas.append((session.advance(planes, frame=frame) if alpha is None else alpha).numpy())
        held.append(session.report.held)
        regions.append(session.report.region)
        assert session.report.signals is not None
        sure.append(confidence(session.report.signals).value)
    return alphas, held, regions, sure


@pytest.mark.parametrize("options", CHOICES)
def test_a_session_answers_as_the_library_and_says_what_it_did(engine: Engine, options: Options) -> None:
    alphas, held, regions, sure = answers(engine, options)
    with engine.client() as client:
        shot = client.open_shot(SIZE, options)
        frames = range(FIRST, FIRST + len(SHOT))
        told = list(shot.matte(frames, lambda frame: raw("plate", shown()[SHOT[frame - FIRST]]), mask()))
        shot.close()
    assert [bytes(each.data) for each in told] == [alpha.tobytes() for alpha in alphas]
    assert [each.held for each in told] == held == [False, False, True, False, True, True, False]
    assert [each.region for each in told] == regions
    assert [each.confidence for each in told] == sure


@pytest.mark.parametrize(
    "options", [{"region": "5,5,5,9"}, {"region": "100,0,200,40"}, {"hold_tolerance": 7.0}, {"region": "9" * 5000}]
)
def test_wrong_regions_and_tolerances_are_refused(engine: Engine, options: dict[str, object]) -> None:
    with engine.client() as client, pytest.raises(WireError, match=r"region|tolerance"):
        client.open_shot(SIZE, replace(RAW, **options))


def test_the_command_line_gives_the_same_through_an_engine_and_without(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = make_shot(engine.folder / "shot")
    (shot.folder / "plate.1003.exr").write_bytes((shot.folder / "plate.1002.exr").read_bytes())
    options = ["--working-size", "40", "--refine", "off", "--region", "1001:0,0,30,48", "--region", "1005:30,0,64,48"]
    alphas = []
    for where in ([], ["--endpoint", str(engine.file)]):
        assert main(shot.arguments(*options, "--model", "toy" if where else str(shot.weights), *where)) == 0
        alphas.append([read_image(shot.alpha(frame)) for frame in range(1001, 1007)])
        said = capsys.readouterr().err
        assert "1 frames repeat the frame before them and have its alpha: 1003" in said
        assert "windows" in said
        shutil.rmtree(shot.out)
    assert all((one == other).all() for one, other in zip(*alphas, strict=True))


def test_a_session_with_a_small_region_is_counted_smaller() -> None:
    whole, box, follows = (
        session_bytes(MINI, Resolution(1920, 1080), Options(region=region), Region.parse(region))
        for region in (None, "0,0,480,540", "follow")
    )
    assert box < 0.35 * whole
    assert follows >= whole


def test_a_shot_is_counted_with_its_subjects_and_the_keys_that_they_remember() -> None:
    def counted(*subjects: Subject) -> int:
        return shot_bytes(MINI, Resolution(1920, 1080), Options(), Region(), Shot(tuple(range(1, 41)), subjects))

    keys = tuple(range(1, 41, 4))
    one = counted(Subject("hero", (1,)))
    assert one == session_bytes(MINI, Resolution(1920, 1080), Options(), Region())
    assert counted(Subject("hero", (1,)), Subject("dog", (1,))) == 2 * one
    loose, pinned = counted(Subject("hero", keys)), counted(Subject("hero", keys, pinned=frozenset(keys)))
    assert pinned - one == pytest.approx(9 * (loose - one), abs=9)
    assert loose > one


def test_plates_that_are_encoded_ahead_are_counted_where_they_are() -> None:
    cpu, session = torch.device("cpu"), MattingSession(toy_network(), working_size=64)
    ready = session.ready(torch.zeros(3, 96, 128))
    ready.encode_ahead()
    (features,) = ready.encoded.values()
    held = sum(tensor.numel() * tensor.element_size() for tensor in features)
    assert ahead_bytes(TOY, Resolution(128, 96), Options(working_size=64), Region(), 2, cpu) == 2 * held
    assert not ahead_bytes(TOY, Resolution(128, 96), Options(region="follow"), Region.parse("follow"), 2, cpu)
    assert not ahead_bytes(TOY, Resolution(3840, 2160), Options(), Region(), 2, cpu)
    assert not ahead_bytes(TOY, Resolution(128, 96), Options(), Region(), 2, torch.device("cuda"))


def test_a_working_size_is_counted_smaller(tmp_path: Path) -> None:
    assert session_bytes(MINI, Resolution(1920, 1080), Options(working_size=540), Region()) < 0.5 * session_bytes(
        MINI, Resolution(1920, 1080), Options(), Region()
    )
