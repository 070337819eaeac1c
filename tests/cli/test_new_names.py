# SPDX-License-Identifier: Apache-2.0
"""Every option that names a new file or folder refuses names that Windows cannot open."""

from __future__ import annotations

from pathlib import Path

import pytest

from matanyone_engine.cli.main import main


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--stage", "mini-1", "--data", ".", "--out"],
        ["draw", "--clips", "1", "--data"],
        ["batch", ".", "--save-jobs"],
        ["blender", "build", "--out"],
        ["nuke", "install", "--nuke-path"],
        ["keys", "new"],
        ["serve", "--state"],
        ["serve", "--connection"],
    ],
    ids=lambda command: " ".join(part for part in command if part.isalpha()) + command[-1].lstrip("-"),
)
def test_a_name_that_windows_cannot_open_is_refused(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, str(tmp_path / "take:01" / "aux")]) == 2
    assert "device AUX" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_keeps_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "take:01").mkdir()
    assert main(["keys", "new", str(tmp_path / "take:01")]) == 0
    assert main(["keys", "new", str(tmp_path / "take:01" / "nul")]) == 2
    assert "device NUL" in capsys.readouterr().err
