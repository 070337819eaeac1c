# SPDX-License-Identifier: Apache-2.0
"""The network answers what it answered when the oracle last passed; needs nothing outside this repository."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden.shot import GOLDEN_SHOT, GOLDEN_WEIGHTS, POLICIES, alphas_of

from matanyone_engine.model import build_network, read_checkpoint


@pytest.fixture(scope="module")
def answers() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Recorded and computed alphas."""
    with np.load(GOLDEN_SHOT) as recorded:
        network = build_network(read_checkpoint(GOLDEN_WEIGHTS))
        shot, mask = torch.from_numpy(recorded["plates"]), torch.from_numpy(recorded["mask"])
        return {name: recorded[name] for name in POLICIES}, alphas_of(network, shot, mask)


@pytest.mark.parametrize("policy", POLICIES)
def test_alphas_are_the_recorded_ones(answers: tuple[dict[str, np.ndarray], ...], policy: str) -> None:
    recorded, computed = (a[policy] for a in answers)
    difference = np.abs(computed - recorded)
    assert difference.max() < 1e-4
    assert difference.mean() < 1e-6


def test_the_recorded_alphas_vary(answers: tuple[dict[str, np.ndarray], ...]) -> None:
    recorded = answers[0]
    assert recorded["rolling"].std() > 0.05
    assert np.abs(recorded["rolling"] - recorded["long_term"]).max() > 1e-3
