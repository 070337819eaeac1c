# SPDX-License-Identifier: Apache-2.0
"""Every example of docs/python.md runs as written, and matte() takes what the page says it takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shots import Shot, make_shot, read_image

from matanyone_engine import errors, matte
from matanyone_engine.jobs.masks import KeyMask
from matanyone_engine.jobs.one_call import job_of_call
from matanyone_engine.matting.confidence import DOUBTFUL

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "python.md").read_text()
ONE_CALL, FRAMES, EVENTS, ENGINE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example shot in it, where the examples may write."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(code: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(code, "docs/python.md", "exec"), names)
    return names


def test_a_shot_in_one_call(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(ONE_CALL)
    said = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in said] == ["1001", "1002", "1003"]
    assert re.fullmatch(r"1002 python_out/alpha\.1002\.exr confidence 0\.\d\d( [A-Z].*)?", said[1])
    assert read_image(repository / "python_out" / "alpha.1003.exr").std() > 0.05


def test_frames_of_your_own(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ran(FRAMES)
    assert np.isfinite(np.asarray(names["alpha"])).all()
    assert isinstance(names["saved"], bytes)
    assert capsys.readouterr().out.startswith("1001 0.")


def test_a_job_event_by_event(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(EVENTS)
    assert re.search(r"frame 1002: step \d of \d python_out/job\.1002\.exr", capsys.readouterr().out)


def test_an_engine_that_runs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATANYONE_CONNECTION", str(repository / "run" / "engine.json"))
    monkeypatch.setenv("XDG_DATA_HOME", str(repository / "data"))
    command = [sys.executable, "-m", "matanyone_engine", "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("file"):
                break
        ran(ENGINE)
        process.terminate()
    assert "idle" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------- what matte() takes


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shot:
    monkeypatch.setenv("MATANYONE_ENGINE_CACHE", str(tmp_path / "cache"))
    return make_shot(tmp_path, 1001, 4)


def test_called_again_it_leaves_finished_alphas_alone_and_says_the_same(shot: Shot) -> None:
    out, heard = shot.out / "a.####.exr", []
    first = matte(shot.plate, f"{shot.mask}@1001", out, model=shot.weights, warm_up_passes=1)
    times = {frame: files[0].stat().st_mtime_ns for frame, files in first.alphas.items()}
    again = matte(shot.plate, f"{shot.mask}@1001", out, model=shot.weights, warm_up_passes=1, progress=heard.append)
    assert list(first.alphas) == [1001, 1002, 1003, 1004]
    assert first.alphas == again.alphas
    assert first.record.is_file()
    assert first.confidences == pytest.approx(again.confidences, abs=1e-3)
    assert first.reasons == again.reasons
    doubtful = {frame for frame, sure in first.confidences.items() if sure < DOUBTFUL}
    assert doubtful <= set(first.reasons)
    assert {frame: files[0].stat().st_mtime_ns for frame, files in again.alphas.items()} == times
    assert heard


def test_bad_input_is_an_error_of_the_family(shot: Shot) -> None:
    with pytest.raises(errors.MaskError, match=r"nothing\.exr"):
        matte(shot.plate, "nothing.exr@1001", shot.out / "a.####.exr", model=shot.weights)


@pytest.mark.parametrize(
    ("mask", "keys"),
    [
        ("roto.exr", [KeyMask("roto.exr", ())]),
        ("roto.exr@1001", [KeyMask("roto.exr", (1001,))]),
        (Path("roto.####.exr@1001,1047"), [KeyMask("roto.####.exr", (1001, 1047))]),
        ({1001: "a.exr", 1047: Path("b.exr")}, [KeyMask("a.exr", (1001,)), KeyMask("b.exr", (1047,))]),
        (
            {"hero": {1001: "a.exr"}, "dog": "b.exr@1010"},
            [KeyMask("a.exr", (1001,), "hero"), KeyMask("b.exr", (1010,), "dog")],
        ),
    ],
)
def test_masks_are_said_in_python(mask: object, keys: list[KeyMask]) -> None:
    assert list(job_of_call("p.####.exr", mask, "o.####.exr", {}).keys) == keys  # type: ignore[arg-type]


def test_options_are_those_of_a_job_and_of_its_delivery() -> None:
    job = job_of_call("p", "m", "o", {"frames": "1001-1003", "working_size": 720, "layout": "layers", "version": 3})
    assert job.frames == (1001, 1002, 1003)
    assert (job.working_size, job.delivery.layout, job.delivery.version) == (720, "layers", 3)


@pytest.mark.parametrize(("name", "said"), [("colourspace", "'colorspace'"), ("qqq", "there are .*working_size")])
def test_an_unknown_option_is_refused_with_the_nearest_name(name: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        job_of_call("p", "m", "o", {name: 1})
