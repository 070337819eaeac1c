# SPDX-License-Identifier: Apache-2.0
"""The brush of refine areas: which pixels a stroke covers, at any size, and what is kept of strokes."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
from blender_extension import NAME, import_extension
from shots import read_image

WIDE, HIGH = 160, 100


@pytest.fixture(scope="module")
def brush(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import_extension(tmp_path_factory.mktemp("extension"))
    return importlib.import_module(f"{NAME}.brush")


def test_a_stroke_is_full_in_its_middle_and_ends_softly(brush: Any) -> None:
    """A line of 80 pixels with a radius of 10: full to 5 pixels, half at 7.5, nothing from 10 on."""
    canvas = brush.Canvas(WIDE, HIGH)
    canvas.paint([brush.Stroke(((0.25, 0.3), (0.75, 0.3)), 0.1)])
    column = canvas.values[:, WIDE // 2]
    for pixels, value in ((0.5, 1), (4.5, 1), (7.5, 0.5), (10.5, 0)):
        for row in (30 + pixels, 30 - pixels):
            assert column[int(row)] == pytest.approx(value, abs=0.06), row
    # Along the line 15 pixels of width; the two ends are a disc whose value falls from 1 at 5 to 0 at 10 pixels.
    disc = math.pi * 5**2 + 2 * math.pi * (10 * (10**2 - 5**2) / 2 - (10**3 - 5**3) / 3) / 5
    assert canvas.values.sum() == pytest.approx(80 * 15 + disc, rel=0.01)


def test_erasing_takes_away_and_a_later_stroke_puts_back(brush: Any) -> None:
    spot, middle = ((0.5, 0.5),), (HIGH // 2, WIDE // 2)
    values = []
    for strokes in ((0,), (0, 1), (0, 1, 0)):
        canvas = brush.Canvas(WIDE, HIGH)
        canvas.paint([brush.Stroke(spot, 0.1, bool(erase)) for erase in strokes])
        values.append(float(canvas.values[middle]))
    assert values == [1, 0, 1]


def test_strokes_are_read_as_they_were_kept_and_nonsense_is_none(brush: Any) -> None:
    strokes = (brush.Stroke(((0.1, 0.2), (1.5, -0.5)), 0.05), brush.Stroke(((0.3, 0.3),), 0.1, True))
    assert brush.strokes_from(brush.text_of(strokes)) == strokes
    for text in ("", "{}", "[1]", '[{"points": [[1]], "radius": 1, "erase": false}]', '[{"points": []}]'):
        assert brush.strokes_from(text) == ()


def test_files_are_written_for_painted_frames_and_others_go(brush: Any, tmp_path: Path) -> None:
    """The top row of a file is the top of the picture. A note of what a Mask was drawn into does not stay."""
    pattern = str(tmp_path / "hero.area.####.exr")
    text = brush.text_of([brush.Stroke(((0.5, 0.9),), 0.1)])
    (tmp_path / "hero.area.drawn").write_text("{}")
    brush.write_areas(pattern, {1001: text, 1002: text}, (WIDE, HIGH))
    brush.write_areas(pattern, {1002: text}, (WIDE, HIGH))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hero.area.1002.exr"]
    area = read_image(tmp_path / "hero.area.1002.exr")[..., 0]
    assert area.shape == (HIGH, WIDE)
    assert (area[10, WIDE // 2], area[90, WIDE // 2]) == (1, 0)
