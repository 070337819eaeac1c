# SPDX-License-Identifier: Apache-2.0
"""A real Blender loads our alphas. `make test-blender` installs one (the bpy wheel) and names its Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from shots import make_shot, read_image

from matanyone_engine.cli.main import main

BLENDER_PYTHON = os.environ.get("MATANYONE_BLENDER_PYTHON")
READER = Path(__file__).parent / "read_in_blender.py"

pytestmark = pytest.mark.skipif(not BLENDER_PYTHON, reason="no Blender named: run make test-blender")


def in_blender(image: Path, tmp_path: Path) -> tuple[np.ndarray, str]:
    """Pixels (H, W, 4) as Blender sees them, and what it printed."""
    command = [str(BLENDER_PYTHON), str(READER), str(image), str(tmp_path / "pixels.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.load(tmp_path / "pixels.npy"), done.stdout


def test_the_default_layout_shows_the_alpha_and_is_the_alpha(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=2)
    assert main(shot.arguments()) == 0
    pixels, said = in_blender(shot.alpha(1002), tmp_path)
    alpha = read_image(shot.alpha(1002))[..., 3]
    assert "type IMAGE" in said  # MULTILAYER would hide its pixels from the Image editor
    assert alpha.std() > 0.05
    for channel in range(4):
        assert np.abs(pixels[..., channel] - alpha).max() < 1e-3
