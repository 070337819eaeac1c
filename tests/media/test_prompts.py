# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from matanyone_engine.errors import MaskError
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.sizes import Resolution

SIZE = Resolution(640, 360)
ON = Stroke(((300.0, 200.0),))


def test_a_box_is_cut_off_at_the_border_and_the_brush_goes_with_the_plate() -> None:
    on = Prompts((-20, 10, 700, 400), (ON,)).on(SIZE)
    assert on.box == (0, 10, 640, 360)
    assert on.brush == pytest.approx(3.6)
    assert str(on) == "box 0,10,640,360; stroke 300,200,+"
    assert Prompts(None, (ON,), brush=12).on(SIZE).brush == 12


def test_a_line_becomes_evenly_spaced_points() -> None:
    assert ON.samples == ON.points
    bent = Stroke(((0.0, 0.0), (30.0, 0.0), (30.0, 40.0))).samples
    assert bent[0] == (0.0, 0.0)
    assert bent[-1] == (30.0, 40.0)
    assert bent[3] == (30.0, 0.0), "after 30 of 70 pixels"


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (Prompts(), "a box around the subject"),
        (Prompts(None, (Stroke(((1.0, 1.0),), subject=False),)), "a box around the subject"),
        (Prompts((640, 0, 700, 100)), "on the plate, 640x360"),
        (Prompts((10, 10, 10, 20)), "x1 and y1 larger"),
        (Prompts((10, 10, 50, 50), (ON,)), "the subject inside the box"),
        (Prompts(None, (Stroke(((300.0, 360.0),)),)), "a point at 300,360"),
        (Prompts(None, (Stroke(((math.nan, 1.0),)),)), "a point at nan"),
        (Prompts(None, (Stroke(()),)), "at least one point"),
        (Prompts(None, (ON,), brush=0.0), "more than 0"),
        (Prompts(None, (ON,), brush=math.nan), "more than 0"),
        (Prompts(None, (ON,), brush=400.0), "at most 360"),
    ],
)
def test_impossible_prompts_are_refused(prompts: Prompts, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        prompts.on(SIZE)
