# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine: finds the command, runs it, turns errors into sentences and exit codes.

Rules of this file:
1. A command's module is imported only when it is asked for: help is instant and needs no torch.
2. Only errors of our family become sentences. Anything else is a defect, and shows its traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from matanyone_engine.cli.exit_codes import BAD_INPUT, INTERRUPTED, OK, OUT_OF_MEMORY, exit_code
from matanyone_engine.errors import EngineError, OutOfMemory
from matanyone_engine.jobs.threads import sleep_while_waiting
from matanyone_engine.version import __version__

# Command -> what it does. Its module is matanyone_engine.cli.<command>.
COMMANDS = {
    "matte": "one mask on one frame -> an alpha for every frame of the shot",
    "run": "run a job file, as matte --save-job and the add-ons write it; here, on an engine, on the farm",
    "mask": "a first mask from a box and a few clicks on one frame",
    "plan": "split a job file into segments for several workers, with the very same alphas",
    "merge": "after the segments: one output, one record",
    "batch": "every shot of a folder, and a page that says how it went",
    "inspect": "what the network will see of a plate and a mask, as a picture",
    "serve": "run the engine: a service that hosts and farms talk to",
    "status": "what the running engine does: sessions, speed, memory, queue",
    "stop": "end the running engine; sessions are kept on disk",
    "keys": "make keys for an engine that others reach over the network",
    "review": "a page about a finished run: confidence, flicker, worst frames first",
    "join": "views of a stereo shot into one multi-part EXR a frame",
    "info": "what an image file says about itself, and how it was made",
    "evaluate": "how far alphas are from the true ones: a table, JSON, a plot",
    "train": "train a network by one stage of the recipe",
    "draw": "draw clips with true alpha to train on",
    "nuke": "put the add-on for Nuke where Nuke finds it",
    "weights": "list, fetch, import and verify models",
    "doctor": "what this machine has, and whether the engine answers right on it",
}

_EPILOGUE = """\
exit codes: 0 ok, 2 bad input, 3 out of memory, 4 no such device, 5 licence refused, 6 output failed,
7 fetch failed, 8 bad result, 9 engine unreachable, 10 refused by the engine, 11 another worker is at it,
12 some shots of a batch failed, 130 interrupted, 1 anything else
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sleep_while_waiting()
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        options = _parser(arguments).parse_args(arguments)
        options.run(options)
    except EngineError as error:
        print(_sentence(error), file=sys.stderr)
        return exit_code(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("matanyone_engine"):
            raise
        print(_missing_library(error.name), file=sys.stderr)
        return BAD_INPUT
    except MemoryError:
        print(_sentence(_no_memory()), file=sys.stderr)
        return OUT_OF_MEMORY
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows the asked command in full and the others by a line."""
    parser = argparse.ArgumentParser(
        prog="matanyone-engine",
        description="MatAnyone Engine: one roto mask on one frame, an alpha for the whole shot.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"matanyone-engine {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name == asked:
            import_module(f"matanyone_engine.cli.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def _sentence(error: EngineError) -> str:
    return (
        f"matanyone-engine: {type(error).__name__}\n"
        f"  expected  {error.expected}\n"
        f"  got       {error.came}\n"
        f"  do        {error.action}"
    )


def _no_memory() -> OutOfMemory:
    return OutOfMemory(
        expected="room in main memory",
        came="none left",
        action="Close other programs, or compute smaller: --working-size 720.",
    )


def _missing_library(name: str) -> str:
    return (
        f"matanyone-engine: the Python package {name!r} is not installed.\n"
        "  This command computes on this machine and needs the engine's libraries:\n"
        "  pip install 'matanyone-engine[engine]'"
    )


if __name__ == "__main__":
    sys.exit(main())
