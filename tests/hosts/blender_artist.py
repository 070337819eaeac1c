# SPDX-License-Identifier: Apache-2.0
"""Runs inside Blender's Python: what an artist does with the extension, in orders; one JSON line for each.

python blender_artist.py ORDERS.json      [["install", {"zip": ...}], ["plate", {...}], ["matte", {}], ...]
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import sys
import threading
import time
from pathlib import Path

import bpy

ID = "bl_ext.user_default.matanyone"


def shot():
    return bpy.context.scene.matanyone


def install(zip):
    bpy.ops.extensions.package_install_files(filepath=zip, repo="user_default", enable_on_install=True)
    import zmq

    return {"enabled": ID in bpy.context.preferences.addons, "pyzmq": zmq.__version__, "at": zmq.__file__}


def preferences(**values):
    chosen = bpy.context.preferences.addons[ID].preferences
    for name, value in values.items():
        setattr(chosen, name, value)


def scene(blend=None):
    """Open a new file, or an old one."""
    if blend:
        bpy.ops.wm.open_mainfile(filepath=blend)
    else:
        bpy.ops.wm.read_homefile(use_empty=True)


def plate(file, starts, space="Linear Rec.709", image=False):
    """Load it and take it as the panel's button does."""
    operators = importlib.import_module(f"{ID}.setup_operators")
    if image:
        loaded = bpy.data.images.load(file)
        loaded.source = "SEQUENCE"
        shot().scene_start = starts
    else:
        loaded = bpy.data.movieclips.load(file)
        loaded.frame_start = starts
    loaded.colorspace_settings.name = space
    operators.take_plate(shot(), None if image else loaded, loaded if image else None)
    return {"size": list(loaded.size), "name": shot().name}


def mask(points, size, name="roto", feather=0.0, falloff="LINEAR"):
    """Draw a closed spline. points: (x, y, handle x, y, other handle x, y) in pixels, from the top left."""
    drawn = bpy.data.masks.new(name)
    layer = drawn.layers.new()
    layer.falloff = falloff
    spline = layer.splines.new()
    spline.points.add(len(points) - 1)
    spline.use_cyclic = True
    largest = max(size)
    for point, numbers in zip(spline.points, points, strict=True):
        point.handle_left_type = point.handle_right_type = "FREE"
        x, y = numbers[::2], numbers[1::2]
        spots = [
            (0.5 + (h - size[0] / 2) / largest, 0.5 + (size[1] / 2 - v) / largest) for h, v in zip(x, y, strict=True)
        ]
        point.co, point.handle_left, point.handle_right = (spots * 3)[:3]
        point.weight = feather / largest


def painted(values, size, name="painted"):
    """Make a float image that exists in Blender only. values: rows of grey from the top."""
    image = bpy.data.images.new(name, *size, float_buffer=True, is_data=True)
    flat = [channel for row in reversed(values) for value in row for channel in (value, value, value, 1.0)]
    image.pixels.foreach_set(flat)


def paint(size, name):
    """Make a float image of one grey, 0.25, that exists in Blender only."""
    image = bpy.data.images.new(name, *size, float_buffer=True, is_data=True)
    image.generated_color = (0.25, 0.25, 0.25, 1.0)
    image.pixels[0] = 0.25


def load_image(file):
    """Load a picture on disk, as data."""
    bpy.data.images.load(file).colorspace_settings.name = "Non-Color"


def delete(file):
    """Delete a file, as somebody else would."""
    Path(file).unlink()


def key(frame, mask=None, image=None, object=0):
    while len(shot().objects) <= object:
        bpy.ops.matanyone.object_add()
    added = shot().objects[object].keys.add()
    added.frame = frame
    if mask:
        added.mask = bpy.data.masks[mask]
    else:
        added.source, added.image = "IMAGE", bpy.data.images[image]


def clip_editor(clip, mask):
    """Return what mask operators need: a window with a Movie Clip editor."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.ui_type = "CLIP_EDITOR"
    space = area.spaces.active
    space.clip, space.mode, space.mask = clip, "MASK", mask
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region)


def animate(mask, frame, by):
    """Go to a frame, move the mask, Insert Key."""
    bpy.context.scene.frame_set(frame)
    move(mask, by)
    drawn = bpy.data.masks[mask]
    for point in drawn.layers[0].splines[0].points:
        point.select = True
    with clip_editor(shot().clip, drawn):
        return {"ended": sorted(bpy.ops.mask.shape_key_insert())}


def track(mask, places):
    """Make a tracked point, and tie the mask's points to it. places: x, y on each clip frame, 0..1 from the bottom
    left.
    """
    clip, drawn = shot().clip, bpy.data.masks[mask]
    tracks = clip.tracking.tracks
    added = tracks.new(name="nose", frame=1)
    for frame, place in places.items():
        added.markers.insert_frame(int(frame), co=place)
    tracks.active = added
    bpy.context.scene.frame_set(clip.frame_start)
    for point in drawn.layers[0].splines[0].points:
        point.select = True
    with clip_editor(clip, drawn):
        return {"ended": sorted(bpy.ops.mask.parent_set())}


def track_again(frame, place):
    """Let the tracked point be found somewhere else."""
    shot().clip.tracking.tracks["nose"].markers.insert_frame(frame, co=place)


def import_shapes(file):
    """Press Import as Mask, and choose the file."""
    ended = bpy.ops.matanyone.import_shapes(filepath=file)
    mask = bpy.data.masks[Path(file).stem]
    return {"ended": sorted(ended), "layers": [layer.name for layer in mask.layers]}


def draw_mask(name, frames, size, folder):
    """Have Blender's own renderer draw a mask, and leave the rows as raw floats: FOLDER/FRAME.f4."""
    raster = importlib.import_module(f"{ID}.raster")
    for frame in frames:
        scratch = Path(folder) / f"{frame}.scratch"
        rows = raster.rasterise(bpy.data.masks[name], frame, size, 4, scratch)
        (Path(folder) / f"{frame}.f4").write_bytes(b"".join(rows))


def move(mask, by):
    """Move every point of a mask, in mask units."""
    for point in bpy.data.masks[mask].layers[0].splines[0].points:
        for part in ("co", "handle_left", "handle_right"):
            getattr(point, part).x += by


def at(frame):
    """Move the playhead."""
    bpy.context.scene.frame_set(frame)


def work_folder(blocked):
    """Say whether the extension's own folder can be written: otherwise a file stands in its place."""
    folder = Path(bpy.utils.extension_path_user(ID, path="work"))
    if blocked:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.touch()
    else:
        folder.unlink()


def clear_keys():
    """Remove all masks of the first object."""
    shot().objects[0].keys.clear()


def name_objects(names):
    for each, name in zip(shot().objects, names, strict=True):
        each.name = name


def constraints(**values):
    """Set what the first object has on every frame; masks by their names, '' for none."""
    for name, value in values.items():
        setattr(shot().objects[0], name, bpy.data.masks.get(value) if name.endswith("_mask") else value)


def edges(object=0, **values):
    """Turn edge controls of an object; return what is kept of all of them."""
    controls = shot().objects[object].edges
    for name, value in values.items():
        setattr(controls, name, value)
    names = importlib.import_module(f"{ID}.edges").CONTROLS
    return {"kept": {name: getattr(controls, name) for name in names}}


def edge_properties():
    """Return what Blender knows of each edge control, in the panel's order."""
    known = shot().objects[0].edges.bl_rna.properties
    facts = ("hard_min", "hard_max", "default", "name", "description")
    names = importlib.import_module(f"{ID}.edges").CONTROLS
    return {"controls": [{"field": name, **{fact: getattr(known[name], fact) for fact in facts}} for name in names]}


class Layout:
    """Notes what a panel draws, and takes whatever else it says."""

    def __init__(self, drawn):
        self.drawn = drawn

    def column(self, **options):
        return self

    row = column

    def prop(self, holder, name, **options):
        holder.bl_rna.properties[name]  # Blender shows an error where there is none
        self.drawn.append(name)

    def operator(self, name, **options):
        self.drawn.append(name)

    def label(self, text="", **options):
        self.drawn.append(text)


def edges_panel(distractor=False):
    """Draw the panel Edges; what is on it, from the top."""
    panels, drawn = importlib.import_module(f"{ID}.panels"), []
    shot().objects[0].rival = distractor
    panels._Edges.draw(type("Panel", (), {"layout": Layout(drawn)})(), bpy.context)
    registered = [hasattr(bpy.types, f"MATANYONE_PT_edges_{each}_editor") for each in ("clip", "image", "node")]
    return {"drawn": drawn, "registered": registered}


class InAWindow:
    """Stands for bpy where a module asks whether it is in background mode, in which no timer would do its work."""

    app = type("App", (), {"background": False, "timers": bpy.app.timers})

    def __getattr__(self, name):
        return getattr(bpy, name)


def turn_and_wait(turns, frame, between=0.0, undo=False):
    """Turn edge controls of the first object one after the other as in a window, and wait until the mattes are written.

    turns: values by name. between: seconds after each turn. undo: tell of the turns only as Blender tells of an undo.
    Returns how each run ended, the frames that landed first, and for how long each part of ours held the main thread.
    """
    session, update = (importlib.import_module(f"{ID}.{name}") for name in ("session", "edge_update"))
    at(frame)
    runs, first, longest, begun = [session.now.run], [], {}, time.monotonic()

    def timed(part, work):
        before = time.thread_time()
        work()
        longest[part] = max(longest.get(part, 0.0), time.thread_time() - before)

    def tick():
        timed("look", update.look)
        timed("pump", session.pump)
        if session.now.run is not runs[-1]:
            runs.append(session.now.run)
        if len(runs) > len(first) + 1 and session.now.run.landed:
            first.append(sorted(session.now.run.landed))
        time.sleep(0.01)
        return update.here.home is not None or session.active()

    real, update.bpy = update.bpy, InAWindow()
    for values in turns:
        timed("turn", lambda values=values: edges(**values))
        if undo:
            update.here.home = None
            update._undone()
        until = time.monotonic() + between
        while time.monotonic() < until:
            tick()
    while tick():
        pass
    update.bpy = real
    ended = [[run.over.outcome, run.over.written, run.edges_only, run.over.message] for run in runs[1:]]
    return {
        "runs": ended,
        "first": first,
        "longest": longest,
        "seconds": time.monotonic() - begun,
        "note": session.now.note,
    }


def fade(mask, frames):
    """Animate the opacity of a mask's layer. frames: its value on scene frames."""
    layer = bpy.data.masks[mask].layers[0]
    for frame, alpha in frames.items():
        layer.alpha = alpha
        layer.keyframe_insert("alpha", frame=int(frame))


def times(folder, pattern):
    """Return when files of a folder were written last."""
    return {"times": {file.name: file.stat().st_mtime_ns for file in sorted(Path(folder).glob(pattern))}}


def setting(**values):
    for name, value in values.items():
        setattr(shot(), name, value)


def run(operator, **options):
    """Press a button."""
    category, name = operator.split(".")
    session = importlib.import_module(f"{ID}.session")
    ended = getattr(getattr(bpy.ops, category), name)(**options)
    over = session.now.run.over if session.now.run else None
    return {
        "ended": sorted(ended),
        "outcome": over.outcome if over else "",
        "written": over.written if over else 0,
        "unchanged": over.unchanged if over else 0,
        "frames": list(over.frames) if over else [],
        "said": session.status(session.now.run) if session.now.run else "",
        "test": session.now.test,
        "note": session.now.note,
        "made": shot().made,
    }


def clicked(frame):
    """Return what was kept of the clicks of a key, and its picture."""
    scene = importlib.import_module(f"{ID}.scene")
    key = next(key for key in shot().objects[0].keys if key.frame == frame)
    pointing = scene.pointing_at(shot(), frame)
    return {"source": key.source, "file": bpy.path.abspath(key.image.filepath), "pointing": vars(pointing)}


def area_shown(frames):
    """Return for each frame how much of the picture the painted area that is shown there covers; None where none is."""
    covers = []
    for frame in frames:
        at(frame)
        picture = importlib.import_module(f"{ID}.overlay").area_at(bpy.context.scene)
        covers.append(None if picture is None else float(picture.values.mean()))
    return {"covers": covers}


def copy(file, to):
    """Copy a file, as somebody else would."""
    shutil.copyfile(file, to)


def matte_cancelled(after):
    """Press Matte, and Cancel when so many frames have landed."""
    session = importlib.import_module(f"{ID}.session")
    start_and_wait(after)
    session.cancel()
    over = session.run_to_the_end(lambda line: None)
    return {"outcome": over.outcome, "frames": list(over.frames), "said": session.status(session.now.run)}


def start_and_wait(landed):
    """Press Matte as in a window, where the timer pumps, until so many frames have landed."""
    session = importlib.import_module(f"{ID}.session")
    session.start(bpy.context.scene)
    while len(session.now.run.landed) < landed and session.active():
        session.pump(1.0)
        time.sleep(0.01)


def press_and_count():
    """Press Matte and pump until the engine has the job; how many painted images each call copied from Blender.

    Copying is all that the main thread does with the pixels of masks. One of UHD size takes 10 to 20 ms where the
    memory that it goes to was in use before, and 60 where the system gives it page by page meanwhile: such pages are
    counted.
    """
    session = importlib.import_module(f"{ID}.session")
    scene = importlib.import_module(f"{ID}.scene")
    copied, calls, pages, copy = [], [], [], scene._copy_pixels

    def noted(name, flat):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        copy(name, flat)
        pages.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)
        copied.append((name, on_main_thread()))

    scene._copy_pixels = noted
    calls.append(counted(lambda: session.start(bpy.context.scene), copied))
    while session.active() and not session.now.run.patterns:
        calls.append(counted(session.pump, copied))
        time.sleep(0.01)
    scene._copy_pixels = copy
    session.cancel()
    session.run_to_the_end(lambda line: None)
    return {
        "names": sorted(name for name, _ in copied),
        "on_main": all(here for _, here in copied),
        "at_once": [count for count, _ in calls],
        "pages": pages,
        "longest_s": max(seconds for _, seconds in calls),
    }


def press_and_look():
    """Press Matte as in a window; for each call on the main thread, how often it asked the disk for something: a file's
    facts, a file to open, a folder's list.
    """
    session = importlib.import_module(f"{ID}.session")
    asked, real = [], {name: getattr(os, name) for name in ("stat", "scandir", "listdir")}

    def noted(name):
        def ask(*arguments, **options):
            if on_main_thread():
                asked.append((name, str(arguments[:1])))
            return real[name](*arguments, **options)

        return ask

    def opened(event, arguments):
        if watching and event == "open" and on_main_thread():
            asked.append((event, str(arguments[0])))

    watching, calls = [True], []
    sys.addaudithook(opened)
    for name in real:
        setattr(os, name, noted(name))
    calls.append(looks(lambda: session.start(bpy.context.scene), asked))
    while session.active():
        calls.append(looks(session.pump, asked))
        time.sleep(0.01)
    watching.clear()
    for name, function in real.items():
        setattr(os, name, function)
    return {"outcome": session.now.run.over.outcome, "press": calls[0], "ticks": [each for each in calls[1:] if each]}


def looks(work, asked):
    """Do a piece of work, and return what it asked the disk for."""
    asked.clear()
    work()
    return list(asked)


def on_main_thread():
    return threading.current_thread() is threading.main_thread()


def counted(work, copied):
    """Do a piece of work; how many images it copied, and the seconds of this thread that it took."""
    before, begun = len(copied), time.thread_time()
    work()
    return len(copied) - before, time.thread_time() - begun


def add_mask(mask=None, **options):
    """Press Add Mask at This Frame in a Movie Clip editor that shows a mask; the mask that it shows then."""
    clip = shot().clip
    with clip_editor(clip, bpy.data.masks[mask] if mask else None):
        ended = bpy.ops.matanyone.key_add(**options)
        shown = bpy.context.space_data.mask
    keys = [(key.frame, key.mask.name) for key in shot().objects[0].keys]
    return {"ended": sorted(ended), "shows": shown.name if shown else "", "keys": keys}


def new_scene(name):
    """Add one more scene to the file, to work in."""
    bpy.context.window_manager.windows[0].scene = bpy.data.scenes.new(name)


def link_scene(blend, name):
    """Link a scene of another .blend, and look at it."""
    with bpy.data.libraries.load(blend, link=True) as (_, here):
        here.scenes = [name]
    bpy.context.window_manager.windows[0].scene = here.scenes[0]


def link_mask(blend, name):
    """Link a mask of another .blend."""
    with bpy.data.libraries.load(blend, link=True) as (_, here):
        here.masks = [name]


def relative_plate():
    """Call the plate's files by their way from the .blend."""
    shot().clip.filepath = bpy.path.relpath(shot().clip.filepath)


def property_of(name, fact):
    """Return a fact of a setting; None where this Blender does not know it."""
    return {"value": getattr(type(shot()).bl_rna.properties[name], fact, None)}


def paths():
    """Return where images say that they are."""
    return {"images": {image.name: image.filepath for image in bpy.data.images if image.source != "GENERATED"}}


def glance():
    """Return what the panel says before a second Blender was asked."""
    session = importlib.import_module(f"{ID}.session")
    session.now.records.clear()
    return {"at once": session.stale(shot())}


def models_menu():
    """Return what the list of models offers, as a window would draw it."""
    offered = []

    class Layout:
        def operator(self, name, text="", icon=""):
            offered.append([name, text, icon])
            return type("Options", (), {})()

        def separator(self):
            pass

    panels = importlib.import_module(f"{ID}.panels")
    menu = type("Menu", (), {"layout": Layout()})()
    panels.MATANYONE_MT_models.draw(menu, bpy.context)
    return {"offered": offered}


def stale():
    """Return what the panel says, at first and once the second Blender has been asked."""
    session = importlib.import_module(f"{ID}.session")
    session.now.records.clear()
    at_once = session.stale(shot())
    session.look_at_masks()
    asked = session.now.bridge is not None and session.now.bridge.waiting > 0
    session.now.plates.clear()
    session.now.files.clear()
    session.now.results.clear()
    session.look_at_disk()
    session.wait_for_calls()
    return {"at once": at_once, "asked": asked, "stale": session.stale(shot())}


def render(frame, file, size):
    """Write what the compositor makes of one frame, in scene-linear floats."""
    settings = bpy.context.scene.render
    settings.resolution_x, settings.resolution_y = size
    settings.resolution_percentage = 100
    settings.image_settings.file_format = "OPEN_EXR"
    settings.image_settings.color_mode, settings.image_settings.color_depth = "RGBA", "32"
    settings.filepath = file
    bpy.context.scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)


def compose(group):
    """Have the compositor give what comes out of one node group."""
    tree = importlib.import_module(f"{ID}.nodes").tree_of(bpy.context.scene)
    node = next(node for node in tree.nodes if getattr(node, "node_tree", None) == bpy.data.node_groups[group])
    leave = next(node for node in tree.nodes if node.type in ("COMPOSITE", "GROUP_OUTPUT"))
    tree.links.new(node.outputs["Image"], leave.inputs["Image"])
    inside = node.node_tree.nodes["Alpha"]
    preview = node.node_tree.preview
    return {
        "image": inside.image.name,
        "sockets": [socket.name for socket in inside.outputs],
        "preview": [*preview.image_size, list(preview.image_pixels_float[:4])],
    }


def into_sequencer(file, group, first):
    """Put the plate into the sequencer, with the node group as its compositor modifier. file: the first frame's."""
    home = bpy.context.scene
    home.sequencer_colorspace_settings.name = "Linear Rec.709"
    folder, names = Path(file).parent, sorted(path.name for path in Path(file).parent.glob("plate.*.exr"))
    strips = home.sequence_editor_create().strips
    strip = strips.new_image(name="plate", filepath=str(folder / names[0]), channel=1, frame_start=first)
    for name in names[1:]:
        strip.elements.append(name)
    strip.colorspace_settings.name = "Linear Rec.709"
    modifier = strip.modifiers.new("MatAnyone", "COMPOSITOR")
    modifier.node_group = bpy.data.node_groups[group]
    home.render.use_sequencer, home.render.use_compositing = True, False
    return {"modifier": modifier.type}


def save(file):
    bpy.ops.wm.save_as_mainfile(filepath=file)


def found_after(file):
    """Return whether a run would find its scene again once the .blend is saved under another name."""
    session = importlib.import_module(f"{ID}.session")
    identity = session.identity(bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=file)
    return {"found": session.found(identity) == bpy.context.scene}


def found_in_another_file():
    """Return whether a run of a file that was never saved would take a new file for its own."""
    session = importlib.import_module(f"{ID}.session")
    identity = session.identity(bpy.context.scene)
    bpy.ops.wm.read_homefile(use_empty=True)
    return {"found": session.found(identity) is not None}


def datablocks():
    return {
        "images": sorted(image.name for image in bpy.data.images),
        "groups": sorted(group.name for group in bpy.data.node_groups if group.name.startswith("MatAnyone")),
    }


def disable():
    bpy.ops.preferences.addon_disable(module=ID)
    return left()


def uninstall():
    repos = bpy.context.preferences.extensions.repos
    index = next(number for number, repo in enumerate(repos) if repo.module == "user_default")
    bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="matanyone")
    root = Path(bpy.utils.resource_path("USER"))
    return {**left(), "files": sorted(str(path) for path in root.rglob("*matanyone*"))}


def left():
    """Return anything of ours that Blender still knows."""
    return {
        "types": [name for name in dir(bpy.types) if "MATANYONE" in name.upper()],
        "scene": hasattr(bpy.types.Scene, "matanyone"),
        "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
        "operators": list(dir(bpy.ops.matanyone)),
    }


def area_at(frame):
    """Keep a painted spot on a frame, whichever the plate has."""
    added = shot().objects[0].areas.add()
    added.frame, added.strokes = frame, '[{"points": [[0.5, 0.5]], "radius": 0.2, "erase": false}]'


def main(file):
    for name, options in json.loads(Path(file).read_text()):
        try:
            told = {"ok": True, **(globals()[name](**options) or {})}
        except Exception as error:
            told = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print("said", json.dumps({"order": name, **told}), flush=True)


main(sys.argv[1])
