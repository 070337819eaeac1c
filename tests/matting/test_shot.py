# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.matting.shot import (
    AlphaOrigin,
    Move,
    Seed,
    Shot,
    ShotStep,
    Source,
    StoredResults,
    Subject,
    plan_steps,
)

TEN = tuple(range(1, 11))


def order(steps: tuple[ShotStep, ...]) -> str:
    """Steps as text: [k] a key, > and < passes, ! an answer."""
    words = []
    for step in steps:
        marks = "".join("<" if move.the_pass.backward else ">" for move in step.moves)
        words.append(f"{'[' * len(step.seeds)}{step.frame}{']' * len(step.seeds)}{marks}{'!' if step.delivers else ''}")
    return " ".join(words)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((1,), "[1]! 2>! 3>! 4>! 5>! 6>!"),
        ((3,), "[3]! 2<! 1<! 4>! 5>! 6>!"),
        ((6,), "[6]! 5<! 4<! 3<! 2<! 1<!"),
        ((1, 4), "[1]! [4]! 2> 3> 3< 2<! 3! 5>! 6>!"),
        ((2, 3), "[2]! 1<! [3]! 4>! 5>! 6>!"),
    ],
)
def test_a_stretch_is_keyed_at_both_ends_then_run_forwards_and_back_and_each_answer_given_once_it_is_known(
    keys: tuple[int, ...], expected: str
) -> None:
    assert order(plan_steps(Shot(TEN[:6], (Subject("hero", keys),)), TEN[:6])) == expected


def test_subjects_go_over_a_plate_together() -> None:
    shot = Shot(TEN[:4], (Subject("a", (1,)), Subject("b", (2,))))
    assert order(plan_steps(shot, TEN[:4])) == "[1] [2]>! 1<! 3>>! 4>>!"


def test_a_sweep_back_ends_where_no_subject_has_more_to_do_there() -> None:
    shot = Shot(TEN, (Subject("a", (1, 4, 8)), Subject("b", (6,), first=3)))
    # 5 to 7 belong to one stretch with 3 and 4, since b goes back from 6 to 3.
    assert order(plan_steps(shot, TEN)) == (
        "[1]! [4] [8] 2> 3> 5> [6]> 7>> 8>! 7< 6< 5<<! 6! 7! 4<! 3<< 2<! 3! 9>>! 10>>!"
    )


def test_distractors_go_first_over_a_plate_and_first_over_a_stretch_where_they_come_back() -> None:
    hero, distractor = Subject("hero", (1,)), Subject("distractor", (1,), distractor=True)
    steps = plan_steps(Shot(TEN[:4], (hero, distractor)), TEN[:4])
    assert order(steps) == "[[1]]! 2>>! 3>>! 4>>!"
    assert [move.the_pass.seed.subject for move in steps[1].moves] == ["distractor", "hero"]
    late = Subject("distractor", (3,), distractor=True)
    assert order(plan_steps(Shot(TEN[:4], (hero, late)), TEN[:4])) == "[3] 2< 1< [1]! 2>! 3>! 4>>!"
    both = Subject("distractor", (1, 4), distractor=True)
    kept = StoredResults(
        alphas=lambda the_pass, _: the_pass.backward
    )  # what is left of a blend is still needed as a whole
    steps = plan_steps(Shot(TEN[:4], (hero, both)), (2, 3), kept)
    assert order(steps) == "[4] [1] 2> 3> [1] 2>! 3>!"
    keyed = Subject("hero", (1, 4))  # remembers 4 from 2 on, and keeps off the distractor there
    assert order(plan_steps(Shot(TEN[:4], (keyed, distractor)), TEN[:4])) == "[1] 2> 3> 4> [1]! [4]! 2> 3> 3< 2<! 3!"


def test_what_a_distractor_s_key_changes() -> None:
    shot = Shot(TEN, (Subject("hero", (1, 6)), Subject("distractor", (1, 4), distractor=True)))
    # The hero's passes to 6 and back blend over 2-5, all of which keep off the distractor; so does the last one.
    assert shot.reach(Seed("distractor", 4)) == tuple(range(2, 11))
    assert shot.reach(Seed("hero", 6)) == tuple(range(2, 11))
    assert shot.seeds_for("hero", 1) == (Seed("distractor", 1), Seed("hero", 1)), "by frame, then by name"
    assert shot.seeds_for("distractor", 8) == (Seed("distractor", 1), Seed("distractor", 4))


def test_each_frame_of_a_subject_has_one_origin() -> None:
    shot = Shot(TEN, (Subject("hero", (3, 7)), Subject("dog", (5,), first=4, last=8)))
    assert [(frame, str(shot.answer("hero", frame).source.name)) for frame in (1, 3, 5)] == [
        (1, "PASS"),
        (3, "KEY"),
        (5, "BLEND"),
    ]
    passes = {frame: [str(each) for each in shot.answer("hero", frame).passes] for frame in (2, 4, 6, 8)}
    both = ["hero@3 -> 6", "hero@7 <- 4"]
    assert passes == {2: ["hero@3 <- 1"], 4: both, 6: both, 8: ["hero@7 -> 10"]}
    assert [shot.answer("dog", frame).source.name for frame in (3, 4, 5, 8, 9)] == [
        "ABSENT",
        "PASS",
        "KEY",
        "PASS",
        "ABSENT",
    ]


def test_the_pass_from_a_correction_takes_over_what_was_seen_on_the_way_to_it() -> None:
    def led(main: int | None) -> dict[str, str]:
        shot = Shot(TEN, (Subject("hero", (2, 5, 8), main=main),))
        return {str(each): str(memory_source) for each in shot.passes if (memory_source := shot.memory_source(each))}

    # The main key's own pass to an end takes over nothing: a correction changes nothing on the main key's other side.
    assert led(None) == led(2) == {"hero@8 -> 10": "hero@5 -> 7"}
    assert led(8) == {"hero@2 <- 1": "hero@5 <- 3"}
    assert led(5) == {"hero@8 -> 10": "hero@5 -> 7", "hero@2 <- 1": "hero@5 <- 3"}
    assert Shot(TEN, (Subject("hero", (2, 3)),)).memory_source(Shot(TEN, (Subject("hero", (2, 3)),)).passes[-1]) is None


def test_the_pass_whose_memory_is_taken_over_is_run_to_its_end_first() -> None:
    shot = Shot(TEN[:6], (Subject("hero", (1, 4)),))
    assert order(plan_steps(shot, [5])) == "[4] [1] 2> 3> 5>!"
    back = Shot(TEN[:6], (Subject("hero", (3, 6), main=6),))
    assert order(plan_steps(back, [2])) == "[3] [6] 5< 4< 2<!"
    # The state at its end is stored: nothing of it is run again.
    ended = StoredResults(seeds=lambda _: True, states=lambda each: {3} if str(each) == "hero@1 -> 3" else ())
    assert order(plan_steps(shot, [5], ended)) == "5>!"
    # Its alphas are kept, but the state at its end is not: it is run again, from the nearest state.
    alphas = StoredResults(
        lambda _: True, lambda each, _: each.seed.frame == 1, lambda each: {2} if each.frames[0] == 2 else ()
    )
    assert order(plan_steps(shot, [5], alphas)) == "3> 5>!"


def test_a_pass_keeps_in_mind_the_key_it_goes_towards_and_none_beyond() -> None:
    shot = Shot(TEN, (Subject("hero", (2, 5, 8)),))
    assert {str(each): [pin.frame for pin in shot.pins(each)] for each in shot.passes} == {
        "hero@2 <- 1": [],
        "hero@2 -> 4": [5],
        "hero@5 <- 3": [2],
        "hero@5 -> 7": [8],
        "hero@8 <- 6": [5],
        "hero@8 -> 10": [5],  # from where the pass came that has led to 8
    }
    assert shot.seeds_for("hero", 3) == (Seed("hero", 2), Seed("hero", 5))


def test_a_key_reaches_to_the_next_keys_and_a_pinned_one_everywhere() -> None:
    loose = Shot(TEN, (Subject("hero", (2, 5, 8)),))
    assert loose.reach(Seed("hero", 5)) == (3, 4, 5, 6, 7, 9, 10)  # 9 and 10 take over what was seen from 5 on
    assert loose.reach(Seed("hero", 2)) == (1, 2, 3, 4)
    assert Shot(TEN, (Subject("hero", (2, 5), main=2),)).reach(Seed("hero", 5)) == (3, 4, 5, 6, 7, 8, 9, 10)
    pinned = Shot(TEN, (Subject("hero", (2, 5, 8), pinned=frozenset({5})),))
    assert pinned.reach(Seed("hero", 5)) == (1, 3, 4, 5, 6, 7, 9, 10)  # not the other keys' own frames
    assert order(plan_steps(pinned, [1])) == "[5] [2] 1<!"


def test_only_what_is_asked_for_and_not_kept_is_run() -> None:
    shot = Shot(TEN, (Subject("hero", (1,)),))
    assert order(plan_steps(shot, [4])) == "[1] 2> 3> 4>!"
    kept = StoredResults(lambda _: True, lambda _, frame: frame in {2, 3, 7}, lambda _: {3, 7})
    assert order(plan_steps(shot, [2, 5, 8, 10], kept)) == "2! 4> 5>! 8>! 9> 10>!"
    assert [move.starts for step in plan_steps(shot, [5, 8], kept) for move in step.moves] == [3, None, 7]


def test_a_blend_needs_the_whole_of_both_passes() -> None:
    shot = Shot(TEN, (Subject("hero", (2, 6)),))
    assert order(plan_steps(shot, [4])) == "[2] [6] 3> 4> 5> 5< 4< 3< 4!"


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject("hero", ()), "hero"),
        (Subject("hero", (3, 3)), "different frames"),
        (Subject("hero", (11,)), "frame 11"),
        (Subject("hero", (3,), first=4), "frame 3"),
    ],
)
def test_keys_that_cannot_be_are_named(subject: Subject, words: str) -> None:
    with pytest.raises(MaskError, match=words):
        Shot(TEN, (subject,))


def test_two_objects_of_one_name_are_refused() -> None:
    with pytest.raises(SettingError, match="'a' twice"):
        Shot(TEN, (Subject("a", (1,)), Subject("a", (2,))))


@given(st.data())
def test_every_plan_is_whole(data: st.DataObject) -> None:
    """Each frame asked for is given once, after all that it needs, and nothing is computed twice."""
    frames = tuple(sorted(data.draw(st.sets(st.integers(1, 14), min_size=3))))
    names = data.draw(st.sampled_from([("a",), ("a", "b")]))
    some = st.sets(st.sampled_from(frames), min_size=1, max_size=4)
    subjects = []
    for name in names:
        keys = tuple(sorted(data.draw(some)))
        pinned = frozenset(data.draw(st.sets(st.sampled_from(keys))))
        distractor = name == "b" and data.draw(st.booleans())
        first, main = data.draw(st.sampled_from([None, keys[0]])), data.draw(st.sampled_from([None, *keys]))
        subjects.append(Subject(name, keys, first, None, pinned, distractor, main))
    shot = Shot(frames, tuple(subjects))
    asked = sorted(data.draw(some))
    known: set[object] = set()
    given: list[int] = []
    for step in plan_steps(shot, asked):
        for each in sorted((*step.seeds, *step.moves), key=lambda each: not shot.subject(of(each)).distractor):
            for distractor in shot.distractors_of(of(each)):
                assert behind(shot.answer(distractor.name, step.frame), step.frame) <= known
            if isinstance(each, Seed):
                assert each not in known
                known.add(each)
                continue
            move = each
            before = move.the_pass.frames[: move.the_pass.frames.index(move.frame)]
            assert {move.the_pass.seed, *shot.pins(move.the_pass)} <= known
            memory_source = shot.memory_source(move.the_pass)
            assert memory_source is None or all((memory_source, frame) in known for frame in memory_source.frames)
            assert all((move.the_pass, frame) in known for frame in before)
            assert (move.the_pass, move.frame) not in known
            known.add((move.the_pass, move.frame))
        if step.delivers:
            given.append(step.frame)
            for subject in shot.subjects:
                assert behind(shot.answer(subject.name, step.frame), step.frame) <= known
    assert sorted(given) == asked


def of(work: Seed | Move) -> str:
    return work.subject if isinstance(work, Seed) else work.the_pass.seed.subject


def behind(answer: AlphaOrigin, frame: int) -> set[object]:
    """What must have been computed for an answer."""
    needed: set[object] = {answer.seed} if answer.seed else set()
    for each in answer.passes:
        needed |= {(each, f) for f in (each.frames if answer.source is Source.BLEND else [frame])}
    return needed
