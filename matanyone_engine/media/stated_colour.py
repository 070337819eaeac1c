# SPDX-License-Identifier: Apache-2.0
"""Finds the colour space that a file states, and raises an error for a statement without a known colour space.

Such a statement is never ignored: the default space would give plausible pixels of wrong colours. If the artist names
the space, the file's statements are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

import numpy as np

from matanyone_engine.errors import ColourError
from matanyone_engine.media.colour_tags import (
    PNG_CICP,
    PNG_GAMMA,
    PNG_PRIMARIES,
    PNG_SRGB,
    RADIANCE_PRIMARIES,
    TIFF_PRIMARIES,
    TIFF_TRANSFER,
    TIFF_WHITE,
    UNFOLLOWED,
)
from matanyone_engine.media.encodings import (
    PRIMARIES,
    UNSPECIFIED,
    Encoding,
    gamma_named,
    of_h273,
    primaries_named,
    space_of,
)
from matanyone_engine.media.images import (
    FLOAT_FORMATS,
    ICC_CURVE,
    ICC_PRIMARIES,
    MOVIE_PRIMARIES,
    MOVIE_TRANSFER,
    PlateHeader,
)

# x and y of red, green, blue and white, in the order of OpenEXR's attribute, as their makers publish them. The pixels
# of an OpenEXR file are linear light unless it says otherwise.
_CHROMATICITIES = {
    **{PRIMARIES[name]: space_of(Encoding(name, "linear")) for name in ("Rec.709", "AP0", "AP1", "Rec.2020", "P3")},
    (0.684, 0.313, 0.221, 0.848, 0.0861, -0.102, 0.3127, 0.3290): "Linear ARRI Wide Gamut 3",
    (0.7347, 0.2653, 0.1424, 0.8576, 0.0991, -0.0308, 0.3127, 0.3290): "Linear ARRI Wide Gamut 4",
    (0.730, 0.280, 0.140, 0.855, 0.100, -0.050, 0.3127, 0.3290): "Linear S-Gamut3",
    (0.766, 0.275, 0.225, 0.800, 0.089, -0.087, 0.3127, 0.3290): "Linear S-Gamut3.Cine",
    (0.780308, 0.304253, 0.121595, 1.493994, 0.095612, -0.084589, 0.3127, 0.3290): "Linear REDWideGamutRGB",
    (0.730, 0.280, 0.165, 0.840, 0.100, -0.030, 0.3127, 0.3290): "Linear V-Gamut",
}
_DPX_TRANSFERS = {"Linear": "linear Rec.709", "ITU-R 709-4": "Rec.709"}
_DPX_NOTHING_SAID = frozenset({"", "user defined", "undefined", "unspecified video", "z depth"})
_EXIF_SPACES = {"1": "srgb_rec709_scene", "2": "g22_adobergb_scene"}
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13
"""H.273's codes of sRGB. A file with this curve and unspecified primaries is taken for sRGB."""
_PNG_GAMMA_ONE = 100000
_REC709_CODE = _SRGB_PRIMARIES
_NEAR_REC709 = frozenset({0, UNSPECIFIED, 3, 5, 6, 7, 22})
"""H.273's primaries of television in standard definition, which differ little from Rec.709's, and unspecified codes."""
_DISPLAY_CURVES = frozenset({0, 1, UNSPECIFIED, 3, 5, 6, 7, 11, 12, 13, 14, 15})
"""H.273's transfer characteristics of ordinary video, and unspecified codes."""
_WITHOUT_PRIMARIES = frozenset({16, 18})
"""H.273's PQ and HLG, with which unspecified primaries are taken for Rec.2020's."""
# The beginnings of the names of ICC profiles, for profiles with tables of colours, which icc.py does not read.
_ICC_PROFILES = {"srgb": "srgb_rec709_scene", "display p3": "srgb_p3d65_scene", "adobe rgb": "g22_adobergb_scene"}


def statements(header: PlateHeader) -> Iterator[tuple[str, str]]:
    """Yield attribute and colour space of each statement in a file's header, the most reliable one first.

    Raises ColourError for a statement without a known colour space.
    """
    colour = header.colour
    if header.file_format == "openexr":
        yield from _exr_statements(colour)
    if MOVIE_TRANSFER in colour:
        yield from _movie_statements(int(colour[MOVIE_PRIMARIES]), int(colour[MOVIE_TRANSFER]))
    if header.file_format == "dpx":
        transfer = colour.get("dpx:Transfer", "")
        if transfer.lower() not in _DPX_NOTHING_SAID:
            yield "dpx:Transfer", _DPX_TRANSFERS.get(transfer, transfer)
    yield from _png_statements(colour)
    if ICC_CURVE in colour:
        yield "ICC profile", _space_of_profile(colour)
    else:
        yield from _tiff_statements(colour, is_float=header.pixel_format in FLOAT_FORMATS)
    if UNFOLLOWED in colour:
        yield "its header", _no_space_for(colour[UNFOLLOWED])
    if RADIANCE_PRIMARIES in colour:
        yield "PRIMARIES", _space_of_chromaticities(colour[RADIANCE_PRIMARIES])
    if "Exif:ColorSpace" in colour:
        yield "Exif:ColorSpace", _space_of_exif(colour["Exif:ColorSpace"])


def has_video_tags(header: PlateHeader) -> bool:
    """Return whether a movie has tags about its colour, even if they only mean the default space."""
    codes = {header.colour.get(MOVIE_PRIMARIES), header.colour.get(MOVIE_TRANSFER)}
    return not codes <= {None, "0", str(UNSPECIFIED)}


def count_as_alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether frames with these primaries and transfer characteristics, codes of H.273, have one colour space.

    An unspecified code counts as equal to every code of ordinary video, but to no other code.
    """
    if one == other:
        return True
    alike = all(a == b or UNSPECIFIED in (a, b) for a, b in zip(one, other, strict=True))
    return alike and all(_is_ordinary(*codes) for codes in (one, other))


def _is_ordinary(primaries: int, transfer: int) -> bool:
    return primaries in _NEAR_REC709 | {_REC709_CODE} and transfer in _DISPLAY_CURVES


def _movie_statements(primaries: int, transfer: int) -> Iterator[tuple[str, str]]:
    """Yield the colour space of a movie's tags, by H.273; nothing if they are those of ordinary video.

    The curve of ordinary video is taken for sRGB's (docs/colour.md), whatever the tags call it.
    """
    encoding = of_h273(_REC709_CODE if primaries in _NEAR_REC709 else primaries, transfer)
    if transfer in _DISPLAY_CURVES:
        encoding = encoding._replace(curve="sRGB")
    if encoding == ("Rec.709", "sRGB"):
        return
    if transfer in _WITHOUT_PRIMARIES and primaries == UNSPECIFIED:
        encoding = encoding._replace(primaries="Rec.2020")
    said = f"colour primaries {primaries} and transfer characteristics {transfer} of ITU-T H.273"
    yield "transfer characteristics", space_of(encoding) or _no_space_for(said)


def _png_statements(colour: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the colour space of a PNG's chunks: cICP, else sRGB, else gAMA and cHRM. A profile goes before the last
    three.
    """
    if PNG_CICP in colour:
        primaries, transfer = map(int, colour[PNG_CICP].split()[:2])
        if transfer != UNSPECIFIED or primaries not in (_SRGB_PRIMARIES, UNSPECIFIED):
            yield "PNG cICP", _space_of_cicp(primaries, transfer, colour[PNG_CICP])
    if ICC_CURVE in colour:
        return
    if PNG_SRGB in colour:
        yield "PNG sRGB chunk", "srgb_rec709_scene"
    elif PNG_GAMMA in colour or PNG_PRIMARIES in colour:
        yield from _png_numbers(colour)


def _space_of_cicp(primaries: int, transfer: int, text: str) -> str:
    if (primaries, transfer) == (UNSPECIFIED, _SRGB_TRANSFER):
        primaries = _SRGB_PRIMARIES
    encoding = of_h273(primaries, transfer)
    space = "g24_rec709_display" if encoding == ("Rec.709", "BT.709") else space_of(encoding)
    return space or _no_space_for(f"a cICP chunk with {text} of ITU-T H.273")


def _png_numbers(colour: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the space of a gamma, of primaries, or of both; nothing where primaries alone are those of sRGB."""
    gamma, xy = int(colour.get(PNG_GAMMA, "-1")), colour.get(PNG_PRIMARIES, "")
    primaries = primaries_named(list(map(float, xy.split()))) if xy else "Rec.709"
    if PNG_GAMMA not in colour and primaries == "Rec.709":
        return
    curve = (gamma_named(_PNG_GAMMA_ONE / gamma) if gamma > 0 else "") if PNG_GAMMA in colour else "sRGB"
    chunks = {"gAMA": PNG_GAMMA, "cHRM": PNG_PRIMARIES}
    chunks = {name: colour[key] for name, key in chunks.items() if key in colour}
    said = " and ".join(f"{name} {value}" for name, value in chunks.items())
    yield f"PNG {' and '.join(chunks)}", space_of(Encoding(primaries, curve)) or _no_space_for(said)


def _tiff_statements(colour: Mapping[str, str], *, is_float: bool) -> Iterator[tuple[str, str]]:
    """Yield the space of a TIFF's primaries, white and transfer function; nothing where those are the usual ones."""
    tags = [tag for tag in (TIFF_PRIMARIES, TIFF_WHITE, TIFF_TRANSFER) if tag in colour]
    stated = {tag: list(map(float, colour.get(tag, "").split())) for tag in (TIFF_PRIMARIES, TIFF_WHITE)}
    usual = PRIMARIES["Rec.709"]
    xy = [*(stated[TIFF_PRIMARIES] or usual[:6]), *(stated[TIFF_WHITE] or usual[6:])]
    primaries = primaries_named(xy) if len(xy) == len(usual) else ""
    if not tags or (primaries == "Rec.709" and TIFF_TRANSFER not in colour):
        return
    curve = colour.get(TIFF_TRANSFER, "linear" if is_float else "sRGB")
    named = "TIFF " + " and ".join(tag.removeprefix("tiff:") for tag in tags)
    numbers = " ".join(f"{number:g}" for number in xy)
    yield named, space_of(Encoding(primaries, curve)) or _no_space_for(f"{named}, with primaries and white {numbers}")


def _space_of_profile(colour: Mapping[str, str]) -> str:
    name = colour.get("ICCProfile:profile_description", "")
    encoding = Encoding(colour[ICC_PRIMARIES], colour[ICC_CURVE])
    by_name = (space for beginning, space in _ICC_PROFILES.items() if name.lower().startswith(beginning))
    return space_of(encoding) or next(by_name, "") or _no_space_for(f"the ICC profile {name!r}")


def _space_of_exif(code: str) -> str:
    space = _EXIF_SPACES.get(code, "")
    return space or _no_space_for(f"an Exif header that says that it is not sRGB (ColorSpace {code})")


def _no_space_for(came: str) -> NoReturn:
    raise ColourError(
        expected="a colour space that the engine can tell from what the file says",
        came=came,
        action="Name the plate's colour space with --colorspace, or convert the plate to sRGB or to linear EXR.",
    )


def _exr_statements(colour: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if "colorInteropID" in colour:
        yield "colorInteropID", colour["colorInteropID"]
    if colour.get("acesImageContainerFlag") == "1":
        yield "acesImageContainerFlag", "lin_ap0_scene"
    if "oiio:ColorSpace" in colour:
        yield "oiio:ColorSpace", colour["oiio:ColorSpace"]
    if "chromaticities" in colour:
        yield "chromaticities", _space_of_chromaticities(colour["chromaticities"])


def _space_of_chromaticities(text: str) -> str:
    try:
        stated = [float(number) for number in text.split()]
    except ValueError:
        stated = []
    for known, space in _CHROMATICITIES.items():
        if len(stated) == len(known) and np.allclose(stated, known, atol=1e-3):
            return space
    raise ColourError(
        expected="chromaticities of Rec.709, Rec.2020, P3, ACES2065-1, ACEScg or a known camera",
        came=f"unknown chromaticities in the plate's header: {text}",
        action="Name the plate's colour space with --colorspace.",
    )
