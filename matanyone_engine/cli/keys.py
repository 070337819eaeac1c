# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine keys: the keys of an engine that others reach over the network, and of its clients.

keys new FOLDER            the engine's own pair, and an empty list of clients
keys add FOLDER NAME       a client's pair: the public one onto the list, the secret one to give to the client
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import zmq.auth
from rich.console import Console

from matanyone_engine.errors import SettingError

ENGINE_SECRET = "engine.key_secret"
CLIENTS = "clients"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'keys' to the program's parser."""
    parser = subparsers.add_parser("keys", help="keys for the network", description="Keys for the network (CURVE).")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="the engine's own keys")
    new.add_argument("folder", type=Path, metavar="FOLDER")
    add = actions.add_parser("add", help="keys for a client")
    add.add_argument("folder", type=Path, metavar="FOLDER")
    add.add_argument("name", metavar="NAME")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make keys; say what to do with them."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    if args.action == "new":
        _new(args.folder)
        console.print(f"serve   matanyone-engine serve --keys {args.folder} --data tcp://*:5555 --control tcp://*:5556")
        console.print(f"clients matanyone-engine keys add {args.folder} NAME")
    else:
        secret = _add(args.folder, args.name)
        console.print(f"give    {secret} to {args.name}, over a safe way; and the engine's connection file")


def _new(folder: Path) -> None:
    if (folder / ENGINE_SECRET).exists():
        raise SettingError(
            expected="a folder without an engine's keys",
            came=str(folder),
            action="Choose another, or remove them first.",
        )
    (folder / CLIENTS).mkdir(parents=True, exist_ok=True)
    _private(Path(zmq.auth.create_certificates(folder, "engine")[1]))


def _add(folder: Path, name: str) -> Path:
    if not (folder / ENGINE_SECRET).exists():
        raise SettingError(
            expected="a folder made by matanyone-engine keys new",
            came=str(folder),
            action="Make the engine's keys first.",
        )
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or (folder / CLIENTS / f"{name}.key").exists():
        raise SettingError(
            expected="a new name of letters, digits, . _ and -", came=repr(name), action="Choose another name."
        )
    public, secret = map(Path, zmq.auth.create_certificates(folder, name))
    public.replace(folder / CLIENTS / public.name)
    _private(secret)
    return secret


def _private(path: Path) -> None:
    path.chmod(0o600)
