# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what Blender's datablocks say as values, and sends the masks on their way to files. It runs on the main thread
only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from . import brush, constraint_masks, edges, exr, guide_keys, ondisk, outline, plan, raster
from .bridge import Control, Order
from .engine.wire.errors import Code, WireError
from .engine.wire.jobfile import JobFile, write_job_file

FIRST_OF_A_MOVIE = 1
_RASTER_S, _RASTER_FRAME_S = 600.0, 20.0
"""How long the second Blender may take: in all, and for each frame of a mask that counts on every frame."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Plate:
    """Describes the plate as the panel names it."""

    path: str
    """A pattern with #### or a movie; absolute."""
    time: plan.SceneTime
    space: str
    """Blender's name of its colour space."""
    count: int
    """Frames that Blender counts; of a sequence, the folder knows better."""

    def frames(self):
        """Return the numbers of the frames that there are; this asks the disk."""
        if "#" in self.path:
            return plan.frames_on_disk(self.path)
        return tuple(range(self.time.first, self.time.first + self.count))


def work_folder():
    """Return where the add-on keeps files of a moment: nowhere else but beside the output. Raises OSError."""
    folder = bpy.utils.extension_path_user(__package__, path="work", create=True)
    if not folder:  # Blender has printed why; '' would be the folder that Blender was started in
        raise NotADirectoryError(f"{bpy.utils.extension_path_user(__package__, path='work')} cannot be made")
    return Path(folder)


def full(path, library=None):
    """Return a path of Blender's as an absolute one, without the '..' of paths beside a .blend, which the engine
    refuses.
    """
    return os.path.normpath(bpy.path.abspath(path, library=library))


def stored(shot, path):
    """Return a path to a result as the .blend keeps it: relative to the file where the output is, so that the project
    may move.
    """
    if not shot.out.startswith("//") or not bpy.data.filepath:
        return path
    return bpy.path.relpath(path)


def refuse_linked(home):
    """Raise WireError for a scene that another .blend owns: nothing could be kept in it."""
    if home.library is not None:
        raise plan.refused(
            f"expected a scene of this file, got {home.name!r}, which is linked from {home.library.filepath}",
            "Open that file and matte there, or append the scene instead of linking it.",
        )


def frame_at_hand(context):
    """Return the plate frame that is shown; a shot without an object gets one to work on. Raises WireError."""
    shot = context.scene.matanyone
    frame = plate_of(shot).time.plate_frame(context.scene.frame_current)
    if not shot.objects:
        shot.objects.add()
    return frame


def matte_at_playhead(shot):
    """Return the plate frame that is shown, in a tuple, if it has a matte that a run would make again; else ().
    This asks no disk. Raises WireError where there is no plate.
    """
    frame, made = named_plate(shot).time.plate_frame(shot.id_data.frame_current), plan.made_from(shot.made)
    within = not shot.use_range or shot.first <= frame <= shot.last
    return (frame,) if within and made is not None and frame in made.frames else ()


def selected(shot):
    """Return the object that is selected in the list of the shot's objects; None where there is none."""
    return shot.objects[shot.object_index] if 0 <= shot.object_index < len(shot.objects) else None


def plate_of(shot):
    """Return what is matted, after a look at the disk: for buttons. Raises WireError where there is none, or its files
    are not there.
    """
    plate, source = named_plate(shot), shot.clip if shot.plate == "CLIP" else shot.image
    path = full(source.filepath, source.library)
    if not Path(path).is_file():
        raise plan.refused(f"expected the plate's files, got none at {path}", "Mend the path of the clip or image.")
    return plate


def named_plate(shot):
    """Return what is matted, whether its files are there or not: for what is drawn. Raises WireError where there is
    none.
    """
    source = shot.clip if shot.plate == "CLIP" else shot.image
    if source is None:
        raise plan.refused("expected a plate, got none", "Choose a movie clip or an image sequence in the panel.")
    found, when = _numbered(source), time_of(shot, source)
    pattern = found.pattern if found else full(source.filepath, source.library)
    return Plate(pattern, when, source.colorspace_settings.name, source.frame_duration)


def time_of(shot, source):
    """Return which scene frame shows which plate frame; this asks no disk. source: the shot's clip or image."""
    found = _numbered(source)
    first = found.frame if found else FIRST_OF_A_MOVIE
    if shot.plate == "CLIP":
        return plan.SceneTime(first + source.frame_offset, source.frame_start)
    return plan.SceneTime(first, shot.scene_start)


def _numbered(source):
    return plan.numbered(full(source.filepath, source.library)) if source.source == "SEQUENCE" else None


def size_of(shot):
    """Return width and height of the plate. Raises WireError.

    Blender knows it of clips; of an image sequence only once an editor has shown a frame of it.
    """
    source = shot.clip if shot.plate == "CLIP" else shot.image
    path = full(source.filepath, source.library)
    if path.lower().endswith(".exr"):  # asked of Blender, it would read a frame
        try:
            return exr.size_of(Path(path))
        except (OSError, ValueError) as error:
            raise plan.refused(f"expected a readable plate; {error}", "Mend the file.") from error
    if 0 not in source.size:
        return tuple(source.size)
    first = bpy.data.images.load(path, check_existing=False)
    try:
        return tuple(first.size)
    finally:
        bpy.data.images.remove(first)


def state_of(shot):
    """Return all that the panel says. Raises WireError."""
    plate = named_plate(shot)
    out = _absolute(shot.out)
    folder = plan.masks_folder(out, shot.name)
    return plan.ShotState(
        name=shot.name or "shot",
        plate=plate.path,
        out=out,
        keys=tuple(_keys(shot, folder)),
        objects=tuple(_object(each, folder) for each in shot.objects),
        frames=(shot.first, shot.last) if shot.use_range else None,
        colorspace=_space(shot, plate),
        model=shot.model,
        working_size=shot.working_size,
        region=",".join(map(str, shot.box)) if shot.region == "box" else shot.region,
        warm_up_passes=None if shot.settle_passes < 0 else shot.settle_passes,
        exposure=None if shot.auto_exposure and not shot.exposure else round(shot.exposure, 4),
        mask_grow=shot.mask_grow,
        refine=shot.refine,
        hold_tolerance=round(shot.hold_tolerance, 6),
        skip_missing=shot.skip_missing,
        foreground=shot.foreground,
        files=shot.files,
    )


def _absolute(path):
    if path.startswith("//") and not bpy.data.filepath:
        raise plan.refused(
            f"expected a saved .blend, since the output {path!r} is beside it", "Save it, or choose an absolute path."
        )
    return full(path)


def _space(shot, plate):
    if shot.color == "FILE":
        return None
    return plan.space_of(plate.space if shot.color == "BLENDER" else shot.color_name)


def _object(each, folder):
    if not _NAME.fullmatch(each.name):
        raise plan.refused(f"expected letters, digits and _ in an object's name, got {each.name!r}", "Rename it.")
    first, last = (each.first, each.last) if each.use_life else (None, None)
    files = {side: constraint_masks.pattern_of(each, side, folder, full) for side in plan.CONSTRAINTS}
    band = each.guide_band or None if files["guide"] else None
    controls = edges.controls_of({name: getattr(each.edges, name) for name in edges.CONTROLS})
    return plan.ObjectState(each.name, each.rival, first, last, **files, guide_band=band, edges=controls)


def _keys(shot, folder):
    for each in shot.objects:
        for key in each.keys:
            if (key.mask if key.source == "MASK" else key.image) is None:
                raise plan.refused(
                    f"expected a mask of {each.name} for frame {key.frame}, got none",
                    "Choose one, or remove the frame.",
                )
            yield plan.KeyState(key.frame, str(folder / f"{each.name}.{key.frame:04d}.exr"), each.name)


# ------------------------------------------------------------------------------------------------ masks


def drawn(shot):
    """Return a plan.Drawn for each key. Raises WireError where there is no plate."""
    when = named_plate(shot).time
    return [_drawn(each.name, key, when.scene_frame(key.frame)) for each in shot.objects for key in each.keys]


def named_masks(shot):
    """Return the patterns of mask files that the artist has named."""
    return constraint_masks.named_files(shot, full)


def _made_of(shot):
    """Return a plan.Drawn for each mask, of keys and of those that count on every frame. Raises WireError."""
    return [*drawn(shot), *constraint_masks.drawn(shot, named_plate(shot))]


def _drawn(name, key, scene_frame):
    if key.source == "IMAGE":
        facts = (key.image.name_full, key.image.is_dirty, *_stamp(key.image)) if key.image else ()
        return plan.Drawn(name, key.frame, scene_frame, rest=facts)
    if key.mask is None:
        return plan.Drawn(name, key.frame, scene_frame)
    ties = tuple(outline.ties(key.mask, scene_frame))
    return plan.Drawn(name, key.frame, scene_frame, key.mask.name, outline.looks(key.mask), ties)


def _stamp(image):
    path = Path(full(image.filepath, image.library))
    return [path.stat().st_mtime_ns] if image.filepath and path.is_file() else []


def preparation(shot, state, plate):
    """Return the function that writes the masks, to be run on the network thread; it returns how they move, as
    plan.Record has it.

    Reads all it needs of Blender now, but for painted pixels, which are copied one image a tick. What asks the disk for
    more than one file is left to the network thread. plate: plate_of(). Raises WireError.
    """
    size = size_of(shot)
    pairs = list(zip(_all_keys(shot), state.keys, strict=True))
    masks = [(key.mask, plan_key) for key, plan_key in pairs if key.source == "MASK"]
    images = [(key.image, plan_key) for key, plan_key in pairs if key.source == "IMAGE"]
    painted = [(painted_mask(image, size), key.file) for image, key in images if _is_painted(image)]
    on_disk = [(image, key) for image, key in images if not _is_painted(image)]
    folder = plan.masks_folder(state.out, state.name)
    held, areas = constraint_masks.orders(shot, size, folder), constraint_masks.painted(shot, folder, plate)
    orders = _raster_orders(masks, plate, size, on_disk, held=held) if masks or on_disk or held else None

    def prepare(control: Control):
        ondisk.refuse_foreign(plan.fixed_patterns(state).values(), folder, state.plate)
        ondisk.claim_masks(folder, state.plate)  # said plainly where that may not be
        for rows, file in painted:
            control.check()
            exr.write_mask(Path(file), size, rows(control))
        for pattern, strokes in areas:
            brush.write_areas(pattern, strokes, size, control.check)
        if orders is None:
            return {}
        count = len(masks) + len(on_disk)
        if held:
            count += orders.name_files(plate)
        return _run_raster(orders, control, count)

    return prepare


def look_at_movements(shot, names):
    """Return a function that tells how masks move, as preparation() does, without drawing them; it is to be run on the
    network thread.

    Reads all it needs of Blender now. Raises WireError.
    """
    orders = _raster_orders([], plate_of(shot), (0, 0), also=[bpy.data.masks[name] for name in names])
    return lambda control: _run_raster(orders, control)


def _all_keys(shot):
    return [key for each in shot.objects for key in each.keys]


def _raster_orders(masks, plate, size, images=(), also=(), held=()):
    """Write the datablocks to a file of their own, and return what is to be made of them.

    masks, images: pairs of a datablock and its plan.KeyState. also: masks of which only the movement is asked. held: as
    constraint_masks.orders() returns it. Raises WireError.
    """
    wanted = [
        {**_source(mask), "scene_frame": plate.time.scene_frame(key.frame), "file": key.file} for mask, key in masks
    ]
    facts = {
        "size": size,
        "factor": plan.supersampling(size),
        "masks": wanted,
        "images": [{**_source(image), "file": key.file} for image, key in images],
        "also": [_source(mask) for mask in also],
        "held": [{**_source(mask), **order} for mask, order in held],
        "frames": _frames_of(bpy.context.scene, plate, [each["scene_frame"] for each in wanted]),
    }
    try:
        return _written({block for block, _ in (*masks, *images, *held)} | set(also), facts)
    except (OSError, RuntimeError) as error:  # Blender's own writer raises the latter
        raise WireError(
            Code.OUTPUT,
            f"expected to write masks into the extension's user folder; {error}",
            "Make room on its disk, and see that it can be written.",
        ) from error


def _source(block):
    """Name a datablock as the second Blender finds it: in the file written for it, or in the library it is linked
    from.
    """
    return {"name": block.name, "library": full(block.library.filepath) if block.library else ""}


@dataclass(frozen=True)
class _RasterOrders:
    """Holds what a second Blender is to do, until the network thread writes it down."""

    file: Path
    facts: dict

    def name_files(self, plate):
        """Name the files of masks that count on every frame, and return how many there are. It asks the disk which
        frames the plate has.
        """
        frames = plate.frames()
        for order in self.facts["held"]:
            order["files"] = [[plate.time.scene_frame(each), plan.file_of(order["pattern"], each)] for each in frames]
        return len(frames) * len(self.facts["held"])


def _written(blocks, facts):
    """Write a .blend of those datablocks that are this file's own, and return the orders to be written beside it."""
    file = work_folder() / f"masks_{time.time_ns()}.json"
    library = file.with_suffix(".blend")
    own = {block for block in blocks if block.library is None}
    if own:  # Blender 4.2 crashes when it is to write none
        bpy.data.libraries.write(str(library), own, path_remap="ABSOLUTE", fake_user=True)
    return _RasterOrders(file, {**facts, "library": str(library)})


def _frames_of(scene, plate, keys):
    """Return the first and the last scene frame on which an artist may look at a mask: of the plate, the keys, the
    timeline.
    """
    of_plate = [plate.time.scene_start, plate.time.scene_start + plate.count - 1]
    every = [*of_plate, *keys, scene.frame_start, scene.frame_end]
    return min(every), max(every)


def _run_raster(orders, control, count=0):
    """Let a second Blender draw `count` masks; how they move. Raises WireError, GivenUp."""
    program, file = bpy.app.binary_path, orders.file
    log, moving, fault = (file.with_suffix(suffix) for suffix in (".log", ".moving", ".fault"))
    try:
        file.write_text(json.dumps(orders.facts), encoding="utf-8")
        with log.open("wb") as output:
            command = raster.command(program, "matanyone_raster", file)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _wait(process, control, log, count)
        if fault.exists():
            raise plan.refused(*json.loads(fault.read_text(encoding="utf-8")))
        if process.returncode:
            raise WireError(
                Code.BAD_INPUT,
                f"expected the masks to be drawn; {plan.fault_in(log.read_text(errors='replace'))}",
                "Look at the Mask datablocks, and that the output folder can be written.",
            )
        return json.loads(moving.read_text(encoding="utf-8"))
    finally:
        for each in (file, file.with_suffix(".blend"), log, moving, fault):
            each.unlink(missing_ok=True)


def _wait(process, control, log, count):
    """Wait for the second Blender, and tell how far it is. log: it has a line for each mask that is drawn."""
    most = _RASTER_S + count * _RASTER_FRAME_S
    begun, said = time.monotonic(), ""
    try:
        while process.poll() is None:
            control.check()
            if time.monotonic() - begun > most:
                raise WireError(Code.INTERNAL, f"masks took longer than {most:.0f} s", "Simplify them.")
            text = _how_far(log, count)
            if text != said:
                control.tell(text)
                said = text
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _how_far(log, count):
    """Return how far a second Blender is with drawing masks, in words."""
    if count <= 1:
        return "drawing 1 mask"
    done = log.read_bytes().count(b"masked ")
    return f"drawing {count} masks" if done == 0 else f"drawing masks: {done} of {count}"


def _is_painted(image):
    """Return whether an image's pixels are in this Blender only; those of other images are read by the second one."""
    return image.is_dirty or (image.source == "GENERATED" and image.packed_file is None)


def painted_mask(image, size):
    """Return a painted image as rows of a mask; it is called on the network thread. Raises WireError."""
    import numpy as np

    raster.refuse_size(image, size)
    name, count = image.name_full, size[0] * size[1] * image.channels

    def rows(control: Control):
        # Written to here: the system gives memory when it is first used, which takes longer than the copy itself.
        flat = np.full(count, 0, dtype=np.float32)
        control.on_main(lambda: _copy_pixels(name, flat))
        return raster.rows_of(flat, size)

    return rows


def _copy_pixels(name, flat):
    image = next((each for each in bpy.data.images if each.name_full == name), None)
    if image is None or image.size[0] * image.size[1] * image.channels != len(flat):
        raise plan.refused(f"expected the mask image {name!r}, which is gone or has another size now", "Matte again.")
    image.pixels.foreach_get(flat)


# ------------------------------------------------------------------------------------------------ orders


def order_of(shot, only=None, then=None, first=()):
    """Return the order for the engine, and the record of what it is made from. Raises WireError.

    only: one plate frame. then: the plan.Record of the last run, if the masks are as they were: they are drawn again
    only if their files are not. first: frames that are made before all others.
    """
    plate, state = plate_of(shot), state_of(shot)
    job = plan.job_of(state if only is None else plan.only_frame(state, only), first)
    draw, of_keys, files = _drawing(shot, state, plate, then), drawn(shot), named_masks(shot)
    made_of = [*of_keys, *constraint_masks.drawn(shot, plate)]
    record = {"job": plan.digest_of_settings(state), "keys": plan.keys_of(of_keys), "frames": state.frames}
    record["throughout"], record["edges"] = constraint_masks.throughout(shot, plate), plan.digest_of_edges(state)

    def prepare(control):
        record["plate"], record["files"] = plan.digest_of_plate(state.plate), plan.digest_of_files(files)
        record["moving"] = draw(control)
        record["masks"] = plan.digest_of_masks(made_of, record["moving"])
        record["drawn"] = plan.digest_of_files(plan.mask_files(state))
        if not plan.unmasked(state):
            return None
        keyed = guide_keys.with_keys(state, plate.frames(), control.tell, control.check)
        return plan.job_of(keyed if only is None else plan.only_frame(keyed, only), first)

    def frames():
        there = plate.frames()
        if job.frames is None or only is not None:  # one more frame beside those that are there already
            return there
        return tuple(sorted(set(job.frames) & set(there))) if state.skip_missing else job.frames

    def ends():
        there = plate.frames()
        return (there[0], there[-1]) if there else None

    return Order(job, lambda accepted: plan.patterns_of(state, accepted.out), frames, prepare, ends), record


def _drawing(shot, state, plate, then):
    """Return the function that writes the masks, as preparation() does, but for those on disk of the run `then`."""
    if then is None:
        return preparation(shot, state, plate)
    number = shot.id_data.session_uid

    def prepare_again():
        home = next((each for each in bpy.data.scenes if each.session_uid == number), None)
        if home is None:
            raise plan.refused("expected the scene to be there, got another file", "Open its file and matte there.")
        return preparation(home.matanyone, state, plate)

    def draw(control):
        if then.drawn and then.drawn == plan.digest_of_files(plan.mask_files(state)):
            return then.moving
        return control.on_main(prepare_again)(control)

    return draw


def record_now(shot, moving):
    """Return what the matte would be made from now, and whether masks are not what `moving` says that they are.

    moving: as plan.Record has it. The plate's part is left to the network thread. Raises WireError.
    """
    made_of = _made_of(shot)
    seen = {each.mask: each.looks for each in made_of if each.mask in moving}
    found, news = plan.with_what_is_seen(moving, shot.id_data.frame_current, seen)
    masks = plan.digest_of_masks(made_of, moving)
    state = state_of(shot)
    told = plan.Record(plan.digest_of_settings(state), masks, "", found, frames=state.frames)
    return replace(told, edges=plan.digest_of_edges(state)), news


def job_file(shot):
    """Return where a job file for the farm is written: beside the folder of the shot's masks."""
    folder = plan.masks_folder(_absolute(shot.out), shot.name)
    return str(folder.with_name(f"{folder.name}.json"))


def area_on(shot, frame):
    """Return what was painted for the selected object on a plate frame, or None."""
    return next((area for area in shot.objects[shot.object_index].areas if area.frame == frame), None)


def file_for_prompts(shot, frame):
    """Return a free name for a mask of the selected object. Raises WireError."""
    folder = plan.masks_folder(_absolute(shot.out), shot.name)
    number = 1
    while (file := folder / f"{shot.objects[shot.object_index].name}.{frame:04d}.pointed{number}.exr").exists():
        number += 1  # one mask a file: an artist may have mended the last one
    return str(file)


def start_of(file):
    """Return the name of the copy of the alpha that a correction began with: the alpha itself is made anew by it."""
    return str(Path(file).with_suffix(".start.exr"))


def prompt_for(shot, pointing, frame, file):
    """Return the request to the mask service for a plate frame. Raises WireError."""
    plate = plate_of(shot)
    return plan.prompt_of(pointing, plate.path, frame, size_of(shot), file, _space(shot, plate))


def take_mask(shot, frame, file, pointing):
    """Take a mask on disk as the key of the selected object on a frame, in place of one that is there."""
    image = bpy.data.images.load(stored(shot, file), check_existing=False)
    image.name, image.colorspace_settings.name = Path(file).name, "Non-Color"
    each = shot.objects[shot.object_index]
    key = next((key for key in each.keys if key.frame == frame), None) or each.keys.add()
    key.frame, key.source, key.image = frame, "IMAGE", image
    kept = replace(pointing, start=stored(shot, pointing.start)) if pointing.start else pointing
    key.pointing = kept.text()
    each.key_index = len(each.keys) - 1


def pointing_at(shot, frame):
    """Return what the selected object's mask on a frame was clicked of: nothing if it was drawn, None if there is no
    mask.
    """
    key = next((key for key in shot.objects[shot.object_index].keys if key.frame == frame), None)
    if key is None:
        return None
    pointing = plan.pointing_from(key.pointing)
    start = full(pointing.start) if pointing.start else ""
    if start and not Path(start).is_file():  # somebody has deleted what was corrected: clicks on it mean nothing
        return plan.Pointing()
    return replace(pointing, start=start)


def job_file_of(job, written_by):
    """Return the text of a job file for the farm: what Matte would send, for any machine that has the folders."""
    return write_job_file(JobFile(job, written_by=written_by))
