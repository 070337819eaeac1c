# SPDX-License-Identifier: Apache-2.0
"""Prints one line for each event of a job on standard output, for a render queue to read (docs/farm.md).

    --json               {"event": "frame", "at": "2026-01-31T12:00:00+00:00", "frame": 1001, "state": "done", ...}
    --report openjd      openjd_progress: 12.5     openjd_status: frame 1012, 12 of 96     openjd_fail: ...
    --report deadline    Progress: 12%
    --report tractor     TR_PROGRESS 12%

Events: planned, shot (one of a batch is over), reused, frame, step (computed, and written later or not at all),
preparing, heartbeat, ended. Messages for people go to standard error, with and without a report.
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

from matanyone_engine.cli.closed_output import silence
from matanyone_engine.cli.exit_codes import DOUBTFUL, INTERRUPTED, OK, OUT_OF_MEMORY, exit_code
from matanyone_engine.cli.progress import AnyConfidence, preparation
from matanyone_engine.errors import EngineError, Interrupted, OutputError
from matanyone_engine.jobs.run_events import EditedByHand, FrameDone, StepDone, Unchanged
from matanyone_engine.matting.confidence import CERTAIN
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.runs.frame_record import is_suspicious
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.reasons import reason

HEARTBEAT_S = 10.0
"""Seconds between heartbeats. A job that prints nothing for much longer hangs."""


class Reporter:
    """Counts the events of a job and prints nothing; its subclasses print lines for a render queue."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock, self._has_reader = stream, threading.Lock(), True
        self._begun = self._last_event_at = time.monotonic()
        self._at: dict[str, Any] = {"done": 0, "of": 0}
        self._shot: dict[str, str] = {}
        self.written = self.reused = 0
        self.suspicious: list[int] = []

    def begin(self, shot: str) -> None:
        """Start the next shot of a batch: its lines have its name, and the counters start at 0."""
        self._shot, self._begun = {"shot": shot}, time.monotonic()
        self._at = {"done": 0, "of": 0}
        self.written = self.reused = 0
        self.suspicious = []

    def end_shot(self, error: EngineError | None) -> None:
        """Report that a shot of a batch has ended."""
        code = OK if error is None else exit_code(error)
        self._end("shot", code, error)
        self._shot = {}

    # ------------------------------------------------------------------------------------------------- events

    def planned(self, **fields: Any) -> None:
        """Report that a job was checked and is about to start."""
        self._report("planned", fields)

    def show(self, event: StepDone | say.Progress) -> None:
        """Report a step of the job."""
        self._last_event_at = time.monotonic()
        if isinstance(event, Unchanged):
            self.suspicious += [frame for frame, entry in event.lines.items() if entry.needs_a_look]
            self.unchanged(len(event.frames), describe_frames(event.frames))
            return
        if isinstance(event, EditedByHand):
            self._report("kept", {"count": len(event.frames), "frames": describe_frames(event.frames)})
            return
        if what := preparation(event):
            self._report("preparing", {"what": what})
            return
        self._at = {"frame": event.frame, "done": event.done, "of": event.of}
        if isinstance(event, FrameDone):
            confidences: list[AnyConfidence] = list(event.confidences.values())
            self._frame([str(path) for path in event.paths], event.warnings, confidences, event.report.held)
        elif isinstance(event, say.Progress) and event.path:
            confidences = list(event.confidences)
            self._frame([event.path], event.warnings, confidences, event.held)
        else:
            self._report("step", self._at)

    def unchanged(self, count: int, frames: str = "") -> None:
        """Report alphas that exist already and were made from the same inputs."""
        self.reused += count
        self._report("reused", {"count": count, **({"frames": frames} if frames else {})})

    def ended(self, code: int, error: EngineError | None = None) -> None:
        """Report how the job ended: the exit code, and why."""
        self._end("ended", code, error)

    def _end(self, event: str, code: int, error: EngineError | None) -> None:
        outcome = {OK: "finished", INTERRUPTED: "stopped", DOUBTFUL: "doubtful"}.get(code, "failed")
        fields: dict[str, Any] = {"outcome": outcome, "exit": code, "written": self.written, "reused": self.reused}
        fields["seconds"] = round(time.monotonic() - self._begun, 1)
        if error is not None:
            parts = {"expected": error.expected, "got": error.came, "do": error.action}
            fields["error"] = {"kind": type(error).__name__, **parts}
        if error is not None and error.frame is not None and not isinstance(error, Interrupted):
            self._report("frame", {"frame": error.frame, "state": "failed", "error": fields["error"]})
        self._report(event, fields)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Report at intervals that the job is running, also while a frame takes long."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_S):
                self._report("heartbeat", {**self._at, "silent_s": round(time.monotonic() - self._last_event_at, 1)})

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _frame(
        self, files: list[str], warnings: Sequence[str], confidences: Sequence[AnyConfidence], held: bool
    ) -> None:
        self.written += 1
        suspicious = is_suspicious(warnings, [each.value for each in confidences])
        if suspicious:
            self.suspicious.append(self._at["frame"])
        fields = {
            **self._at,
            "state": "suspicious" if suspicious else "done",
            "files": files,
            "warnings": list(warnings),
        }
        least = min(confidences, key=lambda each: each.value, default=CERTAIN)
        why = {"why": least.why, "reason": reason(least.why, least.value)}
        self._report("frame", {**fields, "confidence": round(least.value, 3), **why, "held": held})

    # -------------------------------------------------------------------------------------------------- lines

    def _report(self, event: str, fields: dict[str, Any]) -> None:
        with self._lock:
            if self._has_reader:
                self._print(self._lines(event, {**self._shot, **fields}))

    def _print(self, lines: list[str]) -> None:
        """Print lines until the output is closed (`run JOB --json | head`) or its disk is full; the shot goes on
        without them.
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

    def _lines(self, event: str, fields: dict[str, Any]) -> list[str]:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return [json.dumps({"event": event, "at": now, **fields}, ensure_ascii=False)]


class OpenJdLines(Reporter):
    """Prints lines in the format of Open Job Description 2023-09."""

    def _lines(self, event: str, fields: dict[str, Any]) -> list[str]:
        if event == "ended" and "error" in fields:
            error = fields["error"]
            message = f"{error['kind']}: expected {error['expected']}; got {error['got']}. {error['do']}"
            return [f"openjd_fail: {_one_line(message)}"]
        if "of" not in fields or event == "heartbeat":
            return [f"openjd_status: {_status(event, fields)}"]
        return [f"openjd_progress: {_percent(fields):.1f}", f"openjd_status: {_status(event, fields)}"]


class DeadlineLines(Reporter):
    """Prints lines in the format of Deadline 10's CommandLine plug-in, without words that the plug-in takes for a
    failure."""

    def _lines(self, event: str, fields: dict[str, Any]) -> list[str]:
        return [f"Progress: {_percent(fields):.0f}%"] if "of" in fields else [f"Status: {_status(event, fields)}"]


class TractorLines(Reporter):
    """Prints lines in the format of a blade of Pixar's Tractor."""

    def _lines(self, event: str, fields: dict[str, Any]) -> list[str]:
        return [f"TR_PROGRESS {_percent(fields):.0f}%"] if "of" in fields else [_status(event, fields)]


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
    """Yield a reporter that prints a heartbeat, and that reports how the job ended, also after an error.

    Inside the block only the reporter prints to standard output. What libraries print there, such as OpenEXR's messages
    about a broken file, goes to standard error.
    """
    reporter = _REPORTERS[args.report](sys.stdout)
    try:
        with redirect_stdout(sys.stderr), reporter.heartbeat():
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


def _percent(fields: dict[str, Any]) -> float:
    return 100.0 * fields["done"] / fields["of"] if fields["of"] else 0.0


def _one_line(text: str) -> str:
    """Return a text as one line without control characters, so that a file's name cannot look like a line of the
    report."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _status(event: str, fields: dict[str, Any]) -> str:
    return _one_line(_status_of(event, fields))


def _status_of(event: str, fields: dict[str, Any]) -> str:
    if event in ("frame", "step", "heartbeat"):
        return f"frame {fields.get('frame', '-')}, step {fields.get('done', 0)} of {fields.get('of', 0)}"
    if event == "preparing":
        return str(fields["what"])
    if event == "kept":
        return f"{fields['count']} alphas were changed by hand and are kept"
    if event == "reused":
        return f"{fields['count']} alphas are up to date"
    if event == "planned":
        return f"{fields['frames']} alphas to {fields['out']}"
    return f"{fields['outcome']}: {fields['written']} alphas written, {fields['reused']} were up to date"
