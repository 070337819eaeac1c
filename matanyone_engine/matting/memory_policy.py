# SPDX-License-Identifier: Apache-2.0
"""Settings of a shot's memory, frozen (spec sections 1, 3.2, 3.3). Defaults are the published ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from matanyone_engine.errors import SettingError


def _require(condition: bool, name: str, expected: str, came: object) -> None:
    if not condition:
        raise SettingError(
            expected=f"{name} to be {expected}",
            came=repr(came),
            action="Correct the setting, or leave it out for the default.",
        )


@dataclass(frozen=True)
class LongTermPolicy:
    """When working memory is condensed into long-term prototypes."""

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
        _require(
            1 <= self.min_frames < self.max_frames,
            "min_frames",
            f"from 1 to below max_frames ({self.max_frames})",
            self.min_frames,
        )
        _require(self.prototypes >= 1, "prototypes", "at least 1", self.prototypes)
        _require(
            self.max_tokens > self.prototypes,
            "max_tokens",
            f"above prototypes ({self.prototypes})",
            self.max_tokens,
        )
        _require(self.buffer_tokens >= 0, "buffer_tokens", "at least 0", self.buffer_tokens)


@dataclass(frozen=True)
class MemoryPolicy:
    """What a session remembers and how it looks things up."""

    memory_every: int = 5
    """A frame goes into memory after this many frames."""
    bank_frames: int = 5
    """Frames in working memory, the permanent first one included; not used with long-term memory."""
    top_k: int | None = 30
    """Stored tokens that each pixel reads; None reads all of them."""
    long_term: LongTermPolicy | None = None
    """None keeps the newest frames only."""
    sensory_updates: int = 5
    """Frames of a memory interval on which the decoder updates the sensory map, spread evenly."""

    def __post_init__(self) -> None:
        for name in ("memory_every", "bank_frames", "sensory_updates"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(self.top_k is None or self.top_k >= 1, "top_k", "at least 1, or None", self.top_k)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for snapshots and provenance."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MemoryPolicy:
        """The inverse of to_dict."""
        long_term = values.get("long_term")
        return cls(**{**values, "long_term": None if long_term is None else LongTermPolicy(**long_term)})
