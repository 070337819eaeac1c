# SPDX-License-Identifier: Apache-2.0
"""JSON that people write may begin with a byte order mark, as editors and PowerShell on Windows write it."""

from __future__ import annotations

import codecs
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from nuke_host import installed

from matanyone_engine.jobs.job_files import load_job, read_file, read_plan
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.model import licences
from matanyone_engine.runs.record import read_record

FARM = Path(__file__).resolve().parents[1] / "farm"
JOB = {
    "format": "matanyone-job",
    "version": 1,
    "job": {"plate": "P:/sh/plate.####.exr", "mask": "P:/sh/mask.exr", "out": "P:/sh/out.####.exr"},
}
RULES = {"path_mapping_rules": [{"source_path": "P:/sh", "destination_path": "/mnt/sh"}]}
PLAN = {"format": "matanyone-plan", "version": 1, "job": "j.json", "scout": None, "segments": [{"file": "j.1.json"}]}


def marked(path: Path, said: object) -> Path:
    """Write JSON as Windows' editors do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(said).encode())
    return path


def test_a_job_and_its_path_rules(tmp_path: Path) -> None:
    job, rules = marked(tmp_path / "job.json", JOB), marked(tmp_path / "rules.json", RULES)
    assert read_file(job).job.plate == "P:/sh/plate.####.exr"
    assert load_job(job, rules).out == "/mnt/sh/out.####.exr"


def test_a_plan(tmp_path: Path) -> None:
    assert read_plan(marked(tmp_path / "j.plan.json", PLAN)).segments == (tmp_path / "j.1.json",)


def test_the_settings_of_a_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "settings_files", lambda: [tmp_path / "settings.json"])
    monkeypatch.delenv(licences.ALLOWED_VARIABLE, raising=False)
    marked(tmp_path / "settings.json", {"allowed_licenses": ["Apache-2.0"]})
    assert licences.read_policy().allows("Apache-2.0")
    assert not licences.read_policy().allows("S-Lab-1.0")


def test_a_record_that_somebody_saved_again(tmp_path: Path) -> None:
    record = read_record(marked(tmp_path / "record.json", {"software": SOFTWARE, "state": "finished"}))
    assert record is not None
    assert record.state == "finished"


@pytest.mark.parametrize("queue", ["opencue", "deadline"])
def test_a_plan_that_is_submitted(tmp_path: Path, queue: str) -> None:
    plan = marked(tmp_path / "j.plan.json", PLAN)
    more = ["--show", "f", "--shot", "s", "--user", "u"] if queue == "opencue" else []
    command = [sys.executable, str(FARM / queue / "submit.py"), str(plan), *more, "--dry-run", str(tmp_path / "made")]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "made").exists()


def test_the_installation_of_the_node_for_nuke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path)))
    for name in [name for name in sys.modules if name.split(".")[0] == "matanyone_nuke"]:
        monkeypatch.delitem(sys.modules, name)
    bridge = importlib.import_module("matanyone_nuke.bridge")
    marked(Path(bridge._SETTINGS), {"engine_python": ["/opt/engine/bin/python"]})
    where = bridge.installed_where("connection.json", start=True, client="test")
    assert where.companion == ("/opt/engine/bin/python",)
