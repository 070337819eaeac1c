# SPDX-License-Identifier: Apache-2.0
"""Makes training data for the tests of the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import write_backgrounds, write_everything

from matanyone_engine.training.synthetic import write_clip


@pytest.fixture(scope="session")
def every_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with a tiny copy of every layout; it is read only."""
    return write_everything(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with two drawn clips and backgrounds; it is read only."""
    root = tmp_path_factory.mktemp("drawn")
    for number in (1, 9):
        write_clip(root / "mat_vid/Drawn", number, 3)
    write_backgrounds(root)
    return root
