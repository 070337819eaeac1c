# SPDX-License-Identifier: Apache-2.0
"""Makes content keys: the key of an alpha is the digest of everything that it was made from (DR006).

A pass is named frame by frame, each name made of the one before and the new plate: whatever changes on a frame
changes the names from there on and no earlier ones. Two results of one name are the same result, so a result is used
again by its name alone, never because a file of some other name is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from matanyone_engine.matting.shot import AlphaOrigin, Pass, Seed, Shot, Source

_FORMAT = 4
"""Raised when the same inputs give other alphas, or reports: a change of the network, of blending, a policy."""


def digest(*parts: object) -> str:
    """Return 32 hexadecimal digits that depend on plain values and on their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Inputs:
    """Holds the digests of all that a shot's alphas are made from."""

    about: str
    """Weights, device, and every option that an alpha depends on."""
    plates: Mapping[int, str]
    masks: Mapping[Seed, str]
    constraints: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """The digest of the constraint masks of each (subject, frame); absent where there are none."""


class Names:
    """Makes the content keys of a shot: of its key frames, its passes and its alphas."""

    def __init__(self, shot: Shot, inputs: Inputs) -> None:
        self._shot = shot
        self._inputs = inputs
        self._passes: dict[Pass, dict[int, str]] = {}

    def seed(self, seed: Seed) -> str:
        """Return the content key of a key frame's result."""
        return digest(
            "seed", _FORMAT, self._inputs.about, self._inputs.masks[seed], *self._seen(seed.subject, seed.frame)
        )

    def alpha(self, along: Pass, frame: int) -> str:
        """Return the content key of what a pass makes of one frame."""
        if along not in self._passes:
            self._passes[along] = self._chain(along)
        return self._passes[along][frame]

    def answer(self, subject: str, frame: int) -> str:
        """Return the content key of a subject's alpha on a frame. That of a blend depends on the whole of both
        passes.
        """
        answer = self._shot.answer(subject, frame)
        if answer.source is Source.BLEND:
            return digest("blend", frame, [self.alpha(each, each.frames[-1]) for each in answer.passes])
        return self._simple(answer, frame)

    def _simple(self, answer: AlphaOrigin, frame: int) -> str:
        if answer.seed is not None:
            return self.seed(answer.seed)
        return self.alpha(answer.passes[0], frame) if answer.passes else "absent"

    def _chain(self, along: Pass) -> dict[int, str]:
        name = self.seed(along.seed)
        pins = [self.seed(pin) for pin in self._shot.pins(along)]
        if pins:
            name = digest("pinned", name, pins)
        leader = self._shot.leader(along)
        if leader:
            name = digest("led", name, self.alpha(leader, leader.frames[-1]))
        names = {}
        for frame in along.frames:
            name = names[frame] = digest("next", name, *self._seen(along.seed.subject, frame))
        return names

    def _seen(self, subject: str, frame: int) -> list[list[str]]:
        """List the plate's digest, and the content keys of what the distractors are on it."""
        distractors = [self.answer(distractor.name, frame) for distractor in self._shot.distractors_of(subject)]
        return [self._plate(subject, frame), *([distractors] if distractors else [])]

    def _plate(self, subject: str, frame: int) -> list[str]:
        """List the plate's digest with its frame number, since regions move by the number."""
        return [str(frame), self._inputs.plates[frame], self._inputs.constraints.get((subject, frame), "")]
