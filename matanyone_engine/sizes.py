# SPDX-License-Identifier: Apache-2.0
"""Holds the two ways to write down how large a picture is, as two types, so that nobody takes one for the other."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Holds a size in pixels with its height first, as arrays and tensors do."""

    height: int
    width: int

    @property
    def resolution(self) -> Resolution:
        """Returns the same size with its width first."""
        return Resolution(self.width, self.height)

    def __str__(self) -> str:
        return str(self.resolution)


class Resolution(NamedTuple):
    """Holds a size in pixels with its width first, as image files, messages and people do."""

    width: int
    height: int

    @property
    def size(self) -> Size:
        """Returns the same size with its height first."""
        return Size(self.height, self.width)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"
