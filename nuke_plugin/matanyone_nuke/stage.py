# SPDX-License-Identifier: Apache-2.0
"""Where runs and Nuke meet: on a thread of their own under a GUI, at once under nuke -t; ended on the main thread.

Rules of this file:
1. Functions that start with `on_main` are only ever given to host.post().
2. A run whose node or script is gone stops, and touches nothing.
"""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Any, List, Optional

import nuke

from . import bridge, export, host, knobs, layers, plan, shape
from .run import Cancelled, Outcome, Run, Stage, describe

REFRESH_S = 1.0
"""How often the viewer is shown new frames."""


class NukeStage(Stage):
    """What a run asks of this Nuke."""

    def __init__(self, identity: str, planned: plan.Plan) -> None:
        self._identity, self._plan = identity, planned
        self._stop = threading.Event()
        self._bar: Optional[host.Bar] = None
        self._shown = 0.0

    def open(self) -> None:
        """From the run's own thread: Nuke draws a bar while its owner works."""
        self._bar = host.Bar(self._plan.scene.node)

    def close(self) -> None:
        """The bar goes."""
        if self._bar is not None:
            self._bar.close()

    def stop(self) -> None:
        """The run's end is wished for; any thread."""
        self._stop.set()

    def export(self, planned: plan.Plan, chunk: plan.Chunk) -> host.Posted:
        self.note("rendering %d files" % sum(len(each.frames) for each in chunk.exports))
        return host.post(export.export_chunk, self._identity, planned, chunk, unwanted=self._stop.is_set)

    def show(self, frame: int, path: str, done: int, of: int) -> None:
        if self._bar is not None:
            self._bar.show(done, of, "frame %d" % frame)
        now = time.monotonic()
        if nuke.GUI and path and now - self._shown >= REFRESH_S:
            self._shown = now
            host.post(on_main_show_frames, self._identity, self._plan, unwanted=self._stop.is_set)

    def note(self, text: str) -> None:
        if not nuke.GUI:
            host.log(text)

    def cancelled(self) -> bool:
        return self._stop.is_set() or (self._bar is not None and self._bar.cancelled())


def _go(planned: plan.Plan, where: bridge.Where, stage: NukeStage) -> Outcome:
    """The run, whatever becomes of it: also Nuke's own errors are an outcome."""
    stage.open()
    try:
        return Run(planned, lambda: bridge.open_link(where), stage).go()
    except (Cancelled, host.Lost):
        return Outcome("cancelled")
    except export.ExportError as error:
        return Outcome("failed", code="bad-input", message=str(error), action="Mend it, then run again.")
    except Exception as error:
        return Outcome("failed", code="internal", message=repr(error), action="Please report it.")
    finally:
        stage.close()


class NodeRun:
    """A run of one node: beside the artist's work, or here and now."""

    def __init__(self, identity: str, planned: plan.Plan, where: bridge.Where) -> None:
        self._identity, self._plan, self._where = identity, planned, where
        self._stage = NukeStage(identity, planned)
        self._thread = threading.Thread(target=self._run, name="matanyone-run", daemon=True)
        self.outcome: Optional[Outcome] = None

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def run_here(self) -> Outcome:
        """On this thread, to the end: for nuke -t."""
        self.outcome = _go(self._plan, self._where, self._stage)
        on_main_finish(self._identity, self._plan, self.outcome)
        return self.outcome

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Stop within one frame; does not wait. Any thread."""
        self._stage.stop()

    def _run(self) -> None:
        self.outcome = _go(self._plan, self._where, self._stage)
        host.post(on_main_finish, self._identity, self._plan, self.outcome)


# ------------------------------------------------------------------------------------------------- main thread


def on_main_show_frames(identity: str, planned: plan.Plan) -> None:
    """The Read inside plays what is on disk."""
    node = knobs.find(identity)
    if node is None:
        return
    frames = frames_on_disk(planned)
    if not frames:
        return
    read = node.node(shape.MATTE_READ)
    nuke.Undo.disable()
    try:
        for name, value in zip(("first", "last", "origfirst", "origlast"), (frames[0], frames[-1]) * 2):
            if read[name].value() != value:
                read[name].setValue(value)
        read["reload"].execute()
    finally:
        nuke.Undo.enable()


def frames_on_disk(planned: plan.Plan) -> List[int]:
    """Frames whose mattes are there, in the first view."""
    pattern = plan.with_view(planned.scene.matte, planned.views[0])
    token = list(plan.TOKEN.finditer(os.path.basename(pattern)))[-1]
    name = os.path.basename(pattern)
    shaped = re.compile(re.escape(name[: token.start()]) + r"(-?\d+)" + re.escape(name[token.end() :]))
    try:
        listed = os.listdir(os.path.dirname(pattern))
    except OSError:
        return []
    return sorted(int(match.group(1)) for match in map(shaped.fullmatch, listed) if match)


def on_main_finish(identity: str, planned: plan.Plan, outcome: Outcome) -> None:
    """The run's end, in the script and for the artist."""
    text = describe(outcome, planned)
    node = knobs.find(identity)
    if node is not None:
        _keep_record(node, identity, planned, outcome)
        knobs.show_status(node, text.splitlines()[0])
    if nuke.GUI and outcome.state == "failed":
        host.say("MatAnyone: " + text)
    else:
        host.log(text)


def _keep_record(node: Any, identity: str, planned: plan.Plan, outcome: Outcome) -> None:
    if outcome.written or outcome.unchanged:
        on_main_show_frames(identity, planned)
        nuke.Undo.disable()
        try:
            if planned.settings.objects:
                layers.show_objects(node, planned.objects)
            text = plan.record_text(planned, outcome.engine, outcome.written, outcome.unchanged, outcome.state)
            node[shape.RECORD].setValue(text)
        finally:
            nuke.Undo.enable()


def ask_engine(identity: str, title: str, connection: str, start: bool) -> threading.Thread:
    """Who is there, told to the artist; the thread that asks."""
    where = bridge.installed_where(connection, start, "Nuke, a test")

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
    """The answer to 'Test engine'."""
    node = knobs.find(identity)
    if node is not None and engine is not None:
        knobs.set_models(node, list(engine.models))
    host.say("MatAnyone: " + text)
