# SPDX-License-Identifier: Apache-2.0
"""Chooses the attributes of a plate's header that an alpha's header repeats, and adds how the alpha was made.

Rules of this file:
1. An alpha is data: attributes about colour are left out, unless the file shows the plate's own colours.
2. Attributes about how the plate was stored are always left out.
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
    """Return the attributes of a plate's header for a file that the engine writes.

    colour: whether the file shows the plate's own colours. colour_id: the interop id of their space, for plates whose
    header names none.
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
    """Return the attributes that say how a file was made."""
    said = [Attribute(PROVENANCE_PREFIX + key, "string", value) for key, value in about.items()]
    return [Attribute("Software", "string", SOFTWARE), *said]


def _is_carried(name: str, colour: bool) -> bool:
    lower = name.lower()
    if lower in _COLOUR:
        return colour
    return lower not in (*_NOT_CARRIED, FRAME_RATE) and not lower.startswith(_NOT_CARRIED_PREFIXES)


def _pair(rate: Fraction) -> tuple[int, int]:
    return rate.as_integer_ratio()
