# SPDX-License-Identifier: Apache-2.0
"""Decides what is computed and remembered on a frame, from cursor and policy (table in docs/architecture.md).

Rules of this file:
1. Pure and without tensors: the plan of a whole shot can be printed and tested without a network.
2. The table MOVES lists the legal moves; any other one raises IllegalMove.
3. session.py executes a plan and decides nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from matanyone_engine.errors import IllegalMove
from matanyone_engine.matting.memory_policy import MemoryPolicy


class SessionPhase(Enum):
    """Names the phases of a session."""

    EMPTY = "empty"
    """No mask was given yet."""
    KEYED = "keyed"
    """A mask was given; the object is known."""


class FrameKind(Enum):
    """Names the kinds of frames."""

    SEED = "seed"
    """A mask is given: it is the alpha, and goes into memory."""
    WARM_UP = "warm-up"
    """Predict the same frame again from its own value, and remember only the new result (recurrent refinement)."""
    ADVANCE = "advance"
    """Predict the next frame from memory."""


class ValueSource(Enum):
    """Names the sources of the value from which an alpha is computed."""

    MASK = "mask"
    """No prediction: the given mask is the alpha."""
    LAST = "last value"
    MEMORY = "memory fused with last value"


# (phase, what is asked) -> phase after it.
MOVES: dict[tuple[SessionPhase, FrameKind], SessionPhase] = {
    (SessionPhase.EMPTY, FrameKind.SEED): SessionPhase.KEYED,
    (SessionPhase.KEYED, FrameKind.SEED): SessionPhase.KEYED,
    (SessionPhase.KEYED, FrameKind.WARM_UP): SessionPhase.KEYED,
    (SessionPhase.KEYED, FrameKind.ADVANCE): SessionPhase.KEYED,
}


@dataclass(frozen=True)
class Cursor:
    """Holds a session's position. Frames are counted from its key frame; warm-up passes are not counted."""

    phase: SessionPhase = SessionPhase.EMPTY
    frame: int = -1
    memorised: int = 0
    """The last frame that went into memory."""


@dataclass(frozen=True)
class FramePlan:
    """Holds all decisions about one frame."""

    kind: FrameKind
    cursor: Cursor
    """The session's position after the frame."""
    source: ValueSource
    memorises: bool
    """Whether value and summary go into memory, with a deep sensory update.

    Otherwise the value is kept only as the last one.
    """
    updates_sensory: bool
    """Whether the decoder updates the sensory map."""
    forgets_first: bool
    """Whether working memory and object summary are emptied before this frame is remembered."""


def sensory_steps(policy: MemoryPolicy) -> frozenset[int]:
    """Return the distances from the last memory frame at which the decoder updates the sensory map."""
    every, updates = policy.memory_every, policy.sensory_updates
    if updates >= every:
        return frozenset(range(1, every + 1))
    if updates == 1:
        return frozenset({1})
    # round() rounds halves to even, like the published schedule
    step = (every - 1) / (updates - 1)
    return frozenset(round(1 + i * step) for i in range(updates))


def check_move(kind: FrameKind, phase: SessionPhase) -> SessionPhase:
    """Return the phase after this move. Raises IllegalMove if the table has no such move."""
    if (phase, kind) not in MOVES:
        raise IllegalMove(
            expected="a mask before anything else",
            came=f"{kind.value!r} before any mask was given",
            action="Call seed(plate, mask) with the mask of the first frame.",
        )
    return MOVES[phase, kind]


def plan_frame(kind: FrameKind, cursor: Cursor, policy: MemoryPolicy) -> FramePlan:
    """Make the plan of one frame. Raises IllegalMove."""
    phase = check_move(kind, cursor.phase)
    if kind is FrameKind.WARM_UP:
        return _warm_up(replace(cursor, phase=phase, frame=0, memorised=0))
    at = replace(cursor, phase=phase, frame=cursor.frame + 1)
    distance = at.frame - at.memorised
    masked = kind is FrameKind.SEED
    memorises = masked or distance >= policy.memory_every
    return FramePlan(
        kind=kind,
        cursor=replace(at, memorised=at.frame) if memorises else at,
        source=ValueSource.MASK if masked else ValueSource.MEMORY,
        memorises=memorises,
        updates_sensory=not masked and distance in sensory_steps(policy),
        forgets_first=False,
    )


def _warm_up(cursor: Cursor) -> FramePlan:
    return FramePlan(
        kind=FrameKind.WARM_UP,
        cursor=cursor,
        source=ValueSource.LAST,
        memorises=True,
        updates_sensory=True,
        forgets_first=True,
    )
