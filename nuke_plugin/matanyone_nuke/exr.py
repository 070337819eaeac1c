# SPDX-License-Identifier: Apache-2.0
"""Reads headers of EXR files without a pixel: whether two files hold the same picture, and what a matte says of itself.

A renderer writes the time of day into each header, and the engine tells files apart by their bytes. A rendered input
that has not changed keeps its bytes, and the engine what it has computed from them.

Rule of this file: the standard library only; a file it does not understand is another picture.
"""

from __future__ import annotations

import struct
from typing import Dict, Optional, Tuple

_MAGIC = b"\x76\x2f\x31\x01"
_MULTIPART = 0x1000
_MOST_HEADER = 1 << 20
CONFIDENCE, WHY = b"matanyone:confidence", b"matanyone:confidenceWhy"
"""The engine's attributes, both texts: how far a matte can be trusted, and the code of the reason to look at it."""
OF_A_RENDER = ("DateTime", "capDate", "nuke/node_hash", "nuke/full_layer_names", "input/ctime", "input/mtime")
"""Attributes that say when and by what a file was written, not what is in it."""


def same_picture(one: bytes, other: bytes) -> bool:
    """Tell whether they differ in nothing but attributes of their render."""
    mine, theirs = _split(one), _split(other)
    if mine is None or theirs is None:
        return False
    return mine == theirs and len(one) == len(other)


def confidence_of(path: str) -> Optional[float]:
    """Read how far a matte can be trusted, 0 to 1; None where its header does not say."""
    try:
        return float(_text_of(path, CONFIDENCE))
    except ValueError:
        return None


def why_of(path: str) -> str:
    """Read the code of the reason to look at a matte; '' where its header does not say."""
    return _text_of(path, WHY)


def _text_of(path: str, name: bytes) -> str:
    """Read a text of a file's header; '' where it is not there."""
    try:
        with open(path, "rb") as file:
            split = _split(file.read(_MOST_HEADER))
    except OSError:
        return ""
    return (split or ({}, b""))[0].get(name, b"").partition(b"\0")[2].decode("ascii", "replace")


def _split(data: bytes) -> Optional[Tuple[Dict[bytes, bytes], bytes]]:
    """Return attributes that count, and everything after the header; None for what is no plain EXR."""
    if data[:4] != _MAGIC or len(data) < 8 or struct.unpack("<I", data[4:8])[0] & _MULTIPART:
        return None
    attributes: Dict[bytes, bytes] = {}
    at = 8
    while at < min(len(data), _MOST_HEADER):
        if data[at] == 0:
            return attributes, data[at + 1 :]
        name, _, rest = data[at : at + 512].partition(b"\0")
        kind, _, _ = rest.partition(b"\0")
        start = at + len(name) + 1 + len(kind) + 1
        if start + 4 > len(data):
            return None
        length = struct.unpack("<I", data[start : start + 4])[0]
        if name.decode("latin-1") not in OF_A_RENDER:
            attributes[name] = kind + b"\0" + data[start + 4 : start + 4 + length]
        at = start + 4 + length
    return None
