# SPDX-License-Identifier: Apache-2.0
"""Describes any image file: windows, channels, colour, and how it was made if the engine wrote it.

Unlike images.py it reads any file, such as one of several parts or one without colour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import OpenImageIO as oiio

from matanyone_engine.errors import PlateError
from matanyone_engine.media.headers import PROVENANCE_PREFIX, SOFTWARE
from matanyone_engine.media.images import FRAME_RATE, DataWindow, last_error, pixel_aspect_of, rate_of, readable


@dataclass(frozen=True)
class PartFacts:
    """Describes one part of a file, or the whole file where it has no parts.

    channels: name -> 'half', 'float', 'uint16' ..., in the file's order.
    fps:      as a fraction, '24000/1001'.
    """

    name: str
    view: str
    display_window: DataWindow
    data_window: DataWindow
    channels: dict[str, str]
    compression: str
    pixel_aspect: float
    fps: str
    timecode: str
    colour: dict[str, str]
    attributes: dict[str, str]


@dataclass(frozen=True)
class FileFacts:
    """Describes a file. provenance: the attributes matanyone:<key>; empty if the engine did not write the file."""

    path: Path
    file_format: str
    parts: tuple[PartFacts, ...]
    provenance: dict[str, str]

    def object_channels(self) -> dict[str, str]:
        """Return the channel of each object that the engine has written into the file; {} for any other file."""
        text = self.provenance.get("objects", "{}")
        try:
            return {str(name): str(channel) for name, channel in json.loads(text).items()}
        except (ValueError, AttributeError, RecursionError):  # another program may have written anything
            return {}


_SHOWN_APART = frozenset({"compression", "pixelaspectratio", "framespersecond", "smpte:timecode", "name", "view"})
_COLOUR = ("chromaticities", "colorInteropID", "adoptedNeutral", "whiteLuminance", "ICCProfile:profile_description")


def read_facts(path: Path) -> FileFacts:
    """Read the headers of an image file, but no pixels. Raises PlateError if it is not an image."""
    last_error()
    image = oiio.ImageInput.open(str(path)) if path.is_file() else None
    if image is None:
        raise PlateError(
            expected="an image file that can be read",
            came=f"{str(path)!r}: {(last_error() or 'no such file').strip()}",
            action="Check that the file is there and finished.",
        )
    try:
        specs = [image.spec().copy()]
        while image.seek_subimage(len(specs), 0):
            specs.append(image.spec().copy())
        last_error(image)  # the missing part is not an error: forget it
        return FileFacts(path, image.format_name(), tuple(map(_part, specs)), _provenance(specs[0]))
    finally:
        image.close()


def _part(spec: Any) -> PartFacts:
    said = {readable(item.name): item for item in spec.extra_attribs}
    return PartFacts(
        name=readable(spec.get_string_attribute("oiio:subimagename") or spec.get_string_attribute("name")),
        view=readable(spec.get_string_attribute("view")),
        display_window=DataWindow(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        data_window=DataWindow(spec.x, spec.y, spec.width, spec.height),
        channels={readable(name): str(spec.channelformat(column)) for column, name in enumerate(spec.channelnames)},
        compression=spec.get_string_attribute("compression"),
        pixel_aspect=pixel_aspect_of(spec),
        fps=next((_fps(item.value) for name, item in said.items() if name.lower() == FRAME_RATE), ""),
        timecode=spec.get_string_attribute("smpte:TimeCode"),
        colour={name: _text(said[name].value) for name in _COLOUR if name in said},
        attributes={name: _text(item.value) for name, item in said.items() if not _is_shown_apart(name)},
    )


def _is_shown_apart(name: str) -> bool:
    lower = name.lower()
    return (
        name in _COLOUR
        or lower in _SHOWN_APART
        or lower.startswith(("oiio:", PROVENANCE_PREFIX))
        or lower == "imagedescription"
    )


def _fps(value: Any) -> str:
    rate = rate_of(readable(value))
    return str(rate) if rate else _text(value).replace(" ", "/")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(readable(value))


def _provenance(spec: Any) -> dict[str, str]:
    """Return the provenance from attributes, or from the description where a format has no attributes of any name."""
    found = {
        item.name: str(readable(item.value)) for item in spec.extra_attribs if item.name.startswith(PROVENANCE_PREFIX)
    }
    if not found and spec.get_string_attribute("Software") == SOFTWARE:
        lines = spec.get_string_attribute("ImageDescription").splitlines()
        found = dict(line.split("=", 1) for line in lines if line.startswith(PROVENANCE_PREFIX) and "=" in line)
    return {name.removeprefix(PROVENANCE_PREFIX): value for name, value in found.items()}
