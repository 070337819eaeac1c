# SPDX-License-Identifier: Apache-2.0
"""Makes content keys: the key of an alpha is the digest of everything that it was made from (DR006).

Along a pass, the key of each frame is made from the key of the frame before and from the frame's plate. So a change on
a frame changes the keys of that frame and of all later ones, and no earlier ones. Two results with one content key are
equal, so a result is reused only by its content key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from matanyone_engine.matting.shot import AlphaOrigin, Pass, Seed, Shot, Source

_FORMAT = 4
"""Must be raised when a change of the code gives other alphas or reports for the same inputs."""


def digest(*parts: object) -> str:
    """Return a digest, 32 hexadecimal digits, of plain values in their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Inputs:
    """Holds the digests of all inputs of a shot's alphas."""

    about: str
    """Digest of the weights, the device, and every option on which an alpha depends."""
    plates: Mapping[int, str]
    masks: Mapping[Seed, str]
    constraints: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """The digest of the constraint masks of each (subject, frame) that has any."""


class Names:
    """Makes the content keys of a shot's key frames, passes and alphas."""

    def __init__(self, shot: Shot, inputs: Inputs) -> None:
        self._shot = shot
        self._inputs = inputs
        self._passes: dict[Pass, dict[int, str]] = {}

    def seed(self, seed: Seed) -> str:
        """Return the content key of a key frame's result."""
        return digest(
            "seed", _FORMAT, self._inputs.about, self._inputs.masks[seed], *self._seen(seed.subject, seed.frame)
        )

    def alpha(self, the_pass: Pass, frame: int) -> str:
        """Return the content key of a pass's result on one frame."""
        if the_pass not in self._passes:
            self._passes[the_pass] = self._chain(the_pass)
        return self._passes[the_pass][frame]

    def answer(self, subject: str, frame: int) -> str:
        """Return the content key of a subject's alpha on a frame. The key of a blended alpha depends on both whole
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

    def _chain(self, the_pass: Pass) -> dict[int, str]:
        name = self.seed(the_pass.seed)
        pins = [self.seed(pin) for pin in self._shot.pins(the_pass)]
        if pins:
            name = digest("pinned", name, pins)
        memory_source = self._shot.memory_source(the_pass)
        if memory_source:
            name = digest("led", name, self.alpha(memory_source, memory_source.frames[-1]))
        names = {}
        for frame in the_pass.frames:
            name = names[frame] = digest("next", name, *self._seen(the_pass.seed.subject, frame))
        return names

    def _seen(self, subject: str, frame: int) -> list[list[str]]:
        """List the plate's digest, and the content keys of the distractors' alphas on the frame."""
        distractors = [self.answer(distractor.name, frame) for distractor in self._shot.distractors_of(subject)]
        return [self._plate(subject, frame), *([distractors] if distractors else [])]

    def _plate(self, subject: str, frame: int) -> list[str]:
        """List the plate's digest, and its frame number, on which keyed regions depend."""
        return [str(frame), self._inputs.plates[frame], self._inputs.constraints.get((subject, frame), "")]
