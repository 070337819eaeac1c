# SPDX-License-Identifier: Apache-2.0
"""The job type for Flamenco, compiled by a JavaScript engine as Flamenco's Manager does it, and its tasks carried out.

No Manager runs here. What is checked of its rules: the names and types of settings, that a task has a type that workers
take, that only commands are used which a worker knows, and that dependencies come before the tasks that wait for them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shots import make_shot, read_image

from matanyone_engine.cli.main import main

SCRIPT = Path(__file__).resolve().parents[2] / "farm/flamenco/matanyone_matte.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node here: apt-get install nodejs")

# What a job compiler script is given: author and job; what it made is printed.
MANAGER = """
const vm = require("vm"), fs = require("fs");
const [script, settings] = process.argv.slice(1);
const made = [];
const author = {
    Task: (name, type) => ({
        name, type, commands: [], dependencies: [],
        addCommand(command) { this.commands.push(command); },
        addDependency(task) { this.dependencies.push(task); },
    }),
    Command: (name, parameters) => ({ name, parameters }),
};
const context = vm.createContext({ author, print: () => {} });
const text = fs.readFileSync(script, "utf8") + "; this.type = JOB_TYPE; this.compile = compileJob;";
vm.runInContext(text, context);
context.compile({ settings: JSON.parse(settings), addTask: (task) => made.push(task) });
const tasks = made.map(({ name, type, commands, dependencies }) =>
    ({ name, type, commands, dependencies: dependencies.map((each) => made.indexOf(each)) }));
console.log(JSON.stringify({ type: context.type, tasks }));
"""


def compiled(**settings: Any) -> dict[str, Any]:
    """What the Manager would know of the job type, and the tasks of a job with these settings."""
    command = [str(NODE), "-e", MANAGER, str(SCRIPT), json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_job_type_is_one_that_flamenco_takes() -> None:
    told = compiled(job_file="/show/sh010.json", segments=2, split=False)
    assert set(told["type"]) == {"label", "description", "settings"}
    for setting in told["type"]["settings"]:
        assert setting["type"] in ("string", "int32", "float", "bool")
        assert setting.get("subtype", "file_path") == "file_path"
        assert ("default" in setting) != setting.get("required", False)
    for task in told["tasks"]:
        assert task["type"] == "misc"
        for command in task["commands"]:
            assert command["name"] == "exec"
            assert command["parameters"]["exe"] == "{matanyone}"
            assert all(isinstance(word, str) for word in command["parameters"]["args"])


def test_segments_wait_for_the_plan_and_the_merge_for_the_segments() -> None:
    tasks = compiled(job_file="/show/sh 010.json", segments=2, split=True)["tasks"]
    assert [task["name"] for task in tasks] == ["plan", "scout", "segment-1", "segment-2", "merge"]
    assert [task["dependencies"] for task in tasks] == [[], [0], [1], [1], [2, 3]]
    words = [task["commands"][0]["parameters"]["args"] for task in tasks]
    assert words[0] == ["plan", "--segments", "2", "--split", "--", "/show/sh 010.json"]
    assert words[3] == ["run", "--segment", "2", "--", "/show/sh 010.plan.json"]


def test_a_file_that_is_no_job_file_is_refused() -> None:
    command = [str(NODE), "-e", MANAGER, str(SCRIPT), json.dumps({"job_file": "/show/sh010.nk", "segments": 1})]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "expected a job file" in done.stderr


def test_the_tasks_give_the_alphas_of_one_run(tmp_path: Path) -> None:
    """Three segments are planned and the keys allow two: the third has nothing to do."""
    shot = make_shot(tmp_path, count=6)
    masks = ["--mask", f"{shot.mask}@1004"]
    job = tmp_path / "sh010.json"
    assert main(shot.arguments(*masks, "--save-job", str(job))) == 0
    for task in compiled(job_file=str(job), segments=3, split=False)["tasks"]:
        for command in task["commands"]:
            assert main(command["parameters"]["args"]) == 0
    out = Path(json.loads(job.read_text())["job"]["out"])
    ours = [read_image(out.with_name(out.name.replace("####", str(frame)))) for frame in range(1001, 1007)]
    alone = tmp_path / "alone"
    assert main([*_elsewhere(shot.arguments(*masks), alone)]) == 0
    for frame, made in zip(range(1001, 1007), ours, strict=True):
        assert np.array_equal(made, read_image(alone / f"a.{frame}.exr"))


def _elsewhere(words: list[str], folder: Path) -> list[str]:
    """The same command with its alphas in another folder."""
    at = words.index("--out")
    return [*words[: at + 1], str(folder / "a.####.exr"), *words[at + 2 :]]
