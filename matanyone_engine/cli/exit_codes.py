# SPDX-License-Identifier: Apache-2.0
"""Maps every class of error to the exit code that a shell or a farm reads (docs/cli.md).

A test checks that every error class has a code and that every code has a meaning.
"""

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
DOUBTFUL = 13
ENGINE_ENDED_ITSELF = 14
"""Only `serve` ends with it (engine/watchdog.py)."""
INTERRUPTED = 130

MEANINGS = {
    OK: "Everything went well.",
    UNEXPECTED: "The engine has a defect; please report it with the traceback.",
    BAD_INPUT: "The input cannot be used.",
    OUT_OF_MEMORY: "Memory ran out.",
    NO_DEVICE: "The device that was asked for is not there.",
    LICENCE_REFUSED: "The licence of the weights is not allowed here.",
    OUTPUT_FAILED: "A file could not be written.",
    FETCH_FAILED: "Weights could not be downloaded.",
    BAD_RESULT: "The network's answer was not a number, or the self-test failed.",
    UNREACHABLE: "No engine is running, or the running one does not answer.",
    REFUSED: "The running engine refused.",
    ALREADY_RUNNING: "Another worker is computing these frames; run it again later.",
    PARTLY_DONE: "Some shots of a batch failed; the others are finished.",
    DOUBTFUL: "Every frame is written, but most alphas of an object cannot be trusted.",
    ENGINE_ENDED_ITSELF: "A thread of the engine died or hung, so the engine ended itself; start it again.",
    INTERRUPTED: "You stopped it; finished frames are kept.",
}

# For a class that is not listed, the code of its nearest listed base class counts.
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
    errors.Doubtful: DOUBTFUL,
    errors.Defect: UNEXPECTED,
    errors.Interrupted: INTERRUPTED,
}


def exit_code(error: errors.EngineError) -> int:
    """Return the exit code of an engine error."""
    for ancestor in type(error).__mro__:
        if ancestor in EXIT_CODES:
            return EXIT_CODES[ancestor]
    return UNEXPECTED
