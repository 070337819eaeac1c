# SPDX-License-Identifier: Apache-2.0
"""A guide that comes frame by frame: when it is believed, and how its journal is read back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from matanyone_engine.media.guide_history import NO_GUIDES, GuideHistory, packed, unpacked
from matanyone_engine.media.guides import GuideFrame, limits, small

HEIGHT, WIDTH = 120, 160


def disc(x: float, radius: float = 20.0) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (np.hypot(columns - x, rows - 60) <= radius).astype(np.float32)


def followed(places: Iterable[float], first: int = 1001) -> tuple[GuideHistory, list[bool]]:
    """Return what is remembered after discs at these places, and which of them were believed."""
    history, believed = NO_GUIDES, []
    for frame, x in enumerate(places, first):
        place = small(disc(x))
        believed.append(history.believes(frame, place))
        history = history.after(frame, place)
    return history, believed


def test_a_guide_that_leaps_for_three_frames_is_ignored_there() -> None:
    assert followed([40, 42, 120, 121, 122, 48, 50])[1] == [True, True, False, False, False, True, True]


def test_a_guide_is_used_again_if_its_subject_has_moved_on_meanwhile() -> None:
    # It has moved by 30 of the 80 pixels of the leap, so that the discs overlap by less than a quarter: 5 a frame.
    assert followed([40, 120, 121, 122, 123, 124, 70])[1] == [True, False, False, False, False, False, True]


def test_a_guide_that_stays_elsewhere_is_used_from_the_thirteenth_frame_on() -> None:
    assert followed([40, *[120] * 15])[1] == [True, *[False] * 12, True, True, True]


def test_a_leap_next_to_a_frame_without_a_guide_is_used() -> None:
    history, _ = followed([40, 42])
    assert not history.believes(1003, small(disc(120)))
    assert history.believes(1004, small(disc(120)))
    assert not history.believes(1001, small(disc(120)))  # backwards through the shot


def test_an_empty_guide_changes_nothing() -> None:
    history, _ = followed([40, 42])
    assert history.after(1003, small(disc(300))) is history
    assert history.limits(1003, disc(300), small(disc(300)), 8) is None
    white = disc(60, 500)
    assert history.after(1003, small(white)) is history
    assert history.limits(1003, white, small(white), 8) is None


@pytest.mark.parametrize("grey", [1.0, 0.6])
def test_a_guide_at_rest_has_the_limits_of_a_job(grey: float) -> None:
    history, _ = followed([60, 60])
    guide = disc(60)
    guide[:, :50] *= grey
    found, right = history.limits(1003, guide, small(guide), 8), limits(guide, [], 8)
    assert found is not None
    assert right is not None
    assert all(np.array_equal(one, other) for one, other in zip(found, right, strict=True))


def test_a_moving_guide_has_a_wider_band_as_in_a_job() -> None:
    history, _ = followed([60])
    found = history.limits(1002, disc(70), small(disc(70)), 4)
    right = limits(disc(70), [GuideFrame(disc(60), 1)], 4)
    assert found is not None
    assert right is not None
    assert abs(float(found.inside.sum()) - float(right.inside.sum())) < 0.03 * right.inside.sum()
    assert found.inside.sum() < 0.8 * (limits(disc(70), [], 4) or found).inside.sum()


def test_a_small_picture_is_read_back_from_the_journal() -> None:
    place = small(disc(40))
    assert np.array_equal(unpacked(packed(place)), place)
    assert len(packed(place)) < 400
    for text in ("", "3x", "4x4:!!!", packed(place)[:-20]):
        with pytest.raises(ValueError, match=r"."):
            unpacked(text)
