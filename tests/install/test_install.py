# SPDX-License-Identifier: Apache-2.0
"""What docs/install.md says of uv, pip, the lock and the container is what the files say. Nothing is installed here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from matanyone_engine.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCK = (ROOT / "install" / "lock.txt").read_text()
GUIDE = (ROOT / "docs" / "install.md").read_text()
ACCELERATORS = ["cpu", "cuda", "rocm", "xpu"]


def planned(target: str, *variables: str) -> str:
    make = ["make", "--dry-run", "--always-make", target, *variables]
    return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def test_make_demo_takes_uv_and_falls_back_on_pip() -> None:
    with_uv = re.search(
        r"^/opt/uv pip install (.+) \|\| \S+python -m pip .*install (.+)$", planned("demo", "UV=/opt/uv"), re.M
    )
    assert with_uv
    assert "--torch-backend auto" in with_uv[1]
    for way in with_uv.groups():
        assert "--constraint constraints.txt" in way
        assert way.endswith('--editable ".[engine]"')
    without = planned("demo", "UV=")
    assert "-m pip" in without
    assert "||" not in without


def test_each_accelerator_has_an_index_and_excludes_the_others() -> None:
    uv = PROJECT["tool"]["uv"]
    assert [[each["extra"] for each in group] for group in uv["conflicts"]] == [ACCELERATORS]
    indexes = {each["name"]: each for each in uv["index"]}
    for source in uv["sources"]["torch"]:
        assert source["index"] == f"torch-{source['extra']}"
        assert indexes[source["index"]]["explicit"] is True, "no other package may come from there"
    assert [source["extra"] for source in uv["sources"]["torch"]] == ACCELERATORS
    for extra in ACCELERATORS:
        assert EXTRAS[extra] == [line for line in EXTRAS["engine"] if line.startswith("torch")]


def test_uv_and_pip_pin_the_same_torch() -> None:
    (pin,) = PROJECT["tool"]["uv"]["constraint-dependencies"]
    assert pin in (ROOT / "constraints.txt").read_text().splitlines()
    assert re.search(rf"^{re.escape(pin)} ", LOCK, re.M)


def test_the_lock_holds_what_the_engine_needs() -> None:
    releases: dict[str, list[str]] = {}
    for name, release in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.M):
        releases.setdefault(name, []).append(release)
    for line in EXTRAS["engine"] + EXTRAS["movies"]:
        wanted = Requirement(line)
        assert all(wanted.specifier.contains(release) for release in releases[wanted.name]), line


def test_the_lock_names_no_server_and_a_digest_for_everything() -> None:
    assert "://" not in LOCK
    for entry in re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.M)[1:]:
        assert "--hash=sha256:" in entry, entry


def test_hadolint_passes_the_containerfile_and_it_copies_what_is_there() -> None:
    file = ROOT / "install" / "Containerfile"
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(linter), str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    text = file.read_text()
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.M) for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    # The wheel is made of these; one that is missing there is missing in the image.
    shared = {name.split("/")[2] for name in PROJECT["tool"]["setuptools"]["data-files"]}
    assert {"pyproject.toml", "README.md", "LICENSE", "matanyone_engine", *shared} <= set(copied)


def test_the_guide_is_of_this_version_and_of_this_makefile() -> None:
    assert set(re.findall(r"matanyone_engine-([\d.]+)-py3", GUIDE)) == {__version__}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^    |`)make ([a-z]+)\b", GUIDE, re.M)) <= targets
    for extras in re.findall(r"whl\[([\w,]+)\]", GUIDE):
        assert set(extras.split(",")) <= set(EXTRAS)
    assert set(re.findall(r"--extra ([a-z]+)", GUIDE)) <= set(EXTRAS)


def test_every_licence_that_a_file_names_has_its_text() -> None:
    """As `reuse lint` asks. The example's plate holds a photograph, so it is not given away as the rest of it is."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    beginnings = (file.read_bytes()[:400] for file in files if file.is_file())
    said = {
        found.decode()
        for text in beginnings
        for found in re.findall(rb"(?m)^\W*SPDX-License-Identifier: ([\w.-]+)", text)
    }
    notes = tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]
    said |= {each["SPDX-License-Identifier"] for each in notes if "SPDX-License-Identifier" in each}
    assert said == {path.stem for path in (ROOT / "LICENSES").glob("*.txt")}
    assert said >= set(PROJECT["project"]["license"].split(" AND "))
    (plate,) = (each for each in notes if "examples/plate/**" in each["path"])
    assert plate["SPDX-License-Identifier"] == "CC-BY-2.0"
