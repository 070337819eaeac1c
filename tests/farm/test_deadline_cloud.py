# SPDX-License-Identifier: Apache-2.0
"""What AWS Deadline Cloud gets beside the job template: a queue environment, and the recipe of a conda package.

The environment is checked and run by Open Job Description's own tool, with a conda that only writes down what it was
asked for. The recipe is read by rattler-build. No Deadline Cloud, no conda and no channel is there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import rattler_build
import yaml

from matanyone_engine.version import __version__

ROOT = Path(__file__).resolve().parents[2]
CLOUD = ROOT / "farm" / "deadline-cloud"
BIN = Path(sys.executable).parent

JOB = """
specificationVersion: jobtemplate-2023-09
name: Says where its program lies
steps:
  - name: Ask
    script:
      actions:
        onRun: {command: matanyone-engine, args: ["--where"]}
"""
CONDA = """#!/bin/bash
printf '%s\\n' "$@" >> "$RECORD"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin"
printf '#!/bin/bash\\necho "I lie in $(dirname "$0")"\\n' > "$2/bin/matanyone-engine"
chmod +x "$2/bin/matanyone-engine"
"""


def openjd(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [str(BIN / "openjd"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_queue_environment_is_valid() -> None:
    assert "passes validation" in openjd("check", str(CLOUD / "queue_environment.yaml"))


def test_tasks_find_the_engine_that_conda_installed(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "bin").mkdir()
    conda = tmp_path / "bin" / "conda"
    conda.write_text(CONDA)
    conda.chmod(0o755)
    path, record = f"{conda.parent}{os.pathsep}{os.environ['PATH']}", tmp_path / "asked"
    given = [
        "-p",
        "MatAnyonePackages=matanyone-engine=0.1.0 $(touch PWNED)",
        "-p",
        "MatAnyoneChannels=s3://b/C conda-forge",
    ]
    run = ["run", str(tmp_path / "job.yaml"), "--environment", str(CLOUD / "queue_environment.yaml"), *given]
    said = openjd(*run, PATH=path, RECORD=str(record))
    folder = Path(re.search(r"I lie in (.+)", said)[1])
    assert folder.parts[-2:] == ("matanyone-conda", "bin")
    assert not folder.exists(), "it is removed when the session ends"
    asked = record.read_text().splitlines()
    assert asked == [
        *("create", "--yes", "--quiet", "--prefix", str(folder.parent), "--override-channels"),
        *("--channel", "s3://b/C", "--channel", "conda-forge", "--", "matanyone-engine=0.1.0", "$(touch", "PWNED)"),
    ]


def test_rattler_build_reads_the_recipe_and_it_is_of_this_version() -> None:
    (variant,) = rattler_build.Stage0Recipe.from_file(str(CLOUD / "recipe" / "recipe.yaml")).render()
    recipe = variant.recipe.to_dict()
    assert recipe["package"] == {"name": "matanyone-engine", "version": __version__}
    assert recipe["source"][0]["path"].endswith(f"/matanyone_engine-{__version__}-py3-none-any.whl")


def test_the_recipe_needs_what_the_wheel_needs() -> None:
    """conda-forge's names of the libraries that pyproject.toml lists, with the same least releases."""
    names = {"torch": "pytorch", "openimageio": "py-openimageio", "openexr": "openexr-python"}
    names["opencv-python-headless"] = "py-opencv"
    engine = re.search(r"^engine = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    wanted = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', engine[1]))
    recipe = yaml.safe_load((CLOUD / "recipe" / "recipe.yaml").read_text())
    said = dict(line.split(" >=") for line in recipe["requirements"]["run"])
    assert said.pop("python") == "3.10"
    assert said == {names.get(name, name): least for name, least in wanted.items()}
