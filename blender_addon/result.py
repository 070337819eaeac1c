# SPDX-License-Identifier: GPL-3.0-or-later
"""Alphas on disk -> an image datablock and a node group that need no add-on. Main thread only.

Rule of this file: it is told which frames are whole on disk, and shows no others.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from . import nodes, plan

_PLATE, _ALPHA, _SET, _RESULT = "Plate", "Alpha", "Set Alpha", "Result"
_LEFT, _RIGHT = -400, 300


def label(shot_name, name):
    """What the image and the node group of an object are called."""
    return f"MatAnyone: {shot_name}" + ("" if name == plan.SUBJECT else f" {name}")


def show(shot_name, patterns, frames, when, space, renew):
    """Image and node group of each object, on plate frames first to last; the groups.

    when: plan.SceneTime. space: the colour space of the subject's own colour, which files then hold; '' of alphas.
    renew: whether Blender is to forget what it has read of the files; at the start and the end of a run. Reads no
    pixel, so that nothing stands still.
    """
    return [_shown(label(shot_name, name), pattern, frames, when, space, renew) for name, pattern in patterns.items()]


def _shown(name, pattern, frames, when, space, renew):
    first, last = frames
    image = bpy.data.images.get(name)
    if image is None or renew:
        image = _renewed(name, plan.file_of(pattern, first), space)
    group = bpy.data.node_groups.get(name)
    if group is None or _ALPHA not in group.nodes:  # an artist may have rebuilt it
        group = _new_group(name, image)
    _choose_colour(group, own=bool(space))
    nodes.show_frames(group.nodes[_ALPHA], first, last, when.scene_frame(first))
    # Left of its first frame Blender shows the file before it, which may be of an older run, unless it goes round.
    group.nodes[_ALPHA].use_cyclic = Path(plan.file_of(pattern, first - 1)).exists()
    return group


def _renewed(name, file, space):
    """The image anew, for all that use the old one. image.reload() would read a frame for each node, at once."""
    fresh, old = bpy.data.images.load(file, check_existing=False), bpy.data.images.get(name)
    fresh.colorspace_settings.name = space or "Non-Color"
    if space:
        fresh.alpha_mode = "STRAIGHT"  # Blender multiplies by the alpha when it reads it
    fresh.source = "SEQUENCE"
    if old is not None:
        old.user_remap(fresh)
        bpy.data.images.remove(old)
    fresh.name = name
    return fresh


def _new_group(name, image):
    """Image in; image premultiplied by the alpha, and the alpha, out."""
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
    group.use_fake_user = True
    return group


def _choose_colour(group, own):
    """What comes out: the plate times alpha, or the subject's own colour, which Blender has premultiplied."""
    alpha, mix, leave = (group.nodes.get(name) for name in (_ALPHA, _SET, _RESULT))
    if None in (alpha, mix, leave):  # an artist has rebuilt it
        return
    wanted, taken = (alpha if own else mix).outputs["Image"], leave.inputs["Image"]
    if not taken.links or (taken.links[0].from_node in (alpha, mix) and taken.links[0].from_socket != wanted):
        group.links.new(wanted, taken)


def wire(scene, shot, groups, plate):
    """Put the groups into the scene's compositor, once, with the plate before them; what is there stays as it is.

    Where the scene had no compositor, the first group becomes its image. plate: scene.Plate.
    """
    tree = nodes.tree_of(scene)
    fresh = tree is None and not (getattr(scene, "node_tree", None) and scene.node_tree.nodes)
    if tree is None:
        tree = nodes.new_tree_of(scene) if fresh else _switched_on(scene)
    for number, group in enumerate(groups):
        if any(getattr(node, "node_tree", None) == group for node in tree.nodes):
            continue
        node = tree.nodes.new("CompositorNodeGroup")
        node.node_tree = group
        node.location = (0, -300 * number)
        tree.links.new(_plate_node(tree, shot, plate).outputs["Image"], node.inputs["Image"])
        if fresh and number == 0:
            output = nodes.new_output(tree, scene)
            output.node.location = (_RIGHT, 0)
            tree.links.new(node.outputs["Image"], output)


def _switched_on(scene):
    """The tree of a scene whose compositor was off, as it was."""
    scene.use_nodes = True
    return scene.node_tree


def _plate_node(tree, shot, plate):
    """The node that reads the plate: one for all objects."""
    name = f"{_PLATE}: {shot.name}"
    if name in tree.nodes:
        return tree.nodes[name]
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
