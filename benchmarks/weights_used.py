# SPDX-License-Identifier: Apache-2.0
"""Names the weights that a table was measured with, so that it can be seen when a table is older than the weights."""

from __future__ import annotations

from matanyone_engine.model.registry import locate, vet


def weights_line(model: str) -> str:
    """Return one line about a model's weights: its name, and the first eight characters of the file's SHA-256."""
    weights = vet(locate(model))
    return f"weights: {weights.label}, SHA-256 {weights.found.sha256[:8]}"
