# SPDX-License-Identifier: Apache-2.0
"""Shows what the running engine is doing: `matanyone-engine status`, with --watch until Ctrl-C."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from matanyone_engine.cli.engines import add_connection, connected
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.client.client import EngineClient
from matanyone_engine.wire import messages as say


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'status' to the program's parser."""
    parser = subparsers.add_parser(
        "status", description="Shows what the running engine is doing: sessions, speed, memory and queue."
    )
    add_connection(parser)
    parser.add_argument("--watch", action="store_true", help="Keep it on the screen until Ctrl-C.")
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Ask the engine for its status and show it."""
    console = PlainConsole(highlight=False)
    with connected(args) as client:
        if args.json:
            report, sessions = _asked(client)
            print(json.dumps({**dataclasses.asdict(report), "session_list": dataclasses.asdict(sessions)["sessions"]}))
        elif args.watch:
            with Live(_shown(*_asked(client)), console=console, refresh_per_second=2) as live:
                while True:
                    time.sleep(0.5)
                    live.update(_shown(*_asked(client)))
        else:
            console.print(_shown(*_asked(client)))


def _asked(client: EngineClient) -> tuple[say.StatusReport, say.Sessions]:
    report, sessions = client.call(say.Status()), client.call(say.ListSessions())
    assert isinstance(report, say.StatusReport)
    assert isinstance(sessions, say.Sessions)
    return report, sessions


def _shown(report: say.StatusReport, sessions: say.Sessions) -> Group:
    used, limit = report.memory_bytes / 1e9, report.memory_limit_bytes / 1e9
    head = Text(
        f"engine {report.engine} on {report.device}, process {report.pid}, up {report.uptime_s:.0f} s: "
        f"{report.activity}\n{report.frames} frames, {report.frames_per_s:.2f} frames/s in the last minute, "
        f"{report.queued} queued, {used:.1f} of {limit:.1f} GB promised, "
        f"{report.resident_bytes / 1e9:.1f} GB resident, loaded: {', '.join(report.models_loaded) or 'nothing'}"
    )
    table = Table("session", "client", "phase", "priority", "model", "size", "frames", "queued", "GB", "idle")
    for one in sessions.sessions:
        table.add_row(
            one.name,
            Text(one.client),
            one.phase,
            one.priority,
            one.model,
            f"{one.size[0]}x{one.size[1]}",
            str(one.next_seq),
            str(one.queued),
            f"{one.memory_bytes / 1e9:.2f}",
            f"{one.idle_s:.0f} s",
        )
    return Group(head, table) if sessions.sessions else Group(head)
