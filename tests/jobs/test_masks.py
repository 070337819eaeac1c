# SPDX-License-Identifier: Apache-2.0
"""Masks of a job that are one layer, or one label, of their file: FILE:LAYER and FILE#LABEL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from matanyone_engine.errors import MaskError
from matanyone_engine.jobs.masks import KeyMask, MaskReading, ObjectOptions, expanded, read_masks
from matanyone_engine.media.plates import open_plate

SIZE = (8, 6)
LEFT, RIGHT = np.zeros((6, 8), np.float32), np.zeros((6, 8), np.float32)
LEFT[:, :4], RIGHT[:, 4:] = 1, 1


def write(path: Path, channels: dict[str, np.ndarray]) -> Path:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {name: plane.copy() for name, plane in channels.items()}).write(str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for frame in (1, 2):
        write(tmp_path / f"plate.{frame}.exr", {name: np.full((6, 8), 0.5, np.float32) for name in "RGB"})
        write(tmp_path / f"roto.{frame}.exr", {"left.A": LEFT, "right.A": RIGHT})
    write(tmp_path / "ids.exr", {"A": (LEFT + 2 * RIGHT).astype(np.uint32)})
    return tmp_path


def test_each_key_reads_its_own_layer_of_one_file(folder: Path) -> None:
    source = open_plate(folder / "plate.#.exr")
    keys = expanded(
        [
            KeyMask(f"{folder}/roto.#.exr:left", (1, 2), "left"),
            KeyMask(f"{folder}/roto.1.exr:right.A", (1,), "right"),
            KeyMask(f"{folder}/ids.exr#2", (2,), "right"),
        ],
        source,
        1,
    )
    assert {key.path for key in keys} == {folder / "roto.1.exr", folder / "roto.2.exr", folder / "ids.exr"}
    masks = read_masks(keys, [], (1, 2), MaskReading(SIZE))
    for key in keys:
        np.testing.assert_array_equal(masks.mask(key.seed), LEFT if key.seed.subject == "left" else RIGHT)


def test_another_layer_of_one_file_is_another_mask_to_the_cache(folder: Path) -> None:
    source = open_plate(folder / "plate.#.exr")
    digests = []
    for choice in ("left", "right", "left.A"):
        keys = expanded([KeyMask(f"{folder}/roto.1.exr:{choice}", (1,))], source, 1)
        digests.append(read_masks(keys, [], (1,), MaskReading(SIZE)).keys[keys[0].seed].sha256)
    assert len(set(digests)) == 3


def test_constraint_masks_may_be_layers_too(folder: Path) -> None:
    source = open_plate(folder / "plate.#.exr")
    keys = expanded([KeyMask(f"{folder}/roto.1.exr:left", (1,))], source, 1)
    options = ObjectOptions(outside=f"{folder}/roto.#.exr:right", inside=f"{folder}/ids.exr#1")
    masks = read_masks(keys, [options], (1, 2), MaskReading(SIZE))
    held = masks.constraints(keys[0].seed.subject, 2)
    assert held.outside is not None
    assert held.inside is not None
    np.testing.assert_array_equal(held.outside, RIGHT)
    np.testing.assert_array_equal(held.inside, LEFT)


def test_what_cannot_be_decided_is_refused_while_the_job_is_planned(folder: Path) -> None:
    source = open_plate(folder / "plate.#.exr")
    keys = expanded([KeyMask(f"{folder}/roto.1.exr", (1,))], source, 1)
    with pytest.raises(MaskError, match=r"left\.A, right\.A"):
        read_masks(keys, [], (1,), MaskReading(SIZE))
