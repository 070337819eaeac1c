# SPDX-License-Identifier: Apache-2.0
"""Plans a whole shot: several subjects, each with masks on any frames (keys), which are matted in both directions.

    keys            1001                1047                         1100
    forward passes     1002 -> ... 1046    1048 ->  ...  -> 1099
    backward passes    1002 <- ... 1046    1048 <-  ...  <- 1099
    alphas          [key]   blended     [key]     blended            [key]

Between two keys both passes run and are blended (blend.py); before the first key and after the last there is one.
The work goes from stretch to stretch: forwards over a stretch, then back, so that its alphas are known before the next
one begins.

Rules of this file:
1. Pure and without tensors: the plan of a shot can be printed and tested without a network.
2. A pass starts from its key, ends before the next key, and remembers that key as well (DR018). The pass from an
   outermost key to an end of the shot takes over the memory of the pass that came to this key (DR024), except at the
   main key. No frame depends on other keys, except on pinned ones, which every pass of their subject remembers.
3. Frames have the plate's own numbers. A pass goes over every existing plate frame, since a session must see all
   frames.
4. Keys and passes keep off the distractors' alphas on their frames (DR017); distractors do not depend on other objects.
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
    """Describes one object that is matted."""

    name: str
    keys: tuple[int, ...]
    """Frames with a mask, ascending."""
    first: int | None = None
    """First frame on which it can be seen; None is the shot's first."""
    last: int | None = None
    pinned: frozenset[int] = frozenset()
    """Keys that every pass of this subject remembers permanently."""
    distractor: bool = False
    """Whether it is followed only so that the others keep off it; it has no output."""
    main: int | None = None
    """The main key, whose result the other keys correct. None is the earliest key."""

    @property
    def main_key(self) -> int:
        """Returns the frame of the main key."""
        return self.keys[0] if self.main is None else self.main

    def lives(self, frame: int) -> bool:
        """Return whether the subject can be seen on this frame."""
        return (self.first is None or frame >= self.first) and (self.last is None or frame <= self.last)


@dataclass(frozen=True)
class Seed:
    """Identifies a key frame of a subject."""

    subject: str
    frame: int


@dataclass(frozen=True)
class Pass:
    """Identifies a pass: from a key in one direction until the next key, or until the subject can no longer be seen."""

    seed: Seed
    backward: bool
    frames: tuple[int, ...] = field(hash=False)
    """The frames in the order of computing, without the key's frame."""

    def __str__(self) -> str:
        arrow = "<-" if self.backward else "->"
        return f"{self.seed.subject}@{self.seed.frame} {arrow} {self.frames[-1]}"


class Source(Enum):
    """Names the sources of a subject's alpha on a frame."""

    ABSENT = "not there: zeros"
    KEY = "the key itself"
    PASS = "one pass"
    BLEND = "two passes, blended"


@dataclass(frozen=True)
class AlphaOrigin:
    """Describes how a subject's alpha on one frame is made."""

    source: Source
    seed: Seed | None = None
    passes: tuple[Pass, ...] = ()
    """One pass, or the forward and the backward one."""


@dataclass(frozen=True)
class Shot:
    """Holds the frames and subjects of a shot."""

    frames: tuple[int, ...]
    """All existing plate frames, ascending."""
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
        """Lists all possible passes, subject by subject and key by key."""
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

    def ahead_of(self, the_pass: Pass) -> Seed | None:
        """Return the key that a pass goes towards; None if it goes on to the last frame on which its subject can be
        seen."""
        keys = self.subject(the_pass.seed.subject).keys
        place = keys.index(the_pass.seed.frame) + (-1 if the_pass.backward else 1)
        return Seed(the_pass.seed.subject, keys[place]) if 0 <= place < len(keys) else None

    def memory_source(self, of: Pass) -> Pass | None:
        """Return the pass whose memory this pass takes over at its start: the one that came to its key (DR024).

        Only a pass that does not go towards another key has one, and a pass of the main key has none. So a key that is
        added changes nothing on the other side of the main key.
        """
        return self._memory_sources.get(of)

    @cached_property
    def _memory_sources(self) -> dict[Pass, Pass]:
        coming = {(ahead, each.backward): each for each in self.passes if (ahead := self.ahead_of(each))}
        return {
            each: coming[each.seed, each.backward]
            for each in self.passes
            if not self.ahead_of(each)
            and each.seed.frame != self.subject(each.seed.subject).main_key
            and (each.seed, each.backward) in coming
        }

    @cached_property
    def memory_sources(self) -> frozenset[Pass]:
        """Lists the passes whose memory another pass takes over."""
        return frozenset(self._memory_sources.values())

    def pins(self, of: Pass) -> tuple[Seed, ...]:
        """List the other keys that a pass remembers, ascending: the key that it goes towards, or the key of the pass
        whose memory it takes over, and pinned keys.
        """
        subject, ahead, memory_source = self.subject(of.seed.subject), self.ahead_of(of), self.memory_source(of)
        kept = (
            subject.pinned
            | ({ahead.frame} if ahead else set())
            | ({memory_source.seed.frame} if memory_source else set())
        )
        return tuple(Seed(subject.name, key) for key in sorted(kept) if key != of.seed.frame)

    def edge_neighbours(self, name: str, frame: int) -> tuple[int, int] | None:
        """Return the frames before and after this one with which the subject's edges are steadied.

        None on a key frame, which stays as the artist drew it; on a frame where the subject cannot be seen; and on the
        last frame of a pass. Both frames lie in the same stretch or are its keys, so a segment of the shot has them as
        well.
        """
        if not self.answer(name, frame).passes:
            return None
        place = bisect_left(self.frames, frame)
        around = self.frames[place - 1 : place] + self.frames[place + 1 : place + 2]
        there = [each for each in around if self.answer(name, each).source is not Source.ABSENT]
        return (there[0], there[1]) if len(there) == 2 else None

    def before(self, name: str, frame: int) -> int | None:
        """Return the frame right before this one, if it lies in the same stretch or is its key.

        None on a key frame, and on a frame where the subject cannot be seen. A segment of the shot has that alpha as
        well.
        """
        place = bisect_left(self.frames, frame)
        if not self.answer(name, frame).passes or self.frames[place - 1 : place] != (frame - 1,):
            return None
        return None if self.answer(name, frame - 1).source is Source.ABSENT else frame - 1

    def distractors_of(self, name: str) -> tuple[Subject, ...]:
        """List the distractors that a subject keeps off."""
        if self.subject(name).distractor:
            return ()
        return tuple(subject for subject in self.subjects if subject.distractor)

    def seeds_for(self, name: str, frame: int) -> tuple[Seed, ...]:
        """List all keys, ascending, on which a subject's alpha on a frame depends, including those of distractors."""
        answer = self.answer(name, frame)
        whole = answer.source is Source.BLEND
        met = [self._distractor_keys[each][each.frames[-1] if whole else frame] for each in answer.passes]
        at_key = [self._kept_off(name, frame)] if answer.seed else []
        return tuple(sorted(self._behind(answer).union(*met, *at_key), key=lambda seed: (seed.frame, seed.subject)))

    def _behind(self, answer: AlphaOrigin) -> frozenset[Seed]:
        """List the subject's own keys on which the alpha depends."""
        started = [seed for each in answer.passes for seed in (each.seed, *self.pins(each))]
        return frozenset([answer.seed] if answer.seed else started)

    def _kept_off(self, name: str, frame: int) -> frozenset[Seed]:
        """List the keys of the distractors that a subject keeps off on this frame."""
        return frozenset[Seed]().union(*(self._behind(self.answer(r.name, frame)) for r in self.distractors_of(name)))

    @cached_property
    def _distractor_keys(self) -> dict[Pass, dict[int, frozenset[Seed]]]:
        """Maps each pass and frame to the keys of the distractors that the pass has kept off up to that frame."""
        found = {}
        for each in sorted(self.passes, key=lambda one: one in self._memory_sources):  # memory sources come first
            name, memory_source, found[each] = each.seed.subject, self.memory_source(each), dict[int, frozenset[Seed]]()
            met = frozenset[Seed]().union(*(self._kept_off(name, key.frame) for key in (each.seed, *self.pins(each))))
            met |= found[memory_source][memory_source.frames[-1]] if memory_source else frozenset[Seed]()
            for frame in each.frames:
                met = found[each][frame] = met | self._kept_off(name, frame)
        return found

    def reach(self, seed: Seed) -> tuple[int, ...]:
        """List the frames, ascending, whose alpha can change if this key changes."""
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
    """One pass computes one frame."""

    the_pass: Pass
    frame: int
    starts: int | None = None
    """The frame whose stored state the pass continues from (the key's frame: from the key); None if it continues from
    the last move."""


@dataclass(frozen=True)
class ShotStep:
    """Lists what is computed on one plate, which is read once, and whether its alphas are known afterwards."""

    frame: int
    seeds: tuple[Seed, ...] = ()
    moves: tuple[Move, ...] = ()
    delivers: bool = False


@dataclass(frozen=True)
class StoredResults:
    """Tells which results are stored already and need not be computed."""

    seeds: Callable[[Seed], bool] = lambda _: False
    """Whether a key's alpha and state are stored."""
    alphas: Callable[[Pass, int], bool] = lambda _, __: False
    """Whether a pass's alpha on a frame is stored."""
    states: Callable[[Pass], Collection[int]] = lambda _: ()
    """Frames of a pass whose state is stored."""


NOTHING_STORED = StoredResults()


Earlier = Mapping[tuple[str, int], tuple[int, ...]]
"""For each (subject, frame), the earlier frames, ascending, whose alphas it needs."""


def plan_steps(
    shot: Shot,
    asked: Iterable[int],
    kept: StoredResults = NOTHING_STORED,
    *,
    with_neighbours: bool = False,
    earlier: Earlier | None = None,
) -> tuple[ShotStep, ...]:
    """List the steps for these frames in order: for each stretch its keys, then forwards and back. Alphas are delivered
    as soon as they are known.

    with_neighbours: a frame is delivered when the alphas of its neighbours (Shot.edge_neighbours) are known as well.
    earlier: the same for alphas of earlier frames.

    All subjects are computed on a plate together, so that it is read and encoded once for each sweep. But distractors
    are computed first if they need a sweep back, or if a key of another subject comes early, since the others keep off
    the distractors' alphas.
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
    """Lists the work of some subjects; each list is in the order of a sweep."""

    moves: list[Move] = field(default_factory=list)
    seeds: list[Seed] = field(default_factory=list)

    def __add__(self, other: _Work) -> _Work:
        return _Work(self.moves + other.moves, self.seeds + other.seeds)


def _in_order(shot: Shot, distractors: _Work, others: _Work) -> list[ShotStep]:
    """Order the work so that distractors' alphas are known before the subjects that keep off them are computed."""
    pinned = any(subject.pinned for subject in shot.subjects if not subject.distractor)
    if pinned and (distractors.moves or distractors.seeds) and (others.moves or others.seeds):
        return [
            *_in_order(shot, distractors, _Work()),
            *_in_order(shot, _Work(), others),
        ]  # pinned keys lie on any frame
    steps: list[ShotStep] = []
    for before, after in _stretches(shot, distractors, others):
        early = _early(shot, before, distractors), _early(shot, after, others)
        apart = bool(early[1]) or any(move.the_pass.backward or _is_blended(shot, move) for move in before.moves)
        for keys, together in zip(early, [before, after], strict=True) if apart else [(early[0], before + after)]:
            steps += [*keys, *_sweep(together, backward=False), *_sweep(together, backward=True)]
    return steps


def _early(shot: Shot, here: _Work, work: _Work) -> list[ShotStep]:
    """Put the keys that the passes of a stretch remember before these passes."""
    pinned = {pin for move in here.moves if move.starts == move.the_pass.seed.frame for pin in shot.pins(move.the_pass)}
    return [ShotStep(seed.frame, seeds=(seed,)) for seed in work.seeds if seed in pinned]


def _is_blended(shot: Shot, move: Move) -> bool:
    return shot.answer(move.the_pass.seed.subject, move.frame).source is Source.BLEND


Origins = list[tuple[int, list[AlphaOrigin]]]
"""Maps each frame to the origins of its subjects' alphas."""


def also_read(shot: Shot, frames: Iterable[int], *, with_neighbours: bool, earlier: Earlier) -> dict[int, Origins]:
    """Map frames to the other frames, and the alphas there, from which their written alphas are made.

    These are the neighbours with which edges are steadied, and the earlier frames of solved areas.
    """
    written = [subject.name for subject in shot.subjects if not subject.distractor]

    def others(name: str, frame: int) -> set[int]:
        neighbours = (shot.edge_neighbours(name, frame) or ()) if with_neighbours else ()
        return {*neighbours, *earlier.get((name, frame), ())}

    return {
        frame: [(other, [shot.answer(name, other)]) for name in written for other in sorted(others(name, frame))]
        for frame in frames
    }


Placed = TypeVar("Placed", Move, Seed)


def _answers_on(shot: Shot, frames: Iterable[int], *, distractors: bool) -> Origins:
    subjects = [subject for subject in shot.subjects if subject.distractor == distractors]
    return [(frame, [shot.answer(subject.name, frame) for subject in subjects]) for frame in frames]


def _work_for(shot: Shot, answers: Origins, kept: StoredResults) -> _Work:
    wanted = _wanted(answers)
    moves = {each: list(_moves(each, frames, kept)) for each, frames in wanted.items()}
    begun = [each for each, its in moves.items() if any(move.starts == each.seed.frame for move in its)]
    for memory_source in filter(None, map(shot.memory_source, begun)):
        if memory_source.frames[-1] not in kept.states(memory_source):
            moves[memory_source] = list(_moves(memory_source, wanted.get(memory_source, []), kept, to_end=True))
    every = [move for its in moves.values() for move in its]
    return _Work(every, _seeds(shot, answers, every, kept))


def _stretches(shot: Shot, distractors: _Work, others: _Work) -> Iterator[tuple[_Work, _Work]]:
    """Split the work at places that no pass crosses, in order."""
    ends = _ends(shot, {move.the_pass for move in (*distractors.moves, *others.moves)})

    def placed(whole: list[Placed], number: int) -> list[Placed]:
        return [each for each in whole if bisect_left(ends, each.frame) == number]

    for number in range(len(ends) + 1):
        before, after = (
            _Work(placed(each.moves, number), placed(each.seeds, number)) for each in (distractors, others)
        )
        yield before, after


def _ends(shot: Shot, passes: Iterable[Pass]) -> list[int]:
    """List the key frames, ascending, that no pass crosses."""
    ends: list[int] = []
    for first, last in sorted(_span(shot, each) for each in passes if each.backward or shot.ahead_of(each)):
        if ends and first <= ends[-1]:
            ends[-1] = max(ends[-1], last)
        else:
            ends.append(last)
    return ends


def _span(shot: Shot, the_pass: Pass) -> tuple[int, int]:
    """Return the first frame of a pass by number, and the key after it.

    A backward pass that takes over the memory of another belongs to the same stretch as that one.
    """
    if the_pass.backward:
        memory_source = shot.memory_source(the_pass)
        return the_pass.frames[-1], (memory_source or the_pass).seed.frame
    ahead = shot.ahead_of(the_pass)
    return the_pass.frames[0], ahead.frame if ahead else the_pass.frames[-1]


def _wanted(answers: Origins) -> dict[Pass, list[int]]:
    """Map each pass to the frames whose alpha is needed; a blended alpha needs all frames of both passes."""
    wanted: dict[Pass, list[int]] = {}
    for frame, of_subjects in answers:
        for answer in of_subjects:
            for each in answer.passes:
                if answer.source is Source.BLEND:
                    wanted[each] = list(each.frames)
                else:
                    wanted.setdefault(each, []).append(frame)
    return wanted


def _moves(the_pass: Pass, wanted: list[int], kept: StoredResults, *, to_end: bool = False) -> Iterator[Move]:
    """List the moves from the nearest stored state before each frame that is not stored, up to that frame.

    to_end: also up to the last frame of the pass, from whose state another pass starts.
    """
    place = {frame: number for number, frame in enumerate(the_pass.frames)}
    states = {-1} | {place[frame] for frame in kept.states(the_pass)}
    at: int | None = None
    targets = {place[frame] for frame in wanted if not kept.alphas(the_pass, frame)}
    for target in sorted(targets | ({len(place) - 1} if to_end else set())):
        start = max(state for state in states if state < target)
        if at is None or start > at:
            at = start
            starts: int | None = the_pass.seed.frame if start < 0 else the_pass.frames[start]
        else:
            starts = None
        for number in range(at + 1, target + 1):
            yield Move(the_pass, the_pass.frames[number], starts)
            starts = None
        at = max(at, target)


def _seeds(shot: Shot, answers: Origins, moves: list[Move], kept: StoredResults) -> list[Seed]:
    """List the keys that must be computed: those that were asked for, and those that passes start from or remember."""
    asked = {answer.seed for _, of_subjects in answers for answer in of_subjects if answer.seed}
    begun = [move.the_pass for move in moves if move.starts == move.the_pass.seed.frame]
    needed = asked | {seed for the_pass in begun for seed in (the_pass.seed, *shot.pins(the_pass))}
    order = {subject.name: number for number, subject in enumerate(shot.subjects)}
    return sorted((seed for seed in needed if not kept.seeds(seed)), key=lambda seed: (seed.frame, order[seed.subject]))


def _sweep(work: _Work, *, backward: bool) -> list[ShotStep]:
    """List the steps of one direction over the plates. On each plate, keys come first; they belong to the forward
    sweep.
    """
    here: dict[int, list[Move]] = defaultdict(list)
    for move in work.moves:
        if move.the_pass.backward == backward:
            here[move.frame].append(move)
    keys: dict[int, list[Seed]] = defaultdict(list)
    for seed in [] if backward else work.seeds:
        keys[seed.frame].append(seed)
    frames = sorted({*here, *keys}, reverse=backward)
    return [ShotStep(frame, tuple(keys[frame]), tuple(here[frame])) for frame in frames]


def _once(work: list[ShotStep]) -> list[ShotStep]:
    """Compute each key only in the first step that needs it, and drop steps without work."""
    done: set[Seed] = set()
    steps = []
    for step in work:
        seeds = tuple(seed for seed in step.seeds if seed not in done)
        done |= set(seeds)
        if seeds or step.moves:
            steps.append(ShotStep(step.frame, seeds, step.moves))
    return steps


def _delivered(work: list[ShotStep], needed: Mapping[int, Origins]) -> Iterator[ShotStep]:
    """Mark the step after which each asked frame is delivered: as soon as all alphas that it needs are known."""
    finished: dict[Seed | Pass, int] = {}
    moved: dict[tuple[Pass, int], int] = {}
    for number, step in enumerate(work):
        finished.update(dict.fromkeys(step.seeds, number))
        for move in step.moves:
            finished[move.the_pass] = moved[move.the_pass, move.frame] = number
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
    """Return the number of the step after which an alpha is known; -1 if nothing has to be computed for it."""
    if answer.source is Source.KEY and answer.seed:
        return finished.get(answer.seed, -1)
    if answer.source is Source.PASS:
        return moved.get((answer.passes[0], frame), -1)
    return max((finished.get(each, -1) for each in answer.passes), default=-1)
