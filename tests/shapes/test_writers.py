# SPDX-License-Identifier: Apache-2.0
"""The files that shapes are written to say where the points are: Nuke's script text, Silhouette's XML, plain JSON."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import jsonschema
import numpy as np
import pytest
from nuke_roto import curves_of, drawn_from, filled, triples_of, words_of
from shaped import DISC_FROM, FRAMES, SIZE, alpha_of, shapes

from matanyone_engine.shapes.feather import inwards
from matanyone_engine.shapes.nuke import number, to_nk
from matanyone_engine.shapes.plain import from_json, to_json
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, ShapeSet
from matanyone_engine.shapes.silhouette import to_fxs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made() -> ShapeSet:
    return shapes().shapes


@pytest.mark.parametrize("frame", [FRAMES[0], 1005, FRAMES[-1]])
def test_nukes_script_says_where_the_points_are(made: ShapeSet, frame: int) -> None:
    found = curves_of(to_nk(made))
    assert list(found) == ["hole2", "shape1", "shape3"], "what is written first lies on top"
    for shape in made.shapes:
        there = shape.at(frame)
        if there is None:
            continue
        triples, ends = (triples_of(each, frame) for each in words_of(found[shape.name][4]))
        triples[:, [LEFT, RIGHT]] += triples[:, CENTRE : CENTRE + 1]
        assert np.abs(triples * (1, -1) + (0, SIZE.height) - there.points).max() < 3 * made.error
        assert np.abs((triples * (1, -1) + (0, SIZE.height) - there.points)[:, CENTRE]).max() < made.error
        assert np.hypot(*ends[:, CENTRE].T) == pytest.approx(there.feather, abs=made.error)


def test_nukes_shapes_live_on_their_frames_and_holes_are_black(made: ShapeSet) -> None:
    for name, words in curves_of(to_nk(made)).items():
        attributes = words_of(words[6])
        told = dict(zip(attributes[1::2], attributes[2::2], strict=True))
        shape = next(each for each in made.shapes if each.name == name)
        assert (told["ltn"], told["ltm"], told["ltt"]) == (str(shape.first), str(shape.last), "4")
        assert told["a"] == ("0" if shape.hole else "1")


@pytest.mark.parametrize("frame", [FRAMES[0], DISC_FROM, FRAMES[-1]])
def test_nukes_script_drawn_again_is_the_alpha_with_its_hole_and_its_late_island(made: ShapeSet, frame: int) -> None:
    again, alpha = drawn_from(to_nk(made), frame, SIZE), alpha_of(frame)
    assert np.minimum(again, alpha).sum() / np.maximum(again, alpha).sum() > 0.97
    assert np.abs(again - alpha).max() < 0.5


def test_nukes_numbers_are_the_bits_of_floats() -> None:
    assert [number(each) for each in (0.0, 1001.0, -3.0, 0.5, 1.2)] == ["0", "1001", "-3", "x3f000000", "x3f99999a"]


def test_silhouettes_file_says_where_the_points_are(made: ShapeSet) -> None:
    root = Xml.fromstring(to_fxs(made))
    assert (root.tag, root.get("width"), root.get("workRangeStart")) == ("Silhouette", "160", "1001")
    for element, shape in zip(root, made.shapes, strict=True):
        keys = keys_of(element, "path")
        assert [int(key.get("frame", "")) + FRAMES[0] for key in keys] == [key.frame for key in shape.keys]
        for key, mine in zip(keys, shape.keys, strict=True):
            rows = [numbers_of(point) for point in key.iter("Point")]
            places = np.array(rows) * SIZE.height + (SIZE.width / 2, SIZE.height / 2)
            outline = inwards(mine.points, -mine.feather / 2)  # half way through the feather, which is not written
            assert np.abs(places - outline[:, [CENTRE, LEFT, RIGHT]]).max() < 1e-3
    late = keys_of(root[2], "opacity")
    assert [(key.get("frame"), key.text) for key in late] == [("0", "0"), ("3", "100")]


@pytest.mark.parametrize("frame", [FRAMES[0], DISC_FROM, FRAMES[-1]])
def test_silhouettes_file_drawn_again_is_where_the_alpha_is_above_one_half(made: ShapeSet, frame: int) -> None:
    """Feathers are not written. Which handle Silhouette reads first is not known: ours is the one before the point."""
    again, alpha = fxs_drawn(to_fxs(made), frame - FRAMES[0]), (alpha_of(frame) >= 0.5).astype(np.float64)
    assert np.minimum(again, alpha).sum() / np.maximum(again, alpha).sum() > 0.97


def fxs_drawn(text: str, frame: int) -> np.ndarray:
    """Draw an .fxs file, (H, W), without feathers. frame: counted from the first of the session, as 0."""
    root = Xml.fromstring(text)
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    alpha = np.zeros((height, width))
    for shape in root.iter("Shape"):
        opacity = [(int(key.get("frame", "")), float(key.text or "")) for key in keys_of(shape, "opacity")]
        seen = [value for at, value in opacity if at <= frame][-1] / 100
        keys = keys_of(shape, "path")
        points = np.array([[numbers_of(point) for point in key.iter("Point")] for key in keys])
        flat = points.reshape(len(keys), -1).T
        times = [int(key.get("frame", "")) for key in keys]
        there = np.array([np.interp(frame, times, each) for each in flat]).reshape(-1, 3, 2)
        line = there[:, [1, 0, 2]] * height + (width / 2, height / 2)
        alpha = np.abs(alpha - seen * filled(line, SIZE))
    return alpha


def keys_of(shape: Xml.Element, name: str) -> list[Xml.Element]:
    return shape.findall(f".//Property[@id='{name}']/Key")


def numbers_of(point: Xml.Element) -> list[list[float]]:
    """Return the place, the handle before it and the handle after it."""
    found: list[list[float]] = json.loads(f"[{(point.text or '').translate(str.maketrans('()', '[]'))}]")
    return found


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
