# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_a_damaged_file_gives_none_and_openimageio_names_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "a.exr", "RGB")
    path.write_bytes(path.read_bytes()[:-40])
    assert exr.read_colours(path, ("R", "G", "B")) is None
    assert exr.read_planes(path) is None
    with pytest.raises(PlateError, match=r"a\.exr"):
        read_plate(path)


# ------------------------------------------------------------------------------------------ checksums of a ZIPS file


def planes_of(channels: str = "RGBA", kind: type = np.float16, rows: int = 70) -> dict[str, np.ndarray]:
    """Soft, so that rows compress; two channels are one array, as in a matte."""
    y, x = np.mgrid[:rows, :56]
    made = {name: ((x + number * y) / 200).astype(kind) for number, name in enumerate(channels)}
    return {**made, "B": made["R"]} if "B" in made else made


def zips(path: Path, planes: dict[str, np.ndarray], **header: object) -> Path:
    window = (np.array([0, 0], np.int32), np.array([55, 69], np.int32))
    said = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.scanlineimage, "dataWindow": window, **header}
    exr.write_planes(path, said, planes)
    return path


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("channels", ["A", "RGBA", "RGBAXYZ"])
def test_a_complete_file_is_confirmed_by_its_checksums_and_reads_back_equal(
    tmp_path: Path, channels: str, kind: type
) -> None:
    planes = planes_of(channels, kind)
    origin = (np.array([-7, 30], np.int32), np.array([0, 0], np.int32))
    path = zips(tmp_path / "a.exr", planes, dataWindow=origin, long_name_of_more_than_31_characters="x" * 5000)
    assert exr.holds(path, planes, (-7, 30))
    assert not exr.holds(path, planes, (0, 30))
    assert not exr.holds(path, planes, (-7, 0))
    read = exr.read_planes(path)
    assert read is not None
    for name, plane in planes.items():
        np.testing.assert_array_equal(read[name], plane)


def test_one_wrong_bit_of_one_pixel_is_noticed(tmp_path: Path) -> None:
    path = zips(tmp_path / "a.exr", planes_of())
    for name, at in (("R", (0, 0)), ("A", (69, 55)), ("G", (31, 17))):
        meant = {channel: plane.copy() for channel, plane in planes_of().items()}
        meant[name].view(np.uint16)[at] ^= 1
        assert not exr.holds(path, meant, (0, 0))
    meant = planes_of()
    assert not exr.holds(path, {**meant, "Z": meant["R"]}, (0, 0))
    assert not exr.holds(path, {"X" if name == "A" else name: plane for name, plane in meant.items()}, (0, 0))
    assert not exr.holds(path, {name: plane[:-1] for name, plane in meant.items()}, (0, 0))
    assert not exr.holds(path, {name: plane.astype(np.float32) for name, plane in meant.items()}, (0, 0))


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1))
def test_a_file_that_is_cut_off_is_never_confirmed(cut: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = zips(Path(folder) / "a.exr", planes_of())
        data = path.read_bytes()
        path.write_bytes(data[: int(cut * (len(data) - 1))])
        assert not exr.holds(path, planes_of(), (0, 0))
        path.write_bytes(data[: int(cut * (len(data) - 1))].ljust(len(data), b"\0"))  # its end was never written
        assert not exr.holds(path, planes_of(), (0, 0))


def test_rows_that_zips_did_not_compress_are_not_confirmed(tmp_path: Path) -> None:
    """Rows of noise do not shrink: OpenEXR stores them plainly, without a checksum."""
    noise = np.random.default_rng(0).integers(0, 0x7C00, (70, 56)).astype(np.uint16).view(np.float16)
    path = zips(tmp_path / "a.exr", {"A": noise})
    assert not exr.holds(path, {"A": noise}, (0, 0))
    read = exr.read_planes(path)
    assert read is not None
    np.testing.assert_array_equal(read["A"], noise)


@pytest.mark.parametrize(
    "junk", [b"", b"v/1\1", b"v/1\1\2\0\0\0", b"v/1\1\2\0\0\0channels\0chlist\0\xff\xff\xff\x7f" * 9]
)
def test_junk_is_not_confirmed(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "a.exr").write_bytes(junk)
    assert not exr.holds(tmp_path / "a.exr", planes_of(), (0, 0))
