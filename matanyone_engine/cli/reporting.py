# SPDX-License-Identifier: Apache-2.0
"""Prints one line for each event of a job on standard output, for a render queue to read (docs/farm.md).

    --json               {"event": "frame", "at": "2026-01-31T12:00:00+00:00", "frame": 1001, "state": "done", ...}
    --report openjd      openjd_progress: 12.5     openjd_status: frame 1012, 12 of 96     openjd_fail: ...
    --report deadline    Progress: 12%
    --report tractor     TR_PROGRESS 12%

Events: planned, shot (one of a batch is over), reused, frame, step (computed, and written later or not at all),
heartbeat, ended. People read standard error, which is the same as without.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timezone
from typing import Any, TextIO

from matanyone_engine.cli.exit_codes import DOUBTFUL, INTERRUPTED, OK, OUT_OF_MEMORY, exit_code
from matanyone_engine.cli.lost_reader import silence
from matanyone_engine.cli.progress import Told
from matanyone_engine.errors import EngineError, Interrupted, OutputError
from matanyone_engine.jobs.run_events import FrameDone, HandFixed, StepDone, Unchanged
from matanyone_engine.matting.confidence import SURE
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.frame_record import is_suspicious
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.reasons import reason

HEARTBEAT_S = 10.0
"""A job that says nothing for much longer hangs."""


class Reporter:
    """Counts what a job does and prints nothing; its subclasses print lines for a queue."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock, self._has_reader = stream, threading.Lock(), True
        self._begun = self._heard = time.monotonic()
        self._at: dict[str, Any] = {"done": 0, "of": 0}
        self._shot: dict[str, str] = {}
        self.written = self.reused = 0
        self.suspicious: list[int] = []

    def begin(self, shot: str) -> None:
        """Begin the next shot of several: its lines name it, and counting begins anew."""
        self._shot, self._begun = {"shot": shot}, time.monotonic()
        self._at = {"done": 0, "of": 0}
        self.written = self.reused = 0
        self.suspicious = []

    def end_shot(self, error: EngineError | None) -> None:
        """Report that one of several shots is over."""
        code = OK if error is None else exit_code(error)
        self._end("shot", code, error)
        self._shot = {}

    # ------------------------------------------------------------------------------------------------- events

    def planned(self, **about: Any) -> None:
        """Report that a job was checked and begins."""
        self._say("planned", about)

    def show(self, event: StepDone | say.Progress) -> None:
        """Report a step of the job."""
        self._heard = time.monotonic()
        if isinstance(event, Unchanged):
            self.suspicious += [frame for frame, said in event.lines.items() if said.needs_a_look]
            self.unchanged(len(event.frames), describe_frames(event.frames))
            return
        if isinstance(event, HandFixed):
            self._say("kept", {"count": len(event.frames), "frames": describe_frames(event.frames)})
            return
        self._at = {"frame": event.frame, "done": event.done, "of": event.of}
        if isinstance(event, FrameDone):
            sure: list[Told] = list(event.confidences.values())
            self._frame([str(path) for path in event.paths], event.warnings, sure, event.report.held)
        elif isinstance(event, say.Progress) and event.path:
            sure = list(event.confidences)
            self._frame([event.path], event.warnings, sure, event.held)
        else:
            self._say("step", self._at)

    def unchanged(self, count: int, frames: str = "") -> None:
        """Report alphas that were there already, made from the very same inputs."""
        self.reused += count
        self._say("reused", {"count": count, **({"frames": frames} if frames else {})})

    def ended(self, code: int, error: EngineError | None = None) -> None:
        """Report how the job ended: the exit code, and why."""
        self._end("ended", code, error)

    def _end(self, event: str, code: int, error: EngineError | None) -> None:
        outcome = {OK: "finished", INTERRUPTED: "stopped", DOUBTFUL: "doubtful"}.get(code, "failed")
        about: dict[str, Any] = {"outcome": outcome, "exit": code, "written": self.written, "reused": self.reused}
        about["seconds"] = round(time.monotonic() - self._begun, 1)
        if error is not None:
            said = {"expected": error.expected, "got": error.came, "do": error.action}
            about["error"] = {"kind": type(error).__name__, **said}
        if error is not None and error.frame is not None and not isinstance(error, Interrupted):
            self._say("frame", {"frame": error.frame, "state": "failed", "error": about["error"]})
        self._say(event, about)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Report now and then that the job goes on, also while a frame takes long."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_S):
                self._say("heartbeat", {**self._at, "silent_s": round(time.monotonic() - self._heard, 1)})

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _frame(self, files: list[str], warnings: Sequence[str], sure: Sequence[Told], held: bool) -> None:
        self.written += 1
        doubted = is_suspicious(warnings, [each.value for each in sure])
        if doubted:
            self.suspicious.append(self._at["frame"])
        about = {**self._at, "state": "suspicious" if doubted else "done", "files": files, "warnings": list(warnings)}
        least = min(sure, key=lambda each: each.value, default=SURE)
        why = {"why": least.why, "reason": reason(least.why, least.value)}
        self._say("frame", {**about, "confidence": round(least.value, 3), **why, "held": held})

    # -------------------------------------------------------------------------------------------------- lines

    def _say(self, event: str, about: dict[str, Any]) -> None:
        with self._lock:
            if self._has_reader:
                self._print(self._lines(event, {**self._shot, **about}))

    def _print(self, lines: list[str]) -> None:
        """Print lines until whoever reads them has gone (`run JOB --json | head`), or the disk is full that they go to;
        the shot goes on without.
        """
        try:
            for line in lines:
                print(line, file=self._stream, flush=True)
        except (OSError, OutputError):
            self._has_reader = False
            silence(self._stream)

    def _lines(self, _event: str, _about: dict[str, Any]) -> list[str]:
        return []


class JsonLines(Reporter):
    """Prints each event as one line of JSON."""

    def _lines(self, event: str, about: dict[str, Any]) -> list[str]:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return [json.dumps({"event": event, "at": now, **about}, ensure_ascii=False)]


class OpenJdLines(Reporter):
    """Prints lines as Open Job Description 2023-09 reads them."""

    def _lines(self, event: str, about: dict[str, Any]) -> list[str]:
        if event == "ended" and "error" in about:
            error = about["error"]
            said = f"{error['kind']}: expected {error['expected']}; got {error['got']}. {error['do']}"
            return [f"openjd_fail: {_one_line(said)}"]
        if "of" not in about or event == "heartbeat":
            return [f"openjd_status: {_status(event, about)}"]
        return [f"openjd_progress: {_percent(about):.1f}", f"openjd_status: {_status(event, about)}"]


class DeadlineLines(Reporter):
    """Prints lines as the CommandLine plug-in of Deadline 10 reads them, without a word that it takes for a failure."""

    def _lines(self, event: str, about: dict[str, Any]) -> list[str]:
        return [f"Progress: {_percent(about):.0f}%"] if "of" in about else [f"Status: {_status(event, about)}"]


class TractorLines(Reporter):
    """Prints lines as a blade of Pixar's Tractor reads them."""

    def _lines(self, event: str, about: dict[str, Any]) -> list[str]:
        return [f"TR_PROGRESS {_percent(about):.0f}%"] if "of" in about else [_status(event, about)]


_REPORTERS = {
    None: Reporter,
    "json": JsonLines,
    "openjd": OpenJdLines,
    "deadline": DeadlineLines,
    "tractor": TractorLines,
}


def add_reporting(parser: argparse._ActionsContainer) -> None:
    """Add --json and --report to a parser."""
    parser.add_argument(
        "--report",
        choices=[name for name in _REPORTERS if name],
        help="Print progress on standard output in the form that a render queue reads.",
    )
    parser.add_argument(
        "--json",
        dest="report",
        action="store_const",
        const="json",
        help="The same as --report json: a line of JSON each.",
    )


@contextmanager
def reporting(args: argparse.Namespace) -> Iterator[Reporter]:
    """Yield a reporter that sends a heartbeat, and says how the job ended whatever happens.

    Meanwhile standard output is its own: what libraries print there (OpenEXR's of a broken file) goes to standard
    error.
    """
    reporter = _REPORTERS[args.report](sys.stdout)
    try:
        with redirect_stdout(sys.stderr), reporter.beating():
            yield reporter
    except EngineError as error:
        reporter.ended(exit_code(error), error)
        raise
    except MemoryError:
        reporter.ended(OUT_OF_MEMORY)
        raise
    except KeyboardInterrupt:
        reporter.ended(INTERRUPTED)
        raise
    reporter.ended(OK)


def _percent(about: dict[str, Any]) -> float:
    return 100.0 * about["done"] / about["of"] if about["of"] else 0.0


def _one_line(text: str) -> str:
    """Return a text as one line without control characters, so that a file's name cannot pass for a line of ours."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _status(event: str, about: dict[str, Any]) -> str:
    return _one_line(_status_of(event, about))


def _status_of(event: str, about: dict[str, Any]) -> str:
    if event in ("frame", "step", "heartbeat"):
        return f"frame {about.get('frame', '-')}, step {about.get('done', 0)} of {about.get('of', 0)}"
    if event == "kept":
        return f"{about['count']} alphas were changed by hand and are kept"
    if event == "reused":
        return f"{about['count']} alphas are up to date"
    if event == "planned":
        return f"{about['frames']} alphas to {about['out']}"
    return f"{about['outcome']}: {about['written']} alphas written, {about['reused']} were up to date"
