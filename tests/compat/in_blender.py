# SPDX-License-Identifier: Apache-2.0
"""Runs in Blender's Python: writes a .blend file with the extension's properties, or prints those of such a file.

python in_blender.py write|read FOLDER_WITH_THE_EXTENSION FILE.blend
"""

from __future__ import annotations

import importlib
import json
import sys

import bpy

VALUES = {
    "name": "sh010",
    "scene_start": 7,
    "use_range": True,
    "first": 1001,
    "last": 1003,
    "color": "NAME",
    "color_name": "ACEScg",
    "model": "mini",
    "working_size": 720,
    "refine": False,
    "region": "follow",
    "settle_passes": 3,
    "exposure": 0.5,
    "mask_grow": 2,
    "foreground": True,
    "out": "//matte/{shot}.####.exr",
}


def write(path):
    """Save a scene with one object and one key."""
    bpy.ops.wm.read_homefile(use_empty=True)
    shot = bpy.context.scene.matanyone
    for name, value in VALUES.items():
        setattr(shot, name, value)
    thing = shot.objects.add()
    thing.name, thing.use_life, thing.first, thing.last = "hero", True, 1001, 1003
    key = thing.keys.add()
    key.frame, key.mask = 1001, bpy.data.masks.new("roto")
    bpy.ops.wm.save_as_mainfile(filepath=path, compress=True)


def read(path):
    """Print what a scene says, by today's names."""
    bpy.ops.wm.open_mainfile(filepath=path)
    shot = bpy.context.scene.matanyone
    (thing,) = shot.objects
    (key,) = thing.keys
    about = {name: getattr(shot, name) for name in VALUES}
    about["object"] = [thing.name, thing.use_life, thing.first, thing.last, key.frame, key.mask.name]
    print(json.dumps(about))


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    properties = importlib.import_module("matanyone_blender.properties")
    properties.register()
    {"write": write, "read": read}[sys.argv[1]](sys.argv[3])
    # Blender itself unregisters add-ons before it ends. The module bpy does not, and hangs on what is still registered.
    properties.unregister()
