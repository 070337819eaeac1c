# SPDX-License-Identifier: Apache-2.0
"""Plates of a few pixels, as crops hand them out: the matte is right, or its confidence says that it is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from matanyone_engine.matting.inference import inference
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.registry import load_network


def tiny(k: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Frame k of a disc that drifts over a ramp: (3, H, W) as a display shows it, and its true alpha (H, W)."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    distance = torch.hypot(x - width * 0.4 - 3 * k, y - height * 0.5)
    alpha = ((height * 0.28 - distance) / 3 + 0.5).clamp(0, 1)
    ground = torch.stack([0.1 + 0.3 * x / width, 0.15 + 0.2 * y / height, 0.35 - 0.2 * x / width])
    disc = torch.tensor([0.9, 0.5, 0.1])[:, None, None] * (0.8 + 0.2 * torch.sin(x / 3) * torch.cos(y / 4))
    return (ground * (1 - alpha) + disc * alpha) ** (1 / 2.2), alpha


@pytest.mark.parametrize(("width", "height"), [(16, 16), (17, 16), (24, 20)])
def test_a_subject_that_moves_across_a_tiny_plate_is_followed(width: int, height: int) -> None:
    session = MattingSession(load_network("mini", "cpu"), warm_up_passes=1)
    with inference():
        answers = [session.seed(*tiny(0, width, height))]
        answers += [session.advance(tiny(k, width, height)[0]) for k in (1, 2)]
    for k, alpha in enumerate(answers):
        assert float((alpha - tiny(k, width, height)[1]).abs().mean()) < 0.06
