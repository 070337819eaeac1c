# SPDX-License-Identifier: Apache-2.0
"""Installs the Nuke add-on into a folder: `matanyone-engine nuke install --nuke-path DIR [--wheels FOLDER]`.

The add-on gets a copy of the client, and pyzmq for each Python version of Nuke. Nothing is downloaded: wheels of pyzmq
are given as files. Without them the add-on uses a companion process of this Python (docs/nuke.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from matanyone_engine.atomic import whole_file
from matanyone_engine.cli.addon_files import addon_folder
from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.subcommands import add_subcommand
from matanyone_engine.client.vendor import copy_client
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.version import __version__

PACKAGE = "matanyone_nuke"
RECORD = "install.json"
TOP = ("init.py", "menu.py", "MatAnyone.gizmo", "ToolSets/MatAnyone.nk")
PYZMQ = "26.4.0"
"""The last release of pyzmq whose wheels for Python 3.9 to 3.11 run with glibc 2.17."""
_WHEEL = re.compile(r"pyzmq-(?P<version>[^-]+)-(?P<python>cp\d+)-cp\d+-(?P<platform>.+)\.whl")
_PLATFORMS = {"linux": "manylinux", "darwin": "macosx", "win32": "win"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'nuke' to the program's parser."""
    parser = subparsers.add_parser(
        "nuke",
        description="Installs the add-on for Nuke into a folder, which you then name in NUKE_PATH. Nothing is "
        "downloaded.",
    )
    commands = parser.add_subparsers(dest="nuke_command", required=True, metavar="install")
    install = add_subcommand(commands, "install", "Installs or updates the add-on.")
    install.add_argument(
        "--nuke-path",
        type=new_folder,
        required=True,
        metavar="DIR",
        help="The folder for the add-on, which NUKE_PATH will name.",
    )
    install.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="A folder with wheels of pyzmq, for a faster connection. Not needed.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Install the add-on, and print what was installed and what is left to do."""
    target = args.nuke_path.absolute()
    wheels = [] if args.wheels is None else fitting_wheels(args.wheels)
    files = install(target, wheels)
    pythons = sorted(_WHEEL.fullmatch(wheel.name)["python"] for wheel in wheels)  # type: ignore[index]
    print(f"installed {len(files)} files of version {__version__} in {target}")
    print(f"python    {sys.executable} runs the engine, and the companion where there is no pyzmq")
    print(f"pyzmq     {', '.join(pythons) or 'none: Nuke talks through the companion'}")
    if not wheels:
        print(f"          pip download --no-deps --only-binary=:all: --python-version 3.9 -d wheels pyzmq=={PYZMQ}")
        print("          (3.10 and 3.11 too), then again with --wheels wheels")
    print(f"next      add {target} to NUKE_PATH, or nuke.pluginAddPath({str(target)!r}) to your init.py")


def fitting_wheels(folder: Path) -> list[Path]:
    """Return one pyzmq wheel for each Python version, for this system. Raises SettingError if the folder has none."""
    here = next(name for system, name in _PLATFORMS.items() if sys.platform.startswith(system))
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("pyzmq-*.whl")) if folder.is_dir() else ():
        match = _WHEEL.fullmatch(path.name)
        if match is not None and here in match["platform"]:
            found[match["python"]] = path
    if not found:
        raise SettingError(
            expected=f"wheels of pyzmq {PYZMQ} for this system",
            came=f"none in {folder}",
            action="Get them: pip download --no-deps --only-binary=:all: --python-version 3.9 -d FOLDER pyzmq=="
            + PYZMQ,
        )
    return list(found.values())


def install(target: Path, wheels: list[Path]) -> list[str]:
    """Install the add-on in `target`, replacing an earlier one, and return its files.

    Raises SettingError, OutputError.
    """
    _check_ours(target)
    source = addon_folder("nuke_plugin", f"{PACKAGE}/plan.py", "Nuke add-on")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".matanyone-") as staging:
            fresh = Path(staging) / PACKAGE
            shutil.copytree(source / PACKAGE, fresh, ignore=shutil.ignore_patterns("__pycache__", "engine", "wheels"))
            copy_client(fresh / "engine")
            for wheel in wheels:
                _unpack(wheel, fresh / "wheels")
            for name in TOP:
                (target / name).parent.mkdir(exist_ok=True)
                _write(target / name, (source / name).read_bytes())
            if (target / PACKAGE).exists():
                (target / PACKAGE).rename(Path(staging) / "old")
            fresh.rename(target / PACKAGE)
        return _write_record(target, wheels)
    except OSError as error:
        raise OutputError(
            expected="a folder that can be written", came=str(error), action="Choose another --nuke-path."
        ) from error


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _check_ours(target: Path) -> None:
    """Raise SettingError if the folder has an init.py or menu.py that this command did not write."""
    theirs = [name for name in TOP if (target / name).exists()]
    if theirs and not (target / PACKAGE / RECORD).is_file():
        raise SettingError(
            expected="a folder that is for the add-on alone",
            came=f"{target}, which has a {theirs[0]} of somebody else",
            action=f"Name another folder, such as {target / 'matanyone'}.",
        )


def _unpack(wheel: Path, folder: Path) -> None:
    """Unpack pyzmq for one Python version into its own folder, which the add-on appends to sys.path."""
    match = _WHEEL.fullmatch(wheel.name)
    assert match is not None
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / match["python"])


def _write_record(target: Path, wheels: list[Path]) -> list[str]:
    """Write the list of installed files with their digests, for an audit, and return the files."""
    made = [target / name for name in TOP] + sorted(path for path in (target / PACKAGE).rglob("*") if path.is_file())
    files = {path.relative_to(target).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
    record = {
        "version": __version__,
        "engine_python": [sys.executable],
        "wheels": {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels},
        "files": files,
    }
    _write(target / PACKAGE / RECORD, json.dumps(record, indent=1).encode())
    return list(files)
