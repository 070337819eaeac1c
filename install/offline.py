# SPDX-License-Identifier: Apache-2.0
"""Installs MatAnyone Engine from the folder that this file lies in, without a network.

    python3 install.py /opt/matanyone

Nothing is downloaded and nothing outside the named folder is touched. Every file is compared with its SHA-256 first.
Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"


def main() -> int:
    """Check the bundle and the target, install, and say what comes next."""
    parser = argparse.ArgumentParser(description="Installs MatAnyone Engine from this folder, without a network.")
    parser.add_argument("target", type=Path, help="a folder that is not there yet, such as /opt/matanyone")
    target = parser.parse_args().target.absolute()
    about = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
    check_machine(about)
    check_files()
    if target.exists():
        sys.exit(f"expected a folder that is not there yet; got {target}. Name another one, or remove it.")
    try:
        programs = install(target, about["extras"])
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        sys.exit(f"{error}\nNothing was installed; {target} was removed again.")
    say_what_comes_next(programs)
    return 0


def check_machine(about: dict[str, str]) -> None:
    """Refuse a system or a Python that the wheels are not for. Raises SystemExit."""
    here = (platform.system(), platform.machine(), f"{sys.version_info[0]}.{sys.version_info[1]}")
    wanted = (about["system"], about["machine"], about["python"])
    if here != wanted:
        sys.exit(
            f"expected {wanted[0]} on {wanted[1]} with Python {wanted[2]}; got {here[0]} on {here[1]} with Python "
            f"{here[2]}. Run this with python{wanted[2]}, or take the bundle for this machine."
        )


def check_files() -> None:
    """Compare every file with its SHA-256. Raises SystemExit and names what is damaged, missing or not listed."""
    lines = (HERE / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {path.relative_to(HERE).as_posix() for path in HERE.rglob("*") if path.is_file()} - {SUMS}
    damaged = sorted(name for name in there & set(listed) if sha256(HERE / name) != listed[name])
    faults = [
        ("damaged", damaged),
        ("missing", sorted(set(listed) - there)),
        ("not listed", sorted(there - set(listed))),
    ]
    said = [f"{what}: {', '.join(names)}" for what, names in faults if names]
    if said:
        sys.exit(f"expected the files of {SUMS}; got {'; '.join(said)}. Copy the bundle again.")


def install(target: Path, extras: str) -> Path:
    """Make a Python environment with the engine in it, and return the folder of its programs."""
    _run(sys.executable, "-m", "venv", str(target))
    programs = target / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(programs / "python"), "-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet", "install"]
    wheels = HERE / "wheels"
    ours = next(wheels.glob("matanyone_engine-*.whl"))
    _run(*pip, "--no-index", "--no-cache-dir", f"--find-links={wheels}", f"{ours}[{extras}]")
    _run(str(programs / "matanyone-engine"), "--version")
    return programs


def _run(*command: str) -> None:
    """Run a command; what the shell says about Python and pip does not reach it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    subprocess.run(command, check=True, env=clean, timeout=1800)


def say_what_comes_next(programs: Path) -> None:
    """Print the commands that an artist's or a farm's machine needs now."""
    print(f"test      {programs / 'matanyone-engine'} doctor")
    if (HERE / "nuke_wheels").is_dir():
        wheels = HERE / "nuke_wheels"
        print(f"Nuke      {programs / 'matanyone-engine'} nuke install --nuke-path DIR --wheels {wheels}")
    for extension in HERE.glob("matanyone-*.zip"):
        print(f"Blender   Preferences > Add-ons > Install from Disk: {extension}")
    if (HERE / "sbom.cdx.json").is_file():
        print(f"parts     {HERE / 'sbom.cdx.json'}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
