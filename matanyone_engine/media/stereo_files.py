# SPDX-License-Identifier: Apache-2.0
"""Joins one file for each view into one EXR, in which each view is a part with its own channels and header.

Rules of this file:
1. Pixels and header of a view are taken over as they are stored; nothing is converted.
2. Files are written atomically. Each is read back by another library and compared bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import OpenImageIO as oiio

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, PlateError
from matanyone_engine.media.images import last_error

# Attributes that describe a file as a whole, or its place in another file.
_OF_THE_FILE = ("multiView", "oiio:subimages", "oiio:subimagename", "name", "openexr:chunkCount")


def join_views(files: Mapping[str, Path], path: Path) -> None:
    """Write one part for each view to `path`, in this order.

    Raises PlateError for a file that cannot be joined; OutputError.
    """
    views = {name: _stored(name, file) for name, file in files.items()}
    try:
        with whole_file(path) as temporary:
            _write(temporary, list(views.values()))
            _verify(temporary, views)
    except OSError as error:
        raise OutputError(
            expected=f"to write the views {', '.join(views)} into one file",
            came=f"{error.strerror or error}: {str(path)!r}",
            action="Check the disk and the permissions of the folder. The views' own files are untouched.",
        ) from error


def _stored(view: str, path: Path) -> tuple[Any, Any]:
    """Return OpenImageIO's description of a view's file, changed to that of a part, and its pixels as stored."""
    last_error()
    image = oiio.ImageInput.open(str(path))
    if image is None or image.format_name() != "openexr":
        raise _no_view(view, path, last_error() or "no EXR")
    try:
        spec = image.spec().copy()
        said = spec.get_string_attribute("view")
        if said not in ("", view):
            raise _no_view(view, path, f"its header names the view {said}")
        if image.seek_subimage(1, 0) or spec.tile_width or spec.getattribute("multiView"):
            raise _no_view(view, path, "it has several parts or views, or tiles")
        last_error(image)
        pixels = image.read_image(0, 0, 0, spec.nchannels, spec.format)
        complaint = last_error(image)
        if pixels is None or complaint:
            raise _no_view(view, path, complaint)
    finally:
        image.close()
    for name in _OF_THE_FILE:
        spec.erase_attribute(name)
    spec.attribute("oiio:subimagename", view)
    spec.attribute("view", view)
    return spec, pixels.reshape(spec.height, spec.width, spec.nchannels)


def _no_view(view: str, path: Path, why: str) -> PlateError:
    return PlateError(
        expected=f"one plain EXR for view {view}",
        came=f"{str(path)!r}: {why.strip()}",
        action="Write %V in place of the view's name, as in the output name of the matte.",
    )


def _write(path: Path, parts: list[tuple[Any, Any]]) -> None:
    """Write the file and check every return value of the library. Raises OSError."""
    path.write_bytes(b"")  # so that the system's own error is raised if the folder cannot be written
    output: Any = oiio.ImageOutput.create("openexr")
    specs = tuple(spec for spec, _ in parts)
    good = output.open(str(path), specs)
    for number, (spec, pixels) in enumerate(parts):
        good = good and (number == 0 or output.open(str(path), spec, "AppendSubimage")) and output.write_image(pixels)
    complaint = last_error(output)
    if not (output.close() and good):
        raise OSError(complaint or last_error(output) or "the image library did not say why")


def _verify(path: Path, views: Mapping[str, tuple[Any, Any]]) -> None:
    """Check that OpenEXR's own package reads the pixels that were to be written. Raises OSError."""
    try:
        parts = OpenEXR.File(str(path), separate_channels=True).parts
        read = {part.header["view"]: {name: each.pixels for name, each in part.channels.items()} for part in parts}
    except Exception as error:  # the package raises errors of many kinds
        raise OSError(f"it cannot be read back ({error})") from error
    same = list(read) == list(views) and all(_is_same(read[view], *meant) for view, meant in views.items())
    if not same:
        raise OSError("what was read back is not what was written")


def _is_same(read: Mapping[str, Any], spec: Any, pixels: Any) -> bool:
    names = spec.channelnames
    return sorted(read) == sorted(names) and all(
        np.array_equal(read[name], pixels[..., column], equal_nan=True) for column, name in enumerate(names)
    )
