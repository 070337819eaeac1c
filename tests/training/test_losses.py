# SPDX-License-Identifier: Apache-2.0
"""Loss terms: hand cases, zero where right, and gradients that point the right way."""

from __future__ import annotations

import pytest
import torch

from matanyone_engine.training import losses


def disc(shift: int = 0, size: int = 64) -> torch.Tensor:
    """(1, 1, size, size)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((y - 32) ** 2 + (x - 32 - shift) ** 2) < 18**2).float()[None, None]


def test_laplacian_is_zero_for_equal_and_counts_every_scale() -> None:
    truth = disc()
    assert losses.laplacian(truth, truth) == 0
    # A constant offset lives below the coarsest level that is compared.
    assert losses.laplacian(truth + 0.25, truth) == pytest.approx(0, abs=1e-5)
    assert losses.laplacian(disc(6), truth) > losses.laplacian(disc(1), truth) > 0


def test_laplacian_of_a_checkerboard_by_hand() -> None:
    """At the finest scale a checkerboard is all band: its blur with (1 4 6 4 1) is flat, so L1 is its amplitude."""
    board = ((torch.arange(64)[:, None] + torch.arange(64)[None]) % 2).float()[None, None] - 0.5
    assert losses.laplacian(board, torch.zeros_like(board)) == pytest.approx(0.5 / 5, rel=0.05)


def test_coherence_compares_changes_only() -> None:
    still = torch.stack([disc()[0], disc()[0]], dim=0).unsqueeze(0)
    assert losses.coherence(still * 0.5, still) == 0
    moving = torch.stack([disc()[0], torch.zeros_like(disc()[0])], dim=0).unsqueeze(0)
    assert losses.coherence(moving, still) == pytest.approx(float(disc().mean()))


def test_edge_counts_only_near_the_outline() -> None:
    truth = disc() * 0.999
    truth[..., 32, 50] = 0.5  # a soft pixel on the outline
    wrong = truth.clone()
    wrong[..., 2, 2] = 1  # far away
    assert losses.edge_l1(wrong, truth) == 0
    wrong[..., 32, 51] += 0.5
    assert losses.edge_l1(wrong, truth) > 0


def test_dice_by_hand() -> None:
    answer, truth = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert losses.dice(answer, truth) == pytest.approx(1 - (2 * 1 + 1) / (2 + 1 + 1))


def test_points_are_mostly_where_the_answer_is_unsure() -> None:
    logits = torch.full((1, 1, 64, 64), 9.0)
    logits[..., :16] = 0.0  # a quarter of the picture is unsure
    points = losses.sample_points(logits, 400, [torch.Generator().manual_seed(1)])
    unsure = (losses.values_at(logits, points) < 1).float().mean()
    assert points.shape == (1, 400, 2)
    assert points.abs().max() <= 1
    assert unsure > 0.6


def test_points_of_a_row_do_not_depend_on_its_neighbours() -> None:
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    both = losses.sample_points(logits, 50, [torch.Generator().manual_seed(k) for k in (3, 4)])
    alone = losses.sample_points(logits[1:], 50, [torch.Generator().manual_seed(4)])
    assert torch.equal(both[1:], alone)


def test_known_region_leaves_a_band_around_the_outline_and_the_border() -> None:
    label = disc().unsqueeze(0)
    known = losses.known_region(label)[0, 0, 0]
    assert known[32, 32] == 1  # inside
    assert known[8, 8] == 1  # outside
    assert known[32, 50] == 0  # on the outline
    assert known[0, 30] == 0  # at the border
    assert known[32, 50 + 12] == 0


def test_the_unknown_band_grows_with_the_pixels_of_the_whole_clip() -> None:
    label = disc(size=128)[0].expand(16, -1, -1, -1)
    widths = [
        int((losses.known_region(clip.unsqueeze(0))[0, 0, 0, 32, 32:60] == 0).sum()) for clip in (label[:1], label)
    ]
    assert widths == [8, 13]  # windows of 9 (the least) and of 13: 0.1 sqrt(16 x 1009), made odd


def test_the_core_loss_ignores_the_unknown_band() -> None:
    label = disc().unsqueeze(0)
    known = losses.known_region(label)
    fuzzy = torch.where(known > 0, label, torch.full_like(label, 0.5))
    assert losses.core(fuzzy, label, known) == 0
    assert losses.core(1 - label, label, known) == 1


def test_boundary_prefers_alpha_that_follows_the_picture() -> None:
    """Pixels of one colour want one alpha: an outline beside the colour's costs, more the farther it is off."""
    plate = disc().expand(1, 3, -1, -1) * 0.6 + 0.2
    assert losses.boundary(disc(), plate) == pytest.approx(0, abs=1e-6)
    assert losses.boundary(disc(4), plate) > losses.boundary(disc(1), plate) > 0


def test_boundary_averages_the_whole_batch() -> None:
    plate = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    alphas = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    singles = [losses.boundary(alphas[k : k + 1], plate[k : k + 1]) for k in range(2)]
    assert losses.boundary(alphas, plate) == pytest.approx(float(sum(singles)) / 2)


def test_change_loss_marks_what_moved() -> None:
    before, now = disc(), disc(8)
    moved = torch.nn.functional.adaptive_avg_pool2d((now - before).abs(), (4, 4)) > 0
    right, wrong = torch.where(moved, 9.0, -9.0), torch.where(moved, -9.0, 9.0)
    assert losses.change_loss(right, now, before, 0.0) < 0.01
    assert losses.change_loss(wrong, now, before, 0.0) > 5


@pytest.mark.parametrize("term", [losses.alpha_l1, losses.laplacian, losses.edge_l1, losses.log_odds_loss])
def test_terms_pull_towards_the_truth(term) -> None:
    truth = disc() * 0.96 + 0.02
    answer = torch.full_like(truth, 0.5, requires_grad=True)
    term(answer, truth).backward()
    inside = truth > 0.5
    assert answer.grad is not None
    assert answer.grad[inside].mean() < 0 < answer.grad[~inside].mean()


def test_overshoot_scales_only_errors_beyond_a_truth_of_0_or_1() -> None:
    truth = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.5, 0.5])
    alpha = torch.tensor([1.5, 0.5, -0.5, 0.5, 1.5, -0.5])
    forgiven = losses.forgiven(alpha, truth, 0.1)
    torch.testing.assert_close(forgiven, torch.tensor([1.05, 0.5, -0.05, 0.5, 1.5, -0.5]))
    assert losses.forgiven(alpha, truth, 1.0) is alpha


def test_a_hole_below_zero_inside_the_subject_counts_in_full() -> None:
    hole = torch.tensor([-2.0], requires_grad=True)
    losses.alpha_l1(losses.forgiven(hole, torch.tensor([1.0]), 0.1), torch.tensor([1.0])).backward()
    assert hole.grad is not None
    assert hole.grad.item() == -1
