# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.errors import ColourError, SettingError
from matanyone_engine.media.color import KNEE, NetworkView, find_exposure, shoulder
from matanyone_engine.media.color_spaces import config_name, known_space
from matanyone_engine.media.images import read_plate

Write = Callable[..., Path]

LINEAR, SRGB = "Linear Rec.709 (sRGB)", "sRGB Encoded Rec.709 (sRGB)"

TABLES = 4e-4
"""Display values: what half floats and tables may differ from OpenColorIO itself (docs/colour.md)."""


@pytest.fixture(autouse=True)
def _built_in_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


# The oracle of these tests, written down here once more so that it is not the engine's own.


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, clipped below 0."""
    linear = np.maximum(np.asarray(linear, np.float64), 0.0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def shown(linear: np.ndarray) -> np.ndarray:
    """Linear Rec.709 as the network sees a scene-referred plate."""
    encoded = srgb_curve(linear)
    over = np.maximum(encoded - 0.9, 0.0) / 0.1
    return np.where(encoded <= 0.9, encoded, 0.9 + 0.1 * over / (1.0 + over))


def ocio(rgb: np.ndarray, source: str, target: str) -> np.ndarray:
    """(H, W, 3) through OpenColorIO alone."""
    buffer = oiio.ImageBuf(np.ascontiguousarray(rgb, np.float32))
    done = oiio.ImageBufAlgo.colorconvert(buffer, source, target, unpremult=False, colorconfig=config_name())
    assert not done.has_error, done.geterror()
    return np.asarray(done.get_pixels(oiio.FLOAT))


DISPLAY = ("sRGB", "Rec.709")


def directly(plate: np.ndarray, space: str) -> np.ndarray:
    """What the network should see, without the engine's tables."""
    encoded = np.maximum(ocio(plate, space, SRGB), 0.0)
    return np.minimum(encoded, 1.0) if space in map(known_space, DISPLAY) else shoulder(encoded)


def natural_colours(count: int = 4096) -> np.ndarray:
    """(1, count, 3) linear Rec.709: 18 % grey, some stops up and down, some colour."""
    rng = np.random.default_rng(0)
    light = 0.18 * 2.0 ** rng.normal(0.0, 2.5, (1, count, 1)) * 2.0 ** rng.normal(0.0, 0.5, (1, count, 3))
    return light.astype(np.float32)


# ------------------------------------------------------------------------------------------------- known values

MIDDLE_GREY = {
    "ACEScg": 0.18,
    "ACES2065-1": 0.18,
    "linear Rec.709": 0.18,
    "ACEScct": 0.4135884,
    "ARRI LogC3": 400 / 1023,
    "ARRI LogC4": 0.2783957,
    "S-Log3": 420 / 1023,
    "S-Log3 S-Gamut3": 420 / 1023,
    "Log3G10": 1 / 3,
    "V-Log": 433 / 1023,
    "Rec.709": 0.4090077,
    "sRGB": 0.4613561,
}
"""Code values of 18 % grey as the makers and standards publish them."""


@pytest.mark.parametrize(("space", "code"), MIDDLE_GREY.items())
def test_middle_grey_of_every_space_reaches_the_network_as_middle_grey(space: str, code: float) -> None:
    """10-bit codes are rounded by up to half a code; nowhere is that more than 0.001 of display value."""
    grey = np.full((2, 2, 3), code, np.float32)
    np.testing.assert_allclose(NetworkView(space)(grey), 0.461356, atol=1e-3)


# sRGB codes of the 24 patches of a colour chart, as its maker publishes them.
PATCHES = (
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
)  # fmt: skip
DELIVERED = [
    ("ACEScg", "exr", "half", 0),
    ("ACES2065-1", "exr", "half", 0),
    ("linear Rec.709", "exr", "half", 0),
    ("ACEScct", "dpx", "uint16", 10),
    ("ARRI LogC3", "dpx", "uint16", 10),
    ("ARRI LogC4", "dpx", "uint16", 12),
    ("S-Log3", "dpx", "uint16", 10),
    ("Log3G10", "dpx", "uint16", 16),
    ("V-Log", "dpx", "uint16", 10),
    ("V-Log", "exr", "half", 0),
    ("sRGB", "png", "uint16", 0),
    ("Rec.709", "png", "uint16", 0),
    ("Rec.709", "tif", "uint16", 0),
]


@pytest.mark.parametrize(("space", "suffix", "kind", "bits"), DELIVERED)
def test_a_ramp_and_a_chart_come_back_from_files(
    write_image: Write, space: str, suffix: str, kind: str, bits: int
) -> None:
    """Encoded by OpenColorIO into the space, written as plates of it are, read, and shown to the network."""
    codes = np.float32(PATCHES) / 255.0
    chart = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    ramp = np.repeat(np.linspace(0.0, 1.0, 72, dtype=np.float32)[:, None] ** 2, 3, axis=1)
    linear = np.concatenate([chart, ramp]).reshape(4, 24, 3).astype(np.float32)
    encoded = ocio(linear, LINEAR, known_space(space))
    path = write_image(f"p.{suffix}", encoded, kind, attributes={"oiio:BitsPerSample": bits} if bits else {})
    plate = read_plate(path).rgb
    seen = NetworkView(space)(plate)
    np.testing.assert_allclose(seen, directly(plate, known_space(space)), atol=TABLES)
    expected = np.minimum(srgb_curve(linear), 1.0) if space in DISPLAY else shown(linear)
    # What the file itself rounds away: most in the darkest channel of a saturated patch, in ten bits.
    off = np.abs(seen - expected)
    assert off.mean() < 1e-3
    assert off[1:].max() < (4e-3 if bits == 10 or (suffix, space) == ("exr", "V-Log") else 1.5e-3)
    assert off.max() < 0.015


@pytest.mark.parametrize("space", sorted({known_space(name) for name in MIDDLE_GREY}))
def test_tables_give_what_opencolorio_gives(space: str) -> None:
    plate = ocio(natural_colours(), LINEAR, space)
    np.testing.assert_allclose(NetworkView(space)(plate), directly(plate, space), atol=TABLES)


def test_codes_outside_0_to_1_are_not_cut_off() -> None:
    """A log plate in float may go past its codes; a table cannot, so OpenColorIO is asked."""
    plate = np.array([[[0.4, 0.4, 0.4], [1.05, 1.05, 1.05], [-0.02, 0.1, 0.1]]], np.float32)
    expected = shoulder(np.maximum(ocio(plate, "ARRI LogC3 (EI800)", SRGB), 0))
    np.testing.assert_allclose(NetworkView("LogC3")(plate), expected, atol=TABLES)


# ----------------------------------------------------------------------------------------------------- the view


def test_linear_is_encoded_and_compressed() -> None:
    linear = np.array([[[0.18, 0.5, 1.0], [-0.25, 12.5, 65504.0], [0.0, 1e-4, 0.0031308]]], dtype=np.float32)
    before = linear.copy()
    view = NetworkView(LINEAR)(linear)
    np.testing.assert_allclose(view, shown(before), atol=TABLES)
    np.testing.assert_array_equal(linear, before)
    assert view.dtype == np.float32


def test_acescg_goes_through_its_primaries() -> None:
    """ACEScg grey 0.18 is Rec.709 grey 0.18; the ACEScg red primary is outside Rec.709: (1.705, -0.130, -0.024)."""
    view = NetworkView("ACEScg")(np.array([[[0.18, 0.18, 0.18], [0.5, 0, 0]]], dtype=np.float32))
    np.testing.assert_allclose(view[0, 0], 0.461356, atol=TABLES)
    np.testing.assert_allclose(view[0, 1], [shown(np.float64(0.8525)), 0, 0], atol=1e-3)


def test_srgb_passes_bit_for_bit() -> None:
    pixels = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    view = NetworkView(SRGB)(pixels)
    np.testing.assert_array_equal(view, pixels)
    assert not np.shares_memory(view, pixels)


@given(st.lists(st.floats(0, 2.0**100, width=32), min_size=2, max_size=40))
def test_the_shoulder_rises_ends_at_one_and_leaves_the_rest(values: list[float]) -> None:
    encoded = np.sort(np.float32(values))
    bent = shoulder(encoded)
    assert (np.diff(bent) >= 0).all()
    assert bent.max() <= 1.0
    np.testing.assert_array_equal(bent[encoded <= KNEE], encoded[encoded <= KNEE])


def test_the_shoulder_has_no_corner() -> None:
    """Slope 1 on both sides of the knee, and never steeper than 1."""
    encoded = np.linspace(KNEE - 0.01, KNEE + 0.01, 201)
    slope = np.diff(shoulder(encoded).astype(np.float64)) / np.diff(encoded)
    assert abs(slope[100] - 1.0) < 0.02
    assert abs(slope[99] - slope[101]) < 0.02
    assert slope.max() < 1.01


def test_bright_light_keeps_its_order() -> None:
    """The clip made all of these white."""
    linear = np.float32([0.9, 1.0, 1.5, 2, 4, 8, 16, 64, 1000, 65504])
    seen = NetworkView("ACEScg")(np.repeat(linear[None, :, None], 3, axis=2))[0, :, 1]
    assert (np.diff(seen) > 0).all()
    assert seen[1] == pytest.approx((1 + KNEE) / 2, abs=TABLES)
    assert seen[-1] < 1.0


@pytest.mark.parametrize("space", ["ACEScg", "linear", "LogC4", "sRGB", "Rec.709"])
@pytest.mark.parametrize("stops", [1.5, -2.0])
def test_exposure_is_light_times_two_to_the_stops(space: str, stops: float) -> None:
    light = natural_colours(256) * np.float32(0.1)
    plate = ocio(light, LINEAR, known_space(space))
    seen = NetworkView(space, stops)(plate)
    expected = (
        np.minimum(srgb_curve(light * 2.0**stops), 1) if space in DISPLAY and stops < 0 else shown(light * 2.0**stops)
    )
    np.testing.assert_allclose(seen, expected, atol=6e-4)


def test_exposure_lifts_a_display_plate_into_the_shoulder_not_into_a_clip() -> None:
    white = np.float32([0.6, 0.8, 0.9, 1.0])[None, :, None].repeat(3, axis=2)
    seen = NetworkView("sRGB", 1.0)(white)[0, :, 0]
    assert (np.diff(seen) > 0).all()
    assert seen[-1] < 1.0


@pytest.mark.parametrize("stops", [float("nan"), float("inf"), 17.0, -16.5])
def test_exposure_has_limits(stops: float) -> None:
    with pytest.raises(SettingError, match="stops"):
        NetworkView("ACEScg", stops)


def ramp_of_light(brightest_tenth: float) -> np.ndarray:
    """An evenly rising grey whose brightest tenth begins at this linear light."""
    return np.linspace(0.0, brightest_tenth / 0.9, 1000, dtype=np.float32).reshape(20, 50, 1).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("brightest_tenth", "stops"), [(0.9, 0), (0.18, 0), (0.046, 0), (0.044, 2), (0.18 / 2**5, 5), (1e-5, 8), (0.0, 0)]
)
@pytest.mark.parametrize("space", ["linear", "ACEScg", "sRGB"])
def test_only_very_dark_plates_are_found_to_need_light(space: str, brightest_tenth: float, stops: float) -> None:
    assert find_exposure(space, ocio(ramp_of_light(brightest_tenth), LINEAR, known_space(space))) == stops


@pytest.mark.parametrize(("brighter", "stops"), [(1.0, 0), (2.0, 0), (16.0, -5), (10_000.0, -8)])
def test_a_plate_in_other_units_is_found_to_be_too_bright(brighter: float, stops: float) -> None:
    """Renders in physical units have white at hundreds. A sun and its sky alone are no reason."""
    plate = ramp_of_light(0.9) * np.float32(brighter)
    assert find_exposure("ACEScg", plate) == stops
    plate = ramp_of_light(0.5)
    plate[:8] = 50_000.0
    assert find_exposure("ACEScg", plate) == 0


def test_odd_values_and_sizes_do_not_change_the_exposure_that_is_found() -> None:
    plate = np.repeat(np.repeat(ramp_of_light(0.18 / 2**4), 60, axis=0), 40, axis=1)
    plate[100:110, 100:120] = np.nan
    plate[200:210, 100:120] = np.inf
    assert find_exposure("linear", plate) == 4
    assert find_exposure("linear", np.full((3, 5, 3), np.nan, np.float32)) == 0


def test_levels_count_what_the_view_cannot_show() -> None:
    plate = np.full((10, 10, 3), 0.18, np.float32)
    plate[0, :, 0] = 0.85  # in the shoulder
    plate[1:3, :, 1] = 1.5  # above white
    plate[5, :5] = -0.01
    levels = NetworkView(LINEAR).levels(plate)
    assert levels == pytest.approx((0.3, 0.2, 0.05))
    assert NetworkView(LINEAR, 3.0).levels(plate).above_white == pytest.approx(0.95)
    assert NetworkView(SRGB).levels(plate.clip(0, 1)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "space",
    [LINEAR, "ACEScg", "ACEScc", "ADX10", "ARRI LogC4", "S-Log3", SRGB, "sRGB - Display", "Rec.2100-PQ - Display"],
)
def test_odd_values_give_numbers_in_range(space: str) -> None:
    pixels = np.array([[[-0.5, -1e-3, 3], [65504, 0, 1e-8], [1e-30, -65504, 0.5], [1, 1, 1]]], dtype=np.float32)
    view = NetworkView(space)(pixels)
    assert view.min() >= 0
    assert view.max() <= 1


def test_a_conversion_to_nan_is_an_error() -> None:
    with pytest.raises(ColourError, match="NaN in 1 pixels"):
        NetworkView("ACEScg")(np.float32([[[np.nan, 0.1, 0.1], [0.5, 0.5, 0.5]]]))


def test_a_read_only_crop_of_a_plate_can_be_viewed() -> None:
    plate = np.full((6, 6, 3), 0.18, dtype=np.float32)
    plate.setflags(write=False)
    for space in ("linear", "LogC3", "ACEScc"):
        assert NetworkView(space)(plate[1:4, ::2]).shape == (3, 3, 3)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_conversion_in_stripes_shows_no_seam(rows: int) -> None:
    plate = np.random.default_rng(1).random((rows, 5, 3), dtype=np.float32)
    view = NetworkView("ACEScg")
    np.testing.assert_array_equal(view(plate), np.concatenate([view(row[None]) for row in plate]))


def test_the_name_tells_the_whole_transform() -> None:
    name = NetworkView("acescg", -1.5).name
    assert all(
        part in name for part in ("ACEScg", "exposure -1.5 stops", SRGB, "studio-config-v4.0.0", "shoulder from")
    )
    assert "exposure" not in NetworkView("acescg").name
    assert "clipped to 0..1" in NetworkView("sRGB").name


def test_an_unknown_space_is_refused_when_the_view_is_made() -> None:
    with pytest.raises(ColourError):
        NetworkView("no such space")
