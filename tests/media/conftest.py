# SPDX-License-Identifier: Apache-2.0
"""Gives the media tests real image files, written with OpenImageIO directly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """Return write_image(name, pixels (H, W, C), pixel_format, ...), which returns the path of the file below
    tmp_path.
    """

    def write(
        name: str,
        pixels: np.ndarray,
        pixel_format: str = "half",
        channels: tuple[str, ...] | None = None,
        data_at: tuple[int, int] = (0, 0),
        display: tuple[int, int, int, int] | None = None,
        attributes: dict[str, Any] | None = None,
        tile: int = 0,
    ) -> Path:
        height, width, count = pixels.shape
        spec = oiio.ImageSpec(width, height, count, pixel_format)
        if channels:
            spec.channelnames = channels
        spec.x, spec.y = data_at
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = display or (0, 0, width, height)
        spec.tile_width = spec.tile_height = tile
        spec.tile_depth = 1 if tile else 0
        for key, value in (attributes or {}).items():
            if isinstance(value, tuple) and isinstance(value[0], str):
                spec.attribute(key, oiio.TypeDesc(value[0]), value[1])
            else:
                spec.attribute(key, value)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        output = oiio.ImageOutput.create(str(path))
        assert output.open(str(path), spec), output.geterror()
        assert output.write_image(np.ascontiguousarray(pixels)), output.geterror()
        assert output.close(), output.geterror()
        return path

    return write


@pytest.fixture
def ramp() -> Callable[..., np.ndarray]:
    """Return ramp(height, width, channels): float32, every value different and exact in half."""

    def make(height: int, width: int, channels: int = 3) -> np.ndarray:
        count = height * width * channels
        return (np.arange(count, dtype=np.float32) / 256.0).reshape(height, width, channels)

    return make
