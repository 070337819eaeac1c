# SPDX-License-Identifier: Apache-2.0
"""Runs inside Blender's Python: load files as an artist would, and save what the nodes give.

python read_in_blender.py ORDERS.json, a list of
    {"image": FILE, "alpha_mode": MODE, "pixels": OUT.npy}   the Image datablock's pixels, top row first
    {"image": FILE, "sockets": FOLDER}                       each socket of an Image node, as FOLDER/<socket>.0001.exr
    {"image": FILE, "convert": true, "sockets": FOLDER}      the same through Alpha Convert, to premultiplied
    {"image": FILE, "cryptomatte": NAME, "sockets": FOLDER}  the matte of one object, by a Cryptomatte node
It prints one JSON line for each.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "blender_addon"))
import nodes  # the extension's own: the compositor of every Blender


def load(order):
    image = bpy.data.images.load(order["image"], check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = order.get("alpha_mode", "PREMUL")
    return image


def save_pixels(image, path):
    width, height = image.size
    pixels = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    np.save(path, pixels.reshape(height, width, image.channels)[::-1])


def new_tree(order):
    scene = bpy.data.scenes.new("scratch")
    scene.render.resolution_x, scene.render.resolution_y = order["size"]
    scene.render.resolution_percentage = 100
    return scene, nodes.new_tree_of(scene)


def save_socket(tree, socket, folder, name):
    out = nodes.new_file_output(tree, folder, f"{name}.####.")
    tree.links.new(socket, out.inputs[0])


def converted(tree, image, folder):
    node, convert = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodePremulKey")
    node.image = image
    if hasattr(convert, "mapping"):
        convert.mapping = "STRAIGHT_TO_PREMUL"
    else:
        convert.inputs["Type"].default_value = "To Premultiplied"
    tree.links.new(node.outputs["Image"], convert.inputs[0])
    save_socket(tree, convert.outputs[0], folder, "Image")


def image_sockets(tree, image, folder):
    node = tree.nodes.new("CompositorNodeImage")
    node.image = image
    for socket in node.outputs:
        save_socket(tree, socket, folder, socket.name)
    return [socket.name for socket in node.outputs]


def crypto_matte(tree, image, name, folder):
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source, node.image = "IMAGE", image
    node.layer_name, node.matte_id = "CryptoObject", name
    save_socket(tree, node.outputs["Matte"], folder, "Matte")
    return [entry.name for entry in node.entries]


for order in json.loads(Path(sys.argv[1]).read_text()):
    image = load(order)
    said = {}
    if "pixels" in order:
        save_pixels(image, order["pixels"])
    else:
        scene, tree = new_tree(order)
        if "cryptomatte" in order:
            said["entries"] = crypto_matte(tree, image, order["cryptomatte"], order["sockets"])
        elif "convert" in order:
            converted(tree, image, order["sockets"])
        else:
            said["sockets"] = image_sockets(tree, image, order["sockets"])
        bpy.ops.render.render(scene=scene.name)
    said["type"] = image.type  # known only once it was read
    print("said", json.dumps(said))
