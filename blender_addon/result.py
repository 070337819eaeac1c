# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes of the alphas on disk an image datablock and a node group that need no add-on. It runs on the main thread only.

Rule of this file: it is told which frames are whole on disk, and shows no others.
"""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import exr, nodes, ondisk, plan, scene

_PLATE, _SET, _RESULT = "Plate", "Set Alpha", "Result"
_ALPHA, _THERE, _GATED, _PICKED = "Alpha", "On Disk", "Alpha on Disk", "Cryptomatte"
_LEFT, _MIDDLE, _RIGHT = -600, -300, 300
_OF = "matanyone_plate"
"""Property of a node group: the plate whose alphas it shows, as the clip or image names it."""
_HOLDS = "matanyone_layout"
"""Property of an image and of a Cryptomatte node: what the files hold that they were set up for."""
_EVERYBODY = ""
"""Stands for all objects together, where a name is asked for."""
_CRYPTOMATTE = "CryptoObject"
"""What the engine calls its Cryptomatte."""


@dataclass(frozen=True)
class Showing:
    """Says what files on disk hold, and on which frames of the scene they are shown."""

    when: plan.SceneTime
    space: str = ""
    """Colour space of the subject's own colour, which files then hold; '' of alphas."""
    layout: str = "matte"
    """What the engine calls that which they hold."""

    @property
    def holds_all(self):
        return self.layout in plan.HOLDS_ALL


def label(shot_name, name):
    """Return what the image and the node group of an object are called; Blender cuts off what is too long."""
    return f"MatAnyone: {shot_name}" + ("" if name in (plan.SUBJECT, _EVERYBODY) else f" {name}")


def show(home, patterns, alphas, how, renew):
    """Make image and node group of each object, with every alpha under its own number, and return the groups.

    home: the scene. alphas: object -> ondisk.Alphas. how: Showing. renew: whether Blender is to forget what it has read
    of the files; at the start and the end of a run. Reads no pixel, so that nothing stands still.
    """
    if how.layout == "cryptomatte" and not nodes.groups_take_cryptomatte():
        patterns, alphas = _together(patterns, alphas)
    groups, images = [], {}
    for name, pattern in patterns.items():
        if there := shown_frames(alphas[name]):
            groups.append(_shown(home, name, pattern, there, how, renew, images))
    return groups


@dataclass(frozen=True)
class _There:
    """Names the frames that an image shows."""

    frames: tuple[int, ...]
    goes_round: bool
    """Whether Blender must not come to the file before the first one: it may be damaged, or hold something else."""


def shown_frames(alphas):
    """Return the frames that Blender may read, as _There; None where there are none. alphas: ondisk.Alphas."""
    frames = plan.shown_stretch(alphas.whole, alphas.damaged)
    return _There(frames, frames[0] - 1 in {*alphas.damaged, *alphas.other}) if frames else None


def _together(patterns, alphas):
    """Return the files as those of one object, which is all objects: the node group cannot pick one of them."""
    pattern = next(iter(patterns.values()))
    whole = frozenset(frame for each in alphas.values() for frame in each.whole)
    damaged = frozenset(frame for each in alphas.values() for frame in each.damaged)
    other = frozenset(frame for each in alphas.values() for frame in each.other) - whole
    return {_EVERYBODY: pattern}, {
        _EVERYBODY: ondisk.Alphas(*(tuple(sorted(each)) for each in (whole, damaged, other)))
    }


def _shown(home, name, pattern, there, how, renew, images):
    """Show the alphas of an object, and return its node group. images: pattern -> image, of those just made."""
    shot = home.matanyone
    each = next((each for each in shot.objects if each.name == name), None)  # get() knows no name that is the default
    called = label(shot.name, name)
    group = _group_of(home, each, called)
    if group is not None and _ALPHA not in group.nodes:  # an artist may have rebuilt it
        group = None
    image = _image_in(group) if group is not None else None
    file = plan.file_of(pattern, there.frames[0])
    with _likeness(file, how) as likeness:
        if pattern in images:
            image = images[pattern]
        elif image is None or renew or image.get(_HOLDS, "") != _kind(how):
            image = images[pattern] = _image_of(image, called, scene.stored(shot, file), how, likeness)
        if group is None:
            group = _new_group(called)
        group[_OF] = plate_name(shot)
        if each is not None:
            each.group = group
        _give_preview(group)
        _gated(group)
        _choose_alpha(group, image, how, name, likeness)
    _choose_colour(group, own=bool(how.space))
    _show_frames(group, there, how.when)
    _give_name(image, label(shot.name, _EVERYBODY) if how.holds_all else called)
    return group


def _kind(how):
    """Return what is noted of an image: only files for all objects have layers."""
    return how.layout if how.holds_all else ""


def _show_frames(group, shown, when):
    """Show each file on its own frame, and nothing on others. shown: _There."""
    frames = shown.frames
    first, last = frames[0], frames[-1]
    for node in filter(None, map(group.nodes.get, (_ALPHA, _PICKED))):
        nodes.show_frames(node, first, last, when.scene_frame(first))
        node.use_cyclic = shown.goes_round  # else Blender reads the file before the first one, left of that
    there = group.nodes.get(_THERE)
    if there is not None:
        steps = [(when.scene_frame(first) - 1, 0.0)]
        steps += [(when.scene_frame(frame), float(on)) for frame, on in plan.presence(frames)]
        nodes.key_steps(there.outputs[0], steps)


# ------------------------------------------------------------------------------------------------ whose group


def plate_name(shot):
    """Return the plate's name as the clip or image has it, which stays the same after a project was moved."""
    source = shot.clip if shot.plate == "CLIP" else shot.image
    return source.filepath if source else ""


def _group_of(home, each, called):
    """Return the node group of an object of a scene, or None. One that another scene shows of another plate is not
    ours.
    """
    candidates = [each.group if each is not None else None, bpy.data.node_groups.get((called, None))]
    return next((group for group in candidates if group is not None and _is_free(group, home)), None)


def _is_free(group, home):
    ours = plate_name(home.matanyone)
    if group.get(_OF, ours) == ours:
        return True
    others = [other.matanyone for other in bpy.data.scenes if other != home]
    return all(group != each.group for shot in others for each in shot.objects)


def _image_in(group):
    node = group.nodes.get(_ALPHA)
    return node.image if node is not None else None


def _image_of(old, name, file, how, likeness):
    """Make the image of files anew. old: the one before, or None; whoever shows it shows the new one from now on, where
    that means the same. file: the first of them. likeness: of _likeness().
    """
    fits = old is not None and old.get(_HOLDS, "") == _kind(how) and (how.holds_all or _groups_with(old) <= 1)
    return _renewed(old if fits else None, name, file, how, likeness())


def _give_name(image, name):
    """Give an image its name where that has become free: another image had it while this one was made."""
    if image.name.startswith(f"{name}.") and name not in bpy.data.images:
        image.name = name


def _groups_with(image):
    """Return how many node groups of ours show an image."""
    return sum(_OF in group and _image_in(group) == image for group in bpy.data.node_groups)


def _renewed(old, name, file, how, likeness):
    """Make the image anew for all that use the old one. image.reload() would read a frame for each node, at once."""
    fresh = bpy.data.images.load(str(likeness or file), check_existing=False)
    if likeness is not None:
        _read_once(fresh)
        fresh.filepath = file  # nobody shows it yet, so nothing is read
    fresh.colorspace_settings.name = how.space or "Non-Color"
    if how.space:
        fresh.alpha_mode = "STRAIGHT"  # Blender multiplies by the alpha when it reads it
    fresh.source = "SEQUENCE"
    fresh[_HOLDS] = _kind(how)
    if old is not None:
        name = old.name
        old.user_remap(fresh)
        bpy.data.images.remove(old)
    fresh.name = name
    return fresh


def _read_once(image):
    """Have Blender read an image, and return its size. Blender 4.2 shows layers only of an image that was read once.
    It remembers that there are any when the image gets another path.
    """
    return tuple(image.size)


# ------------------------------------------------------------------------------------------------ the group


def _new_group(name):
    """Make a node group: an image goes in; that image premultiplied by the alpha, and the alpha, come out."""
    group = bpy.data.node_groups.new(name, nodes.GROUP)
    nodes.new_socket(group, "Image", "INPUT", "NodeSocketColor")
    nodes.new_socket(group, "Image", "OUTPUT", "NodeSocketColor")
    nodes.new_socket(group, "Alpha", "OUTPUT", "NodeSocketFloat")
    enter, leave = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    alpha, mix = group.nodes.new("CompositorNodeImage"), nodes.new_set_alpha(group)
    alpha.name = alpha.label = _ALPHA
    leave.name = _RESULT
    mix.name = _SET
    enter.location, alpha.location, leave.location = (_LEFT, 100), (_LEFT, -100), (_RIGHT, 0)
    group.links.new(enter.outputs["Image"], mix.inputs["Image"])
    group.links.new(alpha.outputs["Alpha"], mix.inputs["Alpha"])
    group.links.new(alpha.outputs["Alpha"], leave.inputs["Alpha"])
    group.links.new(mix.outputs["Image"], leave.inputs["Image"])
    group.use_fake_user = True
    group.asset_mark()  # so the Asset Browser of this file has it, and every Add menu of a compositor
    group.asset_data.description = "Plate in; plate times alpha, and the alpha, out"
    group.asset_data.author = "MatAnyone"
    return group


def _give_preview(group):
    """Give an asset the picture that ships with the add-on, for the Asset Browser: Blender draws none of node groups.
    One that is there stays.
    """
    if group.asset_data is None or group.preview is not None:
        return
    size, pixels = _asset_picture()
    preview = group.preview_ensure()
    preview.image_size = size
    preview.image_pixels_float.foreach_set(pixels)


def _asset_picture():
    """Return size and pixels of the picture that ships with the add-on: numpy, float32, RGBA 0 to 1, the bottom row
    first. Blender 5.2 would read a colour configuration for it first, which takes 50 ms.
    """
    import numpy as np

    file = Path(__file__).with_name("asset.bmp").read_bytes()
    begin, width, height = (struct.unpack_from("<i", file, at)[0] for at in (10, 18, 22))
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = np.frombuffer(file, np.uint8, offset=begin).reshape(height, width, 3)[..., ::-1] / 255
    return (width, height), pixels.ravel()


def _gated(group):
    """Multiply the alpha by a value that is 1 where there is a file and 0 elsewhere; in groups of version 0.1.0 too."""
    if _THERE in group.nodes:
        return
    alpha = group.nodes[_ALPHA].outputs["Alpha"]
    taken = [link.to_socket for link in alpha.links]
    there, gated = nodes.new_value(group), nodes.new_multiply(group)
    there.name = there.label = _THERE
    gated.name = gated.label = _GATED
    there.location, gated.location = (_LEFT, -350), (_MIDDLE, -100)
    group.links.new(alpha, gated.inputs[0])
    group.links.new(there.outputs[0], gated.inputs[1])
    for socket in taken:
        group.links.new(gated.outputs[0], socket)


def _choose_alpha(group, image, how, name, likeness):
    """Choose which alpha comes out: the file's, or of a file for all objects the one of this object."""
    alpha, gated = group.nodes[_ALPHA], group.nodes.get(_GATED)
    picked = group.nodes.get(_PICKED)
    if picked is not None and how.layout != "cryptomatte":
        group.nodes.remove(picked)
        picked = None
    layer = name if how.layout == "layers" else "Alpha"
    if alpha.image != image or layer not in alpha.outputs or (not how.holds_all and "Image" not in alpha.outputs):
        _set_image(alpha, image, likeness())
    source = alpha.outputs[layer]
    if how.layout == "cryptomatte" and name != _EVERYBODY:
        picked = picked or _new_picked(group)
        if picked.image != image or picked.get(_HOLDS) != name:
            nodes.set_cryptomatte(picked, image, likeness(), _CRYPTOMATTE, name)
            picked[_HOLDS] = name
        source = picked.outputs["Matte"]
    if gated is not None:
        _link(group, source, gated.inputs[0], (alpha, picked))


def _set_image(node, image, likeness):
    """Let a node show another image; the one before goes, where nobody else shows it."""
    before = node.image
    nodes.set_image(node, image, likeness)
    if before is not None and before.users == 0:
        bpy.data.images.remove(before)


@contextmanager
def _likeness(file, how):
    """Lend a function that returns a small picture with the layers of a file, which is made when it is first asked for;
    it returns None of files without layers.
    """
    path = scene.work_folder() / f"likeness_{time.time_ns()}.exr" if how.holds_all else None

    def made():
        if path is not None and not path.exists():
            exr.write_likeness(Path(file), path)
        return path

    try:
        yield made
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _new_picked(group):
    """Make the Cryptomatte node of a group."""
    node = nodes.new_cryptomatte(group)
    node.name = node.label = _PICKED
    node.location = (_LEFT, -600)
    return node


def _choose_colour(group, own):
    """Choose what comes out: the plate times alpha, or the subject's own colour, which Blender has premultiplied."""
    alpha, there, gated, mix, leave = map(group.nodes.get, (_ALPHA, _THERE, _GATED, _SET, _RESULT))
    enter = next((node for node in group.nodes if node.type == "GROUP_INPUT"), None)
    if None in (alpha, there, gated, mix, leave, enter):  # an artist has rebuilt it
        return
    colour, factor = (alpha.outputs["Image"], there) if own else (enter.outputs["Image"], gated)
    _link(group, colour, mix.inputs["Image"], (alpha, enter))
    _link(group, factor.outputs[0], mix.inputs["Alpha"], (there, gated))
    _link(group, mix.outputs["Image"], leave.inputs["Image"], (alpha, mix))


def _link(group, source, socket, ours):
    """Link them, unless an artist has put another node before the socket."""
    if not socket.links or socket.links[0].from_node in ours:
        group.links.new(source, socket)


# ------------------------------------------------------------------------------------------------ the compositor


def wire(home, shot, groups, plate, ends):
    """Put the groups into the scene's compositor, once, with the plate before them; what is there stays as it is.

    Where the scene had no compositor, the first group becomes its image. plate: scene.Plate. ends: the first and the
    last frame of its files, or None.
    """
    tree = nodes.tree_of(home)
    fresh = tree is None and not (getattr(home, "node_tree", None) and home.node_tree.nodes)
    if tree is None:
        tree = nodes.new_tree_of(home) if fresh else _switched_on(home)
    for number, group in enumerate(groups):
        if any(getattr(node, "node_tree", None) == group for node in tree.nodes):
            continue
        node = tree.nodes.new("CompositorNodeGroup")
        node.node_tree = group
        node.location = (0, -300 * number)
        tree.links.new(_plate_node(tree, shot, plate, ends).outputs["Image"], node.inputs["Image"])
        if fresh and number == 0:
            output = nodes.new_output(tree, home)
            output.node.location = (_RIGHT, 0)
            tree.links.new(node.outputs["Image"], output)


def _switched_on(scene):
    """Switch on the compositor of a scene, and return its tree as it was."""
    scene.use_nodes = True
    return scene.node_tree


def _plate_node(tree, shot, plate, ends):
    """Return the node that reads the plate: one for all objects."""
    name = f"{_PLATE}: {shot.name}"
    source = shot.clip if shot.plate == "CLIP" else shot.image
    found = tree.nodes.get(name)
    if found is not None and source in (getattr(found, "clip", None), getattr(found, "image", None)):
        return found
    if shot.plate == "CLIP":
        node = tree.nodes.new("CompositorNodeMovieClip")
        node.clip = shot.clip
    else:
        node = tree.nodes.new("CompositorNodeImage")
        _, last = ends or (0, plate.time.first)
        nodes.set_image(node, shot.image)
        nodes.show_frames(node, plate.time.first, last, plate.time.scene_start)
    node.name = node.label = name
    node.location = (_LEFT, 0)
    return node
