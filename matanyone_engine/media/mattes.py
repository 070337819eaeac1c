# SPDX-License-Identifier: Apache-2.0
"""Alphas on disk: the channel layout, the header, and a write that is whole or is not there.

Rules of this file:
1. An alpha is data: no transfer curve, no colour attribute but the one that says so.
2. Nothing half-written is ever seen under the final name: temporary file, read back, fsync, rename.
3. The layout is explained in docs/decisions/DR002-output-layout.md.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import BadResult, OutputError
from matanyone_engine.media.images import FloatImage, PlateHeader

SOFTWARE = "MatAnyone Engine"
PROVENANCE_PREFIX = "matanyone:"

# What one pixel of a written alpha takes at least, in bytes (measured on black frames, see DR002): the estimate must
# not refuse work that would have fitted.
LEAST_BYTES_PER_PIXEL = 0.02

# A disk with less room than this is called full when a write failed.
SMALLEST_ROOM = 64 * 1024

Stored = npt.NDArray[np.float16] | npt.NDArray[np.uint16]

_FORMATS = {".exr": "openexr", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}

# Header attributes of the plate that do not describe its alpha: colour, how the file was stored, what was in it.
_NOT_CARRIED = frozenset(
    {
        "acesimagecontainerflag", "adoptedneutral", "chromaticities", "cicp", "colorinteropid", "compression",
        "datetime", "exif:colorspace", "exif:gamma", "exif:makernote", "exif:pixelxdimension", "exif:pixelydimension",
        "imagecolorspace", "imagedescription", "lookmodtransform", "multiview", "name", "orientation", "planarconfig",
        "renderingtransform", "resolutionunit", "software", "textureformat", "view", "whiteluminance", "wrapmodes",
        "xresolution", "yresolution",
    }
)  # fmt: skip
_NOT_CARRIED_PREFIXES = (
    "oiio:", "openexr:", "tiff:", "png:", "jpeg:", "jpegxl:", "dpx:", "cineon:", "targa:", "bmp:", "webp:", "icc",
    "gps:", "iptc:", "xmp:", "photoshop:", "thumbnail", "cryptomatte/", PROVENANCE_PREFIX,
)  # fmt: skip


def write_alpha(path: Path, alpha: FloatImage, header: PlateHeader, provenance: Mapping[str, str]) -> None:
    """Write an alpha, (H, W) float32 0..1, over the plate's whole display window.

    .exr: half, ZIPS, R = G = B = A = alpha, the plate's header but for colour, provenance as matanyone:<key>.
    .png, .tif: one 16-bit channel without a transfer curve, provenance in the description.
    Raises BadResult (nothing is written) if the alpha is not one of this plate; OutputError if the file could not be
    written whole (nothing is left).
    """
    _check_alpha(alpha, header)
    spec = _exr_spec(header, provenance) if path.suffix.lower() == ".exr" else _grey_spec(header, provenance)
    pixels = _as_stored(alpha, spec)
    try:
        with whole_file(path) as temporary:
            _write(temporary, _FORMATS[path.suffix.lower()], spec, pixels)
            _verify(temporary, spec, pixels)
    except OSError as error:
        raise _not_written(path, error.strerror or str(error)) from error


def check_writable(folder: Path, expected_bytes: int = 0) -> int:
    """Before work starts: make the folder, write and remove a small file in it. Returns the free bytes.

    Raises OutputError: it cannot be made or written, or has less room than expected_bytes.
    """
    probe = folder / f".matanyone-write-test.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(4096))
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = error.strerror or str(error)
        raise _not_written(folder, why, expected="an output folder that can be written") from error
    finally:
        with suppress(OSError):  # where nothing could be written there is nothing to remove
            probe.unlink(missing_ok=True)
    if free < expected_bytes:
        raise OutputError(
            expected=f"at least {expected_bytes / 1e6:.0f} MB free for the alphas in {str(folder)!r}",
            came=f"{free / 1e6:.0f} MB",
            action="Free some room, or write to another disk.",
        )
    return free


def least_bytes(header: PlateHeader, frames: int) -> int:
    """What this many alphas take at the very least, in bytes: with less room the work need not start."""
    width, height = header.size
    return int(width * height * frames * LEAST_BYTES_PER_PIXEL)


# ------------------------------------------------------------------------------------------------------- header


def _exr_spec(header: PlateHeader, provenance: Mapping[str, str]) -> Any:
    spec = oiio.ImageSpec(*header.size, 4, oiio.HALF)
    spec.channelnames = ("R", "G", "B", "A")
    spec.alpha_channel = 3
    window = header.display_window
    spec.x, spec.y = window.x, window.y
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = window
    for attribute in header.attributes:
        if _is_carried(attribute.name):
            spec.attribute(attribute.name, oiio.TypeDesc(attribute.type), attribute.value)
    spec.attribute("PixelAspectRatio", header.pixel_aspect)
    if header.fps is not None:
        spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), header.fps.as_integer_ratio())
    spec.attribute("compression", "zips")
    spec.attribute("colorInteropID", "data")
    spec.attribute("Software", SOFTWARE)
    for key, value in provenance.items():
        spec.attribute(PROVENANCE_PREFIX + key, value)
    return spec


def _grey_spec(header: PlateHeader, provenance: Mapping[str, str]) -> Any:
    spec = oiio.ImageSpec(*header.size, 1, oiio.UINT16)
    spec.channelnames = ("Y",)
    spec.attribute("oiio:ColorSpace", "data")  # or OpenImageIO would write an sRGB and a gamma chunk into a PNG
    spec.attribute("PixelAspectRatio", header.pixel_aspect)
    spec.attribute("Software", SOFTWARE)
    spec.attribute(
        "ImageDescription", "\n".join(f"{PROVENANCE_PREFIX}{key}={value}" for key, value in provenance.items())
    )
    return spec


def _is_carried(name: str) -> bool:
    lower = name.lower()
    return lower not in _NOT_CARRIED and not lower.startswith(_NOT_CARRIED_PREFIXES)


# ------------------------------------------------------------------------------------------------------- writing


def _check_alpha(alpha: FloatImage, header: PlateHeader) -> None:
    width, height = header.size
    if alpha.shape != (height, width):
        came = f"shape {alpha.shape}"
    elif not np.isfinite(alpha).all():
        came = f"{int((~np.isfinite(alpha)).sum())} pixels that are NaN or Inf"
    elif alpha.min() < 0.0 or alpha.max() > 1.0:
        came = f"values from {alpha.min():.6g} to {alpha.max():.6g}"
    else:
        return
    raise BadResult(
        expected=f"an alpha of {width}x{height} pixels, 0 to 1, for {str(header.path)!r}",
        came=came,
        action="Nothing was written for this frame. Report this with the log: the engine must not answer so.",
    )


def _as_stored(alpha: FloatImage, spec: Any) -> Stored:
    """(H, W) float32 -> (H, W, channels) of the file's own type, so that it can be compared when read back."""
    values = alpha.astype(np.float16) if spec.format == oiio.HALF else np.rint(alpha * 65535.0).astype(np.uint16)
    return np.repeat(values[..., np.newaxis], spec.nchannels, axis=-1)


def _write(path: Path, file_format: str, spec: Any, pixels: Stored) -> None:
    """Write through OpenImageIO, every answer checked. Raises OSError with its complaint."""
    path.write_bytes(b"")  # so that a folder that cannot be written says so in the system's words
    output = oiio.ImageOutput.create(file_format)
    if output is None:
        raise OSError(oiio.geterror())
    written = output.open(str(path), spec) and output.write_image(pixels)
    complaint = output.geterror()
    closed = output.close()
    if not (written and closed):
        raise OSError(_reason(path, complaint or output.geterror()))


def _verify(path: Path, spec: Any, pixels: Stored) -> None:
    """Read the file back: a disk that filled up while the file was closed may show only here. Raises OSError."""
    image = oiio.ImageInput.open(str(path))
    if image is None:
        raise OSError(_reason(path, oiio.geterror()))
    stored = image.read_image(spec.format)
    complaint = image.geterror()
    image.close()
    if stored is None or complaint or not _same_bits(stored, pixels):
        raise OSError(_reason(path, complaint or "what was read back is not what was written"))


def _same_bits(stored: Stored, pixels: Stored) -> bool:
    """Equality of 16-bit values; as integers, which compare many times faster than half floats."""
    return np.array_equal(stored.reshape(pixels.shape).view(np.uint16), pixels.view(np.uint16))


def _reason(path: Path, complaint: str) -> str:
    """OpenImageIO's words, after the disk's state where that explains them: codecs do not pass the cause on."""
    if shutil.disk_usage(path.parent).free < SMALLEST_ROOM:
        return f"{os.strerror(errno.ENOSPC)} ({complaint.strip()})"
    return complaint.strip() or "the image library did not say why"


def _not_written(path: Path, why: str, expected: str = "to write the alpha") -> OutputError:
    return OutputError(
        expected=expected,
        came=f"{why}: {str(path)!r}",
        action="Check the room on the disk and the permissions of the folder; nothing half-written was left.",
    )
