# SPDX-License-Identifier: Apache-2.0
"""A foreground out of log and display-referred plates: estimated in light, stored as the plate is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import ColourError
from matanyone_engine.media import color
from matanyone_engine.media.color import LinearLight
from matanyone_engine.media.color_spaces import config_name, known_space
from matanyone_engine.media.foreground import estimate_foreground
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import SUBJECT, Delivery, FrameContent, compose

HEIGHT, WIDTH = 40, 96
CODED = ("LogC3", "S-Log3", "sRGB", "Rec.709", "ACEScct")


def ocio(rgb: np.ndarray, source: str, target: str) -> np.ndarray:
    buffer = oiio.ImageBuf(np.ascontiguousarray(rgb, np.float32))
    names = (known_space(source), known_space(target))
    done = oiio.ImageBufAlgo.colorconvert(buffer, *names, unpremult=False, colorconfig=config_name())
    assert not done.has_error, done.geterror()
    return np.asarray(done.get_pixels(oiio.FLOAT))


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Alpha, plate and the true foreground in linear light: a dark jacket before a bright wall, a wide soft edge."""
    alpha = np.broadcast_to(np.clip(np.linspace(-0.5, 1.5, WIDTH), 0, 1), (HEIGHT, WIDTH)).astype(np.float32)
    jacket = np.broadcast_to(np.float32([0.06, 0.04, 0.09]), (HEIGHT, WIDTH, 3))
    wall = np.float32([0.7, 0.6, 0.4])
    return alpha, (alpha[..., None] * jacket + (1 - alpha[..., None]) * wall).astype(np.float32), jacket


def delivered(alpha: np.ndarray, plate: np.ndarray, light: LinearLight | None, layout: str) -> dict[str, np.ndarray]:
    content = FrameContent(PlateHeader.plain(Path("p.exr"), WIDTH, HEIGHT), {SUBJECT: alpha}, plate, light=light)
    return dict(compose(Delivery(layout, depth="float", foreground=True), content, (SUBJECT,), {}, ".exr").channels)


@pytest.mark.parametrize("space", CODED)
def test_the_foreground_is_estimated_in_linear_light_and_stored_in_the_plates_space(
    scene: tuple[np.ndarray, np.ndarray, np.ndarray], space: str
) -> None:
    alpha, plate, truth = scene
    coded = ocio(plate, "linear", space)
    channels = delivered(alpha, coded, LinearLight(space), "straight")
    stored = np.stack([channels[f"fg.{name}"] for name in "RGB"], axis=-1)
    np.testing.assert_array_equal(stored[alpha >= 1], coded[alpha >= 1])
    np.testing.assert_array_equal(channels["R"], coded[..., 0])
    soft = (alpha > 0.05) & (alpha < 1)
    in_light = ocio(stored, space, "linear")
    np.testing.assert_allclose(in_light[soft], estimate_foreground(plate, alpha)[soft], atol=2e-3)
    # What comes of mixing codes instead: the reason why plates with a curve were refused before.
    naive = ocio(estimate_foreground(coded, alpha), space, "linear")
    weight = alpha[..., None]
    error, mistake = (float((weight * np.abs(each - truth))[soft].mean()) for each in (in_light, naive))
    assert error < 0.75 * mistake


def test_the_header_names_linear_light_and_the_stored_space(
    scene: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    alpha, plate, _ = scene
    content = FrameContent(
        PlateHeader.plain(Path("p.exr"), WIDTH, HEIGHT), {SUBJECT: alpha}, plate, light=LinearLight("LogC3")
    )
    said = compose(Delivery("foreground"), content, (SUBJECT,), {}, ".exr").attributes
    words = next(item.value for item in said if item.name == "matanyone:foreground")
    assert "estimated in linear light, stored in ARRI LogC3" in words


@pytest.mark.parametrize("space", [*CODED, "ACEScc", "Log3G10", "V-Log", "ARRI LogC4", "Rec.2100-PQ - Display"])
def test_every_code_survives_conversion_to_light_and_back(space: str) -> None:
    generator = np.random.default_rng(1)
    codes = generator.uniform(0.1, 0.8, (32, 32, 1)) + generator.uniform(-0.1, 0.1, (32, 32, 3))
    codes = codes.astype(np.float32)
    light = LinearLight(space)
    np.testing.assert_allclose(light.back(light.of(codes)), codes, atol=1e-3)


def test_a_space_that_cannot_be_converted_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(color, "_convert", lambda rgb, *_: rgb * np.float32(0.5))
    with pytest.raises(ColourError, match="and back"):
        LinearLight("LogC3")
