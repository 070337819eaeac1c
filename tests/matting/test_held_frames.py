# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import LongTermPolicy, MattingSession, MemoryPolicy
from matanyone_engine.errors import SettingError
from matanyone_engine.matting.held_frames import fingerprint_of, is_repeat
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.model.registry import load_network

POLICIES = [
    MemoryPolicy(memory_every=2, bank_frames=3),
    MemoryPolicy(memory_every=2, long_term=LongTermPolicy(3, 2, prototypes=4, max_tokens=20, buffer_tokens=4)),
]
HOLDS = (3, 1, 2, 4, 1, 2)
"""How long each plate is held."""


@pytest.fixture(scope="module")
def network() -> Any:
    return toy_network()


def held(shot: list[torch.Tensor]) -> list[torch.Tensor]:
    return [plate.clone() for plate, times in zip(shot, HOLDS, strict=True) for _ in range(times)]


def run(network: Any, shot: list[torch.Tensor], policy: MemoryPolicy | None = None, **options: Any) -> Any:
    session = MattingSession(network, policy, warm_up_passes=1, **options)
    alphas = [session.seed(shot[0], disc(*shot[0].shape[-2:]))]
    reports = [session.report]
    for plate in shot[1:]:
        alphas.append(session.advance(plate))
        reports.append(session.report)
    return alphas, reports, session


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("options", [{}, {"working_size": 32}, {"region": "follow"}])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_shot_is_as_if_its_repeats_were_not_there(
    network: Any, policy: MemoryPolicy, options: dict[str, Any], backwards: bool
) -> None:
    shot = plates(len(HOLDS))[:: -1 if backwards else 1]
    distinct, _, plain = run(network, shot, policy, **options)
    alphas, reports, session = run(network, held(shot), policy, **options)
    expected = [alpha for alpha, times in zip(distinct, HOLDS, strict=True) for _ in range(times)]
    assert all(torch.equal(a, b) for a, b in zip(alphas, expected, strict=True))
    assert [report.held for report in reports] == [n > 0 for times in HOLDS for n in range(times)]
    assert session.state.held == sum(HOLDS) - len(HOLDS)
    assert session.cursor == plain.cursor
    assert len(session.snapshot()) - len(plain.snapshot()) < 16  # a digit of the counter
    for name, tensor in session.state.carried._asdict().items():
        assert torch.equal(tensor, getattr(plain.state.carried, name))
    assert torch.equal(session.state.bank.tokens.value, plain.state.bank.tokens.value)


def test_the_same_on_mini() -> None:
    mini = load_network("mini", "cpu")
    shot = plates(len(HOLDS), 96, 128)
    distinct = run(mini, shot)[0]
    alphas = run(mini, held(shot))[0]
    expected = [alpha for alpha, times in zip(distinct, HOLDS, strict=True) for _ in range(times)]
    assert all(torch.equal(a, b) for a, b in zip(alphas, expected, strict=True))


@pytest.mark.parametrize("options", [{}, {"working_size": 32}, {"hold_tolerance": 0.01, "working_size": 32}])
def test_a_hold_goes_on_after_a_snapshot(network: Any, options: dict[str, Any]) -> None:
    shot = plates(3)
    alphas, _, session = run(network, shot, **options)
    restored = MattingSession.restore(network, session.snapshot())
    assert torch.equal(restored.advance(shot[2]), alphas[2])
    assert restored.report.held
    assert restored.state.held == 1


def test_one_bit_makes_another_plate_unless_it_is_tolerated(network: Any) -> None:
    shot = plates(2)
    near = shot[1].clone()
    near[0, 5, 5] += 1e-6
    for tolerance, expected in ((0.0, False), (0.001, True), (None, False)):
        assert run(network, [*shot, near], hold_tolerance=tolerance)[1][-1].held is expected
    assert not run(network, [*shot, shot[1]], hold_tolerance=None)[1][-1].held


def test_a_held_alpha_belongs_to_the_caller(network: Any) -> None:
    shot = plates(2)
    alphas, _, session = run(network, [*shot, shot[1]])
    alphas[-1].mul_(0)
    assert torch.equal(session.advance(shot[1]), alphas[1])


def test_a_mask_on_a_repeat_is_not_ignored(network: Any) -> None:
    shot = plates(2)
    session = run(network, shot)[2]
    before = session.cursor
    session.seed(shot[1], disc(radius=8))
    assert session.cursor != before


def test_grain_is_tolerated_and_a_moving_edge_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    still = plates(1, 96, 128)[0] * 0.8 + 0.1
    grainy = still + 0.02 * torch.randn(still.shape, generator=generator)
    finger = still.clone()
    finger[:, 40:46, 60:63] = 0.95
    prints = [fingerprint_of(plate, 0.02) for plate in (still, grainy, finger)]
    assert is_repeat(prints[1], prints[0], 0.02)
    assert not is_repeat(prints[2], prints[0], 0.02)


def test_a_held_frame_is_compared_with_the_last_computed_one(network: Any) -> None:
    still = plates(1)[0] * 0.5
    ramp = [still + 0.004 * step for step in range(9)]
    reports = run(network, ramp, hold_tolerance=0.01)[1]
    assert [report.held for report in reports] == [False, True, True] * 3


@pytest.mark.parametrize("tolerance", [-0.1, 0.2, float("nan")])
def test_impossible_tolerances_are_refused(network: Any, tolerance: float) -> None:
    with pytest.raises(SettingError, match="tolerance"):
        MattingSession(network, hold_tolerance=tolerance)


def test_a_frame_with_a_constraint_mask_is_computed(network: Any) -> None:
    shot = plates(2)
    session = run(network, shot)[2]
    inside = torch.zeros(48, 64)
    inside[:8] = 1
    assert (session.advance(shot[1], constraints=Constraints(inside=inside))[:8] == 1).all()
    assert not session.report.held
    session.advance(shot[1])
    assert not session.report.held
