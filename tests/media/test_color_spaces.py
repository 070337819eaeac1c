# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matanyone_engine.errors import ColourError
from matanyone_engine.media import color_spaces
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import choose_space, config_name, known_space
from matanyone_engine.media.images import PlateHeader, read_header

Write = Callable[..., Path]

LINEAR, SRGB = "Linear Rec.709 (sRGB)", "sRGB Encoded Rec.709 (sRGB)"
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
AP0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
ARRI_WIDE_GAMUT = (0.684, 0.313, 0.221, 0.848, 0.0861, -0.102, 0.3127, 0.329)
UNHEARD_OF = (0.6, 0.3, 0.2, 0.7, 0.1, 0.1, 0.3127, 0.329)


@pytest.fixture(autouse=True)
def _built_in_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


@pytest.fixture
def choose(write_image: Write) -> Callable[..., color_spaces.ColourChoice]:
    """choose(name, pixel format, header attributes) -> what is chosen for such a file."""

    def make(name: str, pixel_format: str, **attributes: Any) -> color_spaces.ColourChoice:
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
    ("typed", "space"),
    [
        ("ACEScg", "ACEScg"),
        ("aces cg", "ACEScg"),
        ("ACES2065-1", "ACES2065-1"),
        ("aces", "ACES2065-1"),
        ("scene-linear Rec.709", LINEAR),
        ("linear", LINEAR),
        ("ACEScct", "ACEScct"),
        ("ARRI LogC3", "ARRI LogC3 (EI800)"),
        ("LogC3", "ARRI LogC3 (EI800)"),
        ("logc", "ARRI LogC3 (EI800)"),
        ("LogC4", "ARRI LogC4"),
        ("S-Log3", "S-Log3 S-Gamut3.Cine"),
        ("slog3", "S-Log3 S-Gamut3.Cine"),
        ("S-Log3 S-Gamut3", "S-Log3 S-Gamut3"),
        ("slog3 s-gamut3", "S-Log3 S-Gamut3"),
        ("Log3G10", "Log3G10 REDWideGamutRGB"),
        ("V-Log", "V-Log V-Gamut"),
        ("vlog", "V-Log V-Gamut"),
        ("sRGB", SRGB),
        ("srgb", SRGB),
        ("Rec.709", "Camera Rec.709"),
        ("rec709", "Camera Rec.709"),
        ("Rec.1886", "Gamma 2.4 Encoded Rec.709"),
        ("Gamma 2.4", "Gamma 2.4 Encoded Rec.709"),
    ],
)
def test_names_that_people_type(typed: str, space: str) -> None:
    assert known_space(typed) == space


def test_every_plain_name_has_a_space_in_the_built_in_config() -> None:
    assert [plain for plain, _ in color_spaces.plain_spaces()] == list(color_spaces.PLAIN_NAMES)
    assert len({space for _, space in color_spaces.plain_spaces()}) == len(color_spaces.PLAIN_NAMES)


def test_no_two_plain_names_are_typed_alike() -> None:
    typed = [color_spaces._bare(name) for plain in color_spaces.PLAIN_NAMES for name in {plain.name, *plain.also}]
    assert len(typed) == len(set(typed))


def test_the_choice_that_a_plain_name_leaves_open_is_printed() -> None:
    assert "S-Gamut3.Cine" in choose_space(None, "S-Log3", ".dpx").reason
    assert "EI 800" in choose_space(None, "LogC3", ".dpx").reason
    assert choose_space(None, "S-Log3 S-Gamut3", ".dpx").reason == "asked for"


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("LogC5", "'ARRI LogC4'"),
        ("S-Log2", "'S-Log3'"),
        ("ACEScgg", "'ACEScg'"),
        ("Wide Gamut 3", "'Linear ARRI Wide Gamut 3'"),
        ("Rec.790", "'Rec.709'"),
        ("xyzzy", "--colorspace"),
    ],
)
def test_an_unknown_name_lists_what_is_like_it(asked: str, near: str) -> None:
    with pytest.raises(ColourError, match=re.escape(near)) as caught:
        choose_space(None, asked, ".exr")
    assert repr(asked) in str(caught.value)


def test_a_name_of_any_length_makes_a_short_sentence() -> None:
    with pytest.raises(ColourError, match=r"got 'sRGBsRGB.{72}\.\.\. \(40000 characters\)', asked for") as caught:
        choose_space(None, 10000 * "sRGB", ".exr")
    assert len(str(caught.value)) < 500


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
        ("p.jpg", "uint8", SRGB),
    ],
)
def test_a_default_space_is_called_a_default(
    choose: Callable[..., Any], name: str, pixel_format: str, space: str
) -> None:
    choice = choose(name, pixel_format)
    assert choice.space == space
    assert choice.reason.startswith("default for")
    assert Path(name).suffix in choice.reason


def test_movies_default_to_srgb() -> None:
    choice = choose_space(None, None, ".mov")
    assert choice.space == SRGB
    assert "8 bits" in choice.reason


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
        ({"chromaticities": ("float[8]", ARRI_WIDE_GAMUT)}, "Linear ARRI Wide Gamut 3", "chromaticities"),
    ],
)
def test_what_an_exr_states(choose: Callable[..., Any], attributes: dict[str, Any], space: str, attribute: str) -> None:
    choice = choose("p.exr", "half", **attributes)
    assert choice.space == space
    assert choice.reason == f"stated by the file ({attribute})"


def test_an_aces_container_is_what_it_says(choose: Callable[..., Any]) -> None:
    """SMPTE ST 2065-4; OpenImageIO writes none but a whole one: half, uncompressed, with these primaries."""
    stated = choose("p.exr", "half", acesImageContainerFlag=1, compression="none", chromaticities=("float[8]", AP0))
    assert stated.space == "ACES2065-1"
    assert stated.reason.startswith("stated by the file")


@pytest.mark.parametrize(
    ("attribute", "value", "space"),
    [("oiio:ColorSpace", "ACEScg", "ACEScg"), ("acesImageContainerFlag", "1", "ACES2065-1")],
)
def test_what_an_exr_may_state_alone(attribute: str, value: str, space: str) -> None:
    plain = PlateHeader.plain(Path("p.exr"), 8, 8)
    header = replace(plain, file_format="openexr", pixel_format="half", colour={attribute: value})
    choice = choose_space(header, None, ".exr")
    assert (choice.space, choice.reason) == (space, f"stated by the file ({attribute})")


def test_a_statement_of_data_counts_as_no_statement(choose: Callable[..., Any]) -> None:
    assert choose("p.exr", "half", colorInteropID="data").reason.startswith("default")


def test_a_statement_without_a_known_space_is_an_error(choose: Callable[..., Any]) -> None:
    with pytest.raises(ColourError, match="chromaticities"):
        choose("p.exr", "half", chromaticities=("float[8]", UNHEARD_OF))
    with pytest.raises(ColourError, match="in_house_log"):
        choose("p.exr", "half", colorInteropID="in_house_log")


def test_log_is_never_guessed(choose: Callable[..., Any]) -> None:
    with pytest.raises(ColourError, match="Nobody can guess"):
        choose("p.dpx", "uint16")
    for transfer in ("Logarithmic", "Printing density"):
        with pytest.raises(ColourError, match=transfer):
            choose("p.dpx", "uint16", dpx__Transfer=transfer)
    with pytest.raises(ColourError, match=r"\.cin"):
        choose_space(None, None, ".cin")


@pytest.mark.parametrize(("transfer", "space"), [("Linear", LINEAR), ("ITU-R 709-4", "Camera Rec.709")])
def test_a_dpx_that_states_its_transfer(choose: Callable[..., Any], transfer: str, space: str) -> None:
    choice = choose("p.dpx", "uint16", dpx__Transfer=transfer)
    assert (choice.space, choice.reason) == (space, "stated by the file (dpx:Transfer)")


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
    np.testing.assert_allclose(view(np.full((1, 1, 3), 0.18, np.float32)), 0.461356, atol=2e-4)


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
    with pytest.raises(ColourError, match=r"a space for (sRGB|linear Rec\.709)"):
        NetworkView("plates")


STUDIO = """ocio_profile_version: 1
roles: {default: ACES - ACES2065-1, scene_linear: ACES - ACEScg, reference: ACES - ACES2065-1}
displays: {d: [!<View> {name: v, colorspace: Utility - sRGB - Texture}]}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace> {name: ACES - ACES2065-1}
  - !<ColorSpace>
    name: ACES - ACEScg
    to_reference: !<MatrixTransform> {matrix: [0.695452241357, 0.140678696470, 0.163869062172, 0,
      0.044794563372, 0.859671118456, 0.095534318172, 0, -0.005525882558, 0.004025210306, 1.001500672252, 0,
      0, 0, 0, 1]}
  - !<ColorSpace>
    name: Utility - Linear - Rec.709
    to_reference: !<MatrixTransform> {matrix: [0.439632981919, 0.382988698151, 0.177378319930, 0,
      0.089776442959, 0.813439428749, 0.096784128292, 0, 0.017541170383, 0.111546553302, 0.870912276314, 0,
      0, 0, 0, 1]}
  - !<ColorSpace>
    name: Utility - sRGB - Texture
    to_reference: !<GroupTransform>
      children:
        - !<ExponentWithLinearTransform> {gamma: [2.4, 2.4, 2.4, 1], offset: [0.055, 0.055, 0.055, 0]}
        - !<ColorSpaceTransform> {src: Utility - Linear - Rec.709, dst: ACES - ACES2065-1}
  - !<ColorSpace>
    name: Input - Sony - S-Log3 - S-Gamut3.Cine
    to_reference: !<BuiltinTransform> {style: SONY_SLOG3-SGAMUT3.CINE_to_ACES2065-1}
"""


def test_plain_names_find_their_space_in_a_studio_s_own_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A config of the ACES 1.x naming, in which no name is that of the built-in one."""
    (tmp_path / "studio.ocio").write_text(STUDIO.replace("version: 1", "version: 2"))
    monkeypatch.setenv("OCIO", str(tmp_path / "studio.ocio"))
    assert known_space("ACEScg") == "ACES - ACEScg"
    assert known_space("S-Log3") == "Input - Sony - S-Log3 - S-Gamut3.Cine"
    assert known_space("srgb") == "Utility - sRGB - Texture"
    with pytest.raises(ColourError, match=r"studio\.ocio"):
        known_space("LogC4")
    grey = np.full((1, 1, 3), 420 / 1023, np.float32)  # 18 % grey of S-Log3
    np.testing.assert_allclose(NetworkView("S-Log3")(grey), 0.461356, atol=2e-4)


@pytest.mark.parametrize("content", [None, "not a config"])
def test_a_broken_config_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.ocio"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("OCIO", str(path))
    with pytest.raises(ColourError, match="environment variable OCIO"):
        choose_space(None, "ACEScg", ".exr")
