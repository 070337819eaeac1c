# SPDX-License-Identifier: Apache-2.0
"""The unrolled network and its passes at toy dimensions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.training import passes
from matanyone_engine.training.passes import Batch
from matanyone_engine.training.recipe import (
    LITE_STAGES,
    MATANYONE_STAGES,
    MINI_STAGES,
    STAGES,
    MattingData,
    TrainingStage,
)

STAGE = replace(MATANYONE_STAGES[1], crop=(64, 64), points=32)


def batch(frames: int = 4, size: int = 64) -> Batch:
    clip = torch.stack(plates(frames, size, size)).unsqueeze(0)
    alphas = torch.stack([disc(size, size, 14 + t)[None] for t in range(frames)]).unsqueeze(0)
    return Batch(clip, alphas, alphas[:, 0], (0,))


def toy(*, trains: bool = True) -> passes.MatAnyone:
    return toy_network().requires_grad_(requires_grad=trains)


@pytest.mark.parametrize("name", ["matting_pass", "segmentation_pass", "core_pass"])
def test_every_pass_gives_finite_terms_and_gradients(name: str) -> None:
    network = toy()
    terms, answers = getattr(passes, name)(network, batch(), STAGE, 0, np.random.default_rng(0))
    assert len(answers) == 4
    assert all(torch.isfinite(term) for term in terms.values()), terms
    torch.stack(list(terms.values())).sum().backward()
    reached = {
        key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert {
        "pixel_encoder",
        "mask_encoder",
        "key_proj",
        "object_transformer",
        "temp_sparity",
        "aux_computer",
    } <= reached


def test_heads_take_turns() -> None:
    for name, trained, idle in (
        ("matting_pass", "pred_mat", "pred_seg"),
        ("segmentation_pass", "pred_seg", "pred_mat"),
    ):
        network = toy()
        terms, _ = getattr(passes, name)(network, batch(), STAGE, 0, np.random.default_rng(0))
        torch.stack(list(terms.values())).sum().backward()
        heads = network.mask_decoder
        assert getattr(heads, trained).weight.grad.abs().sum() > 0
        # The matting head still feeds memory during the segmentation pass; the segmentation head feeds nothing.
        if idle == "pred_seg":
            assert heads.pred_seg.weight.grad is None


def test_unrolled_frames_are_what_a_session_computes() -> None:
    """Training sees the network that inference runs: same stages, same memory, no top-k where all tokens are kept."""
    network = toy_network()
    given = batch(3)
    stage = replace(STAGE, warm_ups=(1, 1), references=9, deep_update=1.0)
    with torch.no_grad():
        answers = passes.unroll(network, given, stage, passes.clamp_of(stage, 0), np.random.default_rng(0))
    # A session predicts its first frame once, and warm_up_passes times more.
    session = MattingSession(network, MemoryPolicy(memory_every=1, bank_frames=9, top_k=None), warm_up_passes=0)
    alphas = [session.seed(given.plates[0, 0], given.guide[0, 0])]
    alphas += [session.advance(plate) for plate in given.plates[0, 1:]]
    for answer, alpha in zip(answers, alphas, strict=True):
        assert torch.allclose(answer.alpha.remembered[0, 0], alpha, atol=2e-5)


def test_the_change_head_does_not_learn_from_stills() -> None:
    stills = replace(STAGE, matting=MattingData.STILLS)
    terms, _ = passes.matting_pass(toy(), batch(), stills, 0, np.random.default_rng(0))
    assert "change" not in terms
    for name in ("segmentation_pass", "core_pass"):
        even, odd = (getattr(passes, name)(toy(), batch(), STAGE, k, np.random.default_rng(0))[0] for k in (0, 1))
        assert set(even) - set(odd) == {name.replace("_pass", "_change")}


def test_alphas_are_clamped_as_the_stage_says() -> None:
    raw = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    late = replace(STAGE, clamp_from=100)
    assert torch.equal(passes.clamp_of(late, 99)(raw).compared, raw)
    assert passes.clamp_of(late, 100)(raw).compared.tolist() == [0, 0.5, 1]
    soft = passes.clamp_of(replace(STAGE, clamp_from=None), 0)(raw)
    assert soft.remembered.tolist() == [0, 0.5, 1]
    assert torch.equal(soft.compared, raw)  # a hole below zero is still pulled up


def test_stages_of_matanyone_are_the_published_ones() -> None:
    assert [(s.iterations, s.batch, s.crop, s.frames, s.rate) for s in MATANYONE_STAGES] == [
        (80_000, 16, (384, 384), (3, 3), 1e-4),
        (40_000, 16, (480, 480), (8, 8), 1e-4),
        (20_000, 16, (480, 480), (8, 8), 1e-5),
    ]
    assert [s.points for s in MATANYONE_STAGES] == [8192, 12544, 12544]
    assert MATANYONE_STAGES[0].clamp_from == 100
    assert MATANYONE_STAGES[2].matting is MattingData.STILLS
    assert len(STAGES) == len(MATANYONE_STAGES) + len(MINI_STAGES) + len(LITE_STAGES) == 15


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_crops_are_multiples_of_16_and_ranges_ascend(stage: TrainingStage) -> None:
    assert all(side % 16 == 0 for side in stage.crop)
    assert 2 <= stage.frames[0] <= stage.frames[1]
    assert 1 <= stage.warm_ups[0] <= stage.warm_ups[1]
