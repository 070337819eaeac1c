# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import LongTermPolicy, MattingSession, MemoryPolicy
from matanyone_engine.errors import (
    BadResult,
    EngineError,
    IllegalMove,
    MaskError,
    PlateError,
    SettingError,
    SnapshotError,
)

LONG_TERM = MemoryPolicy(memory_every=2, long_term=LongTermPolicy(3, 2, prototypes=4, max_tokens=20, buffer_tokens=4))
POLICIES = [MemoryPolicy(memory_every=3, bank_frames=3), LONG_TERM, MemoryPolicy(top_k=None)]


@pytest.fixture(scope="module")
def network() -> Any:
    return toy_network()


def run(
    network: Any, shot: list[torch.Tensor], policy: MemoryPolicy | None = None, **options: Any
) -> list[torch.Tensor]:
    session = MattingSession(network, policy, warm_up_passes=2, **options)
    mask = disc(*shot[0].shape[-2:])
    return [session.seed(shot[0], mask), *(session.advance(plate) for plate in shot[1:])]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_toy_alphas_vary_within_0_to_1(network: Any) -> None:
    alphas = torch.stack(run(network, plates(12)))
    assert alphas.dtype == torch.float32
    assert float(alphas.min()) >= 0
    assert float(alphas.max()) <= 1
    assert float(alphas.std()) > 0.05
    assert float((alphas[-1] - alphas[-2]).abs().mean()) > 1e-4


@pytest.mark.parametrize("policy", POLICIES)
def test_two_interleaved_sessions_equal_each_alone(network: Any, policy: MemoryPolicy) -> None:
    shots = [plates(9, seed=1), plates(9, seed=2)]
    alone = [run(network, shot, policy) for shot in shots]
    sessions = [MattingSession(network, policy, warm_up_passes=2) for _ in shots]
    together = [[session.seed(shot[0], disc())] for session, shot in zip(sessions, shots, strict=True)]
    for t in range(1, 9):
        for session, shot, alphas in zip(sessions, shots, together, strict=True):
            alphas.append(session.advance(shot[t]))
    assert same(together[0], alone[0])
    assert same(together[1], alone[1])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cut", [1, 5, 8])
def test_restoring_a_snapshot_equals_going_on_bit_for_bit(network: Any, policy: MemoryPolicy, cut: int) -> None:
    shot = plates(14)
    whole = run(network, shot, policy)
    session = MattingSession(network, policy, warm_up_passes=2)
    session.seed(shot[0], disc())
    for plate in shot[1:cut]:
        session.advance(plate)
    restored = MattingSession.restore(network, session.snapshot())
    assert same([restored.advance(plate) for plate in shot[cut:]], whole[cut:])


@pytest.mark.parametrize("size", [(1, 1), (9, 12), (16, 16), (16, 17), (200, 3)])
def test_a_session_of_one_cell_can_be_saved_and_goes_on(network: Any, size: tuple[int, int]) -> None:
    """Of one cell, a transposed tensor shares its memory with another one, which safetensors refuses to save."""
    session = MattingSession(network, warm_up_passes=2)
    shot = [torch.rand(3, *size, generator=torch.Generator().manual_seed(number)) for number in range(4)]
    session.seed(shot[0], torch.ones(size))
    session.advance(shot[1])
    restored = MattingSession.restore(network, session.snapshot())
    for plate in shot[2:]:
        assert torch.equal(restored.advance(plate), session.advance(plate))
        restored = MattingSession.restore(network, restored.snapshot())


def test_a_snapshot_of_an_empty_session_is_an_empty_session(network: Any) -> None:
    restored = MattingSession.restore(network, MattingSession(network, warm_up_passes=2).snapshot())
    assert torch.equal(restored.seed(plates(1)[0], disc()), run(network, plates(1))[0])


def test_warming_up_by_hand_equals_seeding_with_as_many_passes(network: Any) -> None:
    session = MattingSession(network, warm_up_passes=0)
    alphas = [session.seed(plates(1)[0], disc())]
    alphas += [session.warm_up(plates(1)[0]) for _ in range(2)]
    assert torch.equal(alphas[-1], run(network, plates(1))[0])
    assert not torch.equal(alphas[0], alphas[-1])


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:200], lambda b: b"x" + b[1:], lambda b: b""])
def test_damaged_snapshots_are_refused(network: Any, damage: Callable[[bytes], bytes]) -> None:
    session = MattingSession(network, warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    with pytest.raises(SnapshotError):
        MattingSession.restore(network, damage(session.snapshot()))


def test_a_flipped_bit_anywhere_is_noticed(network: Any) -> None:
    session = MattingSession(network, warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    blob = bytearray(session.snapshot())
    blob[len(blob) // 2] ^= 1
    with pytest.raises(SnapshotError, match="digest"):
        MattingSession.restore(network, bytes(blob))


def test_a_snapshot_of_other_weights_is_refused(network: Any) -> None:
    with pytest.raises(SnapshotError, match="another network"):
        MattingSession.restore(toy_network(seed=7), MattingSession(network).snapshot())


def test_numpy_and_tensors_give_the_same_alpha(network: Any) -> None:
    shot = plates(3)
    session = MattingSession(network, warm_up_passes=2)
    mask = disc().numpy().astype(np.float64)
    mask.flags.writeable = False
    alphas = [session.seed(shot[0].numpy(), mask), *(session.advance(plate.numpy()) for plate in shot[1:])]
    assert same(alphas, run(network, shot))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (49, 63), (17, 33), (5, 7)])
def test_any_size_comes_back_at_its_size(network: Any, height: int, width: int) -> None:
    alphas = run(network, plates(3, height, width))
    assert all(alpha.shape == (height, width) for alpha in alphas)


def test_a_working_size_is_computed_smaller_and_comes_back_full(network: Any) -> None:
    shot = plates(4, 96, 128)
    small = run(network, shot, working_size=48)
    assert small[-1].shape == (96, 128)
    assert not torch.equal(small[-1], run(network, shot)[-1])
    assert same(run(network, shot, working_size=96), run(network, shot))


def test_moves_before_a_mask_are_illegal(network: Any) -> None:
    session = MattingSession(network)
    for move in (session.advance, session.warm_up):
        with pytest.raises(IllegalMove, match="Call seed"):
            move(plates(1)[0])


NAN_PLATE = plates(1)[0].clone()
NAN_PLATE[1, 3, 4] = float("nan")


@pytest.mark.parametrize(
    ("plate", "mask", "error", "words"),
    [
        (NAN_PLATE, disc(), PlateError, "1 values that are NaN"),
        (plates(1)[0] * 255, disc(), PlateError, "in 0..1"),
        (plates(1)[0][:2], disc(), PlateError, r"shape \(3, height, width\) or \(height, width, 3\)"),
        (plates(1)[0], disc(48, 65), MaskError, "64x48"),
        (plates(1)[0], disc() * 0, MaskError, "empty"),
        (plates(1)[0], disc() * 255, MaskError, "Divide 8-bit"),
        (plates(1)[0], disc() * float("nan"), MaskError, "NaN"),
    ],
)
def test_bad_input_is_named_and_leaves_the_session_empty(
    network: Any, plate: torch.Tensor, mask: torch.Tensor, error: type[EngineError], words: str
) -> None:
    session = MattingSession(network, warm_up_passes=0)
    with pytest.raises(error, match=words):
        session.seed(plate, mask)
    assert torch.equal(
        session.seed(plates(1)[0], disc()), MattingSession(network, warm_up_passes=0).seed(plates(1)[0], disc())
    )


def test_a_plate_may_have_its_colours_first_or_last(network: Any) -> None:
    shot = plates(3)
    session = MattingSession(network, warm_up_passes=2)
    images = [plate.permute(1, 2, 0).numpy() for plate in shot]
    alphas = [session.seed(images[0], disc()), *(session.advance(image) for image in images[1:])]
    assert same(alphas, run(network, shot))


def test_a_size_change_in_mid_shot_is_refused_and_costs_nothing(network: Any) -> None:
    shot = plates(6)
    session = MattingSession(network, warm_up_passes=2)
    session.seed(shot[0], disc())
    session.advance(shot[1])
    with pytest.raises(PlateError, match=r"64x48.*got a plate of 80x48"):
        session.advance(plates(1, 48, 80)[0])
    assert same([session.advance(plate) for plate in shot[2:]], run(network, shot)[2:])


def test_an_answer_that_is_not_a_number_never_leaves() -> None:
    network = toy_network()
    session = MattingSession(network, warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    cursor = session.cursor
    network.mask_decoder.pred_mat.bias.fill_(float("nan"))
    with pytest.raises(BadResult, match="doctor"):
        session.advance(plates(2)[1])
    assert session.cursor == cursor


@pytest.mark.parametrize("options", [{"warm_up_passes": -1}, {"working_size": 4}])
def test_impossible_options_are_refused(network: Any, options: dict[str, int]) -> None:
    with pytest.raises(SettingError, match=next(iter(options))):
        MattingSession(network, **options)


def test_a_network_in_training_mode_is_set_to_evaluation() -> None:
    ready, training = toy_network(), toy_network().train()
    before = training.pixel_encoder.bn1.running_mean.clone()
    assert same(run(training, plates(3)), run(ready, plates(3)))
    assert torch.equal(training.pixel_encoder.bn1.running_mean, before)


def test_an_alpha_belongs_to_the_caller(network: Any) -> None:
    session = MattingSession(network, warm_up_passes=0)
    session.seed(plates(1)[0], disc()).mul_(0)
    assert same([session.advance(plates(1)[0])], run_from(network))


def run_from(network: Any) -> list[torch.Tensor]:
    session = MattingSession(network, warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    return [session.advance(plates(1)[0])]


def test_warm_up_passes_change_the_answer(network: Any) -> None:
    few, many = (MattingSession(network, warm_up_passes=n).seed(plates(1)[0], disc()) for n in (0, 4))
    assert not torch.equal(few, many)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(network: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = run(toy_network().cuda(), plates(8))
    for ours, theirs in zip(on_gpu, run(network, plates(8)), strict=True):
        assert float((ours.cpu() - theirs).abs().max()) < 1e-2
