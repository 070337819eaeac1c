# SPDX-License-Identifier: Apache-2.0
"""Commands whose lines nobody reads: what they do is done all the same, and an answer that is lost is an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shots import files, make_shot

COMMAND = [sys.executable, "-m", "matanyone_engine"]
HEARD: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return Path(make_shot(tmp_path, count=1).mask)


def test_a_run_continues_when_its_output_pipe_is_closed(tmp_path: Path) -> None:
    """`matanyone-engine matte ... 2>&1 | head -1`"""
    shot = make_shot(tmp_path, count=2)
    command = [*COMMAND, *shot.arguments("--accept-doubt")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        assert run.stderr is not None
        run.stderr.close()
        assert run.wait(120) == 0
    assert len(files(shot.out)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_process_without_standard_streams_works(picture: Path, closed: str) -> None:
    line = f'"$@" {closed}'
    ran = subprocess.run(["sh", "-c", line, "sh", *COMMAND, "info", str(picture)], check=False, **HEARD)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_answer_that_cannot_be_written_is_an_error(picture: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*COMMAND, "info", str(picture)], check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert ran.returncode == 6
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted there")
def test_a_current_folder_that_is_gone_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "from matanyone_engine.cli.main import main; raise SystemExit(main(['doctor']))"
    line = 'cd gone; rmdir ../gone; "$@"'
    ran = subprocess.run(["sh", "-c", line, "sh", sys.executable, "-c", program], check=False, cwd=tmp_path, **HEARD)
    assert ran.returncode == 2
    assert "current folder" in ran.stderr
