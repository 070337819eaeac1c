# SPDX-License-Identifier: Apache-2.0
"""What the shell and the farm are told (docs/cli.md). A test walks the error family so that none is forgotten."""

from __future__ import annotations

from matanyone_engine import errors

OK = 0
UNEXPECTED = 1
BAD_INPUT = 2
OUT_OF_MEMORY = 3
NO_DEVICE = 4
LICENCE_REFUSED = 5
OUTPUT_FAILED = 6
FETCH_FAILED = 7
BAD_RESULT = 8
UNREACHABLE = 9
REFUSED = 10
ALREADY_RUNNING = 11
PARTLY_DONE = 12
INTERRUPTED = 130

# The most specific ancestor of an error that stands here decides.
EXIT_CODES: dict[type[errors.EngineError], int] = {
    errors.BadInput: BAD_INPUT,
    errors.IllegalMove: BAD_INPUT,
    errors.SnapshotError: BAD_INPUT,
    errors.OutOfMemory: OUT_OF_MEMORY,
    errors.DeviceError: NO_DEVICE,
    errors.LicenceRefused: LICENCE_REFUSED,
    errors.OutputError: OUTPUT_FAILED,
    errors.FetchError: FETCH_FAILED,
    errors.BadResult: BAD_RESULT,
    errors.EngineUnreachable: UNREACHABLE,
    errors.RefusedByEngine: REFUSED,
    errors.AlreadyRunning: ALREADY_RUNNING,
    errors.PartlyDone: PARTLY_DONE,
    errors.Interrupted: INTERRUPTED,
}


def exit_code(error: errors.EngineError) -> int:
    """The exit code of an engine error."""
    for ancestor in type(error).__mro__:
        if ancestor in EXIT_CODES:
            return EXIT_CODES[ancestor]
    return UNEXPECTED
