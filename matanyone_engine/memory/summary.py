# SPDX-License-Identifier: Apache-2.0
"""Adds up the object summary over time: sums and areas of every memory frame."""

from __future__ import annotations

from torch import Tensor

AREA_FLOOR = 1e-4
"""Keeps a query that never saw any area from dividing by zero."""


def accumulated(total: Tensor | None, frame: Tensor) -> Tensor:
    """Add one frame's summary (B, Q, D + 1) to the total; the first one is the total."""
    return frame if total is None else total + frame


def normalised(total: Tensor) -> Tensor:
    """Return the mean feature of each query (B, Q, D) from (B, Q, D + 1), whose last column is the area."""
    return total[..., :-1] / (total[..., -1:] + AREA_FLOOR)
