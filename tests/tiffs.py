# SPDX-License-Identifier: Apache-2.0
"""Writes TIFF files with tags that no library writes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def tiff(path: Path, rgb: np.ndarray, tags: dict[int, tuple[str, tuple[int, ...]]], order: str = "<") -> Path:
    """Write (H, W, 3) uint8 with further tags: the form of their numbers, 'H' or 'I' (then rationals), and these."""
    kinds = {"H": 3, "I": 5}
    height, width, _ = rgb.shape
    every = {256: ("H", (width,)), 257: ("H", (height,)), 258: ("H", (8, 8, 8)), 259: ("H", (1,)), 262: ("H", (2,)),
             273: ("H", (8,)), 277: ("H", (3,)), 278: ("H", (height,)), 279: ("H", (rgb.size,)), **tags}  # fmt: skip
    data, entries = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + rgb.size) + rgb.tobytes(), b""
    behind, at = b"", len(data) + 2 + 12 * len(every) + 4
    for tag, (form, numbers) in sorted(every.items()):
        value = struct.pack(f"{order}{len(numbers)}{form}", *numbers)
        entries += struct.pack(order + "HHI", tag, kinds[form], len(numbers) // (2 if form == "I" else 1))
        entries += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", at + len(behind))
        behind += value if len(value) > 4 else b""
    path.write_bytes(data + struct.pack(order + "H", len(every)) + entries + bytes(4) + behind)
    return path
