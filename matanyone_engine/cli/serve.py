# SPDX-License-Identifier: Apache-2.0
"""Reads the arguments of `matanyone-engine serve` and runs the server (engine/server.py) until it is stopped."""

from __future__ import annotations

import argparse
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from matanyone_engine.cli.device_options import add_computing
from matanyone_engine.cli.new_file import new_file, new_folder
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.cli.signals import graceful_stop
from matanyone_engine.engine.access import Access
from matanyone_engine.engine.engine import EngineSettings, Figures
from matanyone_engine.engine.server import Binding, Server
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.jobs.allocator import keep_freed_memory
from matanyone_engine.wire.connection import default_path

if TYPE_CHECKING:
    from matanyone_engine.engine.metrics import MetricsPage


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'serve' to the program's parser."""
    parser = subparsers.add_parser(
        "serve",
        usage="matanyone-engine serve [--root FOLDER] [options]",
        description="Starts an engine: it keeps the weights loaded and serves hosts such as Nuke and Blender, and the "
        "commands that are given --endpoint. It listens to this user on this machine, unless you make keys.",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME|PATH",
        help="Which weights to serve. Give it again for more; the first is taken if a client names none. "
        "Default: mini.",
    )
    add_computing(parser)
    parser.add_argument(
        "--sam2", type=Path, metavar="FOLDER", help="Your weights of SAM 2, for first masks from clicks."
    )
    parser.add_argument(
        "--connection", type=new_file, metavar="FILE", help="Where to write the connection file. Default: this user's."
    )
    parser.add_argument(
        "--state",
        type=new_folder,
        metavar="FOLDER",
        help="Where sessions are kept on disk. Default: this user's data folder.",
    )
    _add_sockets(parser)
    _add_limits(parser)
    _add_watching(parser)
    parser.set_defaults(run=run)


def _add_sockets(parser: argparse.ArgumentParser) -> None:
    """Add the options about sockets, keys, and the folders that jobs may use."""
    parser.add_argument(
        "--root",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="A folder whose files jobs may read and write. Give it again for more.",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="THEIRS=OURS",
        help="Replace the beginning of paths that clients send: P:/shots=/mnt/shots.",
    )
    parser.add_argument(
        "--data",
        default="tcp://127.0.0.1:*",
        metavar="ENDPOINT",
        help="Where to listen for pixels, such as tcp://*:5555. Default: a free port of this machine.",
    )
    parser.add_argument(
        "--control",
        default="tcp://127.0.0.1:*",
        metavar="ENDPOINT",
        help="Where to listen for all other messages, such as tcp://*:5556. Default: a free port of this machine.",
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FOLDER", help="The folder of keys; needed where other machines may connect."
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options about memory, message sizes, leases and snapshots."""
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GB",
        help="How much memory all sessions may take together. Default: four fifths of what is free.",
    )
    parser.add_argument(
        "--window", type=int, default=3, metavar="FRAMES", help="How many frames a client may send ahead. Default: 3."
    )
    parser.add_argument(
        "--message-limit",
        type=int,
        default=512,
        metavar="MB",
        help="The largest message that is accepted. Default: 512.",
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=30.0,
        metavar="S",
        help="After how many seconds of silence a client's session is put on disk. Default: 30.",
    )
    parser.add_argument(
        "--snapshot-every",
        type=int,
        default=25,
        metavar="FRAMES",
        help="How often a session is put on disk. Default: 25.",
    )


def _add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the options about an idle engine and about the metrics page."""
    parser.add_argument(
        "--idle-unload",
        type=float,
        default=900.0,
        metavar="S",
        help="Unload the weights after so many idle seconds; 0 never does. Default: 900.",
    )
    parser.add_argument(
        "--idle-exit",
        type=float,
        default=0.0,
        metavar="S",
        help="End after so many idle seconds; 0, the default, never does.",
    )
    parser.add_argument(
        "--metrics",
        type=int,
        metavar="PORT",
        help="Show figures for Prometheus on this port of this machine; 0 takes a free one.",
    )


def run(args: argparse.Namespace) -> None:
    """Open the sockets, print their addresses, and serve."""
    keep_freed_memory()
    console = PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    file = args.connection or default_path()
    page = None if args.metrics is None else _metrics(args.metrics)
    server = _server(args, file, None if page is None else page.publish)
    console.print(f"engine  {server.connection.epoch} on {server.engine.device}, process {server.connection.pid}")
    console.print(f"data    {server.connection.data}")
    console.print(f"control {server.connection.control}")
    console.print(f"file    {file}")
    if page is not None:
        console.print(f"metrics {page.address}")
    with graceful_stop(console, "every session is on disk") as stop:
        server.run(stop.requested)
    if page is not None:
        page.close()


def _metrics(port: int) -> MetricsPage:
    try:
        from matanyone_engine.engine.metrics import MetricsPage
    except ImportError as error:
        raise SettingError(
            expected="the package prometheus-client, which --metrics needs",
            came="a Python without it",
            action="Install it: pip install 'matanyone-engine[metrics]'.",
        ) from error
    return MetricsPage(port)


def _server(args: argparse.Namespace, file: Path, publish: Callable[[Figures], None] | None) -> Server:
    settings = EngineSettings(
        state=args.state or _state_folder(file),
        models=tuple(args.model or ["mini"]),
        device=args.device,
        precision=args.precision,
        sam2=args.sam2,
        access=Access(tuple(args.root), tuple(_mapping(text) for text in args.map)),
        memory_bytes=None if args.memory is None else int(args.memory * 1e9),
        window_frames=args.window,
        most_message_bytes=args.message_limit << 20,
        lease_s=args.lease,
        snapshot_every=args.snapshot_every,
        idle_unload_s=args.idle_unload or None,
        idle_exit_s=args.idle_exit or None,
    )
    try:
        return Server(settings, Binding(args.data, args.control, args.keys), file, secrets.token_urlsafe(32), publish)
    except OSError as error:
        raise OutputError(
            expected="a state folder and a connection file that can be written",
            came=str(error),
            action="Name other places with --state and --connection.",
        ) from error


def _state_folder(file: Path) -> Path:
    """Return the state folder that belongs to this connection file, so that two engines of a user do not share
    sessions."""
    name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:8]
    return platformdirs.user_data_path("matanyone-engine") / "sessions" / name


def _mapping(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not equals or not theirs or not ours:
        raise SettingError(
            expected="--map with two paths, THEIRS=OURS",
            came=repr(text),
            action="Write for example --map P:/shots=/mnt/shots.",
        )
    return theirs, ours
