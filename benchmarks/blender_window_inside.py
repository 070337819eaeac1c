# SPDX-License-Identifier: Apache-2.0
"""Runs inside a Blender with a window, for blender_window.py: what an artist does, one step a timer call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import addon_utils
import bpy

ORDERS = json.loads(sys.argv[sys.argv.index("--") + 1])
FOLDER, ROOT = Path(ORDERS["folder"]), Path(ORDERS["root"])
SIZE = (640, 360)
PICTURES = ORDERS["pictures"]
IDLE_S = 4.0
TICK_S = 0.002

TAB_OF_CLIP_EDITOR, TAB_OF_COMPOSITOR, ARROW_OF_ADDON = (1044, 305), (1044, 250), (189, 129)

bpy.context.preferences.view.show_splash = False
gaps: dict[str, list[float]] = {"idle": [], "matting": []}
own: dict[str, float] = {}
"""The longest time of each of our functions on the main thread, in seconds."""
state = {"phase": "", "last": 0.0}

survived: dict[str, list[object]] = {}


def measure():
    """Tick as often as Blender lets it: what lies between is the UI standing still."""
    now = time.perf_counter()
    if state["phase"] and state["last"]:
        gaps[state["phase"]].append(now - state["last"])
    state["last"] = now
    return TICK_S


def timed(name, function):
    """The same function; the longest time it took is kept."""

    def noted(*arguments):
        begun = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            own[name] = max(own.get(name, 0.0), time.perf_counter() - begun)

    def panel(self, context):  # Blender counts the arguments that a method names, and gives it so many
        return noted(self, context)

    def modal(self, context, event):
        return noted(self, context, event)

    return {"panels": panel, "modal": modal}.get(name, noted)


def area_of(kind):
    """The largest area of the window, as an editor of this kind, with its sidebar open."""
    area = largest()
    area.type = kind
    area.spaces.active.show_region_ui = True
    return area


def click(x, y):
    """Only a mouse can choose a tab of a sidebar in this Blender."""
    subprocess.run(["xdotool", "mousemove", str(x), str(y), "click", "1"], check=True)


def override(area):
    window = bpy.context.window_manager.windows[0]
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region)


def fit(operator, **options):
    """View all of the largest area, if that is to be had now."""
    with override(largest()):
        if operator.poll():
            operator(**options)


def picture(name):
    with override(largest()):
        bpy.ops.screen.screenshot(filepath=str(FOLDER / f"{name}.png"), check_existing=False)


def set_up():
    """The clip, a mask around the person, a key: as in the tutorial."""
    from matanyone import operators, panels, session

    session.pump, session.start = timed("timer", session.pump), timed("press", session.start)
    operators._Matte.modal = timed("modal", operators._Matte.modal)
    for mixin in (panels._Main, panels._Masks, panels._Settings):
        mixin.draw = timed("panels", mixin.draw)
    addon = bpy.context.preferences.addons["matanyone"].preferences
    addon.connection = str(FOLDER / "run" / "engine.json")
    area = area_of("CLIP_EDITOR")
    clip = bpy.data.movieclips.load(str(ROOT / "examples/plate/plate.1001.exr"))
    clip.colorspace_settings.name = "Linear"
    area.spaces.active.clip = clip
    operators.take_plate(bpy.context.scene.matanyone, clip, None)
    shot = bpy.context.scene.matanyone
    shot.use_range, shot.first, shot.last = True, 1001, 1000 + ORDERS["frames"]
    shot.color, shot.color_name = "NAME", "linear Rec.709"
    shot.out = str(FOLDER / "matte/{shot}.####.exr")
    mask = draw()
    area.spaces.active.mode, area.spaces.active.mask = "MASK", mask
    bpy.context.scene.frame_set(1)
    with override(area):
        bpy.ops.matanyone.key_add()


def draw():
    """The mask of the example as a spline: ORDERS["points"] go around it, in pixels from the top left."""
    mask = bpy.data.masks.new("person")
    layer = mask.layers.new()
    spline = layer.splines.new()
    spline.points.add(len(ORDERS["points"]) - 1)
    spline.use_cyclic = True
    for point, (x, y) in zip(spline.points, ORDERS["points"], strict=True):
        point.handle_type = "VECTOR"
        spot = (0.5 + (x - SIZE[0] / 2) / SIZE[0], 0.5 + (SIZE[1] / 2 - y) / SIZE[0])
        point.co = point.handle_left = point.handle_right = spot
    return mask


def redraw():
    """What a running matte makes Blender do, without one."""
    from matanyone import session

    session._redraw()
    bpy.context.workspace.status_text_set(f"idle {time.monotonic():.1f}")


def largest():
    return max(bpy.context.window_manager.windows[0].screen.areas, key=lambda area: area.width * area.height)


def steps():
    """Each part yields how long Blender is to go on by itself."""
    addon_utils.enable("matanyone", default_set=True)
    from matanyone import session

    yield 1.0
    yield from roto()
    yield from matte(session)
    if PICTURES:
        yield from result()
        yield from preferences()
    else:
        yield from disturbed(session)
    finish(session)


def roto():
    set_up()
    yield 0.5
    for _ in range(2):  # a busy machine may miss one
        click(*TAB_OF_CLIP_EDITOR)
        yield 0.5
    fit(bpy.ops.clip.view_all, fit_view=True)
    yield 1.0
    if PICTURES:
        picture("blender_roto")
    yield 0.5


def matte(session):
    """First a while of the same redrawing without a matte, with a core as busy, to compare with."""
    bpy.app.timers.register(measure)
    state.update(phase="idle", last=0.0)
    until = time.monotonic() + (0 if ORDERS.get("dry") else IDLE_S)
    busy = subprocess.Popen([sys.executable or "python3", "-c", "while True: pass"])
    while time.monotonic() < until:
        redraw()
        yield 0.1
    busy.kill()
    busy.wait()
    bpy.context.workspace.status_text_set(None)
    with override(largest()):
        bpy.ops.matanyone.matte("INVOKE_DEFAULT")
    state.update(phase="matting", last=0.0)
    shown = False
    while session.active():
        if PICTURES and not shown and session.now.run.done >= ORDERS["frames"] // 2:
            state.update(phase="")
            picture("blender_running")
            shown = True
            yield 0.5
            state.update(phase="matting", last=0.0)
        yield 0.1
    state.update(phase="")
    yield 2.5


def disturbed(session):
    """Undo while a matte is made, then another file: what becomes of the runs is in `survived`."""
    shot = bpy.context.scene.matanyone
    shot.mask_grow = 1
    with override(largest()):
        bpy.ops.matanyone.matte("INVOKE_DEFAULT")
    while session.active() and not session.now.run.landed:
        yield 0.1
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.frame_end = 77
    bpy.ops.ed.undo_push(message="after")
    with override(largest()):
        bpy.ops.ed.undo()
    while session.active():
        yield 0.1
    group = bpy.data.node_groups["MatAnyone: plate"].nodes["Alpha"]
    survived["undo"] = [session.now.run.over.outcome, group.frame_duration, bool(session.now.run.warnings)]
    bpy.context.scene.matanyone.mask_grow = 2
    with override(largest()):
        bpy.ops.matanyone.matte("INVOKE_DEFAULT")
    while session.active() and not session.now.run.landed:
        yield 0.1
    bpy.ops.wm.read_homefile()
    while session.active():
        yield 0.1
    survived["another file"] = [
        session.now.run.over.outcome,
        len(session.now.run.over.frames),
        len(bpy.data.node_groups),
    ]


def result():
    area = area_of("NODE_EDITOR")
    area.ui_type = "CompositorNodeTree"
    yield 0.5
    area.spaces.active.show_region_ui = True
    yield 0.5
    for _ in range(2):  # a busy machine may miss one
        click(*TAB_OF_COMPOSITOR)
        yield 1.0
    fit(bpy.ops.node.view_all)
    yield 1.0
    picture("blender_result")


def preferences():
    bpy.ops.matanyone.engine(what="TEST")
    yield 0.5
    largest().type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "matanyone"
    yield 1.0
    click(*ARROW_OF_ADDON)
    yield 1.0
    picture("blender_preferences")
    yield 0.2


def finish(session):
    outcome = session.now.run.over.outcome
    if ORDERS.get("dry"):
        gaps["idle"], gaps["matting"] = [0.0], [0.0]
    told = {"blender": bpy.app.version_string, "outcome": outcome, "said": session.status(session.now.run)}
    for phase, values in gaps.items():
        ordered = sorted(values)
        told[phase] = {
            "ticks": len(values),
            "longest_ms": round(1000 * ordered[-1], 1),
            "p99_ms": round(1000 * ordered[int(0.99 * len(ordered))], 1),
        }
    told["longest_in_our_code_ms"] = {name: round(1000 * seconds, 1) for name, seconds in own.items()}
    told["survived"] = survived
    (FOLDER / "told.json").write_text(json.dumps(told))
    bpy.ops.wm.quit_blender()


work = steps()


def go_on():
    try:
        return next(work)
    except StopIteration:
        return None
    except Exception:
        traceback.print_exc()
        bpy.ops.wm.quit_blender()
        return None


bpy.app.timers.register(go_on, first_interval=1.0, persistent=True)
