# SPDX-License-Identifier: Apache-2.0
"""Runs a shot's plan: it takes plates step by step and gives alphas, in any order of frames.

Rules of this file:
1. Whatever is computed goes into the store under its content name (content_keys.py) and is taken from there: in
   sequence, on demand and after a change of keys, an answer is made the same way, bit for bit.
2. It holds a few states and a few alphas, never the clip.
3. It reads no plates: whoever runs the steps gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matanyone_engine.errors import OutOfMemory
from matanyone_engine.matting.blend import blend_weights, blended, disagreement, separated
from matanyone_engine.matting.confidence import SURE, Confidence, Signals, confidence, mixed
from matanyone_engine.matting.content_keys import Names
from matanyone_engine.matting.geometry import Box
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS, Constraints, Image
from matanyone_engine.matting.prepared_plate import AnyPlate, EncodeOn, ReadyPlate, at_once
from matanyone_engine.matting.session import FrameReport, MattingSession
from matanyone_engine.matting.shot import (
    AlphaOrigin,
    Earlier,
    Kept,
    Move,
    Pass,
    Seed,
    Shot,
    ShotStep,
    Source,
    Subject,
    also_read,
    plan_steps,
)
from matanyone_engine.matting.state import StreamState
from matanyone_engine.sizes import Size

STATES_EVERY = 25
"""Frames between kept states: what reaching a frame out of order costs at most."""

OTHER_KEYS_FARTHER = 2.0
"""Squared distances to other keys' memory, times this: it shows what the pass's own key does not, but a look-alike in
the pose of a distant key should not take its place (DR018)."""

AlphaStore = MutableMapping[str, bytes]
"""Bytes by their content name. Entries may vanish at any time; what is there is what was put there."""

PassState = tuple[Pass, int, StreamState]
"""A pass that is under way, the frame it has reached, and the state there."""


@dataclass(frozen=True)
class SubjectAlphas:
    """Holds a subject's alpha on a frame before those of other subjects have a say, and those beside it."""

    alpha: Tensor
    """(H, W) 0..1."""
    beside: tuple[Tensor, Tensor] | None = None
    """Those of the frames before and after (Shot.beside), where they were asked for and are there."""
    distractor: bool = False
    earlier: tuple[Tensor, ...] = ()
    """Those of the frames before that were asked for, ascending."""


class Vanished(LookupError):
    """Says that something that was stored when the steps were planned is gone. The steps must be planned again."""


class ShotRunner:
    """Computes the alphas of a shot.

        runner = ShotRunner(shot, names, store, new_session, masks)
        for step in runner.plan(frames):
            runner.take(step, plate_of(step.frame))
            if step.delivers:
                alphas = runner.alphas(step.frame)

    Plates are (3, H, W), masks and alphas (H, W), as in MattingSession.
    """

    def __init__(
        self,
        shot: Shot,
        names: Names,
        store: AlphaStore,
        new_session: Callable[[Subject], MattingSession],
        masks: Callable[[Seed], Image],
        *,
        separate: bool = False,
        with_neighbours: bool = False,
        earlier: Earlier | None = None,
        attempt: Callable[[MattingSession, Callable[[], Tensor]], Tensor] = lambda _, compute: compute(),
        states_every: int = STATES_EVERY,
        encode_on: EncodeOn = at_once,
    ) -> None:
        """new_session: makes the session of one subject; their options are the same. masks: the mask of a key.

        separate: mattes of different subjects add up to at most 1 (blend.separated); always so where one is a
        distractor, which the others keep off before they remember a frame.

        with_neighbours, earlier: a frame is answered once those beside it, or those before it, are known, too, which
        parts() gives then.

        attempt: runs a computation of a session; it may try again, since one that fails has changed nothing.

        encode_on: has plates encoded that ready() may encode before their turn, in their turn too.
        """
        self.shot, self.store = shot, store
        self.computed = 0
        """Keys and frames of passes that went through the network."""
        self._names, self._masks = names, masks
        self._sessions = {subject.name: new_session(subject) for subject in shot.subjects}
        self._separate = separate or any(subject.distractor for subject in shot.subjects)
        self._with_neighbours = with_neighbours
        self._earlier = earlier or {}
        self._attempt = attempt
        self._every = states_every
        self._encode_on = encode_on
        self._live: dict[tuple[str, bool], PassState] = {}
        self._weights: dict[tuple[Pass, ...], dict[int, float]] = {}
        self._disagreements: dict[tuple[Pass, ...], dict[int, float]] = {}
        self._size: Size | None = None
        self._taken = 0
        self._last_use: dict[str, int] = {}
        self._fingerprint_ahead: Tensor | None = None

    # ---------------------------------------------------------------------------------------------------- planning

    def plan(self, asked: Iterable[int]) -> tuple[ShotStep, ...]:
        """Return the steps that give these frames their alphas, from what is stored now."""
        kept = Kept(self._has_seed, self._has_alpha, self._states)
        steps = plan_steps(self.shot, asked, kept, with_neighbours=self._with_neighbours, earlier=self._earlier)
        self._taken, self._last_use = 0, self._last_uses(steps)
        return steps

    def needs(self, key: str) -> bool:
        """Return whether steps of the last plan that were not taken yet still read this entry of the store."""
        return self._last_use.get(key, 0) >= self._taken

    def _last_uses(self, steps: tuple[ShotStep, ...]) -> dict[str, int]:
        """Map an entry of the store to the last step, counted from 1, that reads it."""
        last: dict[str, int] = {}
        blended_before: set[tuple[Pass, ...]] = set()
        for number, step in enumerate(steps, 1):
            for frame, answer in self._answers_of(step):
                if answer.source is Source.BLEND and answer.passes not in blended_before:
                    blended_before.add(answer.passes)  # its weights come from the whole stretch
                    whole = (self._names.alpha(each, frame) for each in answer.passes for frame in each.frames)
                    last.update(dict.fromkeys(map(_alpha_key, whole), number))
                for name in self._names_of(answer, frame):
                    last[_alpha_key(name)] = last[_report_key(name)] = number
            last.update(
                dict.fromkeys((_state_key(name) for move in step.moves for name in self._origins(move)), number)
            )
        return last

    def _answers_of(self, step: ShotStep) -> list[tuple[int, AlphaOrigin]]:
        """List the alphas that a step reads, with their frames: those of distractors, and all of them where it
        delivers.
        """
        moved = {move.along.seed.subject for move in step.moves} | {seed.subject for seed in step.seeds}
        distractors = {distractor.name for name in moved for distractor in self.shot.distractors_of(name)}
        names = [subject.name for subject in self.shot.subjects if step.delivers or subject.name in distractors]
        own = [(step.frame, self.shot.answer(name, step.frame)) for name in names]
        if not step.delivers:
            return own
        also = also_read(self.shot, [step.frame], with_neighbours=self._with_neighbours, earlier=self._earlier)
        return own + [(frame, answer) for frame, answers in also[step.frame] for answer in answers]

    def _names_of(self, answer: AlphaOrigin, frame: int) -> list[str]:
        own = [self._names.seed(answer.seed)] if answer.seed else []
        return own + [self._names.alpha(each, frame) for each in answer.passes]

    def _origins(self, move: Move) -> list[str]:
        """List the stored states that a move starts from, where no state is live."""
        along = move.along
        if move.starts == along.seed.frame:
            leader = self.shot.leader(along)
            led = [self._names.alpha(leader, leader.frames[-1])] if leader else []
            return [*(self._names.seed(seed) for seed in (along.seed, *self.shot.pins(along))), *led]
        return [] if move.starts is None else [self._names.alpha(along, move.starts)]

    def _has_seed(self, seed: Seed) -> bool:
        name = self._names.seed(seed)
        return self._has_answer(name) and _state_key(name) in self.store

    def _has_alpha(self, along: Pass, frame: int) -> bool:
        return self._has_answer(self._names.alpha(along, frame))

    def _has_answer(self, name: str) -> bool:
        return _alpha_key(name) in self.store and _report_key(name) in self.store

    def _states(self, along: Pass) -> list[int]:
        return [frame for frame in along.frames if self._is_live(along, frame) or self._has_state(along, frame)]

    def _has_state(self, along: Pass, frame: int) -> bool:
        return _state_key(self._names.alpha(along, frame)) in self.store

    def _is_live(self, along: Pass, frame: int) -> bool:
        return self._live.get(_lane(along), (None, None, None))[:2] == (along, frame)

    # --------------------------------------------------------------------------------------------------- computing

    def ready(self, step: ShotStep, plate: Image) -> AnyPlate:
        """Prepare a plate before its step is taken, on any one thread; where nothing will be computed it comes back as
        it is.

        As it is, too, where there was no room for it: in its turn there may be some. Raises PlateError.
        """
        if not (step.seeds or step.moves):
            return plate
        session = next(iter(self._sessions.values()))
        try:
            ready = session.ready(plate, self._encode_on if session.sees_all else at_once)
        except OutOfMemory:
            return plate
        repeats = ready.repeats(self._fingerprint_ahead)
        self._fingerprint_ahead = ready.fingerprint
        if session.sees_all and not repeats:  # a repeat is answered without the network
            ready.encode_ahead()
        return ready

    def take(
        self,
        step: ShotStep,
        plate: AnyPlate,
        constraints: Mapping[str, Constraints] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Do a step's work on its plate, which may have been prepared; constraint masks are given by subject.

        Raises PlateError, MaskError, BadResult, OutOfMemory, Interrupted (asked before each pass over a key); Vanished.
        """
        self._taken += 1
        self._size = plate.geometry.frame if isinstance(plate, ReadyPlate) else Size(*plate.shape[-2:])
        shown = plate if isinstance(plate, ReadyPlate) else self.ready(step, plate)
        held = constraints or {}
        try:
            for distractor in (True, False):  # distractors first: the others keep off what they answer
                for seed in step.seeds:
                    if self.shot.subject(seed.subject).distractor == distractor:
                        self._seed(seed, shown, self._limits(seed.subject, step.frame, held), stopping)
                for move in step.moves:
                    name = move.along.seed.subject
                    if self.shot.subject(name).distractor == distractor:
                        self._go(move, shown, self._limits(name, step.frame, held))
        finally:
            if isinstance(shown, ReadyPlate):
                shown.forget()

    def _seed(self, seed: Seed, plate: AnyPlate, constraints: Constraints, stopping: Callable[[], bool]) -> None:
        session, name = self._sessions[seed.subject], self._names.seed(seed)
        session.forget()
        mask = self._masks(seed)
        alpha = self._attempt(
            session,
            lambda: session.seed(plate, mask, stopping=stopping, constraints=constraints, frame=seed.frame),
        )
        self.computed += 1
        self.store[_state_key(name)] = session.snapshot()
        self._keep(name, alpha, session.report)

    def _go(self, move: Move, plate: AnyPlate, constraints: Constraints) -> None:
        along, frame = move.along, move.frame
        session = self._sessions[along.seed.subject]
        session.rewind(self._before(move))
        alpha = self._attempt(session, lambda: session.advance(plate, constraints=constraints, frame=frame))
        self.computed += 1
        self._live[_lane(along)] = along, frame, session.state
        name = self._names.alpha(along, frame)
        self._keep(name, alpha, session.report)
        led = frame == along.frames[-1] and along in self.shot.leaders
        if led or abs(frame - along.seed.frame) % self._every == 0:
            self.store[_state_key(name)] = session.snapshot()

    def _limits(self, subject: str, frame: int, constraints: Mapping[str, Constraints]) -> Constraints:
        """Return the subject's constraint masks, with the distractors that are there added to them."""
        answers = [self.shot.answer(distractor.name, frame) for distractor in self.shot.distractors_of(subject)]
        distractors = [self._answer(answer, frame) for answer in answers if answer.source is not Source.ABSENT]
        return constraints.get(subject, NO_CONSTRAINTS).beside(distractors)

    def _keep(self, name: str, alpha: Tensor, report: FrameReport) -> None:
        """Store an alpha and its report; a plain report is stored too, for a lost one would read as plain."""
        self.store[_report_key(name)] = json.dumps(asdict(report)).encode()
        self.store[_alpha_key(name)] = packed(alpha)

    def _before(self, move: Move) -> StreamState:
        """Return the state that a move goes on from."""
        along = move.along
        if move.starts is None:
            return self._live[_lane(along)][2]
        if move.starts == along.seed.frame:
            return self._begun(along)
        return self._reached(along, move.starts)

    def _begun(self, along: Pass) -> StreamState:
        """Return the state of a pass's own key, with the other keys that the pass remembers in its permanent memory,
        and the frames that its leader remembers in its temporary one.
        """
        own = self._recalled(along.seed.subject, self._names.seed(along.seed))
        pins = [self._recalled(pin.subject, self._names.seed(pin)).bank for pin in self.shot.pins(along)]
        bank = own.bank.pinned(pins, farther=OTHER_KEYS_FARTHER) if pins else own.bank
        leader = self.shot.leader(along)
        if leader:
            bank = bank.following(self._reached(leader, leader.frames[-1]).bank)
        return replace(own, bank=bank)

    def _reached(self, along: Pass, frame: int) -> StreamState:
        """Return the state of a pass after one of its frames."""
        if self._is_live(along, frame):
            return self._live[_lane(along)][2]
        return self._recalled(along.seed.subject, self._names.alpha(along, frame))

    def _recalled(self, subject: str, name: str) -> StreamState:
        session = self._sessions[subject]
        session.recall(self._kept(_state_key(name)))
        return session.state

    @property
    def live(self) -> tuple[PassState, ...]:
        """Lists every pass that is under way."""
        return tuple(self._live.values())

    def going(self, live: tuple[PassState, ...]) -> dict[str, bytes]:
        """List the entries of the store from which passes go on that are, or were, under way. Any thread may ask."""
        return {
            _state_key(self._names.alpha(along, frame)): self._sessions[along.seed.subject].snapshot(state)
            for along, frame, state in live
        }

    # --------------------------------------------------------------------------------------------------- answering

    def alphas(self, frame: int) -> dict[str, Tensor]:
        """Return each subject's alpha (H, W) 0..1 on a frame whose step was taken; zeros where it is not there.
        Distractors are left out.
        """
        return self.shared(self.parts(frame))

    def parts(self, frame: int) -> dict[str, SubjectAlphas]:
        """Return each subject's own alpha on a frame whose step was taken, for shared(); distractors are among them."""
        return {subject.name: self._part(subject, frame) for subject in self.shot.subjects}

    def _part(self, subject: Subject, frame: int) -> SubjectAlphas:
        alpha = self._of(subject.name, frame)
        around = self.shot.beside(subject.name, frame) if self._with_neighbours and not subject.distractor else None
        beside = None if around is None else (self._of(subject.name, around[0]), self._of(subject.name, around[1]))
        before = () if subject.distractor else self._earlier.get((subject.name, frame), ())
        return SubjectAlphas(alpha, beside, subject.distractor, tuple(self._of(subject.name, each) for each in before))

    def _of(self, name: str, frame: int) -> Tensor:
        return self._answer(self.shot.answer(name, frame), frame)

    def shared(self, parts: Mapping[str, SubjectAlphas]) -> dict[str, Tensor]:
        """Return the alphas of parts() as they are written, which share their pixels where the shot is separate; any
        thread may ask.
        """
        found = {name: part.alpha for name, part in parts.items()}
        if self._separate:
            found = separated(found)
        return {name: found[name] for name, part in parts.items() if not part.distractor}

    def report(self, frame: int) -> FrameReport:
        """Return how a frame was computed: that of its first subject that is there, in its forward pass where it has
        two.
        """
        for subject in self.shot.subjects:
            reports = self._reports(self.shot.answer(subject.name, frame), frame)
            if reports:
                return reports[0]
        return FrameReport()

    def confidences(self, frame: int) -> dict[str, Confidence]:
        """Return how far each subject's alpha on a frame can be trusted, for the subjects that alphas() returns."""
        return {
            subject.name: self._confidence(self.shot.answer(subject.name, frame), frame)
            for subject in self.shot.subjects
            if not subject.distractor
        }

    def _confidence(self, answer: AlphaOrigin, frame: int) -> Confidence:
        signals = [report.signals for report in self._reports(answer, frame) if report.signals is not None]
        if not signals:
            return SURE
        if answer.source is Source.BLEND:
            forward, backward = signals
            both = mixed(forward, backward, self._weight(answer.passes, frame))
            return confidence(both, self._unlike(answer.passes)[frame])
        return confidence(signals[0])

    def _reports(self, answer: AlphaOrigin, frame: int) -> list[FrameReport]:
        """List the report of the key, or that of each pass; there is none for an absent subject."""
        own = [self._names.seed(answer.seed)] if answer.seed is not None else []
        return [self._reported(name) for name in (*own, *(self._names.alpha(each, frame) for each in answer.passes))]

    def _reported(self, name: str) -> FrameReport:
        said = json.loads(self._kept(_report_key(name)))
        box, signals = said.pop("region"), said.pop("signals")
        return FrameReport(
            **said, region=None if box is None else Box(*box), signals=None if signals is None else Signals(**signals)
        )

    def disagreement(self, subject: str, frame: int) -> float | None:
        """Return how unlike the two passes are that are blended on this frame, 0 to 1; None where there is one
        pass.
        """
        answer = self.shot.answer(subject, frame)
        return self._unlike(answer.passes)[frame] if answer.source is Source.BLEND else None

    def _answer(self, answer: AlphaOrigin, frame: int) -> Tensor:
        if answer.source is Source.BLEND:
            return blended(*self._pair(answer.passes, frame), self._weight(answer.passes, frame))
        if answer.seed is not None:
            return self._alpha(self._names.seed(answer.seed))
        if answer.passes:
            return self._alpha(self._names.alpha(answer.passes[0], frame))
        if self._size is None:
            raise LookupError("a frame without subjects has the size of the plate, which take() is given first")
        return torch.zeros(self._size)

    def _pair(self, passes: tuple[Pass, ...], frame: int) -> tuple[Tensor, Tensor]:
        forward, backward = (self._alpha(self._names.alpha(each, frame)) for each in passes)
        return forward, backward

    def _weight(self, passes: tuple[Pass, ...], frame: int) -> float:
        if passes not in self._weights:
            unlike = self._unlike(passes)
            self._weights[passes] = dict(zip(unlike, blend_weights(list(unlike.values())), strict=True))
        return self._weights[passes][frame]

    def _unlike(self, passes: tuple[Pass, ...]) -> dict[int, float]:
        """Map the frames of a whole stretch, ascending, to the disagreement there."""
        if passes not in self._disagreements:
            frames = passes[0].frames
            self._disagreements[passes] = {frame: disagreement(*self._pair(passes, frame)) for frame in frames}
        return self._disagreements[passes]

    def _alpha(self, name: str) -> Tensor:
        return torch.from_numpy(unpacked(self._kept(_alpha_key(name))))

    def _kept(self, key: str) -> bytes:
        try:
            return self.store[key]
        except KeyError as error:
            raise Vanished(key) from error


def _lane(along: Pass) -> tuple[str, bool]:
    """Name the lane of a pass: one pass of a subject in each direction is live at a time."""
    return along.seed.subject, along.backward


def _alpha_key(name: str) -> str:
    return f"{name}.alpha"


def _state_key(name: str) -> str:
    return f"{name}.state"


def _report_key(name: str) -> str:
    return f"{name}.report"


_ONE = np.float32(1.0).view(np.uint32)


def packed(alpha: Tensor) -> bytes:
    """Pack an alpha (H, W) float32 without loss: where it is 0, where it is 1, and the values of the soft rest.

    Most of an alpha is one of the two; zlib took 70 ms for a 720p plane to find that out, this takes 3.
    """
    plane = np.ascontiguousarray(alpha.detach().cpu().numpy(), dtype="<f4")
    bits = plane.view("<u4")
    ones = bits == _ONE
    soft = (bits != 0) & ~ones
    shape = np.array(plane.shape, "<u4").tobytes()
    return b"".join((shape, np.packbits(ones).tobytes(), np.packbits(soft).tobytes(), plane[soft].tobytes()))


def unpacked(blob: bytes) -> NDArray[np.float32]:
    """Restore what packed() made."""
    height, width = (int(side) for side in np.frombuffer(blob[:8], "<u4"))
    room = -(-height * width // 8)
    masks = np.frombuffer(blob[8 : 8 + 2 * room], np.uint8).reshape(2, room)
    ones, soft = np.unpackbits(masks, axis=1, count=height * width).astype(bool).reshape(2, height, width)
    plane = ones.astype(np.float32)
    plane[soft] = np.frombuffer(blob[8 + 2 * room :], "<f4")
    return plane
