# SPDX-License-Identifier: Apache-2.0
"""How far a matte is, whether it is computed in this process or by an engine."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.service.run import FrameDone, StepDone, Unchanged
from matanyone_engine.wire import messages as say

_HEARTBEAT = 10.0
"""Seconds between lines of progress where there is no terminal to draw a bar on."""


def plain_console() -> Console:
    """For what commands say: paths are printed as they are (brackets in a name are no markup), no line is broken."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class MatteProgress:
    """A bar with frames per second and ETA on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("matte "),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("frame {task.fields[frame]}"),
        )
        self._console = console
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("matte", total=None, rate="", frame="-")
        self._begun = self._spoken = time.monotonic()
        self.alphas = 0
        self.unchanged: tuple[int, ...] = ()
        self.complete = False
        self._warned: dict[str, list[int]] = {}
        self._held: list[int] = []
        self._windows: list[tuple[int, int, int, int]] = []

    def __enter__(self) -> MatteProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: StepDone | say.Progress) -> None:
        """A step is done; with an alpha, that is on disk."""
        self.complete = event.done == event.of
        if isinstance(event, Unchanged):
            self.unchanged = event.frames
            for frame, warning in event.warnings:
                self._warned.setdefault(warning, []).append(frame)
            return
        if isinstance(event, FrameDone) or (isinstance(event, say.Progress) and event.path):
            self.alphas += 1
            for warning in event.warnings:
                self._warned.setdefault(warning, []).append(event.frame)
            self._note(*_how(event), event.frame)
        now = time.monotonic()
        rate = event.done / max(now - self._begun, 1e-6)
        self._bar.update(
            self._task, completed=event.done, total=event.of, rate=f"{rate:.2f} frames/s", frame=event.frame
        )
        if not self._console.is_terminal and now - self._spoken >= _HEARTBEAT:
            self._spoken = now
            left = (event.of - event.done) / rate
            self._console.print(f"frame {event.frame}  {event.done}/{event.of}  {rate:.2f} frames/s  ETA {left:.0f} s")

    def _note(self, held: bool, window: tuple[int, int, int, int] | None, frame: int) -> None:
        if held:
            self._held.append(frame)
        elif window is not None:
            self._windows.append(window)

    def tell(self) -> None:
        """Say once what was not computed, and what an artist should look at, on which frames."""
        if self._held:
            repeats = describe_frames(sorted(self._held))
            self._console.print(f"held    {len(self._held)} frames repeat another and got its alpha ({repeats})")
        if self._windows:
            width, height = (round(sum(b[i + 2] - b[i] for b in self._windows) / len(self._windows)) for i in (0, 1))
            self._console.print(f"region  {len(set(self._windows))} windows, {width}x{height} on average")
        for warning, frames in self._warned.items():
            self._console.print(f"check   {warning} ({describe_frames(frames)})")


def _how(event: FrameDone | say.Progress) -> tuple[bool, tuple[int, int, int, int] | None]:
    """Whether a frame was held, and the box that was computed."""
    if isinstance(event, say.Progress):
        return event.held, event.region
    return event.report.held, event.report.region
