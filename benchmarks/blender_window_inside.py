# SPDX-License-Identifier: Apache-2.0
"""Runs inside a Blender with a window, for blender_window.py: what an artist does, one step a timer call."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

ORDERS = json.loads(sys.argv[sys.argv.index("--") + 1])
FOLDER, ROOT, WHAT = Path(ORDERS["folder"]), Path(ORDERS["root"]), ORDERS["what"]
ID = "bl_ext.user_default.matanyone"
SIZE = (640, 360)
IDLE_S = 4.0
TICK_S = 0.002
LIMIT_MS = 50
WIDE = 1000
FACE, HAND = (0.587, 0.34), (0.381, 0.415)
"""Where they are on the example's first frame, 0..1 from the top left: what a box and one click leave out."""
HAIR = [(0.505, 0.38), (0.52, 0.25), (0.545, 0.19), (0.58, 0.165), (0.61, 0.19), (0.635, 0.25), (0.64, 0.38)]
"""A way around the hair, likewise."""
PALM = ORDERS["palm"]
"""Where the raised hand is on the last frame, which a correction cuts off."""
PATIENCE = 6
"""How much longer than on an idle machine something may take."""

gaps: dict[str, list[float]] = {"still": [], "redrawing": [], "matting": []}
own: dict[str, float] = {}
"""The longest time of each of our functions on the main thread, in seconds."""
long_gaps: dict[str, list[dict[str, float]]] = {}
"""For each phase the gaps over LIMIT_MS: when they ended since the phase began, how long they were, and what each of
our functions took of it, in seconds.
"""
state = {"phase": "", "begun": 0.0, "last": 0.0, "ours": {}}
told: dict[str, object] = {"blender": bpy.app.version_string}


def ours(module):
    return importlib.import_module(f"{ID}.{module}")


# ------------------------------------------------------------------------------------------------ measuring


def measure():
    """Tick as often as Blender lets it: what lies between is the time that the UI stands still."""
    now = time.perf_counter()
    if state["phase"] and state["last"]:
        gaps[state["phase"]].append(now - state["last"])
        if now - state["last"] > LIMIT_MS / 1000:
            gap = {"at": now - state["begun"], "gap": now - state["last"], **state["ours"]}
            long_gaps.setdefault(state["phase"], []).append(gap)
    state["last"], state["ours"] = now, {}
    return TICK_S


def phase(name):
    state.update(phase=name, begun=time.perf_counter(), last=0.0)


def timed(name, function):
    """Return the same function, of which the longest time it took is kept."""

    def noted(*arguments):
        begun = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            took = time.perf_counter() - begun
            own[name] = max(own.get(name, 0.0), took)
            state["ours"][name] = state["ours"].get(name, 0.0) + took

    def panel(self, context):  # Blender counts the arguments that a method names, and gives it so many
        return noted(self, context)

    def modal(self, context, event):
        return noted(self, context, event)

    return {"panels": panel, "modal": modal}.get(name, noted)


def time_our_code():
    session, panels = ours("session"), ours("panels")
    session.pump, session.start = timed("timer", session.pump), timed("press", session.start)
    ours("operators")._Matte.modal = timed("modal", ours("operators")._Matte.modal)
    overlay, strip = ours("overlay"), ours("strip")
    overlay.unregister()
    overlay._draw, strip.draw = timed("overlay", overlay._draw), timed("strip", strip.draw)
    overlay.register()
    for mixin in (panels._Main, panels._Masks, panels._Settings):
        mixin.draw = timed("panels", mixin.draw)


def summed_up(values):
    ordered = sorted(1000 * value for value in values)
    over = sum(value > LIMIT_MS for value in ordered)
    longest, p99 = round(ordered[-1], 1), round(ordered[int(0.99 * len(ordered))], 1)
    return {"ticks": len(ordered), "longest_ms": longest, "p99_ms": p99, f"over_{LIMIT_MS}_ms": over}


# ------------------------------------------------------------------------------------------------ hands


def largest():
    return max(bpy.context.window_manager.windows[0].screen.areas, key=lambda area: area.width * area.height)


def region_of(area, kind="WINDOW"):
    return next(region for region in area.regions if region.type == kind)


def within(area, window=None):
    window = window or bpy.context.window_manager.windows[0]
    return bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region_of(area))


def editor(kind, tab="MatAnyone"):
    """Turn the largest area into an editor of this kind, its sidebar open at our tab. Yields while Blender draws it."""
    area = largest()
    area.ui_type = kind
    area.spaces.active.show_region_ui = True
    yield 0.5  # a sidebar has tabs once it was drawn
    region_of(area, "UI").active_panel_category = tab
    area.tag_redraw()
    yield 0.5


def fit(operator, **options):
    """View all of the largest area, if that is to be had now."""
    with within(largest()):
        if operator.poll():
            operator(**options)


def picture(name):
    subprocess.run(["import", "-window", "root", str(FOLDER / f"{name}.png")], check=True)


def xdotool(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)


def pressed(*words):
    """Press the same, and give Blender time to see it: it takes a press to be where the mouse is when it looks."""
    xdotool(*words)
    yield 0.3


def on_screen(x, y):
    """Return a position on the plate, 0..1 from the top left, as one on the screen."""
    region, window = region_of(largest()), bpy.context.window_manager.windows[0]
    across, up = region.view2d.view_to_region(x, 1 - y, clip=False)
    return region.x + across, window.height - (region.y + up)


def go_to(frame):
    """Move the playhead as an artist does: frame_set() alone leaves the Movie Clip editor where it is."""
    bpy.context.scene.frame_set(frame)
    bpy.context.scene.frame_current = frame


def matte(window=None):
    with within(max((window or bpy.context.window).screen.areas, key=lambda area: area.width * area.height), window):
        bpy.ops.matanyone.matte("INVOKE_DEFAULT")


def over():
    return ours("session").now.run.over


def until(condition, most_s=60):
    """Yields while it is not so."""
    deadline = time.monotonic() + PATIENCE * most_s
    while not condition():
        if time.monotonic() > deadline:
            run = ours("session").now.run
            picture("gave_up")
            raise TimeoutError(f"{ours('session').status(run) if run else 'no run'}; {ours('session').now.test}")
        yield 0.05


def landed():
    return bool(ours("session").now.run.landed)


# ------------------------------------------------------------------------------------------------ the steps


def steps():
    """Go through the parts, of which each yields how long Blender is to go on by itself."""
    bpy.context.preferences.view.use_save_prompt = False
    if WHAT == "fresh":
        yield from fresh()
        return
    bpy.ops.extensions.package_install_files(filepath=ORDERS["zip"], repo="user_default", enable_on_install=True)
    yield 1.0
    if bpy.context.window_manager.windows[0].width < WIDE:  # there is room for one editor
        with within(largest()):
            bpy.ops.screen.screen_full_area()
        yield 1.0
    yield from roto()
    yield from {"times": times, "hands": hands, "tour": tour}[WHAT]()


def roto():
    """Load the clip, draw a mask around the person and make a key, as in the tutorial."""
    bpy.context.preferences.addons[ID].preferences.connection = str(FOLDER / "run" / "engine.json")
    yield from editor("CLIP_EDITOR")
    area, shot = largest(), bpy.context.scene.matanyone
    clip = bpy.data.movieclips.load(ORDERS["plate"])
    clip.colorspace_settings.name = "Linear Rec.709"
    area.spaces.active.clip = clip
    with within(area):
        bpy.ops.matanyone.plate_from_editor()
    shot.use_range, shot.first, shot.last = True, 1001, 1000 + ORDERS["frames"]
    shot.out = str(FOLDER / "matte/{shot}.####.exr")
    area.spaces.active.mode, area.spaces.active.mask = "MASK", draw()
    go_to(1)
    with within(area):
        bpy.ops.matanyone.key_add()
    yield 0.5
    fit(bpy.ops.clip.view_all, fit_view=True)
    yield 1.0


def draw():
    """Return the mask of the example as a spline: ORDERS["points"] go around it, in pixels from the top left."""
    mask = bpy.data.masks.new("person")
    spline = mask.layers.new().splines.new()
    spline.points.add(len(ORDERS["points"]) - 1)
    spline.use_cyclic = True
    for point, (x, y) in zip(spline.points, ORDERS["points"], strict=True):
        point.handle_type = "VECTOR"
        spot = (0.5 + (x - SIZE[0] / 2) / SIZE[0], 0.5 + (SIZE[1] / 2 - y) / SIZE[0])
        point.co = point.handle_left = point.handle_right = spot
    return mask


def times():
    """Measure first nothing, then the redrawing of a run without a run and with a core as busy, then a run."""
    time_our_code()
    raster = ours("raster")
    plain = raster.command
    raster.command = lambda *words: [*ORDERS["background"], *plain(*words)]
    bpy.app.timers.register(measure)
    phase("still")
    yield IDLE_S
    busy = subprocess.Popen([*ORDERS["background"], "nice", "-n", "5", sys.executable, "-c", "while True: pass"])
    phase("redrawing")
    end = time.monotonic() + IDLE_S
    while time.monotonic() < end:
        ours("session")._redraw_panels()
        bpy.context.workspace.status_text_set(f"idle {time.monotonic():.1f}")
        yield 0.5
    phase("")
    busy.kill()
    busy.wait()
    bpy.context.workspace.status_text_set(None)
    yield 0.5
    phase("matting")
    matte()
    yield from until(over, 200)
    phase("")
    told["outcome"], told["said"] = over().outcome, ours("session").status(ours("session").now.run)
    told.update({name: summed_up(values) for name, values in gaps.items()})
    told[f"over {LIMIT_MS} ms: when in s, how long, and what was ours in ms"] = {
        name: [{what: round(took if what == "at" else 1000 * took, 1) for what, took in gap.items()} for gap in each]
        for name, each in long_gaps.items()
    }
    told["longest_in_our_code_ms"] = {name: round(1000 * seconds, 1) for name, seconds in own.items()}


def backdrop():
    """Put the artist's own Viewer on what comes out of the group."""
    tree, space = ours("nodes").tree_of(bpy.context.scene), largest().spaces.active
    group = next(node for node in tree.nodes if node.type == "GROUP")
    viewer = tree.nodes.new("CompositorNodeViewer")
    viewer.location = (group.location.x + 300, group.location.y - 150)
    tree.links.new(group.outputs["Image"], viewer.inputs["Image"])
    tree.nodes.active = viewer
    space.show_backdrop, space.backdrop_zoom = True, 0.9
    go_to(ORDERS["frames"] // 2)


def moment():
    """Time for Blender to see a click where it was made."""
    yield 0.3


def pointed(after=moment):
    """Mask by Box and Clicks: a box around the person, a click on him and one beside, by mouse.

    after: called after each, for steps to be taken then.
    """
    across, down = zip(*ORDERS["points"], strict=True)
    left, right, top, bottom = min(across) / 640, max(across) / 640, min(down) / 360, max(down) / 360
    middle = (left + right) / 2
    with within(largest()):
        bpy.ops.matanyone.point("INVOKE_DEFAULT")
    yield 0.3
    spots = [(left + part * (right - left), top + part * (bottom - top)) for part in (0, 0.3, 0.7, 1)]
    yield from pressed("mousemove", *on_screen(*spots[0]))
    yield from pressed("mousedown", 1)
    for spot in spots[1:]:
        yield from pressed("mousemove", *on_screen(*spot))
    xdotool("mouseup", 1)
    yield from after()
    yield from pressed("mousemove", *on_screen(middle, (top + 2 * bottom) / 3))
    xdotool("click", 1)
    yield from after()
    yield from pressed("mousemove", *on_screen(left / 2, bottom / 2))
    yield from pressed("keydown", "ctrl")
    xdotool("click", 1)
    yield from after()
    yield from pressed("keyup", "ctrl")


# ------------------------------------------------------------------------------------------------ a new user


def fresh():
    """Go from the zip to the first matte, with a second for each click; tell how many clicks and seconds that took."""
    counted, begun = {"clicks": 0, "seconds": {}}, time.monotonic()

    def clicks(count, what):
        yield float(count)
        counted["clicks"] += count
        counted["seconds"][what] = round(time.monotonic() - begun, 1)

    yield from clicks(6, "Edit > Preferences > Get Extensions > v > Install from Disk, the zip, Install")
    bpy.ops.extensions.package_install_files(filepath=ORDERS["zip"], repo="user_default", enable_on_install=True)
    yield from clicks(4, "Add-ons, MatAnyone, Program, Test")
    chosen = bpy.context.preferences.addons[ID].preferences
    chosen.program, chosen.connection = ORDERS["program"], str(FOLDER / "run" / "engine.json")  # not the user's own
    bpy.ops.matanyone.engine(what="TEST")
    yield from clicks(1, "Preferences closed")
    yield from clicks(2, "Editor Type > Movie Clip Editor")
    area = largest()
    area.ui_type = "CLIP_EDITOR"
    yield from clicks(3, "Open, the plate, Open Clip")
    with within(area):
        files = [{"name": file.name} for file in sorted(Path(ORDERS["plate"]).parent.glob("plate.*.exr"))]
        bpy.ops.clip.open(directory=f"{Path(ORDERS['plate']).parent}/", files=files)
    yield from clicks(2, "N, MatAnyone")
    yield from editor("CLIP_EDITOR")
    yield from clicks(1, "Use This Plate")
    with within(area):
        bpy.ops.matanyone.plate_from_editor()
    yield from clicks(2, "Ctrl-S, a name")
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "first.blend"))
    fit(bpy.ops.clip.view_all, fit_view=True)
    yield from until(lambda: ours("session").now.test.startswith("engine"))
    counted["seconds"]["the engine has answered Test"] = round(time.monotonic() - begun, 1)
    yield from clicks(1, "Mask by Box and Clicks")
    yield from pointed()
    counted["clicks"] += 4  # the box, two clicks, Enter
    shot = bpy.context.scene.matanyone
    xdotool("key", "Return")
    yield from until(lambda: len(shot.objects[0].keys) > 0)
    yield from clicks(1, "Matte")
    matte()
    yield from until(landed, 200)
    counted["seconds"]["the first alpha is there"] = round(time.monotonic() - begun, 1)
    yield from until(over, 400)
    counted["seconds"]["all alphas are there"] = round(time.monotonic() - begun, 1)
    yield 2.0
    picture("blender_fresh")
    told["fresh"], told["said"] = counted, ours("session").status(ours("session").now.run)
    bpy.ops.matanyone.engine(what="STOP")
    yield from until(lambda: not ours("session").now.bridge.waiting)


# ------------------------------------------------------------------------------------------------ the ten steps


def tour():
    """Take the ten steps of docs/blender.md; what is on the screen after each is kept as a picture."""
    bpy.context.preferences.view.ui_scale = 0.9
    parts = (asked, clicked, overlaid, steered, brushed, edged, composited, corrected, preferred)
    for part in (*parts, sequenced, opened_while_clicking):
        yield from taken(part)


def taken(part):
    """Take a part, unless only others are wanted."""
    if not ORDERS["only"] or part.__name__ in ORDERS["only"]:
        print("part:", part.__name__, flush=True)
        yield from part()


def asked():
    """Test the engine, match the scene, choose a quality: steps 3, 4 and 7."""
    session, shot = ours("session"), bpy.context.scene.matanyone
    bpy.ops.matanyone.engine(what="TEST")
    yield from until(lambda: session.now.test.startswith("engine"))
    told["test"] = session.now.test
    with within(largest()):
        bpy.ops.matanyone.match_scene()
    render = bpy.context.scene.render
    told["matched"] = [render.resolution_x, render.resolution_y, bpy.context.scene.frame_start]
    bpy.context.scene.frame_end = ORDERS["frames"]
    shot.working_size = 180
    timeline()
    yield 1.0
    picture("blender_roto")


def clicked():
    """Make a mask of the first frame by a box and clicks, each of which shows the new mask; Z, Enter: step 6."""
    shot, times = bpy.context.scene.matanyone, []
    shot.objects[0].keys.clear()
    drawn, marks = watch_drawing(), watch_a_click()
    yield from pointed(lambda: shown(drawn, times, marks))
    for spot in FACE, HAND:
        yield from pressed("mousemove", *on_screen(*spot))
        xdotool("click", 1)
        yield from shown(drawn, times, marks)
    yield 1.0
    picture("blender_live")
    before = len(drawn)
    xdotool("key", "z")
    yield from until(lambda: len(drawn) > before)
    xdotool("key", "Return")
    yield from until(lambda: len(shot.objects[0].keys) > 0)
    key = shot.objects[0].keys[0]
    told["clicked"] = [key.frame, key.source, len(json.loads(key.pointing)["subject"])]
    told["box to mask, ms"], *told["click to mask, ms"] = (round(1000 * each["drawn"]) for each in times)
    told["where a click's time went, ms since the press"] = [
        {what: round(1000 * at) for what, at in each.items()} for each in times
    ]
    key.source, key.mask = "MASK", bpy.data.masks["person"]
    yield 0.5


def watch_drawing():
    """Return a list that grows with each new picture that the overlay draws: when, and which."""
    overlay, drawn = ours("overlay"), []
    draw = overlay.draw_picture

    def noted(region, picture, mode):
        draw(region, picture, mode)
        if not drawn or drawn[-1][1] is not picture:
            drawn.append((time.perf_counter(), picture))

    overlay.draw_picture = noted
    return drawn


def watch_a_click():
    """Return a dictionary in which the times of the latest click are kept: what a click waits for, in its order."""
    live, alphas, overlay, marks = ours("live").LivePrompts, ours("alphas"), ours("overlay"), {}
    live.ask = marked(marks, live.ask, before="asked")
    live._make = marked(marks, live._make, before="sent", after="made")
    overlay.show_live = marked(marks, overlay.show_live, before="seen to be made")
    alphas.read_alpha = marked(marks, alphas.read_alpha, before="reading", after="read")
    return marks


def marked(marks, function, before="", after=""):
    """Return the same function, of which the first time that it began and ended is kept under these names."""

    def noted(*arguments, **named):
        if before:
            marks.setdefault(before, time.perf_counter())
        value = function(*arguments, **named)
        if after:
            marks.setdefault(after, time.perf_counter())
        return value

    return noted


def shown(drawn, times, marks):
    """Wait until the mask of a click is on the screen; how long each part of that took goes into times."""
    marks.clear()
    begun, before = time.perf_counter(), len(drawn)
    yield from until(lambda: len(drawn) > before)
    marks["drawn"] = drawn[before][0]
    times.append({name: at - begun for name, at in sorted(marks.items(), key=lambda each: each[1])})


def overlaid():
    """Matte, and look at the alphas over the plate: step 8."""
    shot = bpy.context.scene.matanyone
    matte()
    yield from until(lambda: ours("session").now.run.done >= ORDERS["frames"] // 3, 200)
    yield 0.1
    picture("blender_running")
    yield from until(over, 400)
    told["outcome"], told["said"] = over().outcome, ours("session").status(ours("session").now.run)
    go_to(ORDERS["frames"] // 2)
    told["plate on the screen"] = [*on_screen(0, 0), *on_screen(1, 1)]
    told["alpha"] = ours("overlay").file_at(bpy.context.scene)
    for mode in ("OFF", "RED", "ALPHA", "OUTLINE", "CHECKER"):
        shot.show = mode
        yield 2.0
        picture(f"blender_overlay_{mode.lower()}")
    shot.show = "RED"


def steered():
    """Choose a guide, and look at the panel and at the list of models."""
    shot = bpy.context.scene.matanyone
    open_panels("constraints", "settings")
    shot.objects[0].guide_mask = bpy.data.masks["person"]
    yield from editor("CLIP_EDITOR")
    largest().spaces.active.clip = shot.clip
    yield 1.0
    picture("blender_guide")
    open_panels()
    area = largest()
    side = region_of(area, "UI")
    height = bpy.context.window_manager.windows[0].height
    yield from pressed("mousemove", side.x + 40, height - side.y - 120)
    with within(area):
        bpy.ops.wm.call_menu(name="MATANYONE_MT_models")
    yield 1.0
    picture("blender_models")
    yield from pressed("key", "Escape")
    shot.objects[0].guide_mask = None


def brushed():
    """Paint where the alpha is refined, around the hair: one stroke, one that Z takes back, one that erases."""
    shot = bpy.context.scene.matanyone
    open_panels("area")
    frame = ORDERS["frames"] // 2
    go_to(frame)
    yield 1.0
    with within(largest()):
        bpy.ops.matanyone.area_paint("INVOKE_DEFAULT")
    yield 0.5
    yield from dragged(HAIR)
    yield from dragged([(0.2, 0.5), (0.3, 0.6)])
    yield from pressed("key", "z")
    yield from pressed("key", "bracketleft")
    yield from pressed("keydown", "ctrl")
    yield from dragged(HAIR[-2:])
    yield from pressed("keyup", "ctrl")
    picture("blender_area")
    yield from pressed("key", "Return")
    yield 1.0
    picture("blender_area_kept")
    shot.show_area = False
    yield 1.0
    picture("blender_area_hidden")
    shot.show_area = True
    told["area"] = [
        (area.frame, [(each["erase"], len(each["points"]) > 1) for each in json.loads(area.strokes)])
        for area in shot.objects[0].areas
    ]
    open_panels()
    shot.objects[0].areas.clear()
    yield 0.5


def edged():
    """Turn a control of the panel Edges: the mattes are written anew by themselves."""
    session = ours("session")
    open_panels("edges")
    go_to(ORDERS["frames"] // 2)
    yield 1.0
    for turn in (turned, bpy.ops.matanyone.edges_reset):
        before = session.now.run
        with within(largest()):
            turn()
        yield from until(lambda before=before: session.now.run is not before and over(), 120)
        told.setdefault("edges", []).append(session.now.run.edges_only and over().outcome)
        yield 2.0
        if turn is turned:
            picture("blender_edges")
    open_panels()
    yield 0.5


def turned():
    """Set two controls, as an artist does who sees too wide an edge."""
    controls = bpy.context.scene.matanyone.objects[0].edges
    controls.black_clip, controls.edge_grow = 0.1, -1.0


def dragged(spots):
    """Drag the mouse along these spots of the plate, 0..1 from the top left."""
    yield from pressed("mousemove", *on_screen(*spots[0]))
    yield from pressed("mousedown", 1)
    for spot in spots[1:]:
        yield from pressed("mousemove", *on_screen(*spot))
    yield from pressed("mouseup", 1)


PARTS = ("constraints", "area", "edges", "settings")
"""The panels that are closed at first, in their order."""


def open_panels(*parts):
    """Show these panels as after a click on their headers, and the others closed. Open ones are twins of those that the
    add-on has.
    """
    panels = ours("panels")
    real = {part: f"MATANYONE_PT_{part}_clip_editor" for part in PARTS}
    classes = {each.bl_idname: each for each in panels.CLASSES if hasattr(each, "bl_idname")}
    for name in real.values():
        for shown in (name, f"{name}_twin"):
            if hasattr(bpy.types, shown):
                bpy.utils.unregister_class(getattr(bpy.types, shown))
    for part, name in real.items():
        body = {"bl_idname": f"{name}_twin", "bl_space_type": "CLIP_EDITOR", "bl_options": set()}
        body["bl_parent_id"] = "MATANYONE_PT_main_clip_editor"
        mixin = classes[name].__bases__[0]
        bpy.utils.register_class(
            type(body["bl_idname"], (mixin, bpy.types.Panel), body) if part in parts else classes[name]
        )


def sequenced():
    """Put the plate into the sequencer, with the node group as its compositor modifier, where Blender has that."""
    home, shot = bpy.context.scene, bpy.context.scene.matanyone
    if not hasattr(bpy.types, "SequencerCompositorModifierData"):
        return
    if not shot.made:
        matte()
        yield from until(over, 400)
    strips = home.sequence_editor_create().strips
    files = sorted(Path(ORDERS["plate"]).parent.glob("plate.*.exr"))
    strip = strips.new_image(name="plate", filepath=str(files[0]), channel=1, frame_start=1)
    for file in files[1:]:
        strip.elements.append(file.name)
    strip.colorspace_settings.name = "Linear Rec.709"
    modifier = strip.modifiers.new("MatAnyone", "COMPOSITOR")
    modifier.node_group = shot.objects[0].group
    home.sequence_editor.active_strip = strip
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = home
    yield from editor("SEQUENCE_EDITOR", "Tool")
    largest().spaces.active.view_type = "SEQUENCER_PREVIEW"
    yield 1.0
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "PROPERTIES":
            area.spaces.active.context = "STRIP_MODIFIER"
    go_to(ORDERS["frames"] // 2)
    yield 4.0
    picture("blender_sequencer")
    # The strip stays: Blender 5.2.2 crashes on the next frame once one with such a modifier was taken away.
    yield from editor("CLIP_EDITOR")
    largest().spaces.active.clip = shot.clip


def timeline():
    """Have the timeline show the frames of the scene and no others."""
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "DOPESHEET_EDITOR":
            with within(area):
                bpy.ops.action.view_all()


def composited():
    """Look at the node group: step 9."""
    yield from editor("CompositorNodeTree")
    backdrop()
    fit(bpy.ops.node.view_all)
    yield 3.0
    yield from until(lambda: not bpy.app.is_job_running("COMPOSITE"))
    picture("blender_result")
    yield from editor("CLIP_EDITOR")
    largest().spaces.active.clip = bpy.context.scene.matanyone.clip
    fit(bpy.ops.clip.view_all, fit_view=True)
    yield 1.0


def corrected():
    """Click on a later frame that has a matte (step 10): Enter makes a key and runs the changed stretch again."""
    shot, frame = bpy.context.scene.matanyone, ORDERS["frames"]
    go_to(frame)
    drawn = watch_drawing()
    yield 1.0
    with within(largest()):
        bpy.ops.matanyone.point("INVOKE_DEFAULT")
    yield 1.0
    yield from pressed("mousemove", *on_screen(*PALM))
    before = len(drawn)
    for words in (("keydown", "ctrl"), ("click", 1), ("keyup", "ctrl")):
        yield from pressed(*words)
    yield from until(lambda: len(drawn) > before)
    yield 1.0
    picture("blender_correction")
    xdotool("key", "Return")
    yield from until(lambda: len(shot.objects[0].keys) == 2)
    told["corrected"] = [(key.frame, key.source) for key in shot.objects[0].keys]
    told["correction"] = bpy.path.abspath(shot.objects[0].keys[1].image.filepath)
    yield from until(lambda: ours("session").active() is None, 400)
    told["corrected said"] = ours("session").status(ours("session").now.run)
    yield 1.0
    picture("blender_corrected")


def preferred():
    """Look at the add-on's preferences, as they are after step 3."""
    area = largest()
    area.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "matanyone"
    bpy.ops.preferences.addon_expand(module=ID)
    chosen = bpy.context.preferences.addons[ID].preferences
    connection, chosen.connection, chosen.program = chosen.connection, "", "/opt/matanyone/.venv/bin/matanyone-engine"
    yield from pressed("mousemove", *on_screen(0.5, 0.05))
    yield 1.5
    picture("blender_preferences")
    chosen.connection, chosen.program = connection, ""
    yield from editor("CLIP_EDITOR")
    area.spaces.active.clip = bpy.context.scene.matanyone.clip
    yield 0.5


def opened_while_clicking():
    """Open another file in the middle of clicking: nothing of ours goes on."""
    go_to(2)
    with within(largest()):
        bpy.ops.matanyone.point("INVOKE_DEFAULT")
    yield 0.5
    session = ours("session")
    begun = session.now.clicking
    bpy.ops.wm.read_homefile()
    yield 1.0
    told["file opened while clicking"] = [begun, session.now.clicking, ours("overlay").here.live]


def hands():
    """Do everything that a mouse, a key or another window can do to a run."""
    for part in (by_mouse, escape, window_closed, undone, animated, another_file, quitted):
        yield from taken(part)


def by_mouse():
    yield from pointed()
    session = ours("session")
    xdotool("key", "Return")
    yield 0.5
    yield from until(lambda: session.now.bridge and not session.now.bridge.waiting)
    keys = bpy.context.scene.matanyone.objects[0].keys
    told["box and clicks"] = [session.now.test, [(key.frame, key.source) for key in keys]]


def escape():
    matte()
    yield from until(landed)
    begun = time.monotonic()
    xdotool("mousemove", *on_screen(0.5, 0.5), "key", "Escape")
    yield from until(over)
    told["ESC"] = [over().outcome, f"{len(over().frames)} frames kept", round(time.monotonic() - begun, 1)]
    yield 1.0


def window_closed():
    """Start the run in a second window, and close that."""
    bpy.context.scene.matanyone.mask_grow = 1
    bpy.ops.wm.window_new()
    yield 1.0
    second = bpy.context.window_manager.windows[-1]
    matte(second)
    yield from until(landed)
    with bpy.context.temp_override(window=second):
        bpy.ops.wm.window_close()
    yield from until(over)
    told["second window closed"] = [over().outcome, len(over().frames), len(bpy.context.window_manager.windows)]
    yield 1.0


def undone():
    bpy.context.scene.matanyone.mask_grow = 2
    matte()
    yield from until(landed)
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.frame_end = 77
    bpy.ops.ed.undo_push(message="after")
    with within(largest()):
        bpy.ops.ed.undo()
    yield from until(over)
    alpha = bpy.data.node_groups["MatAnyone: plate"].nodes["Alpha"]
    told["undo"] = [over().outcome, alpha.frame_duration, ours("session").now.run.warnings]
    yield 1.0


def animated():
    """Use a mask that moves on two frames, and read what the panel says where the playhead goes, and after edits."""
    shot, said = bpy.context.scene.matanyone, {}
    shot.mask_grow = 0
    key = shot.objects[0].keys[0]
    key.source, key.mask = "MASK", bpy.data.masks["person"]
    moved(1, 0.0)
    moved(9, 0.05)
    with within(largest()):
        bpy.ops.matanyone.key_add()
    matte()
    yield from until(over)
    for name, frame, by in (
        ("at a key", 1, 0),
        ("between", 4, 0),
        ("edited between", 4, 0.02),
        ("edited at a key", 9, 0.02),
    ):
        moved(frame, by) if by else go_to(frame)
        largest().tag_redraw()
        yield 4.0  # the panel looks once a second, the second Blender takes another
        said[name] = list(ours("session").stale(bpy.context.scene.matanyone))
    go_to(4)
    yield 2.0
    said["and away from it"] = list(ours("session").stale(bpy.context.scene.matanyone))
    told["animated mask"] = said


def moved(frame, by):
    """Go to a frame, move the mask, Insert Key."""
    go_to(frame)
    bpy.context.view_layer.update()  # else the next operator puts the points back to where they are on this frame
    for point in bpy.data.masks["person"].layers[0].splines[0].points:
        point.select = True
        for part in ("co", "handle_left", "handle_right"):
            getattr(point, part).x += by
    with within(largest()):
        bpy.ops.mask.shape_key_insert()


def another_file():
    bpy.context.scene.matanyone.mask_grow = 3
    matte()
    yield from until(landed)
    bpy.ops.wm.read_homefile()
    yield from until(over)
    groups = [group.name for group in bpy.data.node_groups if group.name.startswith("MatAnyone")]
    told["another file"] = [over().outcome, len(over().frames), groups]
    yield 1.0


def quitted():
    """Quit Blender while a matte is made: by key, as an artist does."""
    yield from roto()
    matte()
    yield from until(landed)
    (FOLDER / "told.json").write_text(json.dumps(told))
    xdotool("mousemove", *on_screen(0.5, 0.5), "key", "ctrl+q")
    yield 30.0
    raise TimeoutError("Blender is still there")


work = steps()


def go_on():
    try:
        return next(work)
    except StopIteration:
        (FOLDER / "told.json").write_text(json.dumps(told))
    except Exception:
        traceback.print_exc()
        (FOLDER / "told.json").unlink(missing_ok=True)
    bpy.ops.wm.quit_blender()
    return None


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(go_on, first_interval=1.0, persistent=True)
