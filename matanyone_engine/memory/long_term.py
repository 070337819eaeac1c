# SPDX-License-Identifier: Apache-2.0
"""Holds the limits of long-term memory, in frames of working memory and in tokens."""

from __future__ import annotations

from dataclasses import dataclass

from matanyone_engine.errors import SettingError


def require(condition: bool, name: str, expected: str, came: object) -> None:
    """Raise SettingError unless the condition of a setting of memory holds."""
    if not condition:
        raise SettingError(
            expected=f"{name} to be {expected}",
            came=repr(came),
            action="Correct the setting, or leave it out for the default.",
        )


@dataclass(frozen=True)
class LongTermPolicy:
    """Defines when working memory is condensed into long-term prototypes, and how many of them are kept."""

    max_frames: int = 10
    """Frames of working memory (the permanent one included) that trigger a consolidation."""
    min_frames: int = 5
    """Frames of working memory left by it."""
    prototypes: int = 128
    """Tokens that one consolidation makes."""
    max_tokens: int = 10_000
    """Long-term tokens at most."""
    buffer_tokens: int = 2_000
    """Extra room that is freed when they run out."""

    def __post_init__(self) -> None:
        require(
            1 <= self.min_frames < self.max_frames,
            "min_frames",
            f"from 1 to below max_frames ({self.max_frames})",
            self.min_frames,
        )
        require(self.prototypes >= 1, "prototypes", "at least 1", self.prototypes)
        require(
            self.max_tokens > self.prototypes,
            "max_tokens",
            f"above prototypes ({self.prototypes})",
            self.max_tokens,
        )
        require(self.buffer_tokens >= 0, "buffer_tokens", "at least 0", self.buffer_tokens)
