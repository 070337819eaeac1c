# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession, MemoryPolicy
from matanyone_engine.errors import MaskError, OutOfMemory
from matanyone_engine.jobs.threads import on_half_of_the_cores
from matanyone_engine.matting.confidence import CERTAIN, Confidence, confidence
from matanyone_engine.matting.content_keys import Inputs, Names
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.matting.prepared_plate import ReadyPlate
from matanyone_engine.matting.runner import AlphaStore, ShotRunner, Vanished, packed, unpacked
from matanyone_engine.matting.shot import Seed, Shot, ShotStep, Subject

FRAMES = tuple(range(1001, 1013))
PLATES = dict(zip(FRAMES, plates(len(FRAMES), 32, 48), strict=True))
CONTENTS = {frame: f"plate {frame}" for frame in FRAMES}
POLICY = MemoryPolicy(memory_every=2, bank_frames=3)
HERO = Subject("hero", (1003, 1009))
DOG = Subject("dog", (1006,), first=1004)


@pytest.fixture(scope="module")
def network() -> Any:
    return toy_network()


def mask(seed: Seed) -> torch.Tensor:
    return disc(32, 48, radius=8 if seed.subject == "hero" else 5)


def runner(
    network: Any,
    *subjects: Subject,
    store: AlphaStore | None = None,
    masks: dict[Seed, str] | None = None,
    plates: dict[int, str] | None = None,
    **options: Any,
) -> ShotRunner:
    shot = Shot(FRAMES, subjects or (HERO, DOG))
    seeds = [Seed(subject.name, key) for subject in shot.subjects for key in subject.keys]
    inputs = Inputs("toy", plates or CONTENTS, {**dict.fromkeys(seeds, "disc"), **(masks or {})})

    def session(_: Subject) -> MattingSession:
        return MattingSession(network, POLICY, warm_up_passes=1)

    store = {} if store is None else store
    return ShotRunner(shot, Names(shot, inputs), store, session, mask, states_every=3, **options)


def run(shot: ShotRunner, asked: Any = FRAMES) -> dict[int, dict[str, torch.Tensor]]:
    found = {}
    for step in shot.plan(asked):
        shot.take(step, PLATES[step.frame])
        if step.delivers:
            found[step.frame] = shot.alphas(step.frame)
    return found


@pytest.fixture(scope="module")
def sequence(network: Any) -> dict[int, dict[str, torch.Tensor]]:
    return run(runner(network))


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_single_key_is_what_a_session_answers(network: Any) -> None:
    answers = run(runner(network, Subject("hero", (1001,))))
    session = MattingSession(network, POLICY, warm_up_passes=1)
    expected = [session.seed(PLATES[1001], mask(Seed("hero", 1001)))]
    expected += [session.advance(PLATES[frame]) for frame in FRAMES[1:]]
    assert all(torch.equal(answers[f]["hero"], alpha) for f, alpha in zip(FRAMES, expected, strict=True))


@pytest.fixture(scope="module")
def sure(network: Any) -> dict[int, dict[str, Confidence]]:
    shot = runner(network)
    run(shot)
    return {frame: shot.confidences(frame) for frame in FRAMES}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.sampled_from(FRAMES), min_size=1, max_size=8))
def test_any_order_of_frames_gives_the_same_answers_bit_for_bit(
    network: Any,
    sequence: dict[int, dict[str, torch.Tensor]],
    sure: dict[int, dict[str, Confidence]],
    asked: list[int],
) -> None:
    """As sure as ever; and only what no earlier answer left, or could be started from, is computed."""
    shot = runner(network)
    for frame in asked:
        before, planned = shot.computed, work(shot.plan([frame]))
        assert same(run(shot, [frame])[frame], sequence[frame])
        assert shot.confidences(frame) == sure[frame]
        assert shot.computed - before == planned
        assert work(shot.plan([frame])) == 0


def work(steps: tuple[ShotStep, ...]) -> int:
    return sum(len(step.seeds) + len(step.moves) for step in steps)


def test_reaching_a_frame_out_of_order_costs_at_most_the_way_from_a_kept_state(network: Any) -> None:
    shot = runner(network, Subject("hero", (1001,)))
    run(shot)
    name = shot._names.alpha(shot.shot.passes[0], 1009)
    del shot.store[f"{name}.alpha"]
    assert [step.frame for step in shot.plan([1009])] == [1008, 1009]  # the state of 1007 is kept
    before = shot.computed
    run(shot, [1009])
    assert shot.computed - before == 2


def test_a_changed_key_changes_its_own_stretches_and_nothing_else(network: Any) -> None:
    store: AlphaStore = {}
    run(runner(network, HERO, store=store))
    changed = runner(network, HERO, store=store, masks={Seed("hero", 1009): "another disc"})
    run(changed)
    # Its key, the passes over 1004-1008, both of which remember it, and 1010-1012; the other key and 1001-1002 stay.
    assert changed.computed == 1 + 5 + 5 + 3


def test_one_more_key_leaves_the_stretches_that_it_does_not_divide(network: Any) -> None:
    store: AlphaStore = {}
    before = run(runner(network, Subject("hero", (1001, 1005)), store=store))
    more = runner(network, Subject("hero", (1001, 1005, 1009)), store=store)
    after = run(more)
    assert more.computed == 1 + 3 + 3 + 3
    assert all(same(before[frame], after[frame]) for frame in range(1001, 1006))
    assert not any(same(before[frame], after[frame]) for frame in range(1006, 1013))


def test_a_pass_remembers_the_key_that_it_goes_towards(network: Any) -> None:
    """From its first frame on, so that what only the other mask shows is known."""
    one, two = runner(network, Subject("hero", (1001,))), runner(network, Subject("hero", (1001, 1007)))
    run(one), run(two)
    alone, towards = (each._alpha(each._names.alpha(each.shot.passes[0], 1002)) for each in (one, two))
    assert not torch.equal(alone, towards)


def test_a_correction_takes_over_what_was_seen_on_the_way_to_it(network: Any) -> None:
    """As a session that has gone on to the key, with the key's own frame as its permanent one."""
    shot = runner(network, HERO)
    answers = run(shot)
    way = next(each for each in shot.shot.passes if str(each) == "hero@1003 -> 1008")
    come = shot._recalled("hero", shot._names.alpha(way, 1008)).bank
    session = MattingSession(network, POLICY, warm_up_passes=1)
    session.seed(PLATES[1003], mask(Seed("hero", 1003)))
    first = session.state.bank
    session.forget()
    session.seed(PLATES[1009], mask(Seed("hero", 1009)))
    bank = session.state.bank.pinned([first], farther=2.0).following(come)
    assert len(bank.stored) == POLICY.bank_frames
    session.rewind(replace(session.state, bank=bank))
    for frame in (1010, 1011, 1012):
        assert torch.equal(answers[frame]["hero"], session.advance(PLATES[frame]))


def test_a_correction_before_the_main_key_takes_over_too_and_in_any_order(network: Any) -> None:
    back = replace(HERO, main=1009)
    whole, out_of_order = runner(network, back), runner(network, back)
    answers = run(whole)
    plain = run(runner(network, HERO))
    assert not torch.equal(answers[1002]["hero"], plain[1002]["hero"])
    assert not torch.equal(answers[1010]["hero"], plain[1010]["hero"]), "the main key's own pass takes over nothing"
    for frame in (1001, 1011, 1006, 1002):
        assert same(run(out_of_order, [frame])[frame], answers[frame])


def test_a_changed_plate_changes_the_passes_from_there_on(network: Any) -> None:
    store: AlphaStore = {}
    run(runner(network, HERO, store=store))
    repaired = runner(network, HERO, store=store, plates={**CONTENTS, 1006: "repaired"})
    run(repaired)
    # No state before 1006 was kept, so forwards from the key, 1004-1008; backwards from the state of 1006 no more, but
    # from the key, 1008-1004. What the forward pass has seen is taken over on 1010-1012.
    assert repaired.computed == 5 + 5 + 3


@pytest.fixture
def encoded(network: Any, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Every plate that goes through the image encoder."""
    seen, encode = [], network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda plate: (seen.append(plate), encode(plate))[1])
    return seen


def test_subjects_share_the_encoded_plate_and_do_not_know_each_other(network: Any, encoded: list[torch.Tensor]) -> None:
    both, alone = runner(network, HERO, DOG), runner(network, DOG)
    together = run(both)
    shared = len(encoded)
    assert all(torch.equal(run(alone, [frame])[frame]["dog"], together[frame]["dog"]) for frame in FRAMES)
    steps = runner(network).plan(FRAMES)
    assert shared == sum(1 for step in steps if step.seeds or step.moves) < both.computed


def test_plates_made_ready_on_another_thread_give_the_same_alphas_and_are_encoded_once(
    network: Any, encoded: list[torch.Tensor]
) -> None:
    ahead, found = runner(network, HERO), {}
    with ThreadPoolExecutor(1) as thread:
        steps = ahead.plan(FRAMES)
        plates = [thread.submit(ahead.ready, step, PLATES[step.frame]) for step in steps]
        for step, plate in zip(steps, plates, strict=True):
            ahead.take(step, plate.result())
            found[step.frame] = ahead.alphas(step.frame)["hero"] if step.delivers else None
    assert len(encoded) == sum(1 for step in steps if step.seeds or step.moves)
    in_turn = run(runner(network, HERO))
    assert all(alpha is None or torch.equal(alpha, in_turn[frame]["hero"]) for frame, alpha in found.items())


def test_plates_are_encoded_with_as_many_threads_before_their_turn_as_in_it(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, encode, had = torch.get_num_threads(), network.encode_image, []
    monkeypatch.setattr(network, "encode_image", lambda plate: (had.append(torch.get_num_threads()), encode(plate))[1])
    ahead = runner(network, HERO, encode_on=on_half_of_the_cores)
    torch.set_num_threads(4)
    try:
        with ThreadPoolExecutor(1) as thread:
            steps = ahead.plan(FRAMES)
            for number, step in enumerate(steps):
                plate = PLATES[step.frame]
                ahead.take(step, thread.submit(ahead.ready, step, plate).result() if number % 2 else plate)
            assert thread.submit(torch.get_num_threads).result() == 4
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(usual)
    assert len(set(had)) == 1
    assert had[0] < 4


def test_a_plate_that_found_no_room_before_its_turn_is_tried_again_in_it(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = runner(network, HERO)
    first = tight.plan([1003])[0]

    def full(*_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(ReadyPlate, "of", full)
        assert tight.ready(first, PLATES[1003]) is PLATES[1003]
        with pytest.raises(OutOfMemory):
            tight.take(first, PLATES[1003])
    tight.take(first, PLATES[1003])
    assert torch.equal(tight.alphas(1003)["hero"], run(runner(network, HERO), [1003])[1003]["hero"])


def test_a_plate_that_repeats_the_one_before_is_not_encoded_ahead(network: Any, encoded: list[torch.Tensor]) -> None:
    held = runner(network, HERO)
    first, second = held.plan(FRAMES)[:2]
    assert held.ready(first, PLATES[1001]).encoded
    repeat = held.ready(second, PLATES[1001].clone())
    assert not repeat.encoded
    assert len(encoded) == 1


def test_outside_its_life_a_subject_is_zero_for_sure(
    sequence: dict[int, dict[str, torch.Tensor]], sure: dict[int, dict[str, Confidence]]
) -> None:
    assert float(sequence[1002]["dog"].max()) == 0
    assert sure[1002]["dog"] == CERTAIN
    assert float(sequence[1004]["dog"].max()) > 0


def test_a_pinned_key_changes_what_the_other_passes_answer(network: Any) -> None:
    keys = (1001, 1005, 1009)
    loose, pinned = Subject("hero", keys), Subject("hero", keys, pinned=frozenset({1009}))
    before, after = run(runner(network, loose)), run(runner(network, pinned))
    assert torch.equal(before[1001]["hero"], after[1001]["hero"])
    assert not torch.equal(before[1003]["hero"], after[1003]["hero"])
    assert torch.equal(before[1007]["hero"], after[1007]["hero"])  # both passes there remember it anyway, and once
    assert torch.equal(before[1011]["hero"], after[1011]["hero"])


DISTRACTOR = Subject("dog", (1006,), first=1004, distractor=True)


@pytest.fixture(scope="module")
def contested(network: Any) -> dict[int, dict[str, torch.Tensor]]:
    """The hero beside a distractor."""
    return run(runner(network, HERO, DISTRACTOR))


def test_a_distractor_is_kept_off_before_memory_and_has_no_output(
    network: Any, contested: dict[int, dict[str, torch.Tensor]], sequence: dict[int, dict[str, torch.Tensor]]
) -> None:
    """Not only trimmed afterwards: where the distractor is not, the hero changes too."""
    assert list(contested[1010]) == ["hero"]
    distractor, alone, hero = (each[1011] for each in (sequence, run(runner(network, HERO)), contested))
    assert float((hero["hero"] + distractor["dog"] - 1).max()) <= 1e-6
    elsewhere = distractor["dog"] < 1e-3
    assert not torch.allclose(alone["hero"][elsewhere], hero["hero"][elsewhere], atol=1e-4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.sampled_from(FRAMES), min_size=1, max_size=6))
def test_any_order_of_frames_gives_the_same_answers_beside_a_distractor(
    network: Any, contested: dict[int, dict[str, torch.Tensor]], asked: list[int]
) -> None:
    shot = runner(network, HERO, DISTRACTOR)
    for frame in asked:
        assert same(run(shot, [frame])[frame], contested[frame])
        assert work(shot.plan([frame])) == 0


def test_a_changed_distractor_changes_what_keeps_off_it_and_a_changed_hero_no_distractor(network: Any) -> None:
    store: AlphaStore = {}
    run(runner(network, HERO, DISTRACTOR, store=store))
    moved = runner(network, HERO, DISTRACTOR, store=store, masks={Seed("dog", 1006): "another disc"})
    run(moved)
    # The distractor itself; of the hero not what is before the distractor's life: the key of 1003 and the way back.
    assert moved.computed == 9 + 5 + 1 + 5 + 3
    repaired = runner(network, HERO, DISTRACTOR, store=store, masks={Seed("hero", 1009): "another disc"})
    run(repaired)
    assert repaired.computed == 1 + 5 + 5 + 3


def test_what_the_artist_says_is_inside_is_not_left_to_a_distractor(network: Any) -> None:
    left = torch.zeros(32, 48)
    left[:, :24] = 1.0
    limits = Constraints(inside=left, outside=left.roll(4, 0) * 0.25).with_distractors(
        [torch.full((32, 48), 0.75), left]
    )
    assert torch.equal(limits.outside[:, 24:], torch.full((32, 24), 0.75))
    assert float(limits.outside[:, :24].max()) == 0.25
    assert Constraints(inside=left).with_distractors([]) == Constraints(inside=left)


def test_a_blend_is_doubted_where_its_passes_disagree(sure: dict[int, dict[str, Confidence]]) -> None:
    between, beyond = sure[1006]["hero"], sure[1011]["hero"]
    assert between.disagreement is not None
    assert between.signals is not None
    assert between.value < confidence(between.signals).value
    assert beyond.disagreement is None


def test_a_lost_result_raises_the_error_that_asks_for_a_new_plan(network: Any) -> None:
    shot = runner(network)
    steps = shot.plan(FRAMES)
    second_key = next(number for number, step in enumerate(steps) if Seed("hero", 1009) in step.seeds)
    for step in steps[: second_key + 1]:
        shot.take(step, PLATES[step.frame])
    shot.store.clear()
    with pytest.raises(Vanished):
        [shot.take(step, PLATES[step.frame]) for step in steps[second_key + 1 :]]
    assert run(shot).keys() == set(FRAMES)


def test_packing_loses_nothing() -> None:
    for height, width in ((7, 5), (1, 1), (16, 8)):
        plane = (torch.rand(height, width) * 3 - 1).clamp(0, 1)
        plane[0, 0] = -0.0
        assert torch.equal(torch.from_numpy(unpacked(packed(plane))).view(torch.int32), plane.view(torch.int32))


def test_a_constraint_mask_holds_and_is_remembered(network: Any) -> None:
    """The alpha keeps to it, softly; and what follows differs from a run that was only trimmed afterwards."""
    left = torch.zeros(32, 48)
    left[:, :20], left[:, 20:24] = 1.0, 0.5
    held, free = (MattingSession(network, POLICY, warm_up_passes=1) for _ in range(2))
    for session, constraints in ((held, Constraints(outside=left)), (free, Constraints())):
        session.seed(PLATES[1001], disc(32, 48), constraints=constraints)
    alpha, loose = held.advance(PLATES[1002], constraints=Constraints(outside=left)), free.advance(PLATES[1002])
    assert float((alpha - (1 - left)).max()) <= 0
    later, apart = held.advance(PLATES[1003]), free.advance(PLATES[1003])
    assert not torch.equal(later, apart)
    assert float(loose[:, :20].max()) > 0
    inside = held.advance(PLATES[1004], constraints=Constraints(inside=left))
    assert float((left - inside).max()) <= 0


def test_a_constraint_mask_of_another_size_is_refused(network: Any) -> None:
    session = MattingSession(network, POLICY)
    with pytest.raises(MaskError, match="48x32"):
        session.seed(PLATES[1001], disc(32, 48), constraints=Constraints(inside=torch.zeros(4, 4)))
