# SPDX-License-Identifier: Apache-2.0
"""Masks by box and clicks in every Blender: a key that can be taken up again, a spline to edit, an alpha corrected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prompted
import pytest
from blender_extension import BLENDERS
from blender_host import Host, plain, told_of
from engines import running
from shots import read_image

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")

SIZE = (prompted.WIDTH, prompted.HEIGHT)
CORNER = (0.1, 0.15)
"""A place far from the subject, 0..1 from the bottom left."""


def test_clicks_make_keys_splines_and_corrections(each_host: Host, tmp_path: Path) -> None:
    prompted.write_plate(tmp_path / "shot")
    x0, y0, x1, y1 = prompted.BOX
    box = [x0 / SIZE[0], 1 - y1 / SIZE[1], x1 / SIZE[0], 1 - y0 / SIZE[1]]
    middle = [prompted.CENTRE[0] / SIZE[0], 1 - prompted.CENTRE[1] / SIZE[1]]
    out = tmp_path / "mattes"
    with running(tmp_path / "engine", "--root", str(tmp_path)) as engine:
        told = told_of(
            each_host,
            tmp_path / "blender",
            [
                *plain(("preferences", {"connection": str(engine.file)}), ("scene", {})),
                *plain(("plate", {"file": str(tmp_path / "shot/plate.1001.exr"), "starts": 1001})),
                *plain(("setting", {"model": "toy", "settle_passes": 1, "out": str(out / "{shot}.####.exr")})),
                *plain(("at", {"frame": 1001})),
                *plain(("run", {"operator": "matanyone.point", "box": box, "click": middle})),
                ("clicked", ("clicked", {"frame": 1001})),
                *plain(("run", {"operator": "matanyone.key_to_spline"})),
                ("matted", ("run", {"operator": "matanyone.matte"})),
                *plain(("run", {"operator": "matanyone.key_jump", "frame": 1002})),
                *plain(("run", {"operator": "matanyone.point", "other": CORNER, "correct": True})),
                ("corrected", ("clicked", {"frame": 1002})),
                *plain(*(("setting", {"show": mode}) for mode in ("OFF", "RED", "CHECKER"))),
                ("left", ("disable", {})),
            ],
        )
    clicked, corrected = told["clicked"], told["corrected"]
    picture = read_image(Path(clicked["file"]))[..., 3]
    assert prompted.overlap(picture, prompted.disc()) > 0.9
    assert clicked["pointing"]["subject"] == [pytest.approx(middle, abs=1e-6)]
    assert clicked["pointing"]["corners"] == [pytest.approx(box[:2], abs=1e-6), pytest.approx(box[2:], abs=1e-6)]
    spline = read_image(out / "masks/plate/subject.1001.exr")[..., 0]
    assert prompted.overlap(spline, picture) > 0.93
    assert told["matted"]["outcome"] == "finished"
    start, mask = read_image(Path(corrected["pointing"]["start"]))[..., 3], read_image(Path(corrected["file"]))[..., 3]
    x, y = int(CORNER[0] * SIZE[0]), int((1 - CORNER[1]) * SIZE[1])
    assert mask[y, x] < 0.05
    assert np.array_equal(mask[:, 48:], start[:, 48:]), "far from the click the alpha stays as it is"
    assert not told["left"]["types"]
    assert not told["left"]["threads"]
