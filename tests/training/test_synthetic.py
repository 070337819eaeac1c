# SPDX-License-Identifier: Apache-2.0
"""Drawn clips and composed shots: deterministic, premultiplied, alive."""

from __future__ import annotations

from pathlib import Path

import cv2
import layouts as tiny
import numpy as np
import pytest

from matanyone_engine.training import augment, synthetic
from matanyone_engine.training.augment import Chances, Cutout

NEVER = Chances(**dict.fromkeys(Chances.__dataclass_fields__, 0.0))


@pytest.mark.parametrize("kind", sorted(synthetic.KINDS))
def test_every_kind_draws_something_that_moves(kind: str) -> None:
    rng = np.random.default_rng(3)
    draw = synthetic.KINDS[kind](rng, synthetic.Cloth(rng, []))
    first, later = draw(0.0), draw(4.0)
    assert 0.002 < first.alpha.mean() < 0.9
    assert first.alpha.min() >= 0
    assert first.alpha.max() <= 1 + 1e-6
    assert (first.rgb <= first.alpha[..., None] + 1e-5).all()  # premultiplied
    assert np.abs(first.alpha - later.alpha).mean() > 1e-4


def test_a_clip_is_a_function_of_its_number() -> None:
    one, same, other = (list(synthetic.draw_clip(number, 2)) for number in (5, 5, 6))
    assert all(
        np.array_equal(a.rgb, b.rgb) and np.array_equal(a.alpha, b.alpha) for a, b in zip(one, same, strict=True)
    )
    assert not np.array_equal(one[0].alpha, other[0].alpha)


def test_strands_are_thinner_than_a_pixel() -> None:
    patch = synthetic.strokes([np.array([[10.0, 10.0], [60.0, 31.0]])], 1)
    assert 0.3 < patch.coverage.max() < 0.95


def test_shapes_off_the_canvas_draw_nothing_and_do_not_fail() -> None:
    canvas = synthetic.Canvas()
    canvas.paint(synthetic.polygon(np.array([[-50.0, -50], [-20, -50], [-20, -20]])), np.ones(3, np.float32))
    canvas.paint(synthetic.strokes([np.array([[9000.0, 9000], [9100, 9100]])]), np.ones(3, np.float32))
    assert not canvas.alpha.any()


def test_written_clips_are_read_back_as_drawn(drawn: Path) -> None:
    layers = list(synthetic.draw_clip(1, 3))
    alpha = cv2.imread(str(drawn / "mat_vid/Drawn/pha/000001/0002.png"), cv2.IMREAD_GRAYSCALE)
    assert np.abs(alpha / 255 - layers[2].alpha).max() <= 0.5 / 255 + 1e-6
    assert synthetic.is_written(drawn / "mat_vid/Drawn", 1, 3)
    assert not synthetic.is_written(drawn / "mat_vid/Drawn", 2, 3)


def test_soft_edges_carry_the_subjects_colour_outwards() -> None:
    layer = next(iter(synthetic.draw_clip(1, 1)))
    straight = synthetic.unpremultiplied(layer)
    edge = (layer.alpha > 0.01) & (layer.alpha < 0.2)
    solid = layer.alpha > 0.95
    assert edge.any()
    assert straight[edge].mean() > 0.5 * straight[solid].mean()


def cutout(frames: int = 3) -> Cutout:
    return Cutout([tiny.picture(1)] * frames, [tiny.blob(frame) for frame in range(frames)])


def composed(chances: Chances, seed: int = 0) -> augment.ComposedClip:
    other = Cutout([255 - tiny.picture(2)] * 3, [tiny.blob(3)] * 3)
    return augment.compose(
        np.random.default_rng(seed), cutout(), [other, other], [tiny.picture(9, (90, 120))], (64, 80), chances
    )


def test_a_composed_shot_is_a_function_of_its_seed() -> None:
    assert np.array_equal(composed(Chances(), 3).plates, composed(Chances(), 3).plates)
    assert not np.array_equal(composed(Chances(), 3).plates, composed(Chances(), 4).plates)


def test_an_occluder_takes_from_the_alpha_and_a_distractor_does_not() -> None:
    from dataclasses import replace

    covered = [composed(replace(NEVER, occluder=1.0), k).alphas.sum() for k in range(6)]
    plain = [composed(NEVER, k).alphas.sum() for k in range(6)]
    assert sum(covered) < sum(plain)
    beside = composed(replace(NEVER, distractor=1.0), 2)
    assert np.abs(beside.plates - composed(NEVER, 2).plates).max() > 0.05


@pytest.mark.parametrize(
    "name",
    [
        "camera",
        "travel",
        "light",
        "shadow",
        "bokeh",
        "blur",
        "grain",
        "compression",
        "framed",
        "dark",
        "wall",
        "backlit",
    ],
)
def test_each_chance_changes_the_picture(name: str) -> None:
    from dataclasses import replace

    always = [composed(replace(NEVER, **{name: 1.0}), k).plates for k in range(2)]
    assert any(np.abs(a - composed(NEVER, k).plates).max() > 0.005 for k, a in enumerate(always))


def test_guide_masks_are_near_the_alpha() -> None:
    alpha = tiny.blob(0).astype(np.float32) / 255
    kinds = set()
    for seed in range(30):
        guide = augment.guide_mask(np.random.default_rng(seed), alpha)
        assert guide.min() >= 0
        assert guide.max() <= 1
        assert np.abs(guide - alpha).mean() < 0.15
        kinds.add("soft" if len(np.unique(guide)) > 2 else ("larger" if guide.sum() > alpha.sum() else "not larger"))
    assert kinds == {"soft", "larger", "not larger"}


def test_some_guide_masks_end_just_before_a_border_that_the_subject_crosses() -> None:
    """A network that never saw such a mask loses the strip (docs/masks.md)."""
    alpha = np.zeros((60, 80), np.float32)
    alpha[20:, 30:50] = 1
    gaps = []
    for seed in range(60):
        covered = augment.guide_mask(np.random.default_rng(seed), alpha, reach=6)[:, 40] > 0.5
        gaps.append(int(np.argmax(covered[::-1])))
    assert 5 <= sum(gap > 0 for gap in gaps) <= 25  # most masks reach it
    assert max(gaps) <= 6
    corner = np.zeros((60, 80), np.float32)
    corner[-1, -1] = 1
    assert augment.short_of_borders(np.random.default_rng(0), corner, 6).any()  # nothing would be left to follow


def test_moved_labels_follow_their_pixels() -> None:
    """The disc is painted white on black: wherever it goes, label and picture agree."""
    label = tiny.blob(0)
    plate = np.repeat(label[..., None], 3, axis=2)
    shot = augment.moved(np.random.default_rng(1), [plate] * 3, [label] * 3, (64, 80), warp=True)
    bright = shot.plates.mean(axis=-1) > 0.5 * shot.plates.max()
    assert (bright != (shot.alphas > 0.5)).mean() < 0.05


def bust() -> Cutout:
    """Cut by the left, right and bottom edge of its own picture, its head free."""
    pha = np.zeros((90, 70), np.uint8)
    pha[30:, 25:45] = 255
    cv2.circle(pha, (35, 30), 18, 255, -1)
    pha[60:] = 255
    return Cutout([np.full((90, 70, 3), 200, np.uint8)], [pha])


@pytest.mark.parametrize("sides", [(), ("left",), ("top", "right"), ("left", "right")])
def test_a_side_cut_by_its_own_picture_stays_outside_the_crop(sides: tuple[str, ...]) -> None:
    """Every border of the cut-out's picture at which it is cut lies at or beyond the crop's border."""
    pha = np.zeros((80, 60), np.uint8)
    pha[20:, 15:45] = 255  # the bottom is always cut
    if "left" in sides:
        pha[50:, :20] = 255
    if "right" in sides:
        pha[50:, 40:] = 255
    if "top" in sides:
        pha[:, 20:40] = 255
    subject = Cutout([np.zeros((80, 60, 3), np.uint8)], [pha])
    cuts = augment._Cuts.of(subject)
    assert (cuts.left, cuts.right, cuts.top, cuts.bottom) == (*(s in sides for s in ("left", "right", "top")), True)
    for seed in range(60):
        place = augment._framed_placement(
            np.random.default_rng(seed), subject, cuts, (64, 96), (0.45, 1.9), close=seed % 2 == 0
        )
        (x0, y0), (x1, y1) = (place[:2, :2] @ corner + place[:2, 2] for corner in ((0, 0), (60, 80)))
        hidden = place[1, 1] * cuts.shoulder + place[1, 2] >= 64 - 1e-6  # or the crop ends above the cut sides
        rest = (1 - augment.SPUN) * 96 if {"left", "right"} <= set(sides) else 0
        assert "left" not in sides or x0 <= rest + 1e-6 or hidden
        assert "right" not in sides or x1 >= 96 - rest - 1e-6 or hidden
        assert "top" not in sides or y0 <= 1e-6
        assert y1 >= 64 - 1e-6


def test_a_framed_bust_that_moves_shows_no_cut() -> None:
    """Below the bust's head there is always neck or body, down to the crop's last row, whatever moves."""
    chances = Chances(**{**dict.fromkeys(Chances.__dataclass_fields__, 0.0), "framed": 1.0, "travel": 1.0})
    still = augment.animated(np.random.default_rng(0), bust(), 4)
    for seed in range(8):
        shot = augment.compose(np.random.default_rng(seed), still, [], [tiny.picture(9, (90, 120))], (64, 80), chances)
        for alpha in shot.alphas:
            seen = np.flatnonzero((alpha > 0.5).any(axis=1))
            assert not len(seen) or seen[-1] == 63
            assert not len(seen) or (np.diff(seen) == 1).all()


def test_a_still_becomes_a_clip_of_the_same_subject() -> None:
    clip = augment.animated(np.random.default_rng(2), bust(), 5)
    assert len(clip.fgr) == len(clip.pha) == 5
    assert not np.array_equal(clip.pha[0], clip.pha[4])
    areas = [pha.mean() for pha in clip.pha]
    assert max(areas) < 1.2 * min(areas)
    again = augment.animated(np.random.default_rng(2), bust(), 5)
    assert all(np.array_equal(a, b) for a, b in zip(clip.fgr, again.fgr, strict=True))


def test_a_subject_that_leaves_comes_back() -> None:
    from dataclasses import replace

    clip = Cutout([tiny.picture(1)] * 9, [tiny.blob(0)] * 9)
    chances = replace(NEVER, framed=1.0, leave=1.0)
    shot = augment.compose(np.random.default_rng(3), clip, [], [tiny.picture(9, (90, 120))], (64, 80), chances)
    areas = shot.alphas.mean(axis=(1, 2))
    assert areas[4] < 0.01
    assert min(areas[0], areas[-1]) > 0.03


def test_dark_plates_are_dark_or_noisy_and_keep_their_alpha() -> None:
    from dataclasses import replace

    for seed in range(6):
        dark, plain = composed(replace(NEVER, dark=1.0), seed), composed(NEVER, seed)
        assert np.array_equal(dark.alphas, plain.alphas)
        darker = dark.plates.mean() < 0.6 * plain.plates.mean()
        noisy = np.abs(dark.plates - cv2.blur(dark.plates[0], (3, 3))).mean() > 0.01
        assert darker or noisy
