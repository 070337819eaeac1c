# SPDX-License-Identifier: Apache-2.0
"""tests/in_nuke.py, the list for whoever has a licence, under nuke -t as faked, on the Pythons of Nuke 13 to 16.

Those Pythons are bare: no numpy, no pyzmq. The add-on goes through the companion there, and the fake has its pixels
drawn by this Python. MATANYONE_PYZMQ_WHEELS names a folder of pyzmq wheels, with which it goes without the companion.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nuke_host import FAKE, FIRST, LAST, make_mask, make_plate

from matanyone_engine.cli.engines import _FAMILY
from matanyone_engine.cli.exit_codes import EXIT_CODES, REFUSED
from matanyone_engine.cli.nuke import fitting_wheels, install

ROOT = Path(__file__).resolve().parents[2]
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
VERSIONS = tuple(dict.fromkeys(("3.7", "3.9", "3.10", "3.11", OWN)))
CHECKS = 25
"""As many as tests/in_nuke.py has."""
WHEELS = os.environ.get("MATANYONE_PYZMQ_WHEELS")
FARM_ERRORS = (".*ERROR:.*", ".*Error:.*", ".*Error :.*", r".*Eddy\[ERROR\].*", r"(?i)\berror\b.*:", r"Traceback")
"""The first four are those of Deadline Cloud's adaptor for Nuke; the rest, what other farms are set to look for."""


def python(version: str) -> str | None:
    """An interpreter of this version, from the path or from pyenv."""
    if version == OWN:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python")) if pyenv.is_dir() else []
    if found:
        return str(found[-1])
    path = shutil.which(f"python{version}")
    works = path is not None and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0
    return path if works else None


@pytest.fixture(scope="module")
def nuke_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuke_path")
    install(folder, fitting_wheels(Path(WHEELS)) if WHEELS else [])
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_under_nuke_t(tmp_path: Path, nuke_path: Path, version: str) -> None:
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine")
    plate, mask, out = make_plate(tmp_path / "plate"), make_mask(tmp_path / "mask.exr"), tmp_path / "out"
    command = [interpreter, str(FAKE / "nuke_t.py"), str(ROOT / "tests" / "in_nuke.py"), f"--plate={plate}"]
    command += [f"--mask={mask}", f"--first={FIRST}", f"--last={LAST}", f"--out={out}"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "NUKE_PATH": str(nuke_path),
        "FAKE_NUKE_PYTHON": sys.executable,
        "FAKE_NUKE_VERSION": "17.0v2" if version == "3.11" else "14.0v1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{CHECKS} of {CHECKS} ok, 0 skipped: .* Python {version}", done.stdout)
    _check_report(out, done.stdout)
    link = "pyzmq" if version == OWN or (WHEELS and version != "3.7") else "companion"
    assert f"by {link}" in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) > 50
    assert all(line.startswith("matanyone: ") for line in lines)
    assert not [line for line in lines for pattern in FARM_ERRORS if re.match(pattern, line)]


def _check_report(out: Path, printed: str) -> None:
    """The file to send back says what the table says, and nothing of this machine."""
    assert f"Please send back: {out / 'in_nuke_report.json'}" in printed
    text = (out / "in_nuke_report.json").read_text()
    said = json.loads(text)
    assert [line["result"] for line in said["checks"]] == ["ok"] * CHECKS
    assert said["about"]["nuke"] in ("14.0v1", "17.0v2")
    assert str(out) not in text
    assert str(ROOT) not in text


def test_a_farm_is_told_the_command_lines_exit_codes(nuke_path: Path) -> None:
    code = "import json, matanyone_nuke.bridge as b; print(json.dumps([b.EXIT_CODES, b.REFUSED]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(nuke_path)!r}); {code}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs, refused = json.loads(done.stdout)
    ours = {code: EXIT_CODES[family] for code, family in _FAMILY.items() if family in EXIT_CODES}
    assert {**ours, "cancelled": 130} == theirs
    assert refused == REFUSED


@pytest.mark.parametrize("line", ["x Error: y", "Traceback (most recent call last):", "ERROR: no"])
def test_the_patterns_find_what_they_are_for(line: str) -> None:
    assert [pattern for pattern in FARM_ERRORS if re.match(pattern, line)]
