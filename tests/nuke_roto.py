# SPDX-License-Identifier: Apache-2.0
"""Reads the script text of a Roto node with the strict reader of Nuke's scripts, and draws it from the text alone."""

from __future__ import annotations

import importlib.util
import struct
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT
from matanyone_engine.sizes import Size

Numbers = npt.NDArray[np.float64]


@cache
def _reader() -> ModuleType:
    """Import the strict reader of Nuke's scripts, which the fake Nuke opens its scripts with."""
    file = Path(__file__).resolve().parent / "hosts/fake_nuke/nk.py"
    spec = importlib.util.spec_from_file_location("nk_of_shapes", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def words_of(text: str) -> list[str]:
    """Return the words of a list in Nuke's script language."""
    return list(_reader().words_of(text))


def value(text: str, frame: int) -> float:
    """Return what a number or a curve of keys is worth on a frame, on straight lines between keys."""
    keys = [words_of(key) for key in words_of(text)] if " " in text else []
    if not keys:
        return float(struct.unpack("<f", struct.pack("<I", int(text[1:], 16)))[0]) if text[0] == "x" else float(text)
    times = [value(time, frame) for time, _ in keys]
    return float(np.interp(frame, times, [value(each, frame) for _, each in keys]))


def curves_of(text: str) -> dict[str, list[str]]:
    """Return the words of each shape, by its name, of the script text of a Roto node."""
    (roto,) = _reader().read_script(text)
    assert (roto.kind, roto.knobs["output"]) == ("Roto", "alpha")
    (tree,) = words_of(roto.knobs["curves"])
    layer = words_of(words_of(words_of(tree)[2])[1])
    assert layer[:2] == ["layer", "Root"]
    found = [words_of(word) for word in layer[2:]]
    return {words[1]: words for words in found if words[0] == "curvegroup"}


def drawn_from(text: str, frame: int, size: Size) -> Numbers:
    """Draw a Roto node's script as Nuke does, (H, W): the first curve lies on top, a hole is black, feathers fade."""
    alpha = np.zeros(size, np.float64)
    for words in reversed(list(curves_of(text).values())):
        said = words_of(words[6])
        told = dict(zip(said[1::2], said[2::2], strict=True))
        if int(told["ltn"]) <= frame <= int(told["ltm"]):
            curve, outer = words_of(words[4])
            line = triples_of(curve, frame)
            soft = np.zeros_like(line) if outer == "idem" else triples_of(outer, frame)
            line[:, [LEFT, RIGHT]] += line[:, CENTRE : CENTRE + 1]
            levels = [line + soft[:, CENTRE : CENTRE + 1] * (each + 0.5) / 8 for each in range(8)]
            cover = np.mean([filled(level * (1, -1) + (0, size.height), size) for level in levels], axis=0)
            alpha = alpha * (1 - cover) + float(told["a"]) * cover
    return alpha


def triples_of(curve: str, frame: int) -> Numbers:
    """Return handle, place and handle of each point of a control curve on a frame, (points, 3, 2)."""
    pairs = words_of(words_of(curve)[2])[1:]
    return np.array([[value(each, frame) for each in words_of(pair)] for pair in pairs]).reshape(-1, 3, 2)


def filled(points: Numbers, size: Size) -> Numbers:
    """Return what a closed spline covers, (H, W)."""
    way = np.linspace(0, 1, 16, endpoint=False)[:, None]
    after = np.roll(points, -1, axis=0)
    corners = zip(points[:, CENTRE], points[:, RIGHT], after[:, LEFT], after[:, CENTRE], strict=True)
    pieces = [
        (1 - way) ** 3 * a + 3 * way * (1 - way) ** 2 * b + 3 * way**2 * (1 - way) * c + way**3 * d
        for a, b, c, d in corners
    ]
    picture = np.zeros((4 * size.height, 4 * size.width), np.uint8)
    cv2.fillPoly(picture, [np.rint((np.concatenate(pieces) * 4 - 0.5) * 256).astype(np.int32)], 255, shift=8)
    return np.asarray(cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)) / 255
