# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine serve: reads the arguments, runs the server (engine/server.py) until it is told to end."""

from __future__ import annotations

import argparse
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from rich.console import Console

from matanyone_engine.cli.device_options import add_computing
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
    parser = subparsers.add_parser("serve", help="run the engine", description="Serve hosts and farms (ZeroMQ).")
    parser.add_argument(
        "--model", action="append", metavar="NAME|PATH", help="weights to serve, the default first (default: mini)"
    )
    add_computing(parser)
    parser.add_argument("--sam2", type=Path, metavar="FOLDER", help="SAM 2's weights, for first masks by prompt")
    parser.add_argument("--connection", type=Path, metavar="FILE", help="connection file (default: this user's)")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="sessions on disk (default: this user's data)")
    parser.add_argument("--root", type=Path, action="append", default=[], help="folder that path jobs may use")
    parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="path mapping for jobs")
    parser.add_argument("--data", default="tcp://127.0.0.1:*", metavar="ENDPOINT", help="pixels (default: a free port)")
    parser.add_argument(
        "--control", default="tcp://127.0.0.1:*", metavar="ENDPOINT", help="control (default: a free port)"
    )
    parser.add_argument("--keys", type=Path, metavar="FOLDER", help="CURVE keys; needed for other machines' sake")
    parser.add_argument("--memory", type=float, metavar="GB", help="for all sessions (default: most of what is free)")
    parser.add_argument(
        "--window", type=int, default=3, metavar="FRAMES", help="unanswered frames a session (default: 3)"
    )
    parser.add_argument("--message-limit", type=int, default=512, metavar="MB", help="largest message (default: 512)")
    parser.add_argument(
        "--lease", type=float, default=30.0, metavar="S", help="patience with silent clients (default: 30)"
    )
    parser.add_argument("--snapshot-every", type=int, default=25, metavar="FRAMES", help="default: 25")
    parser.add_argument(
        "--idle-unload", type=float, default=900.0, metavar="S", help="free weights; 0 never (default: 900)"
    )
    parser.add_argument("--idle-exit", type=float, default=0.0, metavar="S", help="end when idle; 0 never (default)")
    parser.add_argument(
        "--metrics", type=int, metavar="PORT", help="figures for Prometheus on this machine's loopback; 0 a free port"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Bind, say where, serve."""
    keep_freed_memory()
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    file = args.connection or default_path()
    page = None if args.metrics is None else _metrics(args.metrics)
    server = _server(args, file, None if page is None else page.publish)
    console.print(f"engine  {server.connection.epoch} on {server.engine.device}, process {server.connection.pid}")
    console.print(f"data    {server.connection.data}")
    console.print(f"control {server.connection.control}")
    console.print(f"file    {file}")
    if page is not None:
        console.print(f"metrics {page.address}")
    with graceful_stop(console, "putting every session on disk") as stop:
        server.run(stop.asked)
    if page is not None:
        page.close()


def _metrics(port: int) -> MetricsPage:
    try:
        from matanyone_engine.engine.metrics import MetricsPage
    except ImportError as error:
        raise SettingError(
            expected="the package prometheus-client, for --metrics",
            came="none",
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
            action="Name others with --state and --connection.",
        ) from error


def _state_folder(file: Path) -> Path:
    """One for each connection file, so that two engines of a user do not share sessions."""
    name = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:8]
    return platformdirs.user_data_path("matanyone-engine") / "sessions" / name


def _mapping(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not equals or not theirs or not ours:
        raise SettingError(expected="--map THEIRS=OURS", came=repr(text), action="Write --map P:/shots=/mnt/shots.")
    return theirs, ours
