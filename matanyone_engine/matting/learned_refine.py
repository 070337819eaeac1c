# SPDX-License-Identifier: Apache-2.0
"""Brings an alpha of working size to the plate's size with the refiner in the network's weights.

The refiner runs where the alpha is not flat; elsewhere the alpha is only enlarged. So the cost follows the length of
the subject's edge and not the size of the plate.

Rules of this file:
1. Tiles of a plate are computed with the refiner's margin around them and give the same result as the whole plate.
2. It changes no state: a session remembers the alpha of working size.
3. A draft, whose working size is below the one that the network was trained for, is refined at half of the plate's size
   and then enlarged: a draft must be quick, and refining takes most of the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from matanyone_engine.matting.geometry import Box, Size, averaged
from matanyone_engine.matting.refine import enlarged_lines, soft_parts
from matanyone_engine.model.refiner import COLOUR_STRIDE, FOLD, MARGIN, MOST_ENLARGED, Refiner, edge_colours

TILE = 512
"""Side of a tile in plate pixels; it bounds the memory of the refiner's maps."""
SURE = 0.98
"""Alpha from which on the core is sure of the inside; refining never lowers it there. Colours that subject and
background share would open holes in a solid subject."""
NAME = "learned"


def learned_refined(
    refiner: Refiner,
    alpha: Tensor,
    seen: Tensor,
    plate: Tensor,
    box: Box | None = None,
    *,
    refined_at: Size | None = None,
) -> Tensor:
    """Return alpha (1, 1, h, w) at the plate's size (1, 1, H, W), refined from the plate (1, 3, H, W). seen (1, 3, h,
    w) is the plate at working size. All are 0..1.

    box: plate pixels outside of which the result is 0; None for the whole plate. refined_at: the size at which the
    alpha is refined before it is brought to the plate's size (refined_size()); None for the plate's size.
    """
    full, working = Size(*plate.shape[-2:]), Size(*alpha.shape[-2:])
    box = box or Box(0, 0, full.width, full.height)
    for size in steps_between(working, refined_at or full):
        larger = plate if size == full else seen
        if size not in (working, full):
            larger = averaged(plate, size)
        alpha, seen = _step(refiner, alpha, seen, larger, _scaled(box, full, size)), larger
    return alpha if alpha.shape[-2:] == full else _brought_to(alpha, full, box)


def refined_size(working: Size, full: Size, core_size: int | None) -> Size:
    """Return the size at which an alpha of working size is refined: the plate's size; for a draft, half of it; for a
    small plate that was enlarged for the network, the working size.

    core_size: the shortest side that the network was trained for (MatAnyone.core_size).
    """
    if min(working) > min(full):
        return working
    is_draft = working != full and core_size is not None and min(working) < core_size
    if not is_draft:
        return full
    return Size(*(max(small, large // 2) for small, large in zip(working, full, strict=True)))


def steps_between(working: Size, full: Size) -> Iterator[Size]:
    """Yield the sizes of the steps from working size to the plate's size; no step enlarges by more than
    MOST_ENLARGED."""
    ratio = max(full.height / working.height, full.width / working.width)
    count = max(1, math.ceil(math.log(ratio) / math.log(MOST_ENLARGED) - 1e-3))
    for number in range(1, count):
        part = number / count
        yield Size(*(round(small * (large / small) ** part) for small, large in zip(working, full, strict=True)))
    yield full


def _brought_to(alpha: Tensor, full: Size, box: Box) -> Tensor:
    """Bring an alpha (1, 1, h, w) bilinearly to the plate's size; outside of the box it is 0."""
    size = Size(*alpha.shape[-2:])
    if min(size) > min(full):
        return box.placed(box.cut(averaged(alpha, full)), full)
    crop = _Crop(box, _scaled(box, full, size), size.height / full.height, size.width / full.width)
    inside = crop.enlarged(crop.inner(alpha), (0, box.y1 - box.y0), (0, box.x1 - box.x0))
    return box.placed(inside, full)


def _scaled(box: Box, full: Size, size: Size) -> Box:
    """Return the box in pixels of a smaller plate, including pixels that it touches."""
    down, across = size.height / full.height, size.width / full.width
    return Box(
        math.floor(box.x0 * across),
        math.floor(box.y0 * down),
        min(math.ceil(box.x1 * across), size.width),
        min(math.ceil(box.y1 * down), size.height),
    )


def _step(refiner: Refiner, alpha: Tensor, seen: Tensor, plate: Tensor, box: Box) -> Tensor:
    """Enlarge the alpha to this plate's size, and refine it where it is not flat.

    Pixels outside of the box are not read: the result is that of a plate that was cropped to the box.
    """
    full, working = Size(*plate.shape[-2:]), Size(*alpha.shape[-2:])
    crop = _Crop(box, _scaled(box, full, working), working.height / full.height, working.width / full.width)
    inner, shown = crop.inner(alpha), box.cut(plate)
    smooth = crop.enlarged(inner, (0, shown.shape[-2]), (0, shown.shape[-1]))
    colours = edge_colours(inner, crop.inner(seen))
    refined, size = smooth.clone(), Size(*shown.shape[-2:])
    # A flat alpha needs no refining. Around it only the pixels matter that enlarging mixes in, and one more because the
    # two sizes of a crop may not fit exactly.
    for part in soft_parts(inner[0, 0], size, Box(0, 0, size.width, size.height), reach=2):
        for tile in _tiles(part):
            answer = _refined_tile(refiner, smooth, colours, shown, tile, crop)
            refined[..., tile.y0 : tile.y1, tile.x0 : tile.x1] = answer
    return box.placed(refined, full)


@dataclass(frozen=True)
class _Crop:
    """Holds a box of the plate, the matching box of the working frame, and the mapping between both."""

    box: Box
    working: Box
    down: float
    across: float
    """Working pixels per plate pixel along each axis."""

    @property
    def enlargement(self) -> float:
        return 1 / self.down

    def inner(self, x: Tensor) -> Tensor:
        """Return the box's part of a map of the working frame."""
        return self.working.cut(x)

    def enlarged(self, x: Tensor, rows: tuple[int, int], columns: tuple[int, int], stride: int = 1) -> Tensor:
        """Return rows and columns of the box, counted from its corner, enlarged from a map of its working part at a
        stride."""
        rows, columns = (
            (first + start, last + start) for (first, last), start in ((rows, self.box.y0), (columns, self.box.x0))
        )
        x = enlarged_lines(x, -2, rows, self.working.y0 / stride, self.down / stride)
        return enlarged_lines(x, -1, columns, self.working.x0 / stride, self.across / stride)


def _tiles(part: Box) -> Iterator[Box]:
    for top in range(part.y0, part.y1, TILE):
        for left in range(part.x0, part.x1, TILE):
            yield Box(left, top, min(left + TILE, part.x1), min(top + TILE, part.y1))


def _refined_tile(refiner: Refiner, smooth: Tensor, colours: Tensor, plate: Tensor, tile: Box, crop: _Crop) -> Tensor:
    """Return the refined alpha of one tile, (1, 1, rows, columns); a tile is counted from the corner of the crop's
    box.
    """
    rows, columns = _reach(tile.y0, tile.y1), _reach(tile.x0, tile.x1)
    shown, alpha = (_around(_around(each, -2, *rows), -1, *columns) for each in (plate, smooth))
    near = crop.enlarged(colours, rows, columns, COLOUR_STRIDE)
    refined = refiner(shown, alpha, near, crop.enlargement).clamp_(0, 1)
    refined = torch.where(alpha > SURE, torch.maximum(refined, alpha), refined)
    top, left = tile.y0 - rows[0], tile.x0 - columns[0]
    return refined[..., top : top + tile.y1 - tile.y0, left : left + tile.x1 - tile.x0]


def _reach(first: int, last: int) -> tuple[int, int]:
    """Return the first and last line that a tile's result depends on. Both are even, since the refiner turns pairs of
    lines into channels.
    """
    return (first - MARGIN) // FOLD * FOLD, -(-(last + MARGIN) // FOLD) * FOLD


def _around(x: Tensor, axis: int, first: int, last: int) -> Tensor:
    """Return lines first..last along an axis; beyond the border, the border's line is repeated."""
    length = x.shape[axis]
    if first >= 0 and last <= length:
        return x.narrow(axis, first, last - first)
    return x.index_select(axis, torch.arange(first, last, device=x.device).clamp_(0, length - 1))
