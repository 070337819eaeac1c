# SPDX-License-Identifier: Apache-2.0
"""Files that version 0.1.0 wrote still open: job files, caches, runs, engine stores, Nuke scripts and .blend files."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blender_extension import BLENDERS, ROOT, import_extension
from engines import running
from nuke_host import Host, installed
from shots import read_image
from toy import disc, plates

from matanyone_engine.cli.main import main
from matanyone_engine.jobs import run_identity
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.job_files import load_job
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone, Unchanged
from matanyone_engine.jobs.run_identity import may_resume
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.registry import load_network, load_vetted
from matanyone_engine.runs.record import read_record
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw

OLD = Path(__file__).parent / "0.1.0"
WRITTEN: dict[str, Any] = json.loads((OLD / "written.json").read_text())
FRAMES = (1001, 1002, 1003, 1004)
SIDE = 32
NUKE_NAMES = {"settle": "warm_up"}
"""What knobs were called then, and what they are called now."""
NEAR = 2e-3
"""Alphas of another machine's CPU, in half floats."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, and this process stands in it: their names are relative."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


@pytest.fixture
def _same_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are named after the release and the libraries that made them, so that a new one computes them anew.

    Here they are taken for the same, to see that everything else in a name is what it was.
    """
    monkeypatch.setattr(run_identity, "__version__", WRITTEN["engine"])
    monkeypatch.setattr(torch, "__version__", WRITTEN["torch"])
    monkeypatch.setattr(run_identity, "version", lambda _library: WRITTEN["OpenImageIO"])
    monkeypatch.setattr(run_identity, "network_view_digest", lambda _view: WRITTEN["view"])


def job(name: str) -> MatteJob:
    return MatteJob("plate.####.exr", "mask.exr", f"{name}/alpha.####.exr", mask_frame=1001, warm_up_passes=1)


def alpha(path: Path) -> np.ndarray:
    return read_image(path)[..., -1]


def nothing_is_computed(*_: object, **__: object) -> None:
    raise AssertionError("a frame was computed")


def test_a_job_file_says_the_same(folder: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rule = {"source_path_format": "POSIX", "source_path": WRITTEN["root"], "destination_path": str(folder)}
    rules.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}))
    said = load_job(folder / "job.json", rules)
    assert said.model == str(folder / "weights.safetensors")
    asked = matte_job(said)
    assert (asked.plate, asked.mask) == (str(folder / "plate.####.exr"), str(folder / "mask.exr"))
    assert (asked.mask_frame, asked.warm_up_passes) == (1001, 1)
    assert main(["run", str(folder / "job.json"), "--path-rules", str(rules), "--device", "cpu"]) == 0


def test_the_check_for_computing_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.matting.step.predict", nothing_is_computed)
    network, weights = load_vetted("weights.safetensors", "cpu", "exact")
    with pytest.raises(AssertionError, match="a frame was computed"):
        list(run_matte(plan_matte(job("again")), network, weights, cache={}))


@pytest.mark.usefixtures("_same_libraries")
def test_a_finished_run_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.matting.step.predict", nothing_is_computed)
    network, weights = load_vetted("weights.safetensors", "cpu", "exact")
    events = list(run_matte(plan_matte(job("finished")), network, weights, cache={}))
    assert [each.frames for each in events if isinstance(each, Unchanged)] == [FRAMES]
    record = read_record(folder / "finished" / "alpha.matanyone.json")
    assert record is not None
    assert record.state == "finished"
    assert main(["review", "finished/alpha.####.exr", "--out", str(folder / "review.html")]) == 0


@pytest.mark.usefixtures("_same_libraries")
def test_a_cache_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.matting.step.predict", nothing_is_computed)
    monkeypatch.setenv("MATANYONE_ENGINE_CACHE", str(folder / "cache"))
    network, weights = load_vetted("weights.safetensors", "cpu", "exact")
    events = list(run_matte(plan_matte(job("again")), network, weights))
    assert [each.frame for each in events if isinstance(each, FrameDone)] == list(FRAMES)
    for frame in FRAMES:
        name = f"alpha.{frame}.exr"
        assert np.array_equal(alpha(folder / "again" / name), alpha(folder / "finished" / name))


@pytest.mark.usefixtures("_same_libraries")
def test_a_stopped_run_goes_on(folder: Path) -> None:
    network, weights = load_vetted("weights.safetensors", "cpu", "exact")
    plan = plan_matte(job("stopped"), resume=True)
    assert may_resume(plan, network)
    events = list(run_matte(plan, network, weights, resume=True, cache={}))
    assert [each.frames for each in events if isinstance(each, Unchanged)] == [FRAMES[:2]]
    assert [each.frame for each in events if isinstance(each, FrameDone)] == list(FRAMES[2:])
    for frame in FRAMES[2:]:
        name = f"alpha.{frame}.exr"
        assert np.abs(alpha(folder / "stopped" / name) - alpha(folder / "finished" / name)).max() < NEAR


def test_an_engine_store_opens_and_its_session_goes_on(folder: Path) -> None:
    session = str(WRITTEN["store"]["session"])
    shown = [np.ascontiguousarray(each.permute(1, 2, 0).numpy()).astype("<f4") for each in plates(4, SIDE, SIDE)]
    with running(folder / "engine", model=str(folder / "weights.safetensors")) as engine, engine.client() as client:
        opened = client.call(say.Reopen(session))
        assert isinstance(opened, say.Opened)
        assert opened.next_seq == 3
        for seq, mean in enumerate(WRITTEN["store"]["means"]):
            stored = client.wait(client.pump.ask(say.Fetch(session, seq)))
            assert float(np.frombuffer(stored.data[0], "<f4").mean()) == mean
        payload = describe_raw("plate", shown[3].tobytes(), "f4", shown[3].shape)
        answer = client.wait(client.pump.ask(say.Frame(session, 3, 1004), (payload,), (shown[3].tobytes(),)))
    by_library = MattingSession(load_network("weights.safetensors", "cpu"), warm_up_passes=1)
    alphas = [by_library.seed(shown[0].transpose(2, 0, 1), disc(SIDE, SIDE, 9))]
    alphas += [by_library.advance(each.transpose(2, 0, 1)) for each in shown[1:]]
    went_on = np.frombuffer(answer.data[0], "<f4").reshape(SIDE, SIDE)
    assert np.abs(went_on - alphas[3].numpy()).max() < NEAR


def test_a_nuke_script_opens(folder: Path, tmp_path: Path) -> None:
    host = Host(installed(tmp_path / "nuke_path"))
    host.start(gui=True)
    host.nuke.scriptOpen(str(folder / "shot.nk"))
    from matanyone_nuke import knobs

    (node,) = knobs.our_nodes()
    said = json.loads(json.dumps(vars(knobs.settings(node))))
    written = {NUKE_NAMES.get(name, name): value for name, value in WRITTEN["nuke"].items()}
    assert {name: said[name] for name in written} == written
    for button in ("matte_range", "matte_frame", "rerun", "cancel", "save_job", "convert", "show_record"):
        code = node[button].command()
        compile(code, button, "exec")
        assert "from matanyone_nuke import node" in code
    assert callable(host.node.press)


@pytest.fixture
def said_by_blend() -> dict[str, Any]:
    """What in_blender.py wrote."""
    tree = ast.parse((OLD.parent / "in_blender.py").read_text())
    values = next(each.value for each in tree.body if isinstance(each, ast.Assign))
    return dict(ast.literal_eval(values))


def test_the_names_in_a_blend_file_are_still_the_extensions(said_by_blend: dict[str, Any]) -> None:
    tree = ast.parse((ROOT / "blender_addon" / "properties.py").read_text())
    groups = {
        each.name: {line.target.id for line in each.body if isinstance(line, ast.AnnAssign)}  # type: ignore[union-attr]
        for each in tree.body
        if isinstance(each, ast.ClassDef)
    }
    assert set(said_by_blend) | {"objects", "clip", "image", "record", "made"} <= groups["MatAnyoneShot"]
    assert {"name", "rival", "use_life", "first", "last", "keys"} <= groups["MatAnyoneObject"]
    assert {"frame", "source", "mask", "image"} <= groups["MatAnyoneKey"]


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """The extension as a package, in a folder."""
    import_extension(tmp_path)
    return tmp_path


@pytest.mark.skipif(not any(not each.missing for each in BLENDERS), reason="no Blender named: run make test-blender")
def test_a_blend_file_opens(said_by_blend: dict[str, Any], staged: Path) -> None:
    blender = next(each for each in BLENDERS if not each.missing)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(blender.python), str(OLD.parent / "in_blender.py"), "read", str(staged), str(OLD / "shot.blend")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert said.pop("object") == ["hero", True, 1001, 1003, 1001, "roto"]
    assert said == said_by_blend
