# SPDX-License-Identifier: Apache-2.0
"""Solves an alpha along the plate's own detail, in the area that an artist has painted (docs/refine_area.md).

This is closed-form matting: in every window of 3 x 3 pixels, the alpha is assumed to be a linear function of the
plate's colour. The library pymatting makes the equations. Two priors are added: the network's alpha, whose weight is
greatest where it is near 0 or 1, and, weaker, the solution of the frame before, moved along the plate's motion.

Rules of this file:
1. pymatting is an optional extra and is loaded where it is used (media/matting_library.py); that takes seconds.
2. Memory does not grow with the plate: equations are made for one tile at a time. Tiles lie on a fixed grid, overlap,
   and are blended into each other.
3. Where the area is 0, the alpha does not change in any bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import SettingError
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.matting_library import is_installed, matting_library

Inside = npt.NDArray[np.bool_]

TILE = 512
"""Side of a tile in pixels, without its overlap."""
OVERLAP = 64
"""Pixels by which a tile extends beyond its edge on each side."""
_AROUND = 2
"""Pixels around the area that its equations contain: so far reaches a window of 3 x 3 that touches the area."""
_TOLERANCE = 1e-6
"""The residual at which a tile counts as solved, as a part of the residual of the network's alpha. With it, machines
that add in another order (numpy on more threads) agree to 1e-6; with 1e-4 they differed by 2e-5."""
_NO_RESIDUAL = 1e-9
"""If no equation is off by this much with the network's alpha, that is the solution."""
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class PriorWeights:
    """Holds the weights of the priors against the plate's own detail. They were chosen by benchmarks/refine_area.py."""

    network: float = 0.03
    """The weight of the network's alpha where it is 0 or 1."""
    unsure: float = 0.01
    """The part of that weight that remains where the network's alpha is one half."""
    sureness: float = 4.0
    """How fast the weight rises towards 0 and 1: the exponent of the distance from one half."""
    before: float = 0.01
    """The weight of the solution of the frame before, where the network's alpha is one half and the plates match."""
    smoothness: float = 1e-6
    """The squared difference of colours, of plates 0..1, that counts as noise."""


WEIGHTS = PriorWeights()
MATCH = 8.0
"""The difference, in 8-bit steps, between this plate and the moved plate of the frame before at which that frame's
solution is ignored."""


class SolutionBefore(NamedTuple):
    """Holds the solution of the frame before, moved to this frame."""

    alpha: FloatImage
    """(H, W) 0..1."""
    trust: FloatImage
    """(H, W) 0..1: how well the plates match after the motion."""


def require_solver() -> None:
    """Raise SettingError where pymatting is not installed."""
    if not is_installed():
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
    """Return a solution (H, W) 0..1 for each prior of `befores`, valid wherever the area is not 0.

    view: (H, W, 3) display-referred 0..1, as the network sees the plate. alpha, area: (H, W) 0..1. For None among
    `befores`, the network's alpha is the only prior. The equations of a tile are made once for all of them.
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
    """Blend an alpha (H, W) with its solution by the area: the solution where it is 1, the alpha where it is 0."""
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
        here = self._alpha[self._box].astype(np.float64).ravel()
        shown = np.ascontiguousarray(view, dtype=np.float64)
        known = ~self._own.reshape(shown.shape[:2])
        laplacian = matting_library().cf_laplacian(shown, epsilon=self._weights.smoothness, is_known=known)
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
        from scipy.sparse import diags

        library = matting_library()
        weight, target = self._sure, self._sure * self._network
        if before is not None:
            trust = self._before * before.trust[self._inside]
            weight = weight + trust
            target = target + trust * before.alpha[self._inside]
        matrix = self._matrix + diags(weight)
        residual = target - self._known - matrix @ self._network
        if np.abs(residual).max() < _NO_RESIDUAL:  # a plain area of a plain alpha
            return self._network
        change: npt.NDArray[np.float64] = library.cg(
            matrix, residual, rtol=_TOLERANCE, maxiter=_MOST_STEPS, M=library.jacobi(matrix)
        )
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
    """Return the weight of each pixel of a tile in the blend: it falls towards edges that other tiles overlap."""
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
    """Return the smallest box that holds the area of a tile and all pixels in its equations."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        slice(max(0, rows[0] - _AROUND), rows[-1] + 1 + _AROUND),
        slice(max(0, columns[0] - _AROUND), columns[-1] + 1 + _AROUND),
    )
