# SPDX-License-Identifier: Apache-2.0
"""Builds the extension for Blender from an installed engine: `matanyone-engine blender build --out DIR`.

The extension's own build.py does the work in a separate process. It is GPL-3.0-or-later, as Blender requires of code
that runs inside it, so nothing of it is imported here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from matanyone_engine.cli.addon_files import addon_folder
from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.subcommands import add_subcommand
from matanyone_engine.errors import OutputError

TIME_LIMIT_S = 1800.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'blender' to the program's parser."""
    parser = subparsers.add_parser(
        "blender",
        description="Builds the extension for Blender as a zip, which you install from Blender's preferences. pip "
        "downloads pyzmq for the Pythons of Blender, unless its wheels are given.",
    )
    commands = parser.add_subparsers(dest="blender_command", required=True, metavar="build")
    build = add_subcommand(commands, "build", "Builds the zip.")
    build.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="The folder for the zip.")
    build.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="A folder with wheels of pyzmq; what is missing there is downloaded into it. Default: DIR/wheels.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Build the zip; the builder prints its path. Raises SettingError, OutputError."""
    out = args.out.absolute()
    wheels = (args.wheels or args.out / "wheels").absolute()
    source = addon_folder("blender_addon", "build.py", "Blender extension")
    command = [sys.executable, str(source / "build.py"), f"--out={out}", f"--wheels={wheels}"]
    if subprocess.run(command, check=False, timeout=TIME_LIMIT_S).returncode:
        raise OutputError(
            expected="an extension that was built in " + str(out),
            came="a builder that failed, for the reason above",
            action="Without a network, give the wheels of pyzmq with --wheels, or take the zip of an offline bundle.",
        )
