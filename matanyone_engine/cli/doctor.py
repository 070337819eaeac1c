# SPDX-License-Identifier: Apache-2.0
"""Lists what this machine has, and tests whether the engine computes correctly on it: `matanyone-engine doctor`."""

from __future__ import annotations

import argparse
import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.errors import BadResult, EngineError, WeightsNotFound
from matanyone_engine.matting.self_test import MODEL, TOLERANCE, run_self_test
from matanyone_engine.model.device import FORMS, choose_device, device_count
from matanyone_engine.model.gpus import unused_gpus
from matanyone_engine.model.half_speed import half_speed
from matanyone_engine.model.licences import read_policy
from matanyone_engine.model.precision import half_type
from matanyone_engine.model.registry import MODELS, locate, weights_folders
from matanyone_engine.version import __version__

_LIBRARIES = ("torch", "numpy", "OpenImageIO", "OpenEXR", "opencv-python-headless", "av", "safetensors")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'doctor' to the program's parser."""
    parser = subparsers.add_parser(
        "doctor",
        description="Lists what this machine has, and tests whether the engine computes correctly on it: versions, "
        "devices, memory, weights, how fast half precision is, a GPU that torch cannot use, and a shot whose answer is "
        "known.",
    )
    parser.add_argument("--device", default="auto", help=f"The device to test: {FORMS}. Default: auto.")
    parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the report, then raise an error if the self-test failed. Raises BadResult, DeviceError."""
    test, problem = _self_test(args.device)
    report = {**examine(), "half_precision": _half_precision(args.device), "self_test": test}
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    if problem:
        raise problem
    if not test["passed"]:
        raise BadResult(
            expected=f"the known answer of {MODEL} within {TOLERANCE:g}",
            came=test["problem"] or f"a difference of {test['difference']:.2g} on {test['device']}",
            action="Do not use this device for shots. Try --device cpu; if that passes, update the driver and torch.",
        )


def examine() -> dict[str, Any]:
    """Return the report as plain values; a value that cannot be found out is None."""
    return {
        "engine": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "devices": _devices(),
        "unused_gpus": [asdict(each) for each in unused_gpus()],
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "weights": {name: _place(name) for name in MODELS},
        "weights_folders": [str(folder) for folder in weights_folders()],
        "allowed_licenses": {allowance.source: allowance.licences for allowance in read_policy().allowances},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _without(library: str) -> str:
    return "(none: movies are read at 8 bits)" if library == "av" else "MISSING"


def _devices() -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = [{"name": "cpu", "title": platform.processor() or platform.machine()}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            title = torch.cuda.get_device_name(index)
            devices.append({"name": f"cuda:{index}", "title": title, "free_bytes": free, "total_bytes": total})
    for index in range(device_count("xpu")):
        devices.append({"name": f"xpu:{index}", "title": torch.xpu.get_device_name(index)})
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "title": "Apple Metal"})
    return devices


def _memory() -> int | None:
    """Return the size of main memory in bytes; None if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _place(name: str) -> str | None:
    try:
        return str(locate(name).path)
    except WeightsNotFound:
        return None


def _half_precision(text: str) -> dict[str, Any] | None:
    """Return the measured speed of half precision on a device; None if the device has no half precision or it was not
    measured."""
    with suppress(EngineError, RuntimeError):  # the self-test says what is wrong with the device
        device = choose_device(text)
        half = half_type(device)
        measured = half_speed(device, half) if half else None
        return None if measured is None else {**asdict(measured), "gain": measured.gain, "fast": measured.worthwhile}
    return None


def _self_test(device: str) -> tuple[dict[str, Any], EngineError | None]:
    """Run the self-test; return its row of the report, and the error if it could not run."""
    try:
        name = str(choose_device(device))
        outcome = run_self_test(name)
    except (EngineError, RuntimeError) as error:  # torch raises RuntimeError if the driver does not fit
        row = {"device": device, "passed": False, "difference": None, "problem": str(error)}
        return row, error if isinstance(error, EngineError) else None
    return {"device": name, "passed": outcome.passed, "difference": outcome.difference, "problem": None}, None


def _show(report: dict[str, Any]) -> None:
    table = Table(Column("MatAnyone Engine", no_wrap=True), Column("", overflow="fold"), box=SIMPLE_HEAD)
    table.add_row("engine", report["engine"])
    table.add_row("python", f"{report['python']} on {report['platform']}")
    libraries = report["libraries"].items()
    table.add_row("libraries", ", ".join(f"{name} {found or _without(name)}" for name, found in libraries))
    for device in report["devices"]:
        table.add_row("device", _device_line(device))
    for gpu in report["unused_gpus"]:
        table.add_row("[yellow]idle GPU[/]", "\n".join(escape(line) for line in (gpu["why"], *gpu["mend"])))
    table.add_row("precision", _precision_line(report["half_precision"]))
    memory = report["memory_bytes"]
    table.add_row("memory", f"{memory / 2**30:.1f} GiB, {report['threads']} threads" if memory else "unknown")
    for name, place in report["weights"].items():
        table.add_row("weights", f"{name}: {escape(place) if place else 'not on this machine'}")
    for source, licences in report["allowed_licenses"].items():
        table.add_row("licences", f"{escape(source)} allows {', '.join(licences) or 'none'}")
    test = report["self_test"]
    verdict = "[green]passed[/]" if test["passed"] else "[red]FAILED[/]"
    figure = "" if test["difference"] is None else f", difference {test['difference']:.1e}"
    table.add_row("self-test", f"{verdict} on {test['device']}{figure}")
    PlainConsole(highlight=False).print(table)


def _precision_line(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "exact: this device has no half precision, or it could not be measured"
    product, convolution = (
        f"{before:.2f} ms in float32, {after:.2f} ms in {measured['half']}"
        for before, after in (measured["product_ms"], measured["convolution_ms"])
    )
    chosen = "fast" if measured["fast"] else "exact"
    return (
        f"--precision auto is {chosen} here: {measured['half']} is {measured['gain']:.2f} times as fast as float32 "
        f"(matrix product: {product}; convolution: {convolution})"
    )


def _device_line(device: dict[str, Any]) -> str:
    line = f"{device['name']}: {device['title']}"
    if "free_bytes" not in device:
        return line
    return f"{line}, {device['free_bytes'] / 2**30:.1f} of {device['total_bytes'] / 2**30:.1f} GiB free"
