# SPDX-License-Identifier: Apache-2.0
"""The files that shapes are written to say where the points are: Nuke's script text, Silhouette's XML, plain JSON."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as Xml

import cv2
import jsonschema
import numpy as np
import pytest
from shaped import DISC_FROM, FRAMES, SIZE, alpha_of, shapes

from matanyone_engine.shapes.nuke import number, to_nk
from matanyone_engine.shapes.plain import from_json, to_json
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, ShapeSet
from matanyone_engine.shapes.silhouette import to_fxs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made() -> ShapeSet:
    return shapes().shapes


@pytest.fixture(scope="module")
def nk() -> ModuleType:
    """The strict reader of Nuke's scripts."""
    file = ROOT / "tests/hosts/fake_nuke/nk.py"
    spec = importlib.util.spec_from_file_location("nk_of_shapes", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def value(text: str, frame: int, nk: ModuleType) -> float:
    """What a number or a curve of keys is worth on a frame, on straight lines between keys."""
    keys = [nk.words_of(key) for key in nk.words_of(text)] if " " in text else []
    if not keys:
        return float(struct.unpack("<f", struct.pack("<I", int(text[1:], 16)))[0]) if text[0] == "x" else float(text)
    times = [value(time, frame, nk) for time, _ in keys]
    return float(np.interp(frame, times, [value(each, frame, nk) for _, each in keys]))


def curves_of(text: str, nk: ModuleType) -> dict[str, list[list[str]]]:
    """Name of a shape -> its words, of the script text of a Roto node."""
    (roto,) = nk.read_script(text)
    assert (roto.kind, roto.knobs["output"]) == ("Roto", "alpha")
    (tree,) = nk.words_of(roto.knobs["curves"])
    layer = nk.words_of(nk.words_of(nk.words_of(tree)[2])[1])
    assert layer[:2] == ["layer", "Root"]
    found = [nk.words_of(word) for word in layer[2:]]
    return {words[1]: words for words in found if words[0] == "curvegroup"}


@pytest.mark.parametrize("frame", [FRAMES[0], 1005, FRAMES[-1]])
def test_nukes_script_says_where_the_points_are(made: ShapeSet, nk: ModuleType, frame: int) -> None:
    found = curves_of(to_nk(made), nk)
    assert list(found) == ["hole2", "shape1", "shape3"], "what is written first lies on top"
    for shape in made.shapes:
        there = shape.at(frame)
        if there is None:
            continue
        triples, ends = (triples_of(each, frame, nk) for each in nk.words_of(found[shape.name][4]))
        triples[:, [LEFT, RIGHT]] += triples[:, CENTRE : CENTRE + 1]
        assert np.abs(triples * (1, -1) + (0, SIZE.height) - there.points).max() < 3 * made.error
        assert np.abs((triples * (1, -1) + (0, SIZE.height) - there.points)[:, CENTRE]).max() < made.error
        assert np.hypot(*ends[:, CENTRE].T) == pytest.approx(there.feather, abs=made.error)


def test_nukes_shapes_live_on_their_frames_and_holes_are_black(made: ShapeSet, nk: ModuleType) -> None:
    for name, words in curves_of(to_nk(made), nk).items():
        attributes = nk.words_of(words[6])
        told = dict(zip(attributes[1::2], attributes[2::2], strict=True))
        shape = next(each for each in made.shapes if each.name == name)
        assert (told["ltn"], told["ltm"], told["ltt"]) == (str(shape.first), str(shape.last), "4")
        assert told["a"] == ("0" if shape.hole else "1")


def rendered(text: str, frame: int, nk: ModuleType) -> np.ndarray:
    """Draw a Roto node's script as Nuke does, (H, W): the first curve lies on top, a hole is black, feathers fade."""
    alpha = np.zeros((SIZE.height, SIZE.width))
    for words in reversed(list(curves_of(text, nk).values())):
        said = nk.words_of(words[6])
        told = dict(zip(said[1::2], said[2::2], strict=True))
        if int(told["ltn"]) <= frame <= int(told["ltm"]):
            line, soft = (triples_of(each, frame, nk) for each in nk.words_of(words[4]))
            line[:, [LEFT, RIGHT]] += line[:, CENTRE : CENTRE + 1]
            levels = [line + soft[:, CENTRE : CENTRE + 1] * (each + 0.5) / 8 for each in range(8)]
            cover = np.mean([filled(level * (1, -1) + (0, SIZE.height)) for level in levels], axis=0)
            alpha = alpha * (1 - cover) + float(told["a"]) * cover
    return alpha


def triples_of(curve: str, frame: int, nk: ModuleType) -> np.ndarray:
    """Handle, place and handle of each point of a control curve on a frame, (points, 3, 2)."""
    pairs = nk.words_of(nk.words_of(curve)[2])[1:]
    return np.array([[value(each, frame, nk) for each in nk.words_of(pair)] for pair in pairs]).reshape(-1, 3, 2)


def filled(points: np.ndarray) -> np.ndarray:
    """What a closed spline covers, (H, W)."""
    way = np.linspace(0, 1, 16, endpoint=False)[:, None]
    after = np.roll(points, -1, axis=0)
    corners = zip(points[:, CENTRE], points[:, RIGHT], after[:, LEFT], after[:, CENTRE], strict=True)
    pieces = [
        (1 - way) ** 3 * a + 3 * way * (1 - way) ** 2 * b + 3 * way**2 * (1 - way) * c + way**3 * d
        for a, b, c, d in corners
    ]
    picture = np.zeros((4 * SIZE.height, 4 * SIZE.width), np.uint8)
    cv2.fillPoly(picture, [np.rint((np.concatenate(pieces) * 4 - 0.5) * 256).astype(np.int32)], 255, shift=8)
    return np.asarray(cv2.resize(picture, (SIZE.width, SIZE.height), interpolation=cv2.INTER_AREA)) / 255


@pytest.mark.parametrize("frame", [FRAMES[0], DISC_FROM, FRAMES[-1]])
def test_nukes_script_drawn_again_is_the_alpha_with_its_hole_and_its_late_island(
    made: ShapeSet, nk: ModuleType, frame: int
) -> None:
    again, alpha = rendered(to_nk(made), frame, nk), alpha_of(frame)
    assert np.minimum(again, alpha).sum() / np.maximum(again, alpha).sum() > 0.97
    assert np.abs(again - alpha).max() < 0.5


def test_nukes_numbers_are_the_bits_of_floats() -> None:
    assert [number(each) for each in (0.0, 1001.0, -3.0, 0.5, 1.2)] == ["0", "1001", "-3", "x3f000000", "x3f99999a"]


def test_silhouettes_file_says_where_the_points_are(made: ShapeSet) -> None:
    root = Xml.fromstring(to_fxs(made))
    assert (root.tag, root.get("width"), root.get("workRangeStart")) == ("Silhouette", "160", "1001")
    for element, shape in zip(root, made.shapes, strict=True):
        keys = element.findall(".//Property[@id='path']/Key")
        assert [int(key.get("frame", "")) + FRAMES[0] for key in keys] == [key.frame for key in shape.keys]
        for key, mine in zip(keys, shape.keys, strict=True):
            rows = [
                json.loads(f"[{(point.text or '').translate(str.maketrans('()', '[]'))}]")
                for point in key.iter("Point")
            ]
            places = np.array(rows) * SIZE.height + (SIZE.width / 2, SIZE.height / 2)
            assert np.abs(places - mine.points[:, [CENTRE, LEFT, RIGHT]]).max() < 1e-3
    late = root[2].findall(".//Property[@id='opacity']/Key")
    assert [(key.get("frame"), key.text) for key in late] == [("0", "0"), ("3", "100")]


def test_the_json_keeps_its_schema_and_is_read_again(made: ShapeSet) -> None:
    text = to_json(made)
    schema = json.loads((ROOT / "docs/shapes.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(text), schema)
    again = from_json(text)
    assert again.size == made.size
    for one, other in zip(again.shapes, made.shapes, strict=True):
        assert (one.name, one.depth, one.first, one.last) == (other.name, other.depth, other.first, other.last)
        for mine, theirs in zip(one.keys, other.keys, strict=True):
            assert mine.frame == theirs.frame
            assert np.abs(mine.points - theirs.points).max() < 1e-3
            assert np.abs(mine.feather - theirs.feather).max() < 1e-3
