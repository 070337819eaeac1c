# SPDX-License-Identifier: Apache-2.0
"""Decides what of a plate's header is carried over, and notes how an alpha was made.

Rules of this file:
1. An alpha is data: nothing about colour is carried over, unless the file shows the plate's own colours.
2. How the plate was stored, and what was in it, is never carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from matanyone_engine.media.images import FRAME_RATE, Attribute, PlateHeader

SOFTWARE = "MatAnyone Engine"
PROVENANCE_PREFIX = "matanyone:"

_COLOUR = frozenset(
    {"adoptedneutral", "chromaticities", "colorinteropid", "lookmodtransform", "renderingtransform", "whiteluminance"}
)
_NOT_CARRIED = frozenset(
    {
        "acesimagecontainerflag", "cicp", "compression", "datetime", "exif:colorspace", "exif:gamma", "exif:makernote",
        "exif:pixelxdimension", "exif:pixelydimension", "imagecolorspace", "imagedescription", "multiview", "name",
        "orientation", "planarconfig", "resolutionunit", "software", "textureformat", "view", "wrapmodes",
        "xresolution", "yresolution",
    }
)  # fmt: skip
_NOT_CARRIED_PREFIXES = (
    "oiio:", "openexr:", "tiff:", "png:", "jpeg:", "jpegxl:", "dpx:", "cineon:", "targa:", "bmp:", "webp:", "icc",
    "gps:", "iptc:", "xmp:", "photoshop:", "thumbnail", "cryptomatte/", PROVENANCE_PREFIX,
)  # fmt: skip


def carried_attributes(header: PlateHeader, *, colour: bool, colour_id: str = "") -> list[Attribute]:
    """Return the plate's header as it goes into a file of ours.

    colour: whether the file shows the plate's own colours; colour_id: their space, said where the plate does not.
    """
    carried = [item for item in header.attributes if _is_carried(item.name, colour)]
    carried.append(Attribute("PixelAspectRatio", "float", header.pixel_aspect))
    if header.view:
        carried.append(Attribute("view", "string", header.view))
    if header.fps is not None:
        carried.append(Attribute("framesPerSecond", "rational", _pair(header.fps)))
    if not colour or (colour_id and not any(item.name.lower() in _COLOUR for item in carried)):
        carried.append(Attribute("colorInteropID", "string", colour_id if colour else "data"))
    return carried


def provenance_attributes(about: Mapping[str, str]) -> list[Attribute]:
    """Return how the file was made, as header attributes."""
    said = [Attribute(PROVENANCE_PREFIX + key, "string", value) for key, value in about.items()]
    return [Attribute("Software", "string", SOFTWARE), *said]


def _is_carried(name: str, colour: bool) -> bool:
    lower = name.lower()
    if lower in _COLOUR:
        return colour
    return lower not in (*_NOT_CARRIED, FRAME_RATE) and not lower.startswith(_NOT_CARRIED_PREFIXES)


def _pair(rate: Fraction) -> tuple[int, int]:
    return rate.as_integer_ratio()
