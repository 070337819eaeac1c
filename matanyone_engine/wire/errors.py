# SPDX-License-Identifier: Apache-2.0
"""Defines the error codes of the protocol. Their meaning never changes.

A client branches on `code` alone. `message` says what was expected and what came, `action` what the user can do.
"""

from __future__ import annotations

from enum import Enum
from typing import Optional


class Code(Enum):
    """Lists the published error codes; RETRYABLE says which requests may be sent again as they are."""

    NOT_OURS = "not-ours"
    VERSION = "version"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    CHECKSUM = "checksum"
    UNAUTHORISED = "unauthorised"
    NOT_ALLOWED = "not-allowed"
    OUT_OF_TURN = "out-of-turn"
    UNKNOWN_SESSION = "unknown-session"
    SESSION_EXPIRED = "session-expired"
    CONFLICT = "conflict"
    OUT_OF_ORDER = "out-of-order"
    RESULT_GONE = "result-gone"
    BUSY = "busy"
    NO_ROOM = "no-room"
    BAD_INPUT = "bad-input"
    BAD_RESULT = "bad-result"
    SNAPSHOT = "snapshot"
    LICENCE = "licence"
    DEVICE = "device"
    OUT_OF_MEMORY = "out-of-memory"
    OUTPUT = "output"
    CLAIMED = "claimed"
    DOUBTFUL = "doubtful"
    """With a job that is finished: most frames of an object are not to be trusted."""
    CANCELLED = "cancelled"
    SHUTTING_DOWN = "shutting-down"
    INTERNAL = "internal"
    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    """These two never travel: a client finds them out by itself."""


RETRYABLE = frozenset({Code.CHECKSUM, Code.BUSY, Code.NO_ROOM, Code.OUT_OF_MEMORY, Code.CLAIMED, Code.SHUTTING_DOWN})
"""Trying the very same request again can succeed."""


class WireError(Exception):
    """Carries a fault with its code, as it travels."""

    about: int = 0
    """The id of the request it answers; 0 where that could not be read."""

    def __init__(self, code: Code, message: str, action: str, expected_seq: Optional[int] = None) -> None:
        self.code = code
        self.message = message
        self.action = action
        self.expected_seq = expected_seq
        """With OUT_OF_ORDER: what would be right."""
        super().__init__(f"{code.value}: {message}. {action}")

    @property
    def retryable(self) -> bool:
        """Return whether the same request may be sent again."""
        return self.code in RETRYABLE
