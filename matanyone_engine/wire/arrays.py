# SPDX-License-Identifier: Apache-2.0
"""Describes a payload: a plane of pixels or the bytes of an EXR file. Nothing is allocated before it is checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Optional

from .errors import Code, WireError

ITEM_BYTES = {"u1": 1, "u2": 2, "f2": 2, "f4": 4}
"""Element types, all little-endian: 8 and 16 bit integers (0..1 at full scale), half and single floats."""
RAW, EXR = "raw", "exr"
MOST_PIXELS_A_SIDE = 32768
MOST_CHANNELS = 32
CHECKSUM_DIGITS = 16


@dataclass(frozen=True)
class Payload:
    """Declares one binary part of a message."""

    name: str
    """What it is: 'plate', 'mask', 'alpha', 'snapshot'."""
    encoding: str
    """RAW: rows from the top, channels interleaved, no padding. EXR: a whole file."""
    bytes: int
    checksum: str
    """The first 16 hexadecimal digits of SHA-256: against accidents, and found in every language."""
    dtype: Optional[str] = None
    """A key of ITEM_BYTES; RAW only."""
    shape: Optional[tuple[int, int, int]] = None
    """Height, width, channels; RAW only."""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise WireError(Code.MALFORMED, f"payload {self.name!r:.40}: {problem}", "This is a defect of the sender.")


def _problem(payload: Payload) -> Optional[str]:
    """Return what is wrong with a declaration, or None."""
    if not isinstance(payload.bytes, int) or isinstance(payload.bytes, bool) or payload.bytes < 0:
        return f"expected a byte length, got {payload.bytes!r:.40}"
    if payload.encoding == EXR:
        return None if payload.dtype is None and payload.shape is None else "an EXR file declares no dtype and no shape"
    if payload.encoding != RAW:
        return f"expected encoding 'raw' or 'exr', got {payload.encoding!r:.40}"
    return _raw_problem(payload)


def _raw_problem(payload: Payload) -> Optional[str]:
    if payload.dtype not in ITEM_BYTES:
        return f"expected dtype one of {', '.join(ITEM_BYTES)}, got {payload.dtype!r:.40}"
    shape = payload.shape
    if shape is None or len(shape) != 3 or not all(type(side) is int and side >= 1 for side in shape):
        return f"expected a shape of height, width and channels, got {shape!r:.60}"
    if max(shape[:2]) > MOST_PIXELS_A_SIDE or shape[2] > MOST_CHANNELS:
        return f"expected at most {MOST_PIXELS_A_SIDE} pixels a side and {MOST_CHANNELS} channels, got {shape}"
    expected = shape[0] * shape[1] * shape[2] * ITEM_BYTES[payload.dtype]
    return None if payload.bytes == expected else f"expected {expected} bytes for {shape} {payload.dtype}"


def checksum(data: Any) -> str:
    """Return the checksum of any bytes-like object."""
    return hashlib.sha256(data).hexdigest()[:CHECKSUM_DIGITS]


def describe_raw(name: str, data: Any, dtype: str, shape: tuple[int, int, int]) -> Payload:
    """Return the declaration of a raw plane. Raises WireError where data and declaration differ."""
    return Payload(name, RAW, memoryview(data).nbytes, checksum(data), dtype, shape)


def describe_file(name: str, data: Any) -> Payload:
    """Return the declaration of the bytes of an EXR file."""
    return Payload(name, EXR, memoryview(data).nbytes, checksum(data))


def check_length(payload: Payload, data: Any) -> None:
    """Compare the length of what came with its declaration. Raises WireError."""
    came = memoryview(data).nbytes
    if came != payload.bytes:
        message = f"payload {payload.name!r:.40}: expected {payload.bytes} bytes, got {came}"
        raise WireError(Code.MALFORMED, message, "This is a defect of the sender.")


def check_content(payload: Payload, data: Any) -> None:
    """Compare the bytes that came with their checksum; takes a millisecond a megabyte. Raises WireError."""
    if checksum(data) != payload.checksum:
        message = f"payload {payload.name!r:.40}: expected checksum {payload.checksum:.40}, got another"
        raise WireError(Code.CHECKSUM, message, "Send it again; if this goes on, look for faulty memory or cables.")
