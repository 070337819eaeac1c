# SPDX-License-Identifier: Apache-2.0
"""The submission file for Royal Render against its document, and its scripts, run. No Royal Render runs here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from shots import files, make_shot

from matanyone_engine.cli.main import main

SUBMIT = Path(__file__).resolve().parents[2] / "farm" / "royalrender" / "submit.py"
BIN = Path(sys.executable).parent

# The page "rrJob submit xml file" of Royal Render's help names these as required, in a <Job> of an <rrJob_submitFile>.
REQUIRED = {
    *("Software", "Renderer", "Version", "SceneName", "IsActive", "SeqStart", "SeqEnd", "SeqStep", "SeqFileOffset"),
    *("ImageDir", "ImageFilename", "ImageExtension", "ImagePreNumberLetter"),
}
ALLOWED = REQUIRED | {"SceneOS", "Layer", "ImageSingleOutputFile", "PreID", "WaitForPreID"}


def submit(*arguments: object, fails: bool = False) -> str:
    command = [sys.executable, str(SUBMIT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


def jobs_of(file: Path) -> list[Xml.Element]:
    root = Xml.fromstring(file.read_text())
    assert (root.tag, root.attrib, root.findtext("DeleteXML")) == ("rrJob_submitFile", {"syntax_version": "6.0"}, "0")
    return root.findall("Job")


def test_the_clients_make_the_files_of_one_run(tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "it's a shot; touch PWNED", count=6)
    job, out = shot.folder / "sh010.json", tmp_path / "rr"
    assert main(shot.arguments("--mask", f"{shot.mask}@1004", "--save-job", str(job))) == 0
    assert main(["plan", str(job), "--segments", "2"]) == 0
    submit(shot.folder / "sh010.plan.json", "--out", out)
    done: set[str] = set()
    for each in jobs_of(out / "submit.xml"):
        said = {element.tag: element.text or "" for element in each}
        assert set(said) >= REQUIRED
        assert set(said) <= ALLOWED
        assert (said["Software"], said["SeqStart"], said["SeqEnd"]) == ("Execute", "1", "1")
        waits = {element.text for element in each.findall("WaitForPreID")}
        assert waits <= done, "it waits for jobs that come before it"
        result = Path(said["ImageDir"]) / said["ImageFilename"]
        assert not result.exists()
        environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run([said["SceneName"]], env=environment, cwd=tmp_path, check=True, timeout=240)
        assert result.is_file(), "Royal Render looks for this file"
        done.add(said["PreID"])
    assert waits == {"0", "1"}, "the merge waits for both segments"
    assert len(files(shot.out)) == 6
    assert not list(tmp_path.rglob("PWNED"))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "a.plan.json"
    path.write_text('{"scout": null, "segments": [{"file": "a.1.json"}]}')
    return path


def test_segments_wait_for_a_scout(plan: Path, tmp_path: Path) -> None:
    plan.write_text('{"scout": {"file": "a.0.json"}, "segments": [{"file": "a.1.json"}, {"file": "a.2.json"}]}')
    submit(plan, "--out", tmp_path / "rr")
    waits = [[each.text for each in job.findall("WaitForPreID")] for job in jobs_of(tmp_path / "rr" / "submit.xml")]
    assert waits == [[], ["0"], ["0"], ["1", "2"]]


def test_a_failure_leaves_nothing_behind_that_looks_done(plan: Path, tmp_path: Path) -> None:
    submit(plan, "--out", tmp_path / "rr")
    fake = tmp_path / "bin" / "matanyone-engine"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 13\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
    script = tmp_path / "rr" / "segment-1.sh"
    assert subprocess.run([str(script)], env=environment, check=False, timeout=60).returncode == 13
    assert not (tmp_path / "rr" / "segment-1.done").exists()


def test_windows_gets_a_batch_file(plan: Path, tmp_path: Path) -> None:
    submit(plan, "--out", tmp_path / "rr", "--system", "windows")
    said = (tmp_path / "rr" / "segment-1.bat").read_bytes()
    assert b'matanyone-engine "run" "' + str(plan).encode() + b'" "--segment" "1" || exit /b\r\n' in said
    assert b"\n" not in said.replace(b"\r\n", b"")
    assert jobs_of(tmp_path / "rr" / "submit.xml")[0].findtext("SceneOS") == "windows"


@pytest.mark.parametrize(
    ("name", "system"), [("a<b", "linux"), ("a\nb", "linux"), ("100%", "windows"), ("a&b", "windows")]
)
def test_a_name_that_would_be_replaced_is_refused(name: str, system: str, plan: Path, tmp_path: Path) -> None:
    assert "Rename it." in submit(plan, "--out", tmp_path / name, "--system", system, fails=True)
    assert not (tmp_path / name).exists()
