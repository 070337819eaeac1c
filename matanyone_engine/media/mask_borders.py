# SPDX-License-Identifier: Apache-2.0
"""Finds key masks that end a few pixels before the picture's border.

The network takes what lies between such a mask and the border for background, and remembers it for the whole shot
(docs/masks.md has figures). Only the artist knows whether the subject goes on there, so the mask is never changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.images import FloatImage

NEAR = 50
"""A mask is near a border if it ends closer to it than the picture's shorter side divided by this."""
_WIDE = 2
"""The mask has to end there over a stretch of this many times that distance: a slanting outline does not."""
_LEVEL = 1
"""The pixels by which most of the stretch may differ from the distance that is told."""
_SLANT = 0.5
"""An outline slants if its first and its last third are further from each other than the nearness times this."""


class Shortfall(NamedTuple):
    """Holds by how much a mask falls short of a border of the picture."""

    side: str
    """'upper', 'lower', 'left' or 'right'."""
    pixels: int
    """Rows or columns between the mask and the border, 1 or more: the median over the stretch."""

    @property
    def words(self) -> str:
        """Returns the warning for the artist."""
        return (
            f"the mask ends {self.gap} before the {self.side} border of the picture: "
            "if the subject goes on there, draw the mask to the border, or a strip of it is lost"
        )

    @property
    def gap(self) -> str:
        """Returns the distance in words."""
        return f"{self.pixels} pixel{'s' if self.pixels > 1 else ''}"


def shortfalls(mask: FloatImage) -> tuple[Shortfall, ...]:
    """Return the borders before which a mask (H, W) 0..1 ends, although it is near them over a long stretch."""
    solid = mask > 0.5
    reach = -(-min(mask.shape) // NEAR)
    sides = {"upper": solid[::-1], "lower": solid, "left": solid.T[::-1], "right": solid.T}
    found = ((side, _gap_below(turned[-reach - 1 :], reach)) for side, turned in sides.items())
    return tuple(Shortfall(side, gap) for side, gap in found if gap)


def warnings_about(mask: FloatImage) -> tuple[str, ...]:
    """Return the warnings for the artist about a key's mask (H, W) 0..1."""
    return tuple(each.words for each in shortfalls(mask))


def _gap_below(strip: NDArray[np.bool_], reach: int) -> int:
    """Return by how many rows the mask in a strip along the lower border falls short of it, over its longest stretch.

    0 means that there is no such stretch, or that its outline slants or bends.
    """
    gaps = np.where(strip.any(axis=0), np.argmax(strip[::-1], axis=0), 0)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], gaps > 0, [0]])))
    stretches = [gaps[begin:end] for begin, end in zip(ends[::2], ends[1::2], strict=True)]
    longest = max(stretches, key=len, default=gaps[:0])
    if len(longest) < _WIDE * reach:
        return 0
    third = -(-len(longest) // 3)
    slants = abs(float(longest[:third].mean() - longest[-third:].mean())) > _SLANT * reach
    gap = round(float(np.median(longest)))
    level = np.abs(longest - gap) <= _LEVEL
    return 0 if slants or 2 * level.sum() <= len(longest) else gap
