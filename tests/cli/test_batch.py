# SPDX-License-Identifier: Apache-2.0
"""A folder of shots, some of them broken: the good ones finish, each bad one is a line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from shots import Shot, files, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.jobs.job import MatteJob
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.wire import messages as say

BROKEN = {
    "sh02": "no mask",
    "sh05": "a mask of another size",
    "sh08": "a frame cut short",
    "sh11": "a frame missing",
    "sh14": "no plate",
    "sh17": "a mask without a number",
    "sh19": "a bad job file",
}


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return make_shot(tmp_path_factory.mktemp("source"), count=4)


@pytest.fixture
def like(shot: Shot, tmp_path: Path) -> Path:
    """Options of the whole batch: toy weights, one refinement."""
    assert main(shot.arguments("--save-job", str(tmp_path / "like.json"), "--layout", "alpha")) == 0
    return tmp_path / "like.json"


def lay_out(shot: Shot, folder: Path, count: int) -> None:
    for number in range(1, count + 1):
        one = folder / f"sh{number:02d}"
        (one / "plate").mkdir(parents=True)
        (one / "mask").mkdir()
        for plate in shot.folder.glob("plate.*.exr"):
            shutil.copy(plate, one / "plate")
        shutil.copy(shot.mask, one / "mask" / "roto.1001.exr")


def break_some(folder: Path) -> None:
    (folder / "sh02" / "mask" / "roto.1001.exr").unlink()
    write_image(folder / "sh05" / "mask" / "roto.1001.exr", np.ones((7, 9, 1)), ("Y",))
    cut = folder / "sh08" / "plate" / "plate.1003.exr"
    cut.write_bytes(cut.read_bytes()[:-500])
    (folder / "sh11" / "plate" / "plate.1002.exr").unlink()
    shutil.rmtree(folder / "sh14" / "plate")
    (folder / "sh17" / "mask" / "roto.1001.exr").rename(folder / "sh17" / "mask" / "roto.exr")
    shutil.rmtree(folder / "sh19")
    (folder / "sh19.json").write_text('{"format": "matanyone-job", "version": 1, "job": {"plate": 3}}')


def test_twenty_shots_some_of_them_broken(
    shot: Shot, like: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shots"
    lay_out(shot, folder, 20)
    break_some(folder)
    assert main(["batch", str(folder), "--like", str(like), "--json"]) == 12
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    over = {each["shot"]: each for each in events if each["event"] == "shot"}
    assert len(over) == 20
    assert {name for name, each in over.items() if each["outcome"] == "failed"} == set(BROKEN)
    assert {over[name]["exit"] for name in BROKEN} == {2}
    for name, each in over.items():
        assert name in BROKEN or (each["written"], len(files(folder / name / "alpha"))) == (4, 4)
    failed = [line for line in said.err.splitlines() if line.startswith("failed  ")]
    assert [line.split()[1].rstrip(":") for line in failed] == sorted(BROKEN)
    assert "Traceback" not in said.err
    assert events[-1]["error"]["kind"] == "PartlyDone"
    page = (folder / "batch_report" / "index.html").read_text()
    assert page.count('class="failed"') == len(BROKEN) + 1  # and in the summary
    assert page.count("<img") == 20 - len(BROKEN)
    assert read_image(folder / "batch_report" / "sh01.png").std() > 0.05


def test_a_second_batch_runs_only_the_shots_that_failed(
    shot: Shot, like: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shots"
    lay_out(shot, folder, 3)
    (folder / "sh02" / "mask" / "roto.1001.exr").rename(tmp_path / "mask.exr")
    assert main(["batch", str(folder), "--like", str(like)]) == 12
    (tmp_path / "mask.exr").rename(folder / "sh02" / "mask" / "roto.1001.exr")
    capsys.readouterr()
    assert main(["batch", str(folder), "--like", str(like), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = {each["shot"]: (each["written"], each["reused"]) for each in events if each["event"] == "shot"}
    assert counts == {"sh01": (0, 4), "sh02": (4, 0), "sh03": (0, 4)}


def test_a_batch_may_be_submitted(shot: Shot, like: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, jobs = tmp_path / "shots", tmp_path / "jobs"
    lay_out(shot, folder, 2)
    shutil.copy(shot.mask, folder / "sh02" / "mask" / "dog.1002.exr")
    queue = f'{sys.executable} -c \'import sys; open(sys.argv[1] + ".queued", "w")\' {{job}}'
    assert main(["batch", str(folder), "--like", str(like), "--save-jobs", str(jobs), "--submit", queue]) == 0
    assert sorted(path.name for path in jobs.glob("*.queued")) == ["sh01.json.queued", "sh02.json.queued"]
    said = json.loads((jobs / "sh02.json").read_text())["job"]
    assert [(key.get("object", "subject"), key["frames"]) for key in said["keys"]] == [
        ("dog", [1002]),
        ("subject", [1001]),
    ]
    assert said["delivery"] == {"layout": "alpha"}
    assert main(["run", str(jobs / "sh01.json")]) == 0
    assert len(files(folder / "sh01" / "alpha")) == 4
    no_queue = f"{sys.executable} -c 'raise SystemExit(\"no such queue\")'"
    capsys.readouterr()
    assert main(["batch", str(folder), "--like", str(like), "--save-jobs", str(jobs), "--submit", no_queue]) == 12
    assert "no such queue" in capsys.readouterr().err


def test_a_batch_survives_a_defect_on_one_shot(
    shot: Shot, like: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library raises on one shot (here ours, by force), the others are done."""
    folder = tmp_path / "shots"
    lay_out(shot, folder, 3)

    def harmed(job: say.Job) -> MatteJob:
        return {}["sh02"] if "sh02" in job.plate else matte_job(job)

    monkeypatch.setattr("matanyone_engine.cli.batch.matte_job", harmed)
    assert main(["batch", str(folder), "--like", str(like), "--json"]) == 12
    said = capsys.readouterr()
    over = {each["shot"]: each for each in map(json.loads, said.out.splitlines()) if each["event"] == "shot"}
    assert {name: each["exit"] for name, each in over.items()} == {"sh01": 0, "sh02": 1, "sh03": 0}
    assert "KeyError: 'sh02'" in over["sh02"]["error"]["got"]


def test_a_folder_without_shots_is_bad_input(tmp_path: Path) -> None:
    assert main(["batch", str(tmp_path)]) == 2
    assert main(["batch", str(tmp_path / "nothing")]) == 2
