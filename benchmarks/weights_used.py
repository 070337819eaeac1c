# SPDX-License-Identifier: Apache-2.0
"""Names the weights that a table was measured with, so that it can be seen when a table is older than the weights."""

from __future__ import annotations

from pathlib import Path

from matanyone_engine.model.registry import locate, vet


def kept_for(folder: Path, model: str) -> Path:
    """Return where in a folder alphas of these very weights are kept, and make it: other weights have another place."""
    place = folder / vet(locate(model)).found.sha256[:8]
    place.mkdir(parents=True, exist_ok=True)
    return place


def weights_line(model: str) -> str:
    """Return one line about a model's weights: its name, and the first eight characters of the file's SHA-256."""
    weights = vet(locate(model))
    return f"weights: {weights.label}, SHA-256 {weights.found.sha256[:8]}"
