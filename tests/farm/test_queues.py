# SPDX-License-Identifier: Apache-2.0
"""What is submitted to Deadline 10 and OpenCue, and the plain loop; without either, as files."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from shots import Shot, files, make_shot

from matanyone_engine.cli.main import main
from matanyone_engine.cli.reporting import DeadlineLines

FARM = Path(__file__).resolve().parents[2] / "farm"
BIN = Path(sys.executable).parent

# Of AWS' Deadline plug-ins: a line like one of these fails a task whatever its exit code.
DEADLINE_FAILURES = (r".*(Error|ERROR)[:\s].*", r".*Traceback \(most recent call last\).*", r".*[Ff]atal.*")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shot, Path]:
    """A shot of three segments, and its plan."""
    shot = make_shot(tmp_path_factory.mktemp("queue"), count=9)
    masks = ["--mask", f"{shot.mask}@1003", "--mask", f"{shot.mask}@1006"]
    assert main(shot.arguments(*masks, "--save-job", str(shot.folder / "sh010.json"))) == 0
    assert main(["plan", str(shot.folder / "sh010.json"), "--segments", "3"]) == 0
    return shot, shot.folder / "sh010.plan.json"


def python(script: str, *arguments: object) -> None:
    subprocess.run([sys.executable, str(FARM / script), *map(str, arguments)], check=True)


def test_deadline_gets_a_task_a_segment_and_a_merge_that_waits(planned: tuple[Shot, Path], tmp_path: Path) -> None:
    _, plan = planned
    python("deadline/submit.py", plan, "--pool", "gpu", "--dry-run", tmp_path)
    said = {
        path.name: dict(line.split("=", 1) for line in path.read_text().splitlines()) for path in tmp_path.iterdir()
    }
    matte, merge = said["matte.job.info"], said["merge.job.info"]
    assert (matte["Plugin"], matte["Frames"], matte["ChunkSize"], matte["Pool"]) == ("CommandLine", "1-3", "1", "gpu")
    assert (merge["Frames"], merge["JobDependencies"]) == ("1", "ID_OF_MATTE")
    run = said["matte.plugin.info"]["Arguments"]
    assert run == f'run "{plan}" --report deadline --segment <STARTFRAME>'
    assert said["merge.plugin.info"]["Arguments"].startswith(f'merge "{plan}"')


def test_opencue_gets_two_layers_and_a_dependency(planned: tuple[Shot, Path], tmp_path: Path) -> None:
    _, plan = planned
    where = ["--show", "film", "--shot", "sh010", "--user", "ann"]
    python("opencue/submit.py", plan, *where, "--dry-run", tmp_path / "spec.xml")
    spec = Xml.fromstring((tmp_path / "spec.xml").read_text())
    layers = {layer.attrib["name"]: layer for layer in spec.iter("layer")}
    assert {name: layer.findtext("range") for name, layer in layers.items()} == {"matte": "1-3", "merge": "1-1"}
    assert layers["matte"].findtext("cmd") == f"matanyone-engine run {plan} --segment #IFRAME#"
    assert (layers["matte"].findtext("gpus"), layers["merge"].findtext("gpus")) == ("1", None)
    depend = spec.find("depends/depend")
    assert depend is not None
    assert (depend.findtext("deplayer"), depend.findtext("onlayer")) == ("merge", "matte")


HOSTILE = (
    "sh 010",
    "sh$(touch PWNED)",
    "sh; touch PWNED",
    "sh`touch PWNED`",
    "it's",
    'say "hi" --help',
    "a & touch PWNED",
    "back\\slash",
)


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A plan in a folder with a name that a shell would run, or take for several."""
    plan = tmp_path / request.param / "a.plan.json"
    plan.parent.mkdir(parents=True)
    segments = [{"file": "a.1.json"}, {"file": "a.2.json"}]
    plan.write_text(json.dumps({"format": "matanyone-plan", "version": 1, "scout": None, "segments": segments}))
    return plan


def recorder(folder: Path) -> dict[str, str]:
    """An environment whose matanyone-engine writes each of its arguments on a line."""
    fake = folder / "bin" / "matanyone-engine"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" >> '{folder}/arguments'\n")
    fake.chmod(0o755)
    return {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "PAUSE": "0"}


def test_opencue_gets_a_name_as_one_argument_of_its_shell(hostile: Path, tmp_path: Path) -> None:
    where = ["--show", "film", "--shot", "sh010", "--user", "ann"]
    python("opencue/submit.py", hostile, *where, "--dry-run", tmp_path / "spec.xml")
    command = Xml.fromstring((tmp_path / "spec.xml").read_text()).findtext(".//layer[@name='matte']/cmd")
    command = str(command).replace("#IFRAME#", "2")  # as OpenCue does
    subprocess.run(["bash", "-c", command], env=recorder(tmp_path), cwd=tmp_path, check=True)
    assert (tmp_path / "arguments").read_text().splitlines() == ["run", str(hostile), "--segment", "2"]
    assert not list(tmp_path.rglob("PWNED"))


def test_deadline_gets_a_name_as_one_argument(hostile: Path, tmp_path: Path) -> None:
    python("deadline/submit.py", hostile, "--dry-run", tmp_path / "files")
    info = (tmp_path / "files" / "matte.plugin.info").read_text()
    (said,) = [line.partition("=")[2] for line in info.splitlines() if line.startswith("Arguments=")]
    # Inside double quotes a backslash escapes itself and the quote, as where Deadline starts processes.
    assert shlex.split(said) == ["run", str(hostile), "--report", "deadline", "--segment", "<STARTFRAME>"]


def test_the_plain_loop_gets_a_name_as_one_argument(hostile: Path, tmp_path: Path) -> None:
    job = str(hostile).replace(".plan.json", ".json")
    command = ["bash", str(FARM / "shell" / "segments.sh"), job, "2"]
    subprocess.run(command, env=recorder(tmp_path), cwd=tmp_path, check=True)
    runs = ["run", str(hostile), "--scout", "run", str(hostile), "--segment=1", "run", str(hostile), "--segment=2"]
    assert (tmp_path / "arguments").read_text().splitlines() == [*runs, "merge", str(hostile)]
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.parametrize("name", ["x\nPreJobScript=/tmp/evil.py\ny", "bell\a", "x\u2028y", "x\x85y"])
def test_line_breaks_and_control_characters_are_refused(name: str, tmp_path: Path) -> None:
    plan = tmp_path / name / "a.plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text('{"scout": null, "segments": [{"file": "a.json"}]}')
    where = ["--show", "film", "--shot", "sh010", "--user", "ann"]
    submitters = [
        [sys.executable, FARM / "deadline" / "submit.py", plan, "--dry-run", tmp_path / "out"],
        [sys.executable, FARM / "opencue" / "submit.py", plan, *where, "--dry-run", tmp_path / "out"],
    ]
    if name.isascii():
        submitters.append(["bash", FARM / "shell" / "segments.sh", str(plan).replace(".plan.json", ".json"), "2"])
    for command in submitters:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "control characters" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_commands_of_the_queues_are_commands_of_ours(
    planned: tuple[Shot, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, plan = planned
    for segment in (1, 2, 3, 4):
        assert main(["run", str(plan), "--segment", str(segment), "--report", "deadline"]) == 0
    assert main(["merge", str(plan), "--report", "deadline"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^Progress: 100%$", said.out, re.MULTILINE)
    assert main(["run", str(plan), "--segment", "0"]) == 2
    for line in (said.out + said.err).splitlines():
        assert not any(re.match(pattern, line) for pattern in DEADLINE_FAILURES), line
    assert DeadlineLines  # what wrote them


def test_the_plain_loop_needs_no_queue(planned: tuple[Shot, Path]) -> None:
    shot, plan = planned
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(FARM / "shell" / "segments.sh"), str(plan).replace(".plan.json", ".json"), "3"]
    subprocess.run(command, env={**os.environ, "PATH": path, "PAUSE": "0"}, check=True, capture_output=True)
    assert len(files(shot.out)) == 9
