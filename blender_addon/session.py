# SPDX-License-Identifier: GPL-3.0-or-later
"""The run at hand: brings the bridge's events into Blender, from a timer, or in a loop where there is none.

Rules of this file:
1. A run knows its scene by number and name: undo and another file may take every pointer away.
2. pump() never waits; in background mode run_to_the_end() calls it until the run is over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from . import plan, preferences, result, scene
from .bridge import Answered, Bridge, Control, Failed, Landed, Over, Taken, Told
from .engine.wire.errors import Code, WireError
from .exr import is_whole

BUDGET_S = 0.005
BUSY_S, IDLE_S = 0.1, 1.0
_SHOW_EVERY_S = 2.0
_SHOWN_IN = {"CLIP_EDITOR": "UI", "IMAGE_EDITOR": "UI", "NODE_EDITOR": "UI", "PREFERENCES": "WINDOW"}
"""Editor -> its region that shows something of ours."""
_TOLD_EVERY_S = 0.5
"""How often a panel is drawn again only to say how far a run is."""


@dataclass
class Run:
    """One order, from the press of a button to its end."""

    scene: tuple[int, str, str]
    """As _identity() says."""
    shot: str
    when: plan.SceneTime
    space: str
    """Blender's name of the colour space of the subject's own colour; '' where files hold the alpha only."""
    record: dict[str, str] | None
    """What the matte is made from; None of a run that makes a part of it only."""
    text: str = "starting"
    patterns: dict[str, str] = field(default_factory=dict)
    landed: set[int] = field(default_factory=set)
    done: int = 0
    of: int = 0
    eta_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    sure: dict[int, float] = field(default_factory=dict)
    """Frame -> how far its alphas can be trusted."""
    over: Over | None = None
    cancelling: bool = False
    shown: float = 0.0


@dataclass
class _Now:
    """All that this module remembers."""

    bridge: Bridge | None = None
    run: Run | None = None
    calls: dict[int, Callable[[Any], None]] = field(default_factory=dict)
    test: str = ""
    """What the last call has found, in words."""
    failure: Failed | None = None
    """Why, where it was not done."""
    models: tuple[str, ...] = ()
    drawn: float = 0.0
    """When a panel was last on the screen."""
    told: float = 0.0
    """When it was last asked to be drawn again."""
    untold: bool = False
    """Whether something came since then: put off, never dropped."""
    plates: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Scene, by its session_uid, which no other file has -> when its plate was looked at, and its digest."""
    records: dict[int, tuple[float, plan.Record | None]] = field(default_factory=dict)
    moving: dict[int, dict[str, dict[str, str]]] = field(default_factory=dict)
    """Scene -> how its animated masks were found to move, as plan.Record has it."""
    doubted: dict[int, plan.Record] = field(default_factory=dict)
    """Scene -> what was seen of its masks that is not as it was."""
    looked: dict[int, plan.Record] = field(default_factory=dict)
    """Scene -> what it was that a second Blender was asked about last: not twice the same."""


now = _Now()


def bridge():
    """The bridge to the engine that the preferences name. Raises WireError where they cannot be right."""
    target = preferences.target()
    if now.bridge is not None and now.bridge.target != target and not now.bridge.busy:
        now.bridge.close()
        now.bridge = None
    if now.bridge is None:
        now.bridge = Bridge(target)
    return now.bridge


def active():
    """The run that is under way, or None."""
    return now.run if now.run is not None and now.run.over is None else None


def start(of_scene, only=None):
    """Send a scene's shot to the engine. only: one plate frame. Raises WireError for what cannot be right."""
    shot = of_scene.matanyone
    order, record = scene.order_of(shot, only)
    link = bridge()
    whole = record if only is None else None
    plate = scene.plate_of(shot)
    now.run = Run(_identity(of_scene), shot.name, plate.time, plate.space if shot.foreground else "", whole)
    link.matte(order)
    keep_pumping()


def point(of_scene, pointing, frame):
    """Have the engine make a mask of what was pointed at; it becomes a key of the selected object. Raises WireError."""
    prompt = scene.prompt_for(of_scene.matanyone, pointing, frame)
    identity = _identity(of_scene)
    now.test = "making a mask ..."

    def made(masked):
        now.test = f"a mask on frame {masked.frame}, {100 * masked.covers:.0f} % of the picture"
        home = _found(identity)
        if home is not None and is_whole(Path(prompt.out)):
            scene.take_mask(home.matanyone, masked.frame, prompt.out)

    def make(client):
        Path(prompt.out).parent.mkdir(parents=True, exist_ok=True)
        return client.make_mask(prompt)

    ask(make, made)


def save_job(of_scene, file):
    """Write the masks, and the job for `matanyone-engine run`, on the network thread. Raises WireError."""
    order, _ = scene.order_of(of_scene.matanyone)
    text = scene.job_file_of(order, f"Blender {bpy.app.version_string}")
    link = bridge()
    now.test = "writing the masks ..."

    def write(_):
        order.prepare(Control(lambda line: None, link.check_leave))
        Path(file).write_text(text, encoding="utf-8")

    def done(_):
        now.test = f"wrote {file}: matanyone-engine run {Path(file).name}"

    ask(write, done, connected=False)


def cancel():
    """Stop within one frame."""
    if active():
        now.run.cancelling = True
        now.bridge.cancel()


def ask(work, done, connected=True):
    """Have work(client) done on the network thread; done(value) is called here. A fault is in now.failure and test."""
    now.failure = None
    number = bridge().call(work, connected)
    now.calls[number] = lambda event: done(event.value) if isinstance(event, Answered) else _fail(event)
    keep_pumping()


def _fail(event):
    now.failure, now.test = event, told(event)


def keep_pumping():
    """See to it that the timer runs."""
    if not bpy.app.background and not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=BUSY_S, persistent=True)


def _tick():
    pump()
    if now.bridge is not None and (now.bridge.busy or now.bridge.waiting):
        return BUSY_S
    watching = time.monotonic() - now.drawn < 3 * IDLE_S
    if watching:
        _look_at_plate()
        look_at_masks()
    return IDLE_S if watching else None


def pump(budget_s=BUDGET_S):
    """Take what has come. Never waits."""
    if now.bridge is None:
        return
    ended = False
    for event in now.bridge.events(budget_s):
        now.untold, ended = True, ended or isinstance(event, (Answered, Failed, Over))
        if isinstance(event, (Answered, Failed)):
            _answer_safely(event)
        elif now.run is not None:
            _take_safely(now.run, event)
    if ended or (now.untold and time.monotonic() - now.told > _TOLD_EVERY_S):
        now.told, now.untold = time.monotonic(), False
        _redraw_panels()


def run_to_the_end(tell=print):
    """Pump until the run is over, as a user would wait; tell: takes a line now and then. The Over."""
    said = ""
    while active():
        pump(1.0)
        line = status(now.run)
        if line != said:
            tell(line)
            said = line
        time.sleep(0.02)
    return now.run.over


def wait_for_calls():
    """Pump until every call is answered: for background mode. The Failed of the last one, or None."""
    while now.bridge is not None and now.bridge.waiting:
        pump(1.0)
        time.sleep(0.02)
    return now.failure


def status(run):
    """A run in one line."""
    if run.over is not None:
        return _outcome(run.over)
    if run.cancelling:
        return "cancelling: the frame at hand is finished"
    if not run.of:
        return run.text
    left = "" if run.eta_s is None else f", {plan.tell_time(run.eta_s)} left"
    return f"{run.done} of {run.of}{left}"


def _outcome(over):
    left_out = f"; {over.other_layout} older ones of another layout are not shown" if over.other_layout else ""
    if over.outcome == "finished":
        kept = f", {over.unchanged} unchanged" if over.unchanged else ""
        return f"finished: {over.written} mattes{kept}{left_out}"
    if over.outcome == "cancelled":
        return f"cancelled: {len(over.frames)} mattes are kept{left_out}"
    return f"failed: {over.message}"


def _answer_safely(event):
    """As _take_safely()."""
    try:
        now.calls.pop(event.call, lambda _: None)(event)
    except Exception as error:
        _fail(Failed(event.call, Code.INTERNAL.value, f"Blender could not take the answer: {error}", "Try again."))


def _take_safely(run, event):
    """A timer that raises is never called again: what Blender cannot show is said, and the run goes on."""
    try:
        _take(run, event)
    except Exception as error:
        run.warnings.append(f"the result could not be shown: {error}")


def _take(run, event):
    if isinstance(event, Told):
        run.text = event.text
    elif isinstance(event, Taken):
        run.patterns = event.patterns
        run.text = f"{event.accepted.frames} frames, {event.accepted.colour}"
    elif isinstance(event, Landed):
        run.done, run.of, run.eta_s = event.done, event.of, event.eta_s
        run.warnings += [f"{warning} ({event.frame})" for warning in event.warnings]
        if event.frame is not None:
            run.landed.add(event.frame)
            if event.confidence is not None:
                run.sure[event.frame] = event.confidence
            if time.monotonic() - run.shown > _SHOW_EVERY_S:
                _show(run, sorted(run.landed))
    elif isinstance(event, Over):
        run.over = event
        _conclude(run, event)


def _identity(of_scene):
    """What a scene is found by again: its number in this session, which saving keeps; its file and its name."""
    return of_scene.session_uid, bpy.data.filepath, of_scene.name


def _found(identity):
    """The scene, or None where another file is open. Files that were never saved have no name to tell them by."""
    number, blend, name = identity
    by_number = [each for each in bpy.data.scenes if each.session_uid == number]
    return by_number[0] if by_number else bpy.data.scenes.get(name) if blend and bpy.data.filepath == blend else None


def _show(run, frames):
    """Bring whole frames into Blender: the longest stretch without a gap."""
    renew = run.over is not None or not run.shown
    run.shown = time.monotonic()
    home = _found(run.scene)
    if home is not None and frames and run.patterns:
        first, last = plan.longest_run(tuple(frames))
        groups = result.show(run.shot, run.patterns, (first, last), run.when, run.space, renew)
        _redraw_results()
        now.told = time.monotonic()  # new datablocks make Blender draw a lot: panels have their turn after that
        return groups
    return []


def _conclude(run, over):
    groups = _show(run, over.frames)
    home = _found(run.scene)
    if home is None or not groups:
        return
    shot = home.matanyone
    with suppress(WireError):  # the plate was taken out of the panel meanwhile: the groups are there
        result.wire(home, shot, groups, scene.plate_of(shot))
    shot.made = json.dumps({"patterns": run.patterns, "frames": [over.frames[0], over.frames[-1]]})
    if run.record is not None:
        shot.record = plan.Record(**run.record).text() if over.outcome == "finished" else ""
        now.moving[home.session_uid] = run.record["moving"]
    for known in (now.plates, now.records, now.doubted, now.looked):
        known.clear()
    if not bpy.app.background:
        with suppress(RuntimeError):  # Blender takes no undo step just now: the next one has it
            bpy.ops.ed.undo_push(message="MatAnyone matte")


# ------------------------------------------------------------------------------------------------ up to date?


def stale(shot):
    """What has changed since the matte was made, for a panel; cheap enough for a draw function."""
    now.drawn = time.monotonic()
    keep_pumping()
    then = plan.record_from(shot.record)
    current = _record_now(shot, then) if then else None
    if then is None or current is None:
        return ()
    seen = now.plates.get(shot.id_data.session_uid, (0.0, ""))[1]
    return plan.stale_because(replace(current, plate=seen), then)


def _record_now(shot, then):
    """Taken at most once a second."""
    number = shot.id_data.session_uid
    at, record = now.records.get(number, (0.0, None))
    if time.monotonic() - at > IDLE_S:
        try:
            record, news = scene.record_now(shot, now.moving.get(number, then.moving))
        except WireError:
            record, news = None, False
        if news or (
            record and then.moving and number not in now.moving
        ):  # a file just opened: only this frame is known
            now.doubted[number] = record
        now.records[number] = (time.monotonic(), record)
    return record


def look_at_masks():
    """Have a second Blender play animated masks through, if one of them is not what it was."""
    of_scene = getattr(bpy.context, "scene", None)
    if of_scene is None or active() or of_scene.session_uid not in now.doubted:
        return
    number, then = of_scene.session_uid, plan.record_from(of_scene.matanyone.record)
    doubted = now.doubted.pop(number)
    masks = [mask for mask in (then.moving if then else ()) if mask in bpy.data.masks]
    if not masks or now.looked.get(number) == doubted:
        return
    now.looked[number] = doubted
    try:
        look, link = scene.look_at_movements(of_scene.matanyone, masks), bridge()
    except (WireError, OSError, RuntimeError, ValueError) as error:  # what is to be looked at is written to disk first
        _could_not_look(error)
        return

    def seen(event):
        if isinstance(event, Failed):
            _could_not_look(told(event))
        else:
            now.moving[number] = event.value
            now.records.pop(number, None)

    control = Control(lambda line: None, link.check_leave)
    now.calls[link.call(lambda _: look(control), connected=False)] = seen


def _could_not_look(why):
    """A timer that raises is never called again, so it is said: what the panel tells of masks may be old."""
    now.test, now.untold = f"could not look whether animated masks have changed: {why}", True


def _look_at_plate():
    """Have the network thread look whether the plate has changed: disks can be slow."""
    of_scene = getattr(bpy.context, "scene", None)
    if of_scene is None or not of_scene.matanyone.record:
        return
    number = of_scene.session_uid
    if time.monotonic() - now.plates.get(number, (-100.0, ""))[0] < 10 * IDLE_S:
        return
    try:
        path = scene.plate_of(of_scene.matanyone).path
        link = bridge()
    except (WireError, OSError):  # whoever presses a button is told
        return
    now.plates[number] = (time.monotonic(), now.plates.get(number, (0.0, ""))[1])

    def seen(event):
        if isinstance(event, Answered):
            now.plates[number] = (time.monotonic(), event.value)

    now.calls[link.call(lambda _: plan.digest_of_plate(path), connected=False)] = seen


# ------------------------------------------------------------------------------------------------ the end


def told(fault):
    """A fault as one text."""
    return f"{fault.message}. {fault.action}"


def _redraw_results():
    """Editors that may show an alpha."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"IMAGE_EDITOR", "NODE_EDITOR"}:
                area.tag_redraw()


def _redraw_panels():
    """Only what says how a run goes: to draw an editor's picture again costs more than all the rest of this add-on."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            shown = _SHOWN_IN.get(area.type)
            for region in area.regions if shown else ():
                if region.type == shown:  # whichever its tab is: 4.3 crashes when asked that of a window just opened
                    region.tag_redraw()


def leave():
    """Blender ends: so does the thread."""
    if now.bridge is not None:
        now.bridge.close()


def end():
    """The add-on is disabled."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    leave()
    vars(now).update(vars(_Now()))
