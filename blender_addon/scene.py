# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender's datablocks say, as values; and the masks, on their way to files. Main thread only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import exr, outline, plan, raster
from .bridge import Control, Order
from .engine.wire.errors import Code, WireError
from .engine.wire.jobfile import JobFile, write_job_file

FIRST_OF_A_MOVIE = 1
_RASTER_S = 600.0
_IMAGE_CHANNELS = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Plate:
    """The plate, as the panel names it."""

    path: str
    """A pattern with #### or a movie; absolute."""
    time: plan.SceneTime
    space: str
    """Blender's name of its colour space."""
    count: int
    """Frames that Blender counts; of a sequence, the folder knows better."""

    def frames(self):
        """Numbers of the frames that there are; asks the disk."""
        if "#" in self.path:
            return plan.frames_on_disk(self.path)
        return tuple(range(self.time.first, self.time.first + self.count))


def work_folder():
    """Where the add-on keeps files of a moment: nowhere else but beside the output. Raises OSError."""
    folder = bpy.utils.extension_path_user(__package__, path="work", create=True)
    if not folder:  # Blender has printed why; '' would be the folder that Blender was started in
        raise NotADirectoryError(f"{bpy.utils.extension_path_user(__package__, path='work')} cannot be made")
    return Path(folder)


def full(path, library=None):
    """A path as Blender has it -> absolute, without the '..' of paths beside a .blend, which the engine refuses."""
    return os.path.normpath(bpy.path.abspath(path, library=library))


def plate_of(shot):
    """What is matted. Raises WireError where there is none, or its files are not there."""
    source = shot.clip if shot.plate == "CLIP" else shot.image
    if source is None:
        raise plan.refused("expected a plate, got none", "Choose a movie clip or an image sequence in the panel.")
    path = full(source.filepath, source.library)
    found = plan.numbered(path) if source.source == "SEQUENCE" else None
    first = found.frame if found else FIRST_OF_A_MOVIE
    if shot.plate == "CLIP":
        when = plan.SceneTime(first + source.frame_offset, source.frame_start)
    else:
        when = plan.SceneTime(first, shot.scene_start)
    if not Path(path).is_file():
        raise plan.refused(f"expected the plate's files, got none at {path}", "Mend the path of the clip or image.")
    pattern = found.pattern if found else path
    return Plate(pattern, when, source.colorspace_settings.name, source.frame_duration)


def size_of(shot):
    """Width and height of the plate. Raises WireError.

    Blender knows it of clips; of an image sequence only once an editor has shown a frame of it.
    """
    source = shot.clip if shot.plate == "CLIP" else shot.image
    if 0 not in source.size:
        return tuple(source.size)
    path = full(source.filepath, source.library)
    if path.lower().endswith(".exr"):
        try:
            return exr.size_of(Path(path))
        except (OSError, ValueError) as error:
            raise plan.refused(f"expected a readable plate; {error}", "Mend the file.") from error
    first = bpy.data.images.load(path, check_existing=False)
    try:
        return tuple(first.size)
    finally:
        bpy.data.images.remove(first)


def state_of(shot):
    """All that the panel says. Raises WireError."""
    plate = plate_of(shot)
    out = _absolute(shot.out)
    return plan.ShotState(
        name=shot.name or "shot",
        plate=plate.path,
        out=out,
        keys=tuple(_keys(shot, plan.masks_folder(out, shot.name))),
        objects=tuple(_object(each) for each in shot.objects),
        frames=(shot.first, shot.last) if shot.use_range else None,
        colorspace=_space(shot, plate),
        model=shot.model,
        working_size=shot.working_size,
        region=",".join(map(str, shot.box)) if shot.region == "box" else shot.region,
        settle_passes=None if shot.settle_passes < 0 else shot.settle_passes,
        exposure=round(shot.exposure, 4),
        mask_grow=shot.mask_grow,
        refine=shot.refine,
        skip_missing=shot.skip_missing,
        foreground=shot.foreground,
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


def _object(each):
    if not _NAME.fullmatch(each.name):
        raise plan.refused(f"expected letters, digits and _ in an object's name, got {each.name!r}", "Rename it.")
    return plan.ObjectState(
        each.name, each.rival, each.first if each.use_life else None, each.last if each.use_life else None
    )


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
    """A plan.Drawn for each key. Raises WireError where there is no plate."""
    when = plate_of(shot).time
    return [_drawn(each.name, key, when.scene_frame(key.frame)) for each in shot.objects for key in each.keys]


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


def preparation(shot, state):
    """What writes the masks, to be run on the network thread; it returns how they move, as plan.Record has it.

    Reads all it needs of Blender now. Raises WireError.
    """
    plate, size = plate_of(shot), size_of(shot)
    pairs = list(zip(_all_keys(shot), state.keys, strict=True))
    masks = [(key.mask, plan_key) for key, plan_key in pairs if key.source == "MASK"]
    images = [(_pixels(key.image, size), plan_key.file) for key, plan_key in pairs if key.source == "IMAGE"]
    orders = _raster_orders(masks, plate, size) if masks else None

    def prepare(control: Control):
        for key in state.keys:
            Path(key.file).parent.mkdir(parents=True, exist_ok=True)  # said plainly where that may not be
        for rows, file in images:
            control.check()
            exr.write_mask(Path(file), size, rows())
        if orders is None:
            return {}
        control.tell(f"drawing {len(masks)} mask{'s' if len(masks) > 1 else ''}")
        return _run_raster(orders, control)

    return prepare


def look_at_movements(shot, names):
    """What tells how masks move, as preparation() does, without drawing them; to be run on the network thread.

    Reads all it needs of Blender now. Raises WireError.
    """
    orders = _raster_orders([], plate_of(shot), (0, 0), [bpy.data.masks[name] for name in names])
    return lambda control: _run_raster(orders, control)


def _all_keys(shot):
    return [key for each in shot.objects for key in each.keys]


def _raster_orders(masks, plate, size, also=()):
    """Write the Mask datablocks to a file of their own, and what is to be made of them beside it.

    masks: pairs of a datablock and its plan.KeyState. also: those of which only the movement is asked. Raises
    WireError.
    """
    wanted = [
        {"mask": mask.name, "scene_frame": plate.time.scene_frame(key.frame), "file": key.file} for mask, key in masks
    ]
    frames = _frames_of(bpy.context.scene, plate, [each["scene_frame"] for each in wanted])
    facts = {"size": size, "factor": plan.supersampling(size), "masks": wanted, "frames": frames}
    try:
        return _written({mask for mask, _ in masks} | set(also), facts)
    except (OSError, RuntimeError) as error:  # Blender's own writer raises the latter
        raise WireError(
            Code.OUTPUT,
            f"expected to write masks into the extension's user folder; {error}",
            "Make room on its disk, and see that it can be written.",
        ) from error


def _written(blocks, facts):
    """A .blend with these datablocks, and the orders beside it, whose file this gives."""
    orders = work_folder() / f"masks_{time.time_ns()}.json"
    library = orders.with_suffix(".blend")
    bpy.data.libraries.write(str(library), blocks, path_remap="ABSOLUTE", fake_user=True)
    orders.write_text(json.dumps({**facts, "library": str(library)}), encoding="utf-8")
    return orders


def _frames_of(scene, plate, keys):
    """First and last scene frame on which an artist may look at a mask: of the plate, the keys, the timeline."""
    of_plate = [plate.time.scene_start, plate.time.scene_start + plate.count - 1]
    every = [*of_plate, *keys, scene.frame_start, scene.frame_end]
    return min(every), max(every)


def _run_raster(orders, control):
    """Let a second Blender draw the masks; how they move. Raises WireError, GivenUp."""
    program = bpy.app.binary_path
    log, moving = orders.with_suffix(".log"), orders.with_suffix(".moving")
    try:
        with log.open("wb") as output:
            command = raster.command(program, "matanyone_raster", orders)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _wait(process, control)
        if process.returncode:
            raise WireError(
                Code.BAD_INPUT,
                f"expected the masks to be drawn; {plan.fault_in(log.read_text(errors='replace'))}",
                "Look at the Mask datablocks, and that the output folder can be written.",
            )
        return json.loads(moving.read_text(encoding="utf-8"))
    finally:
        for each in (orders, orders.with_suffix(".blend"), log, moving):
            each.unlink(missing_ok=True)


def _wait(process, control):
    deadline = time.monotonic() + _RASTER_S
    try:
        while process.poll() is None:
            control.check()
            if time.monotonic() > deadline:
                raise WireError(Code.INTERNAL, f"masks took longer than {_RASTER_S:.0f} s", "Simplify them.")
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _pixels(image, size):
    """A painted image as rows of a mask, made when called: its alpha, or its grey value where that is 1 everywhere."""
    import numpy as np

    if tuple(image.size) != size:
        raise plan.refused(
            f"expected a mask image of the plate's size, {size[0]}x{size[1]}, got {image.size[0]}x{image.size[1]} "
            f"in {image.name!r}",
            "Paint or render it at the plate's size; it is never stretched.",
        )
    flat = np.empty(size[0] * size[1] * image.channels, dtype=np.float32)
    image.pixels.foreach_get(flat)
    channels = image.channels

    def rows():
        pixels = flat.reshape(size[1], size[0], channels)[::-1]
        has_alpha = channels == _IMAGE_CHANNELS and float(pixels[..., 3].min()) < 1
        mask = pixels[..., 3] if has_alpha else pixels[..., : min(channels, 3)].mean(axis=-1)
        return [row.tobytes() for row in np.clip(mask, 0, 1).astype("<f4")]

    return rows


# ------------------------------------------------------------------------------------------------ orders


def order_of(shot, only=None):
    """The order for the engine, and the record of what it is made from. only: one plate frame. Raises WireError."""
    state = state_of(shot)
    job = plan.job_of(state if only is None else plan.only_frame(state, only))
    plate, masks = plate_of(shot), preparation(shot, state)
    made_of = drawn(shot)
    record = {"job": plan.digest_of_settings(state), "keys": plan.keys_of(made_of)}

    def prepare(control):
        record["plate"] = plan.digest_of_plate(state.plate)
        record["moving"] = masks(control)
        record["masks"] = plan.digest_of_masks(made_of, record["moving"])

    def frames():
        there = plate.frames()
        if job.frames is None or only is not None:  # one more frame beside those that are there already
            return there
        return tuple(sorted(set(job.frames) & set(there))) if state.skip_missing else job.frames

    return Order(job, lambda accepted: plan.patterns_of(state, accepted.out), frames, prepare), record


def record_now(shot, moving):
    """What the matte would be made from now, and whether masks are not what `moving` says that they are.

    moving: as plan.Record has it. The plate's part is left to the network thread. Raises WireError.
    """
    made_of = drawn(shot)
    seen = {each.mask: each.looks for each in made_of if each.mask in moving}
    found, news = plan.with_what_is_seen(moving, shot.id_data.frame_current, seen)
    masks = plan.digest_of_masks(made_of, moving)
    return plan.Record(plan.digest_of_settings(state_of(shot)), masks, "", found), news


def prompt_for(shot, pointing, frame):
    """What is asked of the mask service for the selected object on a plate frame. Raises WireError."""
    plate = plate_of(shot)
    folder = plan.masks_folder(_absolute(shot.out), shot.name)
    number = 1
    while (file := folder / f"{shot.objects[shot.object_index].name}.{frame:04d}.pointed{number}.exr").exists():
        number += 1  # one mask a file: an artist may have mended the last one
    return plan.prompt_of(pointing, plate.path, frame, size_of(shot), str(file), _space(shot, plate))


def take_mask(shot, frame, file):
    """A mask on disk as the key of the selected object on a frame, in place of one that is there."""
    image = bpy.data.images.load(file, check_existing=False)
    image.name, image.colorspace_settings.name = Path(file).name, "Non-Color"
    each = shot.objects[shot.object_index]
    key = next((key for key in each.keys if key.frame == frame), None) or each.keys.add()
    key.frame, key.source, key.image = frame, "IMAGE", image
    each.key_index = len(each.keys) - 1


def job_file_of(order, written_by):
    """The text of a job file for the farm: what Matte would send, for any machine that has the folders."""
    return write_job_file(JobFile(order.job, written_by=written_by))
