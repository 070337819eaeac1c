# SPDX-License-Identifier: Apache-2.0
"""serve, status, stop, matte --endpoint, as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from engines import RAW, SIZE, Engine, mask, numbers, plate, running, toy_weights
from prometheus_client.parser import text_string_to_metric_families
from shots import make_shot, read_image

import matanyone_engine.client
from matanyone_engine.cli import stop
from matanyone_engine.cli.main import main
from matanyone_engine.client.launcher import ensure_engine, find_engine
from matanyone_engine.wire.errors import WireError


def test_the_same_job_gives_the_same_files_with_and_without_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = make_shot(tmp_path / "shot")
    options = ["--colorspace", "ACEScg", "--exposure", "-1.5"]
    with running(tmp_path, "--root", str(tmp_path)) as engine:
        remote = [
            *options,
            "--model",
            "toy",
            "--out",
            str(tmp_path / "remote" / "a.####.exr"),
            "--endpoint",
            str(engine.file),
        ]
        assert main(shot.arguments(*remote)) == 0
        assert "6 alphas" in capsys.readouterr().err
        assert main(shot.arguments("--endpoint", str(engine.file), "--model", "huge")) == 2
        assert main(shot.arguments("--endpoint", str(engine.file), "--preview", "x.png")) == 2
        assert main(shot.arguments("--endpoint", str(engine.file), "--cache", "5")) == 2
        assert main(["status", "--json", "--connection", str(engine.file)]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["frames"] == 6
        assert main(["stop", "--connection", str(engine.file)]) == 0
        assert engine.process is not None
        assert engine.process.wait(30) == 0
        assert main(["status", "--connection", str(engine.file)]) == 9
        assert main(shot.arguments("--endpoint", str(engine.file))) == 9
    assert main(shot.arguments(*options, "--device", "cpu")) == 0
    for frame in range(1001, 1007):
        assert np.array_equal(read_image(tmp_path / "remote" / f"a.{frame}.exr"), read_image(shot.alpha(frame)))


def test_stop_waits_for_the_process_and_not_only_for_its_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that a busy machine lets wait does not answer, and has not ended."""
    with running(tmp_path) as engine, engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        assert len(list(shot.matte(numbers(0, 1), plate, mask()))) == 1
        engine.accident("in-snapshot", "sleep", **{"for": 4})  # every session is put on disk at the end
        monkeypatch.setattr(stop, "is_alive", lambda *_: False)
        assert main(["stop", "--connection", str(engine.file)]) == 0
        assert engine.process is not None
        assert engine.process.poll() == 0
        assert list(engine.state.glob("*/state-1"))


def test_the_launcher_starts_an_engine_once_and_idle_exit_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "run" / "engine.json"
    command = [
        sys.executable,
        "-m",
        "matanyone_engine",
        "serve",
        "--state",
        str(tmp_path / "state"),
        "--idle-exit",
        "5",  # seconds: a busy machine has to ask for it twice more before it ends
    ]
    command += ["--model", str(toy_weights(tmp_path))]
    with ThreadPoolExecutor(2) as hosts:  # two that find no engine at the same moment
        one, other = hosts.map(lambda _: ensure_engine(file, command), range(2))
    started = one
    assert one == other
    assert ensure_engine(file, ["false"]) == started
    for _ in range(300):
        if not file.exists():
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert not file.exists(), "--idle-exit ends an engine without work"


@pytest.mark.parametrize("option", [["--model", "nonsense"], ["--map", "nonsense"], ["--data", "tcp://*:5555"]])
def test_wrong_settings_are_said_before_anything_listens(tmp_path: Path, option: list[str]) -> None:
    assert main(["serve", "--connection", str(tmp_path / "engine.json"), "--state", str(tmp_path / "s"), *option]) == 2
    assert not (tmp_path / "engine.json").exists()


def test_a_host_needs_neither_torch_nor_numpy(tmp_path: Path) -> None:
    """The client as a host carries it: copied folders, pyzmq, and nothing else of ours."""
    package = Path(matanyone_engine.client.__file__).parents[1]
    for name in ("client", "wire"):
        folder = tmp_path / "vendor" / name
        folder.mkdir(parents=True)
        for path in (package / name).glob("*.py"):
            (folder / path.name).write_text(path.read_text())
    (tmp_path / "vendor" / "__init__.py").write_text("")
    (tmp_path / "engine").mkdir()
    with running(tmp_path / "engine") as engine:
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from pathlib import Path\n"
            "from vendor.client.client import EngineClient\n"
            "from vendor.client.launcher import find_engine\n"
            "from vendor.wire.messages import Status\n"
            f"with EngineClient(lambda: find_engine(Path({str(engine.file)!r}))) as client:\n"
            "    print(client.call(Status()).device)\n"
            "heavy = {'torch', 'numpy', 'OpenImageIO', 'matanyone_engine'} & set(sys.modules)\n"
            "sys.exit(f'loaded {heavy}' if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu\n"


def test_two_engines_of_a_user_do_not_share_sessions(tmp_path: Path) -> None:
    from matanyone_engine.cli.serve import _state_folder

    assert _state_folder(tmp_path / "a.json") != _state_folder(tmp_path / "b.json")


def test_the_connection_file_names_this_process(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        assert engine.process is not None
        assert find_engine(engine.file).pid == engine.process.pid
    assert not Engine(tmp_path).file.exists()


def test_metrics_are_what_prometheus_reads_and_stay_on_this_machine(tmp_path: Path) -> None:
    with running(tmp_path, "--metrics", "0") as engine, engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        assert len(list(shot.matte(numbers(0, 3), plate, mask()))) == 3
        with pytest.raises(WireError):
            shot.fetch(7)
        page = re.search(r"http://127\.0\.0\.1:\d+/metrics", engine.said())
        assert page is not None
        time.sleep(0.5)  # two ticks
        with urllib.request.urlopen(page[0], timeout=5) as answer:
            text = answer.read().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["matanyone_frames_total",] == 3
    assert samples["matanyone_faults_total", "out-of-order"] == 1
    assert samples["matanyone_sessions", "following"] == 1
    assert samples["matanyone_queued_frames",] == 0
    assert samples["matanyone_resident_bytes",] > 1e7
    assert 0 < samples["matanyone_device_seconds_total",] < 60
    assert shot.session not in text
