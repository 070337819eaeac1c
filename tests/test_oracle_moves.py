# SPDX-License-Identifier: Apache-2.0
"""Tests the oracle's two moves that sessions do not have, without the recorded cases."""

from __future__ import annotations

import oracle
import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import MemoryPolicy

SHOT = plates(5)
MASKS = disc()[None].numpy() * 255


@pytest.fixture
def replay() -> oracle.Replay:
    started = oracle.Replay(toy_network(), MemoryPolicy(memory_every=2))
    started.operate({"op": "mask", "mask": 0}, SHOT[0], MASKS)
    started.operate({"op": "first"}, SHOT[0], MASKS)
    started.operate({"op": "step"}, SHOT[1], MASKS)
    return started


def test_a_last_frame_is_predicted_and_not_remembered(replay: oracle.Replay) -> None:
    before = replay.session.state
    ended = replay.operate({"op": "step", "end": True}, SHOT[2], MASKS)
    assert replay.session.cursor.memorised == 0
    assert replay.session.cursor.frame == 2
    replay.session.rewind(before)
    assert torch.equal(replay.operate({"op": "step"}, SHOT[2], MASKS), ended)
    assert replay.session.cursor.memorised == 2


@pytest.mark.parametrize(("end", "memorised"), [(False, 2), (True, 0)])
def test_a_mask_is_the_alpha_without_a_prediction(replay: oracle.Replay, end: bool, memorised: int) -> None:
    alpha = replay.operate({"op": "mask", "mask": 0, "end": end}, SHOT[2], MASKS)
    assert torch.equal(alpha, disc())
    assert (replay.session.cursor.frame, replay.session.cursor.memorised) == (2, memorised)
