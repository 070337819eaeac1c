# SPDX-License-Identifier: Apache-2.0
"""Shapes out of alphas, imported into a real Blender as a mask, and drawn by its own mask renderer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from blender_host import Host, plain, told_of
from shaped import FRAMES, SIZE, alpha_of, shapes

from matanyone_engine.shapes.plain import to_json

DRAWN = (FRAMES[0], 1003, FRAMES[-1])


def test_blender_draws_the_alphas_that_the_shapes_were_made_of(each_host: Host, tmp_path: Path) -> None:
    """They come as one mask with a layer for each shape. A file that the engine did not write is refused."""
    file = tmp_path / "ring.json"
    file.write_text(to_json(shapes().shapes))
    (tmp_path / "wrong.json").write_text(json.dumps({"format": "something else", "version": 1}))
    out = tmp_path / "drawn"
    out.mkdir()
    draw = {"name": "ring", "frames": DRAWN, "size": list(SIZE.resolution), "folder": str(out)}
    told = told_of(
        each_host,
        tmp_path / "blender",
        [
            *plain(("scene", {})),
            ("imported", ("import_shapes", {"file": str(file)})),
            *plain(("draw_mask", draw)),
            ("of others", ("run", {"operator": "matanyone.import_shapes", "filepath": str(tmp_path / "wrong.json")})),
        ],
    )
    assert not told["of others"]["ok"]
    assert "matanyone-engine shapes" in json.dumps(told["of others"])
    assert told["imported"]["ended"] == ["FINISHED"]
    assert told["imported"]["layers"] == ["shape1", "shape3", "hole2"]
    for frame in DRAWN:
        drawn = np.fromfile(out / f"{frame}.f4", "<f4").reshape(SIZE)
        truth = alpha_of(frame)
        both, either = (drawn > 0.5) & (truth > 0.5), (drawn > 0.5) | (truth > 0.5)
        assert both.sum() / either.sum() > 0.97, frame
        assert np.abs(drawn - truth).mean() < 0.01, frame
