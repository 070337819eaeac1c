# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matanyone_engine.errors import ColourError
from matanyone_engine.media import color
from matanyone_engine.media.color import NetworkView, choose_space, config_name
from matanyone_engine.media.images import read_header

Write = Callable[..., Path]

LINEAR, SRGB = "Linear Rec.709 (sRGB)", "sRGB Encoded Rec.709 (sRGB)"
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
AP0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
ARRI_WIDE_GAMUT = (0.684, 0.313, 0.221, 0.848, 0.0861, -0.102, 0.3127, 0.329)


@pytest.fixture(autouse=True)
def _built_in_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


@pytest.fixture
def choose(write_image: Write) -> Callable[..., color.ColourChoice]:
    """choose(name, pixel format, header attributes) -> what is chosen for such a file."""

    def make(name: str, pixel_format: str, **attributes: Any) -> color.ColourChoice:
        named = {key.replace("__", ":"): value for key, value in attributes.items()}
        path = write_image(name, np.full((2, 2, 3), 0.25, np.float32), pixel_format, attributes=named)
        return choose_space(read_header(path), None, path.suffix)

    return make


# ------------------------------------------------------------------------------------------------ which space


@pytest.mark.parametrize(
    ("asked", "space"),
    [
        ("ACEScg", "ACEScg"),
        ("acescg", "ACEScg"),
        ("lin_ap1_scene", "ACEScg"),
        ("linear", LINEAR),
        ("sRGB", SRGB),
        ("arri_logc4", "ARRI LogC4"),
        ("scene_linear", "ACEScg"),
    ],
)
def test_the_name_asked_for_wins(write_image: Write, asked: str, space: str) -> None:
    header = read_header(
        write_image("p.exr", np.zeros((2, 2, 3), np.float32), attributes={"colorInteropID": "lin_ap0_scene"})
    )
    choice = choose_space(header, asked, ".exr")
    assert (choice.space, choice.reason) == (space, "asked for")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("LogC4", "'ARRI LogC4'"),
        ("slog3", "'S-Log3 S-Gamut3.Cine'"),
        ("ACEScgg", "'ACEScg'"),
        ("xyzzy", "--colorspace"),
    ],
)
def test_an_unknown_name_lists_what_is_like_it(asked: str, near: str) -> None:
    with pytest.raises(ColourError, match=re.escape(near)) as caught:
        choose_space(None, asked, ".exr")
    assert repr(asked) in str(caught.value)


def test_data_is_no_colour_space() -> None:
    with pytest.raises(ColourError, match="data, not colour"):
        choose_space(None, "Raw", ".exr")


@pytest.mark.parametrize(
    ("name", "pixel_format", "space"),
    [
        ("p.exr", "half", LINEAR),
        ("p.exr", "float", LINEAR),
        ("p.hdr", "float", LINEAR),
        ("p.tif", "float", LINEAR),
        ("p.tif", "uint16", SRGB),
        ("p.png", "uint16", SRGB),
        ("p.jpg", "uint8", SRGB),
    ],
)
def test_defaults_say_that_they_are(choose: Callable[..., Any], name: str, pixel_format: str, space: str) -> None:
    choice = choose(name, pixel_format)
    assert choice.space == space
    assert choice.reason.startswith("default for")
    assert Path(name).suffix in choice.reason


def test_movies_default_to_srgb() -> None:
    assert choose_space(None, None, ".mov").space == SRGB


@pytest.mark.parametrize(
    ("attributes", "space", "attribute"),
    [
        ({"colorInteropID": "lin_ap1_scene"}, "ACEScg", "colorInteropID"),
        ({"colorInteropID": "ocio:arrilogc4_awg4_scene"}, "ARRI LogC4", "colorInteropID"),
        ({"chromaticities": ("float[8]", AP1)}, "ACEScg", "chromaticities"),
        ({"chromaticities": ("float[8]", AP0)}, "ACES2065-1", "chromaticities"),
        ({"chromaticities": ("float[8]", REC709)}, LINEAR, "chromaticities"),
        ({"chromaticities": ("float[8]", AP0), "colorInteropID": "lin_ap1_scene"}, "ACEScg", "colorInteropID"),
        ({"chromaticities": ("float[8]", AP0), "colorInteropID": "data"}, "ACES2065-1", "chromaticities"),
    ],
)
def test_what_an_exr_states(choose: Callable[..., Any], attributes: dict[str, Any], space: str, attribute: str) -> None:
    choice = choose("p.exr", "half", **attributes)
    assert choice.space == space
    assert choice.reason == f"stated by the file ({attribute})"


def test_data_stated_is_nothing_stated(choose: Callable[..., Any]) -> None:
    assert choose("p.exr", "half", colorInteropID="data").reason.startswith("default")


def test_a_statement_that_cannot_be_followed_is_not_passed_over(choose: Callable[..., Any]) -> None:
    with pytest.raises(ColourError, match="chromaticities"):
        choose("p.exr", "half", chromaticities=("float[8]", ARRI_WIDE_GAMUT))
    with pytest.raises(ColourError, match="in_house_log"):
        choose("p.exr", "half", colorInteropID="in_house_log")


def test_log_is_never_guessed(choose: Callable[..., Any]) -> None:
    with pytest.raises(ColourError, match="cannot be guessed"):
        choose("p.dpx", "uint16")
    with pytest.raises(ColourError, match="KodakLog"):
        choose("p.dpx", "uint16", dpx__Transfer="Logarithmic")
    with pytest.raises(ColourError, match=r"\.cin"):
        choose_space(None, None, ".cin")


def test_a_dpx_that_states_its_transfer(choose: Callable[..., Any]) -> None:
    choice = choose("p.dpx", "uint16", dpx__Transfer="Linear")
    assert (choice.space, choice.reason) == (LINEAR, "stated by the file (dpx:Transfer)")


def test_a_png_with_another_gamma(choose: Callable[..., Any]) -> None:
    choice = choose("p.png", "uint16", oiio__ColorSpace="lin_rec709_scene")
    assert choice.space == LINEAR
    assert "PNG" in choice.reason


def test_exif_states_srgb(choose: Callable[..., Any]) -> None:
    assert choose("p.jpg", "uint8", Exif__ColorSpace=1).reason == "stated by the file (Exif:ColorSpace)"


# --------------------------------------------------------------------------------------------------- the config


def test_the_built_in_config_is_a_fixed_one() -> None:
    assert config_name() == "ocio://studio-config-v4.0.0_aces-v2.0_ocio-v2.5"


def test_the_config_of_the_studio_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCIO", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4")
    with pytest.raises(ColourError, match="cg-config"):
        choose_space(None, "ARRI LogC4", ".exr")
    view = NetworkView(choose_space(None, None, ".exr").space)
    assert "cg-config-v2.2.0" in view.name
    np.testing.assert_allclose(view(np.full((1, 1, 3), 0.18, np.float32)), 0.461356, atol=1e-5)


CUSTOM = """ocio_profile_version: 2
roles: {default: plates}
file_rules: [!<Rule> {name: Default, colorspace: default}]
displays: {d: [!<View> {name: v, colorspace: plates}]}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace> {name: plates}
"""


def test_a_config_without_srgb_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ü studio.ocio").write_text(CUSTOM, encoding="utf-8")
    monkeypatch.setenv("OCIO", str(tmp_path / "ü studio.ocio"))
    with pytest.raises(ColourError, match="a space for sRGB"):
        NetworkView("plates")


@pytest.mark.parametrize("content", [None, "not a config"])
def test_a_broken_config_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.ocio"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("OCIO", str(path))
    with pytest.raises(ColourError, match="environment variable OCIO"):
        choose_space(None, "ACEScg", ".exr")


# ----------------------------------------------------------------------------------------------------- the view


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, the oracle of these tests; the engine itself leaves the curve to OCIO."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)


def test_linear_is_encoded_and_clipped() -> None:
    linear = np.array([[[0.18, 0.5, 1.0], [-0.25, 12.5, 65504.0], [0.0, 1e-4, 0.0031308]]], dtype=np.float32)
    before = linear.copy()
    view = NetworkView(LINEAR)(linear)
    np.testing.assert_allclose(view, np.clip(srgb_curve(before), 0, 1), atol=2e-6)
    np.testing.assert_array_equal(linear, before)
    assert view.dtype == np.float32


def test_acescg_goes_through_its_primaries() -> None:
    """ACEScg grey 0.18 is Rec.709 grey 0.18; the ACEScg red primary is outside Rec.709: (1.705, -0.130, -0.024)."""
    view = NetworkView("ACEScg")(np.array([[[0.18, 0.18, 0.18], [0.5, 0, 0]]], dtype=np.float32))
    np.testing.assert_allclose(view[0, 0], 0.461356, atol=1e-5)
    np.testing.assert_allclose(view[0, 1], [srgb_curve(np.float64(0.8525)), 0, 0], atol=1e-3)


def test_srgb_passes_bit_for_bit() -> None:
    pixels = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    view = NetworkView(SRGB)(pixels)
    np.testing.assert_array_equal(view, pixels)
    assert not np.shares_memory(view, pixels)


@pytest.mark.parametrize(
    "space", [LINEAR, "ACEScg", "ACEScct", "ARRI LogC4", "S-Log3 S-Gamut3.Cine", SRGB, "sRGB - Display"]
)
def test_odd_values_give_numbers_in_range(space: str) -> None:
    pixels = np.array([[[-0.5, -1e-3, 3], [65504, 0, 1e-8], [1e-30, -65504, 0.5], [1, 1, 1]]], dtype=np.float32)
    view = NetworkView(space)(pixels)
    assert view.min() >= 0
    assert view.max() <= 1


def test_a_read_only_crop_of_a_plate_can_be_viewed() -> None:
    plate = np.full((6, 6, 3), 0.18, dtype=np.float32)
    plate.setflags(write=False)
    np.testing.assert_allclose(NetworkView(LINEAR)(plate[1:4, ::2]), 0.461356, atol=1e-5)


def test_the_name_tells_the_whole_transform() -> None:
    name = NetworkView("acescg").name
    assert all(part in name for part in ("ACEScg", SRGB, "studio-config-v4.0.0", "0..1"))


def test_an_unknown_space_is_refused_when_the_view_is_made() -> None:
    with pytest.raises(ColourError):
        NetworkView("no such space")
