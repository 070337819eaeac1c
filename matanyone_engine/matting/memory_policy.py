# SPDX-License-Identifier: Apache-2.0
"""Holds the settings of a shot's memory. The defaults are the published ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from matanyone_engine.memory.long_term import LongTermPolicy, require


@dataclass(frozen=True)
class MemoryPolicy:
    """Holds the settings of a session's memory: what it remembers, and how it is searched."""

    memory_every: int = 5
    """Every how many frames one goes into memory."""
    bank_frames: int = 5
    """Most frames in working memory, including the permanent first one; not used with long-term memory."""
    top_k: int | None = 30
    """Number of stored tokens that each pixel reads; None reads all."""
    long_term: LongTermPolicy | None = None
    """Settings of long-term memory; None keeps only the newest frames."""
    sensory_updates: int = 5
    """Number of frames, spread evenly between two memory frames, on which the decoder updates the sensory map."""

    def __post_init__(self) -> None:
        for name in ("memory_every", "bank_frames", "sensory_updates"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(self.top_k is None or self.top_k >= 1, "top_k", "at least 1, or None", self.top_k)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for snapshots and provenance."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MemoryPolicy:
        """Make a policy from what to_dict returned."""
        long_term = values.get("long_term")
        return cls(**{**values, "long_term": None if long_term is None else LongTermPolicy(**long_term)})
