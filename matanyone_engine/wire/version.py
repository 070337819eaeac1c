# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the first part of every message, whose format never changes: four letters, a major and a minor."""

from __future__ import annotations

from typing import NamedTuple

from .errors import Code, WireError

MAGIC = b"MAE1"
PREAMBLE_BYTES = 6


class Version(NamedTuple):
    """Numbers the protocol: peers of one major understand each other; a minor adds fields that the other may not
    know.
    """

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CURRENT = Version(1, 6)


def preamble() -> bytes:
    """Return the six bytes that name the protocol and its version here."""
    return MAGIC + bytes(CURRENT)


def read_preamble(data: bytes) -> Version:
    """Read the sender's version from six bytes. Raises WireError for strangers and for another major."""
    if len(data) != PREAMBLE_BYTES or data[:4] != MAGIC:
        raise WireError(
            Code.NOT_OURS,
            f"expected a message that begins with {MAGIC!r} and a version; got {data[:16]!r}",
            "Connect a MatAnyone Engine client to this port, and nothing else.",
        )
    version = Version(data[4], data[5])
    if version.major != CURRENT.major:
        raise WireError(
            Code.VERSION,
            f"expected protocol {CURRENT.major}.x; the other side speaks {version}",
            "Install the add-on and the engine of one release.",
        )
    return version
