# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the run at hand: it brings the bridge's events into Blender, from a timer, or in a loop where there is none.

Rules of this file:
1. A run knows its scene by number and name: undo and another file may take every pointer away.
2. pump() never waits; in background mode run_to_the_end() calls it until the run is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from . import chosen, flamenco, ondisk, plan, result, scene
from .bridge import Answered, Bridge, Failed, Landed, Needed, Over, Taken, Told
from .engine.wire.errors import Code, WireError
from .exr import is_whole
from .live import LivePrompts
from .target import preload
from .words import in_blender

BUDGET_S = 0.005
BUSY_S, IDLE_S = 0.1, 1.0
_SHOW_EVERY_S = 2.0
_SHOWN_IN = {"CLIP_EDITOR": "UI", "IMAGE_EDITOR": "UI", "NODE_EDITOR": "UI", "PREFERENCES": "WINDOW"}
_SHOWN_IN |= {"DOPESHEET_EDITOR": "WINDOW"}
"""Editor -> its region that shows something of ours."""
_TOLD_EVERY_S = 0.5
"""How often a panel is drawn again only to say how far a run is."""


@dataclass
class Run:
    """Holds one order, from the press of a button to its end."""

    scene: tuple[int, str, str]
    """The scene, as identity() names it."""
    shot: str
    when: plan.SceneTime
    space: str
    """Blender's name of the colour space of the subject's own colour; '' where files hold the alpha only."""
    record: dict[str, Any]
    """What the matte is made from, as plan.Record has it."""
    alone: bool = False
    """Whether it makes one frame only, beside those that are there."""
    was_current: bool = False
    """Whether the matte was up to date before a run of one frame: it then stays so."""
    edges_only: bool = False
    """Whether nothing but the edge controls has changed since the last run."""
    text: str = "starting"
    patterns: dict[str, str] = field(default_factory=dict)
    alphas: dict[str, ondisk.Alphas] = field(default_factory=dict)
    """The alphas of each object that were there before the run."""
    landed: set[int] = field(default_factory=set)
    frames: int = 0
    """Frames that are to land."""
    done: int = 0
    """Steps that are done: a frame that is followed to from two masks takes two."""
    of: int = 0
    eta_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    sure: dict[int, float] = field(default_factory=dict)
    """For each frame, how far its alphas can be trusted."""
    reasons: dict[int, str] = field(default_factory=dict)
    """For each frame, why to look at it, in one sentence."""
    over: Over | None = None
    cancelling: bool = False
    shown: float = 0.0
    layout: str = "matte"
    """What files hold, as the engine calls it."""


@dataclass
class _Now:
    """Holds all that this module remembers."""

    bridge: Bridge | None = None
    run: Run | None = None
    calls: dict[int, Callable[[Any], None]] = field(default_factory=dict)
    test: str = ""
    """What the engine has said of itself last, or why it does not answer."""
    note: str = ""
    """What has become of the last mask, of the last job file, or of the last look at the disk, in words."""
    failure: Failed | None = None
    """Why that was not done."""
    clicking: bool = False
    """Whether an artist clicks a mask just now."""
    ready: bool = False
    """Whether the network thread was told to get ready."""
    drawn: float = 0.0
    """When a panel was last on the screen."""
    told: float = 0.0
    """When a panel was last asked to be drawn again."""
    untold: bool = False
    """Whether something came since then: its drawing is put off, never dropped."""
    plates: dict[int, tuple[float, str]] = field(default_factory=dict)
    """For each scene when its plate was looked at, and its digest. Scenes are named by their session_uid, which no
    other file has.
    """
    files: dict[int, tuple[float, str]] = field(default_factory=dict)
    """For each scene when the mask files that the artist has named were looked at, and their digest."""
    results: dict[int, tuple[float, str]] = field(default_factory=dict)
    """For each scene when its mattes on disk were looked at, and the digest of what is there."""
    sures: dict[int, tuple[float, dict[int, float]]] = field(default_factory=dict)
    """For each scene how far its alphas can be trusted, as the engine recorded it beside them."""
    records: dict[int, tuple[float, plan.Record | None]] = field(default_factory=dict)
    moving: dict[int, dict[str, dict[str, str]]] = field(default_factory=dict)
    """For each scene how its animated masks were found to move, as plan.Record has it."""
    doubted: dict[int, plan.Record] = field(default_factory=dict)
    """For each scene the masks that are not as they were, as far as they were seen."""
    looked: dict[int, plan.Record] = field(default_factory=dict)
    """For each scene what a second Blender was asked about last, so that nobody asks it twice."""


now = _Now()


def bridge():
    """Return the bridge to the engine that the preferences name. Raises WireError where they cannot be right."""
    target = chosen.target()
    if now.bridge is not None and now.bridge.target != target and not now.bridge.busy:
        now.bridge.close()
        now.bridge = None
    if now.bridge is None:
        now.bridge = Bridge(target)
    return now.bridge


def active():
    """Return the run that is under way, or None."""
    return now.run if now.run is not None and now.run.over is None else None


def start(of_scene, only=None):
    """Send a scene's shot to the engine. only: one plate frame. Raises WireError for what cannot be right."""
    shot = of_scene.matanyone
    scene.refuse_linked(of_scene)
    then = edges_alone(shot) if only is None else None
    first = () if then is None else scene.matte_at_playhead(shot)
    order, record = scene.order_of(shot, only, then, first)
    link = bridge()
    plate = scene.named_plate(shot)
    was_current = bool(shot.record) and not stale(shot)
    space = plate.space if shot.foreground else ""
    now.run = Run(identity(of_scene), shot.name, plate.time, space, record, alone=only is not None)
    now.run.was_current, now.run.edges_only = was_current, then is not None
    now.run.layout = order.job.delivery.layout
    link.matte(order)
    keep_pumping()


def point(of_scene, pointing, frame, alpha=""):
    """Have the engine make a mask of what was pointed at; it becomes a key of the selected object. Raises WireError.

    alpha: the file of an alpha that is corrected; '' for a mask from nothing.
    """
    shot = of_scene.matanyone
    file = scene.file_for_prompts(shot, frame)
    if alpha:
        pointing = replace(pointing, start=scene.start_of(file))
    prompt, name = scene.prompt_for(shot, pointing, frame, file), shot.objects[shot.object_index].name
    home_of = identity(of_scene)
    now.note = "making a mask ..."

    def made(masked):
        now.note = f"a mask on frame {masked.frame}, {100 * masked.covers:.0f} % of the picture"
        home = found(home_of)
        if home is not None and is_whole(Path(prompt.out)):
            scene.take_mask(home.matanyone, masked.frame, prompt.out, pointing)

    def make(client):
        Path(prompt.out).parent.mkdir(parents=True, exist_ok=True)
        ondisk.copied(alpha, pointing.start, name)
        return client.make_mask(prompt)

    ask(make, made)


def begin_live(alpha, start, name, written):
    """Begin to make masks of what is pointed at, until end_live(). Raises WireError.

    alpha, start: where a correction begins, the alpha and the name of a copy of it, which is made first; '' otherwise.
    name: the object's. written: called on the network thread with the file of each mask that is on disk.
    """
    link = bridge()
    live = LivePrompts(link.check_leave, lambda: ondisk.copied(alpha, start, name), written)
    now.note, now.clicking = "clicking a mask", True

    def over(event):
        if isinstance(event, Failed):
            live.fail(WireError(Code.UNREACHABLE, event.message, event.action))

    now.calls[link.call(live.work)] = over
    keep_pumping()
    return live


def end_live(live, files):
    """End what begin_live() began. files: those that nobody wants to keep."""
    live.stop()
    now.note, now.clicking = "", False
    if files and now.bridge is not None:
        now.calls[now.bridge.call(lambda _: ondisk.removed(files), connected=False)] = lambda event: None


def is_free(operator):
    """Return whether nothing is under way that the engine's connection is needed for; operator: a class, to say why
    not.
    """
    if active():
        operator.poll_message_set("A matte is being made: wait or cancel it")
    elif now.clicking:
        operator.poll_message_set("A mask is being clicked: Enter keeps it, ESC leaves")
    return not active() and not now.clicking


def save_job(of_scene, file):
    """Write the masks, and the job for `matanyone-engine run`, on the network thread. Raises WireError."""
    order, _ = scene.order_of(of_scene.matanyone)
    link, client = bridge(), f"Blender {bpy.app.version_string}"
    now.note = "writing the masks ..."

    def write(_):
        job = order.prepared(link.control_of_a_call())
        Path(file).write_text(scene.job_file_of(job, client), encoding="utf-8")

    def done(_):
        now.note = f"wrote {file}: matanyone-engine run {Path(file).name}"

    ask(write, done, connected=False)


def submit(of_scene, file, manager, segments):
    """Write masks and job file, and hand the job to a Flamenco Manager, on the network thread. Raises WireError."""
    order, _ = scene.order_of(of_scene.matanyone)
    client = f"Blender {bpy.app.version_string}"
    task = flamenco.job_of(of_scene.matanyone.name, file, segments, client)
    link, online = bridge(), getattr(bpy.app, "online_access", True)
    now.note = "writing the masks ..."

    def send(_):
        job = order.prepared(link.control_of_a_call())
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(scene.job_file_of(job, client), encoding="utf-8")
        return flamenco.submit(manager, task, online)

    def done(number):
        now.note = f"Flamenco has the job {number}"

    ask(send, done, connected=False)


def cancel():
    """Stop within one frame."""
    if active():
        now.run.cancelling = True
        now.bridge.cancel()


def ask(work, done, connected=True, tell="note"):
    """Have work(client) done on the network thread; done(value) is called here. A fault is in now.failure and in words.

    tell: where the fault is told, 'note' or 'test' of now.
    """
    now.failure = None
    number = bridge().call(work, connected)
    now.calls[number] = lambda event: done(event.value) if isinstance(event, Answered) else _fail(event, tell)
    keep_pumping()


def models():
    """Names of the models that the engine has, where it has said so."""
    return now.bridge.models if now.bridge is not None else ()


def _fail(event, tell="note"):
    now.failure = event
    setattr(now, tell, told(event))


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
        get_ready()
        look_at_disk()
        look_at_masks()
    return IDLE_S if watching else None


def get_ready():
    """Have the network thread import what it talks to an engine with, before an artist presses anything.

    It takes a tenth of a second, and while libraries are loaded no other thread of Python gets on: that was felt when
    Matte was pressed for the first time.
    """
    if now.ready:
        return
    with suppress(WireError, OSError):  # the preferences are wrong: whoever presses a button is told
        now.calls[bridge().call(lambda _: preload(), connected=False)] = lambda event: None
        now.ready = True


def pump(budget_s=BUDGET_S):
    """Take what has come. Never waits."""
    if now.bridge is None:
        return
    ended = False
    for event in now.bridge.events(budget_s):
        now.untold, ended = True, ended or isinstance(event, (Answered, Failed, Over))
        if isinstance(event, Needed):
            event.do()
        elif isinstance(event, (Answered, Failed)):
            _answer_safely(event)
        elif now.run is not None:
            _take_safely(now.run, event)
    if ended or (now.untold and time.monotonic() - now.told > _TOLD_EVERY_S):
        now.told, now.untold = time.monotonic(), False
        _redraw_panels()


def run_to_the_end(tell=print):
    """Pump until the run is over, as a user would wait, and return its Over; tell: takes a line now and then."""
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
    """Pump until every call is answered, in background mode, and return the Failed of the last one, or None."""
    while now.bridge is not None and now.bridge.waiting:
        pump(1.0)
        time.sleep(0.02)
    return now.failure


def status(run):
    """Return a run in one line."""
    if run.over is not None:
        return _outcome(run)
    if run.cancelling:
        return "cancelling: the frame at hand is finished"
    if not run.of:
        return run.text
    left = "" if run.eta_s is None else f", {plan.tell_time(run.eta_s)} left"
    return f"{len(run.landed)} of {run.frames} frames{left}"


def _outcome(run):
    """Return the end of a run, with all that is not as one would expect."""
    over = run.over
    if over.outcome == "failed":
        return f"failed: {in_blender(over.message)}"
    if over.outcome == "finished":
        said = [f"finished: {_mattes(over.written)}"] + ([f"{over.unchanged} unchanged"] if over.unchanged else [])
    else:
        new = len(run.landed & set(over.frames))
        said = [f"cancelled: {_mattes(new)} made"]
        said += [f"{len(over.frames) - new} older ones kept"] if len(over.frames) > new else []
    notes = [", ".join(said)]
    if over.older:
        notes.append(f"{over.older} older ones on other frames are shown too")
    if over.missing:
        notes.append(f"no alpha on {plan.tell_frames(over.missing)}: it is 0 there")
    if over.other_layout:
        notes.append(f"{over.other_layout} older ones of another layout are not shown")
    damaged = {frame for each in over.alphas.values() for frame in each.damaged}
    if damaged:
        notes.append(f"the files of {plan.tell_frames(damaged)} are damaged: matte again")
    return "; ".join(notes)


def _mattes(count):
    return f"{count} matte" if count == 1 else f"{count} mattes"


def _answer_safely(event):
    """Answer a call; like _take_safely() this never raises."""
    try:
        now.calls.pop(event.call, lambda _: None)(event)
    except Exception as error:
        _fail(Failed(event.call, Code.INTERNAL.value, f"Blender could not take the answer: {error}", "Try again."))


def _take_safely(run, event):
    """Take an event and never raise, since a timer that raises is never called again: what Blender cannot show is said,
    and the run goes on.
    """
    try:
        _take(run, event)
    except Exception as error:
        run.warnings.append(f"the result could not be shown: {error}")


def _take(run, event):
    if isinstance(event, Told):
        run.text = event.text
    elif isinstance(event, Taken):
        run.patterns, run.alphas, run.frames = event.patterns, event.alphas, event.accepted.frames
        run.text = f"{event.accepted.frames} frames, {event.accepted.colour}"
    elif isinstance(event, Landed):
        run.done, run.of, run.eta_s = event.done, event.of, event.eta_s
        run.warnings += [f"{in_blender(warning)} ({event.frame})" for warning in event.warnings]
        if event.frame is not None:
            run.landed.add(event.frame)
            _redraw_plates(run, event.frame)
            if event.confidence is not None:
                run.sure[event.frame] = event.confidence
                run.reasons[event.frame] = event.reason
            if time.monotonic() - run.shown > _SHOW_EVERY_S:
                _show(run, {name: each.with_frames(run.landed) for name, each in run.alphas.items()})
    elif isinstance(event, Over):
        run.over = event
        _conclude(run, event)


def identity(of_scene):
    """Return what a scene is found by again: its number in this session, which saving keeps; its file and its name."""
    return of_scene.session_uid, bpy.data.filepath, of_scene.name


def found(identity):
    """Return the scene, or None where another file is open. Files that were never saved have no name to tell them
    by.
    """
    number, blend, name = identity
    by_number = [each for each in bpy.data.scenes if each.session_uid == number]
    return by_number[0] if by_number else bpy.data.scenes.get(name) if blend and bpy.data.filepath == blend else None


def _show(run, alphas):
    """Bring all whole frames on disk into Blender, each under its own number. alphas: object -> ondisk.Alphas."""
    renew = run.over is not None or not run.shown
    run.shown = time.monotonic()
    home = found(run.scene)
    if home is not None and run.patterns:
        groups = result.show(home, run.patterns, alphas, result.Showing(run.when, run.space, run.layout), renew)
        _redraw_results()
        now.told = time.monotonic()  # new datablocks make Blender draw a lot: panels have their turn after that
        return groups
    return []


def _conclude(run, over):
    groups = _show(run, over.alphas)
    home = found(run.scene)
    if home is None or not groups:
        return
    shot = home.matanyone
    with suppress(WireError):  # the plate was taken out of the panel meanwhile: the groups are there
        result.wire(home, shot, groups, scene.named_plate(shot), over.ends)
    _remember(run, over, home)
    for known in (now.plates, now.files, now.results, now.sures, now.records, now.doubted, now.looked):
        known.clear()
    if not bpy.app.background and not run.edges_only:  # of those, the control that was turned is the undo step
        with suppress(RuntimeError):  # Blender takes no undo step just now: the next one has it
            bpy.ops.ed.undo_push(message="MatAnyone matte")


def _remember(run, over, home):
    """Note in the scene what was made, and from what: only a run that finished makes the matte up to date."""
    shot = home.matanyone
    patterns = {name: scene.stored(shot, pattern) for name, pattern in run.patterns.items()}
    frames = {frame for each in over.alphas.values() for frame in each.whole}
    shot.made = plan.Made(patterns, plan.stretches(frames), over.outcome).text()
    if over.outcome != "finished":
        return  # what an earlier run noted no longer is what lies on disk, so the panel says "Out of date"
    then = plan.record_from(shot.record)
    if not run.alone:
        made = plan.Record(**run.record, result=over.result)
        if then is not None and run.was_current and not plan.wider(made.frames, then.frames):
            made = replace(made, frames=then.frames)  # the frames around were up to date, and still are
        shot.record = made.text()
        if not run.edges_only:  # no mask was looked at: what was seen of them since the last run still is so
            now.moving[home.session_uid] = run.record["moving"]
    elif then is not None and run.was_current:
        shot.record = replace(then, result=over.result).text()


# ------------------------------------------------------------------------------------------------ up to date?


def stale(shot):
    """Return what has changed since the matte was made, for a panel; it is cheap enough for a draw function."""
    now.drawn = time.monotonic()
    keep_pumping()
    then = plan.record_from(shot.record)
    current = _record_now(shot, then) if then else None
    if then is None or current is None:
        return ()
    number = shot.id_data.session_uid
    plate, made, files = (known.get(number, (0.0, ""))[1] or "" for known in (now.plates, now.results, now.files))
    return plan.stale_because(replace(current, plate=plate, result=made, files=files), then)


def edges_alone(shot):
    """Return the plan.Record of the last run if nothing but the edge controls has changed since; else None.

    Mattes on disk that the last run for the edges has left, such as one that was cancelled, count as no change.
    """
    number, then, run = shot.id_data.session_uid, plan.record_from(shot.record), run_of(shot.id_data)
    now.records.pop(number, None)
    changed, record = set(stale(shot)), now.records.get(number, (0.0, None))[1]
    if then is None or record is None:
        return None
    if run is not None and run.edges_only and run.over is not None:
        left = run.record["edges"] if run.over.outcome == "finished" else None
        changed.discard(plan.EDGES)  # what counts is not what was recorded, which undo takes back, but what was written
        changed |= {plan.EDGES} if left != record.edges else set()
        if now.results.get(number, (0.0, ""))[1] in (run.over.result, "", None):
            changed.discard(plan.ON_DISK)
    return then if changed == {plan.EDGES} else None


def _record_now(shot, then):
    """Return what the matte would be made from now, taken at most once a second."""
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
        if record is not None and number in now.moving:  # what was seen here still is so when the playhead is elsewhere
            now.moving[number] = record.moving
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

    control = link.control_of_a_call()
    now.calls[link.call(lambda _: look(control), connected=False)] = seen


def _could_not_look(why):
    """Say that the masks could not be looked at, and do not raise: a timer that raises is never called again."""
    now.note, now.untold = f"could not look whether animated masks have changed: {why}", True


def look_at_disk():
    """Have the network thread look whether the plate, or what a run has left on disk, has changed."""
    of_scene = getattr(bpy.context, "scene", None)
    if of_scene is None or active() or not of_scene.matanyone.record:
        return
    shot, made = of_scene.matanyone, plan.made_from(of_scene.matanyone.made)
    with suppress(WireError):  # whoever presses a button is told
        path = scene.named_plate(shot).path
        _look(now.plates, of_scene.session_uid, lambda: plan.digest_of_plate(path))
    if files := scene.named_masks(shot):
        _look(now.files, of_scene.session_uid, lambda: plan.digest_of_files(files))
    if made is not None:
        patterns = {name: scene.full(pattern) for name, pattern in made.patterns.items()}
        _look(now.results, of_scene.session_uid, lambda: ondisk.result_of(patterns, made.frames))
        _look(now.sures, of_scene.session_uid, lambda: ondisk.sure_of(patterns))


def _look(known, number, look):
    """Ask once in ten seconds; what is known stays until the answer comes. known: of now, by scene."""
    at, before = known.get(number, (-100.0, None))
    if time.monotonic() - at < 10 * IDLE_S:
        return
    try:
        link = bridge()
    except (WireError, OSError):
        return
    known[number] = (time.monotonic(), before)

    def seen(event):
        if isinstance(event, Answered):
            known[number] = (time.monotonic(), event.value)

    now.calls[link.call(lambda _: look(), connected=False)] = seen


# ------------------------------------------------------------------------------------------------ the end


def told(fault):
    """Return a fault as one text."""
    return in_blender(f"{fault.message}. {fault.action}")


def run_of(of_scene):
    """Return the last run, if it is one of this scene; else None."""
    return now.run if now.run is not None and found(now.run.scene) == of_scene else None


def sure_of(of_scene):
    """Return for each frame how far its alphas can be trusted: what this session has seen, and the engine's record."""
    keep_pumping()
    now.drawn = time.monotonic()
    run, recorded = run_of(of_scene), now.sures.get(of_scene.session_uid, (0.0, None))[1]
    return {**(recorded or {}), **(run.sure if run is not None else {})}


def is_known(shot):
    """Return whether the disk was looked at: before that nobody can say that a matte is up to date."""
    return bool(now.results.get(shot.id_data.session_uid, (0.0, ""))[1])


def _redraw_results():
    """Have the editors drawn again that may show an alpha."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"IMAGE_EDITOR", "NODE_EDITOR"}:
                area.tag_redraw()


def _redraw_plates(run, frame):
    """Draw editors of the plate again when the frame that they show has landed: overlay.py draws over them."""
    home = found(run.scene)
    if home is None or bpy.app.background or home.matanyone.show == "OFF":
        return
    if run.when.scene_frame(frame) == home.frame_current:
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                if area.type in {"CLIP_EDITOR", "IMAGE_EDITOR"}:
                    area.tag_redraw()


def _redraw_panels():
    """Have only that drawn again which says how a run goes: an editor's picture costs more than all the rest of this
    add-on.
    """
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            shown = _SHOWN_IN.get(area.type)
            for region in area.regions if shown else ():
                if region.type == shown:  # whichever its tab is: 4.3 crashes when asked that of a window just opened
                    region.tag_redraw()


def leave():
    """End the thread with Blender."""
    if now.bridge is not None:
        now.bridge.close()


def end():
    """End the thread and forget everything: the add-on is disabled."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    leave()
    vars(now).update(vars(_Now()))
