# SPDX-License-Identifier: Apache-2.0
"""Writes pictures so that each file is complete or does not exist.

Rules of this file:
1. A file gets its final name only when it is complete: it is written as a temporary file, read back, synced to disk,
   and renamed.
2. The file must hold the pixels that were to be written, bit for bit, or within the loss of a lossy codec. It is read
   back, or checked by the checksums that the encoder made (exr.py).
3. What goes into a file is decided in layouts.py; why the default looks as it does, in
   docs/decisions/DR002-output-layout.md.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio

from matanyone_engine.atomic import make_folder, open_inside, whole_file
from matanyone_engine.errors import OutputError
from matanyone_engine.media.exr import Planes, StoredPlane, holds, read_header, read_planes, write_planes
from matanyone_engine.media.half_float import halves
from matanyone_engine.media.headers import PROVENANCE_PREFIX
from matanyone_engine.media.images import Attribute, FloatImage, PlateHeader, last_error
from matanyone_engine.media.layouts import LOSSY, SUBJECT, Delivery, Depth, FrameContent, Picture, compose

# The fewest bytes that a pixel of a written alpha takes, measured on black frames (DR002). A greater number might
# refuse work for which there is room.
LEAST_BYTES_PER_PIXEL = 0.02

# If writing fails on a disk with less free room than this, in bytes, the error says that the disk is full.
SMALLEST_ROOM = 64 * 1024

# The mean error of DWA at OpenEXR's usual level is 0.05 to 4 % of the picture's brightness (DR005). That of a file with
# missing parts is far greater.
LARGEST_MEAN_LOSS = 0.15
SMALLEST_SIGNAL = 1e-2

LARGEST_HALF = 65520.0
"""The least value that rounds to Inf as a half float."""

_FORMATS = {".exr": "openexr", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
_WRITTEN_AS = {"vectori": "int[3]", "vector2i": "int[2]", "vector2i[2]": "box2i", "vector2[2]": "box2f"}
"""The types that OpenImageIO calls otherwise when it writes an .exr than when it reads it."""
_OIIO_TYPES = {"half": oiio.HALF, "float": oiio.FLOAT, "uint16": oiio.UINT16}


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture. Raises OutputError if it cannot be written completely; then no file is left."""
    file_format = _FORMATS[path.suffix.lower()]
    planes = _as_stored(picture, path)
    try:
        with whole_file(path) as temporary:
            _write(temporary, file_format, _spec(picture, file_format), planes)
            _verify(temporary, file_format, picture, planes)
    except OSError as error:
        raise _not_written(path, error.strerror or str(error)) from error


def write_alpha(path: Path, alpha: FloatImage, header: PlateHeader, provenance: Mapping[str, str]) -> None:
    """Write one alpha, (H, W) float32 0..1, in the default layout, over the plate's whole display window.

    .exr: half, ZIPS, R = G = B = A = alpha, the plate's header without its colour, provenance as matanyone:<key>.
    .png, .tif: one 16-bit channel without a transfer curve, provenance in the description.
    Raises BadResult if the alpha does not fit the plate; OutputError if the file cannot be written completely. Then no
    file is left.
    """
    content = FrameContent(header, {SUBJECT: alpha})
    write_picture(path, compose(Delivery(), content, (SUBJECT,), provenance, path.suffix))


def check_writable(folder: Path, expected_bytes: int = 0) -> int:
    """Make the folder, write a small file in it and remove it again. Returns the free bytes.

    Raises OutputError if the folder cannot be made or written, or has less room than expected_bytes.
    """
    probe = folder / f".matanyone-write-test.{uuid.uuid4().hex}.tmp"  # a name that nobody can put a link under
    try:
        make_folder(folder)
        with open_inside(probe, "xb") as file:
            file.write(bytes(4096))
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = error.strerror or str(error)
        raise _not_written(folder, why, expected="an output folder that can be written") from error
    finally:
        with suppress(OSError):  # if nothing could be written, there is nothing to remove
            probe.unlink(missing_ok=True)
    if free < expected_bytes:
        raise OutputError(
            expected=f"at least {expected_bytes / 1e6:.0f} MB free for the alphas in {str(folder)!r}",
            came=f"{free / 1e6:.0f} MB",
            action="Free some room, or write to another disk.",
        )
    return free


def is_readable(path: Path) -> bool:
    """Return whether all pixels of a picture can be read; False for a file that was cut off."""
    image = oiio.ImageInput.open(str(path))
    pixels = None if image is None else image.read_image()
    last_error()
    return pixels is not None


def least_bytes(header: PlateHeader, frames: int, raw: int = 0) -> int:
    """Return the fewest bytes that so many files take: with less room, the work need not start.

    raw: bytes of a pixel where nothing is compressed, with which the result is exact (layouts.raw_bytes); else 0.
    """
    width, height = header.resolution
    return int(width * height * frames * (raw or LEAST_BYTES_PER_PIXEL))


# ------------------------------------------------------------------------------------------------------- writing


def _spec(picture: Picture, file_format: str) -> Any:
    spec = oiio.ImageSpec(*picture.data_window[2:], len(picture.channels), _OIIO_TYPES[picture.depth])
    spec.channelnames = tuple(picture.channels)
    spec.alpha_channel = spec.channelnames.index("A") if "A" in spec.channelnames else -1
    spec.x, spec.y = picture.data_window[:2]
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = picture.display_window
    for attribute in picture.attributes:
        if file_format == "openexr" or not attribute.name.startswith(PROVENANCE_PREFIX):
            _add(spec, attribute)
    if file_format == "openexr":
        spec.attribute("compression", picture.compression)
        return spec
    spec.x, spec.y, spec.full_x, spec.full_y = 0, 0, 0, 0  # these formats know no negative origins
    spec.full_width, spec.full_height = picture.data_window[2:]
    spec.attribute("oiio:UnassociatedAlpha", int(picture.straight))
    spec.attribute("oiio:ColorSpace", "data")  # or OpenImageIO would write an sRGB and a gamma chunk into a PNG
    said = [f"{item.name}={item.value}" for item in picture.attributes if item.name.startswith(PROVENANCE_PREFIX)]
    spec.attribute("ImageDescription", "\n".join(said))
    return spec


def _add(spec: Any, attribute: Attribute) -> None:
    """Add a header attribute, or warn once that it is left out: an odd attribute must not stop a shot."""
    kind = _WRITTEN_AS.get(attribute.type, attribute.type)
    try:
        spec.attribute(attribute.name, oiio.TypeDesc(kind), attribute.value)
    except (RuntimeError, TypeError, ValueError) as error:
        if attribute.name not in _left_out:
            _left_out.add(attribute.name)
            _log.warning("The header's %s (%s) is left out of the alphas: %s", attribute.name, attribute.type, error)


_left_out: set[str] = set()
_log = logging.getLogger("matanyone_engine")


def _as_stored(picture: Picture, path: Path) -> dict[str, StoredPlane]:
    """Return each channel (H, W) with the values that the file will hold, to compare them with those read back."""
    stored: dict[int, StoredPlane] = {}  # a layout may show one plane in several channels
    for name, plane in picture.channels.items():
        if id(plane) not in stored:
            stored[id(plane)] = _stored_plane(plane, picture.depth, name, path)
    return {name: stored[id(plane)] for name, plane in picture.channels.items()}


def _stored_plane(plane: FloatImage, depth: Depth, name: str, path: Path) -> StoredPlane:
    if depth == "float":
        return plane
    if depth == "uint16":
        # A movie's colours may lie outside of 0..1.
        return np.rint(np.clip(plane, 0.0, 1.0) * np.float32(65535.0)).astype(np.uint16)
    if not max(float(plane.max()), -float(plane.min())) < LARGEST_HALF:
        raise OutputError(
            expected=f"values that half floats hold (up to 65504) in channel {name}",
            came=f"{np.abs(plane).max():.6g} in the plate, for {str(path)!r}",
            action="Write 32-bit floats: --depth float.",
        )
    return halves(plane)


def _interleaved(planes: Sequence[StoredPlane]) -> Any:
    """Return the planes as (H, W, channels)."""
    if len(planes) > 4:  # OpenCV's limit depends on its version
        return np.stack(planes, axis=-1)
    bits = [_bits(plane) for plane in planes]
    return np.asarray(cv2.merge(bits)).view(planes[0].dtype).reshape(*planes[0].shape, len(planes))


def _bits(plane: StoredPlane) -> Any:
    """View values as unsigned integers, which OpenCV accepts and which compare many times faster than half floats."""
    return np.ascontiguousarray(plane).view(np.uint32 if plane.dtype == np.float32 else np.uint16)


def _write(path: Path, file_format: str, spec: Any, planes: Planes) -> None:
    """Write the file. Raises OSError with the library's message."""
    path.write_bytes(b"")  # if the folder cannot be written, this raises the system's own error
    header = _header_of(path, spec, planes) if file_format == "openexr" else None
    if header is None:
        _write_slowly(path, file_format, spec, planes)
        return
    try:
        write_planes(path, header, planes)
    except OSError as error:
        raise OSError(_reason(path, str(error))) from error


def _header_of(path: Path, spec: Any, planes: Planes) -> dict[str, Any] | None:
    """Return the attributes as OpenImageIO writes them, from a file of one pixel; None if OpenEXR's package cannot read
    it.
    """
    small = spec.copy()
    small.width = small.height = 1
    _write_slowly(path, "openexr", small, {name: plane[:1, :1] for name, plane in planes.items()})
    return read_header(path)


def _write_slowly(path: Path, file_format: str, spec: Any, planes: Planes) -> None:
    """Write through OpenImageIO, and check what each call returns. Raises OSError with its message."""
    output = oiio.ImageOutput.create(file_format)
    if output is None:
        raise OSError(last_error())
    written = output.open(str(path), spec) and output.write_image(_interleaved(list(planes.values())))
    complaint = last_error(output)
    closed = output.close()
    if not (written and closed):
        raise OSError(_reason(path, complaint or last_error(output)))


# ------------------------------------------------------------------------------------------------------ verifying


def _verify(path: Path, file_format: str, picture: Picture, planes: Planes) -> None:
    """Check the file that was written: a disk that is full may be noticed only now. Raises OSError."""
    if file_format == "openexr" and holds(path, planes, picture.data_window[:2]):
        return
    read = read_planes(path) if file_format == "openexr" else None
    if read is None:
        read = _read_back(path, picture.depth, named=file_format == "openexr", written=list(planes))
    if not _is_what_was_written(read, picture, planes):
        raise OSError(_reason(path, "what was read back is not what was written"))


def _read_back(path: Path, depth: Depth, *, named: bool, written: Sequence[str]) -> dict[str, StoredPlane]:
    """Read each channel (H, W) by OpenImageIO. Raises OSError.

    named: whether the format stores channels' names; if not, they are those of `written`, in that order.
    """
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # or straight colours would come multiplied
    image = oiio.ImageInput.open(str(path), as_stored)
    if image is None:
        raise OSError(_reason(path, last_error()))
    names = image.spec().channelnames if named else written
    stored = image.read_image(_OIIO_TYPES[depth])
    complaint = last_error(image)
    image.close()
    if stored is None or complaint:
        raise OSError(_reason(path, complaint))
    columns = np.atleast_3d(stored)
    return {name: columns[..., column] for column, name in enumerate(names) if column < columns.shape[2]}


def _is_what_was_written(read: Planes, picture: Picture, planes: Planes) -> bool:
    """Return whether pixels are the same, bit for bit; for a lossy codec, within its known loss, alphas excepted."""
    if read.keys() != planes.keys() or any(read[name].shape != plane.shape for name, plane in planes.items()):
        return False
    exact = {name for name in planes if picture.compression not in LOSSY or name.rpartition(".")[2] == "A"}
    if not all(np.array_equal(_bits(read[name]), _bits(planes[name])) for name in exact):
        return False
    mean = np.mean([np.abs(plane).mean(dtype=np.float64) for plane in planes.values()])
    allowed = LARGEST_MEAN_LOSS * max(float(mean), SMALLEST_SIGNAL)
    return all(_is_near(read[name], planes[name], allowed) for name in planes.keys() - exact)


def _is_near(stored: StoredPlane, pixels: StoredPlane, allowed: float) -> bool:
    """Return whether a lossy codec may have made `stored` from `pixels`: finite values with a small mean error."""
    read, meant = stored.astype(np.float32), pixels.astype(np.float32)
    return bool(np.isfinite(read).all() and np.abs(read - meant).mean(dtype=np.float64) <= allowed)


def _reason(path: Path, complaint: str) -> str:
    """Return that the disk is full if it is, since image libraries do not say so; else the library's message."""
    if shutil.disk_usage(path.parent).free < SMALLEST_ROOM:
        return os.strerror(errno.ENOSPC)
    return complaint.strip() or "the image library did not say why"


def _not_written(path: Path, why: str, expected: str = "to write the alpha") -> OutputError:
    return OutputError(
        expected=expected,
        came=f"{why}: {str(path)!r}",
        action="Check the free room on the disk and the permissions of the folder. No unfinished file was left.",
    )
