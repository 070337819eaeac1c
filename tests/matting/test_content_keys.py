# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.matting.content_keys import Inputs, Names
from matanyone_engine.matting.shot import Seed, Shot, Subject

FRAMES = tuple(range(1001, 1013))


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    """One or two subjects, with keys anywhere, some pinned; the second may be a distractor."""
    subjects = []
    for name in draw(st.sampled_from([("a",), ("a", "b")])):
        keys = tuple(sorted(draw(st.sets(st.sampled_from(FRAMES), min_size=1, max_size=4))))
        pinned = frozenset(draw(st.sets(st.sampled_from(keys)) if draw(st.booleans()) else st.just(set())))
        subjects.append(Subject(name, keys, pinned=pinned, distractor=name == "b" and draw(st.booleans())))
    return Shot(FRAMES, tuple(subjects))


def named(shot: Shot, changed: Seed | None = None) -> dict[int, list[str]]:
    """Frame -> the names of all its answers."""
    seeds = [Seed(subject.name, key) for subject in shot.subjects for key in subject.keys]
    masks = {seed: "mended" if seed == changed else "drawn" for seed in seeds}
    names = Names(shot, Inputs("toy", {frame: str(frame) for frame in FRAMES}, masks))
    return {frame: [names.answer(subject.name, frame) for subject in shot.subjects] for frame in FRAMES}


@given(shots(), st.data())
def test_a_changed_key_renames_the_frames_that_it_reaches_and_no_others(shot: Shot, data: st.DataObject) -> None:
    """What is said to change is what is computed again: neither a stale alpha nor one in vain."""
    changed = data.draw(st.sampled_from([Seed(subject.name, key) for subject in shot.subjects for key in subject.keys]))
    before, after = named(shot), named(shot, changed)
    assert tuple(frame for frame in FRAMES if before[frame] != after[frame]) == shot.reach(changed)


@given(shots(), st.data())
def test_without_pins_and_distractors_a_key_reaches_to_its_neighbours(shot: Shot, data: st.DataObject) -> None:
    hero = Subject("hero", shot.subjects[0].keys)
    key = data.draw(st.sampled_from(hero.keys))
    others = [other for other in hero.keys if other != key]
    first = max((other for other in others if other < key), default=FRAMES[0] - 1)
    last = min((other for other in others if other > key), default=FRAMES[-1] + 1)
    reached = set(range(first + 1, last))
    if len(hero.keys) > 1 and key == hero.keys[-2] < hero.keys[-1] - 1:  # what was seen from it on is taken over
        reached |= set(range(hero.keys[-1] + 1, FRAMES[-1] + 1))
    assert Shot(FRAMES, (hero,)).reach(Seed("hero", key)) == tuple(sorted(reached))
