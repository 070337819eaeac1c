# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the compositor of Blender 4 and that of Blender 5 behind one set of names. It asks for features, never for
versions.
"""

from __future__ import annotations

import bpy

GROUP = "CompositorNodeTree"


def tree_of(scene):
    """Return the scene's compositor tree, or None where it has none."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def new_tree_of(scene):
    """Make an empty compositor tree for a scene that has none, and return it."""
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = bpy.data.node_groups.new("Compositing", GROUP)
        return scene.compositing_node_group
    scene.use_nodes = True
    scene.node_tree.nodes.clear()
    return scene.node_tree


def new_socket(group, name, direction, kind):
    """Make a socket of a node group. direction: 'INPUT' or 'OUTPUT'; kind: 'NodeSocketColor' or 'NodeSocketFloat'."""
    return group.interface.new_socket(name=name, in_out=direction, socket_type=kind)


def new_output(tree, scene):
    """Make the node that is the composite, and return it with the socket its image goes to."""
    if tree == getattr(scene, "compositing_node_group", None):
        new_socket(tree, "Image", "OUTPUT", "NodeSocketColor")
        return tree.nodes.new("NodeGroupOutput").inputs["Image"]
    return tree.nodes.new("CompositorNodeComposite").inputs["Image"]


def new_set_alpha(tree):
    """Make a Set Alpha node that multiplies: the image comes out premultiplied."""
    node = tree.nodes.new("CompositorNodeSetAlpha")
    if hasattr(node, "mode"):
        node.mode = "APPLY"
    else:
        node.inputs["Type"].default_value = "Apply Mask"
    return node


def new_multiply(tree):
    """Make a Math node that multiplies."""
    node = _first_of(tree, "CompositorNodeMath", "ShaderNodeMath")
    node.operation = "MULTIPLY"
    return node


def new_value(tree):
    """Make a Value node."""
    return _first_of(tree, "CompositorNodeValue", "ShaderNodeValue")


def _first_of(tree, *kinds):
    """Make a node of the first kind that this Blender has."""
    return tree.nodes.new(next(kind for kind in kinds if hasattr(bpy.types, kind)))


def key_steps(socket, steps):
    """Animate the value of a socket: it changes at once on each frame. steps: (scene frame, value), ascending."""
    tree = socket.id_data
    path = f"{socket.path_from_id()}.default_value"
    curves = _curves(tree)
    old = curves.find(path) if curves is not None else None
    if old is not None:
        curves.remove(old)
    socket.default_value = steps[0][1]
    socket.keyframe_insert("default_value", frame=steps[0][0])
    curve = _curves(tree).find(path)
    points = curve.keyframe_points
    points.add(len(steps) - 1)  # all at once: each keyframe_insert() sorts the curve and tells everybody
    points.foreach_set("co", [number for step in steps for number in step])
    for point in points:
        point.interpolation = "CONSTANT"
    curve.update()


def _curves(tree):
    """Return the F-curves of a node tree; None where it has none."""
    animation = tree.animation_data
    action = animation.action if animation else None
    if action is None or hasattr(action, "fcurves"):
        return action.fcurves if action else None
    bags = [strip.channelbag(animation.action_slot) for layer in action.layers for strip in layer.strips]
    return next((bag.fcurves for bag in bags if bag is not None), None)


def new_file_output(tree, folder, name, depth="32"):
    """Make a File Output node that writes folder/NAME.exr in scene-linear floats; name has #### for the frame."""
    node = tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(node, "base_path"):
        node.base_path = folder
        node.file_slots[0].path = name
    else:
        node.directory, node.file_name = folder, name
        node.file_output_items.new("RGBA", "")
        node.format.media_type = "IMAGE"
    node.format.file_format = "OPEN_EXR"
    node.format.color_mode, node.format.color_depth, node.format.exr_codec = "RGBA", depth, "ZIP"
    return node


def set_image(node, image, likeness=None):
    """Let an Image node use an image without Blender reading its file at once, half a second of a UHD frame.

    likeness: the path of a small picture with the same layers, from which Blender learns the node's sockets; None for
    an image without layers.
    """
    stand_in = _stand_in(likeness)
    node.image = stand_in
    _replace(stand_in, image)


def _stand_in(likeness):
    if likeness is None:
        return bpy.data.images.new("stand-in", 1, 1)
    stand_in = bpy.data.images.load(str(likeness), check_existing=False)
    stand_in.colorspace_settings.name = "Non-Color"
    return stand_in


def _replace(stand_in, image):
    stand_in.user_remap(image)
    bpy.data.images.remove(stand_in)


def groups_take_cryptomatte():
    """Return whether this Blender allows a Cryptomatte node in a node group: those do whose compositors are groups."""
    return "compositing_node_group" in bpy.types.Scene.bl_rna.properties


def new_cryptomatte(tree):
    """Make a Cryptomatte node that picks from an image."""
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source = "IMAGE"
    return node


def set_cryptomatte(node, image, likeness, layer, name):
    """Let a Cryptomatte node pick an object from an image, which Blender does not read at once, as in set_image().

    layer: the name of the Cryptomatte; name: the object's.
    """
    stand_in = _stand_in(likeness)
    node.image = stand_in
    node.layer_name, node.matte_id = layer, name
    _replace(stand_in, image)


def show_frames(node, first, last, scene_first):
    """Let the Image or Cryptomatte node of a sequence show the files `first` to `last`, the first one on scene frame
    scene_first.
    """
    node.frame_duration = last - first + 1
    node.frame_start, node.frame_offset = scene_first, first - 1
    node.use_auto_refresh = True
