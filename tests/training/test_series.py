# SPDX-License-Identifier: Apache-2.0
"""The second series of drawn clips: deterministic, alive, solid where it shall be solid, whole files or none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from matanyone_engine.training import data, series
from matanyone_engine.training.drawing import Paper, Wardrobe, ellipse
from matanyone_engine.training.synthetic import Layer, as_bytes

SIZE = (192, 224)


def drawn(kind: str, seed: int, time: float = 0.0, fine: int = 2, size: tuple[int, int] = SIZE) -> Layer:
    rng = np.random.default_rng(seed)
    paper = Paper(size, fine)
    series.KINDS[kind](rng, Wardrobe(rng, []), size)(paper, time)
    return paper.layer()


@pytest.mark.parametrize("kind", sorted(series.KINDS))
def test_every_kind_draws_something_that_moves(kind: str) -> None:
    first, later = drawn(kind, 3), drawn(kind, 3, 5.0)
    assert 0.002 < first.alpha.mean() < 0.98
    assert first.alpha.min() >= 0
    assert first.alpha.max() <= 1
    assert (first.rgb <= first.alpha[..., None] + 0.02).all()  # premultiplied; strands are drawn in 8 bits
    assert np.abs(first.alpha - later.alpha).mean() > 1e-4


@pytest.mark.parametrize("kind", sorted(set(series.KINDS) - {"veil"}))
def test_textured_objects_are_solid(kind: str) -> None:
    """Far from its edge nothing is half there: prints, knits, nets over cloth and fur change colours only."""
    shares = []
    for seed in range(6):
        alpha = drawn(kind, seed).alpha
        inside = cv2.erode((alpha > 0.5).astype(np.uint8), np.ones((9, 9)), borderValue=0) > 0
        if inside.sum() > 50:
            shares.append(np.mean(alpha[inside] > 0.98))
    assert np.mean(shares) > 0.98


def test_a_veil_is_plainly_see_through() -> None:
    shares = []
    for seed in range(6):
        alpha = drawn("veil", seed).alpha
        seen = alpha[alpha > 0.03]
        shares.append(np.mean((seen > 0.04) & (seen < 0.92)) if len(seen) > 200 else 1.0)
    assert np.mean(shares) > 0.75
    assert series.KIND_SHARES["veil"] <= 0.03


def test_a_clip_is_a_function_of_its_number() -> None:
    one, same, other = (next(series.draw_clip(number, 1)) for number in (5, 5, 6))
    assert np.array_equal(one.rgb, same.rgb)
    assert np.array_equal(one.alpha, same.alpha)
    assert one.alpha.shape != other.alpha.shape or not np.array_equal(one.alpha, other.alpha)


def test_plans_differ_and_some_clips_are_long() -> None:
    plans = [series.ClipPlan.of(number) for number in range(300)]
    assert {plan.kind for plan in plans} == set(series.KINDS)
    assert {plan.size for plan in plans} == set(series.SIZES)
    assert 0.2 < np.mean([plan.length == max(series.LENGTHS) for plan in plans]) < 0.4
    assert 0.1 < np.mean([plan.dark for plan in plans]) < 0.35


def test_dark_wardrobes_are_dark() -> None:
    for seed in range(5):
        assert Wardrobe(np.random.default_rng(seed), [], dark=True).fabric().mean() < 0.3


def test_details_inside_leave_the_alpha() -> None:
    paper = Paper((60, 80), 2)
    paper.paint(paper.polygon(ellipse(np.array([40.0, 30.0]), 20, 20)), np.full(3, 0.5, np.float32))
    before = paper.layer()
    paper.inside(paper.polygon(ellipse(np.array([50.0, 30.0]), 20, 9)), np.full(3, 1.0, np.float32))
    after = paper.layer()
    assert np.array_equal(before.alpha, after.alpha)
    assert not np.array_equal(before.rgb, after.rgb)
    assert (after.rgb <= after.alpha[..., None] + 1e-5).all()


def test_strands_thinner_than_a_pixel_cover_less_than_one() -> None:
    paper = Paper((40, 60), 2)
    path = np.linspace((5.0, 5.3), (50.0, 31.0), 8)[None]
    paper.strands(path, 0.5, np.full((1, 3), 0.8, np.float32))
    layer = paper.layer()
    assert 0.3 < layer.alpha.max() < 0.95
    covered = layer.alpha > 0.05
    assert np.abs(layer.rgb[covered] / layer.alpha[covered][:, None] - 0.8).max() < 0.06


def test_an_open_shutter_is_the_mean_of_its_instants() -> None:
    """A square that crosses the picture leaves a streak whose area is its own."""

    def draw(paper: Paper, time: float) -> None:
        corner = np.array([[10, 20], [30, 20], [30, 40], [10, 40]], float)
        corner[:, 0] += 40 * time
        paper.paint(paper.polygon(corner), np.ones(3, np.float32))

    layer = series.exposed(draw, (60, 100), 0.0, 1.0)
    assert layer.alpha.sum() == pytest.approx(20 * 20, rel=0.2)
    assert 0.2 < layer.alpha[30, 40] < 0.8


def test_clips_appear_whole_and_are_read_back_as_drawn(tmp_path: Path) -> None:
    root = tmp_path / "mat_vid/Drawn2"
    series.write_clip(root, 3, 2)
    assert series.is_written(root, 3, 2)
    assert not series.is_written(root, 3, 3)
    assert not list((root / "partial").iterdir())
    alpha = cv2.imread(str(root / "pha/000003/0001.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(alpha, as_bytes(list(series.draw_clip(3, 2))[1].alpha))
    (root / "partial/000004/fgr").mkdir(parents=True)  # a clip that is being drawn
    assert len(data.MattingVideos(tmp_path).sets[0]) == 1
    series.write_clip(root, 3, 3)  # longer, in the place of the shorter one
    assert series.is_written(root, 3, 3)
