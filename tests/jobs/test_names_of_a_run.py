# SPDX-License-Identifier: Apache-2.0
"""Nothing computed from one thing is ever taken for another: each of them changed, in a run on a full cache."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image, write_image

from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.jobs.run_identity import network_view_digest
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media import high_bit_depth_movies
from matanyone_engine.media.color import NetworkView
from matanyone_engine.model import save_checkpoint
from matanyone_engine.model.precision import Precision, prepared
from matanyone_engine.model.registry import load_trainable, load_vetted

KEYS = (1001, 1006)
ALL = 1 + 4 + 4 + 1
"""Both keys, and the frames between them from either side."""

OPTIONS: dict[str, dict[str, Any]] = {
    "warm-up passes": {"warm_up_passes": 1},
    "growth of the mask": {"mask_grow": 2},
    "working size": {"working_size": 32},
    "refinement": {"refine": False},
    "box": {"region": "0,0,48,48"},
    "keyed boxes": {"region": "1001:0,0,32,48 1006:32,0,64,48"},
    "window that follows": {"region": "follow"},
    "holds": {"hold_tolerance": None},
    "memory": {"memory": MemoryPolicy(memory_every=2)},
    "exposure": {"exposure": 1.0},
    "colour space": {"colorspace": "ACEScg"},
}


@dataclass(frozen=True)
class Before:
    """A finished run."""

    shot: Shot
    cache: dict[str, bytes]


def asked(shot: Shot, **options: Any) -> MatteJob:
    keys = tuple(KeyMask(str(shot.folder / f"roto.{key}.exr"), (key,)) for key in KEYS)
    given = {"mask": "", "keys": keys, "out": str(shot.out / "a.####.exr"), "warm_up_passes": 0, **options}
    return MatteJob(shot.plate, **given, accept_doubt=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Before:
    shot = make_shot(tmp_path_factory.mktemp("shot"))
    for key in KEYS:
        shutil.copy(shot.mask, shot.folder / f"roto.{key}.exr")
    cache: dict[str, bytes] = {}
    list(run_matte(plan_matte(asked(shot)), *load_vetted(shot.weights, "cpu"), cache=cache))
    return Before(shot, cache)


@pytest.fixture
def shot(finished: Before, tmp_path: Path) -> Shot:
    """Of its own, with the same bytes."""
    shutil.copytree(finished.shot.folder, tmp_path / "s")
    return Shot(tmp_path / "s", finished.shot.first, finished.shot.last, tmp_path / "s" / "toy.safetensors")


Again = Callable[..., tuple[int, list[int]]]


@pytest.fixture
def again(shot: Shot, finished: Before, monkeypatch: pytest.MonkeyPatch) -> Again:
    """Run after a change: how often the network was asked, and which frames were written."""

    def run(network: Any = None, cache: dict[str, bytes] | None = None, **options: Any) -> tuple[int, list[int]]:
        calls: list[str] = []
        for name in ("seed", "advance"):
            monkeypatch.setattr(MattingSession, name, noted(getattr(MattingSession, name), calls))
        loaded, weights = load_vetted(shot.weights, "cpu")
        plan = plan_matte(asked(shot, **options))
        events = list(
            run_matte(plan, network or loaded, weights, cache=dict(finished.cache) if cache is None else cache)
        )
        return len(calls), sorted(event.frame for event in events if isinstance(event, FrameDone))

    return run


def noted(method: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def noting(*args: Any, **kwargs: Any) -> Any:
        calls.append(method.__name__)
        return method(*args, **kwargs)

    return noting


def test_nothing_changed(again: Again) -> None:
    assert again() == (0, [])


def test_warm_up_passes_left_open_are_what_suits_the_network(again: Again, shot: Shot) -> None:
    network, _ = load_vetted(shot.weights, "cpu")
    network.warm_up_passes = 0
    assert again(network, warm_up_passes=None) == (0, [])


def test_alphas_that_were_deleted_come_from_the_cache(shot: Shot, again: Again) -> None:
    shutil.rmtree(shot.out)
    assert again() == (0, list(range(1001, 1007)))


@pytest.mark.parametrize("change", OPTIONS)
def test_an_option_changed(again: Again, change: str) -> None:
    computed, written = again(**OPTIONS[change])
    assert computed == ALL
    assert {1002, 1003, 1004, 1005} <= set(written)


def test_keys_pinned_beyond_their_own_stretches(shot: Shot, again: Again) -> None:
    """Key frames are computed as before: only passes are new, and those only that did not remember all keys anyway."""
    assert again(pin_keys=True) == (0, [])
    cache: dict[str, bytes] = {}
    keys = tuple(KeyMask(str(shot.mask), (key,)) for key in (*KEYS, 1003))
    again(keys=keys, cache=cache)
    assert again(keys=keys, cache=cache, pin_keys=True) == (2 + 4, [1002, 1004, 1005])


def test_a_plate_s_content_changed(shot: Shot, again: Again) -> None:
    plate = shot.folder / "plate.1004.exr"
    write_image(plate, read_image(plate)[:, ::-1], ("R", "G", "B"), PixelAspectRatio=2.0)
    # From the keys again, since no state was kept on the way: 1002-1005 and 1005-1002, or from the frames before.
    computed, written = again()
    assert computed >= 2 + 3
    assert written == [1002, 1003, 1004, 1005]


def test_a_mask_s_content_changed(shot: Shot, again: Again) -> None:
    write_image(shot.folder / "roto.1006.exr", np.roll(read_image(shot.mask), 6, axis=1), ("Y",), oiio.FLOAT)
    assert again() == (1 + 4 + 4, [1002, 1003, 1004, 1005, 1006])


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_a_constraint_mask_changed(shot: Shot, again: Again, side: str) -> None:
    garbage = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    garbage[:, :20] = 1.0
    write_image(shot.folder / "h.1006.exr", garbage, ("Y",), oiio.FLOAT)
    held = {"objects": (ObjectOptions(**{side: str(shot.folder / "h.####.exr")}),)}
    assert again(**held) == (1 + 4 + 4, [1002, 1003, 1004, 1005, 1006])


def test_weights_changed(shot: Shot, again: Again) -> None:
    network = load_trainable(shot.weights)
    network.mask_decoder.pred_mat.bias.data += 0.1
    save_checkpoint(network, shot.weights)
    assert again() == (ALL, list(range(1001, 1007)))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_precision_changed(
    shot: Shot, finished: Before, again: Again, monkeypatch: pytest.MonkeyPatch, half: torch.dtype
) -> None:
    """To half precision, and from one kind of it to the other."""
    for module in ("model.precision", "jobs.run_identity"):
        monkeypatch.setattr(f"matanyone_engine.{module}.half_type", lambda _device: half)
    before = set(finished.cache)
    computed, written = again(network=prepared(load_trainable(shot.weights), Precision.FAST), cache=finished.cache)
    assert (computed, written) == (ALL, list(range(1001, 1007)))
    assert len(set(finished.cache) - before) == 2 * ALL + 2  # an alpha and a report of each, the states of keys


@pytest.mark.parametrize(
    "name",
    [
        "matanyone_engine.jobs.run_identity.__version__",
        "matanyone_engine.jobs.run_identity.torch.__version__",
        "matanyone_engine.matting.content_keys._FORMAT",
    ],
)
def test_code_changed(again: Again, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(name, "2.99.0")
    assert again()[0] == ALL


def test_what_is_behind_a_colour_config_s_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    view = NetworkView("ACEScg")
    before = network_view_digest(view)
    assert network_view_digest(NetworkView("ACEScg")) == before
    monkeypatch.setattr("matanyone_engine.media.color.KNEE", 0.5)
    assert network_view_digest(NetworkView("ACEScg", 0.1)) != before


def test_a_lost_report_is_computed_again_and_not_taken_for_a_plain_frame(shot: Shot, again: Again) -> None:
    """The region of a frame and a cut subject are in it."""
    boxes = "1001:0,0,32,48 1006:32,0,64,48"
    cache: dict[str, bytes] = {}
    loaded = load_vetted(shot.weights, "cpu")

    def run() -> list[FrameDone]:
        shutil.rmtree(shot.out)
        plan = plan_matte(asked(shot, region=boxes))
        return [event for event in run_matte(plan, *loaded, cache=cache) if isinstance(event, FrameDone)]

    whole = run()
    assert len({event.report.region for event in whole}) > 1
    for name in [name for name in cache if name.endswith(".report")]:
        del cache[name]
    assert {event.frame: event.report for event in run()} == {event.frame: event.report for event in whole}


def test_keyed_boxes_move_with_the_plate_s_frames_in_both_directions(shot: Shot) -> None:
    """What a session answers that is told the frames: backwards from a key too."""
    boxes = "1001:0,0,32,48 1006:32,0,64,48"
    network, weights = load_vetted(shot.weights, "cpu")
    shutil.rmtree(shot.out)
    plan = plan_matte(asked(shot, keys=(KeyMask(str(shot.mask), (1004,)),), region=boxes))
    events = run_matte(plan, network, weights, cache={})
    found = {event.frame: event for event in events if isinstance(event, FrameDone)}
    for way in (range(1004, 1000, -1), range(1004, 1007)):
        session = MattingSession(network, plan.job.memory, warm_up_passes=0, region=boxes)
        for frame in way:
            plate = plan.network_view(plan.source.read(frame).rgb).transpose(2, 0, 1)
            seed = read_image(shot.mask)[..., 0]
            alpha = session.seed(plate, seed, frame=frame) if frame == 1004 else session.advance(plate, frame=frame)
            assert np.array_equal(found[frame].alpha, alpha.numpy())
            assert found[frame].report.region == session.report.region


def test_a_movie_read_by_another_library_is_another_plate(
    finished: Before, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 8 bits, then at the depth it has: PyAV was installed in between."""
    movie = tmp_path / "m.avi"
    writer = cv2.VideoWriter(str(movie), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 24.0, (WIDTH, HEIGHT))
    for frame in range(3):
        writer.write(np.random.default_rng(frame).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    writer.release()
    cache: dict[str, bytes] = {}
    computed = []
    for deep in (False, False, True):
        monkeypatch.setattr(high_bit_depth_movies, "is_available", lambda deep=deep: deep)
        out = tmp_path / str(len(computed)) / "a.####.exr"
        job = MatteJob(str(movie), str(finished.shot.mask), str(out), warm_up_passes=0, accept_doubt=True)
        before = set(cache)
        list(run_matte(plan_matte(job), *load_vetted(finished.shot.weights, "cpu"), cache=cache))
        computed.append(len(set(cache) - before))
    assert computed[0] > 0
    assert computed[1] == 0
    assert computed[2] == computed[0]
