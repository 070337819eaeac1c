# SPDX-License-Identifier: Apache-2.0
"""Lists, downloads, imports and verifies models: `matanyone-engine weights list | fetch | import | verify`.

'fetch' is the only command of the engine that opens a network connection.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.cli.subcommands import add_subcommand
from matanyone_engine.errors import EngineError, Interrupted, LicenceRefused, SettingError, WeightsNotFound
from matanyone_engine.model.fetch import FetchProgress as Report
from matanyone_engine.model.fetch import fetch, fetch_tracker
from matanyone_engine.model.install import import_file
from matanyone_engine.model.licences import LicencePolicy, read_policy
from matanyone_engine.model.registry import (
    MODELS,
    FoundWeights,
    Model,
    identify,
    locate,
    mismatch,
    vet,
)
from matanyone_engine.model.tracker_weights import (
    TRACKER_WEIGHTS,
    TrackerWeights,
    find_tracker_weights,
    licence_said,
)
from matanyone_engine.model.weights_file import measure, refuse_impostor


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'weights' and its four commands to the program's parser."""
    parser = subparsers.add_parser("weights", description="Lists, downloads, imports and verifies models.")
    commands = parser.add_subparsers(dest="weights_command", required=True, metavar="COMMAND")
    _add_list(commands)
    _add_fetch(commands)
    _add_import(commands)
    _add_verify(commands)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_subcommand(
        commands, "list", "Lists the models, their licences, and which of them are on this machine."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    parser.set_defaults(run=run_list)


def _add_fetch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_subcommand(commands, "fetch", "Downloads a model into your data folder.")
    parser.add_argument("name", metavar="NAME", help="A model or a tracker that 'weights list' names.")
    _add_consent(parser)
    parser.set_defaults(run=run_fetch)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_subcommand(
        commands, "import", "Checks a file of weights that you have and copies it into your data folder."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="A .pth or .safetensors file.")
    parser.add_argument("--name", help="Which model it is, if the file does not tell.")
    _add_consent(parser)
    parser.set_defaults(run=run_import)


def _add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_subcommand(
        commands, "verify", "Checks the bytes and the tensors of a model, or of all models on this machine."
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="NAME|FILE",
        help="What to check. Default: every model on this machine. Trackers are checked when they are fetched.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    parser.set_defaults(run=run_verify)


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-licence",
        "--accept-license",
        action="store_true",
        help="Accept the terms of the model without being asked.",
    )
    parser.add_argument(
        "--accept-unverified", action="store_true", help="Accept a file whose checksum is not the known one."
    )


# list ---------------------------------------------------------------------------------------------------------------


def run_list(args: argparse.Namespace) -> None:
    """Print the models, or JSON about them."""
    policy = read_policy()
    if args.json:
        rows = [_listed(model, policy) for model in MODELS.values()]
        print(json.dumps([*rows, *(_listed_tracker(each, policy) for each in TRACKER_WEIGHTS.values())], indent=2))
        return
    table = Table("Model", "Licence", "Paid work", "Size", Column("On this machine", overflow="fold"), box=SIMPLE_HEAD)
    missing = [model.name for model in MODELS.values() if not _find(model)]
    for model in MODELS.values():
        paid = "yes" if model.commercial else "[yellow]no[/]"
        licence = model.licence if policy.allows(model.licence) else f"{model.licence}\n[red]refused by policy[/]"
        table.add_row(f"[bold]{model.name}[/]\n{model.title}", licence, paid, _megabytes(model.size), _place(model))
    for tracker in TRACKER_WEIGHTS.values():
        folder = find_tracker_weights(tracker.name)
        licence = tracker.licence if policy.allows(tracker.licence) else f"{tracker.licence}\n[red]refused by policy[/]"
        place = escape(str(folder)) if folder else "no"
        title = f"[bold]{tracker.name}[/]\n{tracker.title}: a tracker, for track"
        table.add_row(title, licence, "yes", f"about {tracker.size / 1e6:.0f} MB", place)
        missing += [] if folder else [tracker.name]
    console = PlainConsole()
    console.print(table)
    for name in missing:
        console.print(f"To get {name}: matanyone-engine weights fetch {name}", highlight=False, soft_wrap=True)


def _listed(model: Model, policy: LicencePolicy) -> dict[str, Any]:
    path = _find(model)
    return {
        "name": model.name,
        "kind": "model",
        "title": model.title,
        "licence": model.licence,
        "commercial": model.commercial,
        "terms": model.terms,
        "size": model.size,
        "source": model.source,
        "bundled": model.bundled is not None,
        "path": str(path) if path else None,
        "allowed": policy.allows(model.licence),
    }


def _listed_tracker(weights: TrackerWeights, policy: LicencePolicy) -> dict[str, Any]:
    folder = find_tracker_weights(weights.name)
    return {
        "name": weights.name,
        "kind": "tracker",
        "title": weights.title,
        "licence": weights.licence,
        "commercial": weights.commercial,
        "terms": weights.terms,
        "size": weights.size,
        "source": weights.page,
        "bundled": False,
        "path": str(folder) if folder else None,
        "allowed": policy.allows(weights.licence),
    }


def _place(model: Model) -> str:
    path = _find(model)
    if path is None:
        return "no"
    return "bundled" if model.bundled else escape(str(path))


def _find(model: Model) -> Path | None:
    try:
        return locate(model.name).path
    except WeightsNotFound:
        return None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


# fetch and import ---------------------------------------------------------------------------------------------------


def run_fetch(args: argparse.Namespace) -> None:
    """Download a model or a tracker's weights. Raises FetchError, LicenceRefused, CheckpointError, Interrupted."""
    if args.name in TRACKER_WEIGHTS:
        _fetch_tracker(TRACKER_WEIGHTS[args.name], args)
        return
    model = _named(args.name)
    if model.bundled:
        print(f"{model.name} is part of the package; there is nothing to fetch.")
        return
    present = _find(model)
    if present and vet(FoundWeights(present, model)).standing != "unverified":
        print(f"{model.name} is on this machine already: {present}")
        return
    _agree(model, args.accept_licence)
    with _stoppable(model.name), _progress(model.name) as report:
        path = fetch(model, accept_unverified=args.accept_unverified, progress=report)
    print(f"{model.name} is ready: {path}")


def _fetch_tracker(weights: TrackerWeights, args: argparse.Namespace) -> None:
    """Download the weights of a tracker. This project knows no checksum of them."""
    present = find_tracker_weights(weights.name)
    if present:
        print(f"{weights.name} is on this machine already: {present}")
        return
    read_policy().require(weights.licence, weights.name)
    print(weights.terms)
    _ask(weights.name, args.accept_licence)
    with _stoppable(weights.name), _progress(weights.name) as report:
        folder = fetch_tracker(weights, accept_unverified=args.accept_unverified, progress=report)
    licence = licence_said(folder)
    print(f"{weights.name} is ready: {folder}")
    print(f"Its own page says of the licence: {licence}" if licence else "Its own page says nothing of a licence.")


@contextmanager
def _stoppable(name: str) -> Iterator[None]:
    """Turn Ctrl-C into an error that says how to continue the download."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            expected=f"{name} to be downloaded",
            came="a stop by you",
            action="What has arrived is kept. Run the same command again to go on from there.",
        ) from interrupt


def run_import(args: argparse.Namespace) -> None:
    """Copy a file of weights into the data folder. Raises CheckpointError, LicenceRefused, SettingError."""
    refuse_impostor(args.file)
    model = _named(args.name) if args.name else _recognise(args.file)
    if model.bundled:
        raise SettingError(
            expected="a file of a model that is not part of the package",
            came=f"{args.file} for {model.name}, which is bundled",
            action="Nothing needs to be imported. Weights of your own are used by their path: --model FILE.",
        )
    _agree(model, args.accept_licence)
    path = import_file(args.file, model, accept_unverified=args.accept_unverified)
    print(f"{model.name} is ready: {path}")


def _named(name: str) -> Model:
    if name in MODELS:
        return MODELS[name]
    raise SettingError(
        expected=f"the name of a model: {', '.join(MODELS)}; or, for fetch, of a tracker: {', '.join(TRACKER_WEIGHTS)}",
        came=repr(name),
        action="Choose one of them. Weights of your own need no name: use --model FILE.",
    )


def _recognise(file: Path) -> Model:
    model = identify(file, measure(file))
    if model:
        return model
    raise SettingError(
        expected=f"the weights of a registered model: {', '.join(MODELS)}",
        came=f"{file}, whose checksum and name belong to none of them",
        action="Say which model it is with --name. Weights of your own need no import: use --model FILE.",
    )


def _agree(model: Model, accepted: bool) -> None:
    """Show the terms.

    Raises LicenceRefused unless the studio's policy allows the licence and the user accepts the terms.
    """
    read_policy().require(model.licence, model.name)
    print(model.terms)
    _ask(model.name, accepted or model.commercial)


def _ask(name: str, accepted: bool) -> None:
    """Ask the user to accept the terms on the screen, unless --accept-licence was given. Raises LicenceRefused."""
    if accepted:
        return
    if sys.stdin.isatty() and input("Do you agree to these terms? [y/N] ").strip().lower() in {"y", "yes"}:
        return
    raise LicenceRefused(
        expected=f"your agreement to the terms of {name}",
        came="no answer",
        action="If you agree, run the command again with --accept-licence.",
    )


@contextmanager
def _progress(name: str) -> Iterator[Report]:
    """Show a progress bar on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=PlainConsole(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# verify -------------------------------------------------------------------------------------------------------------


def run_verify(args: argparse.Namespace) -> None:
    """Check all files and report on them, then raise the error of the first wrong one. Raises CheckpointError."""
    wanted = [locate(args.target)] if args.target else _all_found()
    reports = [_verify(weights) for weights in wanted]
    rows = [row for row, _ in reports]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        PlainConsole().print(_verdicts(rows))
    for _, problem in reports:
        if problem:
            raise problem


def _all_found() -> list[FoundWeights]:
    return [FoundWeights(path, model) for model in MODELS.values() if (path := _find(model))]


def _verify(weights: FoundWeights) -> tuple[dict[str, Any], EngineError | None]:
    """Return a file's row of the report, and its error if it is wrong."""
    from matanyone_engine.model.checkpoint import build_network, read_checkpoint

    row: dict[str, Any] = {"path": str(weights.path), "model": weights.model and weights.model.name}
    try:
        vetted = vet(weights)
        row |= {"model": vetted.model and vetted.model.name, "licence": vetted.licence, "standing": vetted.standing}
        row |= {"size": vetted.found.size, "sha256": vetted.found.sha256, "md5": vetted.found.md5}
        build_network(read_checkpoint(weights.path))
        if vetted.standing == "unverified" and vetted.model:
            raise mismatch(vetted.model, weights.path, vetted.found, "Import or fetch it again and decide there.")
    except EngineError as problem:
        return row | {"problem": str(problem)}, problem
    return row | {"problem": None}, None


def _verdicts(rows: list[dict[str, Any]]) -> Table:
    table = Table(Column("File", overflow="fold"), "Model", "Licence", "Checksum", "Loads", box=SIMPLE_HEAD)
    for row in rows:
        loads = "[red]no[/]" if row["problem"] and row.get("standing") != "unverified" else "yes"
        table.add_row(
            escape(row["path"]),
            row["model"] or "not registered",
            row.get("licence", "?"),
            row.get("standing", "?"),
            loads,
        )
    return table
