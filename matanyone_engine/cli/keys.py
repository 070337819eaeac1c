# SPDX-License-Identifier: Apache-2.0
"""Makes the keys of an engine that accepts connections from other machines, and the keys of its clients.

matanyone-engine keys new FOLDER         makes the engine's own pair and an empty list of clients
matanyone-engine keys add FOLDER NAME    makes a client's pair and adds the public key to the list
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import zmq.auth

from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.cli.subcommands import add_subcommand
from matanyone_engine.errors import SettingError
from matanyone_engine.media.portable_names import check_portable

ENGINE_SECRET = "engine.key_secret"
CLIENTS = "clients"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'keys' to the program's parser."""
    parser = subparsers.add_parser(
        "keys", description="Makes the keys (CURVE) that encrypt the connections of an engine and say who may connect."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = add_subcommand(actions, "new", "Makes the engine's own keys.")
    new.add_argument("folder", type=new_folder, metavar="FOLDER", help="Where the keys go.")
    add = add_subcommand(actions, "add", "Makes keys for a client of this name.")
    add.add_argument("folder", type=Path, metavar="FOLDER", help="The folder of the engine's keys.")
    add.add_argument("name", metavar="NAME", help="What to call the client.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the keys, and print what to do with them."""
    console = PlainConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if args.action == "new":
        _new(args.folder)
        console.print(f"serve   matanyone-engine serve --keys {args.folder} --data tcp://*:5555 --control tcp://*:5556")
        console.print(f"clients matanyone-engine keys add {args.folder} NAME")
    else:
        secret = _add(args.folder, args.name)
        console.print(
            f"give    {secret} and the engine's connection file to {args.name}, in a way that nobody else can read"
        )


def _new(folder: Path) -> None:
    if (folder / ENGINE_SECRET).exists():
        raise SettingError(
            expected="a folder that has no keys of an engine yet",
            came=f"{folder}, which has some",
            action="Choose another folder, or remove the old keys first.",
        )
    (folder / CLIENTS).mkdir(parents=True, exist_ok=True)
    _private(Path(zmq.auth.create_certificates(folder, "engine")[1]))


def _add(folder: Path, name: str) -> Path:
    if not (folder / ENGINE_SECRET).exists():
        raise SettingError(
            expected="a folder with the engine's keys",
            came=f"{folder}, which has none",
            action=f"Make them first: matanyone-engine keys new {folder}.",
        )
    check_portable(Path(f"{name}.key"))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or (folder / CLIENTS / f"{name}.key").exists():
        raise SettingError(
            expected="a name that no client has yet, made of letters, digits, dots, - and _",
            came=repr(name),
            action="Choose another name for this client.",
        )
    public, secret = map(Path, zmq.auth.create_certificates(folder, name))
    public.replace(folder / CLIENTS / public.name)
    _private(secret)
    return secret


def _private(path: Path) -> None:
    path.chmod(0o600)
