# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import MaskError, PlateError
from matanyone_engine.media.images import check_ends, frame_rate, read_header, read_plate
from matanyone_engine.media.masks import read_mask
from matanyone_engine.sizes import Resolution

Write = Callable[..., Path]
Ramp = Callable[..., np.ndarray]


# -------------------------------------------------------------------------------------------------------- plates


@pytest.mark.parametrize(
    ("name", "pixel_format"),
    [
        ("p.exr", "half"),
        ("p.exr", "float"),
        ("p.tif", "float"),
        ("p.tif", "uint16"),
        ("p.png", "uint16"),
        ("p.dpx", "uint16"),
        ("p.png", "uint8"),
        ("p.tga", "uint8"),
        ("ü [1] %04d 日本.exr", "half"),
    ],
)
def test_values_come_out_as_they_are_in_the_file(write_image: Write, ramp: Ramp, name: str, pixel_format: str) -> None:
    levels = {"uint8": 255, "uint16": 65535}.get(pixel_format)
    pixels = ramp(7, 5) if levels is None else np.rint(ramp(7, 5) * levels).astype("uint32") / np.float32(levels)
    plate = read_plate(write_image(name, pixels.astype(np.float32), pixel_format))
    assert plate.rgb.dtype == np.float32
    # Exact for floats; an integer is one rounding away from code / greatest code.
    np.testing.assert_allclose(plate.rgb, pixels, rtol=0, atol=0 if levels is None else 1e-7)
    assert plate.header.resolution == (5, 7)
    assert plate.header.pixel_format == pixel_format


def test_negative_and_very_bright_values_are_legal(write_image: Write) -> None:
    pixels = np.array([[[-0.25, 12.5, 65504.0], [0, 1, 2]]], dtype=np.float32)
    np.testing.assert_array_equal(read_plate(write_image("p.exr", pixels)).rgb, pixels)


def test_ten_bit_dpx(write_image: Write, ramp: Ramp) -> None:
    codes = np.arange(4 * 6 * 3).reshape(4, 6, 3) * 10
    path = write_image("p.dpx", (codes / 1023).astype(np.float32), "uint16", attributes={"oiio:BitsPerSample": 10})
    np.testing.assert_allclose(read_plate(path).rgb, codes / 1023, atol=1e-4)


def test_unassociated_colour_is_not_premultiplied(write_image: Write) -> None:
    pixels = np.array([[[0.8, 0.6, 0.4, 0.2], [1, 1, 1, 0]]], dtype=np.float32)
    path = write_image("p.png", pixels, "uint16", attributes={"oiio:UnassociatedAlpha": 1})
    np.testing.assert_allclose(read_plate(path).rgb, pixels[..., :3], atol=1e-5)


@pytest.mark.parametrize(
    "channels",
    [
        ("R", "G", "B"),
        ("A", "B", "G", "R"),
        ("Z", "R", "G", "B", "A"),
        ("red", "green", "blue"),
        ("beauty.R", "beauty.G", "beauty.B"),
        ("depth.Z", "beauty.R", "beauty.G", "beauty.B", "beauty.A"),
        ("B", "G", "R", "diffuse.R", "diffuse.G", "diffuse.B"),
        ("R", "G", "B", "b", "g", "r"),
        ("r", "g", "b", "a"),
    ],
)
def test_rgb_is_found_by_name(write_image: Write, ramp: Ramp, channels: tuple[str, ...]) -> None:
    pixels = ramp(4, 6, len(channels))
    plate = read_plate(write_image("p.exr", pixels, channels=channels))
    prefix = "beauty." if "beauty.R" in channels else ""
    named = (("red", "green", "blue"), (f"{prefix}R", f"{prefix}G", f"{prefix}B"), ("r", "g", "b"))
    triple = next(names for names in named if set(names) <= set(channels))
    np.testing.assert_array_equal(plate.rgb, pixels[..., [channels.index(name) for name in triple]])


def test_one_luminance_channel_is_grey(write_image: Write, ramp: Ramp) -> None:
    pixels = ramp(4, 6, 1)
    np.testing.assert_array_equal(read_plate(write_image("p.exr", pixels, channels=("Y",))).rgb, pixels.repeat(3, 2))
    grey = read_plate(write_image("p.png", (pixels / 4).round(1), "uint8"))
    assert (grey.rgb[..., 0] == grey.rgb[..., 2]).all()


@pytest.mark.parametrize("channels", [("A",), ("X", "Y2"), ("R", "G"), ("depth.Z",)])
def test_no_rgb_lists_the_channels(write_image: Write, ramp: Ramp, channels: tuple[str, ...]) -> None:
    path = write_image("p.exr", ramp(4, 6, len(channels)), channels=channels)
    with pytest.raises(PlateError) as caught:
        read_header(path)
    assert all(name in str(caught.value) for name in channels)


def test_rgb_in_a_later_part(tmp_path: Path, ramp: Ramp) -> None:
    path = str(tmp_path / "parts.exr")
    depth, colour = oiio.ImageSpec(6, 4, 1, "float"), oiio.ImageSpec(6, 4, 3, "half")
    depth.channelnames = ("Z",)
    depth.attribute("oiio:subimagename", "depth")
    colour.attribute("oiio:subimagename", "rgb")
    output = oiio.ImageOutput.create(path)
    assert output.open(path, (depth, colour))
    assert output.write_image(ramp(4, 6, 1))
    assert output.open(path, colour, "AppendSubimage")
    assert output.write_image(ramp(4, 6))
    assert output.close()
    np.testing.assert_array_equal(read_plate(Path(path)).rgb, ramp(4, 6))
    check_ends(Path(path))


@pytest.mark.parametrize(
    ("data_at", "display"),
    [
        ((0, 0), (0, 0, 9, 7)),
        ((2, 3), (0, 0, 9, 8)),
        ((-2, -1), (0, 0, 3, 3)),
        ((-1, 3), (0, 0, 4, 6)),
        ((10, 20), (8, 19, 9, 7)),
        ((-5, -5), (-4, -7, 3, 11)),
        ((20, 0), (0, 0, 4, 4)),
    ],
)
def test_the_data_window_is_placed_in_the_display_window(
    write_image: Write, ramp: Ramp, data_at: tuple[int, int], display: tuple[int, int, int, int]
) -> None:
    pixels = ramp(4, 5) + 1
    path = write_image("p.exr", pixels, data_at=data_at, display=display)
    plate = read_plate(path)
    x0, y0, width, height = display
    expected = np.zeros((height, width, 3), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            row, column = y + y0 - data_at[1], x + x0 - data_at[0]
            if 0 <= row < 4 and 0 <= column < 5:
                expected[y, x] = pixels[row, column]
    np.testing.assert_array_equal(plate.rgb, expected)
    assert plate.header.display_window == display
    assert plate.header.data_window == (*data_at, 5, 4)
    assert plate.header.resolution == (width, height)
    check_ends(path)


def test_tiled(write_image: Write, ramp: Ramp) -> None:
    path = write_image("p.exr", ramp(50, 37), "float", tile=16, data_at=(-3, 5), display=(-3, 5, 37, 50))
    np.testing.assert_array_equal(read_plate(path).rgb, ramp(50, 37))
    check_ends(path)


def test_the_header(write_image: Write, ramp: Ramp) -> None:
    attributes = {
        "FramesPerSecond": ("rational", (24000, 1001)),
        "smpte:TimeCode": ("timecode", (0x01020304, 0)),
        "PixelAspectRatio": 2.0,
        "colorInteropID": "lin_ap1_scene",
    }
    header = read_header(write_image("p.exr", ramp(4, 6), attributes=attributes))
    assert header.fps == Fraction(24000, 1001)
    assert header.timecode == "01:02:03:04"
    assert header.pixel_aspect == 2.0
    assert header.colour["colorInteropID"] == "lin_ap1_scene"
    assert header.channels == ("R", "G", "B")
    assert (header.file_format, header.pixel_format) == ("openexr", "half")


@pytest.mark.parametrize(
    ("rate", "meant"),
    [
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (24.0, 24),
        (25.0, 25),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (0.0, None),
        (-1.0, None),
        (float("nan"), None),
    ],
)
def test_rates_written_as_decimals(rate: float, meant: Fraction | None) -> None:
    assert frame_rate(rate) == meant


def test_nan_is_counted_and_placed(write_image: Write, ramp: Ramp) -> None:
    pixels = ramp(4, 6)
    pixels[2, 3, 1] = np.nan
    pixels[3, 0] = np.inf
    path = write_image("p.0007.exr", pixels, display=(0, 0, 9, 9))
    with pytest.raises(PlateError, match=r"2 NaN or Inf pixels in .*p\.0007\.exr.* x=3 y=2"):
        read_plate(path)


# ------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("name", ["p.exr", "p.png", "p.jpg", "p.tif", "p.dpx"])
@pytest.mark.parametrize("share", [0.05, 0.6, 0.99])
def test_a_truncated_file_is_an_error_before_and_while_reading(write_image: Write, name: str, share: float) -> None:
    noise = np.random.default_rng(1).random((200, 300, 3), dtype=np.float32)
    path = write_image(name, noise, "half" if name == "p.exr" else "uint8")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    for read in (check_ends, read_plate):
        with pytest.raises(PlateError, match=re.escape(str(path))):
            read(path)


def test_truncated_tiles(write_image: Write) -> None:
    path = write_image("p.exr", np.random.default_rng(1).random((100, 90, 3), dtype=np.float32), tile=32)
    path.write_bytes(path.read_bytes()[:-200])
    for read in (check_ends, read_plate):
        with pytest.raises(PlateError):
            read(path)


@pytest.mark.parametrize("name", ["p.exr", "p.png", "p.jpg", "p.tif", "p.dpx"])
@pytest.mark.parametrize("content", [b"", b"<html><body>404 Not Found</body></html>", b"\0" * 5000])
def test_what_is_not_an_image_says_so(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_header, check_ends, read_plate):
        with pytest.raises(PlateError, match=re.escape(str(path))):
            read(path)
    with pytest.raises(MaskError, match=re.escape(str(path))):
        read_mask(path, (4, 4))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="no such file"):
        read_plate(tmp_path / "none.exr")
    with pytest.raises(PlateError, match="a folder"):
        read_plate(tmp_path)
    with pytest.raises(PlateError):
        read_plate(tmp_path / ("x" * 300 + ".exr"))


def test_a_sideways_photograph_is_refused(write_image: Write, ramp: Ramp) -> None:
    path = write_image("p.jpg", ramp(8, 8) / 256, "uint8", attributes={"Orientation": 6})
    with pytest.raises(PlateError, match="orientation 6"):
        read_header(path)


def test_one_bad_file_does_not_spoil_the_next(write_image: Write, tmp_path: Path, ramp: Ramp) -> None:
    good, bad = write_image("good.exr", ramp(4, 4)), tmp_path / "bad.exr"
    bad.write_bytes(b"x")
    with pytest.raises(PlateError):
        read_plate(bad)
    np.testing.assert_array_equal(read_plate(good).rgb, ramp(4, 4))


# --------------------------------------------------------------------------------------------------------- masks


SOFT = np.array([[[0.0], [0.25], [0.5]], [[0.75], [1.0], [0.125]]], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "pixel_format", "channels", "columns"),
    [
        ("m.exr", "half", ("A",), [SOFT]),
        ("m.exr", "float", ("Y",), [SOFT]),
        ("m.exr", "half", ("R", "G", "B", "A"), [0 * SOFT, 0 * SOFT, 0 * SOFT, SOFT]),
        ("m.exr", "half", ("R", "G", "B", "A"), [SOFT, SOFT, SOFT, SOFT**0]),
        ("m.exr", "half", ("R", "G", "B"), [SOFT, SOFT, SOFT]),
        ("m.exr", "half", ("Y", "A"), [0 * SOFT, SOFT]),
        ("m.exr", "half", ("Y", "A"), [SOFT, SOFT**0]),
        ("m.exr", "half", ("V",), [SOFT]),
        ("m.png", "uint8", None, [SOFT]),
        ("m.png", "uint16", None, [SOFT]),
        ("m.png", "uint16", ("R", "G", "B"), [SOFT, SOFT, SOFT]),
        ("m.tif", "uint16", None, [SOFT]),
        ("mü ñ.tif", "float", None, [SOFT]),
    ],
)
def test_masks_stay_soft_whatever_channel(
    write_image: Write, name: str, pixel_format: str, channels: tuple[str, ...] | None, columns: list[np.ndarray]
) -> None:
    path = write_image(name, np.concatenate(columns, axis=2), pixel_format, channels=channels)
    mask = read_mask(path, (3, 2))
    tolerance = 0.5 / 255 if pixel_format == "uint8" else 1e-5
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, SOFT[..., 0], atol=tolerance)


def test_a_16_bit_mask_keeps_all_its_levels(write_image: Write) -> None:
    codes = np.arange(65536).reshape(256, 256, 1)
    mask = read_mask(write_image("m.png", (codes / 65535).astype(np.float32), "uint16"), (256, 256))
    np.testing.assert_array_equal(np.rint(mask * 65535), codes[..., 0])


def test_a_coloured_picture_is_no_mask(write_image: Write) -> None:
    pixels = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]], dtype=np.float32)
    with pytest.raises(MaskError, match="a colour picture"):
        read_mask(write_image("m.exr", pixels), (4, 1))


def test_a_cropped_mask_is_placed(write_image: Write) -> None:
    path = write_image("m.exr", np.ones((1, 2, 4), np.float32), data_at=(1, 2), display=(0, 0, 4, 3))
    np.testing.assert_array_equal(read_mask(path, (4, 3)), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]])


def test_a_mask_of_another_size_names_both(write_image: Write) -> None:
    path = write_image("m.png", SOFT, "uint8")
    with pytest.raises(MaskError, match=r"1920x1080.*3x2"):
        read_mask(path, Resolution(1920, 1080))


@pytest.mark.parametrize("pixel_format", ["uint8", "uint16"])
def test_a_black_mask_is_refused(write_image: Write, pixel_format: str) -> None:
    path = write_image("m.png", np.zeros((2, 3, 1), np.float32), pixel_format)
    with pytest.raises(MaskError, match="a black mask"):
        read_mask(path, (3, 2))


def test_a_faint_mask_is_not_black(write_image: Write) -> None:
    path = write_image("m.exr", np.full((2, 3, 1), 2 / 255, np.float32), "half", channels=("A",))
    assert read_mask(path, (3, 2)).max() > 0


def test_float_masks_may_round_but_not_overshoot(write_image: Write) -> None:
    mask = read_mask(write_image("m.exr", SOFT * 1.0005, "float", channels=("A",)), (3, 2))
    assert mask.max() == 1.0
    for factor in (1.01, 255.0, -1.0):
        path = write_image("m.exr", SOFT * factor, "float", channels=("A",))
        with pytest.raises(MaskError, match="values from"):
            read_mask(path, (3, 2))


def test_nan_in_a_mask(write_image: Write) -> None:
    mask = SOFT.copy()
    mask[0, 0] = np.nan
    with pytest.raises(MaskError, match="1 NaN"):
        read_mask(write_image("m.exr", mask, channels=("A",)), (3, 2))


def test_a_mask_without_a_usable_channel(write_image: Write) -> None:
    path = write_image("m.exr", SOFT.repeat(2, 2), channels=("u", "v"))
    with pytest.raises(MaskError, match="u, v"):
        read_mask(path, (3, 2))
