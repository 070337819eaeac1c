# SPDX-License-Identifier: Apache-2.0
"""Job files: the desk, an engine and `run` give the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engines import running
from shots import Shot, files, make_shot

from matanyone_engine.cli.main import main
from matanyone_engine.errors import OutputError
from matanyone_engine.jobs.delivery import Outputs
from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.wire.reasons import REASONS


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot")


def saved(shot: Shot, *options: str) -> Path:
    """The shot as a job file, delivered to a folder of its own."""
    file = shot.folder / "sh010.json"
    assert main(shot.arguments("--save-job", str(file), *options)) == 0
    return file


def with_job(file: Path, **changes: object) -> None:
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "job": {**said["job"], **changes}}))


def test_desk_run_and_engine_give_the_same_bytes(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--colorspace", "ACEScg", "--exposure", "-1.5", "--layout", "layers", "--mask", f"hero={shot.mask}@1003"]
    options += ["--edge-grow", "-0.5", "--deflicker", "1"]
    assert main(shot.arguments(*options)) == 0
    desk = files(shot.out)
    assert len(desk) == 6
    file = saved(shot, *options)
    with_job(file, out=str(tmp_path / "ran" / "alpha.####.exr"))
    assert main(["run", str(file), "--cache", "0"]) == 0
    assert files(tmp_path / "ran") == desk
    with_job(file, out=str(tmp_path / "remote" / "alpha.####.exr"))
    with running(tmp_path, "--root", str(tmp_path)) as engine:
        assert main(["run", str(file), "--endpoint", str(engine.file)]) == 0
        assert files(tmp_path / "remote") == desk
        with_job(file, licence="commercial")
        assert main(["run", str(file), "--endpoint", str(engine.file)]) == 5
    assert "allows paid work" in capsys.readouterr().err


def test_saving_computes_nothing_and_looks_for_the_files(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(shot)
    assert not shot.out.exists()
    assert "6 frames" in capsys.readouterr().err
    said = json.loads(file.read_text())
    assert said["job"]["plate"] == shot.plate
    assert said["job"]["options"] == {"warm_up_passes": 1}
    assert main(shot.arguments("--save-job", str(file), "--mask", f"{shot.mask}@2000")) == 2
    assert main(shot.arguments("--save-job", str(file), "--frames", "1001-1010")) == 2


def test_a_job_beside_its_files_may_be_moved(shot: Shot) -> None:
    file = saved(shot)
    with_job(file, plate="plate.####.exr", mask="mask.exr", out="out/a.####.exr", model="./toy.safetensors")
    moved = shot.folder.rename(shot.folder.with_name("moved"))
    assert main(["run", str(moved / file.name)]) == 0
    assert len(files(moved / "out")) == 6


def test_weights_that_paid_work_may_not_use_are_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(saved(shot, "--licence", "commercial"))]) == 5
    assert main(shot.arguments("--licence", "commercial")) == 5
    assert "toy.safetensors, whose licence is unknown" in capsys.readouterr().err
    assert not shot.out.exists()
    assert main(["run", str(saved(shot, "--licence", "commercial", "--model", "mini", "--frames", "1001"))]) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plate": "P:/show/p.####.exr"}, "what its folder is called here"),
        ({"maks": 1}, "no field 'maks'"),
        ({"missing": "maybe"}, "'error' or 'skip'"),
    ],
    ids=str,
)
def test_a_bad_job_file_gives_an_error_in_one_sentence(
    shot: Shot, change: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(shot)
    with_job(file, **change)
    assert main(["run", str(file)]) == 2
    assert says in capsys.readouterr().err
    assert main(["run", str(file.with_name("nothing.json"))]) == 2


def test_every_view_gets_a_file(shot: Shot, tmp_path: Path) -> None:
    for path in shot.folder.glob("plate.*.exr"):
        for view in ("left", "right"):
            path.with_name(f"{view}.{path.name}").write_bytes(path.read_bytes())
            (shot.folder / f"{view}.mask.exr").write_bytes(shot.mask.read_bytes())
    command = ["matte", str(shot.folder / "%V.plate.####.exr"), "--mask", str(shot.folder / "%V.mask.exr")]
    command += ["--view", "all", "--out", str(tmp_path / "%V.####.exr"), "--settle", "1", "--model", str(shot.weights)]
    assert main([*command, "--save-job", str(tmp_path / "job.json")]) == 2
    assert main([*command, "--save-job", str(tmp_path / "job.%V.json")]) == 0
    assert main(["run", str(tmp_path / "job.left.json")]) == 0
    assert sorted(files(tmp_path)) == [f"left.{frame}.exr" for frame in range(1001, 1007)]


# ------------------------------------------------------------------------------------------------ what a queue reads


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_event_is_a_line_of_json(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(shot)
    assert main(["run", str(file), "--json"]) == 0
    said = events(capsys.readouterr().out)
    assert [each["event"] for each in said] == ["planned", *["frame"] * 6, "ended"]
    assert (said[0]["frames"], said[0]["size"], said[0]["licence"]) == (6, [64, 48], "unknown")
    assert [each["frame"] for each in said[1:-1]] == list(range(1001, 1007))
    assert all(Path(each["files"][0]).is_file() and each["of"] == 6 for each in said[1:-1])
    assert all(each["reason"] == REASONS[each["why"]] for each in said[1:-1] if each["confidence"] < DOUBTFUL)
    assert (said[-1]["outcome"], said[-1]["written"]) == ("finished", 6)
    assert main(["run", str(file), "--json"]) == 0
    said = events(capsys.readouterr().out)
    assert [each["event"] for each in said] == ["planned", "reused", "ended"]
    assert said[1]["frames"] == "1001-1006"


def test_a_frame_that_fails_is_named_in_the_lines_and_the_record(
    shot: Shot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Outputs.write

    def full(self: Outputs, frame: int, *rest: Any) -> Any:
        if frame == 1003:
            raise OutputError(expected="room", came="none left", action="Free some.")
        return write(self, frame, *rest)

    monkeypatch.setattr(Outputs, "write", full)
    file = saved(shot)
    assert main(["run", str(file), "--json"]) == 6
    failed, ended = events(capsys.readouterr().out)[-2:]
    assert (failed["event"], failed["frame"], failed["state"]) == ("frame", 1003, "failed")
    assert (ended["exit"], ended["error"]["kind"], ended["error"]["got"]) == (6, "OutputError", "none left")
    record = json.loads((shot.out / "alpha.matanyone.json").read_text())
    assert (record["state"], record["run"]["done"], record["run"]["failed"]["frame"]) == ("stopped", "1001-1002", 1003)
    monkeypatch.undo()
    assert main(["run", str(file), "--report", "openjd"]) == 0
    assert "openjd_status: 2 alphas are up to date" in capsys.readouterr().out
    record = json.loads((shot.out / "alpha.matanyone.json").read_text())
    assert (record["state"], record["run"]["done"], record["run"]["reused"]) == ("finished", "1003-1006", "1001-1002")


def test_a_long_job_sends_heartbeats(
    shot: Shot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matanyone_engine.cli.reporting.HEARTBEAT_S", 0.005)
    assert main(["run", str(saved(shot)), "--json"]) == 0
    beats = [each for each in events(capsys.readouterr().out) if each["event"] == "heartbeat"]
    assert beats
    assert all(each["silent_s"] >= 0 for each in beats)


def test_a_farms_path_rules_are_followed(shot: Shot, tmp_path: Path) -> None:
    file, rules = saved(shot), tmp_path / "rules.json"
    with_job(file, plate="P:\\show\\plate.####.exr", out="P:/show/out/alpha.####.exr", mask="P:/show/mask.exr")
    said = {"source_path_format": "WINDOWS", "source_path": "P:\\show", "destination_path": str(shot.folder)}
    rules.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [said]}))
    assert main(["run", str(file)]) == 2
    assert main(["run", str(file), "--path-rules", str(rules)]) == 0
    assert len(files(shot.out)) == 6
    rules.write_text("[]")
    assert main(["run", str(file), "--path-rules", str(rules)]) == 2


def test_a_reader_that_goes_away_stops_no_shot(shot: Shot) -> None:
    """`matanyone-engine run JOB --json | head -1`"""
    command = [sys.executable, "-m", "matanyone_engine", "run", str(saved(shot)), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "event" in json.loads(process.stdout.readline())
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "BrokenPipe" not in said
    assert len(files(shot.out)) == 6
