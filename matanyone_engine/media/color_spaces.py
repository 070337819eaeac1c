# SPDX-License-Identifier: Apache-2.0
"""Finds the colour space of a plate, why it was chosen, and its name in the OpenColorIO config.

Rules of this file:
1. A space is named by the artist, or stated by the file, or a default that is printed. That a plate is logarithmic is
   never guessed.
2. The config in use defines the spaces. PLAIN_NAMES only translates names that people type.
3. No pixel is converted here: color.py does that.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import OpenImageIO as oiio

from matanyone_engine.errors import ColourError, shortened
from matanyone_engine.media.images import FLOAT_FORMATS, PlateHeader, last_error
from matanyone_engine.media.sequence import MOVIE_SUFFIXES
from matanyone_engine.media.stated_colour import has_video_tags, statements

_LONGEST_NAME = 200
"""Longest name for which similar names are searched."""

# A fixed version, so that names keep their meaning. The newest one is used only where OpenColorIO lacks this one.
BUILT_IN_CONFIG = "ocio://studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
NEWEST_BUILT_IN_CONFIG = "ocio://studio-config-latest"


class PlainName(NamedTuple):
    """Holds a name that people type, and the names of that space in configs."""

    name: str
    spellings: tuple[str, ...]
    """Names in OCIO configs: of ACES 1.x and 2.0, Blender, nuke-default. The first one in the config in use counts."""
    also: tuple[str, ...] = ()
    """Other spellings that people type."""
    note: str = ""
    """The choice that is made where the plain name leaves something open; it is printed."""


SRGB = PlainName(
    "sRGB",
    (
        "sRGB Encoded Rec.709 (sRGB)",
        "srgb_rec709_scene",
        "sRGB - Texture",
        "srgb_tx",
        "srgb_texture",
        "Utility - sRGB - Texture",
        "sRGB",
    ),
)
LINEAR = PlainName(
    "linear Rec.709",
    (
        "Linear Rec.709 (sRGB)",
        "lin_rec709_scene",
        "lin_rec709",
        "lin_srgb",
        "Utility - Linear - sRGB",
        "Utility - Linear - Rec.709",
        "scene-linear Rec.709-sRGB",
        "Linear Rec.709",
        "linear",
    ),
    ("linear", "linear sRGB", "scene-linear Rec.709", "lin rec709"),
)

PLAIN_NAMES = (
    SRGB,
    PlainName(
        "Rec.709",
        ("Camera Rec.709", "camera_rec709", "Utility - Rec.709 - Camera", "rec709"),
        ("BT.709", "ITU-R BT.709"),
        "the camera curve of ITU-R BT.709; a picture graded on a gamma 2.4 screen is 'Gamma 2.4'",
    ),
    PlainName(
        "Gamma 2.4",
        ("Gamma 2.4 Encoded Rec.709", "g24_rec709", "Gamma 2.4 Rec.709 - Texture", "Rec.1886 Rec.709 - Display"),
        ("Rec.1886", "BT.1886", "Rec.709 Gamma 2.4"),
    ),
    PlainName("Gamma 2.2", ("Gamma 2.2 Encoded Rec.709", "g22_rec709", "Gamma 2.2 Rec.709 - Texture")),
    LINEAR,
    PlainName("linear Rec.2020", ("Linear Rec.2020", "lin_rec2020", "Utility - Linear - Rec.2020")),
    PlainName("linear P3", ("Linear P3-D65", "lin_p3d65", "Utility - Linear - P3-D65"), ("linear P3-D65",)),
    PlainName("ACEScg", ("ACEScg", "ACES - ACEScg", "lin_ap1"), ("AP1",)),
    PlainName("ACES2065-1", ("ACES2065-1", "ACES - ACES2065-1", "lin_ap0"), ("AP0", "ACES", "ACES 2065")),
    PlainName("ACEScct", ("ACEScct", "ACES - ACEScct", "acescct_ap1")),
    PlainName("ACEScc", ("ACEScc", "ACES - ACEScc", "acescc_ap1")),
    PlainName(
        "ARRI LogC3",
        ("ARRI LogC3 (EI800)", "arri_logc3_ei800", "Input - ARRI - V3 LogC (EI800) - Wide Gamut", "AlexaV3LogC"),
        ("LogC3", "LogC", "ARRI LogC", "Alexa LogC", "ARRI LogC3 Wide Gamut 3", "AWG3 LogC3"),
        "the curve of EI 800, ARRI Wide Gamut 3",
    ),
    PlainName("ARRI LogC4", ("ARRI LogC4", "arri_logc4"), ("LogC4", "ARRI LogC4 Wide Gamut 4", "AWG4 LogC4")),
    PlainName(
        "S-Log3",
        ("S-Log3 S-Gamut3.Cine", "slog3_sgamut3cine", "Input - Sony - S-Log3 - S-Gamut3.Cine", "SLog3"),
        ("Sony S-Log3", "S-Log3.Cine"),
        "S-Gamut3.Cine; for the wide gamut name 'S-Log3 S-Gamut3'",
    ),
    PlainName(
        "Log3G10",
        ("Log3G10 REDWideGamutRGB", "log3g10_redwidegamutrgb", "Input - RED - REDLog3G10 - REDWideGamutRGB"),
        ("RED Log3G10", "REDWideGamutRGB Log3G10", "RWG Log3G10"),
    ),
    PlainName(
        "V-Log", ("V-Log V-Gamut", "vlog_vgamut", "Input - Panasonic - V-Log - V-Gamut", "VLog"), ("Panasonic V-Log",)
    ),
    PlainName("Apple Log", ("Apple Log", "apple_log")),
    PlainName("D-Log", ("D-Log D-Gamut", "dlog_dgamut"), ("DJI D-Log",)),
    PlainName(
        "Canon Log 3",
        ("CanonLog3 CinemaGamut D55", "canonlog3_cinemagamut_d55"),
        ("C-Log3",),
        "Cinema Gamut, daylight",
    ),
    PlainName(
        "Canon Log 2",
        ("CanonLog2 CinemaGamut D55", "canonlog2_cinemagamut_d55"),
        ("C-Log2",),
        "Cinema Gamut, daylight",
    ),
    PlainName("BMD Film Gen 5", ("BMDFilm WideGamut Gen5", "bmdfilm_widegamut_gen5"), ("Blackmagic Film Gen 5",)),
    PlainName(
        "DaVinci Intermediate",
        ("DaVinci Intermediate WideGamut", "davinci_intermediate_widegamut"),
        ("DWG Intermediate",),
    ),
)

_LOG_SUFFIXES = (".dpx", ".cin")
_FLOAT_SUFFIXES = (".exr", ".hdr")
# Interop ids by which a file says that its pixels have no known colour space. They count as no statement.
_NO_COLOUR = frozenset({"data", "raw", "unknown"})


@dataclass(frozen=True)
class ColourChoice:
    """Names a colour space. space: a name of the OCIO config in use; reason: where the choice comes from, for printing
    and for provenance.
    """

    space: str
    reason: str


def choose_space(header: PlateHeader | None, asked: str | None, suffix: str) -> ColourChoice:
    """Return the plate's colour space: the one asked for, else the one the file states, else the default of its format.

    suffix: of the plate's files, '.exr'. Raises ColourError if a name is unknown, or if there is no default.
    """
    if asked is not None:
        return ColourChoice(known_space(asked, "asked for"), _asked_for(asked))
    stated = _stated_space(header) if header is not None else None
    return stated or _default_space(header, suffix.lower())


def known_space(name: str, who: str = "asked for") -> str:
    """Return the config's own name for a space. name: that name, a role, an alias, an interop id, or a plain name.

    Case, spaces, dots and dashes are ignored. who: where the name is from, for the error.
    Raises ColourError for an unknown name, and for one that is data.
    """
    config = config_in_use()
    resolved = _resolved(name, config)
    if not resolved:
        near = _near_names(name, config)
        raise ColourError(
            expected=f"a colour space that {config_name()} knows",
            came=f"{shortened(name)!r}, {who}",
            action=(f"Perhaps {' or '.join(near)}? " if near else "")
            + "Name it with --colorspace; 'matanyone-engine inspect --colorspaces' lists all.",
        )
    if config.isData(resolved):
        raise ColourError(
            expected="a colour space",
            came=f"{name!r}, {who}: that is data, not colour",
            action="Name the space that the plate's values are in.",
        )
    return resolved


def engine_space(plain: PlainName) -> str:
    """Return the config's name for a space that the engine itself needs (SRGB, LINEAR). Raises ColourError."""
    space = _space_of(plain, config_in_use())
    if not space:
        raise ColourError(
            expected=f"an OCIO config with a space for {plain.name}",
            came=f"none under a known name in {config_name()}",
            action="Unset OCIO to use the built-in config, or add an alias such as " + plain.spellings[1] + ".",
        )
    return space


def plain_spaces() -> list[tuple[PlainName, str]]:
    """Return the plain names that the config in use has a space for, with that space."""
    config = config_in_use()
    found = [(plain, _space_of(plain, config)) for plain in PLAIN_NAMES]
    return [(plain, space) for plain, space in found if space]


def config_spaces() -> list[str]:
    """Return every colour space of the config in use that is not data, by the config's own name."""
    config = config_in_use()
    return [space for space in config.getColorSpaceNames() if not config.isData(space)]


def config_name() -> str:
    """Return the name of the OCIO config in use: $OCIO if it is set, else the built-in studio config."""
    return os.environ.get("OCIO") or _built_in_config()


def config_in_use() -> Any:
    """Return OpenImageIO's ColorConfig of that name. Raises ColourError where it cannot be read."""
    return _config(config_name())


def is_linear(space: str) -> bool:
    """Return whether values of this space are proportional to light, according to the OCIO config in use."""
    return bool(config_in_use().isColorSpaceLinear(space))


def interop_id(space: str) -> str:
    """Return the space's interop id, which all programs understand ('lin_ap1_scene'); '' if it has none."""
    return str(config_in_use().get_color_interop_id(space) or "")


# --------------------------------------------------------------------------------------------- stated or default


def _stated_space(header: PlateHeader) -> ColourChoice | None:
    """Return the space that the file states, or None. OpenImageIO's own oiio:ColorSpace for other formats is
    ignored.
    """
    for attribute, value in statements(header):
        if value.lower() not in _NO_COLOUR:
            reason = f"stated by the file ({attribute})"
            return ColourChoice(known_space(value, reason), reason)
    return None


def _default_space(header: PlateHeader | None, suffix: str) -> ColourChoice:
    if suffix in _LOG_SUFFIXES:
        raise ColourError(
            expected=f"the colour space of the {suffix} plate",
            came="no colour space, neither from you nor in the file",
            action="Name it with --colorspace. Nobody can guess whether a plate is logarithmic, and of which camera.",
        )
    is_float = suffix in _FLOAT_SUFFIXES or (header is not None and header.pixel_format in FLOAT_FORMATS)
    kind = f"{'float' if is_float else 'integer'} {suffix} files"
    if suffix in MOVIE_SUFFIXES:
        kind = "movies" if header and header.pixel_format != "uint8" else "movies (read at 8 bits per channel)"
    said = "its tags are those of ordinary video" if header and has_video_tags(header) else "the file does not say"
    return ColourChoice(engine_space(LINEAR if is_float else SRGB), f"default for {kind}; {said}")


# -------------------------------------------------------------------------------------------------- OCIO configs


def _bare(name: str) -> str:
    """Return a name's letters and digits in lower case: 'S-Log3' and 's log 3' are the same name."""
    return "".join(character for character in name.lower() if character.isalnum())


def _resolved(name: str, config: Any) -> str:
    """Return a space of the config, or ''."""
    spaces = config.getColorSpaceNames()
    resolved: str = config.resolve(name)
    if resolved in spaces:
        return resolved
    by_id = next((space for space in spaces if config.get_color_interop_id(space) == name), "")
    return by_id or _plainly_named(name, config) or _loosely_named(name, config)


def _plainly_named(name: str, config: Any) -> str:
    plain = _plain_name(name)
    return _space_of(plain, config) if plain else ""


def _plain_name(name: str) -> PlainName | None:
    return next((plain for plain in PLAIN_NAMES if _bare(name) in map(_bare, (plain.name, *plain.also))), None)


def _loosely_named(name: str, config: Any) -> str:
    """Return the space with this name or alias, ignoring case and punctuation, if there is only one."""
    meant = {space for known, space in _all_names(config) if _bare(known) == _bare(name)}
    return meant.pop() if len(meant) == 1 else ""


def _space_of(plain: PlainName, config: Any) -> str:
    spaces = config.getColorSpaceNames()
    return next((space for space in map(config.resolve, plain.spellings) if space in spaces), "")


def _asked_for(name: str) -> str:
    """Return the reason of a choice. If the plain name left something open, it includes the choice that was made."""
    plain = _plain_name(name)
    return f"asked for as {shortened(name)!r}: {plain.note}" if plain and plain.note else "asked for"


def _near_names(name: str, config: Any) -> list[str]:
    """Return at most four similar names: plain names first, then the config's. For an alias, its space is returned."""
    names = {_bare(typed): plain.name for plain, _ in plain_spaces() for typed in (plain.name, *plain.also)}
    for known, space in _all_names(config):
        names.setdefault(_bare(known), space)
    if len(name) > _LONGEST_NAME:
        return []
    matches = difflib.get_close_matches(_bare(name), names, n=8, cutoff=0.6)
    matches += [known for known in names if _bare(name) and _bare(name) in known]
    return [repr(space) for space in dict.fromkeys(names[match] for match in matches)][:4]


def _all_names(config: Any) -> Iterator[tuple[str, str]]:
    """Yield (name or alias, space) for everything in the config."""
    for space in config.getColorSpaceNames():
        for known in (space, *config.getAliases(space)):
            yield known, space


@lru_cache(maxsize=4)
def _config(name: str) -> Any:
    config = oiio.ColorConfig(name)
    complaint = last_error(config)
    if complaint:
        raise ColourError(
            expected="an OCIO config that can be read",
            came=f"{name!r}: {complaint.strip()}",
            action="Correct the environment variable OCIO, or unset it to use the built-in config.",
        )
    return config


@lru_cache(maxsize=1)
def _built_in_config() -> str:
    return NEWEST_BUILT_IN_CONFIG if last_error(oiio.ColorConfig(BUILT_IN_CONFIG)) else BUILT_IN_CONFIG
