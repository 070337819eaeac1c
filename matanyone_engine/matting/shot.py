# SPDX-License-Identifier: Apache-2.0
"""Plans a whole shot: several subjects, each with masks on any frames (keys), followed in both directions.

    keys            1001                1047                         1100
    forward passes     1002 -> ... 1046    1048 ->  ...  -> 1099
    backward passes    1002 <- ... 1046    1048 <-  ...  <- 1099
    answers         [key]   blended     [key]     blended            [key]

Between two keys both passes run and are blended (blend.py); before the first key and after the last there is one.
Work goes from stretch to stretch: forwards over it, then back, so that its alphas are known before the next begins.

Rules of this file:
1. Pure and without tensors: the plan of a shot can be printed and asserted on without a network.
2. A pass starts from its key, ends before the next key, and remembers that one, too (DR018). The pass from an
   outermost key to an end of the shot takes over what the pass that came to this key has seen (DR024); only the main
   key's own pass does not. No frame depends on other keys, except on pinned ones, which every pass of their subject
   remembers.
3. Frames are the plate's own numbers; a pass goes over every plate frame there is, since a session must not leap.
4. Keys and passes keep off the distractors' answers on their frames (DR017); distractors know nobody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TypeVar

from matanyone_engine.errors import MaskError, SettingError


@dataclass(frozen=True)
class Subject:
    """Holds one object that is followed."""

    name: str
    keys: tuple[int, ...]
    """Frames with a mask, ascending."""
    first: int | None = None
    """First frame it is to be seen on; None is the shot's."""
    last: int | None = None
    pinned: frozenset[int] = frozenset()
    """Keys that every pass of this subject keeps in mind for good."""
    distractor: bool = False
    """Followed only so that the others keep off it; it has no output."""
    main: int | None = None
    """The key that was there first; the others correct what it makes. None is the earliest key."""

    @property
    def main_key(self) -> int:
        """Returns the frame of the key that was there first."""
        return self.keys[0] if self.main is None else self.main

    def lives(self, frame: int) -> bool:
        """Return whether the subject may be seen on this frame."""
        return (self.first is None or frame >= self.first) and (self.last is None or frame <= self.last)


@dataclass(frozen=True)
class Seed:
    """Names a key frame of a subject."""

    subject: str
    frame: int


@dataclass(frozen=True)
class Pass:
    """Names a way from a key in one direction, until the next key or the end of the subject's life."""

    seed: Seed
    backward: bool
    frames: tuple[int, ...] = field(hash=False)
    """In the order they are run; the key's frame is not among them."""

    def __str__(self) -> str:
        arrow = "<-" if self.backward else "->"
        return f"{self.seed.subject}@{self.seed.frame} {arrow} {self.frames[-1]}"


class Source(Enum):
    """Says where a subject's alpha on a frame comes from."""

    ABSENT = "not there: zeros"
    KEY = "the key itself"
    PASS = "one pass"
    BLEND = "two passes, blended"


@dataclass(frozen=True)
class AlphaOrigin:
    """Says how a subject's alpha on one frame is made."""

    source: Source
    seed: Seed | None = None
    passes: tuple[Pass, ...] = ()
    """One, or the forward and the backward one."""


@dataclass(frozen=True)
class Shot:
    """Holds the frames and subjects of a shot."""

    frames: tuple[int, ...]
    """Every plate frame there is, ascending."""
    subjects: tuple[Subject, ...]

    def __post_init__(self) -> None:
        _check_names([subject.name for subject in self.subjects])
        for subject in self.subjects:
            _check_keys(subject, self.frames)

    def subject(self, name: str) -> Subject:
        """Return the subject of this name."""
        return next(subject for subject in self.subjects if subject.name == name)

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """Lists all passes that there can be, subject by subject and key by key."""
        return tuple(found for subject in self.subjects for found in self._passes_of(subject))

    def _passes_of(self, subject: Subject) -> Iterator[Pass]:
        alive = [frame for frame in self.frames if subject.lives(frame)]
        ends = (alive[0] - 1, *subject.keys, alive[-1] + 1)
        for before, key, after in zip(ends, subject.keys, ends[2:], strict=False):
            seed = Seed(subject.name, key)
            back = tuple(frame for frame in reversed(alive) if before < frame < key)
            ahead = tuple(frame for frame in alive if key < frame < after)
            yield from (Pass(seed, which, frames) for which, frames in ((True, back), (False, ahead)) if frames)

    @cached_property
    def _answers(self) -> dict[tuple[str, int], AlphaOrigin]:
        found: dict[tuple[str, int], AlphaOrigin] = {}
        over: dict[tuple[str, int], list[Pass]] = defaultdict(list)
        for each in self.passes:
            for frame in each.frames:
                over[each.seed.subject, frame].append(each)
        for place, passes in over.items():
            ordered = tuple(sorted(passes, key=lambda each: each.backward))
            found[place] = AlphaOrigin(Source.BLEND if len(ordered) > 1 else Source.PASS, passes=ordered)
        for subject in self.subjects:
            for key in subject.keys:
                found[subject.name, key] = AlphaOrigin(Source.KEY, seed=Seed(subject.name, key))
        return found

    def answer(self, subject: str, frame: int) -> AlphaOrigin:
        """Return how this subject's alpha on this frame is made."""
        return self._answers.get((subject, frame), AlphaOrigin(Source.ABSENT))

    def ahead_of(self, along: Pass) -> Seed | None:
        """Return the key that a pass goes towards; None where it goes to the end of its subject's life."""
        keys = self.subject(along.seed.subject).keys
        place = keys.index(along.seed.frame) + (-1 if along.backward else 1)
        return Seed(along.seed.subject, keys[place]) if 0 <= place < len(keys) else None

    def leader(self, of: Pass) -> Pass | None:
        """Return the pass that came to this pass's key, and whose memory it takes over at its start (DR024).

        Only a pass that goes on to an end of its subject's life has one, and the main key's own pass has none: so a key
        that is added changes nothing on the other side of the main key.
        """
        return self._leaders.get(of)

    @cached_property
    def _leaders(self) -> dict[Pass, Pass]:
        coming = {(ahead, each.backward): each for each in self.passes if (ahead := self.ahead_of(each))}
        return {
            each: coming[each.seed, each.backward]
            for each in self.passes
            if not self.ahead_of(each)
            and each.seed.frame != self.subject(each.seed.subject).main_key
            and (each.seed, each.backward) in coming
        }

    @cached_property
    def leaders(self) -> frozenset[Pass]:
        """Lists the passes whose memory another pass takes over."""
        return frozenset(self._leaders.values())

    def pins(self, of: Pass) -> tuple[Seed, ...]:
        """List the other keys that a pass remembers, ascending: the one it goes towards, or the one that the pass came
        from whose memory it takes over, and pinned ones.
        """
        subject, ahead, leader = self.subject(of.seed.subject), self.ahead_of(of), self.leader(of)
        kept = subject.pinned | ({ahead.frame} if ahead else set()) | ({leader.seed.frame} if leader else set())
        return tuple(Seed(subject.name, key) for key in sorted(kept) if key != of.seed.frame)

    def beside(self, name: str, frame: int) -> tuple[int, int] | None:
        """Return the frames before and after this one that its subject's edges are steadied with.

        None on a key frame, which is as the artist drew it, where the subject is not there, and at the end of its
        way. Both lie in the same stretch, or are its keys: a segment of the shot knows them, too.
        """
        if not self.answer(name, frame).passes:
            return None
        place = bisect_left(self.frames, frame)
        around = self.frames[place - 1 : place] + self.frames[place + 1 : place + 2]
        there = [each for each in around if self.answer(name, each).source is not Source.ABSENT]
        return (there[0], there[1]) if len(there) == 2 else None

    def before(self, name: str, frame: int) -> int | None:
        """Return the frame right before this one, if the alpha of this subject there is in the same stretch or its key.

        None on a key frame and where the subject is not there. A segment of the shot knows that alpha, too.
        """
        place = bisect_left(self.frames, frame)
        if not self.answer(name, frame).passes or self.frames[place - 1 : place] != (frame - 1,):
            return None
        return None if self.answer(name, frame - 1).source is Source.ABSENT else frame - 1

    def distractors_of(self, name: str) -> tuple[Subject, ...]:
        """List the subjects that a subject keeps off."""
        if self.subject(name).distractor:
            return ()
        return tuple(subject for subject in self.subjects if subject.distractor)

    def seeds_for(self, name: str, frame: int) -> tuple[Seed, ...]:
        """List all keys that a subject's alpha on a frame depends on, those of distractors too, ascending."""
        answer = self.answer(name, frame)
        whole = answer.source is Source.BLEND
        met = [self._met[each][each.frames[-1] if whole else frame] for each in answer.passes]
        at_key = [self._kept_off(name, frame)] if answer.seed else []
        return tuple(sorted(self._behind(answer).union(*met, *at_key), key=lambda seed: (seed.frame, seed.subject)))

    def _behind(self, answer: AlphaOrigin) -> frozenset[Seed]:
        """List the keys of the alpha's own subject that it depends on."""
        started = [seed for each in answer.passes for seed in (each.seed, *self.pins(each))]
        return frozenset([answer.seed] if answer.seed else started)

    def _kept_off(self, name: str, frame: int) -> frozenset[Seed]:
        """List the keys of the distractors that a subject keeps off on a frame."""
        return frozenset[Seed]().union(*(self._behind(self.answer(r.name, frame)) for r in self.distractors_of(name)))

    @cached_property
    def _met(self) -> dict[Pass, dict[int, frozenset[Seed]]]:
        """Maps each pass and frame to the keys of the distractors that the pass has kept off so far."""
        found = {}
        for each in sorted(self.passes, key=lambda one: one in self._leaders):  # leaders come first
            name, leader, found[each] = each.seed.subject, self.leader(each), dict[int, frozenset[Seed]]()
            met = frozenset[Seed]().union(*(self._kept_off(name, key.frame) for key in (each.seed, *self.pins(each))))
            met |= found[leader][leader.frames[-1]] if leader else frozenset[Seed]()
            for frame in each.frames:
                met = found[each][frame] = met | self._kept_off(name, frame)
        return found

    def reach(self, seed: Seed) -> tuple[int, ...]:
        """List the frames on which a change of this key can change an alpha, ascending."""
        return tuple(
            frame
            for frame in self.frames
            if any(seed in self.seeds_for(subject.name, frame) for subject in self.subjects)
        )


def _check_names(names: list[str]) -> None:
    if not names:
        raise MaskError(expected="at least one mask", came="no mask", action="Give a mask: --mask FILE@FRAME.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingError(
            expected="a name for every object", came=f"{twice!r} twice", action="Give each object a name of its own."
        )


def _check_keys(subject: Subject, frames: Sequence[int]) -> None:
    if not subject.keys or list(subject.keys) != sorted(set(subject.keys)):
        raise MaskError(
            expected=f"masks of {subject.name!r} on different frames, in ascending order",
            came=repr(subject.keys),
            action="Give one mask for each key frame.",
        )
    there = set(frames)
    for key in subject.keys:
        if key not in there or not subject.lives(key):
            raise MaskError(
                expected=f"masks of {subject.name!r} only on frames between its first and its last",
                came=f"a mask on frame {key}",
                action="Name the plate frame on which the mask was drawn, or change the object's first or last frame.",
            )


# ------------------------------------------------------------------------------------------------ order of work


@dataclass(frozen=True)
class Move:
    """Says that one pass goes onto one frame."""

    along: Pass
    frame: int
    starts: int | None = None
    """The session comes from the state kept on this frame (the key's frame: from the key); None: it goes on."""


@dataclass(frozen=True)
class ShotStep:
    """Says what is computed on one plate, which is read once, and whether its alphas are known afterwards."""

    frame: int
    seeds: tuple[Seed, ...] = ()
    moves: tuple[Move, ...] = ()
    delivers: bool = False


@dataclass(frozen=True)
class Kept:
    """Says what is known already, so that it need not be computed."""

    seeds: Callable[[Seed], bool] = lambda _: False
    """Whether a key's alpha and state are kept."""
    alphas: Callable[[Pass, int], bool] = lambda _, __: False
    """Whether a pass's alpha on a frame is kept."""
    states: Callable[[Pass], Collection[int]] = lambda _: ()
    """Frames of a pass whose state is kept."""


NOTHING_KEPT = Kept()


Earlier = Mapping[tuple[str, int], tuple[int, ...]]
"""For a (subject, frame) the frames before it, ascending, whose alphas are needed for its own."""


def plan_steps(
    shot: Shot,
    asked: Iterable[int],
    kept: Kept = NOTHING_KEPT,
    *,
    with_neighbours: bool = False,
    earlier: Earlier | None = None,
) -> tuple[ShotStep, ...]:
    """List the work for these frames, in order: of each stretch its keys, then forwards and back. Alphas are delivered
    as soon as they are known.

    with_neighbours: a frame is delivered once the alphas beside it (Shot.beside) are known, too.
    earlier: likewise for alphas of frames before it.

    All subjects go over a plate together, so that it is read and encoded once for each sweep; but distractors go first
    where they need a sweep back, or where a key of the others comes early, since these keep off what they answer.
    """
    frames = sorted(set(asked))
    beside = also_read(shot, frames, with_neighbours=with_neighbours, earlier=earlier or {})
    answers = _answers_on(shot, frames, distractors=False) + [each for more in beside.values() for each in more]
    others = _work_for(shot, answers, kept)
    met = {*frames, *(move.frame for move in others.moves), *(seed.frame for seed in others.seeds)}
    distractors = _work_for(shot, _answers_on(shot, sorted(met), distractors=True), kept)
    given = {
        frame: [(frame, [shot.answer(subject.name, frame) for subject in shot.subjects]), *beside.get(frame, ())]
        for frame in frames
    }
    return tuple(_delivered(_once(_in_order(shot, distractors, others)), given))


@dataclass(frozen=True)
class _Work:
    """Lists the work of some subjects, each list in the order of a sweep."""

    moves: list[Move] = field(default_factory=list)
    seeds: list[Seed] = field(default_factory=list)

    def __add__(self, other: _Work) -> _Work:
        return _Work(self.moves + other.moves, self.seeds + other.seeds)


def _in_order(shot: Shot, distractors: _Work, others: _Work) -> list[ShotStep]:
    """Order the work so that what keeps off distractors comes after the alphas of those distractors."""
    pinned = any(subject.pinned for subject in shot.subjects if not subject.distractor)
    if pinned and (distractors.moves or distractors.seeds) and (others.moves or others.seeds):
        return [
            *_in_order(shot, distractors, _Work()),
            *_in_order(shot, _Work(), others),
        ]  # pinned keys lie on any frame
    steps: list[ShotStep] = []
    for before, after in _stretches(shot, distractors, others):
        early = _early(shot, before, distractors), _early(shot, after, others)
        apart = bool(early[1]) or any(move.along.backward or _is_blended(shot, move) for move in before.moves)
        for keys, together in zip(early, [before, after], strict=True) if apart else [(early[0], before + after)]:
            steps += [*keys, *_sweep(together, backward=False), *_sweep(together, backward=True)]
    return steps


def _early(shot: Shot, here: _Work, work: _Work) -> list[ShotStep]:
    """Put keys that passes of a stretch remember before the passes."""
    pinned = {pin for move in here.moves if move.starts == move.along.seed.frame for pin in shot.pins(move.along)}
    return [ShotStep(seed.frame, seeds=(seed,)) for seed in work.seeds if seed in pinned]


def _is_blended(shot: Shot, move: Move) -> bool:
    return shot.answer(move.along.seed.subject, move.frame).source is Source.BLEND


Origins = list[tuple[int, list[AlphaOrigin]]]
"""Frames, and how subjects are answered there."""


def also_read(shot: Shot, frames: Iterable[int], *, with_neighbours: bool, earlier: Earlier) -> dict[int, Origins]:
    """Map frames to the other frames, and the alphas there, that what is written on them is made with.

    These are the neighbours that edges are steadied with, and earlier frames of areas that are solved.
    """
    written = [subject.name for subject in shot.subjects if not subject.distractor]

    def others(name: str, frame: int) -> set[int]:
        beside = (shot.beside(name, frame) or ()) if with_neighbours else ()
        return {*beside, *earlier.get((name, frame), ())}

    return {
        frame: [(other, [shot.answer(name, other)]) for name in written for other in sorted(others(name, frame))]
        for frame in frames
    }


Placed = TypeVar("Placed", Move, Seed)


def _answers_on(shot: Shot, frames: Iterable[int], *, distractors: bool) -> Origins:
    subjects = [subject for subject in shot.subjects if subject.distractor == distractors]
    return [(frame, [shot.answer(subject.name, frame) for subject in subjects]) for frame in frames]


def _work_for(shot: Shot, answers: Origins, kept: Kept) -> _Work:
    wanted = _wanted(answers)
    moves = {each: list(_moves(each, frames, kept)) for each, frames in wanted.items()}
    begun = [each for each, its in moves.items() if any(move.starts == each.seed.frame for move in its)]
    for leader in filter(None, map(shot.leader, begun)):
        if leader.frames[-1] not in kept.states(leader):
            moves[leader] = list(_moves(leader, wanted.get(leader, []), kept, to_end=True))
    every = [move for its in moves.values() for move in its]
    return _Work(every, _seeds(shot, answers, every, kept))


def _stretches(shot: Shot, distractors: _Work, others: _Work) -> Iterator[tuple[_Work, _Work]]:
    """Split the work at frames that no pass goes across, in order."""
    ends = _ends(shot, {move.along for move in (*distractors.moves, *others.moves)})

    def placed(whole: list[Placed], number: int) -> list[Placed]:
        return [each for each in whole if bisect_left(ends, each.frame) == number]

    for number in range(len(ends) + 1):
        before, after = (
            _Work(placed(each.moves, number), placed(each.seeds, number)) for each in (distractors, others)
        )
        yield before, after


def _ends(shot: Shot, passes: Iterable[Pass]) -> list[int]:
    """List key frames that passes come from or go towards and that no other pass goes across, ascending."""
    ends: list[int] = []
    for first, last in sorted(_span(shot, each) for each in passes if each.backward or shot.ahead_of(each)):
        if ends and first <= ends[-1]:
            ends[-1] = max(ends[-1], last)
        else:
            ends.append(last)
    return ends


def _span(shot: Shot, along: Pass) -> tuple[int, int]:
    """Return the first frame of a pass in the order of the plate, and the key after it.

    A backward pass that takes over the memory of another belongs to the same stretch as that one.
    """
    if along.backward:
        leader = shot.leader(along)
        return along.frames[-1], (leader or along).seed.frame
    ahead = shot.ahead_of(along)
    return along.frames[0], ahead.frame if ahead else along.frames[-1]


def _wanted(answers: Origins) -> dict[Pass, list[int]]:
    """Map each pass to the frames whose alpha is needed; a blend needs the whole of both passes."""
    wanted: dict[Pass, list[int]] = {}
    for frame, of_subjects in answers:
        for answer in of_subjects:
            for each in answer.passes:
                if answer.source is Source.BLEND:
                    wanted[each] = list(each.frames)
                else:
                    wanted.setdefault(each, []).append(frame)
    return wanted


def _moves(along: Pass, wanted: list[int], kept: Kept, *, to_end: bool = False) -> Iterator[Move]:
    """List the moves from the nearest stored state before each frame that is not stored, up to that frame.

    to_end: also to the last frame of the pass, whose state another pass starts from.
    """
    place = {frame: number for number, frame in enumerate(along.frames)}
    states = {-1} | {place[frame] for frame in kept.states(along)}
    at: int | None = None
    targets = {place[frame] for frame in wanted if not kept.alphas(along, frame)}
    for target in sorted(targets | ({len(place) - 1} if to_end else set())):
        start = max(state for state in states if state < target)
        if at is None or start > at:
            at = start
            starts: int | None = along.seed.frame if start < 0 else along.frames[start]
        else:
            starts = None
        for number in range(at + 1, target + 1):
            yield Move(along, along.frames[number], starts)
            starts = None
        at = max(at, target)


def _seeds(shot: Shot, answers: Origins, moves: list[Move], kept: Kept) -> list[Seed]:
    """List the keys that must be computed: those asked for, and those that passes start from or remember."""
    asked = {answer.seed for _, of_subjects in answers for answer in of_subjects if answer.seed}
    begun = [move.along for move in moves if move.starts == move.along.seed.frame]
    needed = asked | {seed for along in begun for seed in (along.seed, *shot.pins(along))}
    order = {subject.name: number for number, subject in enumerate(shot.subjects)}
    return sorted((seed for seed in needed if not kept.seeds(seed)), key=lambda seed: (seed.frame, order[seed.subject]))


def _sweep(work: _Work, *, backward: bool) -> list[ShotStep]:
    """List the steps of one direction over the plates; on each plate keys come first, and they belong to the forward
    sweep.
    """
    here: dict[int, list[Move]] = defaultdict(list)
    for move in work.moves:
        if move.along.backward == backward:
            here[move.frame].append(move)
    keys: dict[int, list[Seed]] = defaultdict(list)
    for seed in [] if backward else work.seeds:
        keys[seed.frame].append(seed)
    frames = sorted({*here, *keys}, reverse=backward)
    return [ShotStep(frame, tuple(keys[frame]), tuple(here[frame])) for frame in frames]


def _once(work: list[ShotStep]) -> list[ShotStep]:
    """Leave each key to the step that needs it first, and drop steps that are left without work."""
    done: set[Seed] = set()
    steps = []
    for step in work:
        seeds = tuple(seed for seed in step.seeds if seed not in done)
        done |= set(seeds)
        if seeds or step.moves:
            steps.append(ShotStep(step.frame, seeds, step.moves))
    return steps


def _delivered(work: list[ShotStep], needed: Mapping[int, Origins]) -> Iterator[ShotStep]:
    """Mark where every frame that was asked for is delivered, as soon as all the alphas are known that it needs."""
    finished: dict[Seed | Pass, int] = {}
    moved: dict[tuple[Pass, int], int] = {}
    for number, step in enumerate(work):
        finished.update(dict.fromkeys(step.seeds, number))
        for move in step.moves:
            finished[move.along] = moved[move.along, move.frame] = number
    ready: dict[int, list[int]] = defaultdict(list)
    for frame, origins in needed.items():
        known = [_known_after(answer, at, finished, moved) for at, answers in origins for answer in answers]
        ready[max(known)].append(frame)
    for frame in ready[-1]:
        yield ShotStep(frame, delivers=True)
    for number, step in enumerate(work):
        yield ShotStep(step.frame, step.seeds, step.moves, delivers=step.frame in ready[number])
        yield from (ShotStep(frame, delivers=True) for frame in ready[number] if frame != step.frame)


def _known_after(
    answer: AlphaOrigin, frame: int, finished: dict[Seed | Pass, int], moved: dict[tuple[Pass, int], int]
) -> int:
    """Return the step after which an alpha is known; -1 if nothing has to be computed for it."""
    if answer.source is Source.KEY and answer.seed:
        return finished.get(answer.seed, -1)
    if answer.source is Source.PASS:
        return moved.get((answer.passes[0], frame), -1)
    return max((finished.get(each, -1) for each in answer.passes), default=-1)
