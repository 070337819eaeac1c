# SPDX-License-Identifier: GPL-3.0-or-later
"""Alphas on disk -> an image datablock and a node group that need no add-on. Main thread only.

Rule of this file: it is told which frames are whole on disk, and shows no others.
"""

from __future__ import annotations

import bpy

from . import nodes, plan

_PLATE, _ALPHA, _SET = "Plate", "Alpha", "Set Alpha"
_LEFT, _RIGHT = -400, 300


def label(shot_name, name):
    """What the image and the node group of an object are called."""
    return f"MatAnyone: {shot_name}" + ("" if name == plan.SUBJECT else f" {name}")


def show(shot_name, patterns, first, last, when):
    """Image and node group of each object, on plate frames first to last. when: plan.SceneTime. The groups."""
    groups = []
    for name, pattern in patterns.items():
        image = _image(label(shot_name, name), plan.file_of(pattern, first))
        group = bpy.data.node_groups.get(label(shot_name, name)) or _new_group(label(shot_name, name))
        node = group.nodes[_ALPHA]
        nodes.show_frames(node, image, first, last, when.scene_frame(first))
        groups.append(group)
    return groups


def _image(name, file):
    image = bpy.data.images.get(name)
    if image is None:
        image = bpy.data.images.load(file, check_existing=False)
        image.name = name
        image.colorspace_settings.name = "Non-Color"
        image.source = "SEQUENCE"
    if image.filepath != file:
        image.filepath = file
    image.reload()
    return image


def _new_group(name):
    """Image in; image premultiplied by the alpha, and the alpha, out."""
    group = bpy.data.node_groups.new(name, nodes.GROUP)
    nodes.new_socket(group, "Image", "INPUT", "NodeSocketColor")
    nodes.new_socket(group, "Image", "OUTPUT", "NodeSocketColor")
    nodes.new_socket(group, "Alpha", "OUTPUT", "NodeSocketFloat")
    enter, leave = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    alpha, mix = group.nodes.new("CompositorNodeImage"), nodes.new_set_alpha(group)
    alpha.name = alpha.label = _ALPHA
    mix.name = _SET
    enter.location, alpha.location, leave.location = (_LEFT, 100), (_LEFT, -100), (_RIGHT, 0)
    group.links.new(enter.outputs["Image"], mix.inputs["Image"])
    group.links.new(alpha.outputs["Alpha"], mix.inputs["Alpha"])
    group.links.new(mix.outputs["Image"], leave.inputs["Image"])
    group.links.new(alpha.outputs["Alpha"], leave.inputs["Alpha"])
    group.use_fake_user = True
    return group


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
        nodes.show_frames(node, shot.image, plate.time.first, frames[-1], plate.time.scene_start)
    node.name = node.label = name
    node.location = (_LEFT, 0)
    return node
