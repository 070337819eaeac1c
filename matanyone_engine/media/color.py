# SPDX-License-Identifier: Apache-2.0
"""Colour: which space a plate is in, and the view of it that the network gets.

Rules of this file:
1. All colour maths of the engine is here, and all of it is OpenColorIO's (through OpenImageIO).
2. A space is named by the artist, stated by the file, or a default that is printed; logarithmic is never guessed.
3. The plate's own array is never touched.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import OpenImageIO as oiio

from matanyone_engine.errors import ColourError
from matanyone_engine.media.images import FLOAT_FORMATS, FloatImage, PlateHeader
from matanyone_engine.media.sequence import MOVIE_SUFFIXES

# Fixed, so that a name means the same next year; the newest one only where this one is not known.
BUILT_IN_CONFIG = "ocio://studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
NEWEST_BUILT_IN_CONFIG = "ocio://studio-config-latest"

# The two spaces that the engine itself speaks of: the first name that the config knows.
SRGB_NAMES = (
    "sRGB Encoded Rec.709 (sRGB)",
    "srgb_rec709_scene",
    "sRGB - Texture",
    "srgb_tx",
    "srgb_texture",
    "Utility - sRGB - Texture",
    "sRGB",
)
LINEAR_NAMES = (
    "Linear Rec.709 (sRGB)",
    "lin_rec709_scene",
    "lin_rec709",
    "lin_srgb",
    "Utility - Linear - sRGB",
    "Utility - Linear - Rec.709",
    "scene-linear Rec.709-sRGB",
)

_LOG_SUFFIXES = (".dpx", ".cin")
_FLOAT_SUFFIXES = (".exr", ".hdr")
# Interop ids by which a file says that its pixels are not a known colour: as good as nothing said.
_NO_COLOUR = frozenset({"data", "raw", "unknown"})

# x and y of red, green, blue and white, in the order of OpenEXR's attribute.
_CHROMATICITIES = {
    (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290): "lin_rec709_scene",
    (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767): "lin_ap0_scene",
    (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767): "lin_ap1_scene",
    (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290): "lin_rec2020_scene",
}
_ICC_PROFILES = {"srgb": "srgb_rec709_scene", "display p3": "srgb_p3d65_scene", "adobe rgb": "g22_adobergb_scene"}


@dataclass(frozen=True)
class ColourChoice:
    """space: a name of the OCIO config in use; reason: who said so, for printing and for provenance."""

    space: str
    reason: str


def choose_space(header: PlateHeader | None, asked: str | None, suffix: str) -> ColourChoice:
    """The plate's colour space: the one asked for, else the one the file states, else the default of its format.

    suffix: of the plate's files, '.exr'. Raises ColourError if a name is unknown, or if there is no default.
    """
    if asked is not None:
        return ColourChoice(_known_space(asked, "asked for"), "asked for")
    stated = _stated_space(header) if header is not None else None
    return stated or _default_space(header, suffix.lower())


class NetworkView:
    """What the network sees: display-referred sRGB (texture encoding, no view transform), clipped to 0..1.

    Only the network's copy: the plate that is composited later keeps its values.
    """

    def __init__(self, space: str) -> None:
        self._space = _known_space(space, "asked for")
        self._target = _engine_space(SRGB_NAMES, "sRGB")
        self._config = config_name()

    @property
    def name(self) -> str:
        """The transform, for provenance: source, target and the config that defines both."""
        return f"{self._space} -> {self._target}, clipped to 0..1 ({self._config})"

    def __call__(self, rgb: FloatImage) -> FloatImage:
        """(H, W, 3) float32 in the plate's space -> (H, W, 3) float32 sRGB 0..1; the argument is not altered.

        Raises ColourError where the transform gives no number (values the space cannot hold).
        """
        if self._space == self._target:
            return np.clip(rgb, 0.0, 1.0)
        source = oiio.ImageBuf(np.ascontiguousarray(rgb, dtype=np.float32))
        view = oiio.ImageBufAlgo.colorconvert(
            source, self._space, self._target, unpremult=False, colorconfig=self._config
        )
        if view.has_error:
            raise _no_transform(self.name, view.geterror())
        pixels = np.asarray(view.get_pixels(oiio.FLOAT))
        if np.isnan(pixels).any():
            raise _no_transform(self.name, f"NaN in {int(np.isnan(pixels).any(axis=-1).sum())} pixels")
        return np.clip(pixels, 0.0, 1.0, out=pixels)


def config_name() -> str:
    """The OCIO config in use: $OCIO if it is set, else the fixed built-in studio config."""
    return os.environ.get("OCIO") or _built_in_config()


def is_linear(space: str) -> bool:
    """Whether values of this space are proportional to light, as the OCIO config in use knows it."""
    return bool(_config(config_name()).isColorSpaceLinear(space))


# --------------------------------------------------------------------------------------------- stated or default


def _stated_space(header: PlateHeader) -> ColourChoice | None:
    """What the file itself states. OpenImageIO adds an oiio:ColorSpace to formats that state nothing."""
    for attribute, value in _statements(header):
        if value.lower() not in _NO_COLOUR:
            reason = f"stated by the file ({attribute})"
            return ColourChoice(_known_space(value, reason), reason)
    return None


def _statements(header: PlateHeader) -> Iterator[tuple[str, str]]:
    """(attribute, space) of everything in the header that really was in the file, most telling first."""
    colour = header.colour
    if header.file_format == "openexr":
        for attribute in ("colorInteropID", "oiio:ColorSpace"):
            if attribute in colour:
                yield attribute, colour[attribute]
        if "chromaticities" in colour:
            yield "chromaticities", _space_of_chromaticities(colour["chromaticities"])
    if header.file_format == "dpx" and "oiio:ColorSpace" in colour:
        yield "dpx:Transfer", colour["oiio:ColorSpace"]
    profile = colour.get("ICCProfile:profile_description", "").lower()
    for beginning, space in _ICC_PROFILES.items():
        if profile.startswith(beginning):
            yield "ICC profile", space
    if header.file_format == "png" and colour.get("oiio:ColorSpace", "srgb_rec709_scene") != "srgb_rec709_scene":
        yield "PNG gamma or cICP", colour["oiio:ColorSpace"]
    if "Exif:ColorSpace" in colour and colour["Exif:ColorSpace"] == "1":
        yield "Exif:ColorSpace", "srgb_rec709_scene"


def _space_of_chromaticities(text: str) -> str:
    stated = [float(number) for number in text.split()]
    for known, space in _CHROMATICITIES.items():
        if np.allclose(stated, known, atol=1e-3):
            return space
    raise ColourError(
        expected="chromaticities of Rec.709, Rec.2020, ACES2065-1 or ACEScg",
        came=f"others in the plate's header: {text}",
        action="Name the plate's colour space with --colorspace.",
    )


def _default_space(header: PlateHeader | None, suffix: str) -> ColourChoice:
    if suffix in _LOG_SUFFIXES:
        raise ColourError(
            expected=f"a colour space for the {suffix} plate",
            came="none, and none is stated in the file",
            action="Name it with --colorspace: whether it is logarithmic, and of which camera, cannot be guessed.",
        )
    is_float = suffix in _FLOAT_SUFFIXES or (header is not None and header.pixel_format in FLOAT_FORMATS)
    kind = "movies" if suffix in MOVIE_SUFFIXES else f"{'float' if is_float else 'integer'} {suffix} files"
    space = _engine_space(LINEAR_NAMES, "linear Rec.709") if is_float else _engine_space(SRGB_NAMES, "sRGB")
    return ColourChoice(space, f"default for {kind}; the file does not say")


# -------------------------------------------------------------------------------------------------- OCIO configs


def _known_space(name: str, who: str) -> str:
    """The config's own name for a space, a role, an alias or an interop id; ColourError if it knows none."""
    config = _config(config_name())
    spaces = config.getColorSpaceNames()
    resolved: str = config.resolve(name)
    if resolved not in spaces:
        resolved = next((space for space in spaces if config.get_color_interop_id(space) == name), "")
    if not resolved:
        near = _near_names(name, config)
        raise ColourError(
            expected=f"a colour space of {config_name()}",
            came=f"{name!r}, {who}",
            action=(f"Perhaps {' or '.join(near)}? " if near else "") + "Name it with --colorspace.",
        )
    if config.isData(resolved):
        raise ColourError(
            expected="a colour space",
            came=f"{name!r}, {who}: that is data, not colour",
            action="Name the space that the plate's values are in.",
        )
    return resolved


def _near_names(name: str, config: Any) -> list[str]:
    """Names of the config that look like this one, at most four; of an alias, the space it stands for."""
    spaces = {
        known.lower(): space for space in config.getColorSpaceNames() for known in (space, *config.getAliases(space))
    }
    matches = difflib.get_close_matches(name.lower(), spaces, n=8, cutoff=0.5)
    matches += [known for known in spaces if name.lower() in known]
    return [repr(space) for space in dict.fromkeys(spaces[match] for match in matches)][:4]


def _engine_space(names: tuple[str, ...], meaning: str) -> str:
    config = _config(config_name())
    spaces = config.getColorSpaceNames()
    for name in names:
        resolved: str = config.resolve(name)
        if resolved in spaces:
            return resolved
    raise ColourError(
        expected=f"an OCIO config with a space for {meaning}",
        came=f"none under a known name in {config_name()}",
        action="Unset OCIO to use the built-in config, or add an alias such as " + names[1] + ".",
    )


@lru_cache(maxsize=4)
def _config(name: str) -> Any:
    config = oiio.ColorConfig(name)
    complaint = config.geterror()
    if complaint:
        raise ColourError(
            expected="an OCIO config that can be read",
            came=f"{name!r}: {complaint.strip()}",
            action="Correct the environment variable OCIO, or unset it to use the built-in config.",
        )
    return config


@lru_cache(maxsize=1)
def _built_in_config() -> str:
    return NEWEST_BUILT_IN_CONFIG if oiio.ColorConfig(BUILT_IN_CONFIG).geterror() else BUILT_IN_CONFIG


def _no_transform(name: str, why: str) -> ColourError:
    return ColourError(
        expected=f"numbers from the transform {name}",
        came=why.strip(),
        action="Check that this is the plate's colour space; name the right one with --colorspace.",
    )
