# SPDX-License-Identifier: Apache-2.0
"""Runs inside Blender's Python: load an image as the Image node does and save its pixels, top row first.

python read_in_blender.py IMAGE OUT.npy
"""

import sys

import bpy
import numpy as np

image = bpy.data.images.load(sys.argv[1])
image.colorspace_settings.name = "Non-Color"
width, height = image.size
pixels = np.empty(width * height * image.channels, dtype=np.float32)
image.pixels.foreach_get(pixels)
np.save(sys.argv[2], pixels.reshape(height, width, image.channels)[::-1])
print("type", image.type)
