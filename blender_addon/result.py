# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes of the alphas on disk an image datablock and a node group that need no add-on. It runs on the main thread only.

Rule of this file: it is told which frames are whole on disk, and shows no others.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from . import nodes, plan, scene

_PLATE, _SET, _RESULT = "Plate", "Set Alpha", "Result"
_ALPHA, _THERE, _GATED = "Alpha", "On Disk", "Alpha on Disk"
_LEFT, _MIDDLE, _RIGHT = -600, -300, 300
_OF = "matanyone_plate"
"""Property of a node group: the plate whose alphas it shows, as the clip or image names it."""


def label(shot_name, name):
    """Return what the image and the node group of an object are called; Blender cuts off what is too long."""
    return f"MatAnyone: {shot_name}" + ("" if name == plan.SUBJECT else f" {name}")


def show(home, patterns, alphas, when, space, renew):
    """Make image and node group of each object, with every alpha under its own number, and return the groups.

    home: the scene. alphas: object -> ondisk.Alphas. when: plan.SceneTime. space: the colour space of the subject's own
    colour, which files then hold; '' of alphas. renew: whether Blender is to forget what it has read of the files; at
    the start and the end of a run. Reads no pixel, so that nothing stands still.
    """
    groups = []
    for name, pattern in patterns.items():
        frames = plan.shown_stretch(alphas[name].whole, alphas[name].damaged)
        if frames:
            groups.append(_shown(home, name, pattern, frames, when, space, renew))
    return groups


def _shown(home, name, pattern, frames, when, space, renew):
    shot = home.matanyone
    each = next((each for each in shot.objects if each.name == name), None)  # get() knows no name that is the default
    called = label(shot.name, name)
    group = _group_of(home, each, called)
    image = _image_in(group) if group is not None else None
    if image is None or renew:
        image = _renewed(image, called, scene.stored(shot, plan.file_of(pattern, frames[0])), space)
    if group is None or _ALPHA not in group.nodes:  # an artist may have rebuilt it
        group = _new_group(called, image)
    group[_OF] = plate_name(shot)
    if each is not None:
        each.group = group
    _gated(group)
    _choose_colour(group, own=bool(space))
    _show_frames(group, pattern, frames, when)
    return group


def _show_frames(group, pattern, frames, when):
    """Show each file on its own frame, and nothing on others."""
    node = group.nodes[_ALPHA]
    first, last = frames[0], frames[-1]
    nodes.show_frames(node, first, last, when.scene_frame(first))
    # Left of its first frame Blender reads the file before it, which may be damaged, unless it goes round.
    node.use_cyclic = Path(plan.file_of(pattern, first - 1)).exists()
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


def _renewed(old, name, file, space):
    """Make the image anew for all that use the old one. image.reload() would read a frame for each node, at once."""
    fresh = bpy.data.images.load(file, check_existing=False)
    fresh.colorspace_settings.name = space or "Non-Color"
    if space:
        fresh.alpha_mode = "STRAIGHT"  # Blender multiplies by the alpha when it reads it
    fresh.source = "SEQUENCE"
    if old is not None:
        name = old.name
        old.user_remap(fresh)
        bpy.data.images.remove(old)
    fresh.name = name
    return fresh


# ------------------------------------------------------------------------------------------------ the group


def _new_group(name, image):
    """Make a node group: an image goes in; that image premultiplied by the alpha, and the alpha, come out."""
    group = bpy.data.node_groups.new(name, nodes.GROUP)
    nodes.new_socket(group, "Image", "INPUT", "NodeSocketColor")
    nodes.new_socket(group, "Image", "OUTPUT", "NodeSocketColor")
    nodes.new_socket(group, "Alpha", "OUTPUT", "NodeSocketFloat")
    enter, leave = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    alpha, mix = group.nodes.new("CompositorNodeImage"), nodes.new_set_alpha(group)
    alpha.name = alpha.label = _ALPHA
    leave.name = _RESULT
    nodes.set_image(alpha, image)
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


def wire(home, shot, groups, plate):
    """Put the groups into the scene's compositor, once, with the plate before them; what is there stays as it is.

    Where the scene had no compositor, the first group becomes its image. plate: scene.Plate.
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
        tree.links.new(_plate_node(tree, shot, plate).outputs["Image"], node.inputs["Image"])
        if fresh and number == 0:
            output = nodes.new_output(tree, home)
            output.node.location = (_RIGHT, 0)
            tree.links.new(node.outputs["Image"], output)


def _switched_on(scene):
    """Switch on the compositor of a scene, and return its tree as it was."""
    scene.use_nodes = True
    return scene.node_tree


def _plate_node(tree, shot, plate):
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
        frames = plate.frames() or (plate.time.first,)
        nodes.set_image(node, shot.image)
        nodes.show_frames(node, plate.time.first, frames[-1], plate.time.scene_start)
    node.name = node.label = name
    node.location = (_LEFT, 0)
    return node
