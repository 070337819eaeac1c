# SPDX-License-Identifier: Apache-2.0
"""docs/training.md is run: its commands as written, in a folder laid out as it says, only shorter and smaller."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import layouts as tiny
import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "training.md").read_text()
BIN = Path(sys.executable).parent
# argparse takes the last of a repeated option.
SHORTER = {
    "draw": ["--clips", "1", "--length", "3"],
    "train": ["--iterations", "2", "--batch", "2", "--crop", "64", "80", "--threads", "1", "--device", "cpu"],
    "matte": ["--settle", "1", "--device", "cpu", "--accept-doubt"],
    "evaluate": [],
}


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.S) for line in block.splitlines()]


def verb(command: list[str]) -> str:
    return next(word for word in command if word in SHORTER)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guide asks for: mattes, backgrounds, and a shot with its truth."""
    folder = tmp_path_factory.mktemp("studio")
    tiny.write_matting_video(folder / "data", "ours", clips=2, frames=4)
    tiny.write_backgrounds(folder / "data")
    for frame in (1001, 1002):
        tiny.save(folder / f"shot/plate.{frame}.png", tiny.picture(1))
        tiny.save(folder / f"shot/truth.{frame}.png", tiny.blob(frame - 1001))
    tiny.save(folder / "shot/mask.1001.png", tiny.blob(0))
    return folder


def test_the_guide_has_these_commands() -> None:
    assert [verb(command) for command in commands()] == ["draw", "train", "train", "matte", "evaluate"]


def test_the_guides_commands_run_in_order(studio: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands():
        full = [str(BIN / command[0]), *command[1:], *SHORTER[verb(command)]]
        done = subprocess.run(
            full, check=False, cwd=studio, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    for made in (
        "runs/ours/weights.safetensors",
        "runs/both/log.csv",
        "out/alpha.1002.exr",
        "scores.json",
        "scores.png",
    ):
        assert (studio / made).is_file(), made
    assert len((studio / "runs/both/log.csv").read_text().splitlines()) == 3


def test_the_photographs_in_the_docs_are_those_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "mini"))
    import backgrounds

    table = (ROOT / "docs" / "training_data.md").read_text()
    rows = {
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in table.splitlines() if line.startswith("|")
    }
    for source in backgrounds.SOURCES:
        names = ", ".join(name.removesuffix(".js") for name in source.pictures)
        use = "held-out set" if source.held_out else "training"
        assert (source.package, names, source.author, source.licence, use) in rows
    assert len(rows) == len(backgrounds.SOURCES) + 2  # the header and the rule
    assert {source.licence.split("-")[0] for source in backgrounds.SOURCES} <= {"CC0", "CC", "public domain"}
