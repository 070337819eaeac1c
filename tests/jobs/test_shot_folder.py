# SPDX-License-Identifier: Apache-2.0
"""Which files and folders a batch takes for shots."""

from __future__ import annotations

from pathlib import Path

from matanyone_engine.jobs.shot_folder import shots_in


def test_files_that_a_plan_made_of_a_job_are_no_shots(tmp_path: Path) -> None:
    for name in ("sh010", "sh010.plan", "sh010.scout", "sh010.segment1", "sh010.segment12", "sh020.scouting"):
        (tmp_path / f"{name}.json").write_text("{}")
    assert [path.name for path in shots_in(tmp_path)] == ["sh010.json", "sh020.scouting.json"]
