# SPDX-License-Identifier: Apache-2.0
"""Computes a frame's working size, its padding, and windows into the padded frame.

    plate pixels  -- working size -->  working pixels  -- padding -->  padded frame, a grid of cells of 16x16

Rule of this file: a window consists of whole cells of this grid. So maps at stride 16 move with a window without
resampling, and the window of all cells is the padded frame itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.model.dims import STRIDE
from matanyone_engine.sizes import Size

LARGEST_ENLARGEMENT = 1.5
"""Largest enlargement of a small plate: more would cost time and show nothing new."""
_TINY = 96
"""Computed pixels on the shortest side of a tiny plate, such as a crop of a distant face.

With fewer, one cell of the network's grid covers the whole subject, and the matte is lost with the first movement.
"""
_LONGEST_OF_TINY = 4 * _TINY
"""Most computed pixels on the longest side of a tiny plate, so that a narrow strip is not enlarged too much."""


class Box(NamedTuple):
    """Holds a rectangle of plate pixels, counted from the plate's top left; x1 and y1 lie outside."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __str__(self) -> str:
        return f"{self.x0},{self.y0},{self.x1},{self.y1}"

    def cut(self, x: Tensor) -> Tensor:
        """Return the box's part of a map (..., H, W) of the plate, as a view into the map."""
        return x[..., self.y0 : self.y1, self.x0 : self.x1]

    def placed(self, x: Tensor, full: Size) -> Tensor:
        """Place a map of the box in a map of the plate's size, which is 0 outside; return x itself if the box is the
        whole plate."""
        if x.shape[-2:] == full:
            return x
        return F.pad(x, (self.x0, full.width - self.x1, self.y0, full.height - self.y1))


def averaged(x: Tensor, size: Size) -> Tensor:
    """Shrink a map (B, C, H, W) of values 0..1 to (B, C, *size), 0..1, by averaging all its pixels.

    The result is clamped: the weights of a mean add up to 1 only within float32's precision, so a map of ones would
    become 1.0000001.
    """
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True).clamp_(0, 1)


@dataclass(frozen=True)
class Window:
    """Holds a rectangle of stride-16 cells of the padded frame; bottom and right lie outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Returns rows and columns of cells."""
        return self.bottom - self.top, self.right - self.left

    @property
    def cells(self) -> int:
        """Returns the number of cells, to which the cost of a frame is proportional."""
        rows, columns = self.size
        return rows * columns

    def holds(self, other: Window) -> bool:
        """Return whether the other window lies inside."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and self.bottom >= other.bottom
            and self.right >= other.right
        )

    def grown(self, cells: int) -> Window:
        """Return a window that is larger by so many cells on every side."""
        return Window(self.top - cells, self.left - cells, self.bottom + cells, self.right + cells)

    def within(self, outer: Window) -> Window:
        """Return the part of this window that lies in the outer one."""
        return Window(
            max(self.top, outer.top),
            max(self.left, outer.left),
            min(self.bottom, outer.bottom),
            min(self.right, outer.right),
        )

    def shifted(self, down: int, across: int) -> Window:
        """Return a window of the same size, shifted by so many cells."""
        return Window(self.top + down, self.left + across, self.bottom + down, self.right + across)

    def cut(self, x: Tensor, stride: int = STRIDE) -> Tensor:
        """Cut the window out of a map (1, C, H, W) of the padded frame that has `stride` pixels a cell."""
        if tuple(x.shape[-2:]) == (self.bottom * stride, self.right * stride) and not (self.top or self.left):
            return x
        rows = slice(self.top * stride, self.bottom * stride)
        return x[..., rows, self.left * stride : self.right * stride].contiguous()

    def placed(self, x: Tensor, outer: Window, stride: int = STRIDE) -> Tensor:
        """Place a map of this window in another window: it is cut off at that window's border, and 0 outside of this
        one."""
        if self == outer:
            return x
        edges = (
            self.left - outer.left,
            outer.right - self.right,
            self.top - outer.top,
            outer.bottom - self.bottom,
        )
        return F.pad(x, tuple(edge * stride for edge in edges)).contiguous()


@dataclass(frozen=True)
class Geometry:
    """Converts frames of one size to the network's working size, and its alphas back."""

    frame: Size
    working: Size
    """The size that is computed: the frame's own; smaller if the shortest side is limited; larger if the network was
    trained for larger frames."""

    @classmethod
    def of(cls, frame: Size, working_size: int | None, core_size: int | None = None) -> Geometry:
        """Make the geometry of a frame.

        working_size: limits the shortest side in pixels; None is core_size. core_size: the shortest side that the
        network was trained for (MatAnyone.core_size). Smaller frames are enlarged to it within the limit, at most
        LARGEST_ENLARGEMENT times, tiny ones more. Every size is then rounded to whole cells, because such a network has
        never seen padding. None is a network for any size: its frames are padded and never enlarged.
        """
        shortest = min(frame)
        if core_size is not None:
            limit = core_size if working_size is None else working_size
            enlarged = min(limit, core_size, _enlarged(frame))
            return cls(frame, _whole_cells(frame, min(limit, max(shortest, enlarged)) / shortest))
        if working_size is None or shortest <= working_size:
            return cls(frame, frame)
        # Truncates in this order, as the published system does: 320 * 96 / 180 is 170.
        return cls(frame, Size(*(int(side / shortest * working_size) for side in frame)))

    @property
    def scaled(self) -> bool:
        """Returns whether more or fewer pixels are computed than the plate has."""
        return self.working != self.frame

    @property
    def enlarged(self) -> bool:
        """Returns whether more pixels are computed than the plate has."""
        return min(self.working) > min(self.frame)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Returns the padding left, right, top and bottom up to multiples of 16; an odd pixel goes right or below."""
        height, width = self.working
        down, across = -height % STRIDE, -width % STRIDE
        return across // 2, across - across // 2, down // 2, down - down // 2

    @property
    def whole(self) -> Window:
        """Returns the window of all cells of the padded frame."""
        height, width = self.working
        return Window(0, 0, -(-height // STRIDE), -(-width // STRIDE))

    def prepare(self, x: Tensor, *, smooth: bool = False) -> Tensor:
        """Bring (1, C, *frame) to working size and pad it with zeros, which are black before normalisation: (1, C, H,
        W).
        """
        return F.pad(self.shrink(x, smooth=smooth), self.padding)

    def shrink(self, x: Tensor, *, smooth: bool = False) -> Tensor:
        """Bring (1, C, *frame) of values 0..1 to working size: (1, C, *working).

        smooth: every pixel of the frame counts. Without, a working pixel is made of the four nearest ones, as the
        published system does it: of a frame five times as large it leaves most out, and fine texture flickers.
        """
        if not self.scaled:
            return x
        if self.enlarged:
            return F.interpolate(x, size=self.working, mode="bicubic", align_corners=False).clamp_(0, 1)
        if smooth:
            return averaged(x, self.working)
        return F.interpolate(x, size=self.working, mode="bilinear", align_corners=False)

    def unpad(self, x: Tensor) -> Tensor:
        """Take the padding of (1, C, H, W) away: (1, C, *working)."""
        left, _, top, _ = self.padding
        height, width = self.working
        return x[..., top : top + height, left : left + width]

    def restore(self, x: Tensor) -> Tensor:
        """Bring a padded map (1, C, H, W) of values 0..1 back to the plate's size: (1, C, *frame)."""
        x = self.unpad(x)
        if not self.scaled:
            return x
        if self.enlarged:
            return averaged(x, self.frame)
        return F.interpolate(x, size=self.frame, mode="bilinear", align_corners=False)

    def window_of(self, box: Box) -> Window:
        """Return the smallest window that contains every pixel of the box, cut off at the frame's border."""
        left, _, top, _ = self.padding
        down, across = (working / full for working, full in zip(self.working, self.frame, strict=True))
        return Window(
            math.floor((box.y0 * down + top) / STRIDE),
            math.floor((box.x0 * across + left) / STRIDE),
            math.ceil((box.y1 * down + top) / STRIDE),
            math.ceil((box.x1 * across + left) / STRIDE),
        ).within(self.whole)

    def box_of(self, window: Window) -> Box:
        """Return the box of plate pixels outside of which an alpha of this window is 0 at the plate's size."""
        left, _, top, _ = self.padding
        y0, y1 = self._reach(window.top * STRIDE - top, window.bottom * STRIDE - top, axis=0)
        x0, x1 = self._reach(window.left * STRIDE - left, window.right * STRIDE - left, axis=1)
        return Box(x0, y0, x1, y1)

    def _reach(self, start: int, stop: int, axis: int) -> tuple[int, int]:
        """Return the plate pixels that working pixels start..stop influence; if the frame is resampled, that is half of
        the larger pixel more.
        """
        scale = self.frame[axis] / self.working[axis]
        slack = 0.5 * max(1.0, 1 / scale) if self.scaled else 0.0
        first, last = math.floor((start - slack) * scale), math.ceil((stop + slack) * scale)
        return max(0, first), min(self.frame[axis], last)


def _enlarged(frame: Size) -> int:
    """Return the most computed pixels on the shortest side of a small plate."""
    shortest, longest = min(frame), max(frame)
    tiny = min(_TINY, _LONGEST_OF_TINY * shortest // longest)
    return max(tiny, round(LARGEST_ENLARGEMENT * shortest))


def _whole_cells(frame: Size, scale: float) -> Size:
    """Return the frame's size times the scale, each side rounded to whole cells."""
    return Size(*(max(STRIDE, STRIDE * round(side * scale / STRIDE)) for side in frame))
