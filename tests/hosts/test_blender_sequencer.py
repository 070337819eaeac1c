# SPDX-License-Identifier: Apache-2.0
"""The node group as a compositor modifier of the sequencer, which Blender has from 5.0 on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blender_extension import BLENDERS
from blender_host import KEY, MASK, MATTE, SMALL, Host, plain, set_up, told_of
from engines import running
from shots import make_shot, read_image

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")

TRIED = (5, 2)
"""Blender 5.0.1 itself crashes where a script adds a compositor modifier; Blender 4 has none."""


def test_the_group_keys_a_strip(each_host: Host, tmp_path: Path) -> None:
    """Each frame of the strip has its own alpha, and none where there is no file."""
    if tuple(map(int, each_host.blender.version.split(".")[:2])) < TRIED:
        pytest.skip("no Blender of 5.2 or later")
    shot = make_shot(tmp_path / "shot", count=4)
    mattes = tmp_path / "mattes"
    with running(tmp_path / "engine", "--root", str(tmp_path)) as engine:
        told = told_of(
            each_host,
            tmp_path / "blender",
            [
                *plain(("preferences", {"connection": str(engine.file)}), *set_up(shot, mattes), MASK, KEY),
                *plain(("setting", {"use_range": True, "first": 1001, "last": 1003})),
                ("matted", MATTE),
                *plain(
                    (
                        "into_sequencer",
                        {"file": str(shot.folder / "plate.1001.exr"), "group": "MatAnyone: plate", "first": 1001},
                    )
                ),
                *plain(
                    *(
                        ("render", {"frame": frame, "file": str(tmp_path / f"{frame}.exr"), "size": SMALL})
                        for frame in range(1001, 1005)
                    )
                ),
            ],
        )
    assert told["matted"]["outcome"] == "finished"
    for frame in range(1001, 1004):
        seen, alpha = read_image(tmp_path / f"{frame}.exr"), read_image(mattes / f"plate.{frame}.exr")[..., 3:]
        plate = read_image(shot.folder / f"plate.{frame}.exr")
        assert np.abs(seen[..., 3:] - alpha).max() < 2**-8, frame
        assert np.abs(seen[..., :3] - plate * alpha).max() < 2**-8, frame
    assert read_image(tmp_path / "1004.exr")[..., 3].max() == 0
