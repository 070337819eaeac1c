# SPDX-License-Identifier: Apache-2.0
"""Reads the image files that a job names, before the job is accepted.

The engine calls these functions in its sandbox process (engine/sandbox.py), since an image library may crash on a bad
file. So this module imports neither torch nor the rest of the jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from matanyone_engine.media.channels import Selection
from matanyone_engine.media.images import FloatImage, Plate
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.masks import read_constraint_mask, read_mask
from matanyone_engine.media.plates import check_plates, open_plate
from matanyone_engine.sizes import Resolution


def check_inputs(
    plate: str,
    wanted: Selection,
    frames: Sequence[int],
    masks: Iterable[MaskSource],
    constraints: Iterable[MaskSource],
    colorspace: str | None = None,
) -> None:
    """Read every input file of a job, so that a bad file is found before the work starts.

    colorspace: as in check_plates(). Raises PlateError, MaskError, ColourError.
    """
    first = check_plates(open_plate(plate, wanted=wanted), frames, colorspace=colorspace)
    for source in masks:
        read_mask(source, first.resolution, wanted.view)
    for source in constraints:
        read_constraint_mask(source, first.resolution, wanted.view)


def read_plate(plate: str, wanted: Selection, frame: int) -> Plate:
    """Read the frame that a first mask is made from. Raises PlateError."""
    return open_plate(plate, wanted=wanted).read(frame)


def read_start(path: Path, resolution: Resolution) -> FloatImage:
    """Read a mask or an alpha that is to be corrected, (H, W) 0..1, of the plate's size. Raises MaskError."""
    return read_constraint_mask(MaskSource(path), resolution)
