# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media import exr
from matanyone_engine.media.images import read_plate

PIXELS = np.random.default_rng(3).normal(0.3, 1.0, (40, 56, 4)).astype(np.float16)


def written(path: Path, channels: str, kind: object = oiio.HALF, tile: int = 0, **attributes: object) -> Path:
    spec = oiio.ImageSpec(56, 40, len(channels), kind)
    spec.channelnames = tuple(channels)
    spec.tile_width = spec.tile_height = tile
    for name, value in attributes.items():
        spec.attribute(name, value)
    output = oiio.ImageOutput.create("openexr")
    assert output.open(str(path), spec)
    assert output.write_image(np.ascontiguousarray(PIXELS[..., : len(channels)]))
    assert output.close()
    return path


@pytest.mark.parametrize("compression", ["none", "zip", "zips", "piz", "rle"])
@pytest.mark.parametrize(
    ("channels", "kind", "tile"), [("RGB", oiio.HALF, 0), ("RGBA", oiio.FLOAT, 0), ("BGRA", oiio.HALF, 16)]
)
def test_the_quick_way_gives_the_pixels_of_the_file(
    tmp_path: Path, channels: str, kind: object, tile: int, compression: str
) -> None:
    path = written(tmp_path / "a.exr", channels, kind, tile, compression=compression)
    expected = np.stack([PIXELS[..., channels.index(name)] for name in "RGB"], axis=-1).astype(np.float32)
    quick = exr.read_colours(path, tuple(channels))
    assert quick is not None
    assert quick.dtype == np.float32
    np.testing.assert_array_equal(quick, expected)
    np.testing.assert_array_equal(read_plate(path).rgb, expected)


@pytest.mark.parametrize("channels", ["Y", "RGBZ", "XYZ"])
def test_other_channels_are_left_to_openimageio(tmp_path: Path, channels: str) -> None:
    assert exr.read_colours(written(tmp_path / "a.exr", channels), tuple(channels)) is None


def test_a_damaged_file_gets_no_answer_and_then_a_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "a.exr", "RGB")
    path.write_bytes(path.read_bytes()[:-40])
    assert exr.read_colours(path, ("R", "G", "B")) is None
    assert exr.read_planes(path) is None
    with pytest.raises(PlateError, match=r"a\.exr"):
        read_plate(path)
