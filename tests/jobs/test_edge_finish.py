# SPDX-License-Identifier: Apache-2.0
"""Edge controls in real runs: nothing is computed again, and steadied edges are the same in every order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import Shot, make_shot, read_image

from matanyone_engine.cli.main import main
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.cache import DiskCache
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.jobs.one_call import job_of_call
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone, Unchanged
from matanyone_engine.matting.shot import Shot as ShotOfFrames
from matanyone_engine.matting.shot import Subject
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.edges import EdgeControls, with_edges
from matanyone_engine.media.layouts import Delivery
from matanyone_engine.media.steady_edges import NeighbourFrame, grey_of, steadied
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.runs.record import read_record
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.jobfile import read_job_file, write_job_file

FRAMES = tuple(range(1001, 1007))
MANY = EdgeControls(0.0, 3, 0.5, 0.05, 0.95, 0.2, 0.2, 1.3, -0.6, 0.4)
STEADY = EdgeControls(deflicker=0.8)


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def job(shot: Shot, out: str = "out", **options: Any) -> MatteJob:
    asked: dict[str, Any] = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.folder / out / "a.####.exr")}
    asked |= {"warm_up_passes": 0, "accept_doubt": True, "delivery": Delivery("alpha", depth="float")}
    return MatteJob(**{**asked, **options})


def made(shot: Shot, asked: MatteJob, **options: Any) -> dict[int, np.ndarray]:
    """Frame -> the alpha in its file."""
    found = list(run_matte(plan_matte(asked), *load_vetted(shot.weights, "cpu"), **options))
    return {event.frame: read_image(event.paths[0])[..., -1] for event in found if isinstance(event, FrameDone)}


def same(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[frame], other[frame]) for frame in one)


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def computed(*_: object, **__: object) -> None:
        raise AssertionError("a frame was computed")

    def forbid() -> None:
        for name in ("predict", "assign"):
            monkeypatch.setattr(f"matanyone_engine.matting.step.{name}", computed)

    return forbid


@pytest.mark.parametrize("controls", [MANY, STEADY, EdgeControls(gamma=0.8)], ids=["many", "steady", "gamma"])
def test_a_changed_control_computes_no_frame_again(
    shot: Shot, controls: EdgeControls, nothing_is_computed: Callable[[], None]
) -> None:
    raw = made(shot, job(shot))
    nothing_is_computed()
    edged = made(shot, job(shot, edges=controls))
    assert tuple(sorted(edged)) == FRAMES
    assert any((edged[frame] != raw[frame]).any() for frame in FRAMES)
    found = list(run_matte(plan_matte(job(shot, edges=controls)), *load_vetted(shot.weights, "cpu")))
    assert [each.frames for each in found if isinstance(each, Unchanged)] == [FRAMES]
    assert same(made(shot, job(shot)), raw)


def test_the_alphas_are_those_of_the_network_with_the_controls_applied(shot: Shot) -> None:
    raw = made(shot, job(shot))
    edged = made(shot, job(shot, edges=MANY))
    sure = {
        frame: read_record(shot.out / "a.matanyone.json").frames[frame].confidence["subject"].value >= 0.5  # type: ignore[union-attr]
        for frame in FRAMES
    }
    assert same(edged, {frame: with_edges(raw[frame], MANY, core_is_sure=sure[frame]) for frame in FRAMES})


def test_files_and_record_say_the_controls_and_plain_ones_say_nothing(shot: Shot) -> None:
    made(shot, job(shot))
    plain = oiio.ImageBuf(str(shot.out / "a.1003.exr")).spec()
    assert plain.getattribute("matanyone:edges") is None
    made(shot, job(shot, edges=EdgeControls(edge_grow=-0.5, despeckle=9)))
    spec = oiio.ImageBuf(str(shot.out / "a.1003.exr")).spec()
    assert spec.getattribute("matanyone:edges") == "despeckle 9, edge_grow -0.5"
    record = read_record(shot.out / "a.matanyone.json")
    assert record is not None
    assert record.made["edges"] == "despeckle 9, edge_grow -0.5"
    assert record.job["edges"]["edge_grow"] == -0.5


def test_controls_that_cannot_be_are_refused_before_work(shot: Shot) -> None:
    with pytest.raises(SettingError, match="gamma"):
        plan_matte(job(shot, edges=EdgeControls(gamma=0.0)))
    assert main(shot.arguments("--black-clip", "0.9", "--white-clip", "0.5")) == 2
    assert main(shot.arguments("--edge-blur", "nan")) == 2
    assert not shot.out.exists()


# ------------------------------------------------------------------------------------------------ steady edges


def two_keys(shot: Shot) -> dict[str, Any]:
    return {"mask": "", "keys": (KeyMask(str(shot.mask), (1001,)), KeyMask(str(shot.mask), (1004,)))}


def test_edges_are_steadied_between_neighbours_and_keys_and_ends_stay(shot: Shot) -> None:
    raw = made(shot, job(shot, **two_keys(shot)))
    steady = made(shot, job(shot, "steady", edges=STEADY, **two_keys(shot)))
    view = NetworkView("lin_rec709_scene")
    greys = {f: grey_of(view(read_image(shot.folder / f"plate.{f}.exr")[..., :3])) for f in FRAMES}
    for frame in FRAMES:
        expected = raw[frame]
        if frame not in (1001, 1004, 1006):
            beside = (NeighbourFrame(raw[each], greys[each]) for each in (frame - 1, frame + 1))
            expected = steadied(raw[frame], greys[frame], *beside, 0.8)
            assert (expected != raw[frame]).any()
        assert np.array_equal(steady[frame], expected), frame


@pytest.mark.parametrize("frames", [(1002,), (1003, 1005), (1001, 1002, 1003), (1004, 1005, 1006)])
def test_steadied_edges_do_not_depend_on_the_frames_that_were_asked_for(shot: Shot, frames: tuple[int, ...]) -> None:
    whole = made(shot, job(shot, edges=STEADY, **two_keys(shot)), cache={})
    part = made(shot, job(shot, "part", edges=STEADY, frames=frames, **two_keys(shot)), cache={})
    assert same(part, {frame: whole[frame] for frame in frames})


def test_steadied_edges_do_not_depend_on_the_order_or_on_the_cache(shot: Shot, tmp_path: Path) -> None:
    whole = made(shot, job(shot, edges=STEADY, **two_keys(shot)), cache={})
    urgent = iter([[1005], [1003], [1002]])
    other = made(shot, job(shot, "other", edges=STEADY, **two_keys(shot)), cache={}, wanted=lambda: next(urgent, []))
    small = DiskCache(tmp_path / "small", limit=0)
    third = made(shot, job(shot, "third", edges=STEADY, **two_keys(shot)), cache=small)
    assert same(other, whole)
    assert same(third, whole)


def test_steadied_segments_are_those_of_one_run(shot: Shot) -> None:
    asked = shot.arguments("--mask", f"{shot.mask}@1001", "--mask", f"{shot.mask}@1004", "--deflicker", "1")
    assert main(asked) == 0
    whole = {frame: read_image(shot.alpha(frame)) for frame in FRAMES}
    file = shot.folder / "sh.json"
    assert main([*asked, "--out", str(shot.folder / "farm" / "alpha.####.exr"), "--save-job", str(file)]) == 0
    assert main(["plan", str(file), "--segments", "2"]) == 0
    for number in ("2", "1"):
        assert main(["run", str(file.with_suffix(".plan.json")), "--segment", number, "--cache", "0"]) == 0
    assert main(["merge", str(file.with_suffix(".plan.json"))]) in (0, 13)
    for frame in FRAMES:
        assert np.array_equal(read_image(shot.folder / "farm" / f"alpha.{frame}.exr"), whole[frame]), frame


def test_objects_that_come_and_go_are_steadied_on_their_own_frames(shot: Shot) -> None:
    keys = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1003,), "dog"))
    objects = (ObjectOptions("dog", first=1002, last=1005),)
    asked = {"mask": "", "keys": keys, "objects": objects, "delivery": Delivery("layers", depth="float")}
    for separate in (False, True):
        out = f"steady{separate}"
        made(shot, job(shot, out, edges=STEADY, separate=separate, **asked))
        layers = {frame: oiio.ImageBuf(str(shot.folder / out / f"a.{frame}.exr")) for frame in FRAMES}
        names = layers[1001].spec().channelnames
        alphas = {frame: image.get_pixels(oiio.FLOAT) for frame, image in layers.items()}
        dog, hero = names.index("dog.A"), names.index("hero.A")
        assert not alphas[1001][..., dog].any()
        assert not alphas[1006][..., dog].any()
        assert (alphas[1005][..., dog] > 0).any()
        if separate:
            assert max((each[..., dog] + each[..., hero]).max() for each in alphas.values()) < 1.0001


def test_a_missing_plate_ends_a_stretch_where_missing_frames_are_skipped(shot: Shot) -> None:
    (shot.folder / "plate.1004.exr").unlink()
    whole = made(shot, job(shot, edges=STEADY, missing="skip"))
    assert tuple(sorted(whole)) == (1001, 1002, 1003, 1005, 1006)
    part = made(shot, job(shot, "part", edges=STEADY, missing="skip", frames=(1001, 1002, 1003)), cache={})
    assert same(part, {frame: whole[frame] for frame in (1001, 1002, 1003)})
    assert tuple(made(shot, job(shot, "three", edges=STEADY, frames=(1001, 1002, 1003)))) == (1001, 1002, 1003)


def test_neighbours_are_of_one_stretch() -> None:
    shot = ShotOfFrames((1, 2, 3, 4, 5, 7), (Subject("hero", (1, 4)), Subject("dog", (3,), first=2, last=4)))
    assert [shot.edge_neighbours("hero", frame) for frame in shot.frames] == [None, (1, 3), (2, 4), None, (4, 7), None]
    assert [shot.edge_neighbours("dog", frame) for frame in shot.frames] == [None] * 6


# ------------------------------------------------------------------------------------------------ objects of their own


def layers_of(shot: Shot, out: str, **options: Any) -> dict[int, dict[str, np.ndarray]]:
    """Run a job of a hero and a dog; for each frame, the alpha of each."""
    keys = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1003,), "dog"))
    asked: dict[str, Any] = {"mask": "", "keys": keys, "delivery": Delivery("layers", depth="float"), **options}
    made(shot, job(shot, out, **asked))
    found = {}
    for frame in FRAMES:
        image = oiio.ImageBuf(str(shot.folder / out / f"a.{frame}.exr"))
        pixels, names = image.get_pixels(oiio.FLOAT), image.spec().channelnames
        found[frame] = {name: pixels[..., names.index(f"{name}.A")] for name in ("hero", "dog")}
    return found


def test_an_object_has_edge_controls_of_its_own(shot: Shot, nothing_is_computed: Callable[[], None]) -> None:
    grown, job_wide = EdgeControls(edge_grow=1.0), EdgeControls(gamma=0.7)
    raw = layers_of(shot, "raw")
    nothing_is_computed()
    edged = layers_of(shot, "own", edges=job_wide, objects=(ObjectOptions("hero", edges=grown),))
    for frame in FRAMES:
        assert np.array_equal(edged[frame]["hero"], with_edges(raw[frame]["hero"], grown)), frame
        assert np.array_equal(edged[frame]["dog"], with_edges(raw[frame]["dog"], job_wide)), frame
    spec = oiio.ImageBuf(str(shot.folder / "own" / "a.1003.exr")).spec()
    assert spec.getattribute("matanyone:edges") == "hero: edge_grow 1; dog: gamma 0.7"


def test_one_object_is_steadied_and_the_other_is_not(shot: Shot) -> None:
    raw = layers_of(shot, "raw")
    whole = layers_of(shot, "both", edges=STEADY)
    own = layers_of(shot, "own", objects=(ObjectOptions("hero", edges=STEADY),))
    assert any((whole[frame]["hero"] != raw[frame]["hero"]).any() for frame in FRAMES)
    for frame in FRAMES:
        assert np.array_equal(own[frame]["hero"], whole[frame]["hero"]), frame
        assert np.array_equal(own[frame]["dog"], raw[frame]["dog"]), frame


def test_an_objects_own_defaults_keep_the_jobs_controls_off_it(shot: Shot) -> None:
    raw = layers_of(shot, "raw")
    edged = layers_of(shot, "own", edges=EdgeControls(gamma=0.7), objects=(ObjectOptions("dog", edges=EdgeControls()),))
    assert all(np.array_equal(edged[frame]["dog"], raw[frame]["dog"]) for frame in FRAMES)
    assert any((edged[frame]["hero"] != raw[frame]["hero"]).any() for frame in FRAMES)


def test_changed_controls_of_one_object_are_seen_by_the_ledger_and_refused_where_they_cannot_be(shot: Shot) -> None:
    both = (KeyMask(str(shot.mask), (1001,), "hero"), KeyMask(str(shot.mask), (1003,), "dog"))
    asked: dict[str, Any] = {"mask": "", "keys": both, "delivery": Delivery("layers", depth="float")}
    own = job(shot, objects=(ObjectOptions("hero", edges=EdgeControls(gamma=1.5)),), **asked)
    assert tuple(sorted(made(shot, job(shot, **asked)))) == FRAMES
    assert tuple(sorted(made(shot, own))) == FRAMES
    assert made(shot, own) == {}
    with pytest.raises(SettingError, match="gamma"):
        plan_matte(job(shot, objects=(ObjectOptions("hero", edges=EdgeControls(gamma=0.0)),), **asked))


# ------------------------------------------------------------------------------------------------ the other ways in


def test_python_takes_controls_by_their_names() -> None:
    asked = job_of_call("p.####.exr", "m.exr", "o.####.exr", {"edge_grow": -0.5, "layout": "alpha"})
    assert asked.edges == EdgeControls(edge_grow=-0.5)
    with pytest.raises(TypeError, match="edge_grow"):
        job_of_call("p.####.exr", "m.exr", "o.####.exr", {"edge_gro": -0.5})


def test_run_puts_its_own_controls_over_those_of_the_job(shot: Shot, nothing_is_computed: Callable[[], None]) -> None:
    file = shot.folder / "sh.json"
    options = ["--edge-grow", "-1", "--gamma", "1.2", "--layout", "alpha"]
    assert main(shot.arguments(*options, "--save-job", str(file))) == 0
    assert main(["run", str(file)]) == 0
    nothing_is_computed()
    assert main(["run", str(file), "--edge-grow", "0.5"]) == 0
    spec = oiio.ImageBuf(str(shot.alpha(1002))).spec()
    assert spec.getattribute("matanyone:edges") == "gamma 1.2, edge_grow 0.5"


def test_run_puts_its_own_controls_over_those_of_each_object(shot: Shot) -> None:
    masks = ["--mask", f"hero={shot.mask}@1001", "--mask", f"dog={shot.mask}@1003", "--layout", "layers"]
    file = shot.folder / "sh.json"
    assert main(shot.arguments(*masks, "--gamma", "1.2", "--save-job", str(file))) == 0
    saved = read_job_file(file.read_text())
    own = (say.ObjectOptions("hero", edges=say.EdgeControls(edge_grow=-1.0)),)
    file.write_text(write_job_file(replace(saved, job=replace(saved.job, objects=own))))
    assert main(["run", str(file), "--edge-blur", "0.5"]) == 0
    spec = oiio.ImageBuf(str(shot.alpha(1002))).spec()
    said = "hero: edge_grow -1, edge_blur 0.5; dog: gamma 1.2, edge_blur 0.5"
    assert spec.getattribute("matanyone:edges") == said
