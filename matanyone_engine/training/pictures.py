# SPDX-License-Identifier: Apache-2.0
"""Sample pictures of a training run: what the network was shown, what it said, what was true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from matanyone_engine.atomic import whole_file
from matanyone_engine.training.passes import Answer, Batch


def sample_sheet(batch: Batch, answers: list[Answer]) -> Callable[[Path], None]:
    """A row per clip: first plate, guide mask, last plate, answer, truth. Returns what writes it to a PNG."""
    last = answers[-1].alpha.remembered.detach()
    columns = [batch.plates[:, 0], batch.guide, batch.plates[:, -1], last, batch.alphas[:, -1]]
    sheet = np.concatenate([np.concatenate(list(map(_picture, column)), axis=0) for column in columns], axis=1)

    def write(path: Path) -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())

    return write


def _picture(x: Tensor) -> NDArray[np.uint8]:
    """(1 or 3, H, W) 0..1 -> (H, W, 3) BGR."""
    pixels = x.detach().float().cpu().expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.ascontiguousarray((255 * np.clip(pixels, 0, 1)).round().astype(np.uint8)[..., ::-1])
