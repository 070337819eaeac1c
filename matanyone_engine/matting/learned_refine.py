# SPDX-License-Identifier: Apache-2.0
"""Brings an alpha of working size to the plate's size with the refiner that a network's weights hold.

The refiner runs where the alpha is not flat; elsewhere the alpha is only enlarged. So the cost follows the length of
the subject's edge and not the size of the plate.

Rules of this file:
1. Parts of a plate are computed with the refiner's margin around them and give what the whole plate would give.
2. It only ever reads: what a session remembers is the alpha of working size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.matting.geometry import Box, Size
from matanyone_engine.matting.refine import enlarged_lines, soft_parts
from matanyone_engine.model.refiner import COLOUR_STRIDE, FOLD, MARGIN, MOST_ENLARGED, Refiner, edge_colours

TILE = 512
"""Plate pixels on a side that are computed at a time; bounds the memory that the refiner's maps take."""
NAME = "learned"


def learned_refined(refiner: Refiner, alpha: Tensor, seen: Tensor, plate: Tensor, box: Box | None = None) -> Tensor:
    """Return alpha (1, 1, h, w) at the plate's size (1, 1, H, W), refined from the plate (1, 3, H, W). seen (1, 3, h,
    w) is the plate at working size. All are 0..1.

    box: plate pixels outside of which the answer is 0; None for the whole plate.
    """
    full = Size(*plate.shape[-2:])
    box = box or Box(0, 0, full.width, full.height)
    for size in steps_between(Size(*alpha.shape[-2:]), full):
        if size == full:
            return _step(refiner, alpha, seen, plate, box)
        larger = F.interpolate(plate, size=size, mode="bilinear", align_corners=False, antialias=True)
        alpha, seen = _step(refiner, alpha, seen, larger, _scaled(box, full, size)), larger
    raise AssertionError("the last step is the plate's size")


def steps_between(working: Size, full: Size) -> Iterator[Size]:
    """Yield the sizes that an alpha takes on its way to the plate's, none enlarged by more than MOST_ENLARGED."""
    ratio = max(full.height / working.height, full.width / working.width)
    count = max(1, math.ceil(math.log(ratio) / math.log(MOST_ENLARGED) - 1e-3))
    for number in range(1, count):
        part = number / count
        yield Size(*(round(small * (large / small) ** part) for small, large in zip(working, full, strict=True)))
    yield full


def _scaled(box: Box, full: Size, size: Size) -> Box:
    """The box in a smaller plate's pixels, whichever it touches."""
    down, across = size.height / full.height, size.width / full.width
    return Box(
        math.floor(box.x0 * across),
        math.floor(box.y0 * down),
        min(math.ceil(box.x1 * across), size.width),
        min(math.ceil(box.y1 * down), size.height),
    )


def _step(refiner: Refiner, alpha: Tensor, seen: Tensor, plate: Tensor, box: Box) -> Tensor:
    """Enlarge the alpha to this plate's size and refine it where it is not flat."""
    full = Size(*plate.shape[-2:])
    scale = full.height / alpha.shape[-2]
    smooth = F.interpolate(alpha, size=full, mode="bilinear", align_corners=False)
    answer = alpha.new_zeros(1, 1, *full)
    answer[..., box.y0 : box.y1, box.x0 : box.x1] = smooth[..., box.y0 : box.y1, box.x0 : box.x1]
    colours = edge_colours(alpha, seen)
    # A flat alpha beside a soft one is sure already. Of the pixels around, only those count that enlarging mixes in.
    for part in soft_parts(alpha[0, 0], full, box, reach=1):
        for tile in _tiles(part):
            refined = _refined_tile(refiner, smooth, colours, plate, tile, scale)
            answer[..., tile.y0 : tile.y1, tile.x0 : tile.x1] = refined
    return answer


def _tiles(part: Box) -> Iterator[Box]:
    for top in range(part.y0, part.y1, TILE):
        for left in range(part.x0, part.x1, TILE):
            yield Box(left, top, min(left + TILE, part.x1), min(top + TILE, part.y1))


def _refined_tile(refiner: Refiner, smooth: Tensor, colours: Tensor, plate: Tensor, tile: Box, scale: float) -> Tensor:
    """The refined alpha of one tile, (1, 1, rows, columns)."""
    rows, columns = _reach(tile.y0, tile.y1), _reach(tile.x0, tile.x1)
    shown, alpha = (_around(_around(each, -2, *rows), -1, *columns) for each in (plate, smooth))
    to_colours = 1 / (COLOUR_STRIDE * scale)
    colours = enlarged_lines(colours, -2, rows, 0, to_colours)
    colours = enlarged_lines(colours, -1, columns, 0, to_colours)
    refined = refiner(shown, alpha, colours, scale).clamp_(0, 1)
    top, left = tile.y0 - rows[0], tile.x0 - columns[0]
    return refined[..., top : top + tile.y1 - tile.y0, left : left + tile.x1 - tile.x0]


def _reach(first: int, last: int) -> tuple[int, int]:
    """Lines that a tile's answer depends on. They begin and end at even ones: the refiner folds pairs of lines."""
    return (first - MARGIN) // FOLD * FOLD, -(-(last + MARGIN) // FOLD) * FOLD


def _around(x: Tensor, axis: int, first: int, last: int) -> Tensor:
    """Lines first..last along an axis; beyond the border the border's line goes on."""
    length = x.shape[axis]
    if first >= 0 and last <= length:
        return x.narrow(axis, first, last - first)
    return x.index_select(axis, torch.arange(first, last, device=x.device).clamp_(0, length - 1))
