# SPDX-License-Identifier: Apache-2.0
"""Carries runs out in this Nuke: on a thread of their own under a GUI, at once under nuke -t.

Rules of this file:
1. Functions that start with `on_main` are only ever given to host.post().
2. A run whose node or script is gone stops, and touches nothing.
3. The panel, the viewer and the curve are drawn at most once a second.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import nuke

from . import bridge, export, exr, host, knobs, layers, panel, plan, record, shape
from .frames import frame_file, frames_of, with_view
from .jobs import MaskPlan, layers_made
from .progress import Pace
from .run import Cancelled, Landed, Outcome, Run, Stage, describe, make_mask
from .words import in_nuke

REFRESH_S = 1.0
"""How often the panel and the viewer are drawn while a run goes on."""


class NukeStage(Stage):
    """Does what a run asks of this Nuke."""

    def __init__(self, identity: str, scene: plan.Scene, planned: Optional[plan.Plan] = None) -> None:
        """planned: a run whose mattes are shown as they come; None for a first mask."""
        self._identity, self._scene, self._plan = identity, scene, planned
        self._stop = threading.Event()
        self._bar: Optional[host.Bar] = None
        self._shown = 0.0
        self._pace = Pace()
        self.sure: Dict[int, float] = {}
        """Confidence of each frame that was made in this run."""

    def open(self) -> None:
        """Open the bar, from the run's own thread: Nuke draws it while its owner works."""
        self._bar = host.Bar(self._scene.node)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def stop(self) -> None:
        """Wish for the run's end; any thread."""
        self._stop.set()

    def export(self, exports: Tuple[plan.Export, ...], views: Tuple[Optional[str], ...]) -> host.Posted:
        if exports:
            self.note("rendering %d files" % sum(len(each.frames) for each in exports))
        named = tuple(view or self._scene.view for view in views)
        return host.post(export.render_all, self._identity, exports, named, unwanted=self._stop.is_set)

    def show(self, landed: Landed) -> None:
        if landed.confidence is not None:
            self.sure[landed.frame] = min(landed.confidence, self.sure.get(landed.frame, 1.0))
        text = self._pace.text(landed, time.monotonic())
        if self._bar is not None:
            self._bar.show(landed.done, landed.of, text)
        now = time.monotonic()
        if nuke.GUI and now - self._shown >= REFRESH_S:
            self._shown = now
            self._post(on_main_show_progress, self._plan if landed.path else None, text, dict(self.sure))

    def note(self, text: str) -> None:
        if nuke.GUI:
            self._post(on_main_show_progress, None, text, {})
        else:
            host.log(text)

    def cancelled(self) -> bool:
        return self._stop.is_set() or (self._bar is not None and self._bar.cancelled())

    def _post(self, work: Callable[..., Any], *arguments: Any) -> None:
        host.post(work, self._identity, *arguments, unwanted=self._stop.is_set)


def _guarded(work: Callable[[], Any], stage: NukeStage) -> Any:
    """Return what the work returns, or an Outcome whatever becomes of it: also Nuke's own errors are one."""
    stage.open()
    try:
        return work()
    except (Cancelled, host.Lost):
        return Outcome("cancelled")
    except bridge.LinkError as error:
        return Outcome("failed", code=error.code, message=error.message, action=error.action)
    except export.ExportError as error:
        return Outcome("failed", code="bad-input", message=str(error), action="Mend it, then run again.")
    except Exception as error:
        return Outcome("failed", code="internal", message=repr(error), action="Please report it.")
    finally:
        stage.close()


class NodeRun:
    """Does something for one node, beside the artist's work or here and now."""

    def __init__(self, stage: NukeStage, work: Callable[[], Any], finish: Callable[[Any], None]) -> None:
        """work: on the run's thread. finish: on the main thread, with what the work returned or its Outcome."""
        self._stage, self._work, self._finish = stage, work, finish
        self._thread = threading.Thread(target=self._run, name="matanyone-run", daemon=True)
        self.outcome: Any = None

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def run_here(self) -> Any:
        """Do all of it on this thread: for nuke -t."""
        self.outcome = _guarded(self._work, self._stage)
        self._finish(self.outcome)
        return self.outcome

    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Stop within one frame; does not wait. Any thread."""
        self._stage.stop()

    def _run(self) -> None:
        self.outcome = _guarded(self._work, self._stage)
        host.post(self._finish, self.outcome)


def matte_run(identity: str, planned: plan.Plan, where: bridge.Where) -> NodeRun:
    """Return a run that mattes a plan."""
    stage = NukeStage(identity, planned.scene, planned)

    def work() -> Outcome:
        outcome = Run(planned, lambda: bridge.open_link(where), stage).go()
        _read_confidence(planned, stage.sure)
        return outcome

    return NodeRun(stage, work, lambda outcome: on_main_finish(identity, planned, outcome, stage.sure))


def _read_confidence(planned: plan.Plan, sure: Dict[int, float]) -> None:
    """Read from the files what was not told of frames in time, or was left alone; this happens on the run's thread."""
    pattern = with_view(planned.scene.matte, planned.views[0])
    for frame in planned.frames:
        if frame not in sure:
            found = exr.confidence_of(frame_file(pattern, frame))
            if found is not None:
                sure[frame] = found


def mask_run(identity: str, scene: plan.Scene, planned: MaskPlan, where: bridge.Where) -> NodeRun:
    """Return a run that makes a first mask."""
    stage = NukeStage(identity, scene)
    return NodeRun(
        stage,
        lambda: make_mask(planned, lambda: bridge.open_link(where), stage),
        lambda made: on_main_mask_made(identity, made),
    )


# ------------------------------------------------------------------------------------------------- main thread


def on_main_show_progress(identity: str, planned: Optional[plan.Plan], text: str, sure: Dict[int, float]) -> None:
    """Draw the status line, the curve and, where there are new mattes, the viewer."""
    node = knobs.find(identity)
    if node is None:
        return
    knobs.show_status(node, text)
    knobs.draw_confidence(node, sure)
    if planned is not None:
        on_main_show_frames(identity, planned)


def on_main_show_frames(identity: str, planned: plan.Plan) -> None:
    """Let the Read inside play what is on disk."""
    node = knobs.find(identity)
    if node is not None:
        show_files(node.node(shape.MATTE_READ), frames_on_disk(planned))


def show_files(read: Any, frames: List[int]) -> None:
    """Let a Read inside the node play these frames, as they are on disk now."""
    if read is None or not frames:
        return
    with knobs.without_undo():
        for name, value in zip(("first", "last", "origfirst", "origlast"), (frames[0], frames[-1]) * 2):
            if read[name].value() != value:
                read[name].setValue(value)
        read["reload"].execute()


def frames_on_disk(planned: plan.Plan) -> List[int]:
    """Return the frames whose mattes are there, in the first view."""
    return frames_of_pattern(with_view(planned.scene.matte, planned.views[0]))


def frames_of_pattern(pattern: str) -> List[int]:
    """Return the frames of a pattern whose files are there."""
    try:
        return list(frames_of(os.path.basename(pattern), os.listdir(os.path.dirname(pattern))))
    except OSError:
        return []


def on_main_finish(identity: str, planned: plan.Plan, outcome: Outcome, sure: Dict[int, float]) -> None:
    """Leave the run's end in the script and tell the artist."""
    text = describe(outcome, planned)
    node = knobs.find(identity)
    if node is not None:
        _keep_record(node, identity, planned, outcome)
        knobs.draw_confidence(node, sure)
        knobs.show_status(node, text.splitlines()[0] + _doubts(node, planned))
    if nuke.GUI and outcome.state == "failed":
        host.say("MatAnyone: " + text)
    else:
        host.log(text)


def _doubts(node: Any, planned: plan.Plan) -> str:
    """Return how many of the run's frames are doubtful, for the status line."""
    if "doubt_below" not in node.knobs():
        return ""
    below = float(node["doubt_below"].value())
    curve = knobs.confidence_curve(node)
    count = sum(1 for frame in planned.frames if curve.get(frame, 1.0) < below)
    return "; %d doubtful" % count if count else ""


def _keep_record(node: Any, identity: str, planned: plan.Plan, outcome: Outcome) -> None:
    if outcome.written or outcome.unchanged:
        on_main_show_frames(identity, planned)
        with knobs.without_undo():
            if layers.shown_layers(node) != layers_made(planned):
                layers.show_layers(node, layers_made(planned))
            _show_choice(node, panel.SHOWN[0])
            text = record.record_text(planned, outcome.engine, outcome.written, outcome.unchanged, outcome.state)
            node[panel.RECORD].setValue(text)


def _show_choice(node: Any, shown: str) -> None:
    if "show" in node.knobs():
        node["show"].setValue(shown)


def on_main_mask_made(identity: str, made: Any) -> None:
    """Show a first mask that is on disk, or say why there is none."""
    node = knobs.find(identity)
    if isinstance(made, Outcome):
        text = (
            "no mask: stopped"
            if made.state == "cancelled"
            else in_nuke("no mask: %s. %s" % (made.message, made.action))
        )
    else:
        text = "mask on frame %d, %.0f %% of the picture (%s)" % (made.frame, 100 * made.covers, made.backend)
    if node is not None:
        if not isinstance(made, Outcome):
            show_first_masks(node)
        knobs.show_status(node, text)
    if isinstance(made, Outcome) and made.state == "failed":
        host.say("MatAnyone: " + text)
    else:
        host.log(text)


def show_first_masks(node: Any) -> None:
    """Let the viewer show the first masks that are on disk."""
    knobs.follow_matte(node)
    read = node.node(shape.MASK_READ)
    show_files(read, frames_of_pattern(read["file"].getEvaluatedValue() or ""))
    with knobs.without_undo():
        _show_choice(node, panel.SHOWN[1])


def ask_engine(identity: str, where: bridge.Where) -> threading.Thread:
    """Find out who is there and tell the artist; returns the thread that asks."""

    def ask() -> None:
        try:
            with bridge.open_link(where) as link:
                engine: Optional[bridge.Engine] = link.engine
                text = "engine %s on %s, by %s; models: %s" % (
                    link.engine.version, link.engine.device, link.engine.link, ", ".join(link.engine.models)
                )  # fmt: skip
        except bridge.LinkError as error:
            engine, text = None, str(error)
        host.post(on_main_told, identity, engine, text)

    thread = threading.Thread(target=ask, name="matanyone-test", daemon=True)
    if nuke.GUI:
        thread.start()
    else:
        ask()
    return thread


def on_main_told(identity: str, engine: Optional[bridge.Engine], text: str) -> None:
    """Take in the answer to 'Test engine'."""
    node = knobs.find(identity)
    if node is not None and engine is not None:
        knobs.set_choices(node, "model", list(engine.models))
        knobs.set_choices(node, "prompt_by", list(engine.mask_makers))
    host.say("MatAnyone: " + text)
