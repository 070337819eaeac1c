# SPDX-License-Identifier: Apache-2.0
"""Solves an alpha along the plate's own detail, in the area that an artist has painted (docs/refine_area.md).

In every window of 3 x 3 pixels the alpha is taken to be a linear function of the plate's colour: this is closed-form
matting, of which the library pymatting makes the equations. Two priors hold the solution: the network's alpha, most
where it is near 0 or 1, and, more weakly, the solution of the frame before, moved along the plate's motion.

Rules of this file:
1. pymatting is an optional extra and is imported where it is used; importing it takes seconds.
2. Memory does not grow with the plate: equations are made for one tile at a time. Tiles lie on a fixed grid, overlap,
   and are blended into each other.
3. Where the area is 0 the alpha stays as it is, bit for bit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import SettingError
from matanyone_engine.media.images import FloatImage

Inside = npt.NDArray[np.bool_]

TILE = 512
"""Pixels on each side of a tile, without its overlap."""
OVERLAP = 64
"""Pixels by which a tile reaches over its own edge on each side."""
_AROUND = 2
"""Pixels around the area that its equations speak of: a window of 3 x 3 that touches the area reaches so far."""
_CLOSE_ENOUGH = 1e-6
"""A tile is solved once its equations are wrong by this part of what they were wrong by with the network's alpha. So
close, machines that add in another order (numpy on more threads) agree to 1e-6; at 1e-4 they differed by 2e-5."""
_NOTHING_WRONG = 1e-9
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class PriorWeights:
    """Says how strongly priors hold a solution, beside the plate's own detail. benchmarks/refine_area.py chose them."""

    network: float = 0.03
    """Weight of the network's alpha where it is 0 or 1."""
    unsure: float = 0.01
    """Part of that weight which is left where the network's alpha is one half."""
    sureness: float = 4.0
    """How fast the weight rises towards 0 and 1: a power of the distance from one half."""
    before: float = 0.01
    """Weight of the solution of the frame before, where the network's alpha is one half and the plates match."""
    smoothness: float = 1e-6
    """Squared difference of colours, of plates 0..1, that counts as noise."""


WEIGHTS = PriorWeights()
MATCH = 8.0
"""Steps of 8 bits by which the moved plate of the frame before may differ before its solution has no say."""


class SolutionBefore(NamedTuple):
    """Holds the solution of the frame before, moved to this frame."""

    alpha: FloatImage
    """(H, W) 0..1."""
    trust: FloatImage
    """(H, W) 0..1: how well the plates match after the motion."""


def require_solver() -> None:
    """Raise SettingError where pymatting is not installed."""
    if importlib.util.find_spec("pymatting") is None:
        raise SettingError(
            expected="the library pymatting, which solves the area of --refine-area",
            came="an installation without it",
            action="Install it: pip install 'matanyone-engine[refine]'. Or leave --refine-area out.",
        )


def solutions(
    view: FloatImage,
    alpha: FloatImage,
    area: FloatImage,
    befores: Sequence[SolutionBefore | None],
    weights: PriorWeights = WEIGHTS,
) -> list[FloatImage]:
    """Return a solution (H, W) 0..1 for each prior of `befores`, whole wherever the area is not 0.

    view: (H, W, 3) display-referred 0..1, as the network sees the plate. alpha, area: (H, W) 0..1. A prior that is None
    leaves the network's alpha as the only one. The equations of a tile are made once for all priors.
    """
    inside = area > 0.0
    sums = [np.zeros(alpha.shape, np.float32) for _ in befores]
    total = np.zeros(alpha.shape, np.float32)
    for part in _tiles(alpha.shape):
        share = _share(part, alpha.shape)
        total[part] += share
        tile = _Tile(view[part], alpha[part], inside[part], weights)
        for found, before in zip(sums, befores, strict=True):
            moved = before and SolutionBefore(before.alpha[part], before.trust[part])
            found[part] += share * tile.solved(moved)
    return [np.where(inside, np.clip(found / total, 0.0, 1.0), alpha).astype(np.float32) for found in sums]


def faded(alpha: FloatImage, solution: FloatImage, area: FloatImage) -> FloatImage:
    """Return an alpha (H, W) that is the solution where the area is 1, itself where it is 0, and both in between."""
    return np.where(area > 0.0, alpha + area * (solution - alpha), alpha)


class _Tile:
    """Holds the equations of one tile."""

    def __init__(self, view: FloatImage, alpha: FloatImage, inside: Inside, weights: PriorWeights) -> None:
        self._alpha, self._inside, self._weights = alpha, inside, weights
        if inside.any():
            self._box = _box_of(inside)
            self._own = inside[self._box].ravel()
            self._make_equations(view[self._box])

    def _make_equations(self, view: FloatImage) -> None:
        from pymatting import cf_laplacian

        here = self._alpha[self._box].astype(np.float64).ravel()
        shown = np.ascontiguousarray(view, dtype=np.float64)
        laplacian = cf_laplacian(shown, epsilon=self._weights.smoothness, is_known=~self._own.reshape(shown.shape[:2]))
        rows = laplacian[self._own]
        self._matrix: Any = rows[:, self._own]
        self._known = rows[:, ~self._own] @ here[~self._own]
        self._network = here[self._own]
        sure = np.abs(2.0 * self._network - 1.0) ** self._weights.sureness
        self._before = self._weights.before * (1.0 - sure)
        self._sure = self._weights.network * (self._weights.unsure + (1.0 - self._weights.unsure) * sure)

    def solved(self, before: SolutionBefore | None) -> FloatImage:
        """Return the tile's alpha with its solution inside the area."""
        found = self._alpha.copy()
        if self._inside.any():
            found[self._inside] = self._solution(before)
        return found

    def _solution(self, before: SolutionBefore | None) -> npt.NDArray[np.float64]:
        from pymatting import cg, jacobi
        from scipy.sparse import diags

        weight, wished = self._sure, self._sure * self._network
        if before is not None:
            trust = self._before * before.trust[self._inside]
            weight = weight + trust
            wished = wished + trust * before.alpha[self._inside]
        matrix = self._matrix + diags(weight)
        wrong = wished - self._known - matrix @ self._network
        if np.abs(wrong).max() < _NOTHING_WRONG:  # a plain area of a plain alpha: there is nothing to solve
            return self._network
        change: npt.NDArray[np.float64] = cg(matrix, wrong, rtol=_CLOSE_ENOUGH, maxiter=_MOST_STEPS, M=jacobi(matrix))
        return self._network + change


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield the place of each tile with its overlap."""
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            yield (
                slice(max(0, top - OVERLAP), min(shape[0], top + TILE + OVERLAP)),
                slice(max(0, left - OVERLAP), min(shape[1], left + TILE + OVERLAP)),
            )


def _share(part: tuple[slice, slice], shape: tuple[int, ...]) -> FloatImage:
    """Return how much each pixel of a tile counts: less towards edges that other tiles reach over."""
    rows, columns = (_ramp(each, side) for each, side in zip(part, shape, strict=True))
    return np.asarray(rows[:, None] * columns[None, :], np.float32)


def _ramp(part: slice, side: int) -> FloatImage:
    place = np.arange(part.start, part.stop, dtype=np.float32) + 0.5
    ramp = np.ones_like(place)
    if part.start > 0:
        ramp = np.minimum(ramp, (place - part.start) / (2 * OVERLAP))
    if part.stop < side:
        ramp = np.minimum(ramp, (part.stop - place) / (2 * OVERLAP))
    return np.asarray(ramp, np.float32)


def _box_of(inside: Inside) -> tuple[slice, slice]:
    """Return the smallest box with the area of a tile and all pixels that its equations speak of."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        slice(max(0, rows[0] - _AROUND), rows[-1] + 1 + _AROUND),
        slice(max(0, columns[0] - _AROUND), columns[-1] + 1 + _AROUND),
    )
