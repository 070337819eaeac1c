# SPDX-License-Identifier: Apache-2.0
"""Decodes payloads into plates for the network, and encodes alphas into payloads.

Rules of this file:
1. A plate's size is compared with the session's before any pixel is decoded.
2. EXR files from clients are untrusted: they are decoded in a child process, so that a crash cannot stop the engine.
3. A plate is processed by the same functions as in a job: read_plate, NetworkView, grow_mask.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matanyone_engine.engine.sandbox import Sandbox
from matanyone_engine.errors import ColourError, MaskError, PlateError
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import ColourChoice, choose_space
from matanyone_engine.media.images import FloatImage, PlateHeader, check_bounds, read_header, read_plate
from matanyone_engine.media.mask_morphology import grow_mask
from matanyone_engine.media.masks import MASK_ROUNDING, read_constraint_mask, read_mask
from matanyone_engine.media.mattes import write_alpha
from matanyone_engine.sizes import Resolution, Size
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import EXR, Payload, describe_file, describe_raw

_TIMEOUT_S = 120.0
"""Seconds that the sandbox may take for one EXR file."""
_MOST_OVERSCAN = 4
"""Most pixels of a data window, as a multiple of the plate's pixels."""
_FULL_SCALE = {"u1": 255.0, "u2": 65535.0}


@dataclass(frozen=True)
class DecodedPlate:
    """Holds a plate as the network sees it, its mask if it has one, and the header of its file."""

    seen: FloatImage
    """(H, W, 3) display-referred 0..1."""
    mask: FloatImage | None
    """(H, W) 0..1."""
    header: PlateHeader | None
    """None for raw planes."""
    colour: ColourChoice
    black: bool
    """Whether all pixels of the plate are 0."""
    mask_sha256: str = ""
    guide: FloatImage | None = None
    """(H, W) 0..1."""
    guide_band: int | None = None
    """The guide's band in pixels; None is the default for the plate's size."""


@dataclass(frozen=True)
class PlateFormat:
    """Describes the plates of a session."""

    resolution: Resolution
    """Width, height."""
    colorspace: str | None
    mask_grow: int
    exposure: float = 0.0
    guide_band: int | None = None
    """The band of this frame's guide, in pixels."""


def exposure_of_session(options: say.Options) -> float:
    """Return the exposure of a session in stops: 0 if none is given, since plates come one by one (DR023)."""
    return 0.0 if options.exposure is None else options.exposure


class Decoder:
    """Decodes raw planes in this process, and EXR files in the sandbox."""

    def __init__(self) -> None:
        self._sandbox = Sandbox(_TIMEOUT_S)

    def __call__(
        self,
        asked: PlateFormat,
        plate: tuple[Payload, Any],
        mask: tuple[Payload, Any] | None,
        guide: tuple[Payload, Any] | None = None,
    ) -> DecodedPlate:
        """Raises BadInput, or WireError if a file has crashed the child process."""
        if all(payload.encoding != EXR for payload, _ in filter(None, (plate, mask, guide))):
            return decode(asked, plate, mask, guide)
        return self._sandbox.run(decode, asked, _copied(plate), mask and _copied(mask), guide and _copied(guide))

    def processes(self) -> list[int]:
        """Return the ids of the decoding processes."""
        return self._sandbox.processes()

    def rest(self) -> None:
        """End the child process if it is idle; the next file starts it again."""
        self._sandbox.rest()

    def close(self) -> None:
        """End the process."""
        self._sandbox.close()


def _copied(part: tuple[Payload, Any]) -> tuple[Payload, bytes]:
    """Return bytes that can be sent to the child process."""
    return part[0], bytes(part[1])


def decode(
    asked: PlateFormat,
    plate: tuple[Payload, Any],
    mask: tuple[Payload, Any] | None,
    guide: tuple[Payload, Any] | None = None,
) -> DecodedPlate:
    """Decode the plate, mask and guide of a Key or Frame. Raises PlateError, MaskError, ColourError."""
    rgb, header = _plate(asked, *plate)
    colour = _colour(asked, header)
    given = None if mask is None else grow_mask(_mask(asked, *mask), asked.mask_grow)
    if given is not None and not given.any():
        raise MaskError(
            expected="a mask that still shows the subject",
            came=f"a mask of which nothing is left once it is shrunk by {-asked.mask_grow} pixels",
            action="Shrink the mask less.",
        )
    sha256 = "" if mask is None else hashlib.sha256(mask[1]).hexdigest()
    return DecodedPlate(
        NetworkView(colour.space, asked.exposure)(rgb),
        given,
        header,
        colour,
        not rgb.any(),
        sha256,
        None if guide is None else _guide(asked, *guide),
        asked.guide_band,
    )


def _colour(asked: PlateFormat, header: PlateHeader | None) -> ColourChoice:
    if header is None and asked.colorspace is None:
        raise ColourError(
            expected="a colour space for raw planes",
            came="no name, and raw planes have no header that could hold one",
            action="Name it in the session's options, for example sRGB, ACEScg or lin_rec709_scene.",
        )
    return choose_space(header, asked.colorspace, ".exr" if header else "")


def _plate(asked: PlateFormat, payload: Payload, data: Any) -> tuple[FloatImage, PlateHeader | None]:
    if payload.encoding == EXR:
        with _as_file(data) as path:
            check_bounds(path, _MOST_OVERSCAN * asked.resolution.width * asked.resolution.height)
            _check_size(asked, read_header(path).resolution)
            plate = read_plate(path)
        return plate.rgb, plate.header
    pixels = _planes(payload, data)
    _check_size(asked, Size(*pixels.shape[:2]).resolution)
    if pixels.shape[2] < 3 or not np.isfinite(pixels[..., :3]).all():
        raise PlateError(
            expected="raw planes with the channels R, G and B, and numbers in all of them",
            came=f"{pixels.shape[2]} channels" if pixels.shape[2] < 3 else "NaN or Inf among the values",
            action="Send R, G and B interleaved, and repair the values that are not numbers.",
        )
    return np.ascontiguousarray(pixels[..., :3]), None


def _mask(asked: PlateFormat, payload: Payload, data: Any) -> FloatImage:
    if payload.encoding == EXR:
        with _as_file(data) as path:
            check_bounds(path, _MOST_OVERSCAN * asked.resolution.width * asked.resolution.height)
            return read_mask(path, asked.resolution)
    return _one_plane(asked, payload, data, "mask")


def _guide(asked: PlateFormat, payload: Payload, data: Any) -> FloatImage:
    """Return a guide, (H, W) 0..1. Unlike a mask it may be black; a black guide has no effect."""
    if payload.encoding == EXR:
        with _as_file(data) as path:
            check_bounds(path, _MOST_OVERSCAN * asked.resolution.width * asked.resolution.height)
            return read_constraint_mask(path, asked.resolution)
    guide = _one_plane(asked, payload, data, "guide")
    if not np.isfinite(guide).all() or guide.min() < -MASK_ROUNDING or guide.max() > 1 + MASK_ROUNDING:
        raise MaskError(
            expected="a guide of values from 0 to 1",
            came=f"values from {guide.min():g} to {guide.max():g}",
            action="Send coverage: 0 beside the subject, 1 on it.",
        )
    return guide


def _one_plane(asked: PlateFormat, payload: Payload, data: Any, what: str) -> FloatImage:
    pixels = _planes(payload, data)
    if pixels.shape != (*asked.resolution.size, 1):
        raise MaskError(
            expected=f"a {what} of one channel and the plate's size, {asked.resolution}",
            came=f"{pixels.shape[1]}x{pixels.shape[0]} with {pixels.shape[2]} channels",
            action=f"Render the {what} at the plate's size; it is never stretched.",
        )
    return pixels[..., 0]


def _planes(payload: Payload, data: Any) -> FloatImage:
    """Return raw bytes as (H, W, C) float32; integers are scaled to 0..1."""
    assert payload.dtype is not None
    assert payload.shape is not None
    stored = np.frombuffer(data, dtype=np.dtype("<" + payload.dtype)).reshape(payload.shape)
    values = _as_float(stored)
    return values / np.float32(_FULL_SCALE[payload.dtype]) if payload.dtype in _FULL_SCALE else values


def _as_float(stored: np.ndarray[Any, Any]) -> FloatImage:
    """Convert half floats with torch, which takes a quarter of numpy's time and gives the same values."""
    if stored.dtype != np.float16:
        return stored.astype(np.float32)
    import torch  # imported here, since the child process does not need it

    return torch.from_numpy(np.array(stored)).float().numpy()


def _check_size(asked: PlateFormat, came: Resolution) -> None:
    if came != asked.resolution:
        raise PlateError(
            expected=f"a plate of the session's size, {asked.resolution}",
            came=f"{came[0]}x{came[1]}",
            action="Give every frame at one size, or open a new session.",
        )


@contextmanager
def _as_file(data: Any) -> Iterator[Path]:
    """Yield a path at which OpenImageIO, which reads only files, can open the bytes. The file is kept in memory if the
    system can do that.
    """
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("plate.exr")
        try:
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(data)
            yield Path(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory(prefix="matanyone-") as folder:
        path = Path(folder) / "plate.exr"
        path.write_bytes(data)
        yield path


def encode_alpha(
    reply: str, alpha: FloatImage, header: PlateHeader | None, provenance: dict[str, str], frame: int, folder: Path
) -> tuple[Payload, bytes]:
    """Encode an alpha, (H, W) 0..1, as the session asked for: 'exr', 'f2' or 'f4'. Raises BadResult, OutputError."""
    if reply != EXR:
        data = _little_endian(alpha, reply)
        return describe_raw("alpha", data, reply, (*alpha.shape, 1)), data
    path = folder / f".alpha-{frame}.exr"
    try:
        write_alpha(path, alpha, _named(header, alpha, frame), provenance)
        data = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    return describe_file("alpha", data), data


def _little_endian(alpha: FloatImage, reply: str) -> bytes:
    """Convert with torch, which makes half floats many times faster than numpy and rounds them in the same way."""
    import torch  # imported here, since the child process does not need it

    kind = torch.float16 if reply == "f2" else torch.float32
    return torch.from_numpy(alpha).to(kind).numpy().astype("<" + reply, copy=False).tobytes()


def _named(header: PlateHeader | None, alpha: FloatImage, frame: int) -> PlateHeader:
    """Return the plate's header with the frame as its name, for error messages; a plain header for raw planes."""
    name = Path(f"frame {frame}")
    if header is not None:
        return replace(header, path=name)
    return PlateHeader.plain(name, alpha.shape[1], alpha.shape[0])
