# SPDX-License-Identifier: Apache-2.0
"""Shows the progress of a shot, computed by this process or by an engine, and the frames that an artist should look
at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.jobs.run_events import CheckingFiles, EditedByHand, FrameDone, Preparing, StepDone, Unchanged
from matanyone_engine.matting.confidence import DOUBTFUL, Confidence
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.reasons import reason

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing since Python 3.11

AnyConfidence = Confidence | say.ObjectConfidence
"""A confidence with its reason, from a job in this process or in an engine."""
_HEARTBEAT = 10.0
"""Seconds between lines of progress if there is no terminal to draw a bar on."""


def plain_console() -> Console:
    """Return a console that prints paths unchanged and does not wrap lines."""
    return PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)


class FrameProgress:
    """Draws a progress bar with the remaining time on a terminal; without a terminal, it tells when a line of progress
    is due."""

    def __init__(self, console: Console, what: str, *more: ProgressColumn) -> None:
        """what: the word before the bar; more: columns after the count."""
        count = (TextColumn(f"{what:6}"), BarColumn(), MofNCompleteColumn())
        left = (TextColumn("ETA"), TimeRemainingColumn(), TextColumn("frame {task.fields[frame]}"))
        self._console = console
        self._bar = Progress(*count, *more, *left, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=None, rate="", frame="-")
        self._begun = self._spoken = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _due(self, now: float) -> bool:
        """Return whether a line of progress is due; always False on a terminal."""
        if self._console.is_terminal or now - self._spoken < _HEARTBEAT:
            return False
        self._spoken = now
        return True


class MatteProgress(FrameProgress):
    """Draws a bar with frames per second and remaining time on a terminal; without a terminal, it prints a line at
    intervals."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "matte", TextColumn("{task.fields[rate]}"))
        self.alphas = 0
        self.unchanged: tuple[int, ...] = ()
        self.complete = False
        self._prepared = False
        """Whether it was printed that something is made ready."""
        self._warned: dict[str, list[int]] = {}
        self._held: list[int] = []
        self._windows: list[tuple[int, int, int, int]] = []
        self._least_confidence: dict[int, AnyConfidence] = {}
        """For each frame, the confidence of its least certain object."""
        self._least_certain: dict[int, str] = {}
        """For each frame, the name of that object."""
        self._objects: set[str] = set()

    def show(self, event: StepDone | say.Progress) -> None:
        """Show that a step is done. If the step made an alpha, it is on disk."""
        if isinstance(event, CheckingFiles) or (isinstance(event, say.Progress) and event.looking):
            self._show_check(event.done, event.of)
            return
        if what := preparation(event):
            self._show_preparation(what)
            return
        self.complete = event.done == event.of
        if isinstance(event, Unchanged):
            self.unchanged = event.frames
            for frame, entry in event.lines.items():
                self._note_frame(frame, entry.warnings, entry.confidence)
            return
        if isinstance(event, EditedByHand):
            count, frames = len(event.frames), describe_frames(event.frames)
            self._console.print(
                f"kept    {count} alphas that somebody has changed ({frames}); --overwrite replaces them"
            )
            return
        if isinstance(event, FrameDone) or (isinstance(event, say.Progress) and event.path):
            self.alphas += 1
            self._note_frame(event.frame, event.warnings, _confidences_of(event))
            self._note(*_held_and_region(event), event.frame)
        now = time.monotonic()
        rate = event.done / max(now - self._begun, 1e-6)
        self._bar.update(
            self._task, completed=event.done, total=event.of, rate=f"{rate:.2f} frames/s", frame=event.frame
        )
        if self._due(now):
            left = (event.of - event.done) / rate
            self._console.print(
                f"frame {event.frame}  step {event.done} of {event.of}  {rate:.2f} frames/s  {left:.0f} s left"
            )

    def _show_check(self, done: int, of: int) -> None:
        """Show how many files were read to find out what has changed. The computing has not begun yet."""
        self._begun = now = time.monotonic()
        self._bar.update(self._task, completed=done, total=of, rate="reading files", frame="-")
        if self._due(now):
            self._console.print(f"read    {done} of {of} files, to find out what has changed")

    def _show_preparation(self, what: str) -> None:
        """Show what is made ready before the computing begins. Without a terminal, it is printed at once."""
        self._begun = time.monotonic()
        self._bar.update(self._task, completed=0, total=None, rate=what, frame="-")
        if self._due(self._begun) or not (self._prepared or self._console.is_terminal):
            self._console.print(f"wait    {what}")
        self._prepared = True

    def _note_frame(self, frame: int, warnings: Sequence[str], confidences: Mapping[str, AnyConfidence]) -> None:
        """Remember a frame's warnings and lowest confidence."""
        for warning in warnings:
            self._warned.setdefault(warning, []).append(frame)
        if confidences:
            self._objects |= set(confidences)
            self._least_certain[frame] = min(confidences, key=lambda name: confidences[name].value)
            self._least_confidence[frame] = confidences[self._least_certain[frame]]

    def _note(self, held: bool, window: tuple[int, int, int, int] | None, frame: int) -> None:
        if held:
            self._held.append(frame)
        elif window is not None:
            self._windows.append(window)

    def print_summary(self) -> None:
        """Print the held frames, the windows, the warnings and the doubtful frames of the run."""
        if self._held:
            repeats = describe_frames(sorted(self._held))
            self._console.print(
                f"held    {len(self._held)} frames repeat the frame before them and have its alpha: {repeats}"
            )
        if self._windows:
            width, height = (round(sum(b[i + 2] - b[i] for b in self._windows) / len(self._windows)) for i in (0, 1))
            self._console.print(
                f"region  {width}x{height} pixels were computed on average, in {len(set(self._windows))} windows"
            )
        for warning, frames in self._warned.items():
            self._console.print(f"check   {warning} ({describe_frames(frames)})")
        doubtful = sorted(
            frame for frame, confidences in self._least_confidence.items() if confidences.value < DOUBTFUL
        )
        if doubtful:
            worst = min(doubtful, key=lambda frame: self._least_confidence[frame].value)
            whose = f" for {self._least_certain[worst]}" if len(self._objects) > 1 else ""
            self._console.print(
                f"doubt   {len(doubtful)} of {len(self._least_confidence)} frames have a low confidence: "
                f"{describe_frames(doubtful)}. "
                f"The lowest is {self._least_confidence[worst].value:.2f},{whose} on frame {worst}."
            )
            for why, frames in reasons_of({frame: self._least_confidence[frame] for frame in doubtful}).items():
                self._console.print(f"        {why} ({describe_frames(frames)})")


def preparation(event: StepDone | say.Progress) -> str:
    """Return what an event says is made ready before the first step; '' for another event."""
    if isinstance(event, say.Progress):
        return event.preparing
    return event.what if isinstance(event, Preparing) else ""


def reasons_of(doubtful: Mapping[int, AnyConfidence]) -> dict[str, list[int]]:
    """Return the frames of each reason for a low confidence; the reason with most frames comes first."""
    found: dict[str, list[int]] = {}
    for frame, confidences in sorted(doubtful.items()):
        found.setdefault(reason(confidences.why, confidences.value), []).append(frame)
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def _confidences_of(event: FrameDone | say.Progress) -> Mapping[str, AnyConfidence]:
    """Return the confidence of each object, by the object's name."""
    if isinstance(event, say.Progress):
        return {each.object: each for each in event.confidences}
    return event.confidences


def _held_and_region(event: FrameDone | say.Progress) -> tuple[bool, tuple[int, int, int, int] | None]:
    """Return whether a frame was held, and the region that was computed."""
    if isinstance(event, say.Progress):
        return event.held, event.region
    return event.report.held, event.report.region
