# SPDX-License-Identifier: Apache-2.0
"""Writes the pictures that training leaves on disk, and the sample sheets of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError

Pixels = NDArray[Any]
"""Arrays of float32. The type is wider, because cv2's functions are typed so."""
Rng = np.random.Generator

if TYPE_CHECKING:
    from torch import Tensor

    from matanyone_engine.training.passes import Batch, Prediction


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write 8-bit BGR or grey, by the suffix, whole or not at all. Raises OutputError."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 96] if path.suffix == ".jpg" else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(cv2.imencode(path.suffix, pixels, quality)[1].tobytes())
    except OSError as error:
        raise OutputError.of(str(path), error) from error


def sample_sheet(batch: Batch, answers: list[Prediction]) -> NDArray[np.uint8]:
    """Draw a row for each clip: first plate, guide mask, last plate, prediction, truth."""
    last = answers[-1].alpha.remembered.detach()
    columns = [batch.plates[:, 0], batch.guide, batch.plates[:, -1], last, batch.alphas[:, -1]]
    return np.concatenate([np.concatenate(list(map(_picture, column)), axis=0) for column in columns], axis=1)


def _picture(x: Tensor) -> NDArray[np.uint8]:
    """Return (1 or 3, H, W) 0..1 as (H, W, 3) BGR."""
    pixels = x.detach().float().cpu().expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.ascontiguousarray((255 * np.clip(pixels, 0, 1)).round().astype(np.uint8)[..., ::-1])
