# SPDX-License-Identifier: Apache-2.0
"""Runs the command that was typed, and turns errors into sentences and exit codes.

Rules of this file:
1. A command's module is imported only when the command is used, so that --help is fast and needs no torch.
2. Only an EngineError is printed as a sentence. Any other error is a defect and shows its traceback.
"""

from __future__ import annotations

import argparse
import errno
import logging
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from matanyone_engine.cli.closed_output import silence
from matanyone_engine.cli.exit_codes import BAD_INPUT, INTERRUPTED, MEANINGS, OK, OUT_OF_MEMORY, exit_code
from matanyone_engine.cli.terminal import plain_streams
from matanyone_engine.errors import BadInput, EngineError, OutOfMemory
from matanyone_engine.jobs.threads import sleep_while_waiting
from matanyone_engine.version import __version__
from matanyone_engine.wire.private import give_home

# Group of users -> command -> what it does. A command's module is matanyone_engine.cli.<command>.
GROUPS = {
    "For artists, on one shot": {
        "matte": "Makes an alpha for every frame of a shot, from a mask on one frame or several.",
        "mask": "Makes that first mask from a box and a few clicks.",
        "track": "Follows a subject through a shot with a tracker, and writes a guide for matte --guide.",
        "inspect": "Shows what the network will see of a plate and a mask, before anything is computed.",
        "review": "Makes a page about a finished run that shows its worst frames first.",
        "info": "Prints what an image file says about itself and how it was made.",
        "shapes": "Turns finished alphas into splines that you can edit in Nuke, Silhouette and Blender.",
        "join": "Joins the views of a stereo shot into one multi-part EXR for each frame.",
    },
    "For the farm": {
        "run": "Runs a job file, in this process or on a running engine.",
        "plan": "Splits a job file into segments for several workers; the alphas stay the same.",
        "merge": "Joins finished segments into one output with one record.",
        "batch": "Runs every shot of a folder and makes a page that says how each one went.",
    },
    "For whoever sets things up in a studio": {
        "doctor": "Lists what this machine has, and tests whether the engine computes correctly on it.",
        "weights": "Lists, downloads, imports and verifies models.",
        "nuke": "Installs the add-on for Nuke into a folder.",
        "blender": "Builds the extension for Blender as a zip.",
        "serve": "Starts an engine that keeps the weights loaded, for Nuke, Blender and these commands.",
        "status": "Shows what the running engine is doing.",
        "stop": "Ends the running engine; its sessions are kept on disk.",
        "keys": "Makes the keys with which other machines may connect to an engine.",
    },
    "For training": {
        "train": "Trains a network by one stage of the recipe.",
        "draw": "Draws clips with true alphas to train on.",
        "evaluate": "Measures how far alphas are from the true ones.",
    },
}
COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}


def _overview() -> str:
    """List the commands by group of users."""
    lines = ["MatAnyone Engine makes an alpha for every frame of a shot from one roto mask on one frame."]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:10}{summary}" for name, summary in commands.items())]
    return "\n".join(lines)


_BEGIN = """\
Begin with: matanyone-engine matte "plate.####.exr" --mask mask.1001.exr@1001 --out "out/alpha.####.exr"
All options of a command: matanyone-engine COMMAND --help. The guide by task is docs/cli.md.
"""


def _epilogue() -> str:
    """Return the text below the list of commands: a first command, and the exit codes."""
    codes = [f"  {code:<5}{meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join([_BEGIN, "Exit codes:", *codes])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    with plain_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    sleep_while_waiting()
    give_home()
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        _check_current_folder()
        _carry_out(_parsed(arguments))
    except BrokenPipeError:
        return _without_reader()
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


def _carry_out(options: argparse.Namespace) -> None:
    """Run a command. Raises BadInput for a path that no file can have, whichever library reports it."""
    try:
        options.run(options)
        sys.stdout.flush()
    except (OSError, UnicodeEncodeError) as error:
        if not _is_of_a_name(error):
            raise
        raise _bad_name(error) from error


def _check_current_folder() -> None:
    """Raise BadInput if the current folder has been deleted, since some libraries crash in that case."""
    try:
        Path.cwd()
    except OSError as error:
        raise BadInput(
            expected="a current folder that is there",
            came="one that was deleted or cannot be read",
            action="Change to another folder (cd) and run the command again.",
        ) from error


def _without_reader() -> int:
    """Return exit code 0 if the reader of standard output closed it early (`info FILE | head`)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        return OK
    raise  # noqa: PLE0704 (called while a BrokenPipeError that is not standard output's is handled)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Build a parser with all options of the command that was typed; of other commands it knows only the names."""
    parser = argparse.ArgumentParser(
        prog="matanyone-engine",
        usage="matanyone-engine COMMAND [options]",
        description=_overview(),
        epilog=_epilogue(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"matanyone-engine {__version__}", help="Print the version."
    )
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog="matanyone-engine"
    )
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name in COMMANDS:
        if name == asked:
            import_module(f"matanyone_engine.cli.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name)
    return parser


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments. An unknown argument ends the process with exit code 2."""
    parsed, unknown = _parser(arguments).parse_known_args(arguments)
    if unknown:
        raise SystemExit(_refused(parsed.command, unknown))
    return parsed


def _refused(command: str, unknown: Sequence[str]) -> int:
    """Print the unknown arguments and the most similar option; return the exit code."""
    subparsers = argparse.ArgumentParser().add_subparsers()
    import_module(f"matanyone_engine.cli.{command}").add_parser(subparsers)
    known = re.findall(r"--[a-z][a-z-]+", subparsers.choices[command].format_help())
    first = next((word.partition("=")[0] for word in unknown if word.startswith("--")), "")
    close = get_close_matches(first, known, n=1)
    meant = f" Is {close[0]} meant?" if close else ""
    print(
        f"matanyone-engine: {command} does not know {' '.join(unknown)}.{meant}\n"
        f"  matanyone-engine {command} --help lists its options.",
        file=sys.stderr,
    )
    return BAD_INPUT


def _sentence(error: EngineError) -> str:
    return (
        f"matanyone-engine: {type(error).__name__}\n"
        f"  expected  {error.expected}\n"
        f"  got       {error.came}\n"
        f"  do        {error.action}"
    )


def _is_of_a_name(error: OSError | UnicodeEncodeError) -> bool:
    """Return whether an OSError is about a path that no file can have, rather than about the disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ELOOP, errno.ENAMETOOLONG)
    return error.reason.startswith("surrogates")


def _bad_name(error: OSError | UnicodeEncodeError) -> BadInput:
    if isinstance(error, OSError):
        came = f"{str(error.filename)[:200]!r}: {error.strerror}"
        return BadInput(expected="a path that can be followed", came=came, action="Name the file by another path.")
    return BadInput(
        expected="names in UTF-8",
        came=f"{error.object[:200]!a}, in which {error.object[error.start]!a} is a byte of another encoding",
        action="Rename the file or folder: convmv -f latin1 -t utf8 does it for whole trees.",
    )


def _no_memory() -> OutOfMemory:
    return OutOfMemory(
        expected="enough main memory for this shot",
        came="no memory left",
        action="Close other programs, or compute at a smaller size: --working-size 288.",
    )


def _missing_library(name: str) -> str:
    return (
        f"matanyone-engine: the Python package {name!r} is not installed.\n"
        "  This command computes on this machine and needs the engine's libraries. Install them:\n"
        "  pip install 'matanyone-engine[engine]'"
    )


if __name__ == "__main__":
    sys.exit(main())
