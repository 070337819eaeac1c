# SPDX-License-Identifier: Apache-2.0
"""Shows how far a shot is, whether this process computes it or an engine, and what an artist should look at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.jobs.run_events import FrameDone, HandFixed, Looking, StepDone, Unchanged
from matanyone_engine.matting.confidence import DOUBTFUL, Confidence
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.reasons import reason

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing since Python 3.11

Told = Confidence | say.ObjectConfidence
"""How far an alpha can be trusted, and why: of a job in this process, or in an engine."""
_HEARTBEAT = 10.0
"""Seconds between lines of progress where there is no terminal to draw a bar on."""


def plain_console() -> Console:
    """Return a console for a command's lines: it prints paths as they are and breaks no line."""
    return PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)


class FrameProgress:
    """Draws a bar with the remaining time on a terminal, and says when a line is due elsewhere."""

    def __init__(self, console: Console, what: str, *more: ProgressColumn) -> None:
        """what: the word before the bar; more: columns behind the count."""
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
        """Tell whether a line is due, where there is no terminal."""
        if self._console.is_terminal or now - self._spoken < _HEARTBEAT:
            return False
        self._spoken = now
        return True


class MatteProgress(FrameProgress):
    """Draws a bar with frames per second and remaining time on a terminal, and prints a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "matte", TextColumn("{task.fields[rate]}"))
        self.alphas = 0
        self.unchanged: tuple[int, ...] = ()
        self.complete = False
        self._warned: dict[str, list[int]] = {}
        self._held: list[int] = []
        self._windows: list[tuple[int, int, int, int]] = []
        self._sure: dict[int, Told] = {}
        """For each frame what is said of its least sure object."""

    def show(self, event: StepDone | say.Progress) -> None:
        """Show that a step is done. If it made an alpha, that is on disk."""
        if isinstance(event, Looking) or (isinstance(event, say.Progress) and event.looking):
            self._look(event.done, event.of)
            return
        self.complete = event.done == event.of
        if isinstance(event, Unchanged):
            self.unchanged = event.frames
            for frame, said in event.lines.items():
                self._heed(frame, said.warnings, list(said.confidence.values()))
            return
        if isinstance(event, HandFixed):
            count, frames = len(event.frames), describe_frames(event.frames)
            self._console.print(
                f"kept    {count} alphas that somebody has changed ({frames}); --overwrite replaces them"
            )
            return
        if isinstance(event, FrameDone) or (isinstance(event, say.Progress) and event.path):
            self.alphas += 1
            self._heed(event.frame, event.warnings, _sure(event))
            self._note(*_how(event), event.frame)
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

    def _look(self, done: int, of: int) -> None:
        """Show how many files are read to find out what has changed; the work has not begun yet."""
        self._begun = now = time.monotonic()
        self._bar.update(self._task, completed=done, total=of, rate="reading files", frame="-")
        if self._due(now):
            self._console.print(f"read    {done} of {of} files, to find out what has changed")

    def _heed(self, frame: int, warnings: Sequence[str], sure: Sequence[Told]) -> None:
        """Remember what an artist should look at."""
        for warning in warnings:
            self._warned.setdefault(warning, []).append(frame)
        if sure:
            self._sure[frame] = min(sure, key=lambda each: each.value)

    def _note(self, held: bool, window: tuple[int, int, int, int] | None, frame: int) -> None:
        if held:
            self._held.append(frame)
        elif window is not None:
            self._windows.append(window)

    def tell(self) -> None:
        """Print once what was not computed, and what an artist should look at, on which frames."""
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
        doubtful = sorted(frame for frame, sure in self._sure.items() if sure.value < DOUBTFUL)
        if doubtful:
            worst = min(doubtful, key=lambda frame: self._sure[frame].value)
            self._console.print(
                f"doubt   {len(doubtful)} of {len(self._sure)} frames have a low confidence: "
                f"{describe_frames(doubtful)}. "
                f"The lowest is {self._sure[worst].value:.2f}, on frame {worst}."
            )
            for why, frames in reasons_of({frame: self._sure[frame] for frame in doubtful}).items():
                self._console.print(f"        {why} ({describe_frames(frames)})")


def reasons_of(doubtful: Mapping[int, Told]) -> dict[str, list[int]]:
    """Return the frames of each reason to doubt, the one with most frames first."""
    found: dict[str, list[int]] = {}
    for frame, sure in sorted(doubtful.items()):
        found.setdefault(reason(sure.why, sure.value), []).append(frame)
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def _sure(event: FrameDone | say.Progress) -> list[Told]:
    """Return what is said of each object."""
    return list(event.confidences if isinstance(event, say.Progress) else event.confidences.values())


def _how(event: FrameDone | say.Progress) -> tuple[bool, tuple[int, int, int, int] | None]:
    """Return whether a frame was held, and the box that was computed."""
    if isinstance(event, say.Progress):
        return event.held, event.region
    return event.report.held, event.report.region
