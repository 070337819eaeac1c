# SPDX-License-Identifier: Apache-2.0
"""Makes what the refiner learns from: patches of plates, the core's alpha enlarged to them, and the true alpha.

The core answers as it does for a user: a session follows the composed clip at a working size smaller than the plate.
So the refiner sees the core's real errors.

Rule of this file: a clip's patches are a function of (the seed, the clip's number).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from matanyone_engine.matting.geometry import Geometry, Size
from matanyone_engine.matting.refine import enlarged_lines
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.refiner import COLOUR_STRIDE, MARGIN, MOST_ENLARGED, edge_colours
from matanyone_engine.training import augment
from matanyone_engine.training.augment import Rng
from matanyone_engine.training.data import MattingSamples
from matanyone_engine.training.pictures import Pixels

PLATE = Size(432, 640)
"""Pixels of the composed plates."""
FRAMES = 5
PATCH = 96 + 2 * MARGIN
"""Pixels on a side of a patch; its outer MARGIN is context and teaches nothing."""
_PATCHES = 8
"""Of each frame."""
_NOT_ENLARGED = 0.25
"""Of the clips: plates that are no larger than the core computes, whose alphas the refiner sharpens only."""
_SOFT = 0.02
_WRONG = 0.05


class RefinerPatches(NamedTuple):
    """Holds patches of one clip, side by side, 8 or 16 bits a value."""

    plate: NDArray[np.uint8]
    """(N, 3, PATCH, PATCH), display-referred."""
    alpha: NDArray[np.uint16]
    """(N, 1, PATCH, PATCH): the core's, enlarged bilinearly."""
    colours: NDArray[np.uint8]
    """(N, 6, PATCH, PATCH): edge_colours() of the whole frame, enlarged."""
    truth: NDArray[np.uint8]
    """(N, 1, PATCH, PATCH)."""
    enlarged: float
    """Plate pixels to a pixel of the core."""


def patches_of_clip(network: MatAnyone, samples: MattingSamples, rng: Rng) -> RefinerPatches:
    """Compose one clip, have the network matte it, and cut patches where its alpha or the true one has an edge."""
    clip = samples.shot(rng, FRAMES, PLATE)
    enlarged = 1.0 if rng.random() < _NOT_ENLARGED else float(rng.uniform(1.2, MOST_ENLARGED))
    working_size = round(PLATE.height / enlarged)
    geometry = Geometry.of(PLATE, working_size, network.core_size)
    enlarged = PLATE.height / geometry.working.height
    session = MattingSession(network, working_size=working_size, refine=False, hold_tolerance=None)
    cut: list[Tensor] = []
    for number, (plate, truth) in enumerate(zip(clip.plates, clip.alphas, strict=True)):
        if number:
            session.advance(plate)
        else:
            mask = augment.guide_mask(rng, truth)
            session.seed(plate, mask if mask.max() > 0 else truth)
        alpha = geometry.unpad(session.state.known().alpha)
        cut += _cut(rng, _whole(plate, alpha, truth, geometry, enlarged))
    patches = (torch.stack(cut) if cut else torch.empty(0, 11, PATCH, PATCH)).numpy()  # a subject may fill the frame
    return RefinerPatches(
        np.round(255 * patches[:, :3].clip(0, 1)).astype(np.uint8),
        np.round(65535 * patches[:, 3:4]).astype(np.uint16),
        np.round(255 * patches[:, 4:10].clip(0, 1)).astype(np.uint8),
        np.round(255 * patches[:, 10:]).astype(np.uint8),
        enlarged,
    )


def _whole(plate: Pixels, alpha: Tensor, truth: Pixels, geometry: Geometry, enlarged: float) -> Tensor:
    """Return all that a patch holds of a frame, (11, *PLATE): plate, alpha, colours, truth."""
    shown = torch.from_numpy(np.ascontiguousarray(plate.transpose(2, 0, 1)))[None]
    colours = edge_colours(alpha, geometry.shrink(shown, smooth=True))
    scale = 1 / (COLOUR_STRIDE * enlarged)
    colours = enlarged_lines(colours, -2, (0, PLATE.height), 0, scale)
    colours = enlarged_lines(colours, -1, (0, PLATE.width), 0, scale)
    larger = F.interpolate(alpha, size=PLATE, mode="bilinear", align_corners=False)
    return torch.cat([shown[0], larger[0].clamp(0, 1), colours[0], torch.from_numpy(truth)[None]])


def _cut(rng: Rng, whole: Tensor) -> Iterator[Tensor]:
    """Yield patches around random pixels at which either alpha is soft or the core is wrong."""
    alpha, truth = whole[3], whole[10]
    soft = ((alpha > _SOFT) & (alpha < 1 - _SOFT)) | ((truth > _SOFT) & (truth < 1 - _SOFT))
    rows, columns = torch.nonzero(soft | ((alpha - truth).abs() > _WRONG), as_tuple=True)
    if not len(rows):
        return
    padded = F.pad(whole[None], [MARGIN] * 4, mode="replicate")[0]
    for pick in rng.integers(len(rows), size=_PATCHES):
        top, left = _start(int(rows[pick]), PLATE.height, rng), _start(int(columns[pick]), PLATE.width, rng)
        yield padded[:, top : top + PATCH, left : left + PATCH]


def _start(at: int, length: int, rng: Rng) -> int:
    """Return where a patch begins in a padded axis so that the pixel lies somewhere inside of its margin."""
    inner = PATCH - 2 * MARGIN
    return int(np.clip(at - rng.integers(inner // 4, 3 * inner // 4), 0, length - inner)) // 2 * 2
