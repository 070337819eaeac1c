# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan: it exports a chunk, hands it over, and exports the next while the engine computes.

Rules of this file:
1. It imports no nuke. What has to happen in Nuke it asks of its Stage.
2. It is the same code on a thread of its own (GUI) and on the only one (nuke -t), where a Stage does things at once.
3. The outcome is counted from what the engine said of each frame; a run with a failed frame is never 'finished'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Set, Tuple

from .bridge import EXIT_CODES, REFUSED, Link, LinkError
from .engine.wire import messages as say
from .frames import PlanError
from .guide_keys import with_keys_of_guides
from .jobs import MaskPlan, job_of
from .plan import Chunk, Export, Plan
from .words import in_nuke


class Cancelled(Exception):
    """The artist stopped the run."""


@dataclass(frozen=True)
class Landed:
    """Describes a step of a run that is done."""

    frame: int
    path: str
    """'' where nothing was written."""
    done: int
    """Mattes on disk, of all that are wanted."""
    of: int
    confidence: Optional[float] = None
    """How far the frame's matte can be trusted: that of the least sure object."""
    looking: bool = False
    """Whether the engine still looks for what has changed; done and of then count the files it reads."""
    ended: bool = False
    """Whether this stands for the frames of a finished job that the engine did not report one by one."""


class Stage:
    """Does what a run asks of its host; every method may be called from the run's thread."""

    def export(self, exports: Tuple[Export, ...], views: Tuple[Optional[str], ...]) -> Any:
        """Begin to render these files; the result's wait() returns once they are there, or raises."""
        raise NotImplementedError

    def show(self, landed: Landed) -> None:
        """Show that a step is done."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Say in one line what goes on."""
        raise NotImplementedError

    def cancelled(self) -> bool:
        """Tell whether the artist wants it to stop, or what it was for is gone."""
        raise NotImplementedError


@dataclass(frozen=True)
class Outcome:
    """Says how a run ended."""

    state: str
    """'finished', 'cancelled' or 'failed'."""
    written: int = 0
    unchanged: int = 0
    engine: str = ""
    code: str = ""
    message: str = ""
    action: str = ""
    warnings: Tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Return what a farm is told."""
        if self.state == "finished":
            return 0
        return EXIT_CODES["cancelled"] if self.state == "cancelled" else EXIT_CODES.get(self.code, REFUSED)


class Run:
    """Carries out one plan."""

    def __init__(self, plan: Plan, connect: Callable[[], Link], stage: Stage) -> None:
        self.plan, self._connect, self._stage = plan, connect, stage
        self._done: Set[Tuple[Optional[str], int]] = set()
        self._written = self._unchanged = 0
        self._warnings: List[str] = []
        self._engine = ""

    def go(self) -> Outcome:
        """Do all of it. Raises what a Stage raises that is no refusal of the engine: a defect, or Nuke's own error."""
        try:
            with self._connect() as link:
                self._engine = link.engine.version
                self._stage.note("engine %s on %s, by %s" % (link.engine.version, link.engine.device, link.engine.link))
                return self._chunks(link)
        except LinkError as error:
            return self._outcome("failed", error.code, error.message, error.action)
        except PlanError as error:  # only a guide that was rendered tells that it makes no key
            text = "expected %s; got %s" % (error.expected, error.came)
            return self._outcome("failed", "bad-input", text, error.action)
        except Cancelled:
            return self._outcome("cancelled")

    def _chunks(self, link: Link) -> Outcome:
        chunks, views = self.plan.chunks, self.plan.views
        exported = self._stage.export(chunks[0].exports, views)
        for number, chunk in enumerate(chunks):
            exported.wait()
            self._check_cancel()
            if self.plan.unmasked:
                self._stage.note("looking for the guide's best frame")
                self.plan = with_keys_of_guides(self.plan, self._check_cancel)
            if number + 1 < len(chunks):
                exported = self._stage.export(chunks[number + 1].exports, views)
            last = number + 1 == len(chunks)
            ended = self._views(link, chunk, last) if chunk.frames else None
            if ended is not None and ended.outcome != "finished":
                return self._outcome(ended.outcome, ended.code, ended.message, ended.action)
        return self._outcome("finished")

    def _views(self, link: Link, chunk: Chunk, last: bool) -> Optional[say.JobEnded]:
        """Run the chunk's job for each view; the first end that is none that was wished for, else the last."""
        ended = None
        for view in self.plan.views:
            ended = self._follow(link, chunk, view)
            self._written += ended.written
            self._unchanged += ended.unchanged if last else 0
            if ended.outcome != "finished":
                break
        return ended

    def _follow(self, link: Link, chunk: Chunk, view: Optional[str]) -> say.JobEnded:
        accepted = link.ask(job_of(self.plan, chunk, view))
        self._stage.note("%d frames, colour %s" % (accepted.frames, accepted.colour))
        told = False
        for event in link.events():
            if isinstance(event, say.JobEnded):
                self._show_all_done(event, chunk, view)
                return event
            if isinstance(event, say.Progress):
                self._progress(event, view)
            if not told and self._stage.cancelled():
                told = True
                link.cancel()
        raise LinkError("internal", "the job's events ended without an end", "Please report this.")

    def _progress(self, event: say.Progress, view: Optional[str]) -> None:
        if event.looking:
            self._stage.show(Landed(event.frame, "", event.done, event.of, looking=True))
            return
        if event.preparing:
            self._stage.note(event.preparing)
            return
        if event.path:
            self._done.add((view, event.frame))
        self._warnings.extend("frame %d: %s" % (event.frame, text) for text in event.warnings)
        sure = min([each.value for each in event.confidences]) if event.confidences else None
        self._stage.show(Landed(event.frame, event.path, len(self._done), self._wanted(), sure))

    def _show_all_done(self, ended: say.JobEnded, chunk: Chunk, view: Optional[str]) -> None:
        """Count the frames of a finished job that the engine did not report: those that were left unchanged, and those
        whose report was lost when the connection was made anew. Only the end of a job is reported again.
        """
        untold = {(view, frame) for frame in chunk.frames} - self._done
        if ended.outcome == "finished" and untold:
            self._done |= untold
            self._stage.show(Landed(chunk.frames[-1], "", len(self._done), self._wanted(), ended=True))

    def _wanted(self) -> int:
        return len(self.plan.frames) * len(self.plan.views)

    def _check_cancel(self) -> None:
        if self._stage.cancelled():
            raise Cancelled

    def _outcome(self, state: str, code: str = "", message: str = "", action: str = "") -> Outcome:
        warnings = tuple(dict.fromkeys(self._warnings))
        return Outcome(state, self._written, self._unchanged, self._engine, code, message, action, warnings)


def make_mask(planned: MaskPlan, connect: Callable[[], Link], stage: Stage) -> say.Masked:
    """Render the plate's frame if need be, and have the engine make the mask. Raises LinkError, Cancelled."""
    with connect() as link:
        if planned.exports:
            stage.export(planned.exports, (planned.view,)).wait()
        if stage.cancelled():
            raise Cancelled
        return link.make_mask(planned.ask)


def describe(outcome: Outcome, plan: Plan) -> str:
    """Say the outcome in a sentence or two, for a panel or a log; no word in it trips a farm's error patterns."""
    wanted = len(plan.frames) * len(plan.views)
    counts = "%d written" % outcome.written + (", %d unchanged" % outcome.unchanged if outcome.unchanged else "")
    if outcome.state == "finished":
        text = "finished: %s of %d frames" % (counts, wanted)
    elif outcome.state == "cancelled":
        text = "stopped: %s of %d frames; they are kept" % (counts, wanted)
    else:
        text = "not finished (%s): %s. %s" % (outcome.code, in_nuke(outcome.message), in_nuke(outcome.action))
    checks = ["check " + in_nuke(warning) for warning in outcome.warnings[:5]]
    return "\n".join([text] + checks)
