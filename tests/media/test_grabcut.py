# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import prompted
import pytest

from matanyone_engine.errors import MaskError
from matanyone_engine.media.grabcut import cleaned, grabcut, kept, marked
from matanyone_engine.media.prompts import SHORTEST_SIDE, Prompts, Stroke
from matanyone_engine.sizes import Resolution

SIZE = Resolution(prompted.WIDTH, prompted.HEIGHT)
ON = Stroke(((56.0, 30.0),))


def cut(prompts: Prompts, seen: np.ndarray | None = None) -> np.ndarray:
    return grabcut(prompted.picture() if seen is None else seen, prompts.on(SIZE))


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(prompted.BOX),
        Prompts(prompted.BOX, (ON,)),
        Prompts(None, (ON,)),
        Prompts(None, (ON, prompted.BESIDE)),
        Prompts((0, 0, *SIZE), (ON, prompted.BESIDE)),
    ],
    ids=["box", "box and click", "click", "both clicks", "box around all"],
)
def test_the_subject_is_found(prompts: Prompts) -> None:
    assert prompted.overlap(cut(prompts), prompted.disc()) > 0.9


def test_each_side_of_a_plate_in_two_colours_is_a_subject() -> None:
    """Where colours say nothing, strokes decide: the left or the right one of two equal discs."""
    twins = np.full((prompted.HEIGHT, prompted.WIDTH, 3), 0.2, np.float32)
    rng = np.random.default_rng(1)
    truths = []
    for x in (26, 70):
        one = np.zeros(SIZE[::-1], np.uint8)
        cv2.circle(one, (x, 32), 14, 1, -1)
        twins[one > 0] = (0.8, 0.4, 0.1)
        truths.append(one)
    twins += rng.normal(0, 0.02, twins.shape).astype(np.float32)
    for x, truth, other in ((26.0, truths[0], 70.0), (70.0, truths[1], 26.0)):
        strokes = (Stroke(((x, 32.0),)), Stroke(((other, 32.0),), subject=False))
        assert prompted.overlap(cut(Prompts(None, strokes), twins.clip(0, 1)), truth) > 0.9


def test_the_same_prompts_give_the_same_bits_whatever_ran_before() -> None:
    first = cut(prompted.PROMPTS)
    cv2.setRNGSeed(99)
    cv2.kmeans(np.random.default_rng(0).random((50, 3)).astype(np.float32), 3, None, (3, 5, 1.0), 3, 0)  # type: ignore[call-overload]
    assert np.array_equal(cut(prompted.PROMPTS), first)
    assert set(np.unique(first)) == {0.0, 1.0}


def test_large_plates_are_cut_at_a_bounded_size() -> None:
    large = cv2.resize(prompted.picture(), (1440, 960), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    box = tuple(15 * side for side in prompted.BOX)
    rough = grabcut(large, Prompts((box[0], box[1], box[2], box[3])).on(Resolution(1440, 960)))
    assert rough.shape == (SHORTEST_SIDE, 540)
    assert prompted.overlap(cv2.resize(rough, SIZE, interpolation=cv2.INTER_AREA), prompted.disc()) > 0.9


def test_all_rounds_but_the_last_are_at_half_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what makes a click quick; what is found is the same subject."""
    times = 4
    large = cv2.resize(prompted.picture(), None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    size = Resolution(*(times * side for side in SIZE))
    strokes = [
        Stroke(tuple((times * x, times * y) for x, y in each.points), each.subject) for each in (ON, prompted.BESIDE)
    ]
    seen, plain = [], cv2.grabCut

    def noted(picture: np.ndarray, labels: np.ndarray, *rest: Any) -> object:
        seen.append((picture.shape[:2], rest[3]))
        return plain(picture, labels, *rest)

    monkeypatch.setattr(cv2, "grabCut", noted)
    found = grabcut(large, Prompts(None, tuple(strokes)).on(size))
    (half, rounds), (whole, last) = seen
    assert (rounds, last) == (1, 1)
    assert half[0] <= size.height // 2
    assert half[1] <= size.width // 2
    assert whole[0] * whole[1] < 0.5 * size.height * size.width, "only the part around the edge"
    truth = cv2.resize(prompted.disc(), size, interpolation=cv2.INTER_LINEAR)
    assert prompted.overlap(found, truth) > 0.95


def test_strokes_are_where_they_are_drawn() -> None:
    prompts = Prompts((10, 10, 40, 40), (Stroke(((20.5, 20.5),)), Stroke(((12.5, 38.5), (30.5, 38.5)), False)), brush=3)
    labels = marked(prompts.on(SIZE), SIZE.size, SIZE.size)
    on_subject, beside = labels == cv2.GC_FGD, labels == cv2.GC_BGD
    assert labels[20, 20] == cv2.GC_FGD
    assert 5 <= on_subject.sum() <= 13
    assert not on_subject[:, :17].any()
    assert labels[10, 10] == labels[39, 39] == cv2.GC_PR_FGD
    assert labels[9, 10] == labels[40, 39] == cv2.GC_BGD, "outside of the box"
    assert beside[38, 12:31].all()
    assert not beside[30, 10:40].any()
    later = Prompts(None, (Stroke(((20.5, 20.5),)), Stroke(((20.5, 20.5),), False)), brush=3).on(SIZE)
    assert not (marked(later, SIZE.size, SIZE.size) == cv2.GC_FGD).any(), "later strokes go over earlier ones"


def test_small_parts_are_removed_unless_a_stroke_marks_them() -> None:
    inside = np.zeros((60, 60), bool)
    inside[10:50, 10:50] = True
    inside[30, 30] = inside[20, 20] = False
    inside[2, 2] = inside[2, 57] = True
    marked_on, marked_beside = np.zeros_like(inside), np.zeros_like(inside)
    marked_on[2, 57] = marked_beside[20, 20] = True
    kept = cleaned(inside, marked_on, marked_beside)
    assert not kept[2, 2], "an island"
    assert kept[30, 30], "a hole"
    assert kept[2, 57], "a marked island"
    assert not kept[20, 20], "a marked hole"


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (Prompts((0, 0, *SIZE)), "a box around the whole plate"),
        (Prompts((10, 10, 12, 12)), "only 4 of 6144 pixels"),
    ],
)
def test_prompts_without_subject_or_background_are_refused(prompts: Prompts, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        cut(prompts)


# ------------------------------------------------------------------------------------------------ corrections


def two_discs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of two orange discs before a blue ground, and the mask of each."""
    masks = []
    for x in (24, 72):
        one = np.zeros(SIZE[::-1], np.uint8)
        cv2.circle(one, (x, 32), 10, 1, -1)
        masks.append(one.astype(np.float32))
    seen = np.where((masks[0] + masks[1])[..., None] > 0, np.float32([0.8, 0.4, 0.1]), np.float32([0.1, 0.2, 0.4]))
    grain = np.random.default_rng(3).normal(0, 0.02, seen.shape)
    return (seen + grain).clip(0, 1).astype(np.float32), *masks


def correction(strokes: tuple[Stroke, ...], start: np.ndarray, seen: np.ndarray) -> np.ndarray:
    prompts = Prompts(None, strokes).on(SIZE, correcting=True)
    return kept(start, grabcut(seen, prompts, start), prompts)


def test_a_click_adds_what_a_mask_lacks_and_leaves_the_rest() -> None:
    seen, left, right = two_discs()
    added = correction((Stroke(((72.0, 32.0),)),), left, seen)
    assert prompted.overlap(added, left + right) > 0.9
    assert np.array_equal(added[:, :40], left[:, :40])


def test_a_click_beside_the_subject_cuts_what_a_mask_has_too_much_of() -> None:
    seen, left, right = two_discs()
    soft = cv2.GaussianBlur(left + right, (0, 0), 1.5).astype(np.float32)
    cut_off = correction((Stroke(((72.0, 32.0),), subject=False),), soft, seen)
    assert prompted.overlap(cut_off, left) > 0.9
    assert np.array_equal(cut_off[:, :40], soft[:, :40]), "soft edges are kept where nobody clicked"


def test_a_clicked_pixel_is_certain_whatever_its_colour() -> None:
    seen, left, _ = two_discs()
    made = correction((Stroke(((24.0, 32.0),), subject=False), Stroke(((48.0, 10.0),))), left, seen)
    assert made[32, 24] < 0.1
    assert made[10, 48] > 0.9


def test_a_click_beside_the_subject_needs_a_mask_to_cut_from() -> None:
    with pytest.raises(MaskError, match="a stroke on it"):
        Prompts(None, (prompted.BESIDE,)).on(SIZE)
